//! Telling a primary that answers badly: a relay in this process, and a primary that follows a
//! script.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use homeward::config::{Announce, Config, Tell};
use homeward::migration::agreement::Agreement;
use homeward::runtime::relay::Relay;
use serde_json::{Value, json};

use crate::harness::{eventually, http};

/// Answers each request with the next line of its script, the last one ever after.
struct Scripted {
    told: Arc<Mutex<Vec<Value>>>,
    address: std::net::SocketAddr,
}

impl Scripted {
    fn start(script: &[&str]) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let told: Arc<Mutex<Vec<Value>>> = Arc::default();
        let (heard, script) = (Arc::clone(&told), script.join("\u{0}"));
        std::thread::spawn(move || {
            let script: Vec<&str> = script.split('\u{0}').collect();
            let mut place = 0;
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                while let Some(body) = request(&stream) {
                    heard.lock().unwrap().push(body);
                    let answer = script[place.min(script.len() - 1)];
                    place += 1;
                    let sent = (&stream).write_all(answer.as_bytes());
                    if sent.is_err() || !answer.starts_with("HTTP/1.1 ") {
                        break;
                    }
                }
            }
        });
        Self { told, address }
    }

    fn told(&self) -> Vec<Value> {
        self.told.lock().unwrap().clone()
    }
}

/// The body of one request; `None` at the end of the connection.
fn request(stream: &TcpStream) -> Option<Value> {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    serde_json::from_slice(&body).ok()
}

fn answer(status: &str, body: &Value) -> String {
    let body = body.to_string();
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}")
}

/// A relay that tells this primary, and the folder with its data.
fn relay(primary: &Scripted) -> (Relay, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let token = dir.path().join("token");
    std::fs::write(&token, "a-token-of-this-test").unwrap();
    let mut config = Config::default();
    config.relay.system = "partner.example".parse().unwrap();
    config.relay.data_dir = dir.path().join("data");
    config.relay.workers = 1;
    config.archive.dir = dir.path().join("archive");
    config.ng.udp = vec![(Ipv4Addr::LOCALHOST, 0).into()];
    config.http.listen = vec![(Ipv4Addr::LOCALHOST, 0).into()];
    let home: homeward::migration::identity::SystemName = "primary.example".parse().unwrap();
    let loggers = vec!["embedded".to_owned()];
    config.agreements = vec![Agreement::new(home.clone(), loggers)];
    config.tells = vec![Tell {
        primary: home,
        agreement: 0,
        door: Announce {
            address: primary.address,
            token_file: Some(token),
        },
    }];
    (Relay::start(&config).unwrap(), dir)
}

fn migrate(relay: &Relay, name: &str) -> Value {
    let record = json!({
        "service": "mcptt",
        "primary_id": format!("sip:{name}@primary.example"),
        "partner_id": format!("sip:{name}@partner.example"),
        "primary_system": "primary.example",
    });
    let to = relay.http()[0];
    let (status, record) = http(to, "POST", "/v1/migrations", &record.to_string());
    assert_eq!(status, 201, "{record}");
    record
}

fn told(relay: &Relay, record: &Value, state: &str) -> Value {
    let path = format!("/v1/migrations/{}", record["id"]);
    eventually(state, || {
        let (status, record) = http(relay.http()[0], "GET", &path, "");
        assert_eq!(status, 200, "{record}");
        (record["told"] == state).then_some(record)
    })
}

#[test]
fn a_primary_that_answers_badly_is_told_again_until_it_answers_well() {
    let last = u64::MAX - 1_000;
    let script = [
        answer("500 Internal Server Error", &json!({})),
        "no HTTP at all\r\n\r\n".to_owned(),
        answer("401 Unauthorized", &json!({ "reason": "no-agreement" })),
        answer("200 OK", &json!("not a mark")),
        answer("409 Conflict", &json!({ "last": last })),
        answer("201 Created", &json!({ "state": "migrated" })),
    ];
    let script: Vec<&str> = script.iter().map(String::as_str).collect();
    let primary = Scripted::start(&script);
    let (relay, _dir) = relay(&primary);
    let record = migrate(&relay, "alice");
    let record = told(&relay, &record, "accepted");
    assert_eq!(record["result"], "authorised");
    let heard = primary.told();
    assert_eq!(heard.len(), 6, "{heard:?}");
    assert_eq!(heard[0]["partner_system"], "partner.example");
    assert_eq!(heard[0]["sequence"], heard[4]["sequence"]);
    // The primary had heard something later: what it hears now is later still.
    assert!(heard[5]["sequence"].as_u64().unwrap() > last);
    relay.stop().unwrap();
}

#[test]
fn a_refusal_fails_the_record_it_was_about() {
    let script = [
        answer("403 Forbidden", &json!({ "reason": "user-unknown" })),
        answer("201 Created", &json!({ "state": "migrated" })),
    ];
    let script: Vec<&str> = script.iter().map(String::as_str).collect();
    let primary = Scripted::start(&script);
    let (relay, _dir) = relay(&primary);
    let alice = migrate(&relay, "alice");
    told(&relay, &alice, "refused");
    let bob = migrate(&relay, "bob");
    told(&relay, &bob, "accepted");
    let alice = told(&relay, &alice, "refused");
    assert_eq!(
        (&alice["result"], &alice["reason"]),
        (&json!("failed"), &json!("user-unknown"))
    );
    assert_eq!(primary.told().len(), 2);
    relay.stop().unwrap();
}
