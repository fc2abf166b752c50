use super::*;

fn canonical(json: &str) -> String {
    String::from_utf8(Document::read(json).unwrap().canonical()).unwrap()
}

/// Numbers of RFC 8785, appendix B, as far as a bundle may hold them, and those of section 3.2.2.
#[test]
fn numbers_have_one_form() {
    for (json, expected) in [
        ("0", "0"),
        ("-0.0", "0"),
        ("5e-324", "5e-324"),
        ("-5e-324", "-5e-324"),
        ("9007199254740991", "9007199254740991"),
        ("-9007199254740991", "-9007199254740991"),
        ("333333333.33333329", "333333333.3333333"),
        ("4.50", "4.5"),
        ("2e-3", "0.002"),
        ("0.000000000000000000000000001", "1e-27"),
        ("1e-7", "1e-7"),
        ("0.000001", "0.000001"),
        ("9.5367431640625e-7", "9.5367431640625e-7"),
        ("0.0000033333333333333333", "0.0000033333333333333333"),
        ("333333.33333333326", "333333.33333333326"),
        ("1.0", "1"),
        ("10E1", "100"),
    ] {
        assert_eq!(canonical(json), expected, "{json}");
    }
}

/// The examples of RFC 8785, sections 3.2.2.2 and 3.2.3.
#[test]
fn texts_and_names_have_one_form_and_one_order() {
    for (json, expected) in [
        (r#""\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/""#, r#""€$\u000f\nA'B\"\\\\\"/""#),
        (
            r#"{"literals": [null, true, false], "b": {"z": 1, "a": []}, "": 0}"#,
            r#"{"":0,"b":{"a":[],"z":1},"literals":[null,true,false]}"#,
        ),
        (
            r#"{"\u20ac": "Euro Sign", "\r": "Carriage Return", "\ufb33": "Hebrew Letter Dalet With Dagesh",
                "1": "One", "\ud83d\ude00": "Emoji: Grinning Face", "\u0080": "Control",
                "\u00f6": "Latin Small Letter O With Diaeresis"}"#,
            "{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\u{80}\":\"Control\",\
             \"ö\":\"Latin Small Letter O With Diaeresis\",\"€\":\"Euro Sign\",\
             \"\u{1F600}\":\"Emoji: Grinning Face\",\"\u{FB33}\":\"Hebrew Letter Dalet With Dagesh\"}",
        ),
    ] {
        assert_eq!(canonical(json), expected);
    }
}

#[test]
fn only_the_bundles_own_digest_is_left_out() {
    let json = r#"{"metadata":{"id":"a","digest":"x"},"digest":"y","profiles":[{"digest":"z"}]}"#;
    assert_eq!(canonical(json), r#"{"digest":"y","metadata":{"id":"a"},"profiles":[{"digest":"z"}]}"#);
}

#[test]
fn what_two_readers_could_see_differently_is_refused() {
    const TWICE: &str = "an object has the same name twice";
    const LARGE: &str = "a number is beyond 2^53 - 1, which not every reader holds exactly";
    for (json, expected) in [
        (r#"{"a":1,"a":1}"#, TWICE),
        (r#"{"a":1,"\u0061":2}"#, TWICE),
        (r#"[{"b":{"a":1,"c":0,"a":2}}]"#, TWICE),
        ("9007199254740992", LARGE),
        ("-9007199254740992", LARGE),
        ("18446744073709551615", LARGE),
        ("123456789012345678901234567890", LARGE),
        ("9007199254740993.0", LARGE),
        ("1E30", LARGE),
        ("-1e300", LARGE),
        ("1e400", "number out of range"),
        (r#""\ud83d""#, "unexpected end of hex escape"),
        ("{} {}", "trailing characters"),
        ("", "EOF while parsing a value"),
        ("NaN", "expected value"),
    ] {
        let error = Document::read(json).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{json}: {error}");
    }
}

#[test]
fn nesting_is_bounded() {
    let deep = format!("{}{}", "[".repeat(1000), "]".repeat(1000));
    let error = Document::read(&deep).unwrap_err().to_string();
    assert!(error.starts_with("recursion limit exceeded"), "{error}");
}
