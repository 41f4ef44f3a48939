//! The one way in which a test is left out: said aloud, counted, and refused where nothing may be.
//!
//! `tests/run.sh` names a file in `HOMEWARD_SKIPS` and reads from it what was left out and why.
//! With `HOMEWARD_REQUIRE=all` a test that would be left out fails. Use from a test target:
//!
//! ```ignore
//! #[path = "common/skip.rs"]
//! mod skip;
//!
//! #[test]
//! fn reads_a_capture() {
//!     if !skip::programs("reads_a_capture", &["tshark"]) {
//!         return;
//!     }
//! }
//! ```

#![allow(dead_code, reason = "each test target uses only some of these")]
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a helper of tests speaks on their output and fails with them"
)]

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Leaves out the test `name` for `reason`; the caller returns after it.
///
/// # Panics
/// If `HOMEWARD_REQUIRE=all` is set: then nothing may be left out.
pub(crate) fn skip(name: &str, reason: &str) {
    assert!(
        !std::env::var("HOMEWARD_REQUIRE").is_ok_and(|value| value == "all"),
        "{name} may not be skipped (HOMEWARD_REQUIRE=all): {reason}"
    );
    let line = format!("SKIP {name}: {}\n", reason.replace('\n', " "));
    print!("{line}");
    let Some(file) = std::env::var_os("HOMEWARD_SKIPS") else {
        return;
    };
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .open(file)
        .unwrap();
    // One write, so that lines of tests that run at the same time stay apart.
    file.write_all(line.as_bytes()).unwrap();
}

/// Whether all of `programs` can be run; if not, the test `name` is left out.
pub(crate) fn programs(name: &str, programs: &[&str]) -> bool {
    let missing: Vec<&str> = programs
        .iter()
        .copied()
        .filter(|p| find(p).is_none())
        .collect();
    if !missing.is_empty() {
        skip(name, &format!("not installed: {}", missing.join(", ")));
    }
    missing.is_empty()
}

/// Whether the test runs as root; if not, the test `name` is left out.
pub(crate) fn root(name: &str) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let uid = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    // Real, effective, saved and file system user ID, in that order (proc(5)).
    let root = uid.and_then(|ids| ids.split_whitespace().nth(1)) == Some("0");
    if !root {
        skip(name, "needs root");
    }
    root
}

/// Where a program lies: in `PATH`, or where Debian keeps daemons.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin", "/usr/bin"].map(PathBuf::from))
        .map(|dir| dir.join(program))
        .find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata()
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}
