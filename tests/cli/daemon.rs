//! A `homeward run` or `homeward logger` that runs beside the test, and how to talk to it.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::tools::{eventually, free_port, free_ports, homeward};

/// A running process; killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts the binary in `dir`; what it says goes to a file there.
    pub(crate) fn start(dir: &Path, args: &[&str]) -> Self {
        let log = dir.join(format!("{}.log", args.join("-")));
        let out = File::create(&log).unwrap();
        let mut command = homeward(dir);
        let command = command.args(args).stdout(Stdio::null()).stderr(out);
        Self {
            child: command.spawn().unwrap(),
            log,
        }
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Waits until it has said this.
    pub(crate) fn says(&mut self, text: &str) {
        eventually(text, || {
            assert!(self.runs() || self.log().contains(text), "{}", self.log());
            self.log().contains(text).then_some(())
        });
    }

    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub(crate) fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        let status = Command::new("sh").args(["-c", &kill]).status().unwrap();
        assert!(status.success());
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Asks it to end; it must have done so within seconds.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        self.signal("TERM");
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < end, "does not end: {}", self.log());
            sleep(Duration::from_millis(20));
        }
    }

    /// Kills it.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Open descriptors.
    pub(crate) fn descriptors(&self) -> usize {
        let dir = format!("/proc/{}/fd", self.child.id());
        std::fs::read_dir(dir).unwrap().count()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A relay with ports of its own, in a directory of its own.
#[derive(Debug)]
pub(crate) struct Relay {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) daemon: Daemon,
    ng: SocketAddr,
    http: u16,
    socket: UdpSocket,
    requests: u64,
}

impl Relay {
    /// Starts one that copies to its own logger.
    pub(crate) fn start() -> Self {
        let (first, last) = free_ports(200);
        let logger = format!("embedded = true\n[archive]\nports = [{first}, {last}]\n");
        Self::with_logger(&logger)
    }

    /// Starts one that copies to its own logger, with more in its agreement.
    pub(crate) fn with_agreement(more: &str) -> Self {
        let (first, last) = free_ports(20);
        let logger = format!("embedded = true\n[archive]\nports = [{first}, {last}]\n");
        for _ in 0..5 {
            if let Some(relay) = Self::try_start(&logger, more, 200) {
                return relay;
            }
        }
        panic!("no relay could be started");
    }

    /// Stops it and starts it again with the same data.
    pub(crate) fn restart(&mut self) {
        assert_eq!(self.daemon.terminate().code(), Some(0));
        self.daemon = Daemon::start(self.dir.path(), &["run", "--config", "relay.toml"]);
        let _ = self.ng(&json!({ "command": "ping" }));
    }

    /// Starts one that copies to this logger; waits until it answers.
    pub(crate) fn with_logger(logger: &str) -> Self {
        Self::with_room(logger, 200)
    }

    /// The same with so many ports.
    pub(crate) fn with_room(logger: &str, ports: u16) -> Self {
        // A port that was free a moment ago may be taken by another program.
        for _ in 0..5 {
            if let Some(relay) = Self::try_start(logger, "", ports) {
                return relay;
            }
        }
        panic!("no relay could be started");
    }

    fn try_start(logger: &str, agreement: &str, ports: u16) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let (ng, http) = (free_port(), free_port());
        let (first, last) = free_ports(ports);
        let text = format!(
            r#"
[relay]
system = "partner.example"
data_dir = "data"
workers = 1
delete_delay = 0
[[interface]]
name = "core"
addresses = "127.0.0.1"
ports = [{first}, {last}]
[ng]
udp = "127.0.0.1:{ng}"
[http]
listen = "127.0.0.1:{http}"
[[agreement]]
primary = "primary.example"
{agreement}
[[logger]]
name = "hq"
transport = "rtp"
{logger}"#
        );
        std::fs::write(dir.path().join("relay.toml"), text).unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let wait = Some(Duration::from_millis(200));
        socket.set_read_timeout(wait).unwrap();
        let mut relay = Self {
            daemon: Daemon::start(dir.path(), &["run", "--config", "relay.toml"]),
            dir,
            ng: SocketAddr::from((Ipv4Addr::LOCALHOST, ng)),
            http,
            socket,
            requests: 0,
        };
        let end = Instant::now() + Duration::from_secs(30);
        while relay.try_ng(&json!({ "command": "ping" })).is_none() {
            if !relay.daemon.runs() {
                let log = relay.daemon.log();
                assert!(log.contains("cannot listen"), "{log}");
                return None;
            }
            assert!(Instant::now() < end, "no pong: {}", relay.daemon.log());
        }
        Some(relay)
    }

    /// Starts it again, after it has ended; waits until it answers.
    pub(crate) fn start_again(&mut self) {
        assert!(!self.daemon.runs());
        self.daemon = Daemon::start(self.dir.path(), &["run", "--config", "relay.toml"]);
        eventually("the start", || {
            assert!(self.daemon.runs(), "{}", self.daemon.log());
            self.try_ng(&json!({ "command": "ping" }))
        });
    }

    /// One value of `/metrics`.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let (status, text) = self.http("GET", "/metrics", "");
        assert_eq!(status, 200);
        let line = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok();
        text.lines()
            .find_map(line)
            .unwrap_or_else(|| panic!("no {name} in {text}"))
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.http)
    }

    pub(crate) fn ng_address(&self) -> SocketAddr {
        self.ng
    }

    /// One NG request; the same again until there is an answer.
    pub(crate) fn ng(&mut self, request: &Value) -> Value {
        eventually("an NG reply", || self.try_ng(request))
    }

    fn try_ng(&mut self, request: &Value) -> Option<Value> {
        self.requests += 1;
        ng(&self.socket, self.ng, self.requests, request)
    }

    /// One HTTP request; status and body.
    pub(crate) fn http(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        http(self.http, method, path, body).unwrap()
    }

    /// Says that `sip:NAME@partner.example` has migrated.
    pub(crate) fn migrate(&self, name: &str) {
        let record = json!({
            "service": "mcptt",
            "primary_id": format!("sip:{name}@primary.example"),
            "partner_id": format!("sip:{name}@partner.example"),
            "primary_system": "primary.example",
        });
        let (status, body) = self.http("POST", "/v1/migrations", &record.to_string());
        assert_eq!(status, 201, "{body}");
    }
}

/// One NG request in JSON over UDP, sent once; `None` without an answer in time.
pub(crate) fn ng(
    socket: &UdpSocket,
    to: SocketAddr,
    number: u64,
    request: &Value,
) -> Option<Value> {
    let cookie = format!("cli-{number} ");
    socket
        .send_to(format!("{cookie}{request}").as_bytes(), to)
        .ok()?;
    let mut buffer = vec![0; 65_536];
    loop {
        let length = socket.recv(&mut buffer).ok()?;
        if let Some(reply) = buffer[..length].strip_prefix(cookie.as_bytes()) {
            return serde_json::from_slice(reply).ok();
        }
    }
}

/// One HTTP request to loopback; `None` where nobody listens.
pub(crate) fn http(port: u16, method: &str, path: &str, body: &str) -> Option<(u16, String)> {
    http_as("", port, method, path, body)
}

/// The same with a token.
pub(crate) fn http_as(
    token: &str,
    port: u16,
    method: &str,
    path: &str,
    body: &str,
) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    let wait = Some(Duration::from_secs(20));
    stream.set_read_timeout(wait).unwrap();
    let mut request = format!("{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n");
    let length = body.len();
    if !token.is_empty() {
        write!(request, "authorization: Bearer {token}\r\n").unwrap();
    }
    write!(
        request,
        "connection: close\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split_whitespace().nth(1).unwrap();
    Some((status.parse().unwrap(), body.to_owned()))
}
