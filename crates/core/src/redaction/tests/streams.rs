//! What comes in pieces, over many streams and cuts.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use musher_backend::{Event, Report, ToolOutput, TurnEnd, Vault};
use proptest::{
    collection::vec,
    prelude::{Strategy, any, prop_assert, prop_assert_eq, proptest},
};

use super::{KEY, NAME, delta, events, redaction};
use crate::redaction::Redaction;

/// More than are shown in pieces at once.
const MANY: u32 = 300;

fn delta_of(block: u32, text: &str) -> Event {
    Event::TextDelta { block, text: text.to_owned() }
}

fn done(block: u32, text: &str) -> Event {
    Event::TextDone { block, text: text.to_owned() }
}

fn arguments(call: &str, arguments: &str) -> Event {
    Event::ToolCallDelta { tool_call_id: call.parse().unwrap(), arguments: arguments.to_owned() }
}

/// What is shown of these events.
fn shown(redaction: &mut Redaction, reported: impl IntoIterator<Item = Event>) -> Vec<Event> {
    reported.into_iter().flat_map(|event| events(redaction.take(Report::Event(event)))).collect()
}

/// The pieces that are shown of a text, together.
fn pieces_of(block: u32, shown: &[Event]) -> String {
    let piece = |event: &Event| {
        let Event::TextDelta { block: of, text } = event else { return None };
        (*of == block).then(|| text.clone())
    };
    shown.iter().filter_map(piece).collect()
}

#[test]
fn the_rest_of_a_secret_is_hidden_however_many_texts_are_open() {
    let (begin, rest) = KEY.split_at(KEY.len() / 2);
    let whole = format!("it is {KEY}!");
    let reported = (0..MANY)
        .map(|block| delta_of(block, &format!("it is {begin}")))
        .chain((0..MANY).map(|block| delta_of(block, &format!("{rest}!"))))
        .chain((0..MANY).map(|block| done(block, &whole)));
    let shown = shown(&mut redaction(), reported);
    let expected = format!("it is {NAME}!");
    let mut withheld = 0;
    for block in 0..MANY {
        assert!(shown.contains(&done(block, &expected)));
        let pieces = pieces_of(block, &shown);
        if pieces.is_empty() {
            withheld += 1;
        } else {
            assert_eq!(pieces, expected, "of {block}");
        }
    }
    let told = shown.iter().filter(|event| matches!(event, Event::Diagnostic { .. })).count();
    assert_eq!((withheld, told), (MANY - 256, 1));
}

#[test]
fn the_next_turn_is_shown_in_pieces_again() {
    let mut redaction = redaction();
    drop(shown(&mut redaction, (0..MANY).map(|block| delta_of(block, "sk-"))));
    // One that is over makes no room: a part of what comes next may have been left out.
    assert_eq!(shown(&mut redaction, [done(0, "sk-"), delta_of(MANY, "hey")]).pop(), Some(Event::Alive));
    drop(shown(&mut redaction, [Event::TurnEnded(TurnEnd::completed())]));
    assert_eq!(shown(&mut redaction, [delta("hey")]), [delta("hey")]);
}

#[test]
fn an_end_never_comes_behind_the_end_of_its_stream() {
    let end = TurnEnd::Interrupted;
    let result = Event::ToolResult { tool_call_id: "c".parse().unwrap(), output: ToolOutput::ok("") };
    let limited = Event::RateLimited { scope: "requests".to_owned(), reset_at: None };
    let retrying = Event::Retrying {
        attempt: 1,
        max_attempts: 2,
        delay_ms: 3,
        reason: String::new(),
        discarded_blocks: vec![0],
    };
    for (reported, expected) in [
        // Nothing says that a call will still be completed once it has its result.
        (vec![arguments("c", "sk-"), result.clone()], vec![Event::Alive, arguments("c", "sk-"), result]),
        (vec![delta("sk-"), limited.clone()], vec![Event::Alive, delta("sk-"), limited]),
        (vec![delta("sk-"), retrying.clone()], vec![Event::Alive, delta("sk-"), retrying.clone()]),
        // Which calls are superseded is not said.
        (
            vec![arguments("c", "sk-"), retrying.clone(), Event::TurnEnded(end.clone())],
            vec![Event::Alive, retrying, arguments("c", "sk-"), Event::TurnEnded(end)],
        ),
    ] {
        assert_eq!(shown(&mut redaction(), reported), expected);
    }
}

#[test]
fn what_comes_of_a_text_that_broke_off_is_not_shown() {
    let (begin, rest) = KEY.split_at(3);
    let limited = Event::RateLimited { scope: "requests".to_owned(), reset_at: None };
    let reported = [delta(begin), limited.clone(), delta(rest), Event::TurnEnded(TurnEnd::Interrupted)];
    let expected =
        [Event::Alive, delta(begin), limited, Event::Alive, Event::TurnEnded(TurnEnd::Interrupted)];
    assert_eq!(shown(&mut redaction(), reported), expected);
}

#[test]
fn a_letter_that_a_secret_is_cut_in_is_never_broken() {
    let vault = Arc::new(Vault::default());
    vault.hide("A_KEY", b"\xa9bcdefgh\xc3");
    let redaction = || Redaction::new(Arc::clone(&vault));
    assert_eq!(shown(&mut redaction(), [delta("xé"), delta("y")]), [delta("x"), delta("éy")]);
    assert_eq!(
        shown(&mut redaction(), [delta("xéb"), delta("cdefghéy"), done(0, "xébcdefghéy")]),
        [delta("x"), delta(&format!("{NAME}y")), done(0, &format!("x{NAME}y"))]
    );
}

#[test]
fn what_overlaps_goes_on_being_hidden_in_the_pieces_that_come() {
    let vault = Arc::new(Vault::default());
    vault.hide("A_KEY", b"abcdefgh");
    vault.hide("B_KEY", b"efghijkl");
    let redaction = || Redaction::new(Arc::clone(&vault));
    assert_eq!(
        shown(
            &mut redaction(),
            [delta("x abcdefgh"), delta("ijk"), delta("l y"), done(0, "x abcdefghijkl y")]
        ),
        [delta(&format!("x {NAME}")), Event::Alive, delta(" y"), done(0, &format!("x {NAME} y"))]
    );
    // It was none, or nobody knows.
    assert_eq!(shown(&mut redaction(), [delta("abcdefghij"), delta("-")]), [delta(NAME), delta("ij-")]);
    let ends = [delta("abcdefghij"), Event::TurnEnded(TurnEnd::Interrupted)];
    assert_eq!(shown(&mut redaction(), ends), [delta(NAME), Event::TurnEnded(TurnEnd::Interrupted)]);
}

/// What a model says in one text: words, secrets, and beginnings of secrets.
fn words() -> impl Strategy<Value = Vec<(u8, usize, String)>> {
    vec((0..3_u8, 0..32_usize, "[abé ]{0,6}"), 0..8)
}

/// Secrets of few letters, so that one begins in the middle of another, and where their first byte is left out.
fn secrets() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let secret = ("[abé]{9,14}", any::<bool>()).prop_map(|(secret, is_cut)| {
        let bytes = secret.into_bytes();
        if is_cut { bytes[1..].to_vec() } else { bytes }
    });
    vec(secret, 1..4)
}

fn text_of(words: &[(u8, usize, String)], secrets: &[Vec<u8>]) -> String {
    let mut text = Vec::new();
    for (kind, n, word) in words {
        let secret = &secrets[n % secrets.len()];
        match kind {
            0 => text.extend_from_slice(word.as_bytes()),
            1 => text.extend_from_slice(secret),
            _ => text.extend_from_slice(&secret[..n % secret.len()]),
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// A text in pieces.
fn cut(text: &str, cuts: &[usize]) -> Vec<String> {
    let places = cuts.iter().map(|cut| text.floor_char_boundary(cut % (text.len() + 1)));
    let places: BTreeSet<_> = places.chain([0, text.len()]).collect();
    let places: Vec<_> = places.into_iter().collect();
    places.windows(2).map(|place| text[place[0]..place[1]].to_owned()).collect()
}

fn holds(text: &str, secret: &[u8]) -> bool {
    text.as_bytes().windows(secret.len()).any(|here| here == secret)
}

proptest! {
    /// Whatever the cuts, and whatever comes in between: the pieces of a text are together what is shown of the whole.
    #[test]
    fn pieces_say_together_what_is_shown_of_the_whole(
        hidden in secrets(),
        texts in vec((words(), vec(any::<usize>(), 0..12)), 1..5),
        order in vec(any::<usize>(), 0..80),
    ) {
        let vault = Arc::new(Vault::default());
        for secret in &hidden {
            vault.hide("A_KEY", secret);
        }
        let texts: Vec<_> =
            texts.iter().map(|(words, cuts)| (text_of(words, &hidden), cuts)).collect();
        let mut reported: Vec<_> = (0..)
            .zip(&texts)
            .map(|(block, (text, cuts))| {
                let pieces = cut(text, cuts).into_iter().map(|piece| delta_of(block, &piece));
                let mut events: Vec<_> = pieces.chain([done(block, text)]).collect();
                events.reverse();
                events
            })
            .collect();
        let mut redaction = Redaction::new(Arc::clone(&vault));
        let mut got: BTreeMap<u32, String> = BTreeMap::new();
        let mut order = order.into_iter();
        while !reported.is_empty() {
            let place = order.next().unwrap_or_default() % reported.len();
            let next = reported[place].pop().unwrap();
            if reported[place].is_empty() {
                drop(reported.remove(place));
            }
            for event in shown(&mut redaction, [next]) {
                if let Event::TextDelta { block, text } = event {
                    got.entry(block).or_default().push_str(&text);
                } else if let Event::TextDone { block, text } = event {
                    let said = &texts[usize::try_from(block).unwrap()].0;
                    let expected = vault.secrets().redact_text(said).unwrap_or_else(|| said.clone());
                    prop_assert_eq!(&text, &expected);
                    prop_assert_eq!(got.remove(&block).unwrap_or_default(), expected);
                    prop_assert!(!hidden.iter().any(|secret| holds(&text, secret)), "{}", text);
                } else {
                    prop_assert_eq!(event, Event::Alive);
                }
            }
        }
        // Nothing comes behind the end of a text.
        prop_assert_eq!(got, BTreeMap::new());
        prop_assert_eq!(events(redaction.finish()), []);
    }

    /// A turn that breaks off shows no more of a secret than its first letters.
    #[test]
    fn a_turn_that_breaks_off_shows_no_secret(
        hidden in secrets(),
        words in words(),
        cuts in vec(any::<usize>(), 0..12),
    ) {
        let vault = Arc::new(Vault::default());
        for secret in &hidden {
            vault.hide("A_KEY", secret);
        }
        let text = text_of(&words, &hidden);
        let pieces = cut(&text, &cuts).into_iter().map(|piece| delta_of(0, &piece));
        let mut redaction = Redaction::new(vault);
        let shown = shown(&mut redaction, pieces.chain([Event::TurnEnded(TurnEnd::Interrupted)]));
        let said = pieces_of(0, &shown);
        for secret in &hidden {
            prop_assert!(!holds(&said, secret), "{}", said);
            prop_assert!(!said.as_bytes().ends_with(&secret[..4]), "{}", said);
        }
    }
}
