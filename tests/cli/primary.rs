//! The two halves of migration as processes: a relay of `partner.example` tells `homeward logger`
//! of `primary.example` who has migrated.

mod disk;
mod reload;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::{Value, json};

use crate::daemon::{Daemon, Relay, http, http_as};
use crate::tools::{eventually, free_port, free_ports, run};

const SECRET: &str = "correct-horse-battery-staple";
const OPERATOR: &str = "token-of-the-operator";
const PARTNER: &str = "token-of-partner.example";
const LIAR: &str = "token-of-liar.example";

/// A primary: its logger's folder and door.
struct Primary {
    dir: tempfile::TempDir,
    door: u16,
}

impl Primary {
    fn prepare() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let primary = Self {
            door: free_port(),
            dir,
        };
        for (name, token) in [("http", OPERATOR), ("partner", PARTNER), ("liar", LIAR)] {
            std::fs::write(primary.path(name), token).unwrap();
        }
        primary.key("key", 7);
        primary.configure("[users]\nkey_file = \"key\"\n");
        primary
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    fn key(&self, name: &str, byte: u8) {
        std::fs::write(self.path(name), format!("{byte:02x}").repeat(32)).unwrap();
        self.mode(name, 0o600);
    }

    fn mode(&self, name: &str, mode: u32) {
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(self.path(name), mode).unwrap();
    }

    fn configure(&self, users: &str) {
        let (first, last) = free_ports(4);
        let text = format!(
            r#"
[relay]
system = "primary.example"
[archive]
dir = "stored"
ports = [{first}, {last}]
[http]
listen = "127.0.0.1:{}"
token_file = "http"
{users}
[[partner]]
system = "partner.example"
interconnected = true
token_file = "partner"
[[partner]]
system = "liar.example"
interconnected = true
token_file = "liar"
"#,
            self.door
        );
        std::fs::write(self.path("logger.toml"), text).unwrap();
    }

    fn start(&self) -> Daemon {
        let mut logger = Daemon::start(self.dir.path(), &["logger", "--config", "logger.toml"]);
        logger.says("listening for HTTP");
        logger
    }

    fn ask(&self, token: &str, method: &str, path: &str, body: &str) -> (u16, Value) {
        let (status, text) = http_as(token, self.door, method, path, body).unwrap();
        assert!(!text.contains(SECRET), "{text}");
        let value = match text.is_empty() {
            true => Value::Null,
            false => serde_json::from_str(&text).unwrap_or(Value::String(text)),
        };
        (status, value)
    }

    /// A user who may migrate to `partner.example` with its profile 1.
    fn user(&self, name: &str) {
        let body = json!({
            "ids": { "mcptt": format!("sip:{name}@primary.example") },
            "profiles": [
                { "index": 1, "partners": [
                    { "system": "partner.example", "access": SECRET },
                    { "system": "liar.example" },
                ] },
                { "index": 2 },
            ],
        });
        let path = format!("/v1/users/{name}");
        let (status, body) = self.ask(OPERATOR, "PUT", &path, &body.to_string());
        assert_eq!(status, 201, "{body}");
    }

    /// Open migrations of a user.
    fn marks(&self, name: &str) -> Vec<Value> {
        let path = format!("/v1/users/{name}");
        let (status, user) = self.ask(OPERATOR, "GET", &path, "");
        assert_eq!(status, 200, "{user}");
        user["migrations"].as_array().unwrap().clone()
    }

    /// What a relay must know of it.
    fn tell(&self) -> String {
        format!(
            "tell = \"http://127.0.0.1:{}\"\ntell_token_file = {:?}\n",
            self.door,
            self.path("partner"),
        )
    }

    fn metrics(&self) -> String {
        let (status, text) = http_as(OPERATOR, self.door, "GET", "/metrics", "").unwrap();
        assert_eq!(status, 200);
        text
    }
}

fn add(relay: &Relay, record: &Value) -> u64 {
    let (status, body) = relay.http("POST", "/v1/migrations", &record.to_string());
    assert_eq!(status, 201, "{body}");
    let record: Value = serde_json::from_str(&body).unwrap();
    record["id"].as_u64().unwrap()
}

fn record(name: &str) -> Value {
    json!({
        "service": "mcptt",
        "primary_id": format!("sip:{name}@primary.example"),
        "partner_id": format!("sip:{name}@partner.example"),
        "primary_system": "primary.example",
        "profile_index": 1,
        "trigger": "primary-system",
    })
}

fn shown(relay: &Relay, id: u64) -> Value {
    let (status, body) = relay.http("GET", &format!("/v1/migrations/{id}"), "");
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

/// Waits until the record shows this state of telling.
fn told(relay: &Relay, id: u64, state: &str) -> Value {
    eventually(state, || {
        let record = shown(relay, id);
        (record["told"] == state).then_some(record)
    })
}

fn no_secret(dir: &Path) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            no_secret(&path);
            continue;
        }
        if !path.is_file() {
            continue; // where other processes ask for the sockets
        }
        let bytes = std::fs::read(&path).unwrap();
        let secret = SECRET.as_bytes();
        let found = bytes.windows(secret.len()).any(|window| window == secret);
        assert!(!found, "{}", path.display());
    }
}

#[test]
fn migrations_are_marked_changed_and_ended_on_both_sides() {
    let primary = Primary::prepare();
    let mut logger = primary.start();
    primary.user("alice");
    let mut relay = Relay::with_agreement(&primary.tell());
    let id = add(&relay, &record("alice"));
    told(&relay, id, "accepted");
    let marks = primary.marks("alice");
    assert_eq!(marks.len(), 1);
    assert_eq!(marks[0]["migrated"], true);
    assert_eq!(marks[0]["partner_system"], "partner.example");
    assert_eq!(marks[0]["partner_id"], "sip:alice@partner.example");
    assert_eq!(marks[0]["trigger"], "primary-system");
    assert_eq!(marks[0]["profile_index"], 1);

    let path = format!("/v1/migrations/{id}");
    let change = json!({ "partner_id": "sip:guest@partner.example" }).to_string();
    assert_eq!(relay.http("PATCH", &path, &change).0, 200);
    eventually("the other partner ID", || {
        let marks = primary.marks("alice");
        (marks[0]["partner_id"] == "sip:guest@partner.example").then_some(())
    });
    assert_eq!(relay.http("DELETE", &path, "").0, 200);
    eventually("the end", || {
        primary.marks("alice").is_empty().then_some(())
    });

    // That the primary knows of the end is not forgotten.
    told(&relay, id, "accepted");
    let metrics = primary.metrics();
    assert!(metrics.contains("homeward_users 1"), "{metrics}");
    assert!(metrics.contains("homeward_marks 0"), "{metrics}");
    let (_, metrics) = relay.http("GET", "/metrics", "");
    let line = "homeward_tellings_total{primary=\"primary.example\",result=\"accepted\"} 3";
    assert!(metrics.contains(line), "{metrics}");
    relay.restart();
    told(&relay, id, "accepted");
    assert_eq!(relay.daemon.terminate().code(), Some(0));
    assert_eq!(logger.terminate().code(), Some(0), "{}", logger.log());
    no_secret(primary.dir.path());
    no_secret(relay.dir.path());
}

#[test]
fn a_migration_that_the_primary_refuses_has_failed_at_the_partner() {
    let primary = Primary::prepare();
    let mut logger = primary.start();
    primary.user("alice");
    let mut relay = Relay::with_agreement(&primary.tell());
    let mut other_profile = record("alice");
    other_profile["profile_index"] = json!(2);
    for (record, reason) in [
        (record("mallory"), "user-unknown"),
        (other_profile, "partner-not-in-profile"),
    ] {
        let id = add(&relay, &record);
        let record = told(&relay, id, "refused");
        assert_eq!(record["told_reason"], reason);
        let failed = eventually("the failure", || {
            let record = shown(&relay, id);
            (record["result"] == "failed").then_some(record)
        });
        assert_eq!(failed["reason"], reason, "{failed}");
        let (_, page) = primary.ask(OPERATOR, "GET", "/v1/migrations", "");
        assert_eq!(page["refusals"][0]["reason"], reason, "{page}");
        assert_eq!(page["refusals"][0]["record"], id);
        assert_eq!(page["migrations"], json!([]));
    }
    let line = "homeward_migrations_refused_total{reason=\"user-unknown\"} 1";
    let metrics = primary.metrics();
    assert!(metrics.contains(line), "{metrics}");
    // One that failed here is not the primary's doing.
    let mut by_hand = record("bob");
    by_hand["result"] = json!("failed");
    by_hand["reason"] = json!("no-licence");
    add(&relay, &by_hand);
    // A failure is durable, and so is who said so; it is not told again.
    relay.restart();
    let (_, page) = relay.http("GET", "/v1/migrations", "");
    let page: Value = serde_json::from_str(&page).unwrap();
    let shown = |place: usize| {
        let record = &page["migrations"][place];
        assert_eq!(record["result"], "failed", "{page}");
        (&record["told"], &record["told_reason"])
    };
    assert_eq!(shown(0), (&json!("refused"), &json!("user-unknown")));
    assert_eq!(
        shown(1),
        (&json!("refused"), &json!("partner-not-in-profile"))
    );
    assert_eq!(shown(2), (&Value::Null, &Value::Null));
    let metrics = primary.metrics();
    assert!(metrics.contains(line), "{metrics}");
    assert_eq!(relay.daemon.terminate().code(), Some(0));
    assert_eq!(logger.terminate().code(), Some(0), "{}", logger.log());
}

#[test]
fn a_primary_that_was_down_hears_everything_when_it_is_up() {
    let primary = Primary::prepare();
    {
        let mut logger = primary.start();
        primary.user("alice");
        primary.user("bob");
        assert_eq!(logger.terminate().code(), Some(0), "{}", logger.log());
    }
    let mut relay = Relay::with_agreement(&primary.tell());
    let (alice, bob) = (add(&relay, &record("alice")), add(&relay, &record("bob")));
    let record = told(&relay, alice, "unreachable");
    assert_ne!(record["told_reason"], Value::Null);
    // It is in force all the same; and another one ends before the primary has heard of it.
    assert_eq!(record["result"], "authorised", "{record}");
    let path = format!("/v1/migrations/{bob}");
    assert_eq!(relay.http("DELETE", &path, "").0, 200);
    // Nothing of this is lost when the relay restarts.
    relay.restart();
    let mut logger = primary.start();
    told(&relay, alice, "accepted");
    assert_eq!(primary.marks("alice").len(), 1);
    let ended = eventually("the end of the other one", || {
        let (_, page) = primary.ask(OPERATOR, "GET", "/v1/migrations?all=true&user=bob", "");
        page["migrations"].get(0).cloned()
    });
    assert_eq!(ended["state"], "ended", "{ended}");
    assert_eq!(logger.terminate().code(), Some(0), "{}", logger.log());
    // And once more, with a change.
    let change = json!({ "partner_id": "sip:guest@partner.example" }).to_string();
    let path = format!("/v1/migrations/{alice}");
    assert_eq!(relay.http("PATCH", &path, &change).0, 200);
    told(&relay, alice, "unreachable");
    let mut logger = primary.start();
    told(&relay, alice, "accepted");
    let marks = primary.marks("alice");
    assert_eq!(marks[0]["partner_id"], "sip:guest@partner.example");
    assert_eq!(relay.daemon.terminate().code(), Some(0));
    assert_eq!(logger.terminate().code(), Some(0), "{}", logger.log());
}

#[test]
fn a_partner_that_lies_is_refused_and_counted() {
    let primary = Primary::prepare();
    let mut logger = primary.start();
    primary.user("alice");
    let telling = |partner: &str, of: &str| {
        json!({
            "record": 1, "sequence": 1, "service": "mcptt", "since": 1,
            "primary_system": of, "primary_id": "sip:alice@primary.example",
            "partner_system": partner, "partner_id": "sip:alice@liar.example",
        })
        .to_string()
    };
    for told in [
        telling("partner.example", "primary.example"),
        telling("liar.example", "partner.example"),
    ] {
        let (status, problem) = primary.ask(LIAR, "POST", "/v1/migrations", &told);
        assert_eq!(status, 403, "{problem}");
        assert_eq!(problem["reason"], "wrong-system");
    }
    let honest = telling("liar.example", "primary.example");
    assert_eq!(
        primary.ask("somebody", "POST", "/v1/migrations", &honest).0,
        401
    );
    assert_eq!(primary.ask(LIAR, "GET", "/v1/users/alice", "").0, 401);
    assert_eq!(primary.ask(LIAR, "GET", "/metrics", "").0, 401);
    assert!(primary.marks("alice").is_empty());
    let line = "homeward_migrations_refused_total{reason=\"wrong-system\"} 2";
    let metrics = primary.metrics();
    assert!(metrics.contains(line), "{metrics}");
    assert_eq!(primary.ask(LIAR, "POST", "/v1/migrations", &honest).0, 201);
    let (status, body) = http(primary.door, "GET", "/v1/migrations", "").unwrap();
    assert_eq!(status, 401, "{body}");
    logger.says("liar.example");
    assert_eq!(logger.terminate().code(), Some(0), "{}", logger.log());
}

#[test]
fn says_what_is_wrong_with_its_keys() {
    let primary = Primary::prepare();
    {
        let mut logger = primary.start();
        primary.user("alice");
        assert_eq!(logger.terminate().code(), Some(0), "{}", logger.log());
    }
    let refused = |words: &str| {
        let done = run(primary.dir.path(), ["logger", "--config", "logger.toml"]);
        assert_eq!(done.code, Some(1), "{}", done.err);
        assert_eq!(done.err.lines().count(), 1, "{}", done.err);
        assert!(done.err.contains(words), "{words}: {}", done.err);
        assert!(!done.err.contains("0707"), "{}", done.err);
    };
    primary.mode("key", 0o640);
    refused("chmod 600");
    primary.mode("key", 0o600);
    primary.configure("[users]\n");
    refused("users.key_file must name");
    primary.key("other", 8);
    primary.configure("[users]\nkey_file = \"other\"\n");
    refused("is not the key");
    primary.configure("[users]\nkey_file = \"other\"\nprevious_key_files = [\"key\"]\n");
    assert_eq!(primary.start().terminate().code(), Some(0));
    primary.configure("[users]\nkey_file = \"other\"\n");
    let mut logger = primary.start();
    let (status, user) = primary.ask(OPERATOR, "GET", "/v1/users/alice", "");
    let access = &user["profiles"][0]["partners"][1]["access"];
    assert_eq!((status, access), (200, &json!("[redacted]")), "{user}");
    assert_eq!(logger.terminate().code(), Some(0), "{}", logger.log());
    std::fs::write(primary.path("liar"), PARTNER).unwrap();
    refused("same token");
    std::fs::write(primary.path("stored/users.sqlite"), "x".repeat(5_000)).unwrap();
    std::fs::write(primary.path("liar"), LIAR).unwrap();
    refused("users.sqlite is damaged");
}
