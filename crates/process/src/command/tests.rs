use std::{
    collections::BTreeMap,
    fs,
    os::unix::{ffi::OsStringExt, fs::PermissionsExt},
};

use super::*;
use crate::scene::{self, command, expect, read, shell, soon};
use tokio::io::AsyncWriteExt;

/// The output of a program that ends by itself.
async fn output(mut command: PtyCommand, directory: &str) -> String {
    command.directory = directory.into();
    let mut spawned = soon(command.spawn()).await.unwrap();
    drop(spawned.stdin);
    let output = read(&mut spawned.stdout).await;
    let complaints = read(&mut spawned.stderr).await;
    let exit = soon(spawned.child.wait()).await.unwrap();
    assert_eq!((complaints, exit.to_string()), (String::new(), "exit code 0".to_owned()));
    output
}

#[tokio::test]
async fn a_mebibyte_of_any_bytes_passes_unharmed_both_ways() {
    let bytes: Vec<u8> = (0..1 << 20_u32).map(|n| (n ^ (n >> 8) ^ (n >> 16)) as u8).collect();
    let spawned = soon(command("tee", &["/dev/stderr"]).spawn()).await.unwrap();
    let Spawned { child: _child, mut stdin, mut stdout, mut stderr } = spawned;

    let (mut out, mut err) = (Vec::new(), Vec::new());
    let all = async {
        let write = async {
            stdin.write_all(&bytes).await.unwrap();
            drop(stdin);
        };
        tokio::join!(write, stdout.read_to_end(&mut out), stderr.read_to_end(&mut err))
    };
    let ((), n_out, n_err) = soon(all).await;
    assert_eq!((n_out.unwrap(), n_err.unwrap()), (1 << 20, 1 << 20));
    assert!(out == bytes && err == bytes, "bytes changed on their way");
}

#[tokio::test]
async fn stderr_is_a_pipe_of_its_own() {
    let mut spawned = shell("echo out; echo err >&2").await;
    assert_eq!(
        (read(&mut spawned.stdout).await, read(&mut spawned.stderr).await),
        ("out\n".into(), "err\n".into())
    );
}

#[tokio::test]
async fn the_program_leads_a_session_with_a_silent_terminal() {
    let mut spawned = shell(
        "for fd in 0 1 2; do test -t $fd && echo $fd is a terminal; done
         echo $$ $(ps -o pgid=,sid= -p $$)
         for flag in $(stty -a </dev/tty); do case ${flag%;} in -echo|-echoctl|-opost) echo ${flag%;}; esac; done",
    )
    .await;
    let pid = spawned.child.pid();
    assert_eq!(read(&mut spawned.stdout).await, format!("{pid} {pid} {pid}\n-opost\n-echo\n-echoctl\n"));
}

#[tokio::test]
async fn a_program_that_writes_to_its_terminal_is_not_held_up() {
    let mut spawned = shell("head -c 1048576 /dev/zero >/dev/tty; echo done").await;
    expect(&mut spawned.stdout, "done\n").await;
}

#[tokio::test]
async fn arguments_arrive_as_they_are() {
    let args = [
        "",
        "-n",
        "--",
        "-",
        "two words",
        " ",
        "'",
        "\"",
        "\\",
        "\\n",
        "new\nline\n",
        "$(echo no)",
        "`echo no`",
        "$HOME",
        "*",
        "~",
        ";",
        "&&",
        "|",
        "ünï",
        "\u{1b}[31m",
    ];
    let mut command = command("printf", &["%s\\0"]);
    command.args.extend(args.map(OsString::from));
    command.args.push(OsString::from_vec(vec![0xff, 0xfe]));

    let mut spawned = soon(command.spawn()).await.unwrap();
    let mut bytes = Vec::new();
    soon(spawned.stdout.read_to_end(&mut bytes)).await.unwrap();
    let expected: Vec<u8> =
        args.iter().flat_map(|arg| [arg.as_bytes(), b"\0"].concat()).chain([0xff, 0xfe, 0]).collect();
    assert_eq!(bytes, expected);
}

#[tokio::test]
async fn the_environment_is_what_was_given_and_the_marker() {
    let mut environment = Environment::base();
    for (name, value) in [("EMPTY", ""), ("TEXT", "a b\n$(c)='\"\\"), ("PWD", "/")] {
        environment.set(name, value).unwrap();
    }
    check_environment(environment).await;
    check_environment(Environment::empty()).await;
}

async fn check_environment(environment: Environment) {
    let mut command = command("env", &["-0"]);
    command.environment = environment;
    let mut expected: BTreeMap<String, OsString> =
        command.environment.variables().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    expected.insert("MUSHER_MARKER".to_owned(), command.marker.to_string().into());

    let output = output(command, "/").await;
    let mut arrived: BTreeMap<String, OsString> = output
        .split_terminator('\0')
        .map(|variable| variable.split_once('=').unwrap())
        .map(|(name, value)| (name.to_owned(), value.into()))
        .collect();
    // A bash that is /bin/sh counts itself here, and cannot be kept from it.
    arrived.remove("SHLVL");
    assert_eq!(arrived, expected);
}

#[tokio::test]
async fn no_descriptor_but_three_is_inherited() {
    // The fourth is the directory that `ls` reads.
    assert_eq!(output(command("ls", &["/proc/self/fd"]), "/").await, "0\n1\n2\n3\n");
}

#[tokio::test]
async fn the_program_runs_in_its_directory() {
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join("-with $(odd) 'name'");
    fs::create_dir(&directory).unwrap();
    let directory = fs::canonicalize(&directory).unwrap();
    let directory = directory.to_str().unwrap();
    assert_eq!(output(command("pwd", &["-P"]), directory).await, format!("{directory}\n"));
}

#[tokio::test]
async fn a_missing_directory_is_said_and_nothing_is_left() {
    let mut command = command("true", &[""]);
    command.directory = "/no/such/directory".into();
    check_not_started(command, "exit code 126", "/no/such/directory").await;
}

#[tokio::test]
async fn a_program_that_went_after_it_was_found_is_said_and_nothing_is_left() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("tool");
    fs::write(&path, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = command("true", &[""]);
    command.program = Program::find(path.to_str().unwrap(), &command.environment).unwrap();
    fs::remove_file(&path).unwrap();
    check_not_started(command, "exit code 127", path.to_str().unwrap()).await;
}

#[tokio::test]
async fn arguments_beyond_the_limit_of_the_system_are_refused() {
    // One argument may have 128 KiB less its end, all together a quarter of the stack.
    let long = "x".repeat((128 << 10) - 1);
    assert_eq!(output(command("printf", &["%.1s", &long]), "/").await, "x");

    for args in [vec!["x".repeat(128 << 10)], vec![long; 64]] {
        let command = command("true", &args);
        let marker = command.marker.clone();
        let refused = soon(command.spawn()).await.unwrap_err();
        assert!(matches!(refused, Error::ArgumentsTooLong { .. }), "{refused:?}");
        assert_eq!(scene::family(&marker, None), []);
    }
}

async fn check_not_started(command: PtyCommand, expected: &str, words: &str) {
    let marker = command.marker.clone();
    let refused = soon(command.spawn()).await.unwrap_err();
    let Error::NotStarted { exit, output, .. } = &refused else { panic!("{refused:?}") };
    assert_eq!(exit.to_string(), expected, "{output}");
    assert!(output.contains(words), "{output}");
    assert_eq!(scene::family(&marker, None), []);
}
