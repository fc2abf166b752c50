//! The name of a server's tool, as every vendor takes it.

use sha2::{Digest, Sha256};

/// The longest name that every vendor takes.
const LONGEST: usize = 64;

/// Enough of a hash that no two tools of a session meet, short enough to leave room for the name.
const HASH_BYTES: usize = 4;

/// `<server>__<tool>` in `[A-Za-z_][A-Za-z0-9_-]{0,63}`. One that had to be changed for that ends with a hash of both
/// names, so that it stays the only one of its kind, and the same in every session.
pub(super) fn name(server: &str, tool: &str) -> String {
    let plain = format!("{server}__{tool}");
    let is_first = |c: char| c.is_ascii_alphabetic() || c == '_';
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let fits = plain.len() <= LONGEST && plain.starts_with(is_first) && plain.chars().all(is_allowed);
    if fits {
        return plain;
    }
    let mut hash = String::from("_");
    // With a NUL between them, which is in neither: `a__b` and `c` are not `a` and `b__c`.
    for byte in &Sha256::digest(format!("{server}\0{tool}"))[..HASH_BYTES] {
        hash.push_str(&format!("{byte:02x}"));
    }
    let mut mapped: String = plain.chars().map(|c| if is_allowed(c) { c } else { '_' }).collect();
    if !mapped.starts_with(is_first) {
        mapped.insert(0, '_');
    }
    mapped.truncate(LONGEST - hash.len());
    mapped + &hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_fits_stays_as_it_is() {
        for (server, tool, expected) in [
            ("tickets", "create", "tickets__create"),
            ("_", "a-b_C9", "___a-b_C9"),
            ("s", &"t".repeat(61), &format!("s__{}", "t".repeat(61))),
        ] {
            assert_eq!(name(server, tool), expected);
        }
    }

    #[test]
    fn a_name_that_does_not_fit_is_mapped_to_one_of_its_own() {
        let long = "t".repeat(62);
        for (server, tool, expected) in [
            ("tickets", "issues.create", "tickets__issues_create_f58dcfc2"),
            ("tickets", "issues/create", "tickets__issues_create_6cdee7bf"),
            ("9lives", "x", "_9lives__x_f796b28e"),
            ("-", "x", "_-__x_bca446fb"),
            ("s", "größe", "s__gr__e_82d47a0c"),
            ("s", &long, "s__tttttttttttttttttttttttttttttttttttttttttttttttttttt_51921f8b"),
        ] {
            assert_eq!(name(server, tool), expected);
            assert!(expected.len() <= LONGEST, "{expected}");
        }
    }

    #[test]
    fn no_two_tools_get_the_same_name() {
        let long = "t".repeat(100);
        let pairs = [
            ("s", "a.b"),
            ("s", "a/b"),
            ("s", "a_b"),
            ("s__a", "b c"),
            ("s", "a__b c"),
            ("s", long.as_str()),
            ("s", &long[1..]),
        ];
        let names: std::collections::BTreeSet<_> =
            pairs.iter().map(|(server, tool)| name(server, tool)).collect();
        assert_eq!(names.len(), pairs.len(), "{names:?}");
    }
}
