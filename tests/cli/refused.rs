//! What cannot be run is refused with one clear line: the key, what is wrong, what to do.

use std::net::{TcpListener, UdpSocket};

use crate::tools::{Ended, free_port, free_ports, run};

/// Runs a relay with this configuration; it must end by itself.
fn refused(text: &str) -> Ended {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("in-the-way"), "").unwrap();
    std::fs::write(dir.path().join("relay.toml"), text).unwrap();
    let done = run(dir.path(), ["run", "--config", "relay.toml"]);
    assert_eq!(done.out, "");
    for word in [
        "panicked",
        "backtrace",
        "Os {",
        "Error {",
        "\n  0:",
        "Caused by",
    ] {
        assert!(!done.err.contains(word), "{}", done.err);
    }
    done
}

/// A failure to start: exit status 1, and one line besides the log.
fn fails(text: &str, words: &[&str]) {
    let done = refused(text);
    assert_eq!(done.code, Some(1), "{}", done.err);
    let lines = done
        .err
        .lines()
        .filter(|line| line.starts_with("homeward: "));
    let lines: Vec<&str> = lines.collect();
    let [line] = lines[..] else {
        panic!("{}", done.err);
    };
    for word in words {
        assert_eq!(line.matches(word).count(), 1, "{word}: {line}");
    }
}

/// A mistake in the file: exit status 2, and the line of it.
fn mistaken(text: &str, words: &[&str]) {
    let done = refused(text);
    assert_eq!(done.code, Some(2), "{}", done.err);
    assert_eq!(done.err.lines().count(), 2, "{}", done.err);
    for word in words {
        assert!(done.err.contains(word), "{word}: {}", done.err);
    }
}

/// Ports of its own for everything but `part`.
fn config(data_dir: &str, ng: u16, http: u16, address: &str) -> String {
    let (first, last) = free_ports(20);
    let (to_logger, last_of_logger) = free_ports(20);
    format!(
        r#"
[relay]
data_dir = "{data_dir}"
[[interface]]
name = "core"
addresses = "{address}"
ports = [{first}, {last}]
[ng]
udp = "127.0.0.1:{ng}"
[http]
listen = "127.0.0.1:{http}"
[archive]
ports = [{to_logger}, {last_of_logger}]
"#
    )
}

#[test]
fn a_busy_port() {
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let busy = udp.local_addr().unwrap();
    let address = format!("cannot listen on {busy}");
    fails(
        &config("data", busy.port(), free_port(), "127.0.0.1"),
        &["ng.udp: ", &address, "in use", "another port"],
    );
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let busy = tcp.local_addr().unwrap();
    let address = format!("cannot listen on {busy}");
    fails(
        &config("data", free_port(), busy.port(), "127.0.0.1"),
        &["http.listen: ", &address, "in use", "another port"],
    );
}

#[test]
fn a_data_directory_that_cannot_be_made() {
    fails(
        &config("in-the-way/data", free_port(), free_port(), "127.0.0.1"),
        &["relay.data_dir: ", "in-the-way/data", "Not a directory"],
    );
    // Nobody can write there, not even root.
    fails(
        &config("/proc/self", free_port(), free_port(), "127.0.0.1"),
        &["relay.data_dir: ", "/proc/self"],
    );
}

#[test]
fn an_archive_that_cannot_be_made() {
    let text = config("data", free_port(), free_port(), "127.0.0.1");
    let text = format!("{text}dir = \"in-the-way\"\n");
    fails(&text, &["[archive]: ", "in-the-way", "cannot be made"]);
}

#[test]
fn an_address_of_another_machine() {
    fails(
        &config("data", free_port(), free_port(), "192.0.2.77"),
        &["interface[0].addresses: ", "192.0.2.77", "this machine"],
    );
}

#[test]
fn control_that_would_be_open_to_all() {
    let ng = "[ng]\nudp = \"0.0.0.0:2223\"\nallow = [\"192.0.2.0/24\"]\n";
    mistaken(ng, &["line 2: ng.udp: ", "wildcard", "name each address"]);
    let ng = "[ng]\nudp = \"192.0.2.1:2223\"\n";
    mistaken(ng, &["line 2: ng.udp: ", "needs allow ="]);
    let http = "[http]\nlisten = \"192.0.2.1:8080\"\n";
    mistaken(http, &["line 2: http.listen: ", "needs token_file"]);
}

#[test]
fn a_token_that_is_none() {
    let text = config("data", free_port(), free_port(), "127.0.0.1");
    let token =
        |file: &str| text.replace("[archive]", &format!("token_file = \"{file}\"\n[archive]"));
    fails(
        &token("absent"),
        &["http.token_file: ", "absent", "No such file"],
    );
    fails(&token("in-the-way"), &["http.token_file: ", "16 to 512"]);
}
