//! What the texts of a bundle may hold: names, lines and a few forms, each a list of what is allowed.
//!
//! What is refused is named by its place and never shown: it may be a secret that stands where it should not.

use std::collections::BTreeSet;

use musher_protocol::{
    ConfigBundle, ConfigBundleId, ConfigBundleProfile, ConfigDeclaration, ConfigDeclarationKind, ProfileSpec,
    bounds::{MAX_DECLARATIONS, MAX_LINE_BYTES, MAX_PROFILES, MAX_WORD_BYTES},
};

use super::BundleError;
use crate::wall::{Wall, stands};

/// Instructions go before every turn: more would leave a model little room to work.
const MAX_INSTRUCTIONS_BYTES: usize = 32 << 10;

const NAME: &str = "1 to 128 letters, digits and . _ : - are expected, the first of them a letter or a digit";
const LINE: &str =
    "a line of 1 to 200 bytes is expected, of letters, digits, spaces and . _ : - , ( ) ' ! ? + & #";
const VARIABLE: &str = "the name of a variable is expected, of letters, digits and _";
const MODEL: &str =
    "the name of a model is expected, of letters, digits and . _ : - @ [ ] and single / between them";
const INSTRUCTIONS: &str =
    "a text of 1 to 32768 bytes is expected, with no control characters but line breaks and tabs";

/// Checks every text of a bundle but its metadata's digest and time.
pub(super) fn check(bundle: &ConfigBundle) -> Result<(), BundleError> {
    let metadata = &bundle.metadata;
    for (field, text) in [
        ("/metadata/id", &metadata.id),
        ("/metadata/revision", &metadata.revision),
        ("/metadata/workspace_id", &metadata.workspace_id),
        ("/metadata/provenance/source", &metadata.provenance.source),
    ] {
        expect(is_name(text), field, NAME)?;
    }
    line("/metadata/provenance/detail", metadata.provenance.detail.as_deref())?;
    at_most("/profiles", bundle.profiles.len(), MAX_PROFILES)?;
    at_most("/declarations", bundle.declarations.len(), MAX_DECLARATIONS)?;
    profiles(&bundle.profiles)?;
    declarations(&bundle.declarations)
}

fn profiles(profiles: &[ConfigBundleProfile]) -> Result<(), BundleError> {
    let mut selectors = BTreeSet::new();
    for (n, ConfigBundleProfile { selector, label, spec }) in profiles.iter().enumerate() {
        let wrong = |message: &str| {
            let field = format!("/profiles/{n}/selector");
            Err(BundleError::Selector { field, message: message.to_owned() })
        };
        if !is_name(selector) {
            return wrong(NAME);
        }
        if !selectors.insert(selector) {
            return wrong("another profile of the bundle has this selector");
        }
        line(&format!("/profiles/{n}/label"), label.as_deref())?;
        if let Some(spec) = spec {
            check_spec(&format!("/profiles/{n}/spec"), spec)?;
        }
    }
    Ok(())
}

fn check_spec(at: &str, spec: &ProfileSpec) -> Result<(), BundleError> {
    let ProfileSpec {
        backend,
        model,
        instructions,
        settings_sources,
        reasoning_effort,
        thinking_level,
        script,
        approval: _,
        capabilities: _,
        limits: _,
        on_rate_limit: _,
        park_max_secs: _,
        on_restart: _,
        sandbox: _,
        grace_secs: _,
        max_output_tokens: _,
        word_delay_ms: _,
    } = spec;
    let key = |key: &str| format!("{at}/{key}");
    expect(is_name(backend), key("backend"), NAME)?;
    expect(model.as_deref().is_none_or(is_model), key("model"), MODEL)?;
    expect(instructions.as_deref().is_none_or(is_text), key("instructions"), INSTRUCTIONS)?;
    for (name, text) in
        [("reasoning_effort", reasoning_effort), ("thinking_level", thinking_level), ("script", script)]
    {
        expect(text.as_deref().is_none_or(is_name), key(name), NAME)?;
    }
    let sources = settings_sources.iter().flatten();
    sources
        .enumerate()
        .try_for_each(|(n, source)| expect(is_name(source), format!("{at}/settings_sources/{n}"), NAME))
}

fn declarations(declarations: &[ConfigDeclaration]) -> Result<(), BundleError> {
    let mut names = BTreeSet::new();
    for (n, ConfigDeclaration { kind, name, reference }) in declarations.iter().enumerate() {
        let at = |key| format!("/declarations/{n}/{key}");
        expect(is_name(name), at("name"), NAME)?;
        expect(names.insert(name), at("name"), "another declaration of the bundle has this name")?;
        match kind {
            ConfigDeclarationKind::SecretRef => expect(is_variable(reference), at("reference"), VARIABLE)?,
            ConfigDeclarationKind::WorkspaceGrant
            | ConfigDeclarationKind::MountGrant
            | ConfigDeclarationKind::McpServer
            | ConfigDeclarationKind::Backend => expect(is_name(reference), at("reference"), NAME)?,
            ConfigDeclarationKind::Unknown => return Err(BundleError::UnsupportedDeclaration(at("kind"))),
        }
    }
    Ok(())
}

fn expect(holds: bool, field: impl Into<String>, message: impl Into<String>) -> Result<(), BundleError> {
    if holds || !stands(Wall::BundleContents) {
        Ok(())
    } else {
        Err(BundleError::Wrong { field: field.into(), message: message.into() })
    }
}

fn at_most(field: &str, found: usize, most: usize) -> Result<(), BundleError> {
    expect(found <= most, field, format!("there are {found}, and at most {most} are taken"))
}

fn line(field: &str, text: Option<&str>) -> Result<(), BundleError> {
    expect(text.is_none_or(is_line), field, LINE)
}

fn is_name(text: &str) -> bool {
    text.parse::<ConfigBundleId>().is_ok()
}

fn is_line(text: &str) -> bool {
    let plain = |c: char| c.is_alphanumeric() || " ._:-,()'!?+&#".contains(c);
    (1..=MAX_LINE_BYTES).contains(&text.len()) && text.chars().all(plain) && !text.trim().is_empty()
}

fn is_variable(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    (1..=MAX_WORD_BYTES).contains(&text.len())
        && text.bytes().all(word)
        && !text.starts_with(|c: char| c.is_ascii_digit())
}

/// Names of models have parts, as in `qwen/qwen3:free` and `sonnet[1m]`; none of them is a path.
fn is_model(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._:-@[]".contains(&b);
    let is_part =
        |part: &str| part.starts_with(|c: char| c.is_ascii_alphanumeric()) && part.bytes().all(plain);
    text.len() <= MAX_WORD_BYTES && text.split('/').all(is_part)
}

fn is_text(text: &str) -> bool {
    (1..=MAX_INSTRUCTIONS_BYTES).contains(&text.len())
        && text.chars().all(|c| !c.is_control() || matches!(c, '\n' | '\t'))
}

#[cfg(test)]
mod tests;
