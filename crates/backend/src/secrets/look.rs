//! Where secrets stand in a text, also in one that comes in pieces.
//!
//! Secrets overlap: one begins in the middle of another, or holds it. What they cover together is hidden as one.

use std::{cmp::Reverse, mem, ops::Range};

use super::{Pattern, Secrets};

/// As much of a secret's beginning is worth hiding where a text breaks off in the middle of one.
const BEGINNING: usize = 4;

/// Something that is hidden in a text: a secret, or several that overlap, with the whole of a letter that it begins or ends
/// in the middle of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found<'a> {
    /// Where it is.
    pub place: Range<usize>,
    /// What stands in its place: the name of the secret that begins first, of several the longest one's. Nothing, where
    /// it stands already before the text.
    pub name: &'a str,
}

/// How much of a text is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// It goes on.
    SoFar,
    /// It is over.
    All,
    /// It broke off, perhaps in the middle of a secret.
    BrokenOff,
}

/// What is known of the secrets in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look<'a> {
    /// What is hidden in what is certain, from the first to the last.
    pub found: Vec<Found<'a>>,
    /// Up to here it is certain what is shown. The rest has to be looked at again with what comes behind it; it is
    /// shorter than the longest secret, a letter and `://` together.
    pub certain: usize,
    /// So many bytes at the beginning of the rest are hidden already: the name for them stands in what is certain.
    pub hidden: usize,
}

/// The end of a text that goes on, as far as it is not certain what is shown of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unsaid {
    text: String,
    /// So many bytes at its beginning are hidden by a name that was said.
    hidden: usize,
}

/// A secret where it stands.
struct Stand<'a> {
    /// All that it was found by.
    whole: Range<usize>,
    found: Found<'a>,
}

impl Unsaid {
    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }
}

impl Look<'_> {
    /// What is shown of what is certain in the text that was looked at.
    pub fn shown(&self, text: &[u8]) -> Vec<u8> {
        let mut shown = Vec::with_capacity(self.certain);
        let mut at = 0;
        for Found { place, name } in &self.found {
            shown.extend_from_slice(&text[at..place.start]);
            shown.extend_from_slice(name.as_bytes());
            at = place.end;
        }
        shown.extend_from_slice(&text[at..self.certain]);
        shown
    }
}

impl Secrets {
    /// What is hidden in a text, from the first to the last.
    pub fn find(&self, text: &[u8]) -> Vec<Found<'_>> {
        self.look(text, 0, Known::All).found
    }

    /// A line, with names in the place of secrets.
    pub fn redact(&self, line: &[u8]) -> Vec<u8> {
        self.look(line, 0, Known::All).shown(line)
    }

    /// The same of a text; nothing when there is none in it.
    pub fn redact_text(&self, text: &str) -> Option<String> {
        let look = self.look(text.as_bytes(), 0, Known::All);
        (!look.found.is_empty()).then(|| letters(look.shown(text.as_bytes())))
    }

    /// The same of a line that breaks off, perhaps in the middle of a secret.
    pub fn redact_broken(&self, line: &[u8]) -> Vec<u8> {
        self.look(line, 0, Known::BrokenOff).shown(line)
    }

    /// Says more of a text: what is certain now, behind what was said of it before. All that is said, piece by piece, is
    /// what [`Secrets::redact_text`] makes of the whole, wherever it was cut.
    pub fn say(&self, unsaid: &mut Unsaid, piece: &str, known: Known) -> String {
        let Unsaid { text, hidden } = mem::take(unsaid);
        let text = text + piece;
        let look = self.look(text.as_bytes(), hidden, known);
        *unsaid = Unsaid { text: text[look.certain..].to_owned(), hidden: look.hidden };
        letters(look.shown(text.as_bytes()))
    }

    /// Looks for secrets in a text of which so many bytes at the beginning are hidden by a name that stands before it.
    pub fn look(&self, text: &[u8], hidden: usize, known: Known) -> Look<'_> {
        let stands = self.stands(text);
        let certain = match known {
            Known::SoFar => self.certain(text, &stands),
            Known::All | Known::BrokenOff => text.len(),
        };
        let mut places: Vec<_> = stands.into_iter().map(|stand| stand.found).collect();
        if known == Known::BrokenOff {
            places.extend(self.beginnings(text));
        }
        places.sort_by_key(|Found { place, .. }| (place.start, Reverse(place.end)));
        let said = (hidden > 0).then_some(Found { place: 0..hidden, name: "" });
        let mut found: Vec<_> = said.into_iter().collect();
        for next in places {
            match found.last_mut() {
                Some(last) if next.place.start < last.place.end => {
                    last.place.end = last.place.end.max(next.place.end);
                }
                Some(_) | None => found.push(next),
            }
        }
        let is_said = |found: &Found<'_>| found.place.start < certain || found.name.is_empty();
        let end = found.iter().filter(|found| is_said(found)).map(|found| found.place.end).max();
        found.retain(|found| found.place.start < certain);
        for Found { place, .. } in &mut found {
            place.end = place.end.min(certain);
        }
        Look { found, certain, hidden: end.unwrap_or_default().saturating_sub(certain) }
    }

    /// Every secret in a text. Of those at one place the longest comes first.
    fn stands(&self, text: &[u8]) -> Vec<Stand<'_>> {
        let begins = text.iter().enumerate().filter(|(_, byte)| self.begins(**byte));
        let stands = begins.flat_map(|(at, _)| {
            let here = self.patterns.iter().filter(move |pattern| text[at..].starts_with(&pattern.value));
            here.map(move |Pattern { value, name, around: (before, behind) }| {
                let whole = at..at + value.len();
                let place = letter_begin(text, whole.start + before)..letter_end(text, whole.end - behind);
                Stand { whole, found: Found { place, name } }
            })
        });
        stands.collect()
    }

    /// Up to where no secret begins that may go on behind the text.
    fn certain(&self, text: &[u8], stands: &[Stand<'_>]) -> usize {
        let longest = self.patterns.first().map_or(0, |pattern| pattern.value.len() - 1);
        let may_begin = |at: &usize| {
            let end = &text[*at..];
            self.patterns
                .iter()
                .any(|pattern| pattern.value.len() > end.len() && pattern.value.starts_with(end))
        };
        let open = (text.len().saturating_sub(longest)..text.len()).find(may_begin);
        let open = open.map_or(text.len(), |at| letter_begin(text, at));
        // One that is found by what stands before it is not parted from that.
        let parted =
            stands.iter().filter(|stand| stand.whole.start < open && open <= stand.found.place.start);
        parted.map(|stand| stand.whole.start).min().unwrap_or(open)
    }

    /// The beginnings of secrets with which a text ends.
    fn beginnings<'a>(&'a self, text: &[u8]) -> impl Iterator<Item = Found<'a>> {
        self.patterns.iter().filter_map(|Pattern { value, name, around: (before, _) }| {
            let longest = (value.len() - 1).min(text.len());
            let length = (BEGINNING..=longest).rev().find(|length| text.ends_with(&value[..*length]))?;
            let start = text.len() - length + before;
            (start < text.len()).then(|| Found { place: letter_begin(text, start)..text.len(), name })
        })
    }

    /// Whether a secret begins with this byte.
    fn begins(&self, byte: u8) -> bool {
        self.patterns.iter().any(|pattern| pattern.value[0] == byte)
    }
}

/// What is shown of a text.
fn letters(shown: Vec<u8>) -> String {
    String::from_utf8(shown).expect("of a text whole letters are replaced, by a text")
}

/// Where the letter begins that this place is in the middle of.
fn letter_begin(text: &[u8], at: usize) -> usize {
    let is_within = |place: usize| text.get(place).copied().is_some_and(goes_on);
    (at.saturating_sub(LETTER - 1)..=at).rev().find(|place| !is_within(*place)).unwrap_or(at)
}

/// Where the letter ends that this place is in the middle of.
fn letter_end(text: &[u8], at: usize) -> usize {
    at + text[at..].iter().take(LETTER - 1).take_while(|byte| goes_on(**byte)).count()
}

/// The most bytes that a letter of UTF-8 has.
const LETTER: usize = 4;

/// Whether a byte is one of a letter but its first.
fn goes_on(byte: u8) -> bool {
    byte & 0b1100_0000 == 0b1000_0000
}
