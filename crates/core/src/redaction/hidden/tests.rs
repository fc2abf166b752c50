use musher_backend::Vault;
use musher_protocol::{ApprovalKind, Question, QuestionOption};
use serde_json::json;

use super::*;

const KEY: &str = "sk-canary-0123456789";
const OTHER: &str = "sk-other-9876543210";
const MARK_OF_KEY: &str = "[redacted:A_KEY]";

fn question(text: &str, labels: &[&str]) -> Question {
    let option = |label: &&str| QuestionOption { label: (*label).to_owned(), description: None };
    Question {
        question: text.to_owned(),
        header: None,
        options: labels.iter().map(option).collect(),
        multi_select: false,
    }
}

/// What is shown of a request, where two secrets have the same name.
fn part(input: Value, questions: Vec<Question>) -> (ApprovalRequest, Hidden) {
    let vault = Vault::default();
    vault.hide("A_KEY", KEY.as_bytes());
    vault.hide("A_KEY", OTHER.as_bytes());
    vault.hide_variable("A_URL", "http://me:pw@host".as_ref());
    let request = ApprovalRequest {
        tool_call_id: None,
        kind: ApprovalKind::Question,
        tool: "ask".to_owned(),
        input,
        questions,
        suggestions: Vec::new(),
    };
    Hidden::part(request, &vault.secrets())
}

fn updated(hidden: &Hidden, input: Value) -> Result<Value, UnclearMark> {
    let told = hidden.uncover(Verdict::Allow { updated_input: Some(input), answers: None })?;
    let Verdict::Allow { updated_input: Some(input), .. } = told else { panic!("{told:?}") };
    Ok(input)
}

fn answered(hidden: &Hidden, question: &str, chosen: &[&str]) -> Result<Answers, UnclearMark> {
    let chosen = chosen.iter().map(|text| (*text).to_owned()).collect();
    let answers = Some([(question.to_owned(), chosen)].into());
    let told = hidden.uncover(Verdict::Allow { updated_input: None, answers })?;
    let Verdict::Allow { answers: Some(answers), .. } = told else { panic!("{told:?}") };
    Ok(answers)
}

fn unclear(place: &'static str, mark: &str, is_ambiguous: bool) -> UnclearMark {
    UnclearMark { place, mark: mark.to_owned(), is_ambiguous }
}

#[test]
fn what_is_answered_by_its_shown_text_is_told_in_the_words_of_the_worker() {
    let asked = question(&format!("Use {KEY}?"), &[&format!("yes, {KEY}"), "no"]);
    let (shown, hidden) = part(json!({}), vec![asked]);
    let shown_question = format!("Use {MARK_OF_KEY}?");
    let label = format!("yes, {MARK_OF_KEY}");
    assert_eq!(shown.questions, [question(&shown_question, &[&label, "no"])]);
    assert!(hidden.is_redacted());
    for (chosen, expected) in [
        (label.as_str(), format!("yes, {KEY}")),
        ("no", "no".to_owned()),
        // Own words, with what is shown in them.
        (&format!("only {MARK_OF_KEY}"), format!("only {KEY}")),
    ] {
        let expected: Answers = [(format!("Use {KEY}?"), vec![expected])].into();
        assert_eq!(answered(&hidden, &shown_question, &[chosen]), Ok(expected));
    }
}

#[test]
fn labels_that_would_be_shown_as_the_same_are_told_apart() {
    let asked = question("Which?", &[KEY, MARK_OF_KEY, OTHER, KEY, "[redacted:A_KEY] (1)"]);
    let (shown, hidden) = part(json!({}), vec![asked]);
    let labels = ["(2)", "(3)", "(4)", "(2)", "(1)"].map(|n| format!("{MARK_OF_KEY} {n}"));
    let labels: Vec<_> = labels.iter().map(String::as_str).collect();
    assert_eq!(shown.questions, [question("Which?", &labels)]);
    for (label, original) in labels.iter().zip([KEY, MARK_OF_KEY, OTHER, KEY, "[redacted:A_KEY] (1)"]) {
        let expected = [("Which?".to_owned(), vec![original.to_owned()])].into();
        assert_eq!(answered(&hidden, "Which?", &[label]), Ok(expected), "{label}");
    }
    // What they have in common is none of them.
    let expected = unclear("/answers", MARK_OF_KEY, true);
    assert_eq!(answered(&hidden, "Which?", &[MARK_OF_KEY]), Err(expected));
}

#[test]
fn questions_that_would_be_shown_as_the_same_are_told_apart() {
    let (shown, hidden) = part(json!({}), vec![question(KEY, &["a"]), question(OTHER, &["a"])]);
    for (asked, original) in shown.questions.iter().zip([KEY, OTHER]) {
        let expected = [(original.to_owned(), vec!["a".to_owned()])].into();
        assert_eq!(answered(&hidden, &asked.question, &["a"]), Ok(expected));
    }
    assert_ne!(shown.questions[0].question, shown.questions[1].question);
}

#[test]
fn a_mark_in_an_updated_input_is_what_it_stands_for_or_is_refused() {
    let command = format!("login {KEY}; get http://me:pw@host");
    let (shown, hidden) = part(json!({"command": command, KEY: [KEY]}), Vec::new());
    let marked = json!({
        "command": format!("login {MARK_OF_KEY}; get http://[redacted:A_URL]@host"),
        MARK_OF_KEY: [MARK_OF_KEY],
    });
    assert_eq!(shown.input, marked);
    assert_eq!(updated(&hidden, marked), Ok(json!({"command": command, KEY: [KEY]})));
    let changed = json!({"command": format!("logout {MARK_OF_KEY} [redacted: [redacted:")});
    let expected = json!({"command": format!("logout {KEY} [redacted: [redacted:")});
    assert_eq!(updated(&hidden, changed), Ok(expected));
    // Of another approval, or of nowhere: the server's other secrets are not to be had like this.
    let foreign = json!({"command": "login [redacted:B_KEY]"});
    let expected = unclear("/updated_input", "[redacted:B_KEY]", false);
    assert_eq!(updated(&hidden, foreign), Err(expected));
}

#[test]
fn a_mark_that_stands_for_several_texts_is_refused() {
    for said in [format!("{KEY} {OTHER}"), format!("{KEY} {MARK_OF_KEY}")] {
        let (shown, hidden) = part(json!({"command": said}), Vec::new());
        let expected = unclear("/updated_input", MARK_OF_KEY, true);
        assert_eq!(updated(&hidden, shown.input), Err(expected), "{said}");
        assert_eq!(hidden.uncover(Verdict::allow()), Ok(Verdict::allow()));
        assert_eq!(hidden.uncover(Verdict::deny(MARK_OF_KEY)), Ok(Verdict::deny(MARK_OF_KEY)));
    }
}

#[test]
fn a_mark_that_the_worker_said_itself_stays_one() {
    let input = json!({"text": format!("write {MARK_OF_KEY}")});
    let (shown, hidden) = part(input.clone(), Vec::new());
    assert_eq!((&shown.input, hidden.is_redacted()), (&input, false));
    assert_eq!(updated(&hidden, input.clone()), Ok(input));
}

#[test]
fn names_that_would_be_shown_as_the_same_are_all_shown() {
    let (shown, _) = part(json!({KEY: 1, OTHER: 2}), Vec::new());
    assert_eq!(shown.input, json!({MARK_OF_KEY: 1, format!("{MARK_OF_KEY} (2)"): 2}));
}

#[test]
fn debug_shows_no_secret() {
    let (_, hidden) = part(json!({"command": KEY}), vec![question(KEY, &[KEY])]);
    assert_eq!(format!("{hidden:?}"), format!("{{{MARK_OF_KEY:?}}}"));
}

#[test]
fn a_mark_in_the_place_of_secrets_that_overlap_stands_for_all_of_them() {
    let vault = Vault::default();
    vault.hide("A_KEY", b"abcdefgh");
    vault.hide("B_KEY", b"efghijkl");
    let request = ApprovalRequest {
        tool_call_id: None,
        kind: ApprovalKind::Tool,
        tool: "shell".to_owned(),
        input: json!({ "command": "login abcdefghijkl", "other": "efghijkl" }),
        questions: Vec::new(),
        suggestions: Vec::new(),
    };
    let (shown, hidden) = Hidden::part(request, &vault.secrets());
    let (a_key, b_key) = ("[redacted:A_KEY]", "[redacted:B_KEY]");
    assert_eq!(shown.input, json!({ "command": format!("login {a_key}"), "other": b_key }));
    let told = updated(&hidden, json!({ "command": format!("login -v {a_key} {b_key}") }));
    assert_eq!(told, Ok(json!({ "command": "login -v abcdefghijkl efghijkl" })));
}
