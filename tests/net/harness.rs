//! A relay on loopback with a data directory of its own; NG clients and parties to go with it.

mod party;

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};
use std::time::Duration;

use homeward::config::Config;
use homeward::runtime::relay::Relay;
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) use self::party::{Party, media_at, media_of, receive};

/// A running relay.
pub(crate) struct Bench {
    pub(crate) relay: Relay,
    pub(crate) dir: TempDir,
    config: Config,
}

/// Settings of a bench that differ from test to test.
pub(crate) struct Setup {
    /// Media ports.
    pub(crate) ports: u16,
    /// Limit of calls.
    pub(crate) max_calls: usize,
    /// Ports of the archive.
    pub(crate) archive_ports: u16,
    /// What a call gets that no logger takes.
    pub(crate) on_logger_loss: &'static str,
    /// The `[[agreement]]` tables; empty: one with primary.example.
    pub(crate) agreements: String,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            ports: 60,
            max_calls: 1_000,
            archive_ports: 100,
            on_logger_loss: "continue",
            agreements: String::new(),
        }
    }
}

impl Bench {
    pub(crate) fn start() -> Self {
        Self::with(Setup::default())
    }

    pub(crate) fn with(setup: Setup) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (first, last) = port_range(setup.ports);
        let (other_first, other_last) = port_range(setup.ports);
        let (store_first, store_last) = port_range(setup.archive_ports);
        let config = format!(
            r#"
[relay]
system = "partner.example"
data_dir = "{data}"
workers = 1
max_calls = {max_calls}
[[interface]]
name = "core"
addresses = ["127.0.0.1", "::1"]
ports = [{first}, {last}]
[[interface]]
name = "partner"
addresses = ["127.0.0.1", "::1"]
ports = [{other_first}, {other_last}]
[archive]
ports = [{store_first}, {store_last}]
close_grace = "200ms"
[[logger]]
name = "hq"
transport = "rtp"
embedded = true
{agreements}
"#,
            data = dir.path().join("data").display(),
            max_calls = setup.max_calls,
            agreements = match setup.agreements.as_str() {
                "" => agreement(
                    "primary.example",
                    &format!("on_logger_loss = \"{}\"", setup.on_logger_loss)
                ),
                tables => tables.to_owned(),
            },
        );
        let mut config = homeward::config::check(&config)
            .unwrap_or_else(|mistakes| panic!("{mistakes:#?}\n{config}"));
        // Ports that the system picks; a file cannot ask for that.
        config.ng.udp = vec![(Ipv4Addr::LOCALHOST, 0).into()];
        config.http.listen = vec![(Ipv4Addr::LOCALHOST, 0).into()];
        let relay = start(&config);
        Self { relay, dir, config }
    }

    /// Stops the relay and starts it again with the same data.
    pub(crate) fn restart(self) -> Self {
        let Self { relay, dir, config } = self;
        relay.stop().unwrap();
        Self {
            relay: start(&config),
            dir,
            config,
        }
    }

    /// An NG client of this relay.
    pub(crate) fn ng(&self) -> Ng {
        Ng::to(self.relay.ng()[0], self.relay.http()[0])
    }

    /// Tells the relay over HTTP that sip:NAME@partner.example has migrated.
    pub(crate) fn migrate(&self, name: &str) -> Value {
        self.migrate_from(name, "primary.example", &json!({}))
    }

    /// The same for any user, with these members besides or instead.
    pub(crate) fn migrate_from(&self, name: &str, system: &str, members: &Value) -> Value {
        let mut record = json!({
            "service": "mcptt",
            "primary_id": format!("sip:{name}@{system}"),
            "partner_id": format!("sip:{name}@partner.example"),
            "primary_system": system,
        });
        if let (Some(record), Some(members)) = (record.as_object_mut(), members.as_object()) {
            record.extend(
                members
                    .iter()
                    .map(|(key, value)| (key.clone(), value.clone())),
            );
        }
        let (status, record) = self.http("POST", "/v1/migrations", &record.to_string());
        assert_eq!(status, 201, "{record}");
        record
    }

    /// Why a call is, or is not, mirrored.
    pub(crate) fn explain(&self, call: &str) -> Value {
        let (status, explained) = self.http("GET", &format!("/v1/calls/{call}/explain"), "");
        assert_eq!(status, 200, "{explained}");
        explained
    }

    /// One HTTP request; status and JSON body (null if there is none).
    pub(crate) fn http(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        http(self.relay.http()[0], method, path, body)
    }

    /// What `/metrics` shows.
    pub(crate) fn metrics(&self) -> String {
        http_text(self.relay.http()[0], "GET", "/metrics", "")
    }

    /// Waits until `count` recordings are closed, and gives their paths in order.
    pub(crate) fn recordings(&self, count: usize) -> Vec<PathBuf> {
        let dir = self.dir.path().join("data");
        let found = || {
            let mut found = Vec::new();
            find(&dir, &mut found);
            found.sort();
            (found.len() >= count).then_some(found)
        };
        eventually("recordings are closed", found)
    }

    /// How many recordings there are now.
    pub(crate) fn recordings_now(&self) -> usize {
        let mut found = Vec::new();
        find(&self.dir.path().join("data"), &mut found);
        found.len()
    }
}

/// An `[[agreement]]` with this primary, and these further lines in it.
pub(crate) fn agreement(primary: &str, lines: &str) -> String {
    format!(
        "[[agreement]]\nprimary = \"{primary}\"\nservices = [\"mcptt\"]\nmode = \"duplicate\"\n\
         loggers = [\"hq\"]\n{lines}\n"
    )
}

fn start(config: &Config) -> Relay {
    Relay::start(config).unwrap_or_else(|error| panic!("{error:#}"))
}

fn find(dir: &std::path::Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            find(&path, into);
        } else if path.extension().is_some_and(|ext| ext == "pcapng") {
            into.push(path);
        }
    }
}

/// Asks again until there is an answer; a test that waits for more than 10 s has failed.
pub(crate) fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    for _ in 0..1_000 {
        if let Some(answer) = ask() {
            return answer;
        }
        pause(Duration::from_millis(10));
    }
    panic!("waited for 10 s, and not yet: {what}");
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test that waits for other threads"
)]
pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// Ports that no other test of this process uses.
pub(crate) fn port_range(count: u16) -> (u16, u16) {
    static NEXT: AtomicU16 = AtomicU16::new(10_000);
    let first = NEXT.fetch_add(count + count % 2, Ordering::Relaxed);
    assert!(first < 30_000, "the tests use too many ports");
    (first, first + count - 1)
}

/// The whole answer to one HTTP request on a connection of its own.
fn http_text(to: SocketAddr, method: &str, path: &str, body: &str) -> String {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(to).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: relay\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    // A server that refuses by the head alone may close before it has all of the body.
    drop(stream.write_all(body.as_bytes()));
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer));
    String::from_utf8_lossy(&answer).into_owned()
}

/// One HTTP request; status and JSON body (null if there is none).
pub(crate) fn http(to: SocketAddr, method: &str, path: &str, body: &str) -> (u16, Value) {
    let answer = http_text(to, method, path, body);
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.unwrap_or_else(|| panic!("no HTTP status in {answer:?}"));
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let json = body
        .find('{')
        .or_else(|| body.find('['))
        .map(|at| &body[at..]);
    let end = json.and_then(|json| json.rfind(['}', ']']).map(|end| &json[..=end]));
    (
        status,
        end.and_then(|json| serde_json::from_str(json).ok())
            .unwrap_or(Value::Null),
    )
}

/// An NG client that speaks JSON.
pub(crate) struct Ng {
    socket: UdpSocket,
    to: SocketAddr,
    /// Where to ask for explanations.
    http: SocketAddr,
}

impl Ng {
    pub(crate) fn to(to: SocketAddr, http: SocketAddr) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        Self { socket, to, http }
    }

    /// Sends raw bytes and does not wait.
    pub(crate) fn send_raw(&self, bytes: &[u8]) {
        self.socket.send_to(bytes, self.to).unwrap();
    }

    /// Sends raw bytes and gives the answer.
    pub(crate) fn ask_raw(&self, bytes: &[u8]) -> Vec<u8> {
        self.send_raw(bytes);
        self.next_answer()
    }

    fn next_answer(&self) -> Vec<u8> {
        let mut buffer = vec![0; 65_536];
        let count = self
            .socket
            .recv(&mut buffer)
            .expect("an answer within 10 s");
        buffer.truncate(count);
        buffer
    }

    /// Whether nothing comes for a while.
    pub(crate) fn is_silent(&self) -> bool {
        self.socket
            .set_read_timeout(Some(Duration::from_millis(200)))
            .unwrap();
        let silent = self.socket.recv(&mut [0; 2_048]).is_err();
        self.socket
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        silent
    }

    /// Sends a command as JSON and gives the answer.
    pub(crate) fn ask(&self, command: &Value) -> Value {
        static COOKIE: AtomicU32 = AtomicU32::new(1);
        let cookie = format!("t{}", COOKIE.fetch_add(1, Ordering::Relaxed));
        self.send_raw(format!("{cookie} {command}").as_bytes());
        let answer = loop {
            let answer = self.next_answer();
            // Answers to repeats of earlier requests may still come.
            if answer.starts_with(format!("{cookie} ").as_bytes()) {
                break answer;
            }
        };
        let answer = String::from_utf8(answer).unwrap();
        let body = answer
            .strip_prefix(&format!("{cookie} "))
            .expect("the same cookie");
        serde_json::from_str(body).unwrap()
    }

    /// The same, and the answer must be `ok`.
    pub(crate) fn must(&self, command: &Value) -> Value {
        let answer = self.ask(command);
        assert_eq!(answer["result"], "ok", "{command} got {answer}");
        answer
    }
}

/// A call between two parties that has been answered.
pub(crate) struct Call {
    pub(crate) id: String,
    pub(crate) caller: Party,
    pub(crate) callee: Party,
    /// Where the caller sends.
    pub(crate) at_caller: SocketAddr,
    /// Where the callee sends.
    pub(crate) at_callee: SocketAddr,
    /// Where the relay can be asked what became of a packet.
    http: SocketAddr,
}

impl Call {
    /// Sets a call up; `keys` go into the offer.
    pub(crate) fn up(ng: &Ng, id: &str, keys: &Value) -> Self {
        Self::between(
            ng,
            id,
            Party::new(0x1111_0001),
            Party::new(0x2222_0001),
            keys,
        )
    }

    pub(crate) fn between(ng: &Ng, id: &str, caller: Party, callee: Party, keys: &Value) -> Self {
        let mut offer = json!({
            "command": "offer", "call-id": id, "from-tag": "caller", "sdp": caller.sdp(),
            "replace": ["origin"], "ICE": "remove",
        });
        if let (Some(offer), Some(keys)) = (offer.as_object_mut(), keys.as_object()) {
            offer.extend(keys.iter().map(|(key, value)| (key.clone(), value.clone())));
        }
        let at_callee = media_of(&ng.must(&offer));
        let answer = ng.must(&json!({
            "command": "answer", "call-id": id, "from-tag": "caller", "to-tag": "callee",
            "sdp": callee.sdp(),
        }));
        let at_caller = media_of(&answer);
        Self {
            id: id.to_owned(),
            caller,
            callee,
            at_caller,
            at_callee,
            http: ng.http,
        }
    }

    /// Sends packets `from..to` both ways, and checks that each arrives as it was sent.
    pub(crate) fn talk(&self, from: u16, to: u16) {
        for seq in from..to {
            self.caller.send(self.at_caller, seq);
            self.arrives(&self.callee, &self.caller.packet(seq), self.at_callee);
            self.callee.send(self.at_callee, seq);
            self.arrives(&self.caller, &self.callee.packet(seq), self.at_caller);
        }
    }

    fn arrives(&self, at: &Party, packet: &[u8], from: SocketAddr) {
        let mut buffer = [0; 2_048];
        match at.rtp.recv_from(&mut buffer) {
            Ok((count, source)) => {
                assert_eq!(&buffer[..count], packet);
                assert_eq!(source, from);
            }
            Err(error) => {
                let path = format!("/v1/calls/{}/explain", self.id);
                let (_, seen) = http(self.http, "GET", &path, "");
                panic!("{error}: a packet did not arrive; the relay says {seen:#}");
            }
        }
    }

    /// Ends it at once.
    pub(crate) fn down(&self, ng: &Ng) -> Value {
        ng.must(&json!({ "command": "delete", "call-id": self.id, "delete delay": 0 }))
    }
}

/// A recording, read back: the datagrams of each interface, by its name.
pub(crate) struct Recorded {
    /// Comments of the section.
    pub(crate) comments: Vec<String>,
    /// (interface name, payload), in the order of the file.
    pub(crate) packets: Vec<(String, Vec<u8>)>,
}

impl Recorded {
    pub(crate) fn read(path: &std::path::Path) -> Self {
        use homeward::wire::pcapng::{self, Block, Reader};
        let file = std::fs::read(path).unwrap();
        let mut reader = Reader::new(file.as_slice());
        let (mut comments, mut names, mut packets) = (Vec::new(), Vec::new(), Vec::new());
        while let Some(block) = reader.next_block().unwrap() {
            match block {
                Block::Section(options) => comments.extend(options.comments()),
                Block::Interface(interface) => names.push(interface.name()),
                Block::Packet(packet) => {
                    let datagram = pcapng::udp::parse(packet.data).expect("a UDP packet");
                    let name = names[packet.interface as usize].clone();
                    packets.push((name, datagram.payload.to_vec()));
                }
                Block::Other(_) | _ => {}
            }
        }
        Self { comments, packets }
    }

    /// Payloads of the RTP packets with this SSRC, in order.
    pub(crate) fn rtp(&self, ssrc: u32) -> Vec<Vec<u8>> {
        let of = |payload: &&Vec<u8>| {
            payload.len() >= 12 && payload[1] & 0x7f == 0 && payload[8..12] == ssrc.to_be_bytes()
        };
        self.packets
            .iter()
            .map(|(_, payload)| payload)
            .filter(of)
            .cloned()
            .collect()
    }
}

/// NG keys that say who takes part.
pub(crate) fn context(calling: &str, called: &str) -> Value {
    json!({
        "mc-service": "mcptt",
        "mc-session-type": "private",
        "mc-calling-id": format!("sip:{calling}@partner.example"),
        "mc-called-id": format!("sip:{called}@partner.example"),
    })
}
