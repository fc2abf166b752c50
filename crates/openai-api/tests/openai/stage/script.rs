//! Answers in either dialect.

use musher_openai_api::Dialect;
use musher_scripted::model_api::{Answer, Received, Reply, Turn, chat, responses};

/// Where the conversation of a request stands.
pub(crate) fn turn(dialect: Dialect, received: &Received) -> Turn {
    match dialect {
        Dialect::Responses => responses::turn(received),
        Dialect::Chat => chat::turn(received),
    }
}

/// A whole answer of words.
pub(crate) fn text(dialect: Dialect, words: &str) -> Answer {
    answer(dialect, &Reply::text(words))
}

/// A whole answer of calls: id, tool and arguments.
pub(crate) fn calls(dialect: Dialect, calls: &[(&str, &str, &str)]) -> Answer {
    answer(dialect, &Reply::calls(calls))
}

fn answer(dialect: Dialect, reply: &Reply) -> Answer {
    match dialect {
        Dialect::Responses => responses::answer(reply),
        Dialect::Chat => chat::answer(reply),
    }
}

/// The start of an answer of words.
pub(crate) fn begun(dialect: Dialect, words: &str) -> Answer {
    let reply = Reply::text(words);
    match dialect {
        Dialect::Responses => responses::begun(&reply),
        Dialect::Chat => chat::begun(&reply),
    }
}
