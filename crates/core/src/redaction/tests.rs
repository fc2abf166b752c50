mod streams;

use musher_protocol::{StopReason, ToolCallId};
use serde_json::json;

use super::*;

const KEY: &str = "sk-canary-0123456789";
const NAME: &str = "[redacted:A_KEY]";

fn redaction() -> Redaction {
    let vault = Vault::default();
    vault.hide("A_KEY", KEY.as_bytes());
    Redaction::new(Arc::new(vault))
}

fn events(shown: Vec<Shown>) -> Vec<Event> {
    let event = |Shown { report, hidden: _ }| {
        let Report::Event(event) = report else { panic!("{report:?}") };
        event
    };
    shown.into_iter().map(event).collect()
}

fn delta(text: &str) -> Event {
    Event::TextDelta { block: 0, text: text.to_owned() }
}

#[test]
fn a_secret_cut_anywhere_is_found_and_nothing_else_is_changed() {
    let said = format!("the key is {KEY}, sk-can and sk-canary-{KEY} and sk-");
    let expected = format!("the key is {NAME}, sk-can and sk-canary-{NAME} and sk-");
    for first in 0..said.len() {
        for second in first..said.len() {
            let mut redaction = redaction();
            let mut got = String::new();
            let pieces = [&said[..first], &said[first..second], &said[second..]];
            let done = Event::TextDone { block: 0, text: said.clone() };
            for event in pieces.into_iter().map(delta).chain([done]) {
                for event in events(redaction.take(Report::Event(event))) {
                    if let Event::TextDelta { text, .. } = event {
                        got += &text;
                    } else if let Event::TextDone { text, .. } = event {
                        assert_eq!(text, expected);
                    } else {
                        assert_eq!(event, Event::Alive);
                    }
                }
            }
            assert_eq!(got, expected, "cut at {first} and {second}");
        }
    }
}

#[test]
fn what_comes_between_two_pieces_does_not_hide_a_secret() {
    let mut redaction = redaction();
    let other = Event::ThinkingDelta { block: 1, text: "hm".to_owned() };
    let reports = [delta("sk-canary"), other.clone(), Event::Alive, delta("-0123456789!")];
    let got: Vec<_> = reports.into_iter().flat_map(|event| redaction.take(Report::Event(event))).collect();
    assert_eq!(events(got), [Event::Alive, other, Event::Alive, delta(&format!("{NAME}!"))]);
}

#[test]
fn a_stream_that_breaks_off_in_a_secret_does_not_show_its_beginning() {
    for last in [Event::TurnEnded(TurnEnd::Interrupted), Event::WokenEnded(TurnEnd::Interrupted)] {
        let mut redaction = redaction();
        assert_eq!(events(redaction.take(Report::Event(delta("it is sk-canary-01234")))), [delta("it is ")]);
        let got = events(redaction.take(Report::Event(last.clone())));
        assert_eq!(got, [delta(NAME), last]);
    }
    let mut redaction = redaction();
    drop(redaction.take(Report::Event(delta("sk-"))));
    assert_eq!(events(redaction.finish()), [delta("sk-")]);
    assert_eq!(events(redaction.finish()), []);
}

#[test]
fn a_secret_that_is_a_name_of_ours_changes_no_name() {
    let vault = Vault::default();
    vault.hide("A_KEY", b"settings");
    let mut redaction = Redaction::new(Arc::new(vault));
    let environment = json!({
        "tools": ["settings"], "mcp_servers": [{"name": "settings", "state": "connected"}],
        "settings_sources": ["user"], "env_keys": [], "sandbox": "none",
    });
    let environment = serde_json::from_value(environment).unwrap();
    let shown = events(redaction.take(Report::Event(Event::Environment(environment))));
    let [Event::Environment(shown)] = &shown[..] else { panic!("{shown:?}") };
    let expected = json!({
        "tools": [NAME], "mcp_servers": [{"name": NAME, "state": "connected"}],
        "settings_sources": ["user"], "env_keys": [], "sandbox": "none",
    });
    assert_eq!(serde_json::to_value(shown).unwrap(), expected);
}

#[test]
fn every_text_of_a_report_is_looked_at() {
    let said = || format!("x {KEY} y");
    let id = || "call".parse::<ToolCallId>().unwrap();
    let error = || TurnError { code: "c".to_owned(), message: said() };
    let output = ToolOutput { content: said(), whole: Some(said()), is_error: false, diff: Some(said()) };
    let reports = [
        Event::TextDone { block: 0, text: said() },
        Event::ThinkingDone { block: 0, text: said() },
        Event::ToolCallStarted { tool_call_id: id(), name: said() },
        Event::ToolCallDone {
            tool_call_id: id(),
            name: said(),
            input: json!({ said(): [said(), {"a": said()}] }),
        },
        Event::ToolResult { tool_call_id: id(), output },
        Event::RateLimited { scope: said(), reset_at: None },
        Event::Retrying {
            attempt: 1,
            max_attempts: 2,
            delay_ms: 3,
            reason: said(),
            discarded_blocks: Vec::new(),
        },
        Event::Diagnostic { code: "c".to_owned(), message: said() },
        Event::TurnEnded(TurnEnd::Failed(error())),
        Event::WokenEnded(TurnEnd::Refused { vendor_stop_reason: Some(said()), message: said() }),
        Event::TurnEnded(TurnEnd::Completed {
            stop_reason: StopReason::Other,
            vendor_stop_reason: Some(said()),
        }),
    ];
    let mut redaction = redaction();
    for event in reports {
        let shown = format!("{:?}", redaction.take(Report::Event(event)));
        assert!(!shown.contains(KEY) && shown.contains(NAME), "{shown}");
    }
    let stderr = SessionOutcome { stderr_tail: Some(said()), ..SessionOutcome::crashed() };
    let survivor = Survivor { pid: 1, command: said() };
    let shown = format!(
        "{:?} {:?} {:?}",
        redaction.outcome(Ok(stderr)),
        redaction.outcome(Err(error())),
        redaction.survivors(vec![survivor])
    );
    assert_eq!((shown.contains(KEY), shown.matches(NAME).count()), (false, 3), "{shown}");
}
