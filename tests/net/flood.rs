//! Thousands of records at once at the relay's door and at that of the primary: clients send all that
//! they have without waiting, so that far more is offered in a second than a disk takes. Each is
//! answered or refused, in bounded memory, and what was answered is there after the process was
//! killed and started again.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{eventually, port_range};

const RECORDS: usize = 10_000;
const TELLINGS: usize = 3_000;
/// Each has its connection, and sends all that it has without waiting.
const CLIENTS: usize = 50;
const OPERATOR: &str = "token-of-the-operator";
const PARTNER: &str = "token-of-the-partner";
/// Most memory that a process may have taken, in KiB.
const MEMORY: u64 = 400_000;

/// A process that is killed in the end.
struct Victim {
    dir: TempDir,
    command: &'static str,
    port: u16,
    process: Child,
}

impl Drop for Victim {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

impl Victim {
    /// Starts `homeward run` or `homeward logger` with this configuration besides the door.
    fn start(command: &'static str, config: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let config =
            format!("{config}[http]\nlisten = \"127.0.0.1:{port}\"\ntoken_file = \"http\"\n");
        let files = [
            ("homeward.toml", config.as_str()),
            ("http", OPERATOR),
            ("partner", PARTNER),
        ];
        for (name, text) in files {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        let process = spawn(dir.path(), command);
        let victim = Self {
            dir,
            command,
            port,
            process,
        };
        victim.is_up();
        victim
    }

    fn is_up(&self) {
        let up = || TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).ok();
        eventually("it listens", up);
    }

    /// As if the power had gone, as far as the process is concerned.
    fn die_and_start(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        self.process = spawn(self.dir.path(), self.command);
        self.is_up();
    }

    /// The most memory that it ever had (proc(5)), in KiB.
    fn memory(&self) -> u64 {
        let status = format!("/proc/{}/status", self.process.id());
        let status = std::fs::read_to_string(status).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let number = line.unwrap().trim().split(' ').next().unwrap();
        number.parse().unwrap()
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let mut stream = Pipe::open(self.port);
        stream.send(&request(OPERATOR, method, path, body));
        stream.answer()
    }

    /// Offers all records over many connections; the statuses in their order.
    fn flood(&self, token: &str, records: &[Value]) -> Vec<u16> {
        let share = records.len().div_ceil(CLIENTS);
        std::thread::scope(|scope| {
            let client = |records: &[Value]| {
                let requests = records
                    .iter()
                    .map(|record| request(token, "POST", "/v1/migrations", &record.to_string()));
                let requests: String = requests.collect();
                let (port, count) = (self.port, records.len());
                scope.spawn(move || {
                    let mut stream = Pipe::open(port);
                    let mut sending = stream.0.get_ref().try_clone().unwrap();
                    std::thread::scope(|scope| {
                        scope.spawn(move || sending.write_all(requests.as_bytes()).unwrap());
                        (0..count).map(|_| stream.answer().0).collect::<Vec<u16>>()
                    })
                })
            };
            let clients: Vec<_> = records.chunks(share).map(client).collect();
            let statuses = clients.into_iter().map(|client| client.join().unwrap());
            statuses.flatten().collect()
        })
    }

    /// What each migration shows at `member`, by pages.
    fn stored(&self, member: &str) -> BTreeSet<String> {
        let (mut found, mut after) = (BTreeSet::new(), 0);
        loop {
            let path = format!("/v1/migrations?all=true&limit=1000&after={after}");
            let (status, page) = self.ask("GET", &path, "");
            assert_eq!(status, 200, "{page}");
            for record in page["migrations"].as_array().unwrap() {
                assert!(found.insert(record[member].to_string()), "twice: {record}");
            }
            match page["next"].as_u64() {
                Some(next) => after = next,
                None => return found,
            }
        }
    }
}

fn spawn(dir: &Path, command: &str) -> Child {
    let mut process = Command::new(env!("CARGO_BIN_EXE_homeward"));
    let process = process.args([command, "--config", "homeward.toml"]);
    let process = process.current_dir(dir).stdin(Stdio::null());
    let process = process.stdout(Stdio::null()).stderr(Stdio::null());
    process.spawn().unwrap()
}

fn request(token: &str, method: &str, path: &str, body: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nhost: flood\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A connection with many requests on their way.
struct Pipe(BufReader<TcpStream>);

impl Pipe {
    fn open(port: u16) -> Self {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        let patience = Some(Duration::from_secs(60));
        stream.set_read_timeout(patience).unwrap();
        Self(BufReader::new(stream))
    }

    fn send(&mut self, request: &str) {
        self.0.get_mut().write_all(request.as_bytes()).unwrap();
    }

    fn answer(&mut self) -> (u16, Value) {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        let status = line.split(' ').nth(1).unwrap().parse().unwrap();
        let mut length = 0;
        loop {
            line.clear();
            self.0.read_line(&mut line).unwrap();
            let header = line.trim().to_ascii_lowercase();
            if header.is_empty() {
                break;
            }
            if let Some(value) = header.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).unwrap();
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }
}

/// Those that were answered with success, by the text of `member`.
fn acknowledged(records: &[Value], statuses: &[u16], member: &str) -> BTreeSet<String> {
    assert_eq!(records.len(), statuses.len(), "each is answered");
    let both = records.iter().zip(statuses);
    let good = both.filter(|(_, status)| (200..300).contains(*status));
    good.map(|(record, _)| record[member].to_string()).collect()
}

#[test]
fn a_flood_of_records_at_the_relay_loses_nothing_that_was_acknowledged() {
    let ((first, last), (own_first, own_last)) = (port_range(10), port_range(10));
    let mut relay = Victim::start(
        "run",
        &format!(
            "[relay]\nsystem = \"partner.example\"\ndata_dir = \"data\"\nworkers = 1\n\
             [[interface]]\nname = \"core\"\naddresses = \"127.0.0.1\"\n\
             ports = [{first}, {last}]\n[ng]\nudp = \"127.0.0.1:{own_first}\"\n\
             [archive]\nports = [{}, {own_last}]\n",
            own_first + 2
        ),
    );
    let record = |n: usize| {
        json!({
            "service": "mcptt",
            "primary_id": format!("sip:user{n}@primary.example"),
            "partner_id": format!("sip:user{n}@partner.example"),
            "primary_system": "primary.example",
        })
    };
    let records: Vec<Value> = (0..RECORDS).map(record).collect();
    let statuses = relay.flood(OPERATOR, &records);
    let good = acknowledged(&records, &statuses, "partner_id");
    let refused = statuses.iter().filter(|status| **status != 201);
    for status in refused {
        assert!([429, 503, 504].contains(status), "{status}");
    }
    assert!(!good.is_empty());
    assert!(relay.memory() < MEMORY, "{}", relay.memory());
    relay.die_and_start();
    let stored = relay.stored("partner_id");
    let lost: Vec<_> = good.difference(&stored).collect();
    assert!(
        lost.is_empty(),
        "{} are lost: {:?}",
        lost.len(),
        lost.first()
    );
}

#[test]
fn a_flood_of_tellings_at_the_primary_loses_nothing_that_was_acknowledged() {
    let (first, last) = port_range(4);
    let mut logger = Victim::start(
        "logger",
        &format!(
            "[relay]\nsystem = \"primary.example\"\n[archive]\ndir = \"stored\"\n\
             ports = [{first}, {last}]\n[[partner]]\nsystem = \"partner.example\"\n\
             interconnected = true\ntoken_file = \"partner\"\n"
        ),
    );
    for user in 0..USERS {
        let user = format!("user{user}");
        let body = json!({
            "ids": { "mcptt": format!("sip:{user}@primary.example") },
            "profiles": [{ "index": 1, "partners": [{ "system": "partner.example" }] }],
        });
        let path = format!("/v1/users/{user}");
        let (status, body) = logger.ask("PUT", &path, &body.to_string());
        assert_eq!(status, 201, "{body}");
    }
    // Each user migrates again and again; most often an earlier one comes after a later one.
    let telling = |n: usize| {
        let user = n % USERS;
        json!({
            "record": n + 1, "sequence": 1, "service": "mcptt", "since": n + 1,
            "primary_system": "primary.example",
            "primary_id": format!("sip:user{user}@primary.example"),
            "partner_system": "partner.example",
            "partner_id": format!("sip:user{user}@partner.example"),
        })
    };
    let tellings: Vec<Value> = (0..TELLINGS).map(telling).collect();
    let statuses = logger.flood(PARTNER, &tellings);
    let good = acknowledged(&tellings, &statuses, "record");
    for status in statuses.iter().filter(|status| **status != 201) {
        assert!([403, 503].contains(status), "{status}");
    }
    assert!(good.len() >= USERS, "{}", good.len());
    assert!(logger.memory() < MEMORY, "{}", logger.memory());
    logger.die_and_start();
    let stored = logger.stored("record");
    let lost: Vec<_> = good.difference(&stored).collect();
    assert!(
        lost.is_empty(),
        "{} are lost: {:?}",
        lost.len(),
        lost.first()
    );
    // What was refused is not there.
    assert_eq!(stored.len(), good.len());
}

const USERS: usize = 20;
