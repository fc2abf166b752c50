//! The wire, value for value: one full value of each type, as it is sent and as it reads back.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{fmt::Debug, str::FromStr};

use insta::assert_json_snapshot;
use jiff::Timestamp;
use musher_protocol::*;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

fn id<T: FromStr<Err: Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_795_176_000 + second).unwrap()
}

fn worker_ref() -> WorkerRef {
    WorkerRef { runtime_id: id("rt_1"), worker_id: id("wrk_1") }
}

fn cursor() -> Cursor {
    Cursor::new(&id("wrk_1"), 7, 0xabcd)
}

fn by() -> Actor {
    Actor { token: "ci".into(), actor: Some("ada".into()) }
}

fn usage() -> Usage {
    Usage {
        input_tokens: Some(1107),
        output_tokens: Some(13),
        cache_creation_input_tokens: Some(7),
        cache_read_input_tokens: Some(1000),
        reasoning_tokens: None,
        total_cost_usd: None,
        cost_follows: true,
        known_cost_usd: Some(0.25),
        cost_source: Some(CostSource::Reported),
        price_table_version: None,
    }
}

fn error() -> TurnError {
    TurnError { code: "provider_error".into(), message: "the vendor said no".into() }
}

fn execution() -> Execution {
    Execution {
        connection: Connection::Connected,
        run_state: RunState::Parked,
        since_at: at(1),
        turn_id: Some(id("trn_1")),
        until: Some(at(60)),
        last_result: Some(LastResult { operation: Operation::Turn, outcome: TurnOutcome::Completed }),
    }
}

fn outcome() -> Outcome {
    Outcome {
        turn_id: id("trn_1"),
        outcome: TurnOutcome::LimitReached,
        stop_reason: Some(StopReason::Other),
        limit: Some(LimitKind::InactivitySecs),
        error: Some(error()),
        text: "half".into(),
        text_truncated: true,
        finished_at: at(9),
        session_id: Some(id("s-1")),
        exit_ok: Some(false),
        aborted: Some(false),
        rate_limited: Some(true),
        rate_limit_reset_at: Some(at(60)),
        usage: usage(),
    }
}

fn blob() -> BlobRef {
    BlobRef { digest: Digest([0xab; 32]), bytes: 70_000 }
}

fn entry() -> TranscriptEntry {
    TranscriptEntry {
        sequence: 2,
        worker_ref: worker_ref(),
        role: Role::Tool,
        content: String::new(),
        blob: Some(blob()),
        event_id: id("evt_1"),
        at: at(2),
        turn_id: Some(id("trn_1")),
        partial: true,
        tool_call_id: Some(id("toolu_1")),
        name: Some("shell".into()),
        input: Some(json!("{\"command\": \"make")),
        input_blob: Some(blob()),
        result: Some("ok".into()),
        result_blob: Some(blob()),
        is_error: Some(false),
    }
}

fn approval() -> Approval {
    Approval {
        approval_id: id("apr_1"),
        worker_id: id("wrk_1"),
        turn_id: id("trn_1"),
        tool_call_id: Some(id("toolu_1")),
        kind: ApprovalKind::Question,
        tool: "AskUserQuestion".into(),
        input: json!({"questions": []}),
        blob: Some(blob()),
        redacted: true,
        questions: vec![Question {
            question: "Which?".into(),
            header: Some("Color".into()),
            options: vec![QuestionOption { label: "red".into(), description: Some("like blood".into()) }],
            multi_select: true,
        }],
        suggestions: vec![json!({"type": "addRules"})],
        state: ApprovalState::Resolved,
        requested_at: at(3),
        deadline_at: at(603),
        decision: Some(Decision::Deny),
        message: Some("no".into()),
        by: Some(by()),
    }
}

fn limits() -> WorkerLimits {
    WorkerLimits {
        turns: Some(50),
        tokens: Some(2_000_000),
        cost_usd: Some(5.5),
        wall_secs: Some(7200),
        inactivity_secs: Some(300),
        tool_rounds: Some(100),
        background_secs: Some(60),
        queued_inputs: Some(64),
    }
}

fn survivor() -> Survivor {
    Survivor { pid: 4242, command: "sleep".into() }
}

fn payloads() -> Vec<Payload> {
    let requested = || EndRequested { reason: Some("enough".into()), by: by() };
    let ended = || {
        Box::new(WorkerEnded {
            reason: Some("enough".into()),
            survivors: vec![survivor()],
            outcome: Some(outcome()),
        })
    };
    let turn_id = || id::<TurnId>("trn_1");
    let text = || "hello".to_owned();
    let Usage {
        input_tokens,
        output_tokens,
        cache_creation_input_tokens,
        cache_read_input_tokens,
        reasoning_tokens,
        ..
    } = usage();
    vec![
        Payload::Snapshot(Box::new(Snapshot {
            status: WorkerStatus::Running,
            execution: execution(),
            head: cursor(),
            entries: vec![entry()],
            total_entries: 2,
            in_flight: vec![InFlight {
                turn_id: turn_id(),
                block: Some(1),
                tool_call_id: Some(id("toolu_1")),
                kind: InFlightKind::ToolCall,
                text: "{".into(),
                omitted_bytes: 7,
            }],
            approvals: vec![approval()],
        })),
        Payload::WorkerCreated(Box::new(WorkerCreated {
            intent: Intent::Role { role: "reviewer".into(), purpose: Some("pull requests".into()) },
            profile: "coder".into(),
            backend: "claude-pty".into(),
            display_name: Some("Ada".into()),
            labels: [("team".into(), "a".into())].into(),
            by: by(),
        })),
        Payload::InputAccepted {
            input_id: id("i-1"),
            kind: InputKind::User,
            content: text(),
            blob: Some(blob()),
            delivery: Delivery::RejectIfBusy,
            by: by(),
        },
        Payload::InputDelivered { input_id: id("i-1"), turn_id: turn_id() },
        Payload::InputTaken { input_id: id("i-1") },
        Payload::InputDropped { input_id: id("i-1"), reason: "the worker ended".into() },
        Payload::InterruptRequested(requested()),
        Payload::StopRequested(requested()),
        Payload::CancelRequested(requested()),
        Payload::UserMessage { input_id: id("i-1"), content: text(), blob: Some(blob()) },
        Payload::SystemItem { content: text(), blob: Some(blob()), input_id: Some(id("i-1")) },
        Payload::SessionStarted(SessionStarted {
            session_id: id("s-1"),
            backend: "claude-pty".into(),
            model: Some("sonnet".into()),
            resumed: true,
            node: "n".into(),
        }),
        Payload::SessionEnvironment(SessionEnvironment {
            cli_version: Some("2.1.329".into()),
            model: Some("opus".into()),
            permission_mode: Some("default".into()),
            tools: vec!["Bash".into()],
            mcp_servers: vec![McpServer { name: "tickets".into(), state: "connected".into() }],
            settings_sources: vec!["user".into()],
            env_keys: vec!["PATH".into()],
            sandbox: "none".into(),
        }),
        Payload::SessionEnded(Box::new(SessionEnded {
            session_id: Some(id("s-1")),
            exit_ok: false,
            aborted: true,
            rate_limited: true,
            rate_limit_reset_at: Some(at(60)),
            usage: usage(),
            exit_code: Some(1),
            signal: Some(9),
            stderr_tail: Some("Error".into()),
            survivors: vec![survivor()],
        })),
        Payload::TurnStarted { turn_id: turn_id(), input_ids: vec![id("i-1")], cause: TurnCause::Background },
        Payload::TurnFinished(Box::new(TurnFinished {
            turn_id: turn_id(),
            outcome: TurnOutcome::Failed,
            stop_reason: Some(StopReason::Length),
            vendor_stop_reason: Some("max_tokens".into()),
            limit: Some(LimitKind::ToolRounds),
            error: Some(error()),
            usage: usage(),
            text_so_far: Some("half".into()),
            blob: Some(blob()),
            last_tool: Some("shell".into()),
            tool_may_have_run: true,
        })),
        Payload::TextDelta { turn_id: turn_id(), block: 0, text: text() },
        Payload::TextDone { turn_id: turn_id(), block: 0, text: text(), blob: Some(blob()) },
        Payload::ThinkingDelta { turn_id: turn_id(), block: 1, text: text() },
        Payload::ThinkingDone { turn_id: turn_id(), block: 1, text: text(), blob: Some(blob()) },
        Payload::ToolCallStarted { turn_id: turn_id(), tool_call_id: id("toolu_1"), name: "shell".into() },
        Payload::ToolCallDelta { tool_call_id: id("toolu_1"), arguments: "{".into() },
        Payload::ToolCallDone {
            tool_call_id: id("toolu_1"),
            name: "shell".into(),
            input: json!({"command": "make"}),
            blob: Some(blob()),
        },
        Payload::ToolResult {
            tool_call_id: id("toolu_1"),
            content: "ok".into(),
            blob: Some(blob()),
            is_error: true,
            diff: Some("--- a".into()),
            diff_blob: Some(blob()),
        },
        Payload::ApprovalRequested(Box::new(approval())),
        Payload::ApprovalResolved {
            approval_id: id("apr_1"),
            decision: Decision::Allow,
            message: Some("go".into()),
            updated_input: Some(json!({})),
            blob: Some(blob()),
            answers: Some([("Which?".into(), vec!["red".into()])].into()),
            interrupt: true,
            remember: Some(Remember::Tool),
            by: by(),
        },
        Payload::Usage {
            turn_id: turn_id(),
            input_tokens,
            output_tokens,
            cache_creation_input_tokens,
            cache_read_input_tokens,
            reasoning_tokens,
            total_cost_usd: Some(0.01),
            cost_follows: false,
            cost_source: Some(CostSource::Estimated),
            price_table_version: Some("2026-11-28".into()),
        },
        Payload::RateLimited { scope: "five_hour".into(), reset_at: Some(at(60)) },
        Payload::Retrying(Retrying {
            turn_id: turn_id(),
            attempt: 2,
            max_attempts: 10,
            delay_ms: 500,
            reason: "overloaded".into(),
            discarded_blocks: vec![0],
        }),
        Payload::LimitReached { which: LimitKind::CostUsd },
        Payload::LimitsRaised {
            limits: WorkerLimits { cost_usd: Some(2.5), turns: Some(80), ..WorkerLimits::default() },
            by: by(),
        },
        Payload::Status { status: WorkerStatus::Running, execution: execution() },
        Payload::Diagnostic { code: "claude.unknown_event".into(), message: "text".into() },
        Payload::Error { code: "internal".into(), message: "text".into() },
        Payload::WorkerStopped(ended()),
        Payload::WorkerCancelled(ended()),
    ]
}

fn envelope(payload: Payload) -> Envelope {
    Envelope { cursor: cursor(), seq: 7, event_id: id("evt_7"), worker_id: id("wrk_1"), at: at(7), payload }
}

/// What was sent reads back as what it was.
fn round_trip<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) {
    let text = serde_json::to_string(value).unwrap();
    assert_eq!(&serde_json::from_str::<T>(&text).unwrap(), value, "{text}");
}

fn detail() -> WorkerDetail {
    WorkerDetail {
        worker_ref: worker_ref(),
        worker_id: id("wrk_1"),
        display_name: Some("Ada".into()),
        labels: [("team".into(), "a".into())].into(),
        intent: Intent::Task { objective: "fix the failing test".into() },
        intent_kind: IntentKind::Task,
        profile: "coder".into(),
        config_bundle: Some(ConfigBundleRef { id: id("team-a"), digest: Digest([0xab; 32]) }),
        backend: "claude-pty".into(),
        capabilities: vec![Capability::Read, Capability::Mcp("tickets".into())],
        limits: limits(),
        workspaces: vec![WorkerWorkspace {
            name: "main".into(),
            reference: "shop".into(),
            isolation: Isolation::Worktree,
            branch: Some("musher/wrk_1".into()),
            base_commit: Some("5a02c169ab3944ffb4f12d7e85edbd1db8369d10".into()),
        }],
        mounts: vec![WorkerMount { name: "docs".into(), reference: "handbook".into(), writable: false }],
        status: WorkerStatus::Running,
        execution: execution(),
        session_id: Some(id("s-1")),
        node: Some("n".into()),
        transcript_len: 2,
        queued_inputs: 1,
        open_approvals: 1,
        usage: usage(),
        outcome: Some(outcome()),
        cursor: cursor(),
        last_event_id: id("evt_7"),
        created_at: at(0),
        updated_at: at(7),
    }
}

fn summary() -> WorkerSummary {
    let WorkerDetail { worker_ref, worker_id, display_name, labels, intent_kind, profile, backend, .. } =
        detail();
    WorkerSummary {
        worker_ref,
        worker_id,
        display_name,
        labels,
        intent_kind,
        profile,
        backend,
        status: WorkerStatus::Cancelled,
        execution: execution(),
        transcript_len: 2,
        queued_inputs: 0,
        open_approvals: 0,
        usage: usage(),
        outcome: None,
        cursor: cursor(),
        last_event_id: id("evt_7"),
        created_at: at(0),
        updated_at: at(7),
    }
}

fn attention_item() -> AttentionItem {
    AttentionItem {
        attention_id: AttentionId::of(AttentionKind::Question, "apr_1"),
        kind: AttentionKind::Question,
        worker_id: id("wrk_1"),
        display_name: Some("Ada".into()),
        labels: [("team".into(), "a".into())].into(),
        message: "asks: Which?".into(),
        since_at: at(3),
        deadline_at: Some(at(603)),
        until: Some(at(60)),
        approval: Some(approval()),
    }
}

#[test]
fn events() {
    let payloads = payloads();
    let mut types: Vec<_> = payloads.iter().map(Payload::type_name).collect();
    assert_eq!(types.remove(0), "snapshot");
    assert_eq!(types, Payload::TYPES, "one value of each type");
    for payload in payloads {
        let name = payload.type_name();
        let value = serde_json::to_value(&payload).unwrap();
        assert_eq!(value["type"], name);
        assert_json_snapshot!(format!("event_{name}"), payload);
        round_trip(&payload);
    }
}

#[test]
fn streams() {
    let event = Frame::Event { envelope: Box::new(envelope(Payload::InputTaken { input_id: id("i-1") })) };
    let diagnostic = Frame::Diagnostic {
        diagnostic: Diagnostic {
            code: DiagnosticCode::CursorUnknownOrExpired,
            message: "the log has another history".into(),
            oldest_cursor: Some(cursor()),
            reason: Some("history_changed".into()),
            worker_id: Some(id("wrk_1")),
            topic: None,
        },
    };
    let frames = [
        ("event", event),
        ("diagnostic", diagnostic),
        ("catalog_worker", Frame::Catalog { worker: Some(Box::new(summary())), deleted: None }),
        ("catalog_deleted", Frame::Catalog { worker: None, deleted: Some(id("wrk_1")) }),
        ("attention", Frame::Attention { attention: vec![attention_item()], omitted: 1 }),
        ("subscribed", Frame::Subscribed { topic: Topic::Catalog }),
        ("unsubscribed_worker", Frame::Unsubscribed { worker_id: Some(id("wrk_1")), topic: None }),
        ("unsubscribed_topic", Frame::Unsubscribed { worker_id: None, topic: Some(Topic::Attention) }),
    ];
    for (name, frame) in frames {
        assert_json_snapshot!(format!("frame_{name}"), frame);
        round_trip(&frame);
    }
    let worker_id = Some(id("wrk_1"));
    let cursor = Some(cursor().to_string());
    let requests = [
        ("worker", StreamRequest::Subscribe { worker_id: worker_id.clone(), topic: None, cursor }),
        ("topic", StreamRequest::Subscribe { worker_id: None, topic: Some(Topic::Catalog), cursor: None }),
        ("unsubscribe", StreamRequest::Unsubscribe { worker_id, topic: None }),
    ];
    for (name, request) in requests {
        assert_json_snapshot!(format!("stream_request_{name}"), request);
        round_trip(&request);
    }
}

#[test]
fn replies() {
    let runtime = RuntimeReply {
        runtime: RuntimeSummary {
            runtime_id: id("rt_1"),
            display_name: "build farm".into(),
            store: StoreKind::Memory,
            status: RuntimeStatus::Running,
            worker_count: 6,
            active_worker_count: 1,
            stopped_worker_count: 2,
            cancelled_worker_count: 3,
            diagnostic_count: 4,
            worker_creation_available: true,
            version: "0.1.0".into(),
            limits: RuntimeLimits { max_transcript_projection_items: 256, max_event_batch_items: 256 },
        },
    };
    let list = WorkerListReply { workers: vec![summary()], next: Some("wrk_1".into()) };
    let worker = WorkerReply { worker: detail() };
    let ack = AckReply {
        ack: Ack {
            worker_ref: worker_ref(),
            status: WorkerStatus::Stopped,
            event_id: id("evt_7"),
            cursor: cursor(),
        },
    };
    let input = InputAckReply {
        ack: InputAck {
            worker_ref: worker_ref(),
            status: WorkerStatus::Running,
            transcript_sequence: None,
            event_id: id("evt_7"),
            input_id: id("i-1"),
            duplicate: true,
            cursor: cursor(),
        },
    };
    let transcript = TranscriptReply {
        transcript: TranscriptPage {
            worker_ref: worker_ref(),
            start: 1,
            limit: 1,
            total_items: 3,
            items: vec![entry()],
            next_start: Some(2),
            cursor: cursor(),
        },
    };
    let events = EventsReply {
        events: vec![envelope(Payload::InputTaken { input_id: id("i-1") })],
        next: cursor(),
        has_more: false,
    };
    let error = ErrorReply {
        error: ErrorBody {
            code: ErrorCode::WorkerExecutionUnavailable,
            message: "backend `claude-pty` cannot run here".into(),
            request_id: id("req_1"),
            retryable: false,
            field: Some("/profile".into()),
            missing: vec!["program `claude`".into()],
            limit: Some(256),
            oldest_cursor: Some(cursor()),
            reason: Some("history_changed".into()),
            approval: Some(Box::new(approval())),
        },
    };
    assert_json_snapshot!("reply_runtime", runtime);
    assert_json_snapshot!("reply_list", list);
    assert_json_snapshot!("reply_worker", worker);
    assert_json_snapshot!("reply_ack", ack);
    assert_json_snapshot!("reply_input", input);
    assert_json_snapshot!("reply_transcript", transcript);
    let attention =
        AttentionReply { attention: vec![attention_item()], omitted: 7, next: Digest([0xab; 32]) };
    assert_json_snapshot!("reply_attention", attention);
    round_trip(&attention);
    let approvals = ApprovalsReply { approvals: vec![approval()] };
    let decision = DecisionReply { approval: approval(), duplicate: true };
    assert_json_snapshot!("reply_approvals", approvals);
    assert_json_snapshot!("reply_decision", decision);
    assert_json_snapshot!("reply_events", events);
    assert_json_snapshot!("reply_error", error);
    round_trip(&runtime);
    round_trip(&list);
    round_trip(&worker);
    round_trip(&ack);
    round_trip(&input);
    round_trip(&transcript);
    round_trip(&approvals);
    round_trip(&decision);
    round_trip(&events);
    round_trip(&error);
}

#[test]
fn requests() {
    let create = CreateWorker {
        intent: Intent::Task { objective: "fix the failing test".into() },
        profile: ProfileSelector::Named { value: "coder".into() },
        config_bundle: Some(ConfigBundleRef { id: id("team-a"), digest: Digest([0xab; 32]) }),
        requested_capabilities: Some(vec![CapabilityRequest {
            name: "mcp:tickets".into(),
            reason: Some("to read the ticket".into()),
        }]),
        workspace_refs: vec![WorkspaceRef { name: "main".into(), reference: "shop".into() }],
        mount_refs: vec![MountRef { name: "docs".into(), reference: "handbook".into() }],
        initial_input: Some(InitialInput {
            kind: InputKind::System,
            content: "be quick".into(),
            input_id: Some(id("i-1")),
        }),
        limits: Some(limits()),
        on_idle: OnIdle::Stop,
        resume: Some(ResumeRequest { session_id: id("s-1"), fresh_prompt: Some("from the start".into()) }),
        labels: [("team".into(), "a".into())].into(),
        display_name: Some("Ada".into()),
    };
    let input = InputRequest {
        kind: InputKind::User,
        content: "go on".into(),
        input_id: Some(id("i-2")),
        delivery: Delivery::Steer,
    };
    let command = CommandRequest { reason: Some("enough".into()), actor: Some("ada".into()) };
    let stop = StopRequest { reason: Some("enough".into()), actor: Some("ada".into()), grace_secs: Some(5) };
    let decision = DecisionRequest {
        decision: Permission::Allow,
        message: Some("go on".into()),
        updated_input: Some(json!({ "command": "make" })),
        answers: Some([("Which?".into(), vec!["Red".into(), "Blue".into()])].into()),
        interrupt: true,
        remember: Some(Remember::Input),
        actor: Some("ada".into()),
    };
    assert_json_snapshot!("request_decision", decision);
    round_trip(&decision);
    assert_json_snapshot!("request_create", create);
    assert_json_snapshot!("request_input", input);
    assert_json_snapshot!("request_command", command);
    assert_json_snapshot!("request_stop", stop);
    round_trip(&create);
    round_trip(&input);
    round_trip(&command);
    round_trip(&stop);
}

#[test]
fn the_shortest_requests_mean_the_defaults() {
    let create: CreateWorker = serde_json::from_value(json!({"intent": {"kind": "assistant"}})).unwrap();
    assert_eq!((create.profile, create.on_idle), (ProfileSelector::RuntimeDefault {}, OnIdle::Wait));
    let input: InputRequest = serde_json::from_value(json!({"kind": "user", "content": "x"})).unwrap();
    assert_eq!((input.delivery, input.input_id), (Delivery::Queue, None));
}

#[test]
fn requests_refuse_what_they_do_not_know() {
    fn refuses<T: DeserializeOwned + Debug>(value: Value, named: &str) {
        let error = serde_json::from_value::<T>(value).unwrap_err().to_string();
        assert!(error.contains(named), "{error}");
    }
    refuses::<CreateWorker>(json!({"intent": {"kind": "assistant"}, "mounts": []}), "unknown field `mounts`");
    refuses::<CreateWorker>(
        json!({"intent": {"kind": "task", "objective": "x", "more": 1}}),
        "unknown field `more`",
    );
    refuses::<CreateWorker>(json!({"intent": {"kind": "dream"}}), "unknown variant `dream`");
    refuses::<InputRequest>(
        json!({"kind": "user", "content": "x", "priority": 1}),
        "unknown field `priority`",
    );
    refuses::<InputRequest>(
        json!({"kind": "user", "content": "x", "input_id": ""}),
        "an id must not be empty",
    );
    refuses::<StopRequest>(json!({"grace": 1}), "unknown field `grace`");
    refuses::<CommandRequest>(json!({"force": true}), "unknown field `force`");
    refuses::<StreamRequest>(json!({"kind": "subscribe", "worker": "wrk_1"}), "unknown field `worker`");
    refuses::<StreamRequest>(json!({"kind": "stop"}), "unknown variant `stop`");
}

#[test]
fn what_a_newer_server_says_is_read() {
    let mut value = serde_json::to_value(envelope(Payload::InputTaken { input_id: id("i-1") })).unwrap();
    value["trace_id"] = json!("new");
    value["payload"]["confidence"] = json!(1);
    assert_eq!(
        serde_json::from_value::<Envelope>(value).unwrap().payload,
        Payload::InputTaken { input_id: id("i-1") }
    );

    let mut value = serde_json::to_value(envelope(Payload::InputTaken { input_id: id("i-1") })).unwrap();
    value["payload"] = json!({"type": "worker_dreamt", "of": ["sheep"]});
    let unknown: Envelope = serde_json::from_value(value).unwrap();
    assert_eq!((unknown.seq, unknown.payload), (7, Payload::Unknown), "its place in the log still counts");

    let frame: Frame = serde_json::from_value(json!({"kind": "weather", "sky": "blue"})).unwrap();
    assert_eq!(frame, Frame::Unknown);
    let topic = serde_json::from_value::<Frame>(json!({"kind": "subscribed", "topic": "weather"})).unwrap();
    assert_eq!(topic, Frame::Subscribed { topic: Topic::Unknown });

    let mut value = serde_json::to_value(WorkerReply { worker: detail() }).unwrap();
    let worker = &mut value["worker"];
    worker["status"] = json!("hibernating");
    worker["execution"]["run_state"] = json!("dreaming");
    worker["execution"]["connection"] = json!("entangled");
    worker["outcome"]["outcome"] = json!("superseded");
    worker["outcome"]["stop_reason"] = json!("bored");
    worker["outcome"]["limit"] = json!("patience");
    worker["workspaces"][0]["isolation"] = json!("vm");
    worker["pets"] = json!(["cat"]);
    let WorkerReply { worker } = serde_json::from_value(value).unwrap();
    let outcome = worker.outcome.unwrap();
    assert_eq!(
        (worker.status, worker.execution.run_state, worker.execution.connection),
        (WorkerStatus::Unknown, RunState::Unknown, Connection::Unknown)
    );
    assert_eq!(
        (outcome.outcome, outcome.stop_reason, outcome.limit),
        (TurnOutcome::Unknown, Some(StopReason::Unknown), Some(LimitKind::Unknown))
    );

    let error = json!({"error": {"code": "moon_phase", "message": "m", "request_id": "req_1", "retryable": true, "hint": "wait"}});
    assert_eq!(serde_json::from_value::<ErrorReply>(error).unwrap().error.code, ErrorCode::Unknown);
}
