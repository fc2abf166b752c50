//! Which of our crates may depend on which.

use std::path::Path;

use super::Problem;
use crate::repo::{DependencyKind, SourceFile, Workspace};

/// A crate and the crates of ours that it may depend on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layer {
    name: &'static str,
    below: &'static [&'static str],
}

/// The architecture. An arrow that is not here is forbidden; to draw one is a decision of its own.
pub(super) const LAYERS: &[Layer] = &[
    layer("musher-protocol", &[]),
    layer("musher-process", &[]),
    layer("musher-outbound", &[]),
    layer("musher-backend", &["musher-protocol"]),
    layer("musher-core", &["musher-backend", "musher-process", "musher-protocol"]),
    layer("musher-store-sqlite", &["musher-core", "musher-protocol"]),
    layer("musher-store-postgres", &["musher-core", "musher-protocol"]),
    layer("musher-tools", &["musher-backend", "musher-outbound", "musher-process", "musher-protocol"]),
    layer("musher-turn-loop", &["musher-backend", "musher-outbound", "musher-protocol"]),
    layer("musher-claude-pty", &["musher-backend", "musher-process", "musher-protocol"]),
    layer("musher-openai-api", &["musher-backend", "musher-protocol", "musher-turn-loop"]),
    layer("musher-gemini-api", &["musher-backend", "musher-protocol", "musher-turn-loop"]),
    layer("musher-scripted", &["musher-backend", "musher-protocol"]),
    layer("musher-http", &["musher-core", "musher-protocol"]),
    layer("musher-client", &["musher-protocol"]),
    layer(
        "musher",
        &[
            "musher-backend",
            "musher-claude-pty",
            "musher-client",
            "musher-core",
            "musher-gemini-api",
            "musher-http",
            "musher-openai-api",
            "musher-process",
            "musher-protocol",
            "musher-scripted",
            "musher-store-postgres",
            "musher-store-sqlite",
            "musher-tools",
            "musher-turn-loop",
        ],
    ),
    layer("musher-testkit", &["musher-backend", "musher-core", "musher-protocol", "musher-scripted"]),
    layer("musher-e2e", &["musher-client", "musher-protocol", "musher-scripted", "musher-testkit"]),
    layer("xtask", &["musher-protocol"]),
];

/// What the tests of every crate may use besides.
const FOR_TESTS: &[&str] = &["musher-scripted", "musher-testkit"];

/// A crate of the workspace, and its manifest.
#[derive(Debug)]
pub(super) struct Crate<'a> {
    name: &'a str,
    manifest: &'a str,
    manifest_text: &'a str,
    /// The crates of ours that it depends on.
    arrows: Vec<(&'a str, Option<DependencyKind>)>,
}

const fn layer(name: &'static str, below: &'static [&'static str]) -> Layer {
    Layer { name, below }
}

/// Takes what the layers are about from what cargo knows.
pub(super) fn crates<'a>(workspace: &'a Workspace, root: &Path, files: &'a [SourceFile]) -> Vec<Crate<'a>> {
    let read = |package: &'a crate::repo::Package| {
        let manifest = package.manifest_path.strip_prefix(root).unwrap_or(&package.manifest_path);
        let manifest = manifest.to_str().unwrap_or(&package.name);
        let manifest_text = files.iter().find(|file| file.path == manifest).map_or("", |file| &file.text);
        let ours = package.dependencies.iter().filter(|dependency| dependency.path.is_some());
        let arrows = ours.map(|dependency| (dependency.name.as_str(), dependency.kind)).collect();
        Crate { name: &package.name, manifest, manifest_text, arrows }
    };
    workspace.packages.iter().map(read).collect()
}

/// Finds arrows that are not drawn, and crates that have no place in the drawing.
pub(super) fn check(layers: &[Layer], crates: &[Crate<'_>]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for krate in crates {
        let Some(layer) = layers.iter().find(|layer| layer.name == krate.name) else {
            let message =
                format!("`{}` is in no layer; add it to LAYERS in xtask/src/tidy/layers.rs", krate.name);
            problems.push(Problem::new(krate.manifest, 1, message));
            continue;
        };
        for &(below, kind) in &krate.arrows {
            let drawn = layer.below.contains(&below);
            let for_tests = kind == Some(DependencyKind::Dev) && FOR_TESTS.contains(&below);
            if !drawn && !for_tests {
                let line = line_of(krate.manifest_text, below);
                let message =
                    format!("`{}` must not depend on `{below}`: LAYERS draws no such arrow", krate.name);
                problems.push(Problem::new(krate.manifest, line, message));
            }
        }
    }
    problems
}

/// The line on which a manifest names a dependency; 1 when it hides it.
fn line_of(manifest: &str, dependency: &str) -> usize {
    let names_it = |line: &str| {
        let rest = line.trim_start().strip_prefix(dependency);
        rest.is_some_and(|rest| rest.starts_with(['.', ' ', '=']))
    };
    manifest.lines().position(names_it).map_or(1, |position| position + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRAWING: &[Layer] =
        &[layer("low", &[]), layer("high", &["low"]), layer("musher-testkit", &["high"])];

    #[track_caller]
    fn check_arrow(from: &str, to: &str, kind: Option<DependencyKind>, expected: &[&str]) {
        let manifest = format!("[package]\n\n[dependencies]\n{to}.workspace = true\n");
        let krate = Crate {
            name: from,
            manifest: "crates/x/Cargo.toml",
            manifest_text: &manifest,
            arrows: vec![(to, kind)],
        };
        let found: Vec<_> = check(DRAWING, &[krate]).iter().map(Problem::to_string).collect();
        assert_eq!(found, expected, "{from} -> {to}");
    }

    #[test]
    fn only_drawn_arrows_pass() {
        check_arrow("high", "low", None, &[]);
        check_arrow("high", "low", Some(DependencyKind::Build), &[]);
        check_arrow(
            "low",
            "high",
            None,
            &["crates/x/Cargo.toml:4: `low` must not depend on `high`: LAYERS draws no such arrow"],
        );
        check_arrow(
            "low",
            "high",
            Some(DependencyKind::Dev),
            &["crates/x/Cargo.toml:4: `low` must not depend on `high`: LAYERS draws no such arrow"],
        );
    }

    #[test]
    fn the_testkit_is_for_tests() {
        check_arrow("low", "musher-testkit", Some(DependencyKind::Dev), &[]);
        check_arrow(
            "low",
            "musher-testkit",
            None,
            &["crates/x/Cargo.toml:4: `low` must not depend on `musher-testkit`: LAYERS draws no such arrow"],
        );
    }

    #[test]
    fn a_crate_without_a_layer_is_a_problem() {
        check_arrow(
            "new",
            "low",
            None,
            &["crates/x/Cargo.toml:1: `new` is in no layer; add it to LAYERS in xtask/src/tidy/layers.rs"],
        );
    }

    #[test]
    fn the_drawing_is_complete_and_has_no_cycle() {
        let mut below: Vec<&str> = Vec::new();
        let mut left: Vec<_> = LAYERS.to_vec();
        while !left.is_empty() {
            let (ready, waiting): (Vec<_>, Vec<_>) =
                left.into_iter().partition(|layer| layer.below.iter().all(|name| below.contains(name)));
            assert!(!ready.is_empty(), "a cycle, or an arrow to nothing: {waiting:?}");
            below.extend(ready.iter().map(|layer| layer.name));
            left = waiting;
        }
    }
}
