//! Makes a conversation shorter: first the oldest tool outputs, then a summary for all but the last answer.

use super::{Conversation, Kept, estimate};
use crate::Item;

/// What is left of a tool output that was trimmed: enough to see what it was.
const TRIMMED_TO: usize = 256;
/// A shorter output is not worth trimming.
const WORTH_TRIMMING: usize = 1024;

/// As much of the user's last words as a summary repeats: a task in its own words, not a pasted log.
const MAX_TASK: usize = 8 << 10;

/// What a model is asked for when a conversation has become too long.
pub(crate) const SUMMARY_REQUEST: &str = "This conversation has become too long to go on with. Write down for \
yourself everything that is needed to go on: the task in its own words, what was decided and why, what was done and \
found (paths, names, commands, results), what is open, and what comes next. Call no tools. Answer with that text only.";

impl Conversation {
    /// Trims the oldest tool outputs until about so many tokens are free; returns how many became free. The outputs of
    /// the last answer stay: the model has not seen them yet.
    pub(crate) fn trim(&mut self, wanted: u64) -> u64 {
        let last = self.last_answer_start();
        let mut freed = 0;
        for item in &mut self.items[..last] {
            if freed >= wanted {
                break;
            }
            let before = estimate(item);
            if let Item::Result { content, .. } = item
                && content.len() > WORTH_TRIMMING
            {
                let cut = content.floor_char_boundary(TRIMMED_TO);
                *content = format!("{}\n[{} bytes were left out]", &content[..cut], content.len() - cut);
                freed += before - estimate(item);
            }
        }
        if freed > 0 {
            // The vendor's count was of the longer ones.
            self.measured = self.measured.map(|(n_items, tokens)| (n_items, tokens.saturating_sub(freed)));
        }
        freed
    }

    /// How many items a summary would stand for: all before the last answer and what came after it.
    pub(crate) fn old_items(&self) -> usize {
        self.last_answer_start()
    }

    /// Puts a summary in the place of the first so many items, unless these are shorter.
    pub(crate) fn summarize(&mut self, n_items: usize, summary: &str) {
        let task = self.items[..n_items].iter().rev().find_map(|item| match item {
            Item::User { text } => Some(&text[..text.floor_char_boundary(MAX_TASK)]),
            Item::System { .. }
            | Item::Text { .. }
            | Item::Thinking { .. }
            | Item::Call { .. }
            | Item::Result { .. } => None,
        });
        let task =
            task.map(|task| format!("\n\nThe last that the user said in it:\n\n{task}")).unwrap_or_default();
        let text =
            format!("The conversation so far was too long. You summarized it like this:\n\n{summary}{task}");
        let summary = Item::User { text };
        if estimate(&summary) >= self.items[..n_items].iter().map(estimate).sum() {
            return;
        }
        let place = self.places[..n_items].iter().flatten().max().copied();
        self.items.splice(..n_items, [summary]);
        self.places.splice(..n_items, [place]);
        self.measured = None;
    }

    /// The conversation up to the last thing that the model made, to be kept for later sessions. What comes behind
    /// that is in the log behind its place.
    pub(crate) fn to_keep(&self) -> serde_json::Result<Vec<u8>> {
        let end = self.places.iter().rposition(Option::is_some).map_or(0, |last| {
            let results = self.items[last + 1..].iter();
            last + 1 + results.take_while(|item| matches!(item, Item::Result { .. })).count()
        });
        let last_place = self.places.iter().flatten().max().copied().unwrap_or(0);
        serde_json::to_vec(&Kept { last_place, items: self.items[..end].to_vec() })
    }

    /// Where the last answer begins: nothing in front of it belongs to a call in it.
    fn last_answer_start(&self) -> usize {
        let is_made =
            |item: &Item| matches!(item, Item::Text { .. } | Item::Thinking { .. } | Item::Call { .. });
        let Some(last) = self.items.iter().rposition(is_made) else { return 0 };
        self.items[..last].iter().rposition(|item| !is_made(item)).map_or(0, |before| before + 1)
    }
}
