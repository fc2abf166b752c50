use std::collections::BTreeSet;

use proptest::{
    collection::vec,
    prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest},
};

use super::*;

fn secrets(variables: &[(&str, &str)]) -> Secrets {
    Secrets::of(variables.iter().map(|(name, value)| (*name, OsStr::new(value))))
}

fn check(variables: &[(&str, &str)], line: &str, expected: &str) {
    let redacted = secrets(variables).redact(line.as_bytes());
    assert_eq!(String::from_utf8(redacted).unwrap(), expected, "{variables:?}");
}

#[test]
fn names_stand_in_the_place_of_secrets() {
    let key = ("ANTHROPIC_API_KEY", "sk-ant-12345");
    check(&[key], "a sk-ant-12345 b sk-ant-12345", "a [ANTHROPIC_API_KEY] b [ANTHROPIC_API_KEY]");
    check(&[key], "sk-ant-1234", "sk-ant-1234");
    check(&[("my_password", "sesame-open")], "sesame-open!", "[my_password]!");
    check(&[("ANTHROPIC_BASE_URL", "http://127.0.0.1:1")], "http://127.0.0.1:1", "http://127.0.0.1:1");
    // Shorter than any secret.
    check(&[("A_KEY", "1")], "1, 2, 1", "1, 2, 1");
    check(&[key, ("A_TOKEN", "sk-ant-12345-long")], "sk-ant-12345-long", "[A_TOKEN]");
}

#[test]
fn a_url_shows_neither_user_nor_password() {
    let url = ("DATABASE_URL", "postgres://me:p%40ss@db.example:5432/x?y=z");
    check(&[url], url.1, "postgres://[DATABASE_URL]@db.example:5432/x?y=z");
    check(&[url], "as me, p%40ss", "as me, p%40ss");
    let long = ("PROXY", "http://somebody:correct-horse@proxy:1 and https://a@b");
    check(&[long], "http://somebody:correct-horse@proxy:1 correct-horse", "http://[PROXY]@proxy:1 [PROXY]");
    check(&[long], "somebody:correct-horse https://a@b/c", "[PROXY] https://[PROXY]@b/c");
    // What stands behind the authority is no user.
    check(&[("A_URL", "http://a/b@c")], "http://a/b@c", "http://a/b@c");
    check(&[("A_URL", "http://@c")], "http://@c", "http://@c");
}

#[test]
fn names_of_tokens_and_passwords_end_like_that() {
    check(&[("GITHUB_PAT", "0123456789")], "0123456789", "[GITHUB_PAT]");
    check(&[("MYSQL_PWD", "0123456789")], "0123456789", "[MYSQL_PWD]");
    check(&[("GIT_AUTHOR_NAME", "Some Body")], "Some Body", "Some Body");
    check(&[("PATH", "/usr/bin:/bin"), ("PWD", "/home/somebody")], "/usr/bin:/bin", "/usr/bin:/bin");
}

/// What is said of a text in pieces, one by one.
fn said(secrets: &Secrets, pieces: &[&str], known: Known) -> Vec<String> {
    let mut unsaid = Unsaid::default();
    let mut said: Vec<_> = pieces.iter().map(|piece| secrets.say(&mut unsaid, piece, Known::SoFar)).collect();
    said.push(secrets.say(&mut unsaid, "", known));
    assert!(unsaid.is_empty());
    said
}

#[test]
fn an_end_waits_where_a_secret_may_begin() {
    let secrets = secrets(&[
        ("A_KEY", "sk-ant-12345"),
        ("B_KEY", "sk-ant-12345-long"),
        ("C_KEY", "12345-6789"),
        ("A_URL", "x://me@host"),
    ]);
    for (text, expected) in [
        ("", ("", 0)),
        ("x", ("x", 0)),
        ("x s", ("x ", 0)),
        ("x sk-sk-an", ("x sk-", 0)),
        ("sk-ant-1234x", ("sk-ant-1234x", 0)),
        // It is one, and may become the other.
        ("sk-ant-12345", ("", 0)),
        ("sk-ant-12345-long", ("[B_KEY]", 0)),
        // It is one, and the beginning of another one is in it.
        ("sk-ant-12345-", ("", 0)),
        ("sk-ant-12345-6", ("[A_KEY]", 5)),
        ("x://me", ("x", 0)),
        ("x://me@", ("x://[A_URL]@", 0)),
    ] {
        let look = secrets.look(text.as_bytes(), 0, Known::SoFar);
        let shown = String::from_utf8(look.shown(text.as_bytes())).unwrap();
        assert_eq!((shown.as_str(), look.hidden), expected, "{text}");
    }
}

#[test]
fn all_that_overlapping_secrets_cover_is_hidden_wherever_the_text_is_cut() {
    let ab = [("A_KEY", "abcdefgh"), ("B_KEY", "efghijkl")];
    let abc = [ab[0], ab[1], ("C_KEY", "klmnopqrs")];
    let within = [("A_KEY", "123456789"), ("B_KEY", "x123456789y"), ("C_KEY", "123456789y..")];
    let itself = [("A_KEY", "abcabcabc")];
    let prefix = [("A_KEY", "12345678"), ("B_KEY", "12345678-90"), ("C_KEY", "78-90-xyz")];
    let url = [("A_KEY", "https://"), ("B_KEY", "@host:443"), ("A_URL", "https://me@host")];
    // What may go on begins between the mark of a URL's user and its end.
    let parted = [("A_KEY", "me@host:443"), ("B_KEY", "//me@there"), ("A_URL", "http://me@host")];
    let twins = [("A_KEY", "12345678"), ("B_KEY", "12345678")];
    for (variables, text, expected) in [
        (&ab[..], "x abcdefghijkl y", "x [A_KEY] y"),
        (&ab, "abcdefgh efghijkl", "[A_KEY] [B_KEY]"),
        // They touch, and do not overlap.
        (&ab, "abcdefghefghijkl", "[A_KEY][B_KEY]"),
        (&ab, "abcdefghabcdefghijkl", "[A_KEY][A_KEY]"),
        // The second one is none.
        (&ab, "abcdefghijk", "[A_KEY]ijk"),
        (&ab, "abcdefghij abcdefghijkl", "[A_KEY]ij [A_KEY]"),
        (&abc, "abcdefghijklmnopqrst", "[A_KEY]t"),
        (&abc, "abcdefghijklmnopqr", "[A_KEY]mnopqr"),
        (&within, "x123456789y.", "[B_KEY]."),
        (&within, "x123456789y..", "[B_KEY]"),
        (&within, "x123456789z", "x[A_KEY]z"),
        (&within, "123456789y.", "[A_KEY]y."),
        (&itself, "abcabcabcabc", "[A_KEY]"),
        (&itself, "abcabcabcabcab", "[A_KEY]ab"),
        (&itself, "abcabcabcabcabcabcabcabcabcabcabcabcabcabc abcabc", "[A_KEY] abcabc"),
        (&prefix, "12345678-9", "[A_KEY]-9"),
        (&prefix, "12345678-90", "[B_KEY]"),
        (&prefix, "12345678-90-xy", "[B_KEY]-xy"),
        (&prefix, "12345678-90-xyz", "[B_KEY]"),
        (&url, "https://me@host", "[A_KEY][A_URL]@host"),
        (&url, "https://me@host:443/x", "[A_KEY][A_URL][B_KEY]/x"),
        (&url, "http://me@host:443/x", "http://[A_URL][B_KEY]/x"),
        (&url, "x://you@host", "x://you@host"),
        (&parted, "http://me@host:44", "http://[A_URL]@host:44"),
        (&parted, "http://me@host:443", "http://[A_KEY]"),
        (&parted, "http://me@the", "http://[A_URL]@the"),
        (&parted, "http://me@there", "http:[B_KEY]"),
        (&twins, "12345678", "[A_KEY]"),
    ] {
        check(variables, text, expected);
        let secrets = secrets(variables);
        for first in 0..=text.len() {
            for second in first..=text.len() {
                let pieces = [&text[..first], &text[first..second], &text[second..]];
                let said = said(&secrets, &pieces, Known::All);
                assert_eq!(said.concat(), expected, "{variables:?} {pieces:?}");
            }
        }
        let letters: Vec<_> = text.split("").collect();
        assert_eq!(said(&secrets, &letters, Known::All).concat(), expected, "{variables:?} {text}");
    }
}

#[test]
fn a_secret_is_found_within_json_and_in_pieces_of_several_lines() {
    let quoted = ("A_SECRET", "se\"cr\\et-12");
    check(&[quoted], r#"{"x":"se\"cr\\et-12"}"#, r#"{"x":"[A_SECRET]"}"#);
    // What stands at its ends is a part of it.
    check(&[("A_SECRET", "\"quoted\"")], r#"{"x":"\"quoted\""}"#, r#"{"x":"[A_SECRET]"}"#);
    check(&[("A_SECRET", "ends so\\\"")], r#"{"x":"ends so\\\""}"#, r#"{"x":"[A_SECRET]"}"#);
    let lines = ("A_KEY", "-----BEGIN\n0123456789\nabc");
    check(&[lines], "0123456789", "[A_KEY]");
    check(&[lines], r"x -----BEGIN\n0123456789\nabc y", "x [A_KEY] y");
}

#[test]
fn the_beginning_of_a_secret_at_a_break_is_hidden() {
    let secrets =
        secrets(&[("A_KEY", "sk-ant-12345"), ("B_KEY", "ant-12zzzzz"), ("A_URL", "http://me:pass@host")]);
    for (line, expected) in [
        ("x sk-ant-12", "x [A_KEY]"),
        ("x sk-", "x sk-"),
        ("x sk-ant-12345", "x [A_KEY]"),
        // The end of one is the beginning of another.
        ("x sk-ant-12zz", "x sk-[B_KEY]"),
        ("http://me:p", "http://[A_URL]"),
        ("http://m", "http://[A_URL]"),
        ("http://", "http://"),
        ("", ""),
    ] {
        assert_eq!(secrets.redact_broken(line.as_bytes()), expected.as_bytes(), "{line}");
        for (at, _) in line.char_indices() {
            let said = said(&secrets, &[&line[..at], &line[at..]], Known::BrokenOff);
            assert_eq!(said.concat(), expected, "{line} at {at}");
        }
    }
}

#[test]
fn a_letter_is_hidden_as_a_whole() {
    let vault = Vault::default();
    // It begins with the end of a letter, and ends with the beginning of one.
    vault.hide("A_KEY", b"\xa9bcdefgh\xf0\x9f");
    let secrets = vault.secrets();
    let (said_text, shown) = ("xéébcdefgh🐕 y", "xé[redacted:A_KEY] y");
    assert_eq!(secrets.redact_text(said_text).unwrap(), shown);
    // Where it was made a text.
    let made = String::from_utf8_lossy(b"x \xa9bcdefgh\xf0\x9f").into_owned();
    assert_eq!(secrets.redact_text(&made).unwrap(), "x [redacted:A_KEY]");
    for (text, expected) in [("xé", ["x", "é"]), ("xéb", ["x", "éb"]), (said_text, [shown, ""])] {
        assert_eq!(said(&secrets, &[text], Known::All), expected, "{text}");
    }
    assert_eq!(said(&secrets, &["xébcd"], Known::BrokenOff).concat(), "x[redacted:A_KEY]");
}

#[test]
fn what_a_mark_stands_for_is_told_apart_from_what_stands_around_it() {
    let vault = Vault::default();
    vault.hide_variable("A_URL", OsStr::new("http://me:pw@host"));
    let text = "at http://me:pw@host";
    let expected = Found { place: 10..15, name: "[redacted:A_URL]" };
    assert_eq!(vault.secrets().find(text.as_bytes()), [expected]);
}

#[test]
fn debug_shows_no_secret() {
    assert_eq!(format!("{:?}", secrets(&[("A_KEY", "sk-ant-12345")])), r#"{"[A_KEY]"}"#);
}

/// Secrets of few letters, so that one begins in the middle of another or holds it, and where their first byte is left out;
/// and short users in URLs.
fn few_letters() -> impl Strategy<Value = (Vec<Vec<u8>>, Vec<String>)> {
    let secret = ("[abé/:@]{9,14}", any::<bool>()).prop_map(|(secret, is_cut)| {
        let bytes = secret.into_bytes();
        if is_cut { bytes[1..].to_vec() } else { bytes }
    });
    (vec(secret, 1..4), vec("[ab]{1,3}", 0..3))
}

/// A text of parts of these secrets, of users and of words, and where it is cut.
fn texts() -> impl Strategy<Value = (Vec<Vec<u8>>, Vec<String>, String, BTreeSet<usize>)> {
    few_letters().prop_flat_map(|(secrets, users)| {
        let some = secrets.clone();
        let part = (0..some.len(), any::<(usize, usize)>()).prop_map(move |(n, (from, to))| {
            let secret = &some[n];
            let from = from % secret.len();
            secret[from..=from + to % (secret.len() - from)].to_vec()
        });
        let whole = prop_oneof![Just(secrets.clone()), Just(vec![b"://a@".to_vec()])]
            .prop_flat_map(|all| (0..all.len()).prop_map(move |n| all[n].clone()));
        let word = "[abé/:@ ]{0,6}".prop_map(String::into_bytes);
        let words = vec(prop_oneof![part, whole, word], 0..10);
        (Just(secrets), Just(users), words, vec(any::<usize>(), 0..12)).prop_map(
            |(secrets, users, words, cuts)| {
                let text = String::from_utf8_lossy(&words.concat()).into_owned();
                let cuts = cuts.into_iter().map(|cut| text.floor_char_boundary(cut % (text.len() + 1)));
                let cuts = cuts.chain([0, text.len()]).collect();
                (secrets, users, text, cuts)
            },
        )
    })
}

/// The letters of a text of which no byte is in one of these, each with what stands around it.
fn uncovered(text: &str, hidden: &[(&[u8], Vec<u8>, &[u8])]) -> String {
    let mut covered = vec![false; text.len()];
    for (before, secret, behind) in hidden {
        let whole = [before, secret.as_slice(), behind].concat();
        for at in 0..=text.len().saturating_sub(whole.len()) {
            if text.as_bytes()[at..].starts_with(&whole) {
                covered[at + before.len()..][..secret.len()].fill(true);
            }
        }
    }
    let is_shown = |(at, letter): &(usize, char)| !covered[*at..at + letter.len_utf8()].contains(&true);
    text.char_indices().filter(is_shown).map(|(_, letter)| letter).collect()
}

proptest! {
    #[test]
    fn no_byte_that_a_secret_covers_is_shown_and_cuts_change_nothing(
        (hidden, users, text, cuts) in texts()
    ) {
        let vault = Vault::default();
        for secret in &hidden {
            vault.hide("N", secret);
        }
        for user in &users {
            vault.hide_variable("N", OsStr::new(&format!("x://{user}@h")));
        }
        let secrets = vault.secrets();
        let shown = secrets.redact_text(&text).unwrap_or_else(|| text.clone());
        let forms = hidden.iter().flat_map(|secret| {
            [secret.clone(), String::from_utf8_lossy(secret).into_owned().into_bytes()]
        });
        let forms = forms.map(|form| (&b""[..], form, &b""[..]));
        let users = users.iter().map(|user| (&b"://"[..], user.clone().into_bytes(), &b"@"[..]));
        let kept = uncovered(&text, &forms.chain(users).collect::<Vec<_>>());
        prop_assert_eq!(shown.replace("[redacted:N]", ""), kept);

        let cuts: Vec<_> = cuts.into_iter().collect();
        let pieces: Vec<_> = cuts.windows(2).map(|cut| &text[cut[0]..cut[1]]).collect();
        prop_assert_eq!(said(&secrets, &pieces, Known::All).concat(), shown);
        let broken = said(&secrets, &pieces, Known::BrokenOff).concat();
        prop_assert_eq!(broken.as_bytes(), secrets.redact_broken(text.as_bytes()));
        for secret in &hidden {
            prop_assert!(!broken.as_bytes().ends_with(&secret[..4]), "{}", broken);
        }
    }
}

#[test]
fn what_waits_is_shorter_than_the_longest_secret_however_much_is_hidden() {
    let secrets = secrets(&[("A_KEY", "aaaaaaaaaa")]);
    let look = secrets.look("a".repeat(1000).as_bytes(), 0, Known::SoFar);
    let found = vec![Found { place: 0..991, name: "[A_KEY]" }];
    assert_eq!(look, Look { found, certain: 991, hidden: 9 });
}
