//! Which fields are known of the lines that decide something: how a turn ends, why it waits, what is asked.
//!
//! What cannot be read counts as absent, which must not go unnoticed where so much depends on it.

use serde_json::{Map, Value};

use self::Shape::{Any, Count, Flag, List, Number, Object, Text, Texts};

/// Strange fields of one line that are told. A line that has more is another one altogether.
const MAX_TOLD: usize = 16;

/// A field that is not known, or not of the type that it is known with.
#[derive(Debug, PartialEq)]
pub(crate) struct Strange {
    /// What it is a field of.
    pub(crate) of: &'static str,
    pub(crate) key: String,
    pub(crate) value: Value,
}

/// What a field is read as.
#[derive(Clone, Copy, Debug)]
enum Shape {
    Text,
    /// A number of things, which may come as a float.
    Count,
    Number,
    Flag,
    List,
    Texts,
    Object,
    /// It is not read, or as it is.
    Any,
}

/// How a turn ended.
const RESULT: &[(&str, Shape)] = &[
    ("api_error", Any),
    ("api_error_status", Count),
    ("api_error_type", Any),
    ("duration_api_ms", Any),
    ("duration_ms", Any),
    ("errors", Texts),
    ("fast_mode_disabled_reason", Any),
    ("fast_mode_state", Any),
    ("first_content_frame_ms", Any),
    ("first_request_cache_read_input_tokens", Any),
    ("first_request_input_tokens", Any),
    ("is_error", Flag),
    ("local_command", Any),
    ("modelUsage", Object),
    ("model_usage_since_last_result", Object),
    ("num_turns", Count),
    ("origin", Any),
    ("permission_denials", List),
    ("queued_turn_count", Any),
    ("request_sent_wall_ms", Any),
    ("result", Text),
    ("result_index", Any),
    ("safety_stops", Any),
    ("session_id", Any),
    ("stop_reason", Text),
    ("structured_output", Any),
    ("subagent_stats", Any),
    ("subtype", Text),
    ("terminal_reason", Text),
    ("time_to_request_ms", Any),
    ("total_cost_usd", Number),
    ("ttft_ms", Any),
    ("ttft_stream_ms", Any),
    ("type", Any),
    ("usage", Any),
    ("user_message_uuid", Any),
    ("user_message_uuids", Any),
    ("uuid", Any),
];

/// The state of a usage limit.
const RATE_LIMIT: &[(&str, Shape)] = &[
    ("isUsingOverage", Any),
    ("overageDisabledReason", Any),
    ("overageInUse", Any),
    ("overageResetsAt", Any),
    ("overageStatus", Any),
    ("rateLimitType", Text),
    ("resetsAt", Count),
    ("status", Text),
    ("surpassedThreshold", Any),
    ("unifiedWindows", Any),
    ("utilization", Number),
];

/// A request to the model failed.
const API_RETRY: &[(&str, Shape)] = &[
    ("attempt", Count),
    ("error", Text),
    ("error_status", Count),
    ("max_retries", Count),
    ("retry_delay_ms", Count),
    ("session_id", Any),
    ("subtype", Any),
    ("type", Any),
    ("uuid", Any),
];

/// A tool may not run without leave.
const CAN_USE_TOOL: &[(&str, Shape)] = &[
    ("blocked_path", Any),
    ("description", Any),
    ("display_name", Any),
    ("input", Object),
    ("mcp_server", Any),
    ("permission_suggestions", List),
    ("requires_user_interaction", Any),
    ("server_policy_ask_only", Any),
    ("subtype", Any),
    ("tool_name", Text),
    ("tool_use_id", Text),
];

/// The fields of a line that are not understood, where that matters.
pub(super) fn strange(line: &Value) -> Vec<Strange> {
    let text = |value: &Value, name: &str| value[name].as_str().unwrap_or_default().to_owned();
    let (of, known, fields) = match text(line, "type").as_str() {
        "result" => ("result", RESULT, line),
        "system" if text(line, "subtype") == "api_retry" => ("api_retry", API_RETRY, line),
        "rate_limit_event" => ("rate_limit_info", RATE_LIMIT, &line["rate_limit_info"]),
        "control_request" if text(&line["request"], "subtype") == "can_use_tool" => {
            ("can_use_tool", CAN_USE_TOOL, &line["request"])
        }
        _ => return Vec::new(),
    };
    let strange = fields.as_object().into_iter().flat_map(|fields| unread(fields, known));
    strange.map(|(key, value)| Strange { of, key, value }).take(MAX_TOLD).collect()
}

fn unread<'a>(
    fields: &'a Map<String, Value>,
    known: &'a [(&str, Shape)],
) -> impl Iterator<Item = (String, Value)> + 'a {
    let is_read = |key: &str, value: &Value| {
        known.iter().any(|(name, shape)| *name == key && (value.is_null() || shape.fits(value)))
    };
    fields
        .iter()
        .filter(move |(key, value)| !is_read(key, value))
        .map(|(key, value)| (key.clone(), value.clone()))
}

impl Shape {
    fn fits(self, value: &Value) -> bool {
        match self {
            Text => value.is_string(),
            Count => value.as_f64().is_some_and(|n| n >= 0.0),
            Number => value.is_number(),
            Flag => value.is_boolean(),
            List => value.is_array(),
            Texts => value.as_array().is_some_and(|texts| texts.iter().all(Value::is_string)),
            Object => value.is_object(),
            Any => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(line: Value, expected: &[(&'static str, &str)]) {
        let strange = strange(&line);
        let found: Vec<_> = strange.iter().map(|field| (field.of, field.key.as_str())).collect();
        assert_eq!(found, expected, "{line}");
    }

    #[test]
    fn a_field_that_is_new_or_of_another_type_is_strange() {
        check(json!({ "type": "result", "is_error": false, "num_turns": 1.0, "stop_reason": null }), &[]);
        check(
            json!({ "type": "result", "is_error": "no", "errors": [1], "num_turns": -1, "dream": 1 }),
            &[("result", "dream"), ("result", "errors"), ("result", "is_error"), ("result", "num_turns")],
        );
        check(
            json!({ "type": "rate_limit_event", "rate_limit_info": { "resetsAt": "soon", "status": "rejected" } }),
            &[("rate_limit_info", "resetsAt")],
        );
        check(
            json!({ "type": "system", "subtype": "api_retry", "retry_delay_ms": 0.5, "why": {} }),
            &[("api_retry", "why")],
        );
        check(
            json!({ "type": "control_request",
                "request": { "subtype": "can_use_tool", "tool_name": ["Bash"], "input": {}, "urgent": true } }),
            &[("can_use_tool", "tool_name"), ("can_use_tool", "urgent")],
        );
    }

    #[test]
    fn of_other_lines_nothing_depends() {
        check(json!({ "type": "system", "subtype": "init", "dream": 1 }), &[]);
        check(json!({ "type": "control_request", "request": { "subtype": "dream", "of": 1 } }), &[]);
        check(json!({ "type": "rate_limit_event", "rate_limit_info": 7 }), &[]);
        check(json!([]), &[]);
    }

    #[test]
    fn a_line_of_strangers_is_told_in_part() {
        let mut line: Value = (0..100).map(|n| (n.to_string(), Value::from(n))).collect();
        line["type"] = "result".into();
        assert_eq!(strange(&line).len(), MAX_TOLD);
    }
}
