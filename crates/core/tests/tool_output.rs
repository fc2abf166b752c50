//! What a tool said and changed: all of it in the log, and to a later session what its model was told.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod acting;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use musher_backend::{
    BackendError, Capabilities, Command, Event, Launch, Link, LinkClosed, SessionOutcome, ToolOutput,
    TurnEnd, async_trait,
};
use musher_core::{From, MemoryStore, Profile, Runtime, Start};
use musher_protocol::{
    Actor, BlobRef, Connection, CreateWorker, Envelope, Frame, InputKind, InputRequest, Intent, Payload,
    Until, WorkerId,
};
use serde_json::json;

use self::acting::{Act, Acting};

const PATIENCE: Duration = Duration::from_secs(60);

/// Calls one tool in each turn, which says this, and ends its session after it.
#[derive(Clone, Debug)]
struct Caller {
    output: ToolOutput,
    /// The results that the last session's model would be told again. Held for a few lines.
    told: Arc<Mutex<Vec<Option<String>>>>,
}

#[async_trait]
impl Act for Caller {
    fn capabilities(&self) -> Capabilities {
        Capabilities { history: true, ..Capabilities::default() }
    }

    async fn run(&self, launch: Launch, mut link: Link) -> Result<SessionOutcome, BackendError> {
        let calls = launch.history.iter().filter(|past| past.entry.tool_call_id.is_some());
        *self.told.lock().unwrap() = calls.map(|past| past.entry.result.clone()).collect();
        let ended = call(&mut link, &self.output).await;
        Ok(if ended.is_ok() { SessionOutcome::ended() } else { SessionOutcome::aborted() })
    }
}

async fn call(link: &mut Link, output: &ToolOutput) -> Result<(), LinkClosed> {
    link.session_started("calls".parse().expect("an id"), false).await?;
    loop {
        let input = match link.next_command().await {
            Command::Input(input) => input,
            Command::End { .. } => return Ok(()),
            Command::Steer(_) | Command::Interrupt | Command::Decision(_) => continue,
        };
        let tool_call_id: musher_protocol::ToolCallId =
            format!("call_{}", input.content).parse().expect("an id");
        let name = "make".to_owned();
        link.emit(Event::InputTaken { input_id: input.input_id }).await?;
        link.emit(Event::ToolCallDone { tool_call_id: tool_call_id.clone(), name, input: json!({}) }).await?;
        link.emit(Event::ToolResult { tool_call_id, output: output.clone() }).await?;
        link.emit(Event::TurnEnded(TurnEnd::completed())).await?;
        return Ok(());
    }
}

/// A worker whose tool has said this once, and is called again by a second session.
struct Scene {
    runtime: Runtime,
    worker: WorkerId,
    caller: Caller,
}

impl Scene {
    async fn of(output: ToolOutput) -> Self {
        let caller = Caller { output, told: Arc::default() };
        let runtime = Runtime::builder(MemoryStore::new())
            .backend("caller", Acting(caller.clone()))
            .profile("calls", Profile::of("caller"))
            .scratch(tempfile::tempdir().unwrap().keep())
            .start()
            .await
            .unwrap();
        let request = CreateWorker::new(Intent::Assistant { purpose: None });
        let worker = runtime.create_worker(request, Actor::rule("test")).await.unwrap().worker_id;
        let scene = Self { runtime, worker, caller };
        scene.turn("1").await;
        scene.turn("2").await;
        scene
    }

    async fn turn(&self, content: &str) {
        let (runtime, worker) = (&self.runtime, &self.worker);
        let request = InputRequest {
            kind: InputKind::User,
            content: content.to_owned(),
            input_id: None,
            delivery: musher_protocol::Delivery::Queue,
        };
        runtime.send_input(worker, request, Actor::rule("test")).await.unwrap();
        runtime.wait_worker(worker, Until::Idle, PATIENCE).await.unwrap();
        let ended = async {
            while runtime.worker_detail(worker).await.unwrap().execution.connection == Connection::Connected {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, ended).await.expect("the session ends");
    }

    /// Every result in the log.
    async fn results(&self) -> Vec<Payload> {
        let page =
            self.runtime.read_worker_events(&self.worker, From::Cursor(None), None, 256).await.unwrap();
        let payloads = page.frames.iter().map(|frame| {
            let Frame::Event { envelope } = serde_json::from_slice(&frame.text()).unwrap() else {
                panic!("an event, not {frame:?}")
            };
            let Envelope { payload, .. } = *envelope;
            payload
        });
        payloads.filter(|payload| matches!(payload, Payload::ToolResult { .. })).collect()
    }

    /// The results of the transcript with the names of their bodies.
    async fn entries(&self) -> Vec<(Option<String>, Option<BlobRef>)> {
        let page = self.runtime.transcript_projection(&self.worker, Start::Behind(0), 256).await.unwrap();
        let tools = page.items.into_iter().filter(|entry| entry.tool_call_id.is_some());
        tools.map(|entry| (entry.result, entry.result_blob)).collect()
    }

    async fn body(&self, blob: Option<BlobRef>) -> String {
        let body = self.runtime.blob(&self.worker, blob.expect("a name").digest).await.unwrap();
        String::from_utf8(body.into()).unwrap()
    }

    fn told(&self) -> Vec<Option<String>> {
        self.caller.told.lock().unwrap().clone()
    }
}

#[tokio::test]
async fn what_was_cut_for_the_model_is_whole_beside_it_and_a_later_session_is_told_the_same_again() {
    // Shorter and longer than what a log holds in line; the second is a beginning of its own whole.
    let long = "w".repeat(100_000);
    for (content, whole) in [
        ("first … last".to_owned(), "first and last".to_owned()),
        ("first … last".to_owned(), long.clone()),
        (long[..4096].to_owned(), long.clone()),
        (format!("{long}…"), format!("{long}{long}")),
    ] {
        let scene = Scene::of(ToolOutput { whole: Some(whole.clone()), ..ToolOutput::ok(&content) }).await;
        let results = scene.results().await;
        let Payload::ToolResult { content: shown, blob, diff: None, diff_blob: None, .. } = &results[0]
        else {
            panic!("{results:?}")
        };
        let is_in_line = content.len() <= 64 << 10;
        assert_eq!(shown, if is_in_line { &content } else { &content[..4096] });
        assert_eq!(scene.body(*blob).await, whole);
        assert_eq!(scene.told(), [Some(content.clone())]);
        for (result, blob) in scene.entries().await {
            match blob {
                None => assert_eq!(result.as_ref(), Some(&content)),
                Some(_) => assert_eq!(scene.body(blob).await, content),
            }
            assert_eq!(blob.is_none(), is_in_line);
        }
    }
}

#[tokio::test]
async fn a_result_that_is_only_large_comes_back_whole() {
    let content = "r".repeat(100_000);
    let scene = Scene::of(ToolOutput::ok(&content)).await;
    let results = scene.results().await;
    let Payload::ToolResult { blob, .. } = &results[0] else { panic!("{results:?}") };
    assert_eq!(scene.body(*blob).await, content);
    assert_eq!(scene.told(), [Some(content)]);
}

#[tokio::test]
async fn what_a_tool_changed_is_in_the_log() {
    for diff in ["--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n".to_owned(), "+d\n".repeat(100_000)] {
        let scene = Scene::of(ToolOutput { diff: Some(diff.clone()), ..ToolOutput::ok("done") }).await;
        for result in scene.results().await {
            let Payload::ToolResult { content, blob: None, diff: Some(shown), diff_blob, .. } = result else {
                panic!("{result:?}")
            };
            assert_eq!(content, "done");
            match diff_blob {
                None => assert_eq!(shown, diff),
                Some(_) => {
                    assert_eq!((shown.as_str(), scene.body(diff_blob).await), (&diff[..4096], diff.clone()))
                }
            }
            assert_eq!(diff_blob.is_some(), diff.len() > 64 << 10);
        }
        assert_eq!(scene.told(), [Some("done".to_owned())]);
    }
}
