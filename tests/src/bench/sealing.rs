//! How often an event is serialized, however many observe it.
//!
//! Callgrind counts the calls of the two functions that turn an event into bytes: the one that writes its payload as
//! JSON, and the one that puts a frame around that. A count is the same on every machine and at any load.

use std::{ffi::OsString, fs, process::Stdio};

use futures_util::future::join_all;
use serde_json::json;
use tokio::process::Command;

use super::{
    Plan,
    connection::{Address, Connection},
    observer::Observer,
    plant::{self, Profile},
    row::{Row, Target, Unit},
};

pub(super) const PART: &str = "sealing";
const VALGRIND: &str = "valgrind";
/// Writes a payload as JSON; what it is in the symbols of a release build, whatever it writes to.
const SERIALIZE: &str = "Serialize for musher_protocol::event::Payload>::serialize";
/// Puts a frame around a payload that is JSON already.
const FRAME: &str = "musher_core::frame::envelope";

/// Counts, with one observer and with many; without Valgrind it says that it cannot.
pub(super) async fn run(plan: &Plan) -> Vec<Row> {
    let mut look = Command::new(VALGRIND);
    let there = look.arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().await;
    if !there.is_ok_and(|status| status.success()) {
        eprintln!("{PART}: left out, for `{VALGRIND}` is not installed");
        return Vec::new();
    }
    let mut rows = Vec::new();
    for sockets in [1, plan.pick(100, 20)] {
        let Counts { events, serialized, framed } = count(plan, sockets).await;
        let row = |what: &str, calls: u64| {
            let name = format!("{what} of an event, sockets: {sockets}");
            // Each socket begins with a snapshot of its own, which is no event.
            Row::new(PART, name, Unit::Count, vec![(calls as f64 - sockets as f64) / events as f64])
                .target(Target::Exactly(1.0))
        };
        rows.extend([row("serializations", serialized), row("frames", framed)]);
    }
    rows
}

/// Events of the log, and calls.
#[derive(Clone, Copy, Debug)]
struct Counts {
    events: u64,
    serialized: u64,
    framed: u64,
}

/// One burst to so many sockets, in a server under Callgrind.
async fn count(plan: &Plan, sockets: usize) -> Counts {
    let home = plant::home(&plan.store);
    let out = home.path().join("callgrind.out");
    let mut name = OsString::from("--callgrind-out-file=");
    name.push(&out);
    let tool = [VALGRIND, "--quiet", "--tool=callgrind", "--compress-strings=no"].map(OsString::from);
    let wrapper: Vec<_> = tool.into_iter().chain([name]).collect();
    let server = home.start_under(&wrapper).await;
    let address = Address::of(&home, &server);
    let worker = plant::create(&address, 1, Profile::Burst).await.remove(0);
    let observers = (0..sockets).map(|_| async {
        let mut observer = Observer::open(&address, &worker, "").await;
        observer.first().await;
        observer
    });
    let observers = join_all(observers).await;
    let mut connection = Connection::open(&address).await;
    let path = format!("/v1/workers/{worker}");
    connection.post(&format!("{path}/input"), &json!({"kind": "user", "content": "burst"})).await;
    connection.get(&format!("{path}?until=idle&wait=60")).await;
    // Behind its last event a log gets nothing more, so that what is counted is what is there now.
    connection.post(&format!("{path}/stop"), &json!({"reason": "counted"})).await;
    let events = plant::head(&mut connection, worker).await;
    // A socket has everything when it has the last event; how many bytes that is only its frames tell.
    join_all(observers.into_iter().map(|mut observer| async move { observer.until(events).await })).await;
    server.terminate().await;
    let profile = fs::read_to_string(&out).unwrap();
    let [serialized, framed] = [SERIALIZE, FRAME].map(|function| calls(&profile, function));
    assert!(serialized > 0 && framed > 0, "the binary has the symbols of what is counted");
    Counts { events, serialized, framed }
}

/// How often functions whose names end so were called, by whomever. In a profile `cfn` names the callee, and `calls`
/// follows.
fn calls(profile: &str, function: &str) -> u64 {
    let mut lines = profile.lines();
    let mut calls = 0;
    while let Some(line) = lines.next() {
        if line.strip_prefix("cfn=").is_some_and(|callee| callee.ends_with(function)) {
            let line = lines.find(|line| line.starts_with("calls="));
            let count = line.and_then(|line| line["calls=".len()..].split(' ').next()?.parse::<u64>().ok());
            calls += count.expect("every call has its count");
        }
    }
    calls
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_of_a_function_are_added_up() {
        let profile =
            "fn=a\n1 2\ncfn=f\ncalls=3 0\n1 9\ncfi=x.rs\ncfn=f::g\ncalls=50 0\n1 9\nfn=b\ncfn=f\ncalls=4 1\n";
        assert_eq!([calls(profile, "f"), calls(profile, "::g"), calls(profile, "b")], [7, 50, 0]);
    }
}
