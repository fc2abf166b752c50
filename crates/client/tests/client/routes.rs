//! Every route of the table has its call, and every call asks for its route.

use musher_client::{Client, Error};
use musher_protocol::{
    AttentionQuery, CommandRequest, ConfigBundleRef, CreateWorker, DecisionRequest, DeleteWorkerQuery,
    Delivery, DiffQuery, ErrorCode, EventsQuery, InputKind, InputRequest, Intent, ListWorkersQuery,
    ObserveQuery, Permission, RaiseLimitsRequest, RunState, StopRequest, TranscriptQuery, WorkerLimits,
    WorkerQuery,
    route::{Method, ROUTES, Route, RouteId},
};
use serde_json::{from_value, json};
use tokio::{io::AsyncWriteExt as _, net::UnixListener};

use crate::fake::{self, Fake, error};

const DIGEST: &str = "0000000000000000000000000000000000000000000000000000000000000001";

/// The call of a route. A new route needs one here to compile.
async fn call(client: &Client, id: RouteId) -> Result<(), Error> {
    let worker = &"wrk_1".parse().unwrap();
    match id {
        RouteId::Livez => client.livez().await,
        RouteId::Readyz => client.readyz().await,
        RouteId::OpenApi => client.openapi().await.map(drop),
        RouteId::Metrics => client.metrics().await.map(drop),
        RouteId::Runtime => client.runtime().await.map(drop),
        RouteId::Backends => client.backends().await.map(drop),
        RouteId::Profiles => client.profiles().await.map(drop),
        RouteId::Diagnostics => client.diagnostics().await.map(drop),
        RouteId::ListConfigBundles => client.config_bundles().await.map(drop),
        RouteId::StoreConfigBundle => {
            let metadata = json!({
                "id": "team-a", "revision": "1", "workspace_id": "w", "created_at": "2026-11-20T10:00:00Z",
                "provenance": {"source": "git"},
            });
            let bundle = json!({"bundle": {"metadata": metadata, "profiles": []}});
            client.store_config_bundle(&from_value(bundle).unwrap()).await.map(drop)
        }
        RouteId::CheckConfigBundle => client.check_config_bundle(&bundle()).await.map(drop),
        RouteId::DeleteConfigBundle => client.delete_config_bundle(&bundle()).await,
        RouteId::Attention => {
            let query = AttentionQuery {
                label: vec!["team=a&b".to_owned(), "size=l".to_owned()],
                ..AttentionQuery::default()
            };
            client.attention(&query).await.map(drop)
        }
        RouteId::ListWorkers => {
            let query = ListWorkersQuery {
                run_state: Some(RunState::Idle),
                label: vec!["team=a".to_owned(), "size=l".to_owned()],
                ..ListWorkersQuery::default()
            };
            client.workers(&query).await.map(drop)
        }
        RouteId::CreateWorker => {
            let request = CreateWorker::new(Intent::Assistant { purpose: None });
            client.create_worker(&request).await.map(drop)
        }
        RouteId::Worker => client.worker(worker, &WorkerQuery::default()).await.map(drop),
        RouteId::DeleteWorker => client.delete_worker(worker, &DeleteWorkerQuery { discard: true }).await,
        RouteId::SendInput => {
            let request = InputRequest {
                kind: InputKind::User,
                content: "hello".to_owned(),
                input_id: None,
                delivery: Delivery::Queue,
            };
            client.send_input(worker, &request).await.map(drop)
        }
        RouteId::Interrupt => client.interrupt(worker, &CommandRequest::default()).await.map(drop),
        RouteId::Stop => client.stop(worker, &StopRequest::default()).await.map(drop),
        RouteId::Cancel => client.cancel(worker, &CommandRequest::default()).await.map(drop),
        RouteId::Approvals => client.approvals(worker).await.map(drop),
        RouteId::Decide => {
            let request = DecisionRequest::new(Permission::Allow);
            client.decide(worker, &"apr_1".parse().unwrap(), &request).await.map(drop)
        }
        RouteId::RaiseLimits => {
            let limits = WorkerLimits { turns: Some(9), ..WorkerLimits::default() };
            client.raise_limits(worker, &RaiseLimitsRequest { limits, actor: None }).await.map(drop)
        }
        RouteId::Transcript => {
            let query = TranscriptQuery { start: Some(-2), limit: Some(2) };
            client.transcript(worker, &query).await.map(drop)
        }
        RouteId::Diff => {
            let query = DiffQuery { workspace: Some("main".to_owned()) };
            client.diff(worker, &query).await.map(drop)
        }
        RouteId::Blob => client.blob(worker, DIGEST.parse().unwrap(), Some(0..=9)).await.map(drop),
        RouteId::Events => client.events(worker, &EventsQuery::default()).await.map(drop),
        RouteId::Observe => client.observe(worker, &ObserveQuery::default()).await.map(drop),
        RouteId::ObserveMany => client.observe_many().await.map(drop),
    }
}

fn bundle() -> ConfigBundleRef {
    ConfigBundleRef { id: "team-a".parse().unwrap(), digest: DIGEST.parse().unwrap() }
}

fn line(route: &Route) -> String {
    let method = match route.method {
        Method::Get => "GET",
        Method::Post => "POST",
        Method::Delete => "DELETE",
    };
    let path = route.path.replace("{worker_id}", "wrk_1").replace("{approval_id}", "apr_1");
    let path = path.replace("{digest}", DIGEST).replace("{config_bundle_id}", "team-a");
    let of_digest = format!("?digest={DIGEST}");
    let queries = [
        (RouteId::Attention, "?label=team%3Da%26b&label=size%3Dl"),
        (RouteId::ListWorkers, "?run_state=idle&label=team%3Da&label=size%3Dl"),
        (RouteId::DeleteWorker, "?discard=true"),
        (RouteId::Diff, "?workspace=main"),
        (RouteId::CheckConfigBundle, &of_digest),
        (RouteId::DeleteConfigBundle, &of_digest),
        (RouteId::Transcript, "?start=-2&limit=2"),
    ];
    let query = queries.iter().find(|(id, _)| *id == route.id).map_or("", |(_, query)| query);
    format!("{method} {path}{query}")
}

#[tokio::test]
async fn each_call_asks_for_its_route_with_the_token() {
    for route in ROUTES {
        let fake = Fake::start([error(500, "internal", "", json!({}))]).await;
        let refused = call(&fake.client(), route.id).await.unwrap_err();
        assert_eq!(refused.code(), Some(ErrorCode::Internal), "{refused:?}");
        let [asked] = &fake.asked()[..] else { panic!("one request: {:?}", fake.asked()) };
        let has_key = asked.header("idempotency-key").is_some();
        assert_eq!(has_key, route.method == Method::Post, "{}", asked.line);
        assert_eq!(
            (asked.line.as_str(), asked.header("authorization")),
            (&*line(route), Some("Bearer s3cret"))
        );
    }
}

#[tokio::test]
async fn a_server_may_be_a_socket_in_the_file_system() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("musher.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let client = Client::builder(format!("unix:{}", path.display())).build().unwrap();
    let serves = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let asked = fake::read(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await.unwrap();
        asked
    };
    let (asked, alive) = tokio::join!(serves, client.livez());
    alive.unwrap();
    assert_eq!((asked.line.as_str(), asked.header("host")), ("GET /livez", Some("localhost")));
}
