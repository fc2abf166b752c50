//! A disk that is really full: a small file system, filled to its last block.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::PathBuf,
    process::Command,
    time::Duration,
};

use serde_json::json;
use tokio::time::timeout;

use super::{home, inject::kept, witness::Witness};
use crate::{Client, Home, PATIENCE};

/// Room for the reserve of 64 MiB and a little more.
const SIZE: &str = "size=80m";
/// What the disk is filled with at a time, in bytes, until not even one of them has room.
const BLOCK: usize = 4096;
/// More inputs than the free parts of open blocks have room for.
const INPUTS: usize = 200;
/// How often to ask what the server does not tell by itself.
const ASK: Duration = Duration::from_millis(100);

/// A small file system in memory, which goes with this value.
#[derive(Debug)]
struct Small(PathBuf);

impl Small {
    fn mount(directory: PathBuf) -> Result<Self, String> {
        fs::create_dir_all(&directory).unwrap();
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", SIZE, "musher-full"]).arg(&directory).output();
        match mounted {
            Ok(output) if output.status.success() => Ok(Self(directory)),
            Ok(output) => Err(needs(String::from_utf8_lossy(&output.stderr).trim())),
            Err(error) => Err(needs(&error.to_string())),
        }
    }

    /// Fills it, and answers with the file to remove.
    fn fill(&self) -> PathBuf {
        let path = self.0.join("filler");
        let mut filler = File::create(&path).unwrap();
        let full = loop {
            if let Err(error) = filler.write_all(&[1; BLOCK]) {
                break error;
            }
        };
        assert_eq!(full.kind(), io::ErrorKind::StorageFull);
        path
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // Lazily, for a server that is being killed may still have files open in it.
        let unmounted = Command::new("umount").arg("-l").arg(&self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()), "unmount {}", self.0.display());
    }
}

fn needs(why: &str) -> String {
    format!(
        "a full disk cannot be tried, for mounting a tmpfs failed ({why}); \
         run this part as root, or under `unshare --user --map-root-user --mount`"
    )
}

/// Fills the disk under a server, and frees it again.
pub(super) async fn full() -> Vec<String> {
    let home = home();
    let small = match Small::mount(home.path().join("store")) {
        Ok(small) => small,
        Err(needs) => return vec![needs],
    };
    let mut findings = Vec::new();
    let server = home.start().await;
    let client = server.client();
    let mut witness = Witness::new(&server);
    witness.load().await;
    let (Some(idle), Some(open), Some(kept_open)) =
        (witness.create("echo").await, witness.create("hang").await, witness.create("hang").await)
    else {
        return vec!["no workers to begin with".to_owned()];
    };
    for worker in [&open, &kept_open] {
        witness.say(worker, "begin").await;
    }
    let filler = small.fill();
    findings.extend(refuses(&witness, &idle).await);
    findings.extend(reads_go_on(&client, &idle).await);
    let created = witness.post("/v1/workers", &json!({"intent": {"kind": "assistant"}})).await;
    if created.as_ref().is_none_or(|answer| answer.error() != (507, "store_full")) {
        findings.push(format!("a create on a full disk: {created:?}"));
    }
    findings
        .extend(ended(&client, &format!("/v1/workers/{kept_open}?until=idle&wait=50"), "store_full").await);
    for (worker, command) in [(&kept_open, "interrupt"), (&open, "stop"), (&kept_open, "cancel")] {
        let ended = witness.post(&format!("/v1/workers/{worker}/{command}"), &json!({})).await;
        if ended.as_ref().is_none_or(|answer| answer.status != 200) {
            findings.push(format!("{command} on a full disk: {ended:?}"));
        }
    }
    fs::remove_file(filler).unwrap();
    findings.extend(takes_again(&witness, &idle).await);
    server.kill().await;
    let told = witness.told().await;
    findings.extend(kept(&home, &told).await);
    findings.extend(starts_when_full(&home, &small).await);
    findings
}

/// Inputs are refused once the last free bytes are used up.
async fn refuses(witness: &Witness, worker: &str) -> Option<String> {
    for input in 0..INPUTS {
        match witness.say(worker, &format!("{input} {}", "x".repeat(BLOCK))).await {
            Some(answer) if answer.status == 200 => {}
            Some(answer) if answer.error() == (507, "store_full") => return None,
            other => return Some(format!("an input on a full disk: {other:?}")),
        }
    }
    Some(format!("{INPUTS} inputs of {BLOCK} bytes were taken on a full disk"))
}

async fn reads_go_on(client: &Client, worker: &str) -> Vec<String> {
    let mut findings = Vec::new();
    for path in ["/readyz", "/v1/workers", &format!("/v1/workers/{worker}/events")] {
        match client.try_get(path).await {
            Ok(answer) if answer.status == 200 => {}
            other => findings.push(format!("{path} on a full disk: {other:?}")),
        }
    }
    findings
}

/// Whether the worker at this path has had a turn that was interrupted with this code.
async fn ended(client: &Client, path: &str, code: &str) -> Option<String> {
    let outcome = match client.try_get(path).await {
        Ok(answer) => answer.body["worker"]["outcome"].clone(),
        Err(broken) => return Some(format!("{path} on a full disk: {broken:?}")),
    };
    let is_right = outcome["outcome"] == "interrupted" && outcome["error"]["code"] == code;
    (!is_right).then(|| format!("a turn that must be interrupted with {code} ended as {outcome}"))
}

async fn takes_again(witness: &Witness, worker: &str) -> Option<String> {
    let taken = timeout(PATIENCE, async {
        loop {
            match witness.say(worker, "is there space again?").await {
                // Nothing tells when the store has noticed.
                Some(answer) if answer.status == 507 => tokio::time::sleep(ASK).await,
                other => return other,
            }
        }
    });
    match taken.await {
        Ok(Some(answer)) if answer.status == 200 => None,
        Ok(other) => Some(format!("an input when there is space again: {other:?}")),
        Err(_elapsed) => Some(format!("inputs are still refused {PATIENCE:?} after there is space again")),
    }
}

/// A server that is started on a full disk with open turns still ends them, from its reserve.
async fn starts_when_full(home: &Home, small: &Small) -> Vec<String> {
    let server = home.start().await;
    let mut witness = Witness::new(&server);
    let Some(open) = witness.create("hang").await else {
        return vec!["no worker when there is space".to_owned()];
    };
    witness.say(&open, "begin").await;
    let filler = small.fill();
    server.kill().await;
    let told = witness.told().await;
    let mut findings = match home.try_start().await {
        Err(refused) => vec![format!("a start on a full disk is refused: {refused:?}")],
        Ok(server) => {
            let mut findings = reads_go_on(&server.client(), &open).await;
            findings.extend(ended(&server.client(), &format!("/v1/workers/{open}"), "restarted").await);
            server.kill().await;
            findings
        }
    };
    fs::remove_file(filler).unwrap();
    findings.extend(kept(home, &told).await);
    findings
}
