//! The wire as it is described: each route answers in the shape that `docs/reference/openapi.json` says, and each error
//! code is shown. A route or a code that has no case here does not compile.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::Path;

use bytes::Bytes;
use hyper::Method as Verb;
use jsonschema::Validator;
use musher_e2e::{Client, Ended, Home, Server, Stream};
use musher_protocol::{
    Cursor, ErrorCode, Payload,
    route::{Method, ROUTES, Route, RouteId},
};
use musher_testkit::repository::Repository;
use serde_json::{Value, json};

/// The text of the token is `observer`.
const CONFIG: &str = r#"
[runtime]
default_profile = "plays"
[profiles.plays]
backend = "scripted"
script = "script.json"
approval = { mode = "ask", deadline_secs = 600 }
[profiles.narrow]
backend = "scripted"
script = "script.json"
limits = { queued_inputs = 1 }
[profiles.absent]
backend = "claude-pty"
[backends.claude-pty]
program = "no-such-claude"
[[tokens]]
name = "eve"
sha256 = "e41f1d834710df8c7bc2befedb7b92339973a92288d8581b3696604c0d04c5f7"
scopes = ["observe"]
"#;

const CONFIG_OF_BODIES: &str = r#"
[runtime]
default_profile = "echo"
[profiles.echo]
backend = "scripted"
script = "echo"
"#;

const JSON: (&str, &str) = ("content-type", "application/json");
const HELLO: &str = r#"{"kind":"user","content":"hello"}"#;
const BUNDLE: &str = r#"{"bundle":{"metadata":{"id":"team-a","revision":"1","workspace_id":"w",
    "created_at":"2026-11-20T10:00:00Z","provenance":{"source":"git"}},"profiles":[]}}"#;
/// The digest of that bundle.
const OF_BUNDLE: &str = "?digest=aba6cc7ba814f5bbbc1f8cca20e4fff9566c2b8c64e5aad81723d071643caec5";
const ASSISTANT: &str = r#"{"intent":{"kind":"assistant"}}"#;

/// A server with a worker in each state that the cases need.
struct World {
    server: Server,
    client: Client,
    /// Has had a turn, with a body that is kept beside the log.
    idle: String,
    digest: String,
    /// Is in a turn without an end, with a full queue.
    busy: String,
    /// Asks, and what it asks.
    asking: (String, String),
    /// Asked, and what was allowed.
    decided: (String, String),
    ended: String,
    /// Works in the repository.
    shop: String,
    _repository: Repository,
}

impl World {
    async fn new() -> Self {
        let repository = Repository::new();
        let home =
            Home::new(&format!("{CONFIG}\n[workspaces.shop]\npath = \"{}\"", repository.path().display()));
        let script = json!({"turns": [
            {"match": "ask", "steps": [{"approval": {"tool": "shell", "input": {"command": "make"}}}]},
            {"match": "hang", "steps": [{"hang": true}]},
        ], "otherwise": "echo"});
        std::fs::write(home.path().join("script.json"), script.to_string()).unwrap();
        let server = home.start().await;
        let client = server.client();

        let stored = client.send(Verb::POST, "/v1/config-bundles", &[JSON], BUNDLE.into()).await.good();
        assert_eq!(stored["bundles"][0]["revision"], "1");
        let idle = client.create(&json!({"intent": {"kind": "assistant"}})).await;
        client.say_with(&idle, &"x".repeat(100_000), "large").await;
        client.idle(&idle).await;
        let log = client.log(&idle).await;
        let digest = log.iter().find_map(|event| {
            if let Payload::InputAccepted { blob, .. } = &event.payload { blob.as_ref() } else { None }
        });
        let digest = digest.unwrap().digest.to_string();

        let narrow = json!({"kind": "named", "value": "narrow"});
        let busy = client.create(&json!({"intent": {"kind": "assistant"}, "profile": narrow})).await;
        let mut stream = client.observe(&busy).await;
        client.say_with(&busy, "hang", "hang").await;
        stream.until(|payload| matches!(payload, Payload::TurnStarted { .. })).await;
        client.say(&busy, "wait").await;

        let asking = asks(&client).await;
        let decided = asks(&client).await;
        let path = format!("/v1/workers/{}/approvals/{}", decided.0, decided.1);
        let allowed = client.post(&path, &json!({"decision": "allow"})).await.good();
        assert_eq!(allowed["duplicate"], false);
        let ended = Self::ended_one(&client).await;
        let workspace = json!([{"name": "main", "reference": "shop"}]);
        let shop =
            client.create(&json!({"intent": {"kind": "assistant"}, "workspace_refs": workspace})).await;
        repository.write("README", "changed\n");
        let _repository = repository;
        Self { server, client, idle, digest, busy, asking, decided, ended, shop, _repository }
    }

    async fn ended_one(client: &Client) -> String {
        let worker = client.create(&json!({"intent": {"kind": "task", "objective": "hello"}})).await;
        client.idle(&worker).await;
        let stopped = client.post(&format!("/v1/workers/{worker}/stop"), &json!({})).await.good();
        assert_eq!(stopped["ack"]["status"], "stopped");
        worker
    }
}

async fn asks(client: &Client) -> (String, String) {
    let worker = client.create(&json!({"intent": {"kind": "task", "objective": "ask"}})).await;
    let mut stream = client.observe(&worker).await;
    let mut approval = String::new();
    while approval.is_empty() {
        let list = client.get(&format!("/v1/workers/{worker}/approvals")).await.good();
        match list["approvals"][0]["approval_id"].as_str() {
            Some(id) => id.clone_into(&mut approval),
            None => drop(stream.until(|payload| matches!(payload, Payload::ApprovalRequested(_))).await),
        }
    }
    (worker, approval)
}

/// What is said to be the wire.
struct Described(Value);

impl Described {
    fn new() -> Self {
        Self(serde_json::from_str(include_str!("../../docs/reference/openapi.json")).unwrap())
    }

    fn operation(&self, route: &Route) -> &Value {
        let verb = match route.method {
            Method::Get => "get",
            Method::Post => "post",
            Method::Delete => "delete",
        };
        &self.0["paths"][route.path][verb]
    }

    /// The schema of an answer with JSON; `None` when none is described.
    fn answer(&self, route: &Route, status: u16) -> Option<&Value> {
        let answer = self.operation(route)["responses"].get(status.to_string());
        let answer = answer.unwrap_or_else(|| panic!("{} has no {status}", route.path));
        answer["content"].get("application/json").map(|content| &content["schema"])
    }

    fn validator(&self, schema: &Value) -> Validator {
        let mut whole = schema.clone();
        whole["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
        whole["components"] = self.0["components"].clone();
        jsonschema::validator_for(&whole).unwrap()
    }

    #[track_caller]
    fn assert_valid(&self, schema: &Value, value: &Value, what: &str) {
        let validator = self.validator(schema);
        let wrong: Vec<_> = validator.iter_errors(value).map(|error| error.to_string()).collect();
        assert_eq!(wrong, Vec::<String>::new(), "{what}: {value}");
    }

    fn assert_is(&self, name: &str, value: &Value) {
        self.assert_valid(&named(name), value, name);
    }

    fn is(&self, name: &str, value: &Value) -> bool {
        self.validator(&named(name)).is_valid(value)
    }
}

/// The schema of this name.
fn named(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// How a route is asked so that all goes well.
enum Happy {
    /// With this query and body, for an answer with JSON or none.
    Ask {
        worker: String,
        approval: String,
        query: &'static str,
        body: &'static str,
    },
    Blob,
    Log,
    Socket,
    SocketForMany,
}

async fn happy(id: RouteId, world: &World) -> Happy {
    let ask = |worker: &str, query, body| Happy::Ask {
        worker: worker.to_owned(),
        approval: world.asking.1.clone(),
        query,
        body,
    };
    match id {
        RouteId::Livez
        | RouteId::Readyz
        | RouteId::OpenApi
        | RouteId::Metrics
        | RouteId::Runtime
        | RouteId::Backends
        | RouteId::Profiles
        | RouteId::Diagnostics => ask("", "", ""),
        RouteId::ListConfigBundles => ask("", "", ""),
        RouteId::StoreConfigBundle => ask("", "", BUNDLE),
        RouteId::CheckConfigBundle | RouteId::DeleteConfigBundle => ask("", OF_BUNDLE, ""),
        RouteId::Attention => ask("", "?kind=approval", ""),
        RouteId::ListWorkers => ask("", "?status=running&order=desc&limit=10", ""),
        RouteId::CreateWorker => ask("", "", ASSISTANT),
        RouteId::Worker => ask(&world.idle, "?until=idle&wait=1", ""),
        RouteId::DeleteWorker => ask(&World::ended_one(&world.client).await, "", ""),
        RouteId::SendInput => ask(&world.idle, "", HELLO),
        RouteId::Interrupt => ask(&world.idle, "", ""),
        RouteId::Stop => ask(&world.client.create(&json!({"intent": {"kind": "assistant"}})).await, "", "{}"),
        RouteId::Cancel => ask(&world.client.create(&json!({"intent": {"kind": "assistant"}})).await, "", ""),
        RouteId::Approvals => ask(&world.asking.0, "", ""),
        RouteId::Decide => ask(&world.asking.0, "", r#"{"decision":"deny","message":"no"}"#),
        RouteId::RaiseLimits => ask(&world.idle, "", r#"{"limits":{"queued_inputs":65}}"#),
        RouteId::Transcript => ask(&world.idle, "?start=-2", ""),
        RouteId::Diff => ask(&world.shop, "?workspace=main", ""),
        RouteId::Blob => Happy::Blob,
        RouteId::Events => Happy::Log,
        RouteId::Observe => Happy::Socket,
        RouteId::ObserveMany => Happy::SocketForMany,
    }
}

#[tokio::test]
async fn every_route_answers_as_it_is_described() {
    let world = World::new().await;
    let described = Described::new();
    for route in ROUTES {
        match happy(route.id, &world).await {
            Happy::Ask { worker, approval, query, body } => {
                let path = route.path.replace("{worker_id}", &worker).replace("{approval_id}", &approval);
                let path = path.replace("{config_bundle_id}", "team-a");
                let headers: &[_] = if body.is_empty() { &[] } else { &[JSON] };
                let body = Bytes::from_static(body.as_bytes());
                let answer = world.client.send(verb(route), &format!("{path}{query}"), headers, body).await;
                assert!(answer.status < 300, "{path}: {} {}", answer.status, answer.body);
                if let Some(schema) = described.answer(route, answer.status) {
                    described.assert_valid(schema, &answer.body, route.path);
                }
            }
            Happy::Blob => {
                let path = format!("/v1/workers/{}/blobs/{}", world.idle, world.digest);
                let bytes = |headers| world.client.try_bytes(Verb::GET, &path, headers, Bytes::new());
                assert_eq!(bytes(&[]).await.unwrap(), (200, Bytes::from("x".repeat(100_000))));
                assert_eq!(bytes(&[("range", "bytes=7-8")]).await.unwrap(), (206, Bytes::from("xx")));
            }
            Happy::Log => log_is_as_described(&world, &described, route).await,
            Happy::Socket => {
                let log = world.client.log(&world.ended).await;
                let query = format!("?cursor={}", log[0].cursor);
                let mut stream = world.client.observe_from(&world.ended, &query).await;
                assert_eq!(
                    frames(&mut stream, &described).await,
                    log.len(),
                    "a snapshot instead of the first"
                );
            }
            Happy::SocketForMany => {
                let mut stream = world.client.observe_many().await;
                let requests = [
                    json!({"kind": "subscribe", "topic": "attention"}),
                    json!({"kind": "subscribe", "worker_id": world.ended}),
                    json!({"kind": "nonsense"}),
                ];
                for request in requests {
                    stream.send(&request.to_string()).await;
                }
                let mut kinds = Vec::new();
                while !kinds.contains(&json!("diagnostic")) || !kinds.contains(&json!("unsubscribed")) {
                    let frame: Value = serde_json::from_str(&stream.next_text().await.unwrap()).unwrap();
                    described.assert_is("Frame", &frame);
                    kinds.push(frame["kind"].clone());
                }
            }
        }
    }
    drop(world.server);
}

/// Reads a socket to its end, and answers with how many frames came.
async fn frames(stream: &mut Stream, described: &Described) -> usize {
    let mut n = 0;
    loop {
        match stream.next_text().await {
            Ok(text) => described.assert_is("Frame", &serde_json::from_str(&text).unwrap()),
            Err(ended) => {
                assert_eq!(ended, Ended::Closed(1000));
                return n;
            }
        }
        n += 1;
    }
}

/// A page, and the stream of a worker that has ended.
async fn log_is_as_described(world: &World, described: &Described, route: &Route) {
    let path = format!("/v1/workers/{}/events", world.ended);
    let page = world.client.get(&path).await.good();
    described.assert_valid(described.answer(route, 200).unwrap(), &page, &path);

    let first = page["events"][0]["cursor"].as_str().unwrap();
    let headers = [("accept", "text/event-stream"), ("last-event-id", first)];
    let (status, text) = world.client.try_bytes(Verb::GET, &path, &headers, Bytes::new()).await.unwrap();
    let text = String::from_utf8(text.to_vec()).unwrap();
    let events: Vec<Value> = text
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|line| line.parse().unwrap())
        .collect();
    for event in &events {
        described.assert_is("Envelope", event);
    }
    assert_eq!((status, json!(events)), (200, json!(page["events"].as_array().unwrap()[1..])));
}

fn verb(route: &Route) -> Verb {
    match route.method {
        Method::Get => Verb::GET,
        Method::Post => Verb::POST,
        Method::Delete => Verb::DELETE,
    }
}

/// Where an error code is shown.
enum Shown {
    /// By this request, here.
    Here(Request),
    /// By a test elsewhere, for this reason.
    There { file: &'static str, test: &'static str, because: &'static str },
}

struct Request {
    route: Option<RouteId>,
    verb: Verb,
    path: String,
    headers: Vec<(&'static str, &'static str)>,
    body: String,
    token: Token,
}

#[derive(Clone, Copy)]
enum Token {
    Admin,
    Observer,
    None,
}

impl Request {
    fn get(route: RouteId, path: impl Into<String>) -> Self {
        let (path, body) = (path.into(), String::new());
        Self { route: Some(route), verb: Verb::GET, path, headers: Vec::new(), body, token: Token::Admin }
    }

    fn post(route: RouteId, path: impl Into<String>, body: impl Into<String>) -> Self {
        Self { verb: Verb::POST, headers: vec![JSON], body: body.into(), ..Self::get(route, path) }
    }
}

const FAULTS: &str = "crates/http/tests/http/errors.rs";
const EVERY_CODE: &str = "every_code_is_answered_where_it_belongs";

/// The case of a code.
fn case(code: ErrorCode, world: &World) -> Option<Shown> {
    use RouteId as Id;
    let idle = |rest: &str| format!("/v1/workers/{}{rest}", world.idle);
    let input =
        |worker: &str, body: &str| Request::post(Id::SendInput, format!("/v1/workers/{worker}/input"), body);
    let profile = |name: &str| {
        let body = json!({"intent": {"kind": "assistant"}, "profile": {"kind": "named", "value": name}});
        Request::post(Id::CreateWorker, "/v1/workers", body.to_string())
    };
    let after = |cursor: &str| Request::get(Id::Events, idle(&format!("/events?after={cursor}")));
    let there = |file, test, because| Some(Shown::There { file, test, because });
    let runtime = || Request::get(Id::Runtime, "/v1/runtime");
    let bundle = |part: &str, other: &str| {
        let body = BUNDLE.replacen(part, other, 1);
        Request::post(Id::StoreConfigBundle, "/v1/config-bundles", body)
    };
    let request = match code {
        ErrorCode::InvalidJson => Request::post(Id::CreateWorker, "/v1/workers", "{"),
        ErrorCode::InvalidQuery => Request::get(Id::ListWorkers, "/v1/workers?status=asleep"),
        ErrorCode::InvalidWorkerId => Request::get(Id::Worker, "/v1/workers/a%20b"),
        ErrorCode::InvalidRequest => input(&world.idle, r#"{"kind":"user","content":" "}"#),
        ErrorCode::LimitTooLarge => Request::get(Id::ListWorkers, "/v1/workers?limit=1001"),
        ErrorCode::InvalidProfileSelector => profile("nobody"),
        ErrorCode::ConfigBundleDigestMismatch => {
            let digest = format!(r#""digest":"{}","revision""#, "ab".repeat(32));
            bundle(r#""revision""#, &digest)
        }
        ErrorCode::UnsupportedConfigDeclaration => {
            let declaration = r#""declarations":[{"kind":"volume","name":"a","reference":"b"}],"profiles""#;
            bundle(r#""profiles""#, declaration)
        }
        ErrorCode::ConfigBundleConflict => bundle(r#""w""#, r#""other""#),
        ErrorCode::ConfigBundleMissing => {
            let path = format!("/v1/config-bundles/nobody/availability{OF_BUNDLE}");
            Request::get(Id::CheckConfigBundle, path)
        }
        ErrorCode::CursorMalformed => after("wo_1"),
        ErrorCode::WrongRuntimeCursor => after(&Cursor::new(&world.busy.parse().unwrap(), 1, 7).to_string()),
        ErrorCode::CursorExpired => after(&Cursor::new(&world.idle.parse().unwrap(), 1, 7).to_string()),
        ErrorCode::Unauthorized => Request { token: Token::None, ..runtime() },
        ErrorCode::Forbidden => Request { token: Token::Observer, ..input(&world.idle, HELLO) },
        ErrorCode::WorkerNotFound => Request::get(Id::Worker, "/v1/workers/wrk_nobody"),
        ErrorCode::BlobNotFound => Request::get(Id::Blob, idle(&format!("/blobs/{}", "ab".repeat(32)))),
        ErrorCode::ApprovalNotFound => {
            Request::post(Id::Decide, idle("/approvals/apr_1"), r#"{"decision":"allow"}"#)
        }
        ErrorCode::RouteNotFound => Request { route: None, ..Request::get(Id::Runtime, "/v2/runtime") },
        ErrorCode::MethodNotAllowed => Request { verb: Verb::DELETE, ..runtime() },
        ErrorCode::WorkerExecutionUnavailable => profile("absent"),
        ErrorCode::WorkerExecutionRejected => {
            input(&world.busy, r#"{"kind":"user","content":"x","delivery":"reject_if_busy"}"#)
        }
        ErrorCode::PayloadTooLarge => Request::post(Id::CreateWorker, "/v1/workers", " ".repeat(3 << 20)),
        ErrorCode::RangeNotSatisfiable => {
            let path = idle(&format!("/blobs/{}", world.digest));
            Request { headers: vec![("range", "bytes=100000-")], ..Request::get(Id::Blob, path) }
        }
        ErrorCode::MisdirectedHost => Request { headers: vec![("host", "evil.example")], ..runtime() },
        ErrorCode::IdempotencyMismatch => {
            input(&world.busy, r#"{"kind":"user","content":"another","input_id":"hang"}"#)
        }
        ErrorCode::IdempotencyInFlight => {
            return there(
                "crates/http/tests/http/keys.rs",
                "a_request_whose_first_is_not_answered_yet_is_in_flight",
                "needs a store that takes its time",
            );
        }
        ErrorCode::Overloaded => input(&world.busy, HELLO),
        ErrorCode::WorkerRunning => {
            Request { verb: Verb::DELETE, ..Request::get(Id::DeleteWorker, idle("")) }
        }
        ErrorCode::ApprovalNotPending => {
            let path = format!("/v1/workers/{}/approvals/{}", world.decided.0, world.decided.1);
            Request::post(Id::Decide, path, r#"{"decision":"deny"}"#)
        }
        ErrorCode::WorkspaceDirty => {
            return there(
                "tests/tests/workspaces.rs",
                "work_is_deleted_only_by_who_may_discard_it",
                "needs a repository",
            );
        }
        ErrorCode::WorkspaceNotVersioned => Request::get(Id::Diff, idle("/diff")),
        ErrorCode::RuntimeStopped => {
            return there(FAULTS, EVERY_CODE, "a server that has stopped answers nobody");
        }
        ErrorCode::Draining => {
            return there(FAULTS, EVERY_CODE, "a server that ends takes no new connection");
        }
        ErrorCode::StoreIo => {
            return there(FAULTS, EVERY_CODE, "needs a store that fails, which ends the server");
        }
        ErrorCode::StoreCorrupt => return there(FAULTS, EVERY_CODE, "needs a damaged row"),
        ErrorCode::StoreFull => return there(FAULTS, EVERY_CODE, "needs a full disk"),
        ErrorCode::ProcessesSurvived => {
            return there(
                "crates/http/tests/http/survivors.rs",
                "whoever_ends_a_worker_that_left_a_process_is_told_so_and_it_waits_for_a_person",
                "needs a process that no signal ends",
            );
        }
        ErrorCode::Internal => {
            return there(
                "crates/http/src/enclose.rs",
                "a_panic_is_answered",
                "there is no known defect to ask for",
            );
        }
        // It stands for what a reader does not know; no server sends it.
        ErrorCode::Unknown => return None,
    };
    Some(Shown::Here(request))
}

#[tokio::test]
async fn every_error_code_is_answered_as_it_is_described() {
    let world = World::new().await;
    let described = Described::new();
    for &code in ErrorCode::ALL {
        let shown = case(code, &world).unwrap_or_else(|| panic!("{code:?} has no case"));
        let request = match shown {
            Shown::Here(request) => request,
            Shown::There { file, test, because } => {
                let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
                let text = std::fs::read_to_string(path).unwrap();
                assert!(text.contains(&format!("fn {test}(")), "{code:?} ({because}): no `{test}` in {file}");
                continue;
            }
        };
        let client = match request.token {
            Token::Admin => world.client.clone(),
            Token::Observer => world.server.client_with(Some("observer")),
            Token::None => world.server.client_with(None),
        };
        let answer = client.send(request.verb, &request.path, &request.headers, request.body.into()).await;
        let name = json!(code);
        assert_eq!(answer.error(), (code.status(), name.as_str().unwrap()), "{}", answer.body);
        assert_eq!(answer.body["error"]["retryable"], code.is_retryable(), "{code:?}");
        described.assert_is("ErrorReply", &answer.body);
        if let Some(id) = request.route {
            let route = ROUTES.iter().find(|route| route.id == id).unwrap();
            let codes = &described.operation(route)["responses"][code.status().to_string()]["x-musher-codes"];
            assert!(codes.as_array().is_some_and(|codes| codes.contains(&name)), "{}: {name}", route.path);
        }
    }
}

#[tokio::test]
async fn what_the_schema_of_a_body_refuses_the_server_refuses_and_nothing_else() {
    const NOBODY: &str = "/v1/workers/wrk_nobody";
    let server = Server::start(CONFIG_OF_BODIES).await;
    let (client, described) = (server.client(), Described::new());
    let x = |n: usize| "x".repeat(n);
    let labels = |n: usize| (0..n).map(|n| (n.to_string(), json!("x"))).collect::<serde_json::Map<_, _>>();
    let stop = |good: &[Value], bad: &[Value]| ("StopRequest", "/stop", good.to_vec(), bad.to_vec());
    let create = |more: Value| {
        let mut body = json!({"intent": {"kind": "assistant"}});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let workspace = |name: &str| json!({"name": name, "reference": "shop"});
    let cases = [
        stop(
            &[json!({}), json!({"reason": "why ?"}), json!({"actor": x(200)}), json!({"grace_secs": 60})],
            &[
                json!({"reason": ""}),
                json!({"reason": " \u{a0}"}),
                json!({"reason": "a\nb"}),
                json!({"reason": "a\u{9b}b"}),
                json!({"actor": x(201)}),
                json!({"grace_secs": 61}),
            ],
        ),
        (
            "InputRequest",
            "/input",
            vec![json!({"kind": "user", "content": "\n\u{7}x\n"})],
            ["", " \n\t", "\u{85}"].map(|content| json!({"kind": "user", "content": content})).to_vec(),
        ),
        (
            "RaiseLimitsRequest",
            "/limits",
            vec![json!({"limits": {"turns": 1, "cost_usd": 0.01}})],
            vec![
                json!({"limits": {}}),
                json!({"limits": {"turns": 0}}),
                json!({"limits": {"cost_usd": 0}}),
                json!({"limits": {"turns": 1}, "actor": "\t"}),
            ],
        ),
        (
            "DecisionRequest",
            "/approvals/apr_1",
            vec![json!({"decision": "deny", "message": x(8192)})],
            vec![json!({"decision": "deny", "message": x(8193)}), json!({"decision": "deny", "actor": ""})],
        ),
        (
            "CreateWorker",
            "",
            vec![
                create(json!({"display_name": "\u{1f415} x"})),
                create(json!({"labels": {"a": "", "b": "x"}})),
                create(json!({"labels": labels(64)})),
                create(json!({"limits": {"turns": 1}})),
            ],
            vec![
                create(json!({"display_name": "\u{1b}[31m"})),
                create(json!({"labels": {"": "x"}})),
                create(json!({"labels": {"a": " "}})),
                create(json!({"labels": {"a": x(201)}})),
                create(json!({"labels": labels(65)})),
                create(json!({"limits": {"tokens": 0}})),
                create(json!({"requested_capabilities": [{"name": "fly"}]})),
                create(json!({"workspace_refs": [workspace(" ")]})),
                create(
                    json!({"workspace_refs": (0..17).map(|n| workspace(&n.to_string())).collect::<Value>()}),
                ),
                create(json!({"mount_refs": (0..17).map(|n| workspace(&n.to_string())).collect::<Value>()})),
                create(json!({"mount_refs": [workspace(" ")]})),
                create(json!({"initial_input": {"kind": "user", "content": " "}})),
                json!({"intent": {"kind": "task", "objective": "\n"}}),
                json!({"intent": {"kind": "role", "role": ""}}),
            ],
        ),
    ];
    for (name, path, good, bad) in cases {
        let path = if path.is_empty() { "/v1/workers".to_owned() } else { format!("{NOBODY}{path}") };
        let cases =
            good.into_iter().map(|body| (body, true)).chain(bad.into_iter().map(|body| (body, false)));
        for (body, is_good) in cases {
            let status = client.post(&path, &body).await.status;
            let is_taken = matches!(status, 200 | 404);
            assert!(is_taken || status == 400, "{name}: {body}: {status}");
            assert_eq!((described.is(name, &body), is_taken), (is_good, is_good), "{name}: {body}");
        }
    }
}
