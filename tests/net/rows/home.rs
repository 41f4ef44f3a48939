//! The rows that the primary's half takes part in: `homeward logger` of `primary.example` as a
//! process, told by a relay of `partner.example`.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Bench, Call, Setup, agreement, context, eventually};

const SECRET: &str = "correct-horse-battery-staple";

/// The primary's logger, with alice in it: her profile 1 lists the partner, profile 2 does not.
struct Primary {
    dir: TempDir,
    port: u16,
    process: Child,
}

impl Drop for Primary {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

impl Primary {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let port = free_port();
        let first = free_port() & !1;
        let config = format!(
            "[relay]\nsystem = \"primary.example\"\n[archive]\ndir = \"stored\"\n\
             ports = [{first}, {}]\n[http]\nlisten = \"127.0.0.1:{port}\"\ntoken_file = \"http\"\n\
             [users]\nkey_file = \"key\"\n[[partner]]\nsystem = \"partner.example\"\n\
             interconnected = true\ntoken_file = \"partner\"\n",
            first + 1
        );
        let files = [
            ("logger.toml", config),
            ("http", "token-of-the-operator".to_owned()),
            ("partner", "token-of-the-partner".to_owned()),
            ("key", "07".repeat(32)),
        ];
        for (name, text) in files {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            std::fs::set_permissions(&path, mode).unwrap();
        }
        let process = Command::new(env!("CARGO_BIN_EXE_homeward"))
            .args(["logger", "--config", "logger.toml"])
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let primary = Self { dir, port, process };
        let up = || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok();
        eventually("the primary listens", up);
        let user = json!({
            "ids": { "mcptt": "sip:alice@primary.example" },
            "profiles": [
                { "index": 1, "partners": [{ "system": "partner.example", "access": SECRET }] },
                { "index": 2, "partners": [{ "system": "other.example" }] },
            ],
        });
        let (status, stored) = primary.ask("PUT", "/v1/users/alice", &user.to_string());
        assert_eq!(status, 201, "{stored}");
        primary
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).unwrap();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: primary\r\nconnection: close\r\n\
             authorization: Bearer token-of-the-operator\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(!answer.contains(SECRET), "access data never comes out");
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        (status, serde_json::from_str(body).unwrap_or(Value::Null))
    }

    fn alice(&self) -> Value {
        let (status, user) = self.ask("GET", "/v1/users/alice", "");
        assert_eq!(status, 200, "{user}");
        user
    }

    /// A relay of the partner that tells this primary.
    fn partner(&self) -> Bench {
        let tell = format!(
            "tell = \"http://127.0.0.1:{}\"\ntell_token_file = {:?}",
            self.port,
            self.dir.path().join("partner")
        );
        Bench::with(Setup {
            agreements: agreement("primary.example", &tell),
            ..Setup::default()
        })
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

fn record(bench: &Bench, id: &Value) -> Value {
    bench.http("GET", &format!("/v1/migrations/{id}"), "").1
}

/// The profiles of a user list the partner systems that it may migrate to, with access data.
#[test]
fn row_2_profiles_list_the_systems_a_user_may_migrate_to() {
    let primary = Primary::start();
    let profiles = primary.alice()["profiles"].clone();
    assert_eq!(profiles[0]["partners"][0]["system"], "partner.example");
    assert_eq!(profiles[0]["partners"][0]["access"], "[redacted]");
    let bench = primary.partner();
    let ng = bench.ng();
    // With a profile that does not list the partner the migration fails, and its calls with it.
    let wrong = bench.migrate_from("alice", "primary.example", &json!({ "profile_index": 2 }));
    let refused = eventually("the primary refuses", || {
        Some(record(&bench, &wrong["id"])).filter(|record| record["result"] == "failed")
    });
    assert_eq!(refused["reason"], "partner-not-in-profile", "{refused}");
    let party = crate::harness::Party::new(1);
    let mut offer = context("alice", "bob");
    let members = json!({
        "command": "offer", "call-id": "row2", "from-tag": "a", "sdp": party.sdp(),
    });
    let keys = members.as_object().unwrap().clone();
    offer.as_object_mut().unwrap().extend(keys);
    let answer = ng.ask(&offer);
    assert_eq!(
        answer["error-reason"],
        "Migration failed: partner-not-in-profile"
    );
    // With the other one it comes about.
    let right = bench.migrate_from("alice", "primary.example", &json!({ "profile_index": 1 }));
    eventually("the primary accepts", || {
        (record(&bench, &right["id"])["told"] == "accepted").then_some(())
    });
    let call = Call::up(&ng, "row2", &context("alice", "bob"));
    call.talk(1, 6);
    call.down(&ng);
    assert_eq!(bench.recordings(1).len(), 1);
}

/// After authorisation the primary marks the user as migrated, knows the partner system, and keeps
/// the ID that the partner issued.
#[test]
fn row_5_the_primary_marks_the_user_and_keeps_the_partners_id() {
    let primary = Primary::start();
    assert_eq!(primary.alice()["migrations"], json!([]));
    let bench = primary.partner();
    let members = json!({ "partner_id": "sip:guest-7@partner.example", "profile_index": 1 });
    let migrated = bench.migrate_from("alice", "primary.example", &members);
    let mark = eventually("the primary marks the user", || {
        let mark = primary.alice()["migrations"][0].clone();
        (mark["migrated"] == true).then_some(mark)
    });
    assert_eq!(mark["partner_system"], "partner.example", "{mark}");
    assert_eq!(mark["partner_id"], "sip:guest-7@partner.example", "{mark}");
    // The partner issues another ID, and in the end the user returns.
    let path = format!("/v1/migrations/{}", migrated["id"]);
    let news = r#"{"partner_id": "sip:guest-8@partner.example"}"#;
    assert_eq!(bench.http("PATCH", &path, news).0, 200);
    eventually("the primary knows the new ID", || {
        let mark = primary.alice()["migrations"][0].clone();
        (mark["partner_id"] == "sip:guest-8@partner.example").then_some(())
    });
    assert_eq!(bench.http("DELETE", &path, "").0, 200);
    eventually("the user is at home again", || {
        (primary.alice()["migrations"] == json!([])).then_some(())
    });
}
