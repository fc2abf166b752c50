//! What the real Claude Code asks, both supported versions, and what becomes of each decision.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{fs, path::Path};

use musher_e2e::{ASK, Claude, Client, Fleet, Home, Kennel, claude_config, on_both_versions};
use musher_testkit::messages_api::MessagesApi;
use serde_json::{Value, json};

/// A worker in the middle of a turn that asks.
struct Talk<'a> {
    client: &'a Client,
    worker: String,
    /// The place behind the input.
    since: Value,
}

impl<'a> Talk<'a> {
    async fn begin(client: &'a Client, worker: &str, content: &str) -> Self {
        let ack = client.say(worker, content).await;
        Self { client, worker: worker.to_owned(), since: ack["cursor"].clone() }
    }

    /// The events of a type since the input, once there are so many.
    async fn events(&self, name: &str, n: usize) -> Vec<Value> {
        let (mut seen, mut after) = (Vec::new(), self.since.as_str().unwrap().to_owned());
        while seen.len() < n {
            let path = format!("/v1/workers/{}/events?types={name}&after={after}&wait=60", self.worker);
            let page = self.client.get(&path).await.good();
            let events = page["events"].as_array().unwrap();
            assert!(!events.is_empty(), "{} of {n} {name}", seen.len());
            seen.extend(events.iter().map(|event| event["payload"].clone()));
            after = page["next"].as_str().unwrap().to_owned();
        }
        seen
    }

    /// The approval that the worker asks for.
    async fn asked(&self) -> Value {
        self.events("approval_requested", 1).await.remove(0)
    }

    fn path(&self, approval: &Value) -> String {
        format!("/v1/workers/{}/approvals/{}", self.worker, approval["approval_id"].as_str().unwrap())
    }

    /// Decides what the worker asks.
    async fn decide(&self, decision: &Value) -> Value {
        let approval = self.asked().await;
        let reply = self.client.post(&self.path(&approval), decision).await.good();
        assert_eq!(reply["duplicate"], false);
        reply["approval"].clone()
    }

    /// The outcome of the turn.
    async fn outcome(&self) -> Value {
        self.client.idle(&self.worker).await["outcome"].clone()
    }
}

async fn open(claude: Claude) -> Kennel {
    Kennel::open_with(claude.program().to_str().unwrap(), ASK).await
}

fn write(path: &Path) -> String {
    format!("@@write:{}@@", path.display())
}

/// What the model was told last, as text.
fn told(api: &MessagesApi) -> String {
    api.requests().last().unwrap().body["messages"].to_string()
}

async fn an_allowed_tool_runs_with_what_was_asked_or_with_what_was_decided(claude: Claude) {
    let kennel = open(claude).await;
    let worker = kennel.worker().await;
    let (asked, instead) = (kennel.work.path().join("asked.txt"), kennel.work.path().join("instead.txt"));
    let talk = Talk::begin(&kennel.client, &worker, &write(&asked)).await;
    let approval = talk.asked().await;
    assert_eq!(
        (&approval["kind"], &approval["tool"], &approval["input"]["file_path"]),
        (&json!("tool"), &json!("Write"), &json!(asked))
    );
    let waiting = kennel.client.get(&format!("/v1/workers/{worker}")).await.good();
    assert_eq!(waiting["worker"]["execution"]["run_state"], "waiting");
    assert!(!asked.exists(), "nothing runs before it is decided");
    talk.decide(&json!({"decision": "allow"})).await;
    assert_eq!(talk.outcome().await["text"], "FAKE-DONE write step=1");
    assert_eq!(fs::read_to_string(&asked).unwrap(), "line 1\nline 2\n");

    let other = kennel.work.path().join("other.txt");
    let talk = Talk::begin(&kennel.client, &worker, &write(&other)).await;
    let updated = json!({"file_path": instead, "content": "decided\n"});
    talk.decide(&json!({"decision": "allow", "updated_input": updated})).await;
    assert_eq!(talk.outcome().await["outcome"], "completed");
    assert_eq!((fs::read_to_string(&instead).unwrap().as_str(), other.exists()), ("decided\n", false));
    kennel.stop(&worker).await;
    kennel.close();
}

async fn a_denial_is_told_to_the_model_and_may_end_the_turn(claude: Claude) {
    let kennel = open(claude).await;
    let worker = kennel.worker().await;
    let file = kennel.work.path().join("made.txt");
    let talk = Talk::begin(&kennel.client, &worker, &write(&file)).await;
    talk.decide(&json!({"decision": "deny", "message": "not on a Friday"})).await;
    assert_eq!(talk.outcome().await["outcome"], "completed");
    assert!(told(&kennel.api).contains("not on a Friday"), "{}", told(&kennel.api));

    let n_asked = kennel.api.requests().len();
    let talk = Talk::begin(&kennel.client, &worker, &write(&file)).await;
    talk.decide(&json!({"decision": "deny", "message": "stop it", "interrupt": true})).await;
    assert_eq!(talk.outcome().await["outcome"], "interrupted");
    assert_eq!(kennel.api.requests().len(), n_asked + 1, "the model was not asked to go on");
    assert!(!file.exists());
    assert_eq!(kennel.turn(&worker, "still there?").await["text"], "FAKE-OK: still there?");
    kennel.stop(&worker).await;
    kennel.close();
}

async fn what_was_allowed_for_good_is_not_asked_again(claude: Claude) {
    let kennel = open(claude).await;
    let worker = kennel.worker().await;
    let here = kennel.work.path();
    let touch = |name: &str| format!("@@bash:touch {}@@", here.join(name).display());
    let talk = Talk::begin(&kennel.client, &worker, &touch("a")).await;
    talk.decide(&json!({"decision": "allow", "remember": "input"})).await;
    talk.outcome().await;
    fs::remove_file(here.join("a")).unwrap();
    let talk = Talk::begin(&kennel.client, &worker, &touch("a")).await;
    let resolved = talk.events("approval_resolved", 1).await.remove(0);
    assert_eq!((&resolved["decision"], &resolved["by"]["token"]), (&json!("allow"), &json!("remembered")));
    talk.outcome().await;
    assert!(here.join("a").exists());

    let talk = Talk::begin(&kennel.client, &worker, &touch("b")).await;
    let approval = talk.decide(&json!({"decision": "allow", "remember": "tool", "actor": "ann"})).await;
    assert_eq!(approval["by"], json!({"token": "admin", "actor": "ann"}), "another input is asked about");
    talk.outcome().await;
    let talk = Talk::begin(&kennel.client, &worker, &touch("c")).await;
    let resolved = talk.events("approval_resolved", 1).await.remove(0);
    assert_eq!(resolved["by"]["token"], "remembered");
    talk.outcome().await;
    assert!(here.join("c").exists());
    let talk = Talk::begin(&kennel.client, &worker, &write(&here.join("d"))).await;
    talk.decide(&json!({"decision": "deny"})).await;
    talk.outcome().await;
    kennel.stop(&worker).await;
    kennel.close();
}

async fn a_question_is_answered_with_one_of_its_labels(claude: Claude) {
    let kennel = open(claude).await;
    let worker = kennel.worker().await;
    let options = json!([{"label": "Red", "description": "r"}, {"label": "Blue", "description": "b"}]);
    let question =
        json!({"question": "Which colour?", "header": "Colour", "multiSelect": false, "options": options});
    let prompt = format!("@@tool:AskUserQuestion|{}@@", json!({"questions": [question]}));
    let talk = Talk::begin(&kennel.client, &worker, &prompt).await;
    let approval = talk.asked().await;
    assert_eq!((&approval["kind"], &approval["questions"][0]["options"]), (&json!("question"), &options));
    let list = kennel.client.get("/v1/attention?kind=question").await.good();
    assert_eq!(list["attention"][0]["message"], "asks: Which colour?");
    let bare = kennel.client.post(&talk.path(&approval), &json!({"decision": "allow"})).await;
    assert_eq!((bare.error(), &bare.body["error"]["field"]), ((400, "invalid_request"), &json!("/answers")));
    talk.decide(&json!({"decision": "allow", "answers": {"Which colour?": ["Blue"]}})).await;
    assert_eq!(talk.outcome().await["text"], "FAKE-DONE tool step=1");
    assert!(told(&kennel.api).contains(r#"\"Which colour?\"=\"Blue\""#), "{}", told(&kennel.api));
    kennel.stop(&worker).await;
    kennel.close();
}

async fn a_question_that_holds_a_secret_is_answered_by_what_is_shown_of_it(claude: Claude) {
    let kennel = open(claude).await;
    let worker = kennel.worker().await;
    let (key, mark) = (kennel.api.api_key(), "[redacted:ANTHROPIC_API_KEY]");
    let option = |label: String| json!({"label": label, "description": format!("with {label}")});
    let asked = |question: String, multi: bool, labels: [String; 2]| {
        let options = labels.map(option);
        json!({"question": question, "header": "Key", "multiSelect": multi, "options": options})
    };
    let ask = |key: &str| {
        json!({"questions": [
            asked(format!("Use {key}?"), false, [format!("yes, {key}"), "no".to_owned()]),
            asked("Where?".to_owned(), true, [format!("{key} here"), format!("{key} there")]),
        ]})
    };
    // The client does not say the key: only the model does.
    let (first, rest) = key.split_at(1);
    let spelled = format!("\\u{:04x}{rest}", u32::from(first.chars().next().unwrap()));
    let prompt = format!("@@tool:AskUserQuestion|{}@@", ask(key).to_string().replace(key, &spelled));
    let talk = Talk::begin(&kennel.client, &worker, &prompt).await;
    let approval = talk.asked().await;
    assert_eq!(approval["input"], ask(mark));
    for (shown, expected) in
        approval["questions"].as_array().unwrap().iter().zip(ask(mark)["questions"].as_array().unwrap())
    {
        assert_eq!((&shown["question"], &shown["options"]), (&expected["question"], &expected["options"]));
    }
    let answers = json!({
        format!("Use {mark}?"): [format!("yes, {mark}")],
        "Where?": [format!("{mark} there"), format!("or {mark} nowhere")],
    });
    let decided = talk.decide(&json!({"decision": "allow", "answers": answers})).await;
    assert_eq!(talk.outcome().await["text"], "FAKE-DONE tool step=1");
    let told = told(&kennel.api);
    for answer in [
        format!(r#"\"Use {key}?\"=\"yes, {key}\""#),
        format!(r#"\"Where?\"=\"{key} there, or {key} nowhere\""#),
    ] {
        assert!(told.contains(&answer), "{answer} in {told}");
    }
    assert!(!told.contains(mark), "{told}");
    let log = json!(kennel.client.log(&worker).await).to_string();
    assert!(!log.contains(key), "{log}");
    assert!(!decided.to_string().contains(key), "{decided}");
    kennel.stop(&worker).await;
    kennel.close();
}

async fn what_nobody_decides_is_denied_at_its_deadline(claude: Claude) {
    let approval = r#"{ mode = "ask", deadline_secs = 1 }"#;
    let kennel = Kennel::open_with(claude.program().to_str().unwrap(), approval).await;
    let worker = kennel.worker().await;
    let file = kennel.work.path().join("made.txt");
    let talk = Talk::begin(&kennel.client, &worker, &write(&file)).await;
    let approval = talk.asked().await;
    let resolved = talk.events("approval_resolved", 1).await.remove(0);
    assert_eq!((&resolved["decision"], &resolved["by"]["token"]), (&json!("expired"), &json!("deadline")));
    assert_eq!((&talk.outcome().await["outcome"], file.exists()), (&json!("completed"), false));
    assert!(told(&kennel.api).contains("nobody decided in time"), "{}", told(&kennel.api));
    for decision in ["allow", "deny"] {
        let late = kennel.client.post(&talk.path(&approval), &json!({"decision": decision})).await;
        assert_eq!(late.error(), (409, "approval_not_pending"));
        assert_eq!(late.body["error"]["approval"]["decision"], "expired");
    }
    kennel.stop(&worker).await;
    kennel.close();
}

async fn two_open_approvals_are_decided_in_any_order(claude: Claude) {
    let kennel = open(claude).await;
    let worker = kennel.worker().await;
    let fetch =
        |host: &str| json!(["WebFetch", {"url": format!("http://{host}.invalid/"), "prompt": "what?"}]);
    let prompt = format!("@@tools:{}@@", json!([fetch("one"), fetch("two")]));
    let talk = Talk::begin(&kennel.client, &worker, &prompt).await;
    let asked = talk.events("approval_requested", 2).await;
    let list = kennel.client.get(&format!("/v1/workers/{worker}/approvals")).await.good();
    let open: Vec<_> =
        list["approvals"].as_array().unwrap().iter().map(|open| open["approval_id"].clone()).collect();
    let expected: Vec<_> = asked.iter().map(|asked| asked["approval_id"].clone()).collect();
    assert_eq!(open, expected);
    for (n, approval) in asked.iter().enumerate().rev() {
        let message = format!("no number {n}");
        let deny = json!({"decision": "deny", "message": message});
        let reply = kennel.client.post(&talk.path(approval), &deny).await.good();
        assert_eq!(reply["approval"]["message"], json!(message));
    }
    assert_eq!(talk.outcome().await["text"], "FAKE-DONE tools step=1");
    let results = talk.events("tool_result", 2).await;
    for (n, approval) in asked.iter().enumerate() {
        let result =
            results.iter().find(|result| result["tool_call_id"] == approval["tool_call_id"]).unwrap();
        let content = result["content"].as_str().unwrap();
        assert!(content.contains(&format!("no number {n}")), "each got its own: {results:?}");
    }
    kennel.stop(&worker).await;
    kennel.close();
}

async fn an_interrupt_withdraws_what_is_open(claude: Claude) {
    let kennel = open(claude).await;
    let worker = kennel.worker().await;
    let file = kennel.work.path().join("made.txt");
    let talk = Talk::begin(&kennel.client, &worker, &write(&file)).await;
    let approval = talk.asked().await;
    let interrupted = kennel.client.post(&format!("/v1/workers/{worker}/interrupt"), &json!({})).await;
    assert_eq!(interrupted.status, 200, "{}", interrupted.body);
    let resolved = talk.events("approval_resolved", 1).await.remove(0);
    assert_eq!(resolved["decision"], "withdrawn", "{resolved}");
    let late = kennel.client.post(&talk.path(&approval), &json!({"decision": "allow"})).await;
    assert_eq!(
        (late.error(), &late.body["error"]["approval"]["decision"]),
        ((409, "approval_not_pending"), &json!("withdrawn"))
    );
    assert_eq!((&talk.outcome().await["outcome"], file.exists()), (&json!("interrupted"), false));
    assert_eq!(kennel.client.get("/v1/attention").await.good()["attention"], json!([]));
    assert_eq!(kennel.turn(&worker, "still there?").await["text"], "FAKE-OK: still there?");
    kennel.stop(&worker).await;
    kennel.close();
}

async fn a_decision_after_the_server_was_killed_is_refused_and_says_why(claude: Claude) {
    let (api, fleet) = (MessagesApi::start().await, Fleet::new());
    let (vendor, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let program = claude.program();
    let asks = format!("{ASK}\non_restart = \"wait\"");
    let config = claude_config(program.to_str().unwrap(), &asks, &api, &fleet, vendor.path(), work.path());
    let home = Home::new(&format!("[store]\nurl = \"sqlite:store\"\n{config}"));
    let server = home.start().await;
    let client = server.client();
    let shop = json!([{"name": "main", "reference": "shop"}]);
    let worker = client.create(&json!({"intent": {"kind": "assistant"}, "workspace_refs": shop})).await;
    let file = work.path().join("made.txt");
    let talk = Talk::begin(&client, &worker, &write(&file)).await;
    let approval = talk.asked().await;
    let path = talk.path(&approval);
    server.kill().await;
    fleet.is_gone_within(musher_e2e::PATIENCE).await;

    let server = home.start().await;
    let client = server.client();
    assert_eq!(client.get(&format!("/v1/workers/{worker}/approvals")).await.good()["approvals"], json!([]));
    assert_eq!(client.get("/v1/attention?kind=approval").await.good()["attention"], json!([]));
    for decision in ["allow", "deny"] {
        let late = client.post(&path, &json!({"decision": decision})).await;
        assert_eq!(late.error(), (409, "approval_not_pending"));
        let withdrawn = &late.body["error"]["approval"];
        assert_eq!(
            (&withdrawn["decision"], &withdrawn["message"], &withdrawn["state"]),
            (
                &json!("withdrawn"),
                &json!("the runtime ended while the question was open"),
                &json!("resolved")
            )
        );
    }
    assert!(!file.exists());
    let stopped = client.post(&format!("/v1/workers/{worker}/stop"), &json!({})).await;
    assert_eq!(stopped.status, 200, "{}", stopped.body);
    assert_eq!((fleet.alive(), api.violations()), (Vec::<String>::new(), Vec::new()));
}

on_both_versions!(
    an_allowed_tool_runs_with_what_was_asked_or_with_what_was_decided,
    a_denial_is_told_to_the_model_and_may_end_the_turn,
    what_was_allowed_for_good_is_not_asked_again,
    a_question_is_answered_with_one_of_its_labels,
    a_question_that_holds_a_secret_is_answered_by_what_is_shown_of_it,
    what_nobody_decides_is_denied_at_its_deadline,
    two_open_approvals_are_decided_in_any_order,
    an_interrupt_withdraws_what_is_open,
    a_decision_after_the_server_was_killed_is_refused_and_says_why,
);
