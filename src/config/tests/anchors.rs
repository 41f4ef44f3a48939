//! Media anchors, and agreements that redirect.

use super::super::*;
use super::*;

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
