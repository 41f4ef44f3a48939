//! The doors for partners after another configuration was read.

use serde_json::{Value, json};

use super::{LIAR, OPERATOR, PARTNER, Primary};
use crate::daemon::{Daemon, http_as};
use crate::tools::eventually;

const OTHER: &str = "another-token-of-somebody";
const THIRD: &str = "token-of-third.example";

impl Primary {
    /// Puts something else into its file.
    fn edit(&self, from: &str, to: &str) {
        let path = self.path("logger.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{text}");
        std::fs::write(&path, text.replace(from, to)).unwrap();
    }

    fn token(&self, file: &str, token: &str) {
        std::fs::write(self.path(file), token).unwrap();
    }

    /// Reads the file again at SIGHUP; it must say this about it.
    fn hang_up(logger: &mut Daemon, says: &str) {
        assert!(!logger.log().contains(says), "{}", logger.log());
        logger.signal("HUP");
        logger.says(says);
    }

    fn reload(&self, token: &str) -> (u16, Value) {
        self.ask(token, "POST", "/v1/reload", "")
    }
}

fn telling(system: &str, record: u64) -> String {
    json!({
        "record": record, "sequence": 1, "service": "mcptt", "since": record,
        "primary_system": "primary.example", "primary_id": "sip:alice@primary.example",
        "partner_system": system, "partner_id": format!("sip:alice@{system}"),
        "profile_index": 1,
    })
    .to_string()
}

#[test]
fn another_token_counts_at_once() {
    let primary = Primary::prepare();
    let mut logger = primary.start();
    primary.user("alice");
    let tell = |token: &str, record| {
        let telling = telling("partner.example", record);
        primary.ask(token, "POST", "/v1/migrations", &telling).0
    };
    assert_eq!(tell(PARTNER, 1), 201);

    // That of the operator, who is known at both doors.
    primary.token("http", OTHER);
    Primary::hang_up(&mut logger, "in force now: http.token_file: read");
    for path in ["/v1/migrations", "/v1/migrations/1", "/v1/users"] {
        assert_eq!(primary.ask(OPERATOR, "GET", path, "").0, 401, "{path}");
        assert_eq!(primary.ask(OTHER, "GET", path, "").0, 200, "{path}");
    }
    assert_eq!(tell(PARTNER, 2), 201);
    primary.token("http", OPERATOR);
    assert_eq!(primary.reload(OTHER).0, 200);
    assert_eq!(primary.ask(OTHER, "GET", "/v1/migrations", "").0, 401);
    assert_eq!(primary.ask(OPERATOR, "GET", "/v1/migrations", "").0, 200);

    // That of a partner.
    primary.token("partner", OTHER);
    let says = "in force now: partner[partner.example].token_file: read";
    Primary::hang_up(&mut logger, says);
    assert_eq!((tell(PARTNER, 3), tell(OTHER, 3)), (401, 201));
    let (_, unchanged) = primary.reload(OPERATOR);
    assert_eq!(unchanged, json!({ "applied": [], "at_next_start": [] }));
    // Another file.
    primary.token("other", PARTNER);
    primary.edit("token_file = \"partner\"", "token_file = \"other\"");
    let (_, changed) = primary.reload(OPERATOR);
    assert_eq!(
        changed["applied"],
        json!(["partner[partner.example]: changed"])
    );
    assert_eq!((tell(OTHER, 4), tell(PARTNER, 4)), (401, 201));
    assert_eq!(logger.terminate().code(), Some(0), "{}", logger.log());
}

#[test]
fn partners_come_change_and_go() {
    let primary = Primary::prepare();
    let mut logger = primary.start();
    primary.user("alice");
    let tell = |token: &str, system: &str, record| {
        let telling = telling(system, record);
        let (status, body) = primary.ask(token, "POST", "/v1/migrations", &telling);
        let reason = body["reason"].as_str().unwrap_or_default().to_owned();
        (status, reason)
    };
    primary.token("third", THIRD);
    assert_eq!(tell(THIRD, "third.example", 1).0, 401);
    let third = "[users]\nkey_file = \"key\"\n[[partner]]\nsystem = \"third.example\"\n\
                 interconnected = true\ntoken_file = \"third\"\n";
    primary.edit("[users]\nkey_file = \"key\"\n", third);
    let says = "in force now: partner[third.example]: added";
    Primary::hang_up(&mut logger, says);
    // It is known, but no profile lists it.
    let refused = (403, "partner-not-in-profile".to_owned());
    assert_eq!(tell(THIRD, "third.example", 1), refused);

    assert_eq!(tell(PARTNER, "partner.example", 1).0, 201);
    let connected = "system = \"partner.example\"\ninterconnected = true";
    primary.edit(connected, "system = \"partner.example\"");
    let says = "in force now: partner[partner.example]: changed";
    Primary::hang_up(&mut logger, says);
    let refused = (403, "no-interconnection".to_owned());
    assert_eq!(tell(PARTNER, "partner.example", 2), refused);

    assert_eq!(tell(LIAR, "liar.example", 9).0, 201);
    let liar = "[[partner]]\nsystem = \"liar.example\"\ninterconnected = true\n\
                token_file = \"liar\"\n";
    primary.edit(liar, "");
    let says = "in force now: partner[liar.example]: removed";
    Primary::hang_up(&mut logger, says);
    assert_eq!(tell(LIAR, "liar.example", 10).0, 401);
    // What it has told stays.
    let (_, page) = primary.ask(OPERATOR, "GET", "/v1/migrations?all=true", "");
    let systems = page["migrations"].as_array().unwrap().iter();
    assert!(
        systems
            .clone()
            .any(|mark| mark["partner_system"] == "liar.example")
    );
    assert_eq!(logger.terminate().code(), Some(0), "{}", logger.log());
}

#[test]
fn mistakes_with_tokens_of_partners_change_nothing() {
    let primary = Primary::prepare();
    let mut logger = primary.start();
    primary.user("alice");
    let refused = |words: &str| {
        let (status, problem) = primary.reload(OPERATOR);
        assert_eq!(status, 422, "{problem}");
        let text = problem.to_string();
        assert!(text.contains(words), "{words}: {text}");
        for token in [OPERATOR, PARTNER, LIAR] {
            assert!(!text.contains(token), "{text}");
            let answer = http_as(token, primary.door, "GET", "/v1/migrations", "");
            assert_eq!(answer.unwrap().0, 200, "{token}");
        }
    };
    primary.token("liar", PARTNER);
    refused("same token");
    primary.token("liar", OPERATOR);
    refused("http.token_file");
    primary.token("liar", "short");
    refused("partner[1].token_file");
    std::fs::remove_file(primary.path("liar")).unwrap();
    refused("partner[1].token_file");
    // And at SIGHUP: said once more.
    let said = |logger: &Daemon| {
        logger
            .log()
            .matches("cannot read the token in liar")
            .count()
    };
    assert_eq!(said(&logger), 1);
    logger.signal("HUP");
    eventually("the mistake is told", || (said(&logger) == 2).then_some(()));
    primary.token("liar", LIAR);
    assert_eq!(primary.reload(OPERATOR).0, 200);
    assert_eq!(logger.terminate().code(), Some(0), "{}", logger.log());
}
