//! A session whose tools are still being prepared hears that it is not wanted.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod acting;

use std::{sync::Arc, time::Duration};

use musher_backend::{
    BackendError, Capabilities, Command, Event, Launch, Link, LinkClosed, Sandbox, SessionOutcome, Toolbox,
    ToolboxError, Toolkit, TurnEnd, Workbench, async_trait,
};
use musher_core::{From, MemoryStore, Profile, Runtime};
use musher_protocol::{
    Actor, Capability, CreateWorker, Envelope, Frame, InputKind, InputRequest, Intent, Payload, TurnOutcome,
    Until, WorkerId,
};
use tokio::sync::watch;

use self::acting::{Act, Acting};

/// Far longer than anything here takes, and shorter than every grace.
const SOON: Duration = Duration::from_secs(60);
const GRACE: Duration = Duration::from_secs(600);

/// Says what it hears.
#[derive(Debug)]
struct Parrot;

#[async_trait]
impl Act for Parrot {
    fn capabilities(&self) -> Capabilities {
        Capabilities { tools: true, history: true, ..Capabilities::default() }
    }

    async fn run(&self, launch: Launch, mut link: Link) -> Result<SessionOutcome, BackendError> {
        let ended = talk(launch.history.len(), &mut link).await;
        Ok(if ended.is_ok() { SessionOutcome::ended() } else { SessionOutcome::aborted() })
    }
}

async fn talk(n_entries: usize, link: &mut Link) -> Result<(), LinkClosed> {
    link.session_started("parrot-1".parse().expect("an id"), false).await?;
    loop {
        match link.next_command().await {
            Command::Input(input) => {
                let text = format!("{} behind {n_entries}", input.content);
                link.emit(Event::InputTaken { input_id: input.input_id }).await?;
                link.emit(Event::TextDone { block: 0, text }).await?;
                link.emit(Event::TurnEnded(TurnEnd::completed())).await?;
            }
            Command::End { .. } => return Ok(()),
            Command::Steer(_) | Command::Interrupt | Command::Decision(_) => {}
        }
    }
}

/// Where its first session's tools never come from, and what its preparation has come to.
#[derive(Clone, Debug)]
struct Mute(Arc<watch::Sender<Preparation>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Preparation {
    NotBegun,
    Begun,
    Dropped,
}

struct Hold(Arc<watch::Sender<Preparation>>);

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.send_replace(Preparation::Dropped);
    }
}

#[async_trait]
impl Toolbox for Mute {
    fn missing(&self, _: &Capability, _: Sandbox) -> Option<String> {
        None
    }

    async fn tools(&self, _: Workbench) -> Result<Toolkit, ToolboxError> {
        if *self.0.borrow() == Preparation::NotBegun {
            let _hold = Hold(self.0.clone());
            self.0.send_replace(Preparation::Begun);
            std::future::pending::<()>().await;
        }
        Ok(Toolkit::default())
    }
}

struct Scene {
    runtime: Runtime,
    worker: WorkerId,
    mute: Mute,
}

impl Scene {
    /// A worker whose first session waits for its tools.
    async fn new() -> Self {
        let mute = Mute(Arc::new(watch::Sender::new(Preparation::NotBegun)));
        let mut profile = Profile::of("parrot");
        profile.grace = GRACE;
        let runtime = Runtime::builder(MemoryStore::new())
            .backend("parrot", Acting(Parrot))
            .toolbox(mute.clone())
            .profile("talk", profile)
            .scratch(tempfile::tempdir().unwrap().keep())
            .start()
            .await
            .unwrap();
        let request = CreateWorker::new(Intent::Assistant { purpose: None });
        let worker = runtime.create_worker(request, me()).await.unwrap().worker_id;
        let scene = Self { runtime, worker, mute };
        scene.say("one").await;
        let mut preparation = scene.mute.0.subscribe();
        soon(preparation.wait_for(|preparation| *preparation == Preparation::Begun)).await.unwrap();
        scene
    }

    async fn say(&self, content: &str) {
        let request = InputRequest {
            kind: InputKind::User,
            content: content.to_owned(),
            input_id: None,
            delivery: musher_protocol::Delivery::Queue,
        };
        self.runtime.send_input(&self.worker, request, me()).await.unwrap();
    }

    /// What the log says from this type on: each event's type, and how turns and sessions ended.
    async fn log_from(&self, first: &str) -> Vec<String> {
        let page =
            self.runtime.read_worker_events(&self.worker, From::Cursor(None), None, 256).await.unwrap();
        let events = page.frames.iter().map(|frame| {
            let Frame::Event { envelope } = serde_json::from_slice(&frame.text()).unwrap() else {
                panic!("an event, not {frame:?}")
            };
            let Envelope { payload, .. } = *envelope;
            shown(&payload)
        });
        let events = events.filter(|event| event != "status");
        events.skip_while(|event| event != first).collect()
    }

    fn preparation(&self) -> Preparation {
        *self.mute.0.borrow()
    }
}

fn me() -> Actor {
    Actor::rule("test")
}

async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, work).await.expect("it is heard at once")
}

fn shown(payload: &Payload) -> String {
    if let Payload::TurnFinished(finished) = payload {
        let code = finished.error.as_ref().map(|error| error.code.as_str());
        assert_eq!(finished.outcome, TurnOutcome::Interrupted);
        format!("turn_finished {}", code.unwrap_or("interrupted"))
    } else if let Payload::SessionEnded(ended) = payload {
        assert_eq!((&ended.session_id, &ended.survivors), (&None, &Vec::new()));
        format!("session_ended exit_ok={} aborted={}", ended.exit_ok, ended.aborted)
    } else {
        payload.type_name().to_owned()
    }
}

const ENDED: &str = "session_ended exit_ok=true aborted=false";

#[tokio::test]
async fn a_stop_and_a_cancel_end_it_gracefully() {
    for (is_stop, request, last) in
        [(true, "stop_requested", "worker_stopped"), (false, "cancel_requested", "worker_cancelled")]
    {
        let scene = Scene::new().await;
        let (runtime, worker) = (&scene.runtime, &scene.worker);
        if is_stop {
            soon(runtime.stop_worker(worker, None, None, me())).await.unwrap();
        } else {
            soon(runtime.cancel_worker(worker, None, me())).await.unwrap();
        }
        let expected = [request, "turn_finished interrupted", ENDED, last];
        assert_eq!(scene.log_from(request).await, expected);
        assert_eq!(scene.preparation(), Preparation::Dropped);
    }
}

#[tokio::test]
async fn an_interrupt_ends_it_with_its_turn_and_the_next_one_knows_what_was_said() {
    let scene = Scene::new().await;
    soon(scene.runtime.interrupt_worker(&scene.worker, None, me())).await.unwrap();
    let expected = ["interrupt_requested", "turn_finished interrupted", ENDED];
    let log = scene.log_from("interrupt_requested").await;
    assert_eq!(log, expected);
    assert_eq!(scene.preparation(), Preparation::Dropped);
    scene.say("two").await;
    let worker = scene.runtime.wait_worker(&scene.worker, Until::Idle, SOON).await.unwrap();
    assert_eq!(worker.outcome.unwrap().text, "two behind 1");
}

#[tokio::test]
async fn a_drain_ends_it_and_the_input_is_still_to_be_answered() {
    let scene = Scene::new().await;
    soon(scene.runtime.shutdown()).await;
    let expected = ["turn_finished restarted", ENDED];
    assert_eq!(scene.log_from(expected[0]).await, expected);
    assert_eq!(scene.preparation(), Preparation::Dropped);
    let detail = scene.runtime.worker_detail(&scene.worker).await.unwrap();
    assert_eq!((detail.queued_inputs, detail.outcome.unwrap().outcome), (1, TurnOutcome::Interrupted));
}
