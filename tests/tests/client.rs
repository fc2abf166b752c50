//! The typed client against the built binary, also through a proxy that cuts its connections.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../../crates/protocol/examples/plain_http.rs"]
#[expect(dead_code, reason = "its `main` takes words from a command line")]
mod plain_http;

use std::time::Duration;

use musher_client::{Builder, Client, Reconnect, Retry, Start, WaitError, Whose};
use musher_e2e::{Home, PATIENCE, Proxy, Server, Vice};
use musher_protocol::{
    Approval, AttentionQuery, CreateWorker, Decision, DecisionRequest, DeleteWorkerQuery, Delivery, Envelope,
    ErrorCode, EventsQuery, InputKind, InputRequest, Intent, Payload, Permission, ProfileSelector, RunState,
    StopRequest, Until, WorkerId, WorkerStatus,
};
use serde_json::json;
use tokio::time::timeout;

const SLOW: &str = "[store]\nurl = \"sqlite:store\"\n[runtime]\ndefault_profile = \"slow\"\n\
                    [profiles.slow]\nbackend = \"scripted\"\nscript = \"echo\"\nword_delay_ms = 2\n";
const ASKS: &str = "[runtime]\ndefault_profile = \"asks\"\n[profiles.asks]\nbackend = \"scripted\"\n\
                    script = \"script.json\"\napproval = { mode = \"ask\", deadline_secs = 600 }\n";
/// As many as the list of what waits has places for.
const N_LISTED: usize = 1000;
/// So many connections are cut.
const N_CUTS: usize = 500;

fn builder(server: &Server, url: String) -> Builder {
    Client::builder(url).token_file(server.path().join("token"))
}

fn direct(server: &Server) -> Client {
    builder(server, format!("http://127.0.0.1:{}", server.port())).build().unwrap()
}

async fn assistant(client: &Client) -> WorkerId {
    client.create_worker(&CreateWorker::new(Intent::Assistant { purpose: None })).await.unwrap().worker_id
}

fn input(content: String) -> InputRequest {
    InputRequest { kind: InputKind::User, content, input_id: None, delivery: Delivery::Queue }
}

async fn log(client: &Client, worker: &WorkerId) -> Vec<Envelope> {
    let mut events = Vec::new();
    let mut query = EventsQuery::default();
    loop {
        let page = client.events(worker, &query).await.unwrap();
        events.extend(page.events);
        if !page.has_more {
            return events;
        }
        query.after = Some(page.next.to_string());
    }
}

#[tokio::test]
async fn a_client_that_is_cut_off_500_times_sees_the_log_and_says_everything_once() {
    let server = Server::start(SLOW).await;
    let proxy = Proxy::start(server.port(), Vice::Cuts { seed: 7, below: 2000, n: N_CUTS }).await;
    let first_wait = Duration::from_millis(1);
    let longest_wait = Duration::from_millis(50);
    let cut = builder(&server, proxy.url())
        .retry(Retry { attempts: 100, first_wait, longest_wait, ..Retry::default() })
        .reconnect(Reconnect { first_wait, longest_wait, ..Reconnect::default() })
        .build()
        .unwrap();
    let direct = direct(&server);
    let worker = assistant(&direct).await;

    let reads = async {
        let mut following = cut.follow(&worker, Start::Beginning);
        let mut seen = Vec::new();
        while let Some(envelope) = following.next().await.unwrap() {
            seen.push(envelope);
        }
        seen
    };
    let writes = async {
        let mut acks = Vec::new();
        while proxy.cuts() < N_CUTS {
            let ack = cut.send_input(&worker, &input("word ".repeat(200))).await.unwrap();
            acks.push(ack.input_id);
            direct.wait_for(&worker, Until::Idle, PATIENCE).await.unwrap();
        }
        direct.stop(&worker, &StopRequest::default()).await.unwrap();
        acks
    };
    let (seen, acks) = timeout(PATIENCE, async { tokio::join!(reads, writes) }).await.unwrap();

    let log = log(&direct, &worker).await;
    assert_eq!(seen, log, "each event once, in order, after {} cuts", proxy.cuts());
    let accepted = log.iter().filter_map(|event| {
        let Payload::InputAccepted { input_id, .. } = &event.payload else { return None };
        Some(input_id.clone())
    });
    assert_eq!(accepted.collect::<Vec<_>>(), acks, "each input once, in order");
    assert_eq!(proxy.cuts(), N_CUTS);
}

#[tokio::test]
async fn a_client_of_the_protocol_alone_has_a_task_done() {
    let server = Server::start(SLOW).await;
    let proxy = Proxy::start(server.port(), Vice::None).await;
    let token = std::fs::read_to_string(server.path().join("token")).unwrap();
    let said = tokio::task::spawn_blocking(move || {
        // An error of the example is no `Send`, and a test wants to see it.
        plain_http::said(&proxy.url(), token.trim(), "one two three").map_err(|error| error.to_string())
    });
    assert_eq!(timeout(PATIENCE, said).await.unwrap().unwrap().as_deref(), Ok("one two three"));
}

/// A server whose workers ask twice when they hear `work`.
async fn asking() -> Server {
    let home = Home::new(ASKS);
    let steps = json!([{"approval": {"tool": "shell", "input": {"command": "make"}}},
        {"approval": {"tool": "shell", "input": {"command": "make push"}}}, {"text": "done"}]);
    let script = json!({"turns": [{"match": "work", "steps": steps}], "otherwise": "echo"});
    std::fs::write(home.path().join("script.json"), script.to_string()).unwrap();
    home.start().await
}

fn work() -> CreateWorker {
    CreateWorker::new(Intent::Task { objective: "work".to_owned() })
}

async fn decisions(client: &Client, worker: &WorkerId) -> Vec<Decision> {
    let resolved = log(client, worker).await.into_iter().filter_map(|event| {
        let Payload::ApprovalResolved { decision, .. } = event.payload else { return None };
        Some(decision)
    });
    resolved.collect()
}

#[tokio::test]
async fn a_worker_that_is_not_on_the_list_of_what_waits_is_decided_for_all_the_same() {
    let server = asking().await;
    let client = direct(&server);
    // They wait for somebody else, and have more than all the places of the list.
    for _ in 0..N_LISTED {
        client.create_worker(&work()).await.unwrap();
    }
    let mut seen = client.attention(&AttentionQuery::default()).await.unwrap();
    while seen.attention.len() < N_LISTED {
        let query = AttentionQuery { after: Some(seen.next), ..AttentionQuery::default() };
        seen = client.attention(&query).await.unwrap();
    }

    let worker = client.create_worker(&work()).await.unwrap().worker_id;
    let rule = async |_: &Approval| Some(DecisionRequest::new(Permission::Allow));
    let idle = tokio::select! {
        failed = client.decide_by(Whose::Worker(worker.clone()), rule) => panic!("{failed:?}"),
        idle = client.wait_for(&worker, Until::Idle, PATIENCE) => idle.unwrap(),
    };
    assert_eq!(idle.open_approvals, 0);
    assert_eq!(decisions(&client, &worker).await, [Decision::Allow, Decision::Allow]);
}

#[tokio::test]
async fn a_worker_is_waited_for_asked_about_and_deleted() {
    let server = asking().await;
    let client = direct(&server);
    let worker = client.create_worker(&work()).await.unwrap().worker_id;
    let late = client.wait_for(&worker, Until::Idle, Duration::from_millis(300)).await.unwrap_err();
    assert!(matches!(late, WaitError::TimeUp { .. }), "{late:?}");

    let rule = async |asked: &Approval| {
        let permission =
            if asked.input == json!({"command": "make"}) { Permission::Allow } else { Permission::Deny };
        Some(DecisionRequest::new(permission))
    };
    let idle = tokio::select! {
        failed = client.decide_by(Whose::Worker(worker.clone()), rule) => panic!("{failed:?}"),
        idle = client.wait_for(&worker, Until::Idle, PATIENCE) => idle.unwrap(),
    };
    assert_eq!((idle.execution.run_state, idle.open_approvals), (RunState::Idle, 0));
    assert_eq!(decisions(&client, &worker).await, [Decision::Allow, Decision::Deny]);

    let running = client.delete_worker(&worker, &DeleteWorkerQuery::default()).await.unwrap_err();
    assert_eq!(running.code(), Some(ErrorCode::WorkerRunning));
    let ack = client.stop(&worker, &StopRequest::default()).await.unwrap();
    let over = client.wait_for(&worker, Until::Terminal, PATIENCE).await.unwrap();
    assert_eq!((ack.status, over.status), (WorkerStatus::Stopped, WorkerStatus::Stopped));
    client.delete_worker(&worker, &DeleteWorkerQuery::default()).await.unwrap();
    let gone = client.follow(&worker, Start::Now).next().await.unwrap_err();
    assert!(matches!(gone, musher_client::FollowError::WorkerGone), "{gone:?}");

    let unknown = CreateWorker {
        profile: ProfileSelector::Named { value: "other".to_owned() },
        ..CreateWorker::new(Intent::Assistant { purpose: None })
    };
    let refused = client.create_worker(&unknown).await.unwrap_err();
    assert_eq!(
        (refused.code(), refused.refusal().unwrap().status),
        (Some(ErrorCode::InvalidProfileSelector), 400)
    );
}
