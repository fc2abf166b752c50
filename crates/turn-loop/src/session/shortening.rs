//! Makes the conversation fit, by a turn of its own with the same model.

use musher_backend::{KeepError, TurnEnd};

use super::{
    Session,
    answering::{Asked, Purpose},
    turn::{Halt, Turn},
};
use crate::{Failure, Item, answer::Said, conversation::KEPT, stage::Cut};

/// The share of what a model takes that stays free for its answer, as one part of so many.
const HEADROOM: u64 = 5;
/// A history that is hardly shorter twice in a row will not fit the third time either.
const MAX_VAIN: u32 = 2;
/// Each cuts what is to be summed up in half.
const MAX_CUTS: u32 = 3;

impl Session {
    /// Shortens the conversation before it overflows, where it is known when that is. That is an estimate: a
    /// conversation that cannot be made shorter is sent as it is, and the vendor decides.
    pub(super) async fn make_room(&mut self, turn: &mut Turn) -> Result<(), Halt> {
        let Some(window) = self.window else { return Ok(()) };
        let room = window - window / HEADROOM;
        let estimate = self.conversation.estimate();
        if estimate <= room {
            return Ok(());
        }
        let message =
            format!("about {estimate} tokens are more than {room}, what this model takes and leaves room");
        self.shorten(turn, &Failure { message, ..overflow() }).await
    }

    /// Shortens the conversation, and keeps that for later sessions.
    pub(super) async fn shorten(&mut self, turn: &mut Turn, why: &Failure) -> Result<(), Halt> {
        // Before and after are both of our own counting; the vendor has not counted what is shorter now.
        let before = self.conversation.weight();
        let excess = self.conversation.estimate().saturating_sub(self.window.unwrap_or(u64::MAX) / 2);
        let wanted = (before / 2).max(excess).min(before);
        let trimmed = self.conversation.trim(wanted);
        if trimmed < wanted {
            self.summarize(turn).await?;
        }
        let after = self.conversation.weight();
        // Less than a fifth is no progress: the next answer fills it again.
        let is_vain = after >= before || after > before - before / 5;
        self.vain_shortenings = if is_vain { self.vain_shortenings + 1 } else { 0 };
        if self.vain_shortenings == MAX_VAIN {
            self.vain_shortenings = 0;
            let message = format!("the conversation cannot be made shorter: {}", why.message);
            return Err(Halt::End(TurnEnd::failed("context_overflow", message)));
        }
        if after >= before {
            return Ok(());
        }
        self.keep().await?;
        let message = format!("about {before} tokens of history became {after}: {}", why.message);
        Ok(self.stage.diagnose("history.shortened", message).await?)
    }

    /// Puts the model's own summary in the place of all but the last answer.
    async fn summarize(&mut self, turn: &mut Turn) -> Result<(), Halt> {
        let mut items = self.conversation.items()[..self.conversation.old_items()].to_vec();
        for _ in 0..=MAX_CUTS {
            if items.is_empty() {
                return Ok(());
            }
            let mut purpose = Purpose::Summary { items };
            match self.ask(turn, &mut purpose).await? {
                Asked::Answered(answer) => {
                    let text = answer.parts.into_iter().filter_map(|part| match part.said {
                        Said::Text { text, .. } => Some(text),
                        Said::Thinking { .. } | Said::Call { .. } => None,
                    });
                    let text: String = text.collect();
                    if !text.trim().is_empty() {
                        // Asked for again: items that only their maker can read may have gone meanwhile.
                        self.conversation.summarize(self.conversation.old_items(), &text);
                    }
                    return Ok(());
                }
                Asked::TooLong(_) => {
                    let Purpose::Summary { items: too_long } = purpose else { return Ok(()) };
                    items = second_half(too_long);
                }
            }
        }
        Ok(())
    }

    async fn keep(&self) -> Result<(), Cut> {
        let bytes = match self.conversation.to_keep() {
            Ok(bytes) => bytes,
            Err(error) => return self.stage.diagnose("history.not_kept", error.to_string()).await,
        };
        match self.stage.link().keep(KEPT, bytes).await {
            Ok(()) => Ok(()),
            Err(KeepError::Closed(closed)) => Err(closed.into()),
            // A later session begins with the long one, and shortens it again.
            Err(error @ (KeepError::TooLarge(_) | KeepError::NotKept)) => {
                let message = format!("the shorter history is not kept: {error}");
                self.stage.diagnose("history.not_kept", message).await
            }
        }
    }
}

/// The items from about the middle on, beginning where no call is parted from its result.
fn second_half(mut items: Vec<Item>) -> Vec<Item> {
    let begins = |item: &Item| matches!(item, Item::User { .. } | Item::System { .. });
    let is_result = |item: &Item| matches!(item, Item::Result { .. });
    let middle = items.len().div_ceil(2);
    let good = |at: &usize| begins(&items[*at]) || (is_result(&items[*at - 1]) && !is_result(&items[*at]));
    let start = (middle..items.len()).find(good).unwrap_or(items.len());
    items.split_off(start)
}

fn overflow() -> Failure {
    Failure {
        kind: crate::FailureKind::Overflow,
        code: "context_overflow".to_owned(),
        message: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_half_parts_no_call_from_its_result() {
        let item = |kind: char| match kind {
            'u' => Item::User { text: "u".to_owned() },
            't' => Item::Text { text: "t".to_owned(), raw: None },
            'c' => Item::Call {
                id: "c".parse().unwrap(),
                name: "ls".to_owned(),
                arguments: "{}".to_owned(),
                raw: None,
            },
            _ => Item::Result {
                id: "c".parse().unwrap(),
                name: "ls".to_owned(),
                content: String::new(),
                is_error: false,
            },
        };
        for (items, expected) in
            [("ututut", "ut"), ("ucrcrcr", "cr"), ("uccrr", ""), ("uccrrt", "t"), ("u", ""), ("utcr", "")]
        {
            let half = second_half(items.chars().map(item).collect());
            assert_eq!(half, expected.chars().map(item).collect::<Vec<_>>(), "{items}");
        }
    }
}
