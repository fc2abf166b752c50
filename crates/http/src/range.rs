//! Ranges of bytes: which part of an answer a request wants.

use std::ops::Range;

use http::{
    HeaderMap, Method,
    header::{IF_RANGE, RANGE},
};

/// What a request wants of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// All of it, also where what was asked for makes no sense or is more than one range.
    Whole,
    /// These bytes.
    Part(Range<usize>),
    /// Bytes that are not there.
    Beyond,
}

/// Which part a request wants of an answer with so many bytes.
pub(crate) fn wanted(method: &Method, headers: &HeaderMap, bytes: usize) -> Wanted {
    // Answers have no validator, so a condition on one does not hold.
    if *method != Method::GET || headers.contains_key(IF_RANGE) {
        return Wanted::Whole;
    }
    let mut given = headers.get_all(RANGE).iter();
    match (given.next(), given.next()) {
        (Some(range), None) => {
            range.to_str().ok().and_then(|text| read(text, bytes)).unwrap_or(Wanted::Whole)
        }
        _ => Wanted::Whole,
    }
}

/// `None` for a text that is not one range of bytes.
fn read(text: &str, bytes: usize) -> Option<Wanted> {
    let (unit, range) = text.split_once('=')?;
    let (first, last) = range.trim().split_once('-')?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (first, last) = (number(first)?, number(last)?);
    let range = match (first, last) {
        (None, None) => return None,
        (None, Some(length)) => bytes.saturating_sub(length)..bytes,
        (Some(first), None) => first..bytes,
        (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(bytes),
        (Some(_), Some(_)) => return None,
    };
    Some(if range.is_empty() { Wanted::Beyond } else { Wanted::Part(range) })
}

/// The number, if there is one; `None` for a text that is none.
fn number(text: &str) -> Option<Option<usize>> {
    if text.is_empty() {
        return Some(None);
    }
    // Digits that are too many are a place far behind every end.
    text.bytes().all(|b| b.is_ascii_digit()).then(|| Some(text.parse().unwrap_or(usize::MAX)))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn asked(ranges: &[&'static str]) -> HeaderMap {
        ranges.iter().map(|range| (RANGE, HeaderValue::from_static(range))).collect()
    }

    #[test]
    fn one_range_of_bytes_is_answered_and_the_rest_is_the_whole() {
        let huge = "bytes=0-99999999999999999999999";
        let cases = [
            ("bytes=0-0", Wanted::Part(0..1)),
            ("bytes=0-99", Wanted::Part(0..100)),
            ("bytes=10-", Wanted::Part(10..100)),
            ("bytes=99-", Wanted::Part(99..100)),
            ("bytes=90-1000", Wanted::Part(90..100)),
            (huge, Wanted::Part(0..100)),
            ("bytes=0-18446744073709551615", Wanted::Part(0..100)),
            ("bytes=-1", Wanted::Part(99..100)),
            ("bytes=-1000", Wanted::Part(0..100)),
            ("BYTES= 1-2 ", Wanted::Part(1..3)),
            ("bytes=100-", Wanted::Beyond),
            ("bytes=100-200", Wanted::Beyond),
            ("bytes=99999999999999999999999-", Wanted::Beyond),
            ("bytes=-0", Wanted::Beyond),
            ("bytes=2-1", Wanted::Whole),
            ("bytes=200-100", Wanted::Whole),
            ("bytes=0-1,3-4", Wanted::Whole),
            ("bytes=-", Wanted::Whole),
            ("bytes=", Wanted::Whole),
            ("bytes", Wanted::Whole),
            ("bytes=+1-2", Wanted::Whole),
            ("bytes=a-b", Wanted::Whole),
            ("bytes=1-2-3", Wanted::Whole),
            ("lines=1-2", Wanted::Whole),
            ("", Wanted::Whole),
        ];
        for (range, expected) in cases {
            assert_eq!(wanted(&Method::GET, &asked(&[range]), 100), expected, "{range:?}");
        }
    }

    #[test]
    fn only_a_single_get_without_a_condition_gets_a_range() {
        let one = asked(&["bytes=0-0"]);
        assert_eq!(wanted(&Method::GET, &HeaderMap::new(), 100), Wanted::Whole);
        assert_eq!(wanted(&Method::HEAD, &one, 100), Wanted::Whole);
        assert_eq!(wanted(&Method::GET, &asked(&["bytes=0-0", "bytes=0-0"]), 100), Wanted::Whole);
        let mut conditional = one;
        conditional.insert(IF_RANGE, HeaderValue::from_static("\"a\""));
        assert_eq!(wanted(&Method::GET, &conditional, 100), Wanted::Whole);
    }
}
