use jiff::Timestamp;
use musher_protocol::{
    Actor, ApprovalState, Connection, LastResult, Operation, Question, Survivor, TurnError, TurnOutcome,
    Usage,
};
use serde_json::json;

use super::*;
use crate::fold::EndKind;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn id<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

fn execution(run_state: RunState, turn: Option<&str>) -> Execution {
    Execution {
        connection: Connection::Connected,
        run_state,
        since_at: at(5),
        turn_id: turn.map(id),
        until: (run_state == RunState::Parked).then(|| at(60)),
        last_result: Some(LastResult { operation: Operation::Turn, outcome: TurnOutcome::Failed }),
    }
}

fn outcome(limit: Option<LimitKind>, code: Option<&str>) -> Outcome {
    Outcome {
        turn_id: id("trn_1"),
        outcome: TurnOutcome::Failed,
        stop_reason: None,
        limit,
        error: code.map(|code| TurnError { code: code.to_owned(), message: "no key".to_owned() }),
        text: String::new(),
        text_truncated: false,
        finished_at: at(4),
        session_id: None,
        exit_ok: None,
        aborted: None,
        rate_limited: None,
        rate_limit_reset_at: None,
        usage: Usage::zero(),
    }
}

fn end(n_survivors: i32) -> End {
    let survivors = (0..n_survivors).map(|pid| Survivor { pid, command: "sh".to_owned() }).collect();
    End { kind: EndKind::Stop, request: id("evt_1"), reason: None, survivors }
}

fn approval(name: &str, kind: ApprovalKind, asked_at: i64) -> Approval {
    let question =
        Question { question: "Which?".to_owned(), header: None, options: Vec::new(), multi_select: false };
    Approval {
        approval_id: id(name),
        worker_id: id("wrk_1"),
        turn_id: id("trn_1"),
        tool_call_id: None,
        kind,
        tool: "shell".to_owned(),
        input: json!({}),
        blob: None,
        redacted: false,
        questions: if kind == ApprovalKind::Question { vec![question] } else { Vec::new() },
        suggestions: Vec::new(),
        state: ApprovalState::Pending,
        requested_at: at(asked_at),
        deadline_at: at(600),
        decision: None,
        message: None,
        by: None::<Actor>,
    }
}

fn post(board: &Arc<Board>, labels: &[(&str, &str)]) -> Post {
    let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Post { board: Arc::clone(board), display_name: Some("Ada".to_owned()), labels }
}

fn shown(list: &AttentionReply) -> Vec<&str> {
    list.attention.iter().map(|item| item.attention_id.as_str()).collect()
}

fn everything() -> AttentionFilter {
    AttentionFilter::default()
}

#[test]
fn what_a_worker_needs_follows_from_its_log() {
    let (idle, busy) = (execution(RunState::Idle, None), execution(RunState::Busy, Some("trn_2")));
    let parked = execution(RunState::Parked, Some("trn_2"));
    let stopped = execution(RunState::Stopped, None);
    let (login, other) =
        (outcome(None, Some("authentication_failed")), outcome(None, Some("provider_error")));
    let (silent, slow) =
        (outcome(Some(LimitKind::InactivitySecs), None), outcome(Some(LimitKind::WallSecs), None));
    let (whole, left) = (end(0), end(2));
    let needs = |execution, outcome| Needs {
        is_terminal: false,
        execution,
        outcome: Some(outcome),
        end: None,
        is_held: false,
    };
    let ended = |end| Needs { is_terminal: true, end: Some(end), ..needs(&stopped, &login) };
    let nothing = Needs { outcome: None, ..needs(&idle, &login) };
    let cases = [
        (nothing, None),
        (needs(&idle, &other), None),
        (needs(&idle, &slow), None),
        (needs(&idle, &login), Some(("att_login_trn_1", 4, "cannot log in: no key"))),
        (needs(&busy, &login), None),
        (
            needs(&parked, &login),
            Some(("att_parked_trn_2", 5, "waits until the vendor takes requests again")),
        ),
        (
            needs(&idle, &silent),
            Some(("att_stuck_trn_1", 4, "its turn was ended because nothing was heard of it")),
        ),
        (needs(&busy, &silent), None),
        (
            Needs { is_held: true, ..needs(&idle, &other) },
            Some((
                "att_stuck_trn_1",
                4,
                "its turns were cut off by restarts too often; it waits for its next input",
            )),
        ),
        (ended(&whole), None),
        (ended(&left), Some(("att_stuck_wrk_1", 5, "2 of its processes could not be ended"))),
    ];
    for (needs, expected) in cases {
        let board = Board::new();
        post(&board, &[]).show(&id("wrk_1"), needs, std::iter::empty());
        let list = board.list(&everything());
        let expected: Vec<_> = expected
            .map(|(name, since, message): (&str, i64, &str)| (name, at(since), message))
            .into_iter()
            .collect();
        let items: Vec<_> = list
            .attention
            .iter()
            .map(|item| (item.attention_id.as_str(), item.since_at, item.message.as_str()))
            .collect();
        assert_eq!(items, expected);
    }
}

#[test]
fn approvals_come_and_go_and_only_that_wakes() {
    let board = Board::new();
    let mut changes = board.watch();
    let mut woke = || {
        let woke = changes.has_changed().unwrap();
        changes.mark_unchanged();
        woke
    };
    let waiting = execution(RunState::Waiting, Some("trn_1"));
    let needs = Needs { is_terminal: false, execution: &waiting, outcome: None, end: None, is_held: false };
    let worker = id("wrk_1");
    let (tool, question) =
        (approval("apr_2", ApprovalKind::Tool, 2), approval("apr_1", ApprovalKind::Question, 1));
    let ours = post(&board, &[("team", "a")]);

    let empty = board.list(&everything());
    ours.show(&worker, needs, [&tool].into_iter());
    assert!(woke());
    ours.show(&worker, needs, [&tool].into_iter());
    assert!(!woke(), "nothing is new");
    let one = board.list(&everything());
    ours.show(&worker, needs, [&tool, &question].into_iter());
    assert!(woke());
    let two = board.list(&everything());
    assert_eq!(shown(&two), ["att_question_apr_1", "att_approval_apr_2"], "the oldest first");
    assert_eq!(two.attention[0].message, "asks: Which?");
    let asked = AttentionItem {
        attention_id: id("att_approval_apr_2"),
        kind: AttentionKind::Approval,
        worker_id: worker.clone(),
        display_name: Some("Ada".to_owned()),
        labels: [("team".to_owned(), "a".to_owned())].into(),
        message: "asks to use `shell`".to_owned(),
        since_at: at(2),
        deadline_at: Some(at(600)),
        until: None,
        approval: Some(tool.clone()),
    };
    assert_eq!(two.attention[1], asked);
    let tokens = [empty.next, one.next, two.next];
    assert!(tokens[0] != tokens[1] && tokens[1] != tokens[2] && tokens[0] != tokens[2]);

    ours.show(&worker, needs, [&tool].into_iter());
    assert_eq!(board.list(&everything()), one, "the same list has the same name");
    board.remove(&worker);
    assert_eq!((board.list(&everything()), woke()), (empty, true));
    board.remove(&worker);
    assert!(!woke());
}

#[test]
fn a_list_is_of_a_kind_and_of_a_label() {
    let board = Board::new();
    let waiting = execution(RunState::Waiting, Some("trn_1"));
    let needs = Needs { is_terminal: false, execution: &waiting, outcome: None, end: None, is_held: false };
    let (a, b) = (approval("apr_a", ApprovalKind::Tool, 1), approval("apr_b", ApprovalKind::Question, 2));
    post(&board, &[("team", "a")]).show(&id("wrk_a"), needs, [&a].into_iter());
    post(&board, &[("team", "b")]).show(&id("wrk_b"), needs, [&b].into_iter());
    let list = |kind, label: Option<(&str, &str)>| {
        let label = label.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let list = board.list(&AttentionFilter { kind, labels: label.into_iter().collect() });
        list.attention.iter().map(|item| item.worker_id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(list(None, None), ["wrk_a", "wrk_b"]);
    assert_eq!(list(Some(AttentionKind::Question), None), ["wrk_b"]);
    assert_eq!(list(None, Some(("team", "a"))), ["wrk_a"]);
    assert_eq!(list(Some(AttentionKind::Question), Some(("team", "a"))), Vec::<String>::new());
    assert_eq!(list(None, Some(("team", ""))), Vec::<String>::new());
    assert_eq!(list(None, Some(("crew", "a"))), Vec::<String>::new());
}

#[test]
fn above_the_bounds_the_oldest_are_shown_and_the_rest_is_counted() {
    let board = Board::new();
    let idle = execution(RunState::Idle, None);
    let login = outcome(None, Some("authentication_failed"));
    let needs =
        Needs { is_terminal: false, execution: &idle, outcome: Some(&login), end: None, is_held: false };
    for n in 0..MAX_ITEMS + 7 {
        post(&board, &[]).show(&id(&format!("wrk_{n:05}")), needs, std::iter::empty());
    }
    let list = board.list(&everything());
    assert_eq!((list.attention.len(), list.omitted), (MAX_ITEMS, 7));
    board.remove(&id("wrk_00000"));
    let fewer = board.list(&everything());
    assert_eq!((fewer.attention.len(), fewer.omitted), (MAX_ITEMS, 6));
    assert_ne!(fewer.next, list.next);
}

#[test]
fn what_is_large_in_an_approval_is_left_out() {
    let mut asked = approval("apr_1", ApprovalKind::Question, 1);
    asked.input = json!({ "text": "x".repeat(50_000) });
    asked.questions[0].question = "y".repeat(5_000);
    asked.suggestions = vec![json!("z".repeat(5_000))];
    let shown = brief(asked.clone());
    let expected = Approval {
        input: json!({ "omitted_bytes": 50_011 }),
        questions: Vec::new(),
        suggestions: Vec::new(),
        ..asked
    };
    assert_eq!(shown, expected);
}

#[tokio::test]
async fn what_a_worker_says_itself_is_newer_than_any_row_of_an_earlier_life() {
    let board = Board::new();
    let ours = post(&board, &[]);
    let idle = execution(RunState::Idle, None);
    let login = outcome(None, Some("authentication_failed"));
    let needs =
        Needs { is_terminal: false, execution: &idle, outcome: Some(&login), end: None, is_held: false };
    let well = Needs { outcome: None, ..needs };
    let (silent, busy, deleted, late) = (id("wrk_1"), id("wrk_2"), id("wrk_3"), id("wrk_4"));
    ours.show(&busy, well, std::iter::empty());
    board.remove(&deleted);
    for worker in [&silent, &busy, &deleted] {
        ours.recall(worker, needs);
    }
    board.recalled(Ok(()));
    board.is_whole().await.unwrap();
    ours.recall(&late, needs);
    let list = board.list(&everything());
    let workers: Vec<_> = list.attention.iter().map(|item| &item.worker_id).collect();
    assert_eq!(workers, [&silent]);
    ours.show(&silent, well, std::iter::empty());
    assert_eq!(board.list(&everything()).attention, []);
}
