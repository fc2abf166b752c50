use std::{
    convert::Infallible,
    env,
    future::pending,
    net::SocketAddr,
    path::PathBuf,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};

use http_body_util::{BodyExt as _, Full};
use hyper::server::conn::http1;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use musher_backend::{Cancellation, Sandbox, ToolOutput, Toolbox};
use musher_protocol::Capability;
use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CallToolRequestParams, CallToolResponse, InitializeRequestParams, InitializeResult, ListToolsResult,
        PaginatedRequestParams, ServerCapabilities, ServerConfig,
    },
    service::RequestContext,
    transport::streamable_http_server::{
        StreamableHttpServerConfig, StreamableHttpService, session::local::LocalSessionManager,
    },
};
use serde_json::json;
use tokio::{
    net::{TcpListener, TcpSocket},
    task::JoinSet,
};

use self::tickets::Tickets;
use super::*;
use crate::{
    ToolSet,
    scene::{Scene, call, eventually, marked, soon},
};

#[path = "../../examples/tickets/tickets.rs"]
mod tickets;

const CAPABILITIES: [&str; 3] = ["read", "shell", "mcp:tickets"];

/// The example of this crate, which cargo builds with its tests.
fn program() -> String {
    let tests = env::current_exe().unwrap();
    let built: PathBuf = tests.parent().unwrap().parent().unwrap().join("examples/tickets");
    assert!(built.exists(), "build it first: cargo build -p musher-tools --example tickets");
    built.to_str().unwrap().to_owned()
}

fn command(program: &str, args: &[&str]) -> McpServer {
    McpServer::Command {
        program: program.to_owned(),
        args: args.iter().copied().map(str::to_owned).collect(),
        environment: Environment::base(),
    }
}

/// A server that answers with these lines, whatever it is asked, and the id of what it was asked last.
fn canned(tools: &str) -> McpServer {
    let script = r#"while read -r line; do
        id=$(printf %s "$line" | sed -n 's/.*"id":\([0-9]*\).*/\1/p')
        case $line in
            *'"initialize"'*) echo '{"jsonrpc":"2.0","id":'$id',"result":{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"canned","version":"1"}}}' ;;
            *'"tools/list"'*) echo '{"jsonrpc":"2.0","id":'$id',"result":'"$1"'}' ;;
        esac
    done"#;
    command("sh", &["-c", script, "sh", tools])
}

async fn stdio() -> Scene {
    Scene::of(ToolSet::workspace().with_server("tickets", command(&program(), &[])), &CAPABILITIES).await
}

fn names(scene: &Scene) -> Vec<&str> {
    scene.kit.tools.iter().map(|tool| tool.spec().name.as_str()).collect()
}

fn told(scene: &Scene) -> Vec<(&str, &str)> {
    let diagnostics = scene.kit.diagnostics.iter();
    diagnostics.map(|diagnostic| (diagnostic.code.as_str(), diagnostic.message.as_str())).collect()
}

#[tokio::test]
async fn a_server_gives_its_tools_and_one_that_is_wrong_is_left_out() {
    let scene = stdio().await;
    let expected = [
        "read_file",
        "list_directory",
        "search",
        "shell",
        "tickets__create",
        hang_up(&scene),
        "tickets__die",
        "tickets__fail",
    ];
    assert_eq!(names(&scene), expected);
    let refused = "a tool of the MCP server `tickets` is left out: the schema of `wrong` is not an object's";
    assert_eq!(told(&scene), [("tools.mcp_tool_refused", refused)]);

    let create = scene.tool("tickets__create");
    let spec = create.spec();
    assert_eq!((spec.capability.to_string().as_str(), spec.is_read_only), ("mcp:tickets", false));
    assert_eq!(spec.input_schema, json!({"type": "object", "properties": {"title": {"type": "string"}}}));
    assert_eq!(scene.ok("tickets__create", json!({"title": "a"})).await, "ticket 1: a");
    assert_eq!(scene.ok("tickets__create", json!({"title": "b"})).await, "ticket 2: b");
    let refused = scene.refused("tickets__fail", json!({})).await;
    assert_eq!(refused, "the MCP server `tickets` refused the call: Mcp error: -32602: no such ticket");
}

fn hang_up(scene: &Scene) -> &str {
    names(scene).into_iter().find(|name| name.starts_with("tickets__hang_up_")).unwrap()
}

#[tokio::test]
async fn a_worker_that_may_not_gets_nothing_and_no_server_is_started() {
    let set = ToolSet::workspace().with_server("tickets", command(&program(), &[]));
    let scene = Scene::of(set, &["read", "mcp:other"]).await;
    assert_eq!(names(&scene), ["read_file", "list_directory", "search"]);
    assert_eq!(marked(&scene.marker), Vec::<String>::new());
}

#[tokio::test]
async fn a_call_that_is_canceled_is_canceled_at_the_server() {
    let scene = stdio().await;
    let [begun, canceled] = ["begun", "canceled"].map(|name| scene.path(name));
    let input = json!({"begun": begun, "canceled": canceled});
    let (unwanted, cancellation) = Cancellation::pair();
    let tool = scene.tool(hang_up(&scene));
    let cancel = async {
        eventually("the tool runs", || begun.exists()).await;
        unwanted.send(true).unwrap();
    };
    let (output, ()) = soon(async { tokio::join!(tool.call(call(input, cancellation)), cancel) }).await;
    let expected = "the call was canceled; whether the server did anything is unknown";
    assert_eq!(output, ToolOutput::error(expected));
    eventually("the server knows", || canceled.exists()).await;
    assert_eq!(scene.ok("tickets__create", json!({"title": "a"})).await, "ticket 1: a", "it goes on");
}

#[tokio::test]
async fn a_call_that_is_dropped_is_canceled_at_the_server() {
    let scene = stdio().await;
    let [begun, canceled] = ["begun", "canceled"].map(|name| scene.path(name));
    let input = json!({"begun": begun, "canceled": canceled});
    let (_wanted, cancellation) = Cancellation::pair();
    let tool = scene.tool(hang_up(&scene));
    tokio::select! {
        output = tool.call(call(input, cancellation)) => panic!("it hangs: {output:?}"),
        () = eventually("the tool runs", || begun.exists()) => {}
    }
    eventually("the server knows", || canceled.exists()).await;
}

#[tokio::test]
async fn a_server_that_dies_is_an_error_of_the_tool() {
    let scene = stdio().await;
    for _ in 0..2 {
        let told = scene.refused("tickets__die", json!({})).await;
        let expected = "the MCP server `tickets` has ended; whether it did anything is unknown; its last words: out of paper";
        assert_eq!(told, expected);
    }
    assert_eq!(scene.ok("shell", json!({"command": "echo on"})).await, "on\n", "the session goes on");
}

#[tokio::test]
async fn a_server_lives_as_long_as_its_session() {
    let scene = stdio().await;
    assert_eq!(marked(&scene.marker).len(), 1);
    // A command beside it is ended alone.
    scene.ok("shell", json!({"command": "sleep 1201 & echo done"})).await;
    assert_eq!(marked(&scene.marker).len(), 1);
    let marker = scene.marker.clone();
    drop(scene);
    eventually("the server has gone", || marked(&marker).is_empty()).await;
}

#[tokio::test]
async fn what_a_server_started_goes_with_it() {
    let script = format!("setsid sleep 1202 & exec {}", program());
    let set = ToolSet::workspace().with_server("tickets", command("sh", &["-c", &script]));
    let scene = Scene::of(set, &["mcp:tickets"]).await;
    let marker = scene.marker.clone();
    eventually("both run", || marked(&marker).len() == 2).await;
    drop(scene);
    eventually("both have gone", || marked(&marker).is_empty()).await;
}

#[tokio::test]
async fn a_server_that_cannot_be_had_costs_its_tools_alone() {
    for (server, reason) in [
        (
            command("/no/such/program", &[]),
            "start it: program `/no/such/program` not found: install it, add its directory to PATH, or name it by \
             absolute path",
        ),
        (
            command("sh", &["-c", "read line; echo no license >&2; exit 1"]),
            "shake hands; its last words: no license: connection closed: initialize response",
        ),
        (canned(r#"{"tool":[]}"#), "its answer has no list of tools"),
        (
            McpServer::Url {
                url: "http://127.0.0.1:1/".to_owned(),
                headers: BTreeMap::from([("a b".to_owned(), "".into())]),
            },
            "set up the connection: name the header `a b`: invalid HTTP header name",
        ),
    ] {
        let set = ToolSet::workspace().with_server("tickets", server);
        let scene = Scene::of(set, &["read", "mcp:tickets"]).await;
        assert_eq!(names(&scene), ["read_file", "list_directory", "search"], "{reason}");
        let message = format!("the MCP server `tickets` cannot be used, its tools are left out: {reason}");
        assert_eq!(told(&scene), [("tools.mcp_unavailable", message.as_str())]);
        eventually("nothing is left", || marked(&scene.marker).is_empty()).await;
    }
}

#[tokio::test]
async fn a_list_that_the_protocol_does_not_allow_is_read_tool_by_tool() {
    let tools =
        r#"{"tools":[{"name":"a","inputSchema":"object"},{"name":"b","inputSchema":{"type":"object"}},7]}"#;
    let scene = Scene::of(ToolSet::workspace().with_server("tickets", canned(tools)), &["mcp:tickets"]).await;
    assert_eq!(names(&scene), ["tickets__b"]);
    let refused = ["the schema of `a` is no object", "it is no object"]
        .map(|reason| format!("a tool of the MCP server `tickets` is left out: {reason}"));
    assert_eq!(told(&scene), refused.each_ref().map(|message| ("tools.mcp_tool_refused", message.as_str())));
}

#[tokio::test]
async fn a_service_of_the_program_needs_neither_process_nor_port() {
    let set = ToolSet::workspace().with_service("tickets", Tickets::default());
    let mcp = Capability::Mcp("tickets".to_owned());
    assert_eq!(
        (set.missing(&mcp, Sandbox::Auto), set.missing(&Capability::Mcp("other".to_owned()), Sandbox::Auto)),
        (None, Some("no MCP server `other` is configured".to_owned()))
    );
    let scenes = [Scene::of(set.clone(), &["mcp:tickets"]).await, Scene::of(set, &["mcp:tickets"]).await];
    for (n, scene) in scenes.iter().enumerate() {
        let told = scene.ok("tickets__create", json!({"title": "a"})).await;
        assert_eq!(told, format!("ticket {}: a", n + 1), "sessions share it");
        assert_eq!(marked(&scene.marker), Vec::<String>::new());
    }
}

#[test]
fn a_program_that_is_not_there_is_missing_before_anything_starts() {
    let set = ToolSet::workspace().with_server("tickets", command("/opt/no-such-program", &[]));
    let missing = set.missing(&Capability::Mcp("tickets".to_owned()), Sandbox::Auto);
    let expected = "the program `no-such-program` of the MCP server `tickets` was not found";
    assert_eq!(missing.as_deref(), Some(expected));
}

/// A server on a port of its own.
struct Address {
    address: SocketAddr,
    sessions: Arc<LocalSessionManager>,
    /// It forgets its sessions when one of them calls a tool.
    is_forgetful: Arc<AtomicBool>,
    /// How often a tool was called.
    n_calls: Arc<AtomicUsize>,
    _serving: JoinSet<()>,
}

impl Address {
    async fn serve() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let sessions = Arc::new(LocalSessionManager::default());
        let tickets = Tickets::default();
        let service = StreamableHttpService::new(
            move || Ok(tickets.clone()),
            sessions.clone(),
            StreamableHttpServerConfig::default(),
        );
        let (is_forgetful, n_calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut serving = JoinSet::new();
        let (kept, forgets, counted) = (sessions.clone(), is_forgetful.clone(), n_calls.clone());
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let service = service.clone();
                let (kept, forgets, counted) = (kept.clone(), forgets.clone(), counted.clone());
                let guarded = tower::service_fn(move |request: http::Request<hyper::body::Incoming>| {
                    let mut service = service.clone();
                    let (kept, forgets, counted) = (kept.clone(), forgets.clone(), counted.clone());
                    async move {
                        assert_eq!(request.headers().get("authorization").unwrap(), "Bearer secret");
                        let (head, body) = request.into_parts();
                        let body = body.collect().await.unwrap().to_bytes();
                        if String::from_utf8_lossy(&body).contains("tools/call") {
                            counted.fetch_add(1, Ordering::Relaxed);
                            if forgets.load(Ordering::Relaxed) {
                                kept.sessions.write().await.clear();
                            }
                        }
                        let request = http::Request::from_parts(head, Full::new(body));
                        Ok::<_, Infallible>(tower::Service::call(&mut service, request).await.unwrap())
                    }
                });
                let connection = http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), TowerToHyperService::new(guarded));
                connections.spawn(async move { drop(connection.await) });
            }
        });
        Self { address, sessions, is_forgetful, n_calls, _serving: serving }
    }

    fn server(&self) -> McpServer {
        McpServer::Url {
            url: format!("http://{}/mcp", self.address),
            headers: BTreeMap::from([("Authorization".to_owned(), "Bearer secret".into())]),
        }
    }
}

#[tokio::test]
async fn a_server_at_an_address_is_as_good_and_a_lost_session_begins_anew() {
    let address = Address::serve().await;
    let scene =
        Scene::of(ToolSet::workspace().with_server("tickets", address.server()), &["mcp:tickets"]).await;
    assert_eq!(names(&scene).len(), 4);
    assert_eq!(scene.ok("tickets__create", json!({"title": "a"})).await, "ticket 1: a");

    let lost: Vec<_> = address.sessions.sessions.write().await.drain().collect();
    assert_eq!(lost.len(), 1);
    assert_eq!(scene.ok("tickets__create", json!({"title": "b"})).await, "ticket 2: b");
    assert_eq!(address.sessions.sessions.read().await.len(), 1, "a new one");
    assert!(!format!("{:?}", address.server()).contains("secret"));
}

#[tokio::test]
async fn a_server_that_loses_every_session_is_asked_for_a_new_one_once() {
    let address = Address::serve().await;
    let scene =
        Scene::of(ToolSet::workspace().with_server("tickets", address.server()), &["mcp:tickets"]).await;
    address.is_forgetful.store(true, Ordering::Relaxed);
    let told = soon(scene.refused("tickets__create", json!({"title": "a"}))).await;
    let expected = "the MCP server `tickets` could not be asked: Session expired (HTTP 404); \
                    whether it did anything is unknown";
    assert_eq!(told, expected);
    assert_eq!(address.n_calls.load(Ordering::Relaxed), 2);
    // The session goes on, and a later call may find the server in order again.
    address.is_forgetful.store(false, Ordering::Relaxed);
    assert_eq!(scene.ok("tickets__create", json!({"title": "b"})).await, "ticket 1: b");
}

#[tokio::test]
async fn an_address_may_be_under_tls() {
    for url in ["https://127.0.0.1:1/mcp", "HTTPS://127.0.0.1:1/mcp", "http://127.0.0.1:1/mcp"] {
        let transport = remote::transport(url, &BTreeMap::new());
        assert!(transport.is_ok(), "{url}: {:?}", transport.err());
    }
}

#[tokio::test]
async fn an_address_where_nobody_listens_is_told() {
    // It has its port, so that nobody else gets it.
    let deaf = TcpSocket::new_v4().unwrap();
    deaf.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}/mcp", deaf.local_addr().unwrap());
    let server = McpServer::Url { url, headers: BTreeMap::new() };
    let scene = Scene::of(ToolSet::workspace().with_server("tickets", server), &["mcp:tickets"]).await;
    let [("tools.mcp_unavailable", message)] = told(&scene)[..] else {
        panic!("{:?}", scene.kit.diagnostics)
    };
    assert!(message.contains("cannot be used, its tools are left out: shake hands: "), "{message}");
}

/// A service that takes every request and answers none, or none but the first ones.
struct Silent {
    from_the_start: bool,
    /// It was told that a call is not wanted any more.
    canceled: Arc<AtomicBool>,
}

impl ServerHandler for Silent {
    async fn initialize(
        &self,
        _: InitializeRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<InitializeResult, ErrorData> {
        if self.from_the_start {
            pending().await
        }
        Ok(ServerConfig::new(ServerCapabilities::builder().enable_tools().build()))
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        // For ever the same page: a list without end.
        let tools = vec![rmcp::model::Tool::new("wait", "Waits.", Arc::default())];
        Ok(ListToolsResult { tools, next_cursor: Some("1".to_owned()), ..ListToolsResult::default() })
    }

    async fn call_tool(
        &self,
        _: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        context.ct.cancelled().await;
        self.canceled.store(true, Ordering::Relaxed);
        pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_answers_is_waited_for_no_longer_than_its_limit_and_then_told() {
    let canceled = Arc::default();
    let silent = |from_the_start| Silent { from_the_start, canceled: Arc::clone(&canceled) };
    let set = ToolSet::workspace().with_service("silent", silent(true));
    let scene = Scene::of(set, &["mcp:silent"]).await;
    let message = "the MCP server `silent` cannot be used, its tools are left out: no answer within 30 s";
    assert_eq!(told(&scene), [("tools.mcp_unavailable", message)]);

    let set = ToolSet::workspace().with_service("silent", silent(false));
    let scene = Scene::of(set, &["mcp:silent"]).await;
    assert_eq!(names(&scene), ["silent__wait"], "a list without end has one, too");
    let twice = "a tool of the MCP server `silent` is left out: `wait` is there twice";
    assert_eq!(told(&scene), [("tools.mcp_tool_refused", twice)]);
    let (_wanted, cancellation) = Cancellation::pair();
    let output = scene.tool("silent__wait").call(call(json!({}), cancellation)).await;
    let expected = "the server did not answer within 120 s; whether it did anything is unknown";
    assert_eq!(output, ToolOutput::error(expected));
    eventually("the server knows", || canceled.load(Ordering::Relaxed)).await;
}
