//! Starts that would be open to others: they are refused, with the next step.

use std::{fs, os::unix::fs::PermissionsExt as _};

use crate::{
    attack::{
        tally::Tally,
        target::Target,
        weakened::{self, refused},
    },
    musher, musher_of,
};

pub(super) async fn unsafe_starts(target: &Target, tally: &mut Tally) {
    const GOOD: &str = "a-token-of-good-length";
    let start =
        async |name: &str, token: (&str, u32), tokens: Option<(&str, u32)>, config: &str, words: &[&str]| {
            let home = tempfile::tempdir().unwrap();
            let write = |name: &str, (text, mode): (&str, u32)| {
                let file = home.path().join(name);
                fs::write(&file, text).unwrap();
                fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            };
            write("token", token);
            tokens.into_iter().for_each(|tokens| write("tokens.json", tokens));
            write("musher.toml", (config, 0o600));
            let mut command = match target.wall {
                Some(wall) => {
                    let mut command = musher_of(weakened::program(), home.path());
                    command.env("MUSHER_WEAKEN", wall);
                    command
                }
                None => musher(home.path()),
            };
            command.args(["serve", "--store", "memory", "--config"]).arg(home.path().join("musher.toml"));
            command.arg("--token-file").arg(home.path().join("token")).args(words);
            let refused = refused(&mut command, home.path()).await;
            (name.to_owned(), refused.is_some_and(|refused| refused.code.is_some_and(|code| code != 0)))
        };
    let loopback = &["--listen", "127.0.0.1:0"][..];
    let open = r#"{"tokens":[]}"#;
    let cases = [
        start("every interface", (GOOD, 0o600), None, "", &["--listen", "0.0.0.0:0"]).await,
        start("every interface, IPv6", (GOOD, 0o600), None, "", &["--listen", "[::]:0"]).await,
        start("a name for an address", (GOOD, 0o600), None, "", &["--listen", "localhost:0"]).await,
        start(
            "no host at all",
            (GOOD, 0o600),
            None,
            "[server]\nallowed_hosts = [\"\"]\n",
            &["--listen", "0.0.0.0:0"],
        )
        .await,
        start(
            "every host",
            (GOOD, 0o600),
            None,
            "[server]\nallowed_hosts = [\"*\"]\n",
            &["--listen", "0.0.0.0:0"],
        )
        .await,
        start("token for everybody", (GOOD, 0o644), None, "", loopback).await,
        start("token for a group", (GOOD, 0o660), None, "", loopback).await,
        start("short token", ("short", 0o600), None, "", loopback).await,
        start("empty token", ("", 0o600), None, "", loopback).await,
        start("tokens for everybody", (GOOD, 0o600), Some((open, 0o644)), "", loopback).await,
        start("tokens cut off", (GOOD, 0o600), Some((&open[..5], 0o600)), "", loopback).await,
        start(
            "token without a scope",
            (GOOD, 0o600),
            None,
            "[[tokens]]\nname = \"x\"\nsha256 = \"00\"\nscopes = []\n",
            loopback,
        )
        .await,
        start("unknown key", (GOOD, 0o600), None, "[server]\nauth = false\n", loopback).await,
        start("unknown flag", (GOOD, 0o600), None, "", &["--no-auth"]).await,
    ];
    for (name, is_refused) in cases {
        tally.case(name, is_refused);
    }
}
