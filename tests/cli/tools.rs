//! Runs the binary to its end, and looks for ports and files.

use std::ffi::OsStr;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// What a command left when it ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// The binary, to be run in `dir`, with nothing set from outside.
pub(crate) fn homeward(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_homeward"));
    command
        .current_dir(dir)
        .env_remove("HOMEWARD_CONFIG")
        .env_remove("HOMEWARD_LOG")
        .env_remove("HOMEWARD_URL")
        .env_remove("RUST_BACKTRACE")
        .stdin(Stdio::null());
    command
}

/// Runs the binary to its end.
pub(crate) fn run<A: AsRef<OsStr>>(dir: &Path, args: impl IntoIterator<Item = A>) -> Ended {
    ended(homeward(dir).args(args))
}

/// Runs a command to its end.
pub(crate) fn ended(command: &mut Command) -> Ended {
    let output = command.output().unwrap();
    Ended {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A UDP and TCP port of loopback that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    loop {
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = udp.local_addr().unwrap().port();
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Ports that are all free now and that no other test of this target was given lately; the first
/// is even.
pub(crate) fn free_ports(count: u16) -> (u16, u16) {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    const FIRST: u16 = 3_000;
    const ALL: u16 = 6_900;
    let step = u32::from(count.next_multiple_of(2));
    for _ in 0..1_000 {
        // Round and round: the tests that had them last are long over.
        let place = NEXT.fetch_add(step, Ordering::Relaxed) % u32::from(ALL - count);
        let first = FIRST + u16::try_from(place).unwrap().next_multiple_of(2);
        let last = first + count - 1;
        let mut ports = first..=last;
        if ports.all(|port| UdpSocket::bind(("127.0.0.1", port)).is_ok()) {
            return (first, last);
        }
    }
    panic!("no {count} free ports in a row");
}

/// Waits until `ready` gives something.
pub(crate) fn eventually<T>(what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(value) = ready() {
            return value;
        }
        assert!(Instant::now() < end, "waited in vain: {what}");
        sleep(Duration::from_millis(20));
    }
}

/// All recordings below a directory, in order of their names.
pub(crate) fn recordings(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(recordings(&path));
        } else if path.extension().is_some_and(|ext| ext == "pcapng") {
            found.push(path);
        }
    }
    found.sort();
    found
}
