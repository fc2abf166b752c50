//! A model behind an API that does what it is told, and the home of a worker that has it.

use musher_scripted::model_api::{ModelApi, Received, Reply, Violation, chat};
use serde_json::{Value, json};

use crate::{Client, Home};

/// What a server authenticates itself with at an obedient model, which takes no other.
pub const LOCAL_KEY: &str = "sk-test-0123456789abcdef";

/// A model that calls a tool when it is told `call NAME ARGUMENTS`, begins to answer and goes no further when it is told
/// `hang WORDS`, and else says again what it heard: what a tool told it, too.
#[derive(Debug)]
pub struct Obedient(ModelApi);

impl Obedient {
    /// A model on a port of its own. A request that the protocol does not allow is answered with what is wrong in it.
    pub async fn start() -> Self {
        let script = |request: &Received, n: usize| {
            let last = request.body["messages"].as_array().unwrap().last().unwrap();
            let content = last["content"].as_str().unwrap();
            match content.split_once(' ') {
                Some(("call", call)) if last["role"] == "user" => {
                    let (name, arguments) = call.split_once(' ').unwrap();
                    chat::answer(&Reply::calls(&[(&format!("call_{n}"), name, arguments)]))
                }
                Some(("hang", words)) if last["role"] == "user" => chat::begun(&Reply::text(words)).hang(),
                _ => chat::answer(&Reply::text(content)),
            }
        };
        Self(ModelApi::start(|request| chat::violations(request, LOCAL_KEY), script).await.unwrap())
    }

    /// What the model was asked so far.
    #[must_use]
    pub fn requests(&self) -> Vec<Received> {
        self.0.requests()
    }

    /// What was wrong in them.
    #[must_use]
    pub fn violations(&self) -> Vec<Violation> {
        self.0.violations()
    }

    /// A home whose workers have this model by the profile `coder`, with these lines behind the first ones of that profile's table.
    #[must_use]
    pub fn home(&self, lines: &str) -> Home {
        local_home(self.0.url(), lines)
    }
}

/// The same at an address where there may be nobody.
#[must_use]
pub fn local_home(url: &str, lines: &str) -> Home {
    let config = format!(
        r#"
        [store]
        url = "sqlite:store"
        [backends.local]
        kind = "openai-api"
        dialect = "chat"
        base_url = "{url}/v1"
        api_key_env = "LOCAL_KEY"
        [profiles.coder]
        backend = "local"
        model = "qwen"
        {lines}
        "#
    );
    Home::new(&config).env("LOCAL_KEY", LOCAL_KEY)
}

/// Tells an obedient model to call a tool.
#[must_use]
pub fn call(tool: &str, input: &Value) -> String {
    format!("call {tool} {input}")
}

/// Tells an obedient model to run a command.
#[must_use]
pub fn shell(command: &str) -> String {
    call("shell", &json!({"command": command}))
}

/// The text that a turn with this input ends with; it must end well.
pub async fn turn(client: &Client, worker: &str, content: &str) -> String {
    client.say(worker, content).await;
    let outcome = client.idle(worker).await["outcome"].clone();
    assert_eq!(outcome["outcome"], "completed", "{outcome}");
    outcome["text"].as_str().unwrap().to_owned()
}
