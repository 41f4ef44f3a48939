//! `homeward-load calls` through its public door, against rtpengine as Debian packages it.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail with them")]

#[path = "../../../tests/common/skip.rs"]
mod skip;

use std::io::{BufRead, BufReader, Read};
use std::net::UdpSocket;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

/// An rtpengine of our own; it ends with the value.
struct Rtpengine {
    process: Child,
    ng: String,
}

impl Rtpengine {
    /// Starts one on loopback, with media ports that no other test of this file uses; `None`,
    /// and the skip said, where it is not installed.
    fn start(test: &str, interfaces: &[&str], ports: (u16, u16)) -> Option<Self> {
        if !skip::programs(test, &["rtpengine"]) {
            return None;
        }
        // A port that was free a moment ago.
        let ng = UdpSocket::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let mut command = Command::new(skip::find("rtpengine").unwrap());
        command
            .args([
                "--foreground",
                "--config-file=none",
                "--table=-1",
                "--log-stderr",
            ])
            .args(["--log-level=5", "--timeout=60", "--num-threads=1"])
            .args([
                format!("--listen-ng={ng}"),
                format!("--port-min={}", ports.0),
                format!("--port-max={}", ports.1),
            ])
            .args(interfaces.iter().map(|name| format!("--interface={name}")))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        // The log is only drained.
        let mut log = BufReader::new(process.stderr.take().unwrap());
        std::thread::spawn(move || {
            let mut text = Vec::new();
            while matches!(log.read_until(b'\n', &mut text), Ok(1..)) {
                text.clear();
            }
            log.read_to_end(&mut text)
        });
        let ng = ng.to_string();
        let relay = Self { process, ng };
        relay.wait_for("ping", "pong");
        Some(relay)
    }

    /// Asks the relay until its reply contains `text`.
    fn wait_for(&self, command: &str, text: &str) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(50)))
            .unwrap();
        let mut reply = [0; 2_048];
        for attempt in 0..3_000 {
            let request = format!("{attempt} d7:command4:{command}e");
            socket.send_to(request.as_bytes(), &self.ng).unwrap();
            let len = socket.recv(&mut reply).unwrap_or(0);
            if String::from_utf8_lossy(&reply[..len]).contains(text) {
                return;
            }
            std::thread::park_timeout(Duration::from_millis(20));
        }
        panic!("no {text} in the replies to {command}");
    }

    fn calls(&self, args: &[&str]) -> Output {
        load(&[&["calls", "--ng", &self.ng], args].concat())
    }

    fn calls_json(&self, args: &[&str]) -> Value {
        let output = self.calls(&[args, &["--json"]].concat());
        let stderr = String::from_utf8_lossy(&output.stderr);
        let report: Value = serde_json::from_slice(&output.stdout).expect(&stderr);
        assert_eq!(output.status.code(), Some(0), "{report:#}");
        assert_eq!(report["passed"], true);
        report
    }
}

impl Drop for Rtpengine {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn load(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_homeward-load"))
        .args(args)
        .output()
        .unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn full_duplex_calls_arrive_whole() {
    let test = "full_duplex_calls_arrive_whole";
    let Some(relay) = Rtpengine::start(test, &["127.0.0.1"], (21_000, 21_198)) else {
        return;
    };
    let report = relay.calls_json(&["--calls", "5", "--seconds", "1", "--rtcp"]);
    assert_eq!(report["calls"]["ok"], 5);
    for direction in ["caller_to_callee", "callee_to_caller"] {
        assert_eq!(report[direction]["sent"], 250);
        assert_eq!(report[direction]["received"], 250);
    }
    assert_eq!(report["rtcp"]["received"], 10);
    assert_eq!(report["latency_us"]["count"], 500);
    assert_eq!(report["first_packet_us"]["count"], 10);
    // What the relay says of itself agrees.
    assert_eq!(report["relay"]["calls"], 5);
    assert_eq!(report["relay"]["rtp_packets"], 500);
}

#[test]
fn push_to_talk_brings_its_floor_messages() {
    let test = "push_to_talk_brings_its_floor_messages";
    let Some(relay) = Rtpengine::start(test, &["127.0.0.1"], (21_200, 21_398)) else {
        return;
    };
    let context = ["--context", "sip:user-<n>@partner.example"];
    let args = [
        "--ptt",
        "--codec",
        "amr-wb",
        "--calls",
        "3",
        "--seconds",
        "3",
    ];
    let report = relay.calls_json(&[&args[..], &context].concat());
    // Bursts of 75 packet intervals: caller, called party; each with its messages.
    assert_eq!(report["packets"]["sent"], 3 * 150);
    assert_eq!(report["floor"]["received"], report["floor"]["sent"]);
    assert_eq!(report["floor"]["sent"], 3 * 6);
}

#[test]
fn a_relay_bridges_ipv4_and_ipv6() {
    let test = "a_relay_bridges_ipv4_and_ipv6";
    if UdpSocket::bind("[::1]:0").is_err() {
        skip::skip(test, "no IPv6 on loopback");
        return;
    }
    let interfaces = ["four/127.0.0.1", "six/::1"];
    let Some(relay) = Rtpengine::start(test, &interfaces, (21_400, 21_598)) else {
        return;
    };
    let parties = ["--caller-ip", "127.0.0.1", "--callee-ip", "::1"];
    let args = ["--direction", "four,six", "--calls", "2", "--seconds", "1"];
    let report = relay.calls_json(&[&args[..], &parties].concat());
    assert_eq!(report["packets"]["received"], 200);
}

#[test]
fn a_wav_file_is_played() {
    let test = "a_wav_file_is_played";
    let Some(relay) = Rtpengine::start(test, &["127.0.0.1"], (21_600, 21_798)) else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tone.wav");
    write_wav(&path, 8_000);
    let codec = format!("wav:{}", path.display());
    let report = relay.calls_json(&["--codec", &codec, "--seconds", "1"]);
    assert_eq!(report["packets"]["received"], 100);
    write_wav(&path, 16_000);
    let refused = relay.calls(&["--codec", &codec]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(
        stderr(&refused).contains("must be 8000 Hz"),
        "{}",
        stderr(&refused)
    );
}

#[test]
fn an_error_of_the_daemon_names_the_call() {
    let test = "an_error_of_the_daemon_names_the_call";
    // Room for four sockets: the first call takes them all.
    let Some(relay) = Rtpengine::start(test, &["127.0.0.1"], (21_800, 21_803)) else {
        return;
    };
    let args = ["--calls", "3", "--seconds", "1", "--call-id-prefix", "c"];
    let output = relay.calls(&args);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let expected = "homeward-load: call c2: offer: Ran out of ports\n";
    assert_eq!(stderr(&output), expected);
    // The first call was taken down: its ports are free again.
    relay.calls_json(&["--calls", "1", "--seconds", "1"]);
}

#[test]
fn an_interrupt_ends_the_calls_in_order() {
    let test = "an_interrupt_ends_the_calls_in_order";
    if !skip::programs(test, &["kill"]) {
        return;
    }
    let Some(relay) = Rtpengine::start(test, &["127.0.0.1"], (22_200, 22_398)) else {
        return;
    };
    let tool = Command::new(env!("CARGO_BIN_EXE_homeward-load"))
        .args(["calls", "--ng", &relay.ng, "--seconds", "60", "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    relay.wait_for("list", "load-");
    let pid = tool.id().to_string();
    let killed = Command::new("kill").args(["-INT", &pid]).status().unwrap();
    assert!(killed.success());
    let output = tool.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["interrupted"], true);
    assert_eq!(report["packets"]["lost"], 0);
    assert_eq!(report["relay"]["calls"], 1);
}

#[test]
fn what_is_not_recorded_is_missing() {
    let test = "what_is_not_recorded_is_missing";
    let Some(relay) = Rtpengine::start(test, &["127.0.0.1"], (22_000, 22_198)) else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().to_str().unwrap();
    let args = [
        "--seconds",
        "1",
        "--recordings",
        dir,
        "--recordings-wait",
        "0",
    ];
    let output = relay.calls(&[&args[..], &["--json"]].concat());
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(report["passed"], true);
    assert_eq!(report["recordings"]["missing"], 100);
    let text = relay.calls(&args);
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("0 packets stored, 100 missing"), "{text}");
}

#[test]
fn bad_usage_is_refused_before_anything_is_sent() {
    for args in [
        &["calls"][..],
        &["calls", "--ng", "nonsense"],
        &["calls", "--ng", "127.0.0.1:9", "--codec", "opus"],
        &["calls", "--ng", "127.0.0.1:9", "--calls", "0"],
        &[
            "calls",
            "--ng",
            "127.0.0.1:9",
            "--codec",
            "wav:/nonexistent.wav",
        ],
        &["calls", "--ng", "192.0.2.77:2223"],
        &["nonsense"],
    ] {
        let output = load(args);
        assert_eq!(
            output.status.code(),
            Some(2),
            "{args:?}: {}",
            stderr(&output)
        );
        assert!(output.stdout.is_empty());
    }
    let remote = load(&["calls", "--ng", "192.0.2.77:2223"]);
    assert!(
        stderr(&remote).contains("--allow-remote"),
        "{}",
        stderr(&remote)
    );
}

#[test]
fn help_names_what_there_is() {
    let help = load(&["--help"]);
    let text = String::from_utf8(help.stdout).unwrap();
    assert!(text.contains("calls"));
    let help = load(&["calls", "--help"]);
    let text = String::from_utf8(help.stdout).unwrap();
    for option in ["--ng", "--ptt", "--recordings", "--json", "--allow-remote"] {
        assert!(text.contains(option), "{option}");
    }
}

fn write_wav(path: &Path, sample_rate: u32) {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec).unwrap();
    for n in 0..4_000_i16 {
        writer.write_sample(n % 100 * 200).unwrap();
    }
    writer.finalize().unwrap();
}
