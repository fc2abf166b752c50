//! Waits, as servers write them.

use std::time::Duration;

use jiff::{Timestamp, fmt::rfc2822};

/// No server means more than this, and sums of times stay in range.
const LONGEST: f64 = 366.0 * 24.0 * 3600.0;

/// Reads a duration such as `1.73s`, `120ms`, `6m0s`, `9h54m2.5s` or `20 seconds` from the start of a text.
#[must_use]
pub fn parse(text: &str) -> Option<Duration> {
    let mut rest = text.trim_start();
    let mut seconds = None;
    loop {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let number: f64 = match rest[..digits].trim_end_matches('.').parse() {
            Ok(number) => number,
            Err(_) => break,
        };
        let after = rest[digits..].trim_start();
        let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let unit = match &after[..letters] {
            "ms" | "millisecond" | "milliseconds" => 0.001,
            "s" | "sec" | "secs" | "second" | "seconds" => 1.0,
            "m" | "min" | "minute" | "minutes" => 60.0,
            "h" | "hour" | "hours" => 3600.0,
            "d" | "day" | "days" => 86400.0,
            _ => break,
        };
        seconds = Some(seconds.unwrap_or(0.0) + number * unit);
        rest = &after[letters..];
    }
    seconds.map(from_seconds)
}

/// Finds what a server's sentence says about when to come back: `try again in 1.5s`, `Please retry in 20 seconds`.
#[must_use]
pub fn in_sentence(text: &str) -> Option<Duration> {
    let lower = text.to_ascii_lowercase();
    ["try again in ", "retry in ", "retry after "].iter().find_map(|words| {
        let at = lower.find(words)? + words.len();
        parse(&lower[at..])
    })
}

/// The wait that a response's headers ask for: `retry-after-ms`, or `retry-after` in seconds or as a date.
#[must_use]
pub fn in_headers<'a>(header: impl Fn(&str) -> Option<&'a str>, now: Timestamp) -> Option<Duration> {
    let number = |name| header(name).and_then(|value| value.trim().parse::<f64>().ok());
    if let Some(milliseconds) = number("retry-after-ms") {
        return Some(from_seconds(milliseconds / 1000.0));
    }
    if let Some(seconds) = number("retry-after") {
        return Some(from_seconds(seconds));
    }
    // A value that is neither a number nor a date says nothing.
    let date = rfc2822::DateTimeParser::new().parse_timestamp(header("retry-after")?).ok()?;
    Some(Duration::try_from(date.duration_since(now)).unwrap_or_default())
}

fn from_seconds(seconds: f64) -> Duration {
    // What is no number at all compares as nothing and becomes no wait.
    let seconds = if seconds > 0.0 { seconds.min(LONGEST) } else { 0.0 };
    Duration::from_secs_f64(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_of_every_vendor_are_read() {
        for (text, expected) in [
            ("1.73s", Some(1730)),
            ("120ms", Some(120)),
            ("6m0s", Some(360_000)),
            ("9h54m2.5s.", Some(35_642_500)),
            ("20 seconds, thank you", Some(20_000)),
            ("-1", None),
            ("soon", None),
            ("", None),
            ("99999999999999d", Some(31_622_400_000)),
        ] {
            assert_eq!(parse(text), expected.map(Duration::from_millis), "{text:?}");
        }
    }

    #[test]
    fn sentences_say_when_to_come_back() {
        for (text, expected) in [
            ("Rate limit reached for x. Please try again in 1.5s. Visit …", Some(1500)),
            ("Please retry in 37.4s.", Some(37_400)),
            ("Try again in 20ms", Some(20)),
            ("Please try again later", None),
        ] {
            assert_eq!(in_sentence(text), expected.map(Duration::from_millis), "{text:?}");
        }
    }

    #[test]
    fn headers_say_when_to_come_back() {
        let now: Timestamp = "2026-11-20T12:00:00Z".parse().unwrap();
        for (headers, expected) in [
            (&[("retry-after-ms", "1500"), ("retry-after", "9")][..], Some(1500)),
            (&[("retry-after", "2.5")], Some(2500)),
            (&[("retry-after", "Fri, 20 Nov 2026 12:00:30 GMT")], Some(30_000)),
            (&[("retry-after", "Fri, 20 Nov 2026 11:00:30 GMT")], Some(0)),
            (&[("retry-after", "NaN")], Some(0)),
            (&[("retry-after", "tomorrow")], None),
            (&[], None),
        ] {
            let header =
                |name: &str| headers.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
            assert_eq!(in_headers(header, now), expected.map(Duration::from_millis), "{headers:?}");
        }
    }
}
