//! Help that can be read, and bad usage that is told as such.

use crate::tools::run;

const COMMANDS: [&str; 8] = [
    "run",
    "logger",
    "demo",
    "check",
    "calls",
    "explain",
    "migrations",
    "drain",
];

#[test]
fn help_is_aligned_and_says_what_a_command_does() {
    let dir = tempfile::tempdir().unwrap();
    let top = run(dir.path(), ["--help"]);
    assert_eq!(top.code, Some(0));
    for command in COMMANDS {
        let wanted = format!("\n  {command} ");
        assert!(top.out.contains(&wanted), "{command}: {}", top.out);
        let help = run(dir.path(), [command, "--help"]);
        assert_eq!((help.code, help.err.as_str()), (Some(0), ""));
        let first = help.out.lines().next().unwrap();
        assert!(first.len() > 15 && top.out.contains(first), "{first}");
        assert!(help.out.contains(&format!("Usage: homeward {command}")));
        options_are_aligned(&help.out);
        assert!(
            help.out.lines().all(|line| line.len() <= 100),
            "{}",
            help.out
        );
    }
}

/// Every option's text begins in the same column.
fn options_are_aligned(help: &str) {
    let options = help.split_once("Options:\n").unwrap().1;
    let columns = options.lines().filter_map(|line| {
        let option = line.trim_start();
        let (name, text) = option.split_once("  ")?;
        let text = text.trim_start();
        (option.starts_with('-') && !name.is_empty()).then(|| line.len() - text.len())
    });
    let columns: Vec<usize> = columns.collect();
    assert!(columns.len() > 1, "{help}");
    assert!(columns.iter().all(|at| *at == columns[0]), "{help}");
}

#[test]
fn bad_usage_is_status_two() {
    let dir = tempfile::tempdir().unwrap();
    for (args, word) in [
        ([].as_slice(), "Usage"),
        (&["frobnicate"], "frobnicate"),
        (&["run", "file.toml"], "file.toml"),
        (&["run", "--confg", "x"], "--confg"),
        (&["check"], "<FILE>"),
        (&["demo", "--calls", "0"], "--calls"),
        (&["demo", "--calls", "-1"], "-1"),
        (&["demo", "--seconds", "ten"], "ten"),
        (&["demo", "--inject", "drop-mirror"], "drop-mirror=K"),
        (&["demo", "--inject", "alter=0"], "alter=K"),
        (&["demo", "--inject", "lose=1"], "lose=1"),
        (&["demo", "--log", "a=b=c"], "a=b=c"),
        (&["run", "--log", "a=b=c"], "a=b=c"),
        (&["logger", "--log", "a=b=c"], "a=b=c"),
    ] {
        let done = run(dir.path(), args);
        assert_eq!((done.code, done.out.as_str()), (Some(2), ""), "{args:?}");
        assert!(done.err.contains(word), "{args:?}: {}", done.err);
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_version_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let done = run(dir.path(), ["--version"]);
    let expected = format!("homeward {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!((done.code, done.out), (Some(0), expected));
}
