//! Calls that fail: a disk with errors ends the server, a full one does not.

use std::{path::Path, time::Duration};

use serde_json::json;
use tokio::time::timeout;

use super::{
    home,
    strace::{Attached, Fault, has_hit, most_calls},
    witness::{Told, Witness},
};
use crate::{
    Client, Finished, Home, PATIENCE, Server,
    torture::power::{
        promise,
        replay::{goes_on, logs},
    },
};

/// How often to ask what the server does not tell by itself.
const ASK: Duration = Duration::from_millis(100);

/// What fails under load. `ENOSPC` hits a few calls in a row, as a disk stays full for a while.
pub(super) const LOAD: [Kind; 3] = [
    Kind { calls: "pwrite64,write", error: "EIO", width: 1 },
    Kind { calls: "fsync,fdatasync", error: "EIO", width: 1 },
    Kind { calls: "pwrite64,write", error: "ENOSPC", width: 3 },
];
/// What fails at a start, which also cuts the log and takes its reserve.
pub(super) const START: [Kind; 5] = [
    LOAD[0],
    LOAD[1],
    LOAD[2],
    Kind { calls: "ftruncate", error: "EIO", width: 1 },
    Kind { calls: "ftruncate,fallocate", error: "ENOSPC", width: 3 },
];

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    pub(super) calls: &'static str,
    pub(super) error: &'static str,
    /// How many calls in a row fail.
    width: usize,
}

/// When in a server's life a fault comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// While it starts on a store that a kill left behind.
    Start,
    /// Under load.
    Load,
}

/// What came of the faults of one kind.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) tried: usize,
    pub(super) hit: usize,
    /// How many ended the server.
    pub(super) ended: usize,
    /// In how many runs a command was refused because the disk is full.
    pub(super) full: usize,
    pub(super) findings: Vec<String>,
}

impl Kind {
    fn fault(self, first: usize) -> Fault {
        let last = first + self.width - 1;
        let when = if self.width == 1 { first.to_string() } else { format!("{first}..{last}") };
        Fault { calls: self.calls, error: self.error, when }
    }

    fn is_space(self) -> bool {
        self.error == "ENOSPC"
    }
}

impl Outcome {
    /// What did not happen in all runs, and without which they have shown nothing.
    pub(super) fn untried(&self, kind: Kind, moment: Moment) -> Option<&'static str> {
        // At a start a full disk may meet only what needs no answer; under load most writes are commands'.
        let must_refuse = kind.is_space() && moment == Moment::Load;
        if self.tried == 0 {
            Some("a run without faults makes no such call, so that none was tried")
        } else if self.hit == 0 {
            Some("no fault happened, in no run")
        } else if must_refuse && self.full == 0 {
            Some("no run answered 507, so that no command met the full disk")
        } else {
            None
        }
    }
}

/// Spoils so many calls, spread over all that a run without faults makes; 0 is all of them.
pub(super) async fn spoil(kind: Kind, moment: Moment, points: usize) -> Outcome {
    let mut outcome = Outcome::default();
    let all = calibrate(kind, moment).await;
    for point in spread(all, points) {
        let hit = one(kind, moment, point).await;
        outcome.tried += 1;
        outcome.hit += usize::from(hit.is_hit);
        outcome.ended += usize::from(hit.has_ended);
        outcome.full += usize::from(hit.is_full);
        let place = format!("{} of call {point} of {all} ({}, {moment:?})", kind.error, kind.calls);
        outcome.findings.extend(hit.findings.into_iter().map(|finding| format!("{place}: {finding}")));
    }
    outcome
}

/// Numbers from 1 to `all`, as many as wanted and evenly apart.
fn spread(all: usize, wanted: usize) -> Vec<usize> {
    if wanted == 0 || wanted >= all {
        return (1..=all).collect();
    }
    (0..wanted).map(|n| 1 + n * (all - 1) / (wanted - 1).max(1)).collect()
}

/// How many calls a run without a fault makes.
async fn calibrate(kind: Kind, moment: Moment) -> usize {
    let home = home();
    let file = home.path().join("calls");
    match moment {
        Moment::Start => {
            leave_behind(&home).await;
            let server = home.start_under(&Fault::wrapper(None, kind.calls, &home, &file)).await;
            server.kill().await;
        }
        Moment::Load => {
            let server = home.start().await;
            let attached = Attached::to(server.pid(), None, kind.calls, &home, &file).await;
            let mut witness = Witness::new(&server);
            witness.load().await;
            attached.detach().await;
            server.kill().await;
            witness.told().await;
        }
    }
    most_calls(&file).unwrap()
}

/// One run with a fault, and what was wrong with it.
#[derive(Debug, Default)]
struct Hit {
    is_hit: bool,
    has_ended: bool,
    is_full: bool,
    findings: Vec<String>,
}

async fn one(kind: Kind, moment: Moment, point: usize) -> Hit {
    let home = home();
    let file = home.path().join("calls");
    let fault = kind.fault(point);
    match moment {
        Moment::Start => {
            let told = leave_behind(&home).await;
            let wrapper = Fault::wrapper(Some(&fault), kind.calls, &home, &file);
            match home.try_start_under(&wrapper).await {
                Err(finished) => {
                    let mut hit = Hit { is_hit: has_hit(&file).unwrap(), has_ended: true, ..Hit::default() };
                    if finished.code != Some(1) || !says_why(&finished) {
                        hit.findings
                            .push(format!("a start that must be refused with 1 and a reason: {finished:?}"));
                    }
                    hit.findings.extend(kept(&home, &told).await);
                    hit
                }
                Ok(server) => under_load(kind, &home, server, None, &file, Some(told)).await,
            }
        }
        Moment::Load => {
            let server = home.start().await;
            let attached = Attached::to(server.pid(), Some(&fault), kind.calls, &home, &file).await;
            under_load(kind, &home, server, Some(attached), &file, None).await
        }
    }
}

/// Drives a server into its fault, and judges how it takes it.
async fn under_load(
    kind: Kind,
    home: &Home,
    server: Server,
    attached: Option<Attached>,
    file: &Path,
    before: Option<Told>,
) -> Hit {
    let mut hit = Hit::default();
    let client = server.client();
    let mut witness = Witness::new(&server);
    witness.load().await;
    hit.is_hit = has_hit(file).unwrap();
    if hit.is_hit && kind.is_space() {
        if let Some(attached) = attached {
            attached.detach().await;
        }
        hit.findings.extend(recovers(&client).await);
        server.kill().await;
    } else if hit.is_hit {
        if let Some(status) = ready(&client).await.filter(|status| *status == 200) {
            // The fault may have come with the last call, an instant ago; what counts is that the server ends.
            hit.findings.extend(still_ready(&client, status).await);
        }
        match timeout(PATIENCE, server.ended()).await {
            Err(_elapsed) => hit.findings.push(format!("the server still runs {PATIENCE:?} after the fault")),
            Ok(finished) => {
                hit.has_ended = true;
                if finished.code.is_none_or(|code| code == 0) || !says_why(&finished) {
                    hit.findings.push(format!("an end that must say why and not be 0: {finished:?}"));
                }
            }
        }
        drop(attached);
    } else {
        drop(attached);
        server.kill().await;
    }
    let mut told = witness.told().await;
    let allowed: &[(u16, &str)] = if kind.is_space() {
        &[(507, "store_full")]
    } else {
        &[(500, "store_io"), (503, "draining"), (409, "runtime_stopped")]
    };
    hit.is_full = told.refusals.iter().any(|(status, _)| *status == 507);
    for (status, code) in &told.refusals {
        if !allowed.contains(&(*status, code.as_str())) && hit.is_hit {
            hit.findings.push(format!("a command was refused with {status} {code}"));
        }
    }
    told.promises.extend(before.into_iter().flat_map(|before| before.promises));
    hit.findings.extend(kept(home, &told).await);
    hit
}

/// The fault may be noticed a moment after the load: it must be by the time that the server ends.
async fn still_ready(client: &Client, mut status: u16) -> Option<String> {
    let gone = timeout(PATIENCE, async {
        while status == 200 {
            // Nothing tells when a server that is about to end stops being ready.
            tokio::time::sleep(ASK).await;
            status = ready(client).await.unwrap_or_default();
        }
    });
    gone.await.is_err().then(|| format!("/readyz is still 200 {PATIENCE:?} after the fault"))
}

async fn ready(client: &Client) -> Option<u16> {
    Some(client.try_get("/readyz").await.ok()?.status)
}

/// A server whose disk was full and is no more: reads and endings go on all the time, commands after a while.
async fn recovers(client: &Client) -> Vec<String> {
    let mut findings = Vec::new();
    for path in ["/readyz", "/v1/workers", "/v1/runtime"] {
        match client.try_get(path).await {
            Ok(answer) if answer.status == 200 => {}
            other => findings.push(format!("{path} while the disk is full: {other:?}")),
        }
    }
    let taken = timeout(PATIENCE, async {
        loop {
            match client.try_post("/v1/workers", &json!({"intent": {"kind": "assistant"}})).await {
                Ok(answer) if answer.status == 507 => tokio::time::sleep(ASK).await,
                other => return other,
            }
        }
    });
    match taken.await {
        Ok(Ok(answer)) if answer.status == 200 => {}
        Ok(other) => findings.push(format!("a create when there is space again: {other:?}")),
        Err(_elapsed) => {
            findings.push(format!("creates are still refused {PATIENCE:?} after there is space again"))
        }
    }
    findings
}

/// Leaves a store behind as a kill does.
async fn leave_behind(home: &Home) -> Told {
    let server = home.start().await;
    let mut witness = Witness::new(&server);
    witness.load().await;
    server.kill().await;
    witness.told().await
}

/// Starts without faults, and looks whether all promises are kept.
pub(super) async fn kept(home: &Home, told: &Told) -> Vec<String> {
    let server = match home.try_start().await {
        Ok(server) => server,
        Err(refused) => return vec![format!("the next start is refused: {refused:?}")],
    };
    let client = server.client();
    let mut findings = match logs(&client, told.promises.iter().map(|promise| promise.worker())).await {
        Ok(logs) => promise::broken(&told.promises, &logs),
        Err(refused) => vec![refused],
    };
    findings.extend(goes_on(&client).await);
    server.kill().await;
    findings
}

/// Whether the last thing that a server said is about its store.
fn says_why(finished: &Finished) -> bool {
    finished.stderr.lines().any(|line| line.contains("store") || line.contains("disk"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_spread_from_the_first_to_the_last() {
        let cases: [(usize, usize, &[usize]); 6] = [
            (0, 3, &[]),
            (3, 0, &[1, 2, 3]),
            (3, 5, &[1, 2, 3]),
            (10, 1, &[1]),
            (10, 2, &[1, 10]),
            (10, 4, &[1, 4, 7, 10]),
        ];
        for (all, wanted, expected) in cases {
            assert_eq!(spread(all, wanted), expected, "{wanted} of {all}");
        }
    }

    #[test]
    fn runs_without_the_faults_they_are_for_have_shown_nothing() {
        let [none, missed, taken] = [
            "a run without faults makes no such call, so that none was tried",
            "no fault happened, in no run",
            "no run answered 507, so that no command met the full disk",
        ];
        let cases = [
            ([0, 0, 0], [Some(none); 4]),
            ([3, 0, 0], [Some(missed); 4]),
            ([3, 1, 0], [None, None, Some(taken), None]),
            ([3, 1, 1], [None; 4]),
        ];
        let runs = [
            (LOAD[0], Moment::Load),
            (LOAD[1], Moment::Start),
            (LOAD[2], Moment::Load),
            (LOAD[2], Moment::Start),
        ];
        for ([tried, hit, full], expected) in cases {
            let outcome = Outcome { tried, hit, full, ..Outcome::default() };
            let untried = runs.map(|(kind, moment)| outcome.untried(kind, moment));
            assert_eq!(untried, expected, "{outcome:?}");
        }
    }

    #[test]
    fn a_fault_says_which_calls_it_hits() {
        let when = |kind: Kind| kind.fault(4).when;
        assert_eq!(START.map(when), ["4", "4", "4..6", "4", "4..6"]);
    }
}
