//! The primary's sections, and whom a relay tells.

use super::super::*;
use super::*;

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
