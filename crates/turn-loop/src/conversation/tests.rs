use jiff::Timestamp;
use musher_protocol::{EventId, TranscriptEntry, WorkerRef};

use super::*;

fn scope(model: &str) -> Scope {
    Scope { provider: "test".to_owned(), base_url: "http://localhost".to_owned(), model: model.to_owned() }
}

fn entry(role: Role, content: &str) -> HistoryEntry {
    let entry = TranscriptEntry {
        sequence: 1,
        worker_ref: WorkerRef { runtime_id: "rt_1".parse().unwrap(), worker_id: "wrk_1".parse().unwrap() },
        role,
        content: content.to_owned(),
        blob: None,
        event_id: EventId::mint(),
        at: Timestamp::UNIX_EPOCH,
        turn_id: None,
        partial: false,
        tool_call_id: None,
        name: None,
        input: None,
        input_blob: None,
        result: None,
        result_blob: None,
        is_error: None,
    };
    HistoryEntry { entry, private: None }
}

fn tool(id: &str, input: Value, result: Option<&str>) -> HistoryEntry {
    let mut tool = entry(Role::Tool, "");
    tool.entry.tool_call_id = Some(id.parse().unwrap());
    tool.entry.name = Some("shell".to_owned());
    tool.entry.input = Some(input);
    tool.entry.result = result.map(str::to_owned);
    tool.entry.is_error = result.map(|_| false);
    tool
}

/// The entry with what a model of this scope had reported beside it.
fn placed(mut entry: HistoryEntry, place: u64, answer: u64, items: &[&str]) -> HistoryEntry {
    entry.private = Some(json!({"place": place, "answer": answer, "scope": scope("m"), "items": items}));
    entry
}

/// The items as one line: raw ones in brackets, those of ours by their words.
fn line(items: &[Item]) -> String {
    let raw =
        |raw: &Raw| raw.items.iter().map(|item| item.as_str().unwrap_or("?")).collect::<Vec<_>>().join(" ");
    let word = |item: &Item| match item {
        Item::User { text } => format!("user:{text}"),
        Item::System { text } => format!("system:{text}"),
        Item::Text { raw: Some(items), .. }
        | Item::Call { raw: Some(items), .. }
        | Item::Thinking { raw: items } => {
            format!("[{}]", raw(items))
        }
        Item::Text { text, raw: None } => format!("text:{text}"),
        Item::Call { arguments, raw: None, .. } => format!("call:{arguments}"),
        Item::Result { id, content, is_error, .. } => {
            format!("{id}{}{content}", if *is_error { "!" } else { "=" })
        }
    };
    items.iter().map(word).collect::<Vec<_>>().join(" ")
}

fn load(history: Vec<HistoryEntry>, model: &str) -> (String, Loaded) {
    let (conversation, loaded) = Conversation::load(history, &BTreeMap::new(), &scope(model));
    (line(conversation.items()), loaded)
}

fn two_calls() -> Vec<HistoryEntry> {
    vec![
        entry(Role::User, "go"),
        placed(entry(Role::Thinking, "hm"), 1, 1, &["rs"]),
        placed(tool("a", json!({"x": 1}), Some("1")), 2, 1, &["fc1"]),
        placed(tool("b", json!({}), Some("2")), 3, 1, &["fc2"]),
        placed(entry(Role::Assistant, "done"), 4, 2, &["rs2", "msg"]),
    ]
}

#[test]
fn raw_items_come_back_in_their_places_and_results_behind_the_calls_of_their_answer() {
    let (found, loaded) = load(two_calls(), "m");
    assert_eq!(found, "user:go [rs] [fc1] [fc2] a=1 b=2 [rs2 msg]");
    assert_eq!(loaded, Loaded::default());
}

#[test]
fn another_model_gets_words_instead_of_raw_items() {
    let (found, loaded) = load(two_calls(), "other");
    assert_eq!(found, r#"user:go call:{"x":1} call:{} a=1 b=2 text:done"#);
    assert_eq!(loaded, Loaded { foreign: 4, ..Loaded::default() });
}

#[test]
fn a_history_without_private_bodies_is_still_a_conversation() {
    let history = vec![
        entry(Role::System, "s"),
        tool("a", json!("not json"), Some("1")),
        entry(Role::Thinking, "hm"),
        entry(Role::Assistant, ""),
    ];
    assert_eq!(load(history, "m"), ("system:s call:not json a=1".to_owned(), Loaded::default()));
    let mut other = entry(Role::Assistant, "a");
    other.private = Some(json!({"another": "shape"}));
    assert_eq!(load(vec![other], "m"), ("text:a".to_owned(), Loaded { foreign: 1, ..Loaded::default() }));
}

#[test]
fn a_call_without_a_result_is_closed() {
    let history = vec![placed(tool("a", json!({}), None), 1, 1, &["fc"]), entry(Role::User, "and?")];
    let (found, loaded) = load(history, "m");
    assert_eq!(found, format!("[fc] a!{UNKNOWN_RESULT} user:and?"));
    assert_eq!(loaded, Loaded { orphans: 1, ..Loaded::default() });
}

#[test]
fn a_kept_history_stands_for_what_is_before_its_place() {
    let mut history = vec![entry(Role::System, &"s".repeat(1000))];
    history.extend(two_calls());
    let (mut conversation, _) = Conversation::load(history.clone(), &BTreeMap::new(), &scope("m"));
    conversation.push(Item::User { text: "more".to_owned() });
    conversation.summarize(conversation.old_items(), "all well");
    let kept = BTreeMap::from([(KEPT.to_owned(), conversation.to_keep().unwrap())]);
    let summary = "user:The conversation so far was too long. You summarized it like this:\n\nall well\n\n\
                   The last that the user said in it:\n\ngo";
    assert_eq!(line(conversation.items()), format!("{summary} [rs2 msg] user:more"));

    history.push(entry(Role::User, "more"));
    history.push(placed(entry(Role::Assistant, "yes"), 5, 3, &["msg2"]));
    let (again, _) = Conversation::load(history.clone(), &kept, &scope("m"));
    assert_eq!(line(again.items()), format!("{summary} [rs2 msg] user:more [msg2]"));
    // The log may have forgotten what the kept history stands for.
    let (pruned, _) = Conversation::load(history.split_off(6), &kept, &scope("m"));
    assert_eq!(line(pruned.items()), format!("{summary} [rs2 msg] user:more [msg2]"));
    assert_eq!((pruned.last_place, pruned.last_answer), (5, 3));
}

#[test]
fn a_kept_history_that_cannot_be_read_is_not_needed() {
    let kept = BTreeMap::from([(KEPT.to_owned(), b"[".to_vec())]);
    let (conversation, loaded) = Conversation::load(vec![entry(Role::User, "a")], &kept, &scope("m"));
    assert_eq!(line(conversation.items()), "user:a");
    assert_eq!(loaded, Loaded { is_kept_unreadable: true, ..Loaded::default() });
}

#[test]
fn the_oldest_tool_outputs_are_trimmed_first_and_the_last_not_at_all() {
    let mut conversation = Conversation::default();
    let long = "x".repeat(4000);
    for id in ["a", "b", "c"] {
        let (id, name): (ToolCallId, _) = (id.parse().unwrap(), "shell".to_owned());
        let arguments = "{}".to_owned();
        conversation.push_placed(Item::Call { id: id.clone(), name: name.clone(), arguments, raw: None }, 1);
        conversation.push(Item::Result { id, name, content: long.clone(), is_error: false });
    }
    let lengths = |conversation: &Conversation| {
        let results = conversation.items().iter();
        results
            .filter_map(
                |item| if let Item::Result { content, .. } = item { Some(content.len()) } else { None },
            )
            .collect::<Vec<_>>()
    };
    let before = conversation.estimate();
    conversation.measure(before);
    let freed = conversation.trim(500);
    assert_eq!(lengths(&conversation), [283, 4000, 4000]);
    assert_eq!(conversation.estimate(), before - freed);
    conversation.trim(10_000);
    assert_eq!(lengths(&conversation), [283, 283, 4000]);
    assert_eq!(conversation.trim(10_000), 0);
}

#[test]
fn a_summary_repeats_the_start_of_a_long_input_and_replaces_nothing_shorter() {
    let mut conversation = Conversation::default();
    conversation.push(Item::User { text: "é".repeat(8000) });
    conversation.summarize(1, "a log was pasted");
    let Some(Item::User { text }) = conversation.items().first() else { panic!("a summary") };
    assert!(text.ends_with(&"é".repeat(4096)) && text.len() < 8500, "{}", text.len());
    let before = conversation.items().to_vec();
    conversation.summarize(1, &"longer ".repeat(2000));
    assert_eq!(conversation.items(), before);
}

#[test]
fn an_input_that_the_history_knows_is_told_once_and_with_what_goes_before_it() {
    let user = |text: &str| Item::User { text: text.to_owned() };
    for (history, expected) in [
        (vec!["go"], "user:so far go"),
        (vec!["go", "on"], "user:go user:on user:so far go"),
        (vec![], "user:so far go"),
    ] {
        let mut conversation = Conversation::default();
        history.into_iter().for_each(|text| conversation.push(user(text)));
        conversation.push_input(&user("go"), user("so far go"));
        assert_eq!(line(conversation.items()), expected);
    }
}

#[test]
fn what_the_vendor_counted_is_believed_and_the_rest_estimated() {
    let mut conversation = Conversation::default();
    conversation.push(Item::User { text: "x".repeat(400) });
    assert_eq!(conversation.estimate(), 104);
    conversation.measure(7000);
    conversation.push(Item::User { text: "x".repeat(400) });
    assert_eq!(conversation.estimate(), 7104);
    conversation.drop_opaque();
    assert_eq!(conversation.estimate(), 208);
}

#[test]
fn ids_of_calls_are_unique_and_visible() {
    let items =
        [Item::Call { id: "a".parse().unwrap(), name: String::new(), arguments: String::new(), raw: None }];
    assert_eq!(call_id("b", &items, &[]).as_str(), "b");
    for (vendor, taken) in [("a", vec![]), ("", vec![]), ("b", vec!["b".parse().unwrap()]), ("a b", vec![])] {
        assert!(call_id(vendor, &items, &taken).as_str().starts_with("call_"), "{vendor:?}");
    }
}
