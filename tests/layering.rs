//! Holds the house rules that no lint can: who may use whom (the arrows), where `unsafe` and the
//! clock live, how long a file may be, and what may stand at the top of the repository.
//!
//! The sources are read as text by a small lexer; comments, strings and documentation links do
//! not count.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails its test")]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

#[path = "common/rust_source.rs"]
mod rust_source;

use rust_source::{Use, tokens, uses};

/// What each module may use besides itself. `a::b` permits only that part of `a`; `*` is all.
const ARROWS: &[(&str, &[&str])] = &[
    ("wire", &[]),
    ("sys", &["wire::time"]),
    ("telemetry", &[]),
    ("migration", &["wire"]),
    ("session", &["migration", "wire"]),
    ("plane", &["wire", "sys"]),
    ("mirror", &["wire", "sys", "telemetry"]),
    ("store", &["migration", "wire"]),
    (
        "logger",
        &["wire", "migration", "store", "sys", "telemetry"],
    ),
    (
        "hook",
        &["session", "migration", "wire", "telemetry", "sys::clock"],
    ),
    ("admin", &["session", "telemetry"]),
    ("traffic", &["wire", "sys"]),
    ("config", &["migration", "wire"]),
    ("cli", &["*"]),
    ("runtime", &["*"]),
    // Documentation only.
    ("manual", &[]),
];

/// What may stand at the top besides dot files. The last two are made there and ignored by git.
const TOP: &[&str] = &[
    "Cargo.toml",
    "Cargo.lock",
    "README.md",
    "LICENSE-MIT",
    "LICENSE-APACHE",
    "src",
    "benches",
    "tests",
    "tools",
    "target",
    "homeward-data",
];

/// No source file is longer.
const LINES: usize = 600;

#[test]
fn modules_use_only_what_their_arrows_permit() {
    let mut wrong = String::new();
    for file in sources("src") {
        let path = module_path(&file);
        let Some(from) = path.first() else {
            continue; // lib.rs and main.rs see everything
        };
        let Some((_, permitted)) = ARROWS.iter().find(|(module, _)| module == from) else {
            let _ = writeln!(wrong, "{}: module {from} has no arrows", file.display());
            continue;
        };
        for found in uses(&read(&file), &path) {
            if let Some(why) = refusal(from, permitted, &found) {
                let line = found.line;
                let _ = writeln!(wrong, "{}:{line}: {why}", file.display());
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "imports against the arrows (tests/layering.rs):\n{wrong}"
    );
}

/// Why `from` may not use what was found, if so.
fn refusal(from: &str, permitted: &[&str], found: &Use) -> Option<String> {
    let target = &found.module;
    if target == from || permitted.contains(&"*") || permitted.contains(&target.as_str()) {
        return None;
    }
    if !ARROWS.iter().any(|(module, _)| module == target) {
        return None; // an item at the crate's root, or a macro
    }
    let parts: Vec<&str> = permitted
        .iter()
        .filter_map(|arrow| arrow.strip_prefix(target.as_str())?.strip_prefix("::"))
        .collect();
    if found
        .part
        .as_deref()
        .is_some_and(|part| parts.contains(&part))
    {
        return None;
    }
    let part = found
        .part
        .as_deref()
        .map(|part| format!("::{part}"))
        .unwrap_or_default();
    let permitted = permitted.join(", ");
    Some(format!(
        "{from} -> {target}{part} is no arrow; {from} may use: [{permitted}]"
    ))
}

#[test]
fn unsafe_code_lives_under_sys_only() {
    let mut wrong = String::new();
    for file in sources("src").into_iter().chain(sources("tools")) {
        if file.starts_with("src/sys") {
            continue;
        }
        for token in tokens(&read(&file))
            .iter()
            .filter(|token| token.text == "unsafe")
        {
            let _ = writeln!(wrong, "{}:{}: unsafe", file.display(), token.line);
        }
    }
    assert!(wrong.is_empty(), "unsafe outside src/sys:\n{wrong}");
}

#[test]
fn the_clock_is_read_under_sys_only() {
    const CLOCKS: [[&str; 2]; 3] = [
        ["Instant", "now"],
        ["SystemTime", "now"],
        ["libc", "clock_gettime"],
    ];
    let mut wrong = String::new();
    for file in sources("src") {
        if file.starts_with("src/sys") {
            continue;
        }
        let tokens = tokens(&read(&file));
        for four in tokens.windows(4) {
            let [first, colon, colon2, last] = four else {
                continue;
            };
            let path = [first.text.as_str(), last.text.as_str()];
            if colon.text == ":" && colon2.text == ":" && CLOCKS.contains(&path) {
                let _ = writeln!(
                    wrong,
                    "{}:{}: {}",
                    file.display(),
                    first.line,
                    path.join("::")
                );
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "clock read outside src/sys (take `now`, or sys::clock):\n{wrong}"
    );
}

#[test]
fn no_file_is_too_long() {
    let mut wrong = String::new();
    for file in ["src", "tests", "benches", "tools"]
        .into_iter()
        .flat_map(sources)
    {
        let lines = read(&file).lines().count();
        if lines > LINES {
            let _ = writeln!(wrong, "{}: {lines} lines, at most {LINES}", file.display());
        }
    }
    assert!(wrong.is_empty(), "files to split:\n{wrong}");
}

#[test]
fn only_named_things_stand_at_the_top() {
    let mut names: Vec<String> = fs::read_dir(root())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.starts_with('.') && !TOP.contains(&name.as_str()))
        .collect();
    names.sort();
    assert!(
        names.is_empty(),
        "not to stand at the top of the repository: {names:?}"
    );
}

#[test]
fn every_module_is_in_the_table() {
    let declared = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let mut declared: Vec<&str> = declared
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'))
        .collect();
    let mut table: Vec<&str> = ARROWS.iter().map(|(module, _)| *module).collect();
    declared.sort_unstable();
    table.sort_unstable();
    assert_eq!(
        declared, table,
        "left: modules of src/lib.rs; right: table of arrows"
    );
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(file: &Path) -> String {
    fs::read_to_string(root().join(file)).unwrap()
}

/// All Rust sources below a folder of the repository, in order, with paths from its top.
fn sources(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from(folder)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(root().join(&folder)) else {
            continue;
        };
        for entry in entries {
            let entry = entry.unwrap();
            let path = folder.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                if !path.ends_with("target") {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// `src/wire/block/mod.rs` is `[wire, block]`; `src/lib.rs` and `src/main.rs` are the root.
fn module_path(file: &Path) -> Vec<String> {
    let mut path: Vec<String> = file
        .with_extension("")
        .iter()
        .skip(1)
        .map(|part| part.to_str().unwrap().to_owned())
        .collect();
    if path.last().is_some_and(|last| last == "mod") || path == ["lib"] || path == ["main"] {
        path.pop();
    }
    path
}
