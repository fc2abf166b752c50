//! Walls that are taken down one at a time, in a build for this alone. The class that each is for has to notice.

use std::{
    env,
    path::{Path, PathBuf},
    time::Duration,
};

use futures_util::{StreamExt as _, stream};
use tokio::{process::Command, time::sleep};

use super::{
    classes::{CLASSES, Class},
    table::Table,
    tally::Tally,
    target::Target,
};
use crate::{Finished, musher_of};

/// Servers at the same time: each has a class to itself, and some only wait.
const AT_ONCE: usize = 4;
/// How often to look whether a start goes on.
const LOOK: Duration = Duration::from_millis(20);

/// Each wall by the name that the build knows it by, with a class that has to notice.
pub(super) const WALLS: &[(&str, &str)] = &[
    ("head_timeout", "slow and half-open connections"),
    ("body_timeout", "slow and half-open connections"),
    ("host", "DNS rebinding"),
    ("origin", "page of another origin"),
    ("origin", "cross-site WebSocket"),
    ("content_type", "form posts and odd types"),
    ("sniffing", "answers taken for a page"),
    ("token", "no token, or a wrong one"),
    ("token", "token outside its header"),
    ("scope", "route without its scope"),
    ("approve_scope", "approval by who may not approve"),
    ("labels_on_admin_routes", "admin's routes with labels"),
    ("labels", "another team's worker"),
    ("labels_in_lists", "another team in lists and feeds"),
    ("labels_of_created", "labels of another team"),
    ("revocation", "revoked tokens"),
    ("body_size", "oversized requests"),
    ("message_size", "words on an observing socket"),
    ("bundle_digest", "bundle digest forgeries"),
    ("bundle_contents", "programs and paths in bundles"),
    ("cursor", "cursors of others"),
    ("control_characters", "escape sequences in names"),
    ("request_id", "log injection"),
    ("child_name", "traversal in names"),
    ("link", "links out of a workspace"),
    ("read_only_mount", "mounts that are not declared, or not kept"),
    ("git", "hostile repository"),
    ("redaction", "secrets in logs and replies"),
    ("environment", "secrets in a child's environment"),
    ("bind", "unsafe starts"),
    ("file_mode", "unsafe starts"),
];

/// The build whose walls can be taken down.
pub(super) fn program() -> PathBuf {
    env::var_os("MUSHER_TEST_WEAKENED").expect("MUSHER_TEST_WEAKENED is set by `cargo xtask attack`").into()
}

/// The walls that a class has to miss, or why there is none.
pub(super) fn proof(class: &Class) -> String {
    let walls = WALLS.iter().filter(|(_, name)| *name == class.name).map(|(wall, _)| format!("`{wall}`"));
    class.without_wall.map_or_else(|| walls.collect::<Vec<_>>().join(", "), str::to_owned)
}

/// Takes down one wall after the other.
pub(super) async fn run() -> Table {
    let tried = stream::iter(WALLS).map(|(wall, class)| attempt(wall, class));
    let tried: Vec<_> = tried.buffered(AT_ONCE).collect().await;
    let mut table = Table::new(["wall taken down", "got through", "noticed", "by the class"]);
    for (wall, tally) in tried {
        let n_through = tally.through.len();
        let is_noticed = n_through > 0;
        if !is_noticed {
            table.finding(format!("`{wall}` is down, and `{}` does not notice", tally.class));
        }
        let through = format!("{n_through} of {}", tally.tried);
        table.row([&format!("`{wall}`"), &through, if is_noticed { "yes" } else { "no" }, tally.class]);
    }
    for wall in [None, Some(""), Some("moat")] {
        if !is_refused(wall).await {
            table.finding(format!("the weakened build starts with {wall:?} for a wall"));
        }
    }
    table
}

/// Whether the build refuses to be used when it is not told which wall to go without.
async fn is_refused(wall: Option<&str>) -> bool {
    let home = tempfile::tempdir().unwrap();
    let mut command = musher_of(program(), home.path());
    command.envs(wall.map(|wall| ("MUSHER_WEAKEN", wall)));
    command.args(["serve", "--store", "memory", "--listen", "127.0.0.1:0"]);
    let refused = refused(&mut command, home.path()).await;
    refused
        .is_some_and(|refused| refused.code == Some(2) && refused.stderr.contains("this is a weakened build"))
}

/// How a server ends that is refused; `None` for one that gets ready.
pub(super) async fn refused(serve: &mut Command, home: &Path) -> Option<Finished> {
    let ready = home.join("ready.json");
    serve.arg("--ready-file").arg(&ready);
    let goes_on = async {
        while !ready.exists() {
            // The file comes without any event.
            sleep(LOOK).await;
        }
    };
    tokio::select! {
        ended = Finished::of(serve) => Some(ended),
        () = goes_on => None,
    }
}

async fn attempt(wall: &'static str, name: &str) -> (&'static str, Tally) {
    let class = CLASSES.iter().find(|class| class.name == name).expect("each wall has a class");
    let target = Target::start(Some(wall)).await;
    let mut tally = Tally::of(class.name);
    (class.attempt)(&target, &mut tally).await;
    (wall, tally)
}
