//! Reading the configuration again under live media: what changes does at once, and every packet
//! of every call is accounted for.

use std::net::{Ipv4Addr, UdpSocket};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::time::Duration;

use homeward::config;
use homeward::runtime::relay::Relay;
use homeward::runtime::reload::Origin;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Call, Ng, context, eventually, http, port_range};

/// A relay that was started from a file, with two loggers that are sockets of the test.
struct Filed {
    relay: Relay,
    path: PathBuf,
    ports: (u16, u16),
    loggers: Vec<Ear>,
    dir: TempDir,
}

/// A logger that only counts.
struct Ear {
    first: u16,
    sockets: Vec<UdpSocket>,
}

impl Ear {
    /// Twenty ports that are free.
    fn new() -> Self {
        for _ in 0..50 {
            let (first, last) = port_range(20);
            let bind = |port| UdpSocket::bind((Ipv4Addr::LOCALHOST, port));
            if let Ok(sockets) = (first..=last).map(bind).collect::<Result<Vec<_>, _>>() {
                for socket in &sockets {
                    socket.set_nonblocking(true).unwrap();
                }
                return Self { first, sockets };
            }
        }
        panic!("no free ports");
    }

    /// All datagrams that are there.
    fn heard(&self) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        let mut buffer = [0; 2_048];
        for socket in &self.sockets {
            while let Ok(count) = socket.recv(&mut buffer) {
                all.push(buffer[..count].to_vec());
            }
        }
        all
    }

    fn toml(&self, name: &str) -> String {
        let (first, last) = (self.first, self.first + 19);
        format!(
            "[[logger]]\nname = \"{name}\"\ntransport = \"rtp\"\naddress = \"127.0.0.1\"\n\
             ports = [{first}, {last}]\n"
        )
    }
}

const AGREED: &str = "[[agreement]]\nprimary = \"primary.example\"\n";
const BOTH: &str = "loggers = [\"a\", \"b\"]\n";

impl Filed {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("relay.toml");
        let loggers = vec![Ear::new(), Ear::new()];
        let ports = port_range(200);
        std::fs::write(&path, file(&dir, ports, &loggers, "", "", &agreed(BOTH))).unwrap();
        let mut config = config::load(&path).unwrap();
        config.ng.udp = vec![(Ipv4Addr::LOCALHOST, 0).into()];
        config.http.listen = vec![(Ipv4Addr::LOCALHOST, 0).into()];
        let origin = Origin {
            file: Some(path.clone()),
            ..Origin::default()
        };
        let relay = Relay::start_from(&config, origin).unwrap();
        let filed = Self {
            relay,
            path,
            ports,
            loggers,
            dir,
        };
        filed.migrate("alice", "primary.example");
        filed
    }

    fn ng(&self) -> Ng {
        Ng::to(self.relay.ng()[0], self.relay.http()[0])
    }

    fn http(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        http(self.relay.http()[0], method, path, body)
    }

    fn migrate(&self, name: &str, system: &str) {
        let record = json!({
            "service": "mcptt",
            "primary_id": format!("sip:{name}@{system}"),
            "partner_id": format!("sip:{name}@partner.example"),
            "primary_system": system,
        });
        let (status, answer) = self.http("POST", "/v1/migrations", &record.to_string());
        assert_eq!(status, 201, "{answer}");
    }

    /// Writes another file and has it read.
    fn reload(&self, relay: &str, more: &str, rest: &str) -> (u16, Value) {
        let text = file(&self.dir, self.ports, &self.loggers, relay, more, rest);
        std::fs::write(&self.path, text).unwrap();
        self.http("POST", "/v1/reload", "")
    }

    fn must_reload(&self, relay: &str, more: &str, rest: &str) -> Value {
        let (status, answer) = self.reload(relay, more, rest);
        assert_eq!(status, 200, "{answer}");
        // The answer does not wait for the workers; what they are asked after the reload does.
        assert!(self.relay.latencies().is_some());
        answer
    }

    fn explain(&self, call: &str) -> Value {
        self.http("GET", &format!("/v1/calls/{call}/explain"), "").1
    }

    /// Copies of RTP that a logger has got by now, once there are so many.
    fn copies(&self, logger: usize, count: usize) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        eventually("copies come", || {
            all.extend(self.loggers[logger].heard());
            (all.len() >= count).then_some(())
        });
        assert_eq!(all.len(), count);
        all
    }
}

fn agreed(more: &str) -> String {
    format!("{AGREED}{more}")
}

fn file(
    dir: &TempDir,
    ports: (u16, u16),
    loggers: &[Ear],
    relay: &str,
    more: &str,
    rest: &str,
) -> String {
    let data = dir.path().join("data");
    let data = data.display();
    let (first, last) = ports;
    // With this word the first logger is left out.
    let names = ["a", "b"];
    let loggers: String = names
        .iter()
        .zip(loggers)
        .filter(|(name, _)| !more.contains(&format!("#without {name}")))
        .map(|(name, ear)| ear.toml(name))
        .collect();
    format!(
        "[relay]\nsystem = \"partner.example\"\ndata_dir = \"{data}\"\n{relay}\n\
         [[interface]]\nname = \"core\"\naddresses = \"127.0.0.1\"\nports = [{first}, {last}]\n\
         {loggers}{more}\n{rest}\n"
    )
}

#[test]
fn limits_are_in_force_at_once_and_the_rest_waits_for_a_start() {
    let filed = Filed::start();
    let ng = filed.ng();
    let call = Call::up(&ng, "one", &context("alice", "bob"));
    call.talk(0, 10);
    let answer = filed.must_reload("max_calls = 1\nended_calls = 5", "", &agreed(BOTH));
    let applied = answer["applied"].to_string();
    assert!(applied.contains("relay.max_calls: changed"), "{answer}");
    // The test has put the sockets elsewhere than the file says.
    let waits = answer["at_next_start"].to_string();
    assert!(
        waits.contains("ng.udp") && waits.contains("http.listen"),
        "{answer}"
    );
    assert!(!waits.contains("workers"), "{answer}");
    let offer = json!({
        "command": "offer", "call-id": "two", "from-tag": "a", "sdp": call.caller.sdp(),
    });
    assert_eq!(
        ng.ask(&offer)["error-reason"],
        "Parallel session limit reached"
    );
    call.talk(10, 20);
    let answer = filed.must_reload("workers = 3\nmedia_timeout = 1", "", &agreed(BOTH));
    let waits = answer["at_next_start"].to_string();
    assert!(waits.contains("relay.workers: changed"), "{answer}");
    ng.must(&offer);
    call.talk(20, 30);
    // A time-out that became shorter counts from the last packet, and ends the call by itself.
    eventually("the call is given up", || {
        let explained = filed.explain("one");
        (explained["end"] == "media-timeout").then_some(())
    });
    filed.copies(0, 60);
    assert_eq!(filed.loggers[1].heard().len(), 0);
}

#[test]
fn a_bad_file_names_all_mistakes_and_changes_nothing() {
    let filed = Filed::start();
    let ng = filed.ng();
    let call = Call::up(&ng, "on", &context("alice", "bob"));
    let bad = "max_calls = 0\nlearning = \"sometimes\"\nfrobnicate = true";
    let (status, problem) = filed.reload(bad, "", &agreed("loggers = [\"c\"]\n"));
    assert_eq!(status, 422, "{problem}");
    let errors = problem["errors"].as_array().unwrap();
    let mut fields: Vec<&str> = errors
        .iter()
        .map(|e| e["field"].as_str().unwrap())
        .collect();
    fields.sort_unstable();
    assert_eq!(
        fields,
        [
            "agreement[0].loggers",
            "relay.frobnicate",
            "relay.learning",
            "relay.max_calls"
        ]
    );
    assert!(
        errors
            .iter()
            .all(|error| error["reason"].as_str().unwrap().contains("line "))
    );
    call.talk(0, 10);
    // A good file that names bad ones is no better.
    let (status, problem) = filed.reload(
        "max_calls = 1",
        "announce = \"http://127.0.0.1:9\"\nannounce_token_file = \"/nonexistent/a\"\n\
         [http]\ntoken_file = \"/nonexistent/b\"",
        &agreed(BOTH),
    );
    assert_eq!(status, 422, "{problem}");
    let fields: Vec<&Value> = problem["errors"].as_array().unwrap().iter().collect();
    assert_eq!(fields.len(), 2, "{problem}");
    for error in &fields {
        assert!(
            error["reason"].as_str().unwrap().contains("/nonexistent/"),
            "{error}"
        );
    }
    std::fs::remove_file(&filed.path).unwrap();
    let (status, problem) = filed.http("POST", "/v1/reload", "");
    assert_eq!(status, 422, "{problem}");
    assert!(
        problem["detail"].as_str().unwrap().contains("cannot read"),
        "{problem}"
    );
    // max_calls is what it was.
    Call::up(&ng, "another", &context("carol", "bob")).talk(0, 3);
    call.talk(10, 20);
    filed.copies(0, 40);
}

#[test]
fn a_withdrawn_agreement_stops_its_mirror_and_only_that() {
    let filed = Filed::start();
    let ng = filed.ng();
    let other = "[[agreement]]\nprimary = \"other.example\"\nloggers = [\"b\"]\n";
    let answer = filed.must_reload("", "", &format!("{}{other}", agreed(BOTH)));
    assert!(
        answer["applied"]
            .to_string()
            .contains("agreement[other.example]: added")
    );
    filed.migrate("dora", "other.example");
    let alices = Call::up(&ng, "alices", &context("alice", "bob"));
    let doras = Call::up(&ng, "doras", &context("dora", "bob"));
    for call in [&alices, &doras] {
        call.talk(0, 10);
    }
    filed.copies(0, 20);
    filed.copies(1, 20);
    let before = filed.explain("doras")["mirrors"].clone();
    let answer = filed.must_reload("", "", other);
    assert!(
        answer["applied"]
            .to_string()
            .contains("agreement[primary.example]: removed")
    );
    for call in [&alices, &doras] {
        call.talk(10, 20);
    }
    filed.copies(1, 20);
    assert_eq!(
        filed.loggers[0].heard().len(),
        0,
        "nothing leaves without an agreement"
    );
    let explained = filed.explain("alices");
    assert_eq!(explained["mirrors"], json!([]));
    assert!(
        explained["legs"].to_string().contains("no-agreement"),
        "{explained}"
    );
    // The other call's mirror is the same one as before.
    let after = filed.explain("doras")["mirrors"].clone();
    assert_eq!(after[0]["mirror"], before[0]["mirror"]);
    assert_eq!(after[0]["detached"], json!({ "packets": 0, "dropped": 0 }));
    // Agreed again, it is mirrored again, from then on.
    filed.must_reload("", "", &format!("{}{other}", agreed(BOTH)));
    alices.talk(20, 30);
    filed.copies(0, 20);
}

#[test]
fn a_longer_list_of_loggers_leaves_mirrors_where_they_are() {
    let filed = Filed::start();
    let ng = filed.ng();
    let call = Call::up(&ng, "c", &context("alice", "bob"));
    call.talk(0, 5);
    let before = filed.explain("c")["mirrors"][0]["mirror"].clone();
    filed.must_reload("", "", &agreed("loggers = [\"b\", \"a\"]\n"));
    call.talk(5, 10);
    let after = filed.explain("c")["mirrors"][0].clone();
    assert_eq!((&after["mirror"], &after["logger"]), (&before, &json!("a")));
    filed.copies(0, 20);
    // New calls follow the new order.
    Call::up(&ng, "d", &context("alice", "bob")).talk(0, 5);
    filed.copies(1, 10);
}

#[test]
fn mirrors_of_a_logger_that_is_gone_move_without_a_gap() {
    let filed = Filed::start();
    let ng = filed.ng();
    let call = Call::up(&ng, "c", &context("alice", "bob"));
    call.talk(0, 50);
    filed.must_reload("", "#without a", &agreed("loggers = [\"b\"]\n"));
    call.talk(50, 100);
    assert_eq!(filed.copies(0, 100).len() + filed.copies(1, 100).len(), 200);
    assert_eq!(filed.explain("c")["mirrors"][0]["logger"], "b");
    // Where there is too little room the reason is told, and the call goes on.
    let nowhere = "[[logger]]\nname = \"small\"\ntransport = \"rtp\"\naddress = \"127.0.0.1\"\n\
                   ports = [10, 11]\n#without a #without b";
    filed.must_reload("", nowhere, &agreed("loggers = [\"small\"]\n"));
    call.talk(100, 110);
    let mirror = filed.explain("c")["mirrors"][0].clone();
    assert_eq!(mirror["logger"], "small");
    let note = mirror["note"].as_str().unwrap();
    assert!(
        note.contains("for 2 of its 4 streams the logger had no room"),
        "{mirror}"
    );
    // One that is back takes it again.
    filed.must_reload("", "", &agreed(BOTH));
    call.talk(110, 120);
    assert_eq!(filed.explain("c")["mirrors"][0]["logger"], "a");
    filed.copies(0, 20);
}

#[test]
fn the_allow_list_and_the_token_change_hands() {
    let filed = Filed::start();
    let ng = filed.ng();
    let token = filed.dir.path().join("token");
    std::fs::write(&token, "a-token-of-sixteen\n").unwrap();
    let more = format!(
        "[ng]\nallow = [\"127.0.0.9\"]\n[http]\ntoken_file = \"{}\"",
        token.display()
    );
    filed.must_reload("", &more, &agreed(BOTH));
    ng.send_raw(b"1 {\"command\":\"ping\"}");
    assert!(ng.is_silent(), "not on the list any more");
    assert_eq!(filed.http("GET", "/v1/calls", "").0, 401);
    assert_eq!(filed.http("POST", "/v1/reload", "").0, 401);
    assert_eq!(filed.http("GET", "/healthz", "").0, 200);
}

/// Ten reloads a second, good and bad, while calls talk: no packet of a call is lost, none is
/// copied twice, and each is copied by one logger or the other.
#[test]
fn reloads_in_quick_succession_lose_nothing() {
    let filed = Filed::start();
    let ng = filed.ng();
    let calls = ["x", "y", "z"].map(|id| Call::up(&ng, id, &context("alice", "bob")));
    let stop = AtomicBool::new(false);
    let reloads = AtomicU16::new(0);
    let mut copies = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 0_u16;
            while !stop.load(Ordering::Relaxed) || number < 20 {
                let (relay, more, rest) = match number % 4 {
                    0 => (
                        "media_timeout = 30",
                        "#without a",
                        agreed("loggers = [\"b\"]\n"),
                    ),
                    1 => ("max_calls = 0", "", agreed(BOTH)),
                    2 => (
                        "port_linger = 5",
                        "",
                        agreed("loggers = [\"a\", \"b\"]\nmandatory = true\n"),
                    ),
                    _ => ("", "#without b", agreed("loggers = [\"a\"]\n")),
                };
                let (status, answer) = filed.reload(relay, more, &rest);
                let expected = if number % 4 == 1 { 422 } else { 200 };
                assert_eq!(status, expected, "{answer}");
                number += 1;
                reloads.store(number, Ordering::Relaxed);
                crate::harness::pause(Duration::from_millis(100));
            }
        });
        let mut sequence = 0;
        while reloads.load(Ordering::Relaxed) < 20 {
            for call in &calls {
                call.talk(sequence, sequence + 5);
            }
            sequence += 5;
            for ear in &filed.loggers {
                copies.extend(ear.heard());
            }
        }
        stop.store(true, Ordering::Relaxed);
        let wanted = usize::from(sequence) * calls.len() * 2;
        eventually("all copies come", || {
            for ear in &filed.loggers {
                copies.extend(ear.heard());
            }
            (copies.len() >= wanted).then_some(())
        });
        assert_eq!(copies.len(), wanted);
    });
    assert!(!filed.explain("x").to_string().contains("no room"));
}
