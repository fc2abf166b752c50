//! What was said and done, as the model is to see it, over sessions and over models.

mod shortening;

use std::collections::BTreeMap;

use musher_backend::HistoryEntry;
use musher_protocol::{Role, ToolCallId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub(crate) use self::shortening::SUMMARY_REQUEST;
use crate::{Item, Raw, Scope, answer::size_of_value};

/// The name under which a history that was made shorter is kept.
pub(crate) const KEPT: &str = "history";

/// What a model is told of a call whose end nobody saw.
pub(crate) const UNKNOWN_RESULT: &str = "interrupted; side effects unknown: verify before doing it again";

/// A conversation. What the model made has a place, a number that goes up over the worker's life and is in the log
/// beside its event: by it a kept history knows which events it stands for.
#[derive(Debug, Default)]
pub(crate) struct Conversation {
    items: Vec<Item>,
    /// The place of each item that has one.
    places: Vec<Option<u64>>,
    last_place: u64,
    last_answer: u64,
    /// About how many tokens the items before `measured_items` take, by the vendor's own count.
    measured: Option<(usize, u64)>,
}

/// What is kept beside an event: where it stands, and the vendor's items for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Private {
    place: u64,
    /// Calls of one answer were made together.
    answer: u64,
    #[serde(flatten)]
    raw: Raw,
}

/// A history that was made shorter, up to a place.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    /// What comes later in the log is not in it.
    last_place: u64,
    items: Vec<Item>,
}

/// What became of the history of earlier sessions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Loaded {
    /// Calls whose end nobody saw.
    pub(crate) orphans: usize,
    /// Items that another model, place or version of ours had made, and that are left out.
    pub(crate) foreign: usize,
    /// The kept history cannot be read; the log has everything.
    pub(crate) is_kept_unreadable: bool,
}

impl Conversation {
    /// The conversation of earlier sessions, for a model of this scope.
    pub(crate) fn load(
        history: Vec<HistoryEntry>,
        kept: &BTreeMap<String, Vec<u8>>,
        scope: &Scope,
    ) -> (Self, Loaded) {
        let mut conversation = Self::default();
        let mut loaded = Loaded::default();
        let entries: Vec<_> = history.into_iter().map(|entry| (private(&entry), entry)).collect();
        let mut first = 0;
        if let Some(bytes) = kept.get(KEPT) {
            match serde_json::from_slice::<Kept>(bytes) {
                Ok(kept) => {
                    let covers = |private: &Option<Private>| {
                        private.as_ref().is_some_and(|private| private.place <= kept.last_place)
                    };
                    first = entries.iter().rposition(|(private, _)| covers(private)).map_or(0, |at| at + 1);
                    conversation.last_place = kept.last_place;
                    for item in kept.items {
                        conversation.push_own(item, scope, Some(kept.last_place), &mut loaded);
                    }
                }
                Err(_unreadable) => loaded.is_kept_unreadable = true,
            }
        }
        let mut results: Vec<(u64, Item)> = Vec::new();
        for (private, HistoryEntry { entry, private: body }) in entries.into_iter().skip(first) {
            let answer = private.as_ref().map(|private| private.answer);
            let place = private.as_ref().map(|private| private.place);
            // Results wait until the last call of their answer, as they did when it was given.
            if results.last().is_some_and(|(of, _)| Some(*of) != answer) {
                conversation.push_results(&mut results);
            }
            if private.is_none() && body.is_some() {
                loaded.foreign += 1;
            }
            conversation.last_place = conversation.last_place.max(place.unwrap_or(0));
            conversation.last_answer = conversation.last_answer.max(answer.unwrap_or(0));
            let raw = private.map(|private| private.raw);
            match entry.role {
                Role::User => conversation.push(Item::User { text: entry.content }),
                Role::System => conversation.push(Item::System { text: entry.content }),
                // Nothing was said before its turn was cut.
                Role::Assistant if entry.content.is_empty() && raw.is_none() => {}
                Role::Assistant => {
                    let item = Item::Text { text: entry.content, raw };
                    conversation.push_own(item, scope, place, &mut loaded);
                }
                Role::Thinking => {
                    if let Some(raw) = raw {
                        conversation.push_own(Item::Thinking { raw }, scope, place, &mut loaded);
                    }
                }
                Role::Tool => {
                    let Some(id) = entry.tool_call_id else { continue };
                    let name = entry.name.unwrap_or_default();
                    let arguments = match entry.input.unwrap_or_default() {
                        Value::String(text) => text,
                        input @ (Value::Null
                        | Value::Bool(_)
                        | Value::Number(_)
                        | Value::Array(_)
                        | Value::Object(_)) => input.to_string(),
                    };
                    let is_orphan = entry.result.is_none();
                    loaded.orphans += usize::from(is_orphan);
                    let content = entry.result.unwrap_or_else(|| UNKNOWN_RESULT.to_owned());
                    let is_error = is_orphan || entry.is_error == Some(true);
                    let call = Item::Call { id: id.clone(), name: name.clone(), arguments, raw };
                    conversation.push_own(call, scope, place, &mut loaded);
                    let result = Item::Result { id, name, content, is_error };
                    match answer {
                        Some(answer) => results.push((answer, result)),
                        None => conversation.push(result),
                    }
                }
                Role::Unknown => {}
            }
        }
        conversation.push_results(&mut results);
        (conversation, loaded)
    }

    pub(crate) fn items(&self) -> &[Item] {
        &self.items
    }

    /// Takes an input as it is told to the model. The log has it before a session is started for it, so it may be the
    /// last that the history knows.
    pub(crate) fn push_input(&mut self, logged: &Item, told: Item) {
        if self.items.last() == Some(logged) {
            self.items.pop();
            self.places.pop();
            self.measured = self.measured.filter(|(n_items, _)| *n_items <= self.items.len());
        }
        self.push(told);
    }

    /// Takes what did not come from the model.
    pub(crate) fn push(&mut self, item: Item) {
        self.items.push(item);
        self.places.push(None);
    }

    /// Takes back what the model has given no sign of having got, and what will be told again.
    pub(crate) fn take_back(&mut self, told: &Item) {
        let Some(place) = self.items.iter().rposition(|item| item == told) else { return };
        self.items.remove(place);
        self.places.remove(place);
        self.measured = self.measured.filter(|(n_items, _)| *n_items <= place);
    }

    /// Begins an answer; its parts follow.
    pub(crate) fn begin_answer(&mut self) {
        self.last_answer += 1;
    }

    /// The next place, and the body that is kept beside the event of what stands there.
    pub(crate) fn next_place(&mut self, raw: &Raw) -> (u64, Value) {
        self.last_place += 1;
        let body = json!({
            "place": self.last_place,
            "answer": self.last_answer,
            "scope": raw.scope,
            "items": raw.items,
        });
        (self.last_place, body)
    }

    /// Takes what the model made, in its place.
    pub(crate) fn push_placed(&mut self, item: Item, place: u64) {
        self.items.push(item);
        self.places.push(Some(place));
    }

    /// Leaves out what only its maker can read; returns how many items that was about.
    pub(crate) fn drop_opaque(&mut self) -> usize {
        let items = std::mem::take(&mut self.items);
        let places = std::mem::take(&mut self.places);
        let mut n_dropped = 0;
        for (item, place) in items.into_iter().zip(places) {
            n_dropped += usize::from(item.raw().is_some());
            if let Some(item) = without_raw(item) {
                self.items.push(item);
                self.places.push(place);
            }
        }
        self.measured = None;
        n_dropped
    }

    /// The vendor has counted all that is here.
    pub(crate) fn measure(&mut self, tokens: u64) {
        self.measured = Some((self.items.len(), tokens));
    }

    /// About how many tokens all this takes.
    pub(crate) fn estimate(&self) -> u64 {
        match self.measured {
            Some((n_items, tokens)) if n_items <= self.items.len() => {
                tokens + self.items[n_items..].iter().map(estimate).sum::<u64>()
            }
            Some(_) | None => self.weight(),
        }
    }

    /// The same by our own counting alone, so that two of them can be compared.
    pub(crate) fn weight(&self) -> u64 {
        self.items.iter().map(estimate).sum()
    }

    fn push_own(&mut self, item: Item, scope: &Scope, place: Option<u64>, loaded: &mut Loaded) {
        let is_foreign = item.raw().is_some_and(|raw| raw.scope != *scope);
        loaded.foreign += usize::from(is_foreign);
        if let Some(item) = if is_foreign { without_raw(item) } else { Some(item) } {
            self.items.push(item);
            self.places.push(place);
        }
    }

    fn push_results(&mut self, results: &mut Vec<(u64, Item)>) {
        for (_, result) in results.drain(..) {
            self.push(result);
        }
    }
}

/// What is known beside an entry. A body that is no such thing is of another version, or another backend's.
fn private(entry: &HistoryEntry) -> Option<Private> {
    entry.private.as_ref().and_then(|body| Private::deserialize(body).ok())
}

/// The item for a reader who is not its maker; none where nothing is left of it.
pub(crate) fn without_raw(item: Item) -> Option<Item> {
    match item {
        Item::Text { text, raw: _ } => (!text.is_empty()).then_some(Item::Text { text, raw: None }),
        Item::Call { id, name, arguments, raw: _ } => Some(Item::Call { id, name, arguments, raw: None }),
        Item::Thinking { raw: _ } => None,
        item @ (Item::User { .. } | Item::System { .. } | Item::Result { .. }) => Some(item),
    }
}

/// Four bytes a token is what vendors themselves say of their tokenizers; an item costs a few more.
fn estimate(item: &Item) -> u64 {
    const BYTES_A_TOKEN: usize = 4;
    const ITEM: usize = 16;
    let bytes = match item {
        Item::User { text } | Item::System { text } | Item::Text { text, raw: None } => text.len(),
        Item::Text { raw: Some(raw), .. } | Item::Thinking { raw } | Item::Call { raw: Some(raw), .. } => {
            raw.items.iter().map(size_of_value).sum()
        }
        Item::Call { name, arguments, raw: None, .. } => name.len() + arguments.len(),
        Item::Result { content, .. } => content.len(),
    };
    ((bytes + ITEM) / BYTES_A_TOKEN) as u64
}

/// An id for a call: the vendor's, where it is one and new, otherwise our own.
pub(crate) fn call_id(vendor: &str, items: &[Item], taken: &[ToolCallId]) -> ToolCallId {
    let is_taken = |id: &ToolCallId| {
        taken.contains(id)
            || items.iter().any(|item| matches!(item, Item::Call { id: known, .. } if known == id))
    };
    vendor.parse().ok().filter(|id| !is_taken(id)).unwrap_or_else(|| {
        let own = format!("call_{}", uuid::Uuid::new_v4().simple());
        own.parse().expect("a UUID is visible ASCII and short")
    })
}

#[cfg(test)]
mod tests;
