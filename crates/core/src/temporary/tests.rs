use std::{
    process::{Child, Command, Stdio},
    time::Instant,
};

use musher_process::Marker;

use super::*;

fn runtime(text: &str) -> RuntimeId {
    text.parse().unwrap()
}

fn owner() -> Owner {
    Owner::new(Uuid::new_v4().simple().to_string()).unwrap()
}

fn temporary(scratch: &Path, runtime_id: &str) -> Temporary {
    Temporary::below(scratch, runtime(runtime_id), owner()).unwrap()
}

/// What a life leaves that is cut off.
fn cut(temporary: Temporary) {
    let life = temporary.life.lock().unwrap().take();
    drop(life);
}

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Begins a life again and again until it has removed this. Once is enough for a server; here other tests fork, and until
/// their programs run they hold every lock of this process.
async fn removed_by_a_next_life(scratch: &Path, left: &Path) {
    let deadline = Instant::now() + PATIENCE;
    while left.exists() {
        assert!(Instant::now() < deadline, "it stays: {}", left.display());
        temporary(scratch, "rt_1").remove_left_behind().await;
    }
}

/// A process that does not outlive a test that fails.
struct Sleeper(Child);

impl Drop for Sleeper {
    fn drop(&mut self) {
        // Of one that has ended there is nothing to kill, and to wait for it again is no error.
        let _ended = self.0.kill();
        self.0.wait().unwrap();
    }
}

fn is_empty(directory: &Path) -> bool {
    fs::read_dir(directory).unwrap().next().is_none()
}

#[tokio::test]
async fn a_session_has_a_directory_of_its_own_and_a_life_leaves_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let temporary = temporary(scratch.path(), "rt_1");
    assert!(is_empty(scratch.path()), "nothing is made before it is needed");
    let (one, two) = (temporary.session().unwrap(), temporary.session().unwrap());
    assert_ne!(one, two);
    assert_eq!(fs::metadata(&one).unwrap().permissions().mode() & 0o777, 0o700);
    fs::write(one.join("file"), "x").unwrap();
    remove(one.clone()).await;
    remove(one.clone()).await;
    remove(two.clone()).await;
    assert_eq!((one.exists(), two.exists()), (false, false));
    drop(temporary);
    assert!(is_empty(scratch.path()));
}

#[tokio::test]
async fn what_a_session_could_not_let_go_of_waits_for_the_next_life() {
    let scratch = tempfile::tempdir().unwrap();
    let earlier = temporary(scratch.path(), "rt_1");
    let left = earlier.session().unwrap();
    drop(earlier);
    assert!(left.exists());
    removed_by_a_next_life(scratch.path(), &left).await;
}

#[tokio::test]
async fn only_lives_of_this_runtime_that_are_over_are_removed() {
    let scratch = tempfile::tempdir().unwrap();
    let [dead, lasting, foreign] = ["rt_1", "rt_1", "rt_12"].map(|id| temporary(scratch.path(), id));
    let directories = [&dead, &lasting, &foreign].map(|life| life.session().unwrap());
    cut(dead);
    cut(foreign);
    // A life that was cut off before it could say whose it was.
    fs::create_dir(scratch.path().join("tmp/0123456")).unwrap();
    fs::create_dir_all(scratch.path().join("tmp/somebody/else")).unwrap();
    fs::write(scratch.path().join("tmp/file"), "x").unwrap();

    removed_by_a_next_life(scratch.path(), &directories[0]).await;
    let there = directories.map(|directory| directory.exists());
    assert_eq!(there, [false, true, true]);
    let rest =
        ["0123456", "somebody/else", "file"].map(|name| scratch.path().join("tmp").join(name).exists());
    assert_eq!(rest, [false, true, true]);
    drop(lasting);
}

#[tokio::test]
async fn a_process_of_an_earlier_life_is_ended_before_its_directory_goes() {
    let scratch = tempfile::tempdir().unwrap();
    let earlier = temporary(scratch.path(), "rt_1");
    let left = earlier.session().unwrap();
    let marker = Marker::new(earlier.owner.clone(), "worker").unwrap();
    let sleeper = Command::new("sleep")
        .arg("1040")
        .env(Marker::VARIABLE, marker.to_string())
        .current_dir(&left)
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let mut sleeper = Sleeper(sleeper);
    cut(earlier);
    removed_by_a_next_life(scratch.path(), &left).await;
    assert!(sleeper.0.wait().unwrap().code().is_none(), "it was killed");
}

#[test]
fn a_directory_that_is_closed_to_us_is_opened_before_it_is_removed() {
    let parent = tempfile::tempdir().unwrap();
    let top = parent.path().join("top");
    fs::create_dir_all(top.join("closed/deep")).unwrap();
    fs::write(top.join("closed/deep/file"), "x").unwrap();
    std::os::unix::fs::symlink(parent.path(), top.join("link")).unwrap();
    for path in ["closed/deep", "closed"] {
        fs::set_permissions(top.join(path), fs::Permissions::from_mode(0o000)).unwrap();
    }
    // The superuser needs no such help, so it is asked for here.
    open_up(&top).unwrap();
    assert_eq!(fs::metadata(top.join("closed/deep")).unwrap().permissions().mode() & 0o777, 0o700);
    remove_all(&top).unwrap();
    assert!(is_empty(parent.path()));
}

#[test]
fn a_path_that_is_too_long_for_sockets_is_refused() {
    let fits = |length: usize| {
        let scratch = PathBuf::from(format!("/{}", "s".repeat(length - 1)));
        temporary(&scratch, "rt_1").check_length().is_ok()
    };
    // sockaddr_un has 108 bytes: 107 and a NUL.
    let longest = 107 - "/tmp/01234567/12345678".len() - 32;
    assert_eq!([longest, longest + 1].map(fits), [true, false]);
}
