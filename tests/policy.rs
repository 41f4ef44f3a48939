//! What dependencies may be, as `.deny.toml` says: from crates.io only, and under an allowed licence.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails its test")]

use std::process::Command;

use serde_json::Value;

/// The licences that `.deny.toml` allows.
fn allowed() -> Vec<String> {
    let policy: toml::Table = read(".deny.toml").parse().unwrap();
    let allow = policy["licenses"]["allow"].as_array().unwrap();
    allow
        .iter()
        .map(|name| name.as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn every_dependency_comes_from_crates_io() {
    const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";
    let lock: toml::Table = read("Cargo.lock").parse().unwrap();
    for package in lock["package"].as_array().unwrap() {
        let source = package.get("source").and_then(toml::Value::as_str);
        let ours = package["name"].as_str().unwrap().starts_with("homeward");
        assert!(
            ours && source.is_none() || source == Some(REGISTRY),
            "{package}"
        );
    }
}

#[test]
fn every_dependency_has_an_allowed_licence() {
    let allowed = allowed();
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline"])
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    for package in metadata["packages"].as_array().unwrap() {
        let name = &package["name"];
        let licence = package["license"].as_str().unwrap_or_default();
        assert!(
            permits(licence, &allowed),
            "{name} is under {licence:?}, see .deny.toml"
        );
    }
}

/// Whether an SPDX expression can be met by allowed licences. `AND` and `OR` bind as SPDX says;
/// parentheses are taken for one level, which is all that occurs. `/` is the old way to write `OR`.
fn permits(expression: &str, allowed: &[String]) -> bool {
    let mut flat = expression.replace('/', " OR ");
    while let Some((before, rest)) = flat.split_once('(') {
        let Some((inside, after)) = rest.split_once(')') else {
            return false;
        };
        let verdict = if permits(inside, allowed) {
            &allowed[0]
        } else {
            "refused"
        };
        flat = format!("{before}{verdict}{after}");
    }
    flat.split(" OR ").any(|either| {
        either
            .split(" AND ")
            .all(|name| allowed.iter().any(|allowed| allowed == name.trim()))
    })
}

#[test]
fn licence_expressions_are_understood() {
    let allowed = [
        "MIT".to_owned(),
        "Apache-2.0".to_owned(),
        "Unicode-3.0".to_owned(),
    ];
    for good in [
        "MIT",
        "GPL-3.0 OR MIT",
        "MIT/Apache-2.0",
        "(MIT OR GPL-3.0) AND Unicode-3.0",
    ] {
        assert!(permits(good, &allowed), "{good}");
    }
    for bad in [
        "",
        "GPL-3.0",
        "MIT AND GPL-3.0",
        "(MIT OR Apache-2.0) AND GPL-3.0",
        "(MIT",
    ] {
        assert!(!permits(bad, &allowed), "{bad}");
    }
}

fn read(name: &str) -> String {
    std::fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}
