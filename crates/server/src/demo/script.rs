//! What the scripted model thinks, says and calls, and where its connection breaks.

use std::{io, time::Duration};

use musher_protocol::Usage;
use musher_scripted::model_api::{Answer, ModelApi, Received, Reply, responses};
use serde_json::{Value, json};

/// What the worker is asked to do.
pub(super) const OBJECTIVE: &str = "Write the sled team down in team.txt, then count the dogs.";
/// A model that has a price, so that there is a cost to tell.
pub(super) const MODEL: &str = "gpt-5";
/// The file that it writes, and what is in it then.
pub(super) const FILE: &str = "team.txt";
pub(super) const TEAM: &str = "Balto\nTogo\nFritz\nKatmai\n";
/// The command that it runs on the file, and what that says.
pub(super) const COMMAND: &str = "wc -l < team.txt";
pub(super) const COUNT: &str = "4";

/// Slow enough that a person sees the words come.
const PACE: Duration = Duration::from_millis(20);

/// Serves the model, which takes this key alone.
pub(super) async fn serve(api_key: String) -> io::Result<ModelApi> {
    ModelApi::start(move |request| responses::violations(request, &api_key), answer).await
}

fn answer(request: &Received, number: usize) -> Answer {
    match (&responses::turn(request).results[..], number) {
        ([], _) => responses::answer(&writes()),
        // The second request of all breaks off, and is asked again.
        ([_written], 1) => responses::begun(&says("The file is there. Now I cou")).cut(),
        ([_written], _) => responses::answer(&counts()),
        ([_written, counted, ..], _) => responses::answer(&ends(counted)),
    }
}

fn says(words: &str) -> Reply {
    Reply { pace: PACE, ..Reply::text(words) }
}

fn calls(id: &str, name: &str, arguments: &Value, words: &str) -> Reply {
    let calls = Reply::calls(&[(id, name, &arguments.to_string())]).calls;
    Reply { calls, ..says(words) }
}

fn writes() -> Reply {
    let thought = "A list needs a file, and counting is work for the shell. The file comes first.";
    let arguments = json!({"path": FILE, "content": TEAM});
    let reply = calls("call_write", "write_file", &arguments, "I write the team down.");
    Reply { thought: Some(thought.to_owned()), usage: usage(1184, 0, 92, 31), ..reply }
}

fn counts() -> Reply {
    let arguments = json!({"command": COMMAND});
    let reply = calls("call_count", "shell", &arguments, "The file is there. Now I count with the shell.");
    Reply { usage: usage(1310, 1152, 48, 0), ..reply }
}

/// Says what came of the command, as far as anything did.
fn ends(output: &str) -> Reply {
    let words = match output.trim().parse::<u32>() {
        Ok(count) => format!("The team has {count} dogs. Mush!"),
        Err(_nothing_counted) => "Nobody counted them, so I do not say how many they are.".to_owned(),
    };
    Reply { usage: usage(1379, 1280, 17, 0), ..says(&words) }
}

fn usage(input: u64, cached: u64, output: u64, reasoning: u64) -> Usage {
    Usage {
        input_tokens: Some(input),
        cache_read_input_tokens: Some(cached),
        output_tokens: Some(output),
        reasoning_tokens: Some(reasoning),
        ..Usage::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_says_how_many_only_when_somebody_counted() {
        for (output, expected) in [
            ("4\n", "The team has 4 dogs. Mush!"),
            ("not run, for it was denied: no", "Nobody counted them, so I do not say how many they are."),
            ("", "Nobody counted them, so I do not say how many they are."),
        ] {
            assert_eq!(ends(output).words, expected);
        }
    }
}
