//! Idempotency keys: a request that is repeated under its key is answered as the first one was, and does nothing.
//!
//! What came of a request is written in the commit of its effect. A command that is under way has left its intent there,
//! so that a repeat after a crash finds what was begun and never begins it again.

use std::{collections::HashSet, sync::PoisonError, time::Duration};

use jiff::Timestamp;
use musher_protocol::{
    Ack, Actor, ConfigBundleSummary, DecisionReply, EventId, IdempotencyKey, WorkerDetail, WorkerId,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{
    error::Error,
    runtime::Shared,
    store::{Health, KeyRecord, OwnedKeys, Store, StoreError},
};

/// How long a key is kept: a client that has not repeated its request for a day does not do it any more.
pub(crate) const KEPT: Duration = Duration::from_secs(24 * 3600);

/// How many keys of one token are kept, unless the program says otherwise: a dozen requests a second the whole day long.
/// What ends something comes on top: its event is in the log for longer than its key.
pub(crate) const MOST: u64 = 1_000_000;

/// How many bytes they have on the average at most, which is about one GiB for the [`MOST`]. A worker that is shown takes as
/// much, or as much more as its objective is long.
const BYTES_OF_ONE: u64 = 1 << 10;

/// How often keys are forgotten whose time is over: a token that has its most of them waits for that.
pub(crate) const LOOK: Duration = Duration::from_secs(60);

/// Who asks for something, and under which key.
#[derive(Clone, Debug)]
pub struct CommandOptions {
    /// Who asks. A key belongs to the token.
    pub by: Actor,
    /// What makes a repeat of the same request one with the first.
    pub idempotency_key: Option<IdempotencyKey>,
}

/// Without a key.
impl From<Actor> for CommandOptions {
    fn from(by: Actor) -> Self {
        Self { by, idempotency_key: None }
    }
}

/// An answer, and whether it was given before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered<T> {
    /// The answer.
    pub reply: T,
    /// Whether the request is a repeat, and this the answer to the first.
    pub is_replayed: bool,
}

impl<T> Answered<T> {
    /// The answer to a request that is no repeat.
    pub(crate) fn first(reply: T) -> Self {
        Self { reply, is_replayed: false }
    }

    /// The answer that the first request got.
    pub(crate) fn again(reply: T) -> Self {
        Self { reply, is_replayed: true }
    }

    /// The same with another answer.
    pub fn map<U>(self, map: impl FnOnce(T) -> U) -> Answered<U> {
        Answered { reply: map(self.reply), is_replayed: self.is_replayed }
    }
}

/// A request under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Keyed {
    pub(crate) place: KeyPlace,
    owner: String,
    digest: [u8; 32],
}

/// A key and what it is unique in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct KeyPlace {
    scope: String,
    key: IdempotencyKey,
}

/// What came of a request, as a store keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// It was begun with this event. What follows from that is in the log.
    Begun(EventId),
    /// It was answered with this.
    Ack(Ack),
    /// It was answered with an approval as it was decided, which the log may forget earlier. At most some 150 kB, mostly
    /// far less: 64 kB of input and as much of questions and suggestions, as in the event that asked, and the message. So
    /// a decision takes at most what its own events take once more, for a day; and a token that repeats one under ever
    /// new keys takes less with each than with an input, which may have 2 MiB.
    Decision(Box<DecisionReply>),
    /// It was answered with a worker as it was then.
    Worker(Box<WorkerDetail>),
    /// It was answered with a config bundle.
    Bundle(ConfigBundleSummary),
}

impl Keyed {
    /// The request under its key, where it has one. `route` names what is asked for, with whatever it is asked of.
    pub(crate) fn of(options: &CommandOptions, route: &[&str], request: &impl Serialize) -> Option<Self> {
        let CommandOptions { by, idempotency_key } = options;
        let key = idempotency_key.clone()?;
        let scope = serde_json::to_string(&(&by.token, route)).expect("texts are JSON");
        // A value's members are in the order of their names, whatever the order in which they came.
        let request = serde_json::to_value((request, &by.actor)).expect("a request is JSON");
        let digest = Sha256::digest(request.to_string()).into();
        Some(Self { place: KeyPlace { scope, key }, owner: by.token.clone(), digest })
    }

    /// What is to be remembered of it.
    pub(crate) fn record(&self, outcome: &Outcome, now: Timestamp) -> KeyRecord {
        KeyRecord {
            owner: self.owner.clone(),
            scope: self.place.scope.clone(),
            key: self.place.key.clone(),
            digest: self.digest,
            outcome: serde_json::to_vec(outcome).expect("an outcome is JSON").into(),
            at: now,
        }
    }

    /// What came of the request before, by what a store remembers of its key. `None` where it is the first.
    pub(crate) fn outcome(
        &self,
        record: Option<KeyRecord>,
        now: Timestamp,
    ) -> Result<Option<Outcome>, Error> {
        let Some(record) = record.filter(|record| record.at >= kept_since(now)) else { return Ok(None) };
        if record.digest != self.digest {
            return Err(Error::KeyReused(self.place.key.clone()));
        }
        let outcome = serde_json::from_slice(&record.outcome);
        outcome.map(Some).map_err(|source| Error::KeyUnreadable { key: self.place.key.clone(), source })
    }

    /// Looks up what came of the request before.
    pub(crate) async fn look_up(&self, store: &dyn Store, now: Timestamp) -> Result<Option<Outcome>, Error> {
        let record = store.remembered(&self.place.scope, &self.place.key).await?;
        self.outcome(record, now)
    }

    /// Whether this is what is remembered of the request.
    pub(crate) fn is_of(&self, record: &KeyRecord) -> bool {
        (&self.place.scope, &self.place.key) == (&record.scope, &record.key)
    }

    /// Refuses a request that would be the first under its key, where no more can be remembered: the disk is full, or the
    /// token has as many keys, or in as many bytes, as it may. Nothing that was answered is forgotten instead.
    ///
    /// Requests that are under way at the same time do not see each other; both may be passed by what these leave.
    pub(crate) async fn check_room(&self, store: &dyn Store, most: u64, now: Timestamp) -> Result<(), Error> {
        match &*store.health().borrow() {
            Health::Full => return Err(StoreError::Full.into()),
            // Whatever has failed is told by what is tried.
            Health::Good | Health::Failed(_) => {}
        }
        let OwnedKeys { count, bytes, oldest } = store.keys_of(&self.owner).await?;
        let most_bytes = most.saturating_mul(BYTES_OF_ONE);
        if count < most && bytes < most_bytes {
            return Ok(());
        }
        let over = oldest.and_then(|oldest| oldest.checked_add(KEPT).ok());
        let wait = over.and_then(|over| Duration::try_from(over.duration_since(now)).ok());
        let wait = wait.unwrap_or_default() + LOOK;
        Err(if count < most {
            Error::LargeKeys { limit: most_bytes, wait }
        } else {
            Error::ManyKeys { limit: most, wait }
        })
    }

    /// Whether the first answer under the key can be remembered, where it is given in any case.
    pub(crate) async fn has_room(&self, store: &dyn Store, most: u64, now: Timestamp) -> Result<bool, Error> {
        match self.check_room(store, most, now).await {
            Ok(()) => Ok(true),
            Err(Error::ManyKeys { .. } | Error::LargeKeys { .. }) => Ok(false),
            Err(Error::Store(error)) if matches!(*error, StoreError::Full) => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn in_flight(&self) -> Error {
        Error::KeyInFlight(self.place.key.clone())
    }
}

/// Since when keys are kept.
pub(crate) fn kept_since(now: Timestamp) -> Timestamp {
    now.checked_sub(KEPT).unwrap_or(Timestamp::MIN)
}

/// The words of a worker's route.
pub(crate) fn route<'a>(command: &'a str, worker: &'a WorkerId) -> [&'a str; 2] {
    [command, worker.as_str()]
}

/// The exclusive right to answer a request under its key, where no worker's task gives it.
#[derive(Debug)]
pub(crate) struct Claim {
    shared: std::sync::Weak<Shared>,
    place: KeyPlace,
}

impl Claim {
    /// Takes the right; an error where somebody has it.
    pub(crate) fn take(shared: &std::sync::Arc<Shared>, keyed: &Keyed) -> Result<Self, Error> {
        if !shared.keys_in_flight().insert(keyed.place.clone()) {
            return Err(keyed.in_flight());
        }
        Ok(Self { shared: std::sync::Arc::downgrade(shared), place: keyed.place.clone() })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.upgrade() {
            shared.keys_in_flight().remove(&self.place);
        }
    }
}

impl Shared {
    fn keys_in_flight(&self) -> std::sync::MutexGuard<'_, HashSet<KeyPlace>> {
        // An insert or a removal is whole or has not happened.
        self.keys_in_flight.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use serde_json::{Value, json};

    use super::*;

    fn keyed(token: &str, actor: Option<&str>, key: &str, route: &[&str], request: &str) -> Keyed {
        let by = Actor { token: token.to_owned(), actor: actor.map(str::to_owned) };
        let options = CommandOptions { by, idempotency_key: Some(key.parse().unwrap()) };
        let request: Value = serde_json::from_str(request).unwrap();
        Keyed::of(&options, route, &request).unwrap()
    }

    #[test]
    fn a_key_belongs_to_a_token_and_a_route_and_a_request_to_its_key() {
        let first = keyed("ci", None, "k", &["stop", "wrk_1"], r#"{"a":1,"b":{"c":[1,2],"d":null}}"#);
        let same = r#"{ "b": {"d":null, "c":[1, 2]}, "a":1 }"#;
        for (other, same_place, same_digest) in [
            (keyed("ci", None, "k", &["stop", "wrk_1"], same), true, true),
            (keyed("ci", None, "k", &["stop", "wrk_1"], r#"{"a":1,"b":{"c":[2,1],"d":null}}"#), true, false),
            (keyed("ci", Some("bob"), "k", &["stop", "wrk_1"], same), true, false),
            (keyed("ops", None, "k", &["stop", "wrk_1"], same), false, true),
            (keyed("ci", None, "K", &["stop", "wrk_1"], same), false, true),
            (keyed("ci", None, "k", &["stop", "wrk_2"], same), false, true),
            (keyed("ci", None, "k", &["cancel", "wrk_1"], same), false, true),
        ] {
            let found = (other.place == first.place, other.digest == first.digest);
            assert_eq!(found, (same_place, same_digest), "{other:?}");
        }
        let options = CommandOptions::from(Actor { token: "ci".to_owned(), actor: None });
        assert_eq!(Keyed::of(&options, &["stop"], &json!({})), None);
    }

    #[test]
    fn a_record_answers_its_own_request_for_a_day() {
        let now: Timestamp = "2026-01-02T00:00:00Z".parse().unwrap();
        let ago = |secs| now - SignedDuration::from_secs(secs);
        let request = keyed("ci", None, "k", &["stop"], r#"{"a":1}"#);
        let other = keyed("ci", None, "k", &["stop"], r#"{"a":2}"#);
        let begun = Outcome::Begun("evt_1".parse().unwrap());
        let damaged = |at| KeyRecord { outcome: "{}".into(), ..request.record(&begun, at) };
        let day = 24 * 3600;
        for (asked, record, expected) in [
            (&request, None, "new"),
            (&request, Some(request.record(&begun, ago(0))), "Begun(evt_1)"),
            (&request, Some(request.record(&begun, ago(day))), "Begun(evt_1)"),
            (&request, Some(request.record(&begun, ago(day + 1))), "new"),
            (&other, Some(request.record(&begun, ago(0))), "key `k` was used before, for another request"),
            (&other, Some(request.record(&begun, ago(day + 1))), "new"),
            (&request, Some(damaged(ago(0))), "read what came of the request under key `k`"),
        ] {
            let found = match asked.outcome(record.clone(), now) {
                Ok(None) => "new".to_owned(),
                Ok(Some(outcome)) => format!("{outcome:?}"),
                Err(error) => error.to_string(),
            };
            assert_eq!(found, expected, "{record:?}");
        }
    }
}
