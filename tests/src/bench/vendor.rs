//! A model server in a process of its own, which answers as fast as it is told, in the protocol that it is asked in.
//!
//! It says its port on stdout, and ends when stdin does.

use std::{collections::HashMap, fmt, str::FromStr, sync::Mutex, time::Duration};

use musher_scripted::model_api::{
    Answer, Frame, ModelApi, Received, Reply, Turn, Violation, chat, generate, responses,
};
use tokio::io::AsyncReadExt as _;

use super::{
    observer::says,
    peer::{self, Peer},
};

/// The only key that it accepts.
pub(super) const KEY: &str = "sk-bench-0123456789abcdef";
/// What it sends when nothing has to wait: as much as a record of TLS holds.
const RECORD: usize = 16 << 10;

/// A protocol of a vendor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Protocol {
    Responses,
    Chat,
    Generate,
}

/// An answer that is wanted. As a text it is the prompt that gets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Order {
    /// From the request to the first token.
    pub(super) first: Duration,
    /// From one token to the next.
    pub(super) pace: Duration,
    pub(super) n_tokens: usize,
}

/// What each token begins with; nothing else does.
pub(super) const TOKEN: &str = "token-";
/// The bytes of a token, the space behind it left out.
pub(super) const TOKEN_BYTES: usize = 12;

impl Protocol {
    pub(super) const ALL: [Self; 3] = [Self::Responses, Self::Chat, Self::Generate];

    /// The one that is spoken on this path.
    fn at(path: &str) -> Self {
        match path {
            "/v1/responses" => Self::Responses,
            "/v1/chat/completions" => Self::Chat,
            _ => Self::Generate,
        }
    }

    fn violations(self, received: &Received) -> Vec<Violation> {
        match self {
            Self::Responses => responses::violations(received, KEY),
            Self::Chat => chat::violations(received, KEY),
            Self::Generate => generate::violations(received, KEY),
        }
    }

    fn turn(self, received: &Received) -> Turn {
        match self {
            Self::Responses => responses::turn(received),
            Self::Chat => chat::turn(received),
            Self::Generate => generate::turn(received),
        }
    }

    fn answer(self, reply: &Reply) -> Answer {
        match self {
            Self::Responses => responses::answer(reply),
            Self::Chat => chat::answer(reply),
            Self::Generate => generate::answer(reply),
        }
    }

    fn refusal(self, message: &str) -> Answer {
        match self {
            Self::Responses | Self::Chat => chat::refusal(400, "invalid_prompt", message),
            Self::Generate => generate::refusal(400, "INVALID_ARGUMENT", message),
        }
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first, pace, n_tokens } = self;
        write!(f, "{} {} {n_tokens}", first.as_millis(), pace.as_millis())
    }
}

impl FromStr for Order {
    type Err = NoOrder;

    fn from_str(text: &str) -> Result<Self, NoOrder> {
        let numbers: Vec<u64> =
            text.split(' ').map(str::parse).collect::<Result<_, _>>().map_err(|_no_number| NoOrder)?;
        let [first, pace, n_tokens] = numbers[..] else { return Err(NoOrder) };
        let n_tokens = usize::try_from(n_tokens).map_err(|_too_large| NoOrder)?;
        Ok(Self { first: Duration::from_millis(first), pace: Duration::from_millis(pace), n_tokens })
    }
}

/// A prompt that is not three numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoOrder;

impl Order {
    /// The answer. What a vendor says in front of its first token it says at once.
    fn answer(self, protocol: Protocol) -> Answer {
        let Self { first, pace, n_tokens } = self;
        let words: Vec<_> = (0..n_tokens).map(|n| format!("{TOKEN}{n:06}")).collect();
        let whole = protocol.answer(&Reply { pace, ..Reply::text(&words.join(" ")) });
        let mut answer = Answer::stream();
        let mut has_begun = false;
        for frame in whole.frames() {
            answer = match frame {
                Frame::Bytes(bytes) => {
                    let begins = !has_begun && says(bytes, TOKEN.as_bytes());
                    has_begun |= begins;
                    if begins { answer.pause(first) } else { answer }.bytes(bytes.clone())
                }
                Frame::Pause(time) => answer.pause(*time),
                Frame::Disconnect => answer.cut(),
                Frame::Silence => answer.hang(),
            };
        }
        if pace.is_zero() { answer.in_pieces(RECORD) } else { answer }
    }
}

/// Starts one.
pub(super) async fn start() -> Peer {
    Peer::spawn(&["vendor".as_ref()]).await
}

/// Is one until stdin ends.
///
/// # Panics
///
/// When there is no port for it.
pub async fn run() {
    let protocol = |request: &Received| Protocol::at(&request.path);
    // A long answer takes longer to spell than to send. Locked while it is spelled: one client asks at a time.
    let known: Mutex<HashMap<(Protocol, Order), Answer>> = Mutex::default();
    let api = ModelApi::start(
        move |request| protocol(request).violations(request),
        move |request, _number| {
            let protocol = protocol(request);
            match protocol.turn(request).prompt.parse::<Order>() {
                Ok(order) => {
                    let mut known = known.lock().unwrap();
                    known.entry((protocol, order)).or_insert_with(|| order.answer(protocol)).clone()
                }
                Err(NoOrder) => protocol.refusal("the prompt is not three numbers"),
            }
        },
    );
    let api = api.await.unwrap();
    peer::say_port(api.url().rsplit(':').next().unwrap().parse().unwrap());
    let mut rest = Vec::new();
    tokio::io::stdin().read_to_end(&mut rest).await.unwrap();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_understood_as_it_was_written() {
        let order =
            Order { first: Duration::from_millis(300), pace: Duration::from_millis(5), n_tokens: 200 };
        assert_eq!(order.to_string().parse(), Ok(order));
        for text in ["", "1 2", "1 2 3 4", "1 x 3"] {
            assert_eq!(text.parse::<Order>(), Err(NoOrder), "{text:?}");
        }
    }

    #[test]
    fn an_answer_waits_once_for_its_beginning_and_between_its_tokens() {
        let (first, pace) = (Duration::from_millis(300), Duration::from_millis(5));
        for protocol in Protocol::ALL {
            let steps = |order: Order| {
                let answer = order.answer(protocol);
                let steps = answer.frames().iter().filter_map(|frame| match frame {
                    Frame::Pause(time) => Some(format!("{time:?}")),
                    Frame::Bytes(bytes) => says(bytes, TOKEN.as_bytes()).then(|| "token".to_owned()),
                    Frame::Disconnect | Frame::Silence => None,
                });
                steps.collect::<Vec<_>>()
            };
            let paced = steps(Order { first, pace, n_tokens: 2 });
            assert_eq!(paced[..5], ["300ms", "token", "5ms", "token", "5ms"], "{protocol:?}");
            let at_once = steps(Order { first: Duration::ZERO, pace: Duration::ZERO, n_tokens: 2 });
            assert_eq!(at_once, ["token"], "{protocol:?}");
        }
    }
}
