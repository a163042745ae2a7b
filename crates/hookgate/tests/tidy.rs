//! What the compiler does not hold: which crate may use which, that the core is pure, and
//! the house rules that a search can find.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::path::{Path, PathBuf};

/// Which of our crates each crate may use. Arrows go down only: a crate uses crates that
/// stand above it in this list.
const MAY_USE: &[(&str, &[&str])] = &[
    ("hookgate-core", &[]),
    ("hookgate-journal", &[]),
    ("hookgate-store", &["hookgate-core", "hookgate-journal"]),
    ("hookgate-egress", &["hookgate-core"]),
    ("hookgate-secrets", &["hookgate-core", "hookgate-store", "hookgate-egress"]),
    ("hookgate-tools", &["hookgate-core", "hookgate-store", "hookgate-egress", "hookgate-secrets"]),
    (
        "hookgate-dispatch",
        &["hookgate-core", "hookgate-store", "hookgate-egress", "hookgate-secrets"],
    ),
    ("hookgate-ingress", &["hookgate-core", "hookgate-store", "hookgate-tools"]),
    ("hookgate-console", &["hookgate-core", "hookgate-store", "hookgate-secrets"]),
    ("hookgate-square", &[]),
    (
        "hookgate",
        &[
            "hookgate-core",
            "hookgate-store",
            "hookgate-egress",
            "hookgate-secrets",
            "hookgate-tools",
            "hookgate-dispatch",
            "hookgate-ingress",
            "hookgate-console",
            "hookgate-square",
        ],
    ),
    ("hookgate-bench", &["hookgate-core", "hookgate-store"]),
    // A tool of tests: nobody ships it.
    ("hookgate-testpg", &[]),
];

/// Crates with a clock, randomness, threads or I/O in their purpose, which the core does
/// therefore not use.
const IMPURE: &[&str] =
    &["tokio", "rusqlite", "reqwest", "getrandom", "rand", "hyper", "axum", "rustix", "tracing"];

/// Files longer than this are split by thing.
const LINES_MAX: usize = 900;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, ending));
        } else if path.extension().is_some_and(|it| it == ending) {
            found.push(path);
        }
    }
    found
}

/// The names under `[section]` of a manifest.
fn dependencies(name: &str, section: &str) -> Vec<String> {
    let manifest =
        std::fs::read_to_string(root().join("crates").join(name).join("Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    let table = manifest.get(section).and_then(toml::Value::as_table);
    table.map(|it| it.keys().cloned().collect()).unwrap_or_default()
}

#[test]
fn arrows_between_crates_go_down_only() {
    let mut folders: Vec<String> = std::fs::read_dir(root().join("crates"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    folders.sort();
    let mut named: Vec<String> = MAY_USE.iter().map(|(name, _)| (*name).to_owned()).collect();
    named.sort();
    assert_eq!(folders, named, "each crate has a line in MAY_USE");

    for (index, (name, allowed)) in MAY_USE.iter().enumerate() {
        for used in
            dependencies(name, "dependencies").iter().filter(|it| it.starts_with("hookgate"))
        {
            assert!(
                allowed.contains(&used.as_str()),
                "{name} uses {used}, which MAY_USE does not allow"
            );
        }
        for used in *allowed {
            let above = MAY_USE.iter().take(index).any(|(it, _)| it == used);
            assert!(above, "{name} may use {used}, which does not stand above it");
        }
    }
}

#[test]
fn the_core_is_pure() {
    for used in dependencies("hookgate-core", "dependencies") {
        assert!(!IMPURE.contains(&used.as_str()), "the core uses {used}");
    }
    let bans = std::fs::read_to_string(root().join("crates/hookgate-core/clippy.toml")).unwrap();
    for ban in ["SystemTime::now", "Instant::now", "env::var", "File::open"] {
        assert!(bans.contains(ban), "the core's lints no longer ban {ban}");
    }
    for file in files(&root().join("crates/hookgate-core/src"), "rs") {
        let text = std::fs::read_to_string(&file).unwrap();
        for word in
            ["std::fs", "std::env", "std::net::Tcp", "std::thread", "SystemTime", "Instant::now"]
        {
            assert!(!text.contains(word), "{} says {word}", file.display());
        }
    }
}

#[test]
fn every_source_file_says_what_it_is_for_and_is_not_too_long() {
    for file in files(&root().join("crates"), "rs") {
        let text = std::fs::read_to_string(&file).unwrap();
        let opens = text.lines().next().is_some_and(|line| line.starts_with("//!"));
        assert!(opens, "{} does not open with `//!`", file.display());
        let lines = text.lines().count();
        assert!(lines <= LINES_MAX, "{} has {lines} lines", file.display());
    }
}

#[test]
fn tests_neither_sleep_nor_hide() {
    // Put together, so that this file does not find itself.
    let banned = [
        ["#[ign", "ore"].concat(),
        ["thread::sl", "eep"].concat(),
        ["#[should_", "panic"].concat(),
    ];
    for file in files(&root().join("crates"), "rs") {
        let text = std::fs::read_to_string(&file).unwrap();
        let is_test =
            file.components().any(|it| it.as_os_str() == "tests") || file.ends_with("tests.rs");
        for word in &banned {
            assert!(!is_test || !text.contains(word), "{} says {word}", file.display());
        }
    }
}

#[test]
fn one_tls_provider_is_built() {
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).unwrap();
    assert!(
        !lock.contains("name = \"aws-lc-rs\""),
        "two providers make rustls panic at the first use"
    );
}
