use super::*;
use crate::migration::agreement::{Kind, OnLoggerLoss};
use crate::migration::identity::Service;

fn mistakes(text: &str) -> Vec<Mistake> {
    check(text).expect_err("there are mistakes")
}

/// The key of each mistake.
fn keys(text: &str) -> Vec<String> {
    mistakes(text)
        .into_iter()
        .map(|mistake| mistake.key)
        .collect()
}

#[test]
fn an_empty_file_is_the_default() {
    let config = check("").unwrap();
    assert_eq!(config, Config::default());
    assert!(config.ng.udp.iter().all(|at| at.ip().is_loopback()));
    assert!(config.http.listen.iter().all(|at| at.ip().is_loopback()));
    assert_eq!(config.interfaces[0].ports, (30_000, 40_000));
    assert_eq!(config.loggers[0].transport, Transport::Embedded);
    assert!(config.agreements.is_empty());
}

#[test]
fn a_full_file_is_taken_over() {
    let config = check(GOOD).unwrap();
    assert_eq!(config.relay.system.as_str(), "partner.example");
    assert_eq!(config.relay.media_timeout, Duration::from_secs(90));
    assert_eq!(config.relay.port_linger, Duration::from_millis(500));
    assert_eq!(config.relay.final_timeout, Some(Duration::from_secs(7_200)));
    assert_eq!(config.relay.learning, Learning::Off);
    let [core, edge] = &config.interfaces[..] else {
        panic!("two interfaces")
    };
    assert_eq!(core.addresses.len(), 2);
    assert_eq!(edge.addresses[0].bind.to_string(), "10.1.0.5");
    assert_eq!(edge.addresses[0].advertised.to_string(), "203.0.113.7");
    assert!(config.ng.allow[0].contains("10.1.0.9".parse().unwrap()));
    let agreement = &config.agreements[0];
    assert_eq!(agreement.services, [Service::Mcptt, Service::Mcvideo]);
    assert_eq!(agreement.loggers, ["hq", "embedded"]);
    assert_eq!(agreement.on_logger_loss, OnLoggerLoss::Refuse);
    assert_eq!(config.agreements[1].kind, Kind::UnilateralIn);
    assert_eq!(config.agreements[1].on_logger_loss, OnLoggerLoss::Continue);
    assert_eq!(
        config.archive.dir,
        PathBuf::from("/var/lib/homeward/archive")
    );
    assert!(config.log.json);
}

#[test]
fn the_example_of_the_manual_is_good() {
    let page = include_str!("../manual/configuration.rs");
    let (_, rest) = page.split_once("```toml\n").unwrap();
    let (example, _) = rest.split_once("//! ```").unwrap();
    let lines = example.lines().map(|line| line.trim_start_matches("//! "));
    let config = check(&lines.collect::<Vec<&str>>().join("\n")).unwrap();
    assert_eq!(config.loggers.len(), 2);
    assert_eq!(config.agreements.len(), 1);
    assert!(config.http.token_file.is_none());
}

#[test]
fn ten_mistakes_are_ten_mistakes() {
    let text = r#"
[relay]
system = "not a name"
workers = -1
media_timout = 30
[[interface]]
name = "core"
addresses = ["192.0.2.5", "192.0.2.500"]
ports = [40000, 30000]
[ng]
udp = ["192.0.2.5:2223"]
[http]
listen = "192.0.2.5:8080"
[[logger]]
name = "hq"
transport = "smoke"
address = "203.0.113.9"
ports = [50000, 50999]
allow_plaintext = true
[[agreement]]
primary = "primary.example"
mode = "redirect"
loggers = ["hq", "nobody"]
"#;
    let found: Vec<String> = mistakes(text).iter().map(Mistake::to_string).collect();
    let wanted = [
        ("line 3: relay.system: ", "not a name"),
        ("line 4: relay.workers: ", "-1"),
        ("line 5: relay.media_timout: ", "unknown key"),
        ("line 8: interface[0].addresses: ", "192.0.2.500"),
        ("line 9: interface[0].ports: ", "40000"),
        ("line 11: ng.udp: ", "allow"),
        ("line 13: http.listen: ", "token_file"),
        ("line 16: logger[0].transport: ", "rtp"),
        ("line 20: agreement[0].anchors: ", "at least one anchor"),
        ("line 23: agreement[0].loggers: ", "nobody"),
    ];
    for (line, (place, text)) in found.iter().zip(wanted) {
        assert!(line.starts_with(place) && line.contains(text), "{line}");
    }
    assert_eq!(found.len(), wanted.len(), "{found:#?}");
}

#[test]
fn every_mistake_about_anchors_is_named() {
    let text = r#"
[relay]
system = "partner.example"
[[interface]]
name = "core"
addresses = "127.0.0.1"
ports = [30000, 30999]
[[anchor]]
name = "a"
transport = "static"
address = "127.0.0.1"
ports = [30500, 31000]
[[anchor]]
name = "a"
transport = "pigeon"
unreachable_after = "1ms"
[[anchor]]
name = "b"
transport = "static"
address = "192.0.2.7"
ports = [40000, 40999]
interface = "moon"
[[anchor]]
name = "c"
transport = "sip"
address = "[::1]:5060"
ports = [40000, 40999]
[[anchor]]
name = "d"
transport = "static"
[[agreement]]
primary = "primary.example"
mode = "redirect"
anchors = ["a", "nobody"]
loggers = []
[[agreement]]
primary = "other.example"
anchors = ["b"]
"#;
    let found: Vec<String> = mistakes(text).iter().map(Mistake::to_string).collect();
    let wanted = [
        ("line 12: anchor[0].ports: ", "media ports of this relay"),
        ("line 14: anchor[1].name: ", "taken already"),
        ("line 15: anchor[1].transport: ", "\"static\" or \"sip\""),
        ("line 16: anchor[1].unreachable_after: ", "1ms"),
        ("line 20: anchor[2].address: ", "allow_plaintext"),
        ("line 22: anchor[2].interface: ", "\"moon\"; known: core"),
        ("line 26: anchor[3].address: ", "no address of its family"),
        ("line 27: anchor[3].ports: ", "tells its ports itself"),
        ("line 28: anchor[4].address: ", "missing"),
        ("line 28: anchor[4].ports: ", "missing"),
        (
            "line 34: agreement[0].anchors: ",
            "\"nobody\"; known: a, a, b, c, d",
        ),
        ("line 38: agreement[1].anchors: ", "mode"),
    ];
    for (line, (place, text)) in found.iter().zip(wanted) {
        assert!(line.starts_with(place) && line.contains(text), "{line}");
    }
    assert_eq!(found.len(), wanted.len(), "{found:#?}");
}

#[test]
fn anchors_have_defaults_and_redirect_needs_no_logger() {
    let text = r#"
[relay]
system = "partner.example"
plain_networks = "192.0.2.0/24"
[[interface]]
name = "core"
addresses = "192.0.2.5"
[[anchor]]
name = "gate"
transport = "static"
address = "192.0.2.7"
ports = [40000, 40999]
[[anchor]]
name = "spare"
transport = "sip"
address = "203.0.113.7:5060"
allow_plaintext = true
unreachable_after = "500ms"
return_after = 3
interface = "core"
[[agreement]]
primary = "primary.example"
mode = "redirect"
anchors = ["gate", "spare"]
loggers = []
"#;
    let config = check(text).unwrap();
    let [gate, spare] = config.anchors.as_slice() else {
        panic!("{:?}", config.anchors);
    };
    let seconds = |anchor: &Anchor| {
        let (lost, back) = (anchor.unreachable_after, anchor.return_after);
        (lost.as_millis(), back.as_millis())
    };
    assert_eq!(
        (seconds(gate), seconds(spare)),
        ((2_000, 5_000), (500, 3_000))
    );
    let address = "203.0.113.7:5060".parse().unwrap();
    assert_eq!(
        spare.transport,
        AnchorTransport::Sip {
            address,
            local: None
        }
    );
    assert_eq!(spare.interface.as_deref(), Some("core"));
    let agreement = &config.agreements[0];
    assert_eq!(agreement.anchors, ["gate", "spare"]);
    assert!(agreement.loggers.is_empty());
}

#[test]
fn ng_does_not_listen_on_a_wildcard() {
    for address in ["0.0.0.0:2223", "[::]:2223"] {
        let text = format!("[ng]\nudp = \"{address}\"\nallow = [\"127.0.0.1\"]\n");
        let found = mistakes(&text);
        assert_eq!(found.len(), 1, "{found:?}");
        let line = found[0].to_string();
        assert!(line.starts_with("line 2: ng.udp: "), "{line}");
        assert!(line.contains("wildcard: name each address"), "{line}");
    }
}

#[test]
fn broken_toml_does_not_hide_other_mistakes() {
    let text = "[relay]\nsystem = \nworkers = 999\n[http]\nlisten = 5\n[nonsense]\n";
    let found = mistakes(text);
    assert_eq!(found[0].line, Some(2), "{found:?}");
    let keys: Vec<&str> = found.iter().map(|mistake| mistake.key.as_str()).collect();
    for key in ["relay.workers", "http.listen", "nonsense"] {
        assert!(keys.contains(&key), "{found:?}");
    }
    for text in [
        "[",
        "a = [[[[",
        "= 1",
        "\u{0}",
        "[a]\n[a]",
        "a.b = 1\na = 2",
        "\"\\u{110000}\" = 1",
    ] {
        assert!(check(text).is_err(), "{text:?}");
    }
    assert!(check(&"a=1\n".repeat(300_000)).is_err());
    assert!(check(&format!("a = {}", "[".repeat(50_000))).is_err());
}

#[test]
fn the_example_of_the_design_wants_only_what_comes_later() {
    let text = r#"
[relay]
system = "partner.example"                 # our MC system
data_dir = "homeward-data"
workers = 0
[[interface]]
name = "core"
addresses = ["192.0.2.5", "2001:db8::5"]
ports = [30000, 40000]
[ng]
udp = ["127.0.0.1:2223"]
[http]
listen = "127.0.0.1:8080"
[[logger]]
name = "hq"
transport = "trunk"
address = "logger.primary.example:4433"
[[agreement]]
primary = "primary.example"
kind = "bilateral"
services = ["mcptt", "mcvideo"]
mode = "duplicate"
loggers = ["hq"]
mandatory = true
on_logger_loss = "spool"
on_failed_migration = "reject"
"#;
    assert_eq!(keys(text), ["logger[0].transport"]);
}

#[test]
fn sections_must_fit_together() {
    let two = |second: &str| {
        format!(
            "[[interface]]\nname = \"a\"\naddresses = \"192.0.2.1\"\nports = [30000, 30999]\n\
             [[interface]]\n{second}\n"
        )
    };
    let fine = two("name = \"b\"\naddresses = \"192.0.2.1\"\nports = [31000, 31999]");
    check(&fine).unwrap();
    let same_name = two("name = \"a\"\naddresses = \"192.0.2.2\"");
    assert_eq!(keys(&same_name), ["interface[1].name"]);
    let same_ports = two("name = \"b\"\naddresses = \"192.0.2.1\"\nports = [30998, 31999]");
    assert_eq!(keys(&same_ports), ["interface[1].ports"]);
    let ng = two("name = \"b\"\naddresses = \"127.0.0.1\"\nports = [2000, 3000]");
    assert_eq!(keys(&(ng + "[ng]\nudp = \"127.0.0.1:2223\"")), ["ng.udp"]);
    let archive =
        "[[interface]]\nname = \"lo\"\naddresses = \"127.0.0.1\"\nports = [30000, 45000]\n";
    assert_eq!(keys(archive), ["interface"]);
    let archive = format!("{archive}[archive]\nports = [44000, 50000]");
    assert_eq!(keys(&archive), ["archive.ports"]);
    let agreed = "[relay]\nsystem = \"a.example\"\n[[agreement]]\nprimary = \"a.example\"\n\
                  [[agreement]]\nprimary = \"b.example\"\n[[agreement]]\nprimary = \"B.example\"";
    assert_eq!(
        keys(agreed),
        ["agreement[0].primary", "agreement[2].primary"]
    );
    assert_eq!(
        keys("[[agreement]]\nprimary = \"b.example\""),
        ["relay.system"]
    );
}

#[test]
fn media_leaves_unprotected_only_when_told() {
    let logger = "[[logger]]\nname = \"hq\"\ntransport = \"rtp\"\nports = [50000, 50999]\n";
    let far = format!("{logger}address = \"203.0.113.9\"\n");
    assert_eq!(keys(&far), ["logger[0].address"]);
    check(&format!("{far}allow_plaintext = true")).unwrap();
    check(&format!(
        "{far}[relay]\nplain_networks = \"203.0.113.0/24\""
    ))
    .unwrap();
    check(&format!("{logger}address = \"127.0.0.1\"")).unwrap();
    assert_eq!(keys("[archive]\nbind = \"192.0.2.9\""), ["archive.bind"]);
    check("[archive]\nbind = \"192.0.2.9\"\nrelays = \"192.0.2.5\"").unwrap();
}

#[test]
fn a_logger_elsewhere_can_be_told_over_http() {
    let logger = "[[logger]]\nname = \"hq\"\ntransport = \"rtp\"\nports = [50000, 50999]\n\
                  address = \"127.0.0.1\"\n";
    let told = format!("{logger}announce = \"http://[::1]:8080/\"\nannounce_token_file = \"t\"");
    let Transport::Rtp { announce, .. } = check(&told).unwrap().loggers.remove(0).transport else {
        panic!("not embedded");
    };
    let announce = announce.unwrap();
    assert_eq!(announce.address, "[::1]:8080".parse().unwrap());
    assert_eq!(announce.token_file, Some("t".into()));
    for wrong in [
        "https://127.0.0.1:8080",
        "127.0.0.1:8080",
        "http://127.0.0.1",
        "http://127.0.0.1:0",
        "http://127.0.0.1:8080/v1",
        "http://user@127.0.0.1:8080",
        "http://logger.example:8080",
        "http://0.0.0.0:8080",
        "http://192.0.2.9:8080",
    ] {
        let text = format!("{logger}announce = \"{wrong}\"");
        assert_eq!(keys(&text), ["logger[0].announce"], "{wrong}");
    }
    let far = format!("{logger}announce = \"http://192.0.2.9:8080\"");
    check(&format!("{far}\nallow_plaintext = true")).unwrap();
    check(&format!(
        "{far}\n[relay]\nplain_networks = \"192.0.2.0/24\""
    ))
    .unwrap();
    let alone = format!("{logger}announce_token_file = \"t\"");
    assert_eq!(keys(&alone), ["logger[0].announce_token_file"]);
    let embedded = "[[logger]]\nname = \"a\"\ntransport = \"rtp\"\nembedded = true\n\
                    announce = \"http://127.0.0.1:8080\"";
    assert_eq!(keys(embedded), ["logger[0].announce"]);
}

#[test]
fn spool_needs_a_logger_that_can_be_spooled_for() {
    let text = "[relay]\nsystem = \"a.example\"\n[[agreement]]\nprimary = \"b.example\"\n";
    let agreement = check(text).unwrap().agreements.remove(0);
    assert_eq!(agreement.on_logger_loss, OnLoggerLoss::Continue);
    assert_eq!(agreement.loggers, ["embedded"]);
    let spool = format!("{text}on_logger_loss = \"spool\"");
    assert_eq!(keys(&spool), ["agreement[0].on_logger_loss"]);
}

#[test]
fn wrong_types_name_their_key() {
    for (text, key) in [
        ("relay = 1", "relay"),
        ("[interface]\nname = \"a\"", "interface"),
        ("interface = [1]", "interface"),
        ("[relay]\nstrict_source = \"yes\"", "relay.strict_source"),
        ("[relay]\nmax_calls = 1.5", "relay.max_calls"),
        (
            "[relay]\nmax_calls = 99999999999999999999999",
            "relay.max_calls",
        ),
        (
            "[relay]\nmedia_timeout = \"5 parsecs\"",
            "relay.media_timeout",
        ),
        ("[relay]\nlearning = \"guess\"", "relay.learning"),
        ("[ng]\nudp = [1]", "ng.udp"),
        ("[ng]\nudp = [\"127.0.0.1\"]", "ng.udp"),
        ("[log]\nformat = \"xml\"", "log.format"),
        ("[log]\nfilter = \"a=b=c\"", "log.filter"),
    ] {
        assert_eq!(keys(text), [key], "{text}");
    }
}

#[test]
fn files_and_tokens_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("homeward.toml");
    assert!(matches!(load(&file), Err(LoadError::Read { .. })));
    std::fs::write(&file, "[relay]\nnosuch = 1\nalso = 2").unwrap();
    let text = load(&file).unwrap_err().to_string();
    assert!(text.starts_with("2 mistakes in "), "{text}");
    let token = dir.path().join("token");
    let http = Http {
        token_file: Some(token.clone()),
        ..Http::default()
    };
    assert!(http.token().is_err());
    for bad in ["", "short", "with space in the middle", &"x".repeat(513)] {
        std::fs::write(&token, bad).unwrap();
        assert!(http.token().is_err(), "{bad}");
    }
    std::fs::write(&token, "0123456789abcdef\n").unwrap();
    assert_eq!(http.token().unwrap().as_deref(), Some("0123456789abcdef"));
    assert_eq!(Http::default().token(), Ok(None));
}

#[test]
fn the_primarys_sections_are_taken_over() {
    let text = r#"
[relay]
system = "primary.example"
[users]
key_file = "key"
previous_key_files = ["old", "older"]
[[partner]]
system = "Partner.Example"
kind = "unilateral-out"
services = ["mcvideo", "mcptt", "mcvideo"]
interconnected = true
token_file = "a"
[[partner]]
system = "third.example"
token_file = "b"
"#;
    let config = check(text).unwrap();
    let users = config.users.unwrap();
    assert_eq!(users.key_file, Some("key".into()));
    assert_eq!(users.previous_key_files.len(), 2);
    let [first, second] = &config.partners[..] else {
        panic!("two partners");
    };
    assert_eq!(first.terms.system.as_str(), "partner.example");
    assert_eq!(first.terms.kind, Kind::UnilateralOut);
    assert_eq!(first.terms.services, [Service::Mcptt, Service::Mcvideo]);
    assert!(first.terms.interconnected && !second.terms.interconnected);
    assert_eq!(second.terms.services.len(), 3);
    assert_eq!(check("").unwrap().users, None);
    let alone = "[relay]\nsystem = \"p.example\"\n[[partner]]\nsystem = \"q.example\"\n\
                 token_file = \"t\"";
    assert_eq!(check(alone).unwrap().users, Some(Users::default()));
}

#[test]
fn mistakes_about_partners_are_all_named() {
    let text = r#"
[users]
previous_key_files = ["old"]
keyfile = "x"
[[partner]]
[[partner]]
system = "localhost"
token_file = ""
interconnected = "yes"
[[partner]]
system = "q.example"
token_file = "t"
services = []
kind = "sideways"
[[partner]]
system = "Q.example"
token_file = "t"
tokenfile = "t"
"#;
    assert_eq!(
        keys(text),
        [
            "users.previous_key_files",
            "users.keyfile",
            "partner[0].system",
            "partner[0].token_file",
            "partner[1].system",
            "partner[1].token_file",
            "partner[1].interconnected",
            "partner[2].services",
            "partner[2].kind",
            "partner[3].system",
            "partner[3].tokenfile",
            "relay.system",
        ]
    );
}

#[test]
fn whom_to_tell_is_part_of_an_agreement() {
    let with = |keys: &str| {
        format!(
            "[relay]\nsystem = \"q.example\"\nplain_networks = \"192.0.2.0/24\"\n\
             [[agreement]]\nprimary = \"o.example\"\n[[agreement]]\nprimary = \"p.example\"\n\
             {keys}"
        )
    };
    let good = with("tell = \"http://192.0.2.9:8081/\"\ntell_token_file = \"t\"");
    let tells = check(&good).unwrap().tells;
    assert_eq!(tells.len(), 1);
    assert_eq!(tells[0].primary.as_str(), "p.example");
    assert_eq!(tells[0].agreement, 1);
    assert_eq!(tells[0].door.address.to_string(), "192.0.2.9:8081");
    for (bad, key) in [
        ("tell = \"http://192.0.2.9:8081\"", "tell"),
        ("tell_token_file = \"t\"", "tell_token_file"),
        (
            "tell = \"https://192.0.2.9:1\"\ntell_token_file = \"t\"",
            "tell",
        ),
        (
            "tell = \"http://primary:1\"\ntell_token_file = \"t\"",
            "tell",
        ),
        (
            "tell = \"http://203.0.113.9:1\"\ntell_token_file = \"t\"",
            "tell",
        ),
    ] {
        assert_eq!(keys(&with(bad)), [format!("agreement[1].{key}")], "{bad}");
    }
}

const GOOD: &str = r#"
[relay]
system = "partner.example"
data_dir = "/var/lib/homeward"
workers = 2
media_timeout = 90
port_linger = "500ms"
final_timeout = "2h"
learning = "off"
[[interface]]
name = "core"
addresses = ["192.0.2.5", "2001:db8::5"]
ports = [30000, 40000]
[[interface]]
name = "edge"
addresses = "10.1.0.5!203.0.113.7"
[ng]
udp = ["127.0.0.1:2223", "10.1.0.5:2223"]
allow = ["10.1.0.0/24", "127.0.0.1"]
[http]
listen = ["127.0.0.1:8080", "10.1.0.5:8080"]
token_file = "/etc/homeward/token"
[[logger]]
name = "hq"
transport = "rtp"
address = ["203.0.113.9", "2001:db8:9::9"]
ports = [50000, 59999]
allow_plaintext = true
[[logger]]
name = "embedded"
transport = "rtp"
embedded = true
[[agreement]]
primary = "primary.example"
services = ["mcptt", "mcvideo", "mcptt"]
loggers = ["hq", "embedded", "hq"]
mandatory = true
on_logger_loss = "refuse"
[[agreement]]
primary = "third.example"
kind = "unilateral-in"
media = ["audio", "floor"]
deny_session_types = ["ambient-listening"]
[log]
filter = "info,homeward::hook=debug"
format = "json"
"#;

#[test]
fn the_preroll_is_bounded_and_zero_turns_it_off() {
    let relay = |keys: &str| check(&format!("[relay]\n{keys}\n")).map(|c| c.relay);
    let kept = relay("").unwrap();
    assert_eq!(kept.preroll, Duration::from_secs(10));
    assert_eq!(
        (kept.preroll_call_bytes, kept.preroll_bytes),
        (1 << 20, 64 << 20)
    );
    assert!(relay("preroll = 0").unwrap().preroll.is_zero());
    for wrong in [
        "preroll = \"2h\"",
        "preroll_call_bytes = 1",
        "preroll_bytes = 0",
    ] {
        let mistakes = relay(wrong).unwrap_err();
        assert_eq!((mistakes.len(), mistakes[0].line), (1, Some(2)), "{wrong}");
    }
}
