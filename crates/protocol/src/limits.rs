//! What ends a worker's turns, or keeps it from beginning another.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::bounds::{LINE, MAX_LINE_BYTES};

/// Limits of a worker; what is absent has none. In a create request: at most what the profile allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkerLimits {
    /// Turns over the worker's life; the last one ends as any other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub turns: Option<u64>,
    /// Tokens to and from the model over the worker's life.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub tokens: Option<u64>,
    /// US dollars over the worker's life, as far as costs are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub cost_usd: Option<f64>,
    /// Seconds: from the creation of a worker with a task; of running turns for the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub wall_secs: Option<u64>,
    /// Seconds without a sign of life within a turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub inactivity_secs: Option<u64>,
    /// Rounds of tool calls within a turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub tool_rounds: Option<u64>,
    /// Seconds that tasks may live on behind a turn's end; none may where this is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub background_secs: Option<u64>,
    /// Inputs that may wait for their turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub queued_inputs: Option<u64>,
}

/// Body of a raise of limits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RaiseLimitsRequest {
    /// The new limits, each at least what it is now. A limit that the worker does not have cannot be set.
    #[schemars(extend("minProperties" = 1))]
    pub limits: WorkerLimits,
    /// Who, for the log, beside the token's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_LINE_BYTES), regex(pattern = LINE))]
    pub actor: Option<String>,
}

/// Limits that a server says: a reader leaves those out that only later versions know.
pub(crate) fn said<'de, D: Deserializer<'de>>(deserializer: D) -> Result<WorkerLimits, D::Error> {
    let mut limits = Map::<String, Value>::deserialize(deserializer)?;
    let known = WorkerLimits::default().places().map(|(place, _)| place);
    limits.retain(|name, _| known.iter().any(|place| place.strip_prefix("/limits/") == Some(name)));
    serde_json::from_value(Value::Object(limits)).map_err(serde::de::Error::custom)
}

impl WorkerLimits {
    /// These limits, with those of `newer` in the place of their own.
    #[must_use]
    pub fn with(self, newer: &Self) -> Self {
        Self {
            turns: newer.turns.or(self.turns),
            tokens: newer.tokens.or(self.tokens),
            cost_usd: newer.cost_usd.or(self.cost_usd),
            wall_secs: newer.wall_secs.or(self.wall_secs),
            inactivity_secs: newer.inactivity_secs.or(self.inactivity_secs),
            tool_rounds: newer.tool_rounds.or(self.tool_rounds),
            background_secs: newer.background_secs.or(self.background_secs),
            queued_inputs: newer.queued_inputs.or(self.queued_inputs),
        }
    }

    /// Each limit with its place in a request, as a JSON pointer. What is a number here is exact below 2^53.
    #[must_use]
    pub fn places(&self) -> [(&'static str, Option<f64>); 8] {
        let whole = |n: Option<u64>| n.map(|n| n as f64);
        [
            ("/limits/turns", whole(self.turns)),
            ("/limits/tokens", whole(self.tokens)),
            ("/limits/cost_usd", self.cost_usd),
            ("/limits/wall_secs", whole(self.wall_secs)),
            ("/limits/inactivity_secs", whole(self.inactivity_secs)),
            ("/limits/tool_rounds", whole(self.tool_rounds)),
            ("/limits/background_secs", whole(self.background_secs)),
            ("/limits/queued_inputs", whole(self.queued_inputs)),
        ]
    }

    /// The place of the first limit that allows nothing; a limit is greater than 0.
    #[must_use]
    pub fn first_not_positive(&self) -> Option<&'static str> {
        let is_positive = |value: f64| value > 0.0;
        self.places()
            .into_iter()
            .find(|(_, value)| value.is_some_and(|value| !is_positive(value)))
            .map(|(place, _)| place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_of_a_later_server_are_left_out_and_of_a_client_refused() {
        #[derive(Debug, PartialEq, Deserialize)]
        struct Said {
            #[serde(deserialize_with = "said")]
            limits: WorkerLimits,
        }
        let text = r#"{"limits": {"turns": 7, "moons": 2}}"#;
        let limits = WorkerLimits { turns: Some(7), ..WorkerLimits::default() };
        assert_eq!(serde_json::from_str::<Said>(text).unwrap(), Said { limits });
        assert!(serde_json::from_str::<Said>(r#"{"limits": {"turns": -1}}"#).is_err());
        let refused = serde_json::from_str::<RaiseLimitsRequest>(text).unwrap_err();
        assert!(refused.to_string().contains("moons"), "{refused}");
    }

    #[test]
    fn a_limit_that_allows_nothing_is_found() {
        let limits = |text| serde_json::from_str::<WorkerLimits>(text).unwrap();
        for (text, place) in [
            ("{}", None),
            (r#"{"turns": 1, "cost_usd": 0.01, "queued_inputs": 1}"#, None),
            (r#"{"turns": 1, "tokens": 0}"#, Some("/limits/tokens")),
            (r#"{"cost_usd": -1}"#, Some("/limits/cost_usd")),
            (r#"{"queued_inputs": 0}"#, Some("/limits/queued_inputs")),
        ] {
            assert_eq!(limits(text).first_not_positive(), place, "{text}");
        }
    }
}
