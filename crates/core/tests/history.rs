//! What a backend keeps comes back to its next session, and to nobody else.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod acting;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use musher_backend::{
    BackendError, Capabilities, Command, Event, Launch, Link, LinkClosed, SessionOutcome, TurnEnd,
    async_trait,
};
use musher_core::{From, MemoryStore, Profile, Runtime};
use musher_protocol::{Actor, Connection, CreateWorker, InputKind, InputRequest, Intent, Until, WorkerId};
use serde_json::{Value, json};

use self::acting::{Act, Acting};

const PATIENCE: Duration = Duration::from_secs(60);

/// Says what it hears, keeps the last of it in a file, and ends its session after each turn.
#[derive(Clone, Debug, Default)]
struct Diarist {
    /// What each session began with. Held for a few lines.
    began_with: Arc<Mutex<Vec<Value>>>,
}

#[async_trait]
impl Act for Diarist {
    fn capabilities(&self) -> Capabilities {
        Capabilities { history: true, ..Capabilities::default() }
    }

    async fn run(&self, launch: Launch, mut link: Link) -> Result<SessionOutcome, BackendError> {
        let history: Vec<_> =
            launch.history.iter().map(|past| json!([past.entry.content, past.private])).collect();
        let kept: Vec<_> =
            launch.kept.iter().map(|(name, bytes)| json!([name, String::from_utf8_lossy(bytes)])).collect();
        self.began_with.lock().unwrap().push(json!({ "history": history, "kept": kept }));
        let ended = write(&mut link).await;
        Ok(if ended.is_ok() { SessionOutcome::ended() } else { SessionOutcome::aborted() })
    }
}

async fn write(link: &mut Link) -> Result<(), LinkClosed> {
    link.session_started("diary-1".parse().expect("an id"), false).await?;
    loop {
        let input = match link.next_command().await {
            Command::Input(input) => input,
            Command::End { .. } => return Ok(()),
            Command::Steer(_) | Command::Interrupt | Command::Decision(_) => continue,
        };
        link.emit(Event::InputTaken { input_id: input.input_id }).await?;
        let text = input.content.to_uppercase();
        link.emit_with(Event::TextDone { block: 0, text }, json!({ "raw": input.content })).await?;
        link.keep("last", input.content.into_bytes()).await.expect("it is kept");
        let unnamed = link.keep("no name", Vec::new()).await;
        assert_eq!(unnamed, Err(musher_backend::KeepError::NotKept));
        link.emit(Event::TurnEnded(TurnEnd::completed())).await?;
        return Ok(());
    }
}

/// The session ends by itself behind the turn, and the next input is for the next one.
async fn session_ends(runtime: &Runtime, worker: &WorkerId) {
    let ended = async {
        while runtime.worker_detail(worker).await.unwrap().execution.connection == Connection::Connected {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.expect("the session ends");
}

#[tokio::test]
async fn what_a_backend_keeps_comes_back_and_is_not_on_the_wire() {
    let diarist = Diarist::default();
    let runtime = Runtime::builder(MemoryStore::new())
        .backend("diarist", Acting(diarist.clone()))
        .profile("diary", Profile::of("diarist"))
        .scratch(tempfile::tempdir().unwrap().keep())
        .start()
        .await
        .unwrap();
    let by = Actor::rule("test");
    let request = CreateWorker::new(Intent::Assistant { purpose: None });
    let worker = runtime.create_worker(request, by.clone()).await.unwrap().worker_id;
    for (n, content) in ["one", "two", "three"].into_iter().enumerate() {
        let request = InputRequest {
            kind: InputKind::User,
            content: content.to_owned(),
            input_id: Some(format!("i{n}").parse().unwrap()),
            delivery: musher_protocol::Delivery::Queue,
        };
        runtime.send_input(&worker, request, by.clone()).await.unwrap();
        runtime.wait_worker(&worker, Until::Idle, PATIENCE).await.unwrap();
        session_ends(&runtime, &worker).await;
    }
    let began_with = std::mem::take(&mut *diarist.began_with.lock().unwrap());
    let past = |words: &[&str]| -> Vec<Value> {
        words
            .iter()
            .flat_map(|word| [json!([word, null]), json!([word.to_uppercase(), { "raw": word }])])
            .collect()
    };
    assert_eq!(
        began_with,
        [
            json!({ "history": [], "kept": [] }),
            json!({ "history": past(&["one"]), "kept": [["last", "one"]] }),
            json!({ "history": past(&["one", "two"]), "kept": [["last", "two"]] }),
        ]
    );
    let page = runtime.read_worker_events(&worker, From::Cursor(None), None, 256).await.unwrap();
    let texts = page.frames.iter().map(|frame| String::from_utf8(frame.text().into()).unwrap());
    let log = texts.collect::<String>();
    assert!(log.contains("the backend kept `file/last`, 3 bytes") && !log.contains("raw"), "{log}");
}
