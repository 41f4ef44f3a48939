//! Calls are carried: both ways, between families, for NATed and forked parties, and with floor
//! control beside the audio.

use serde_json::json;

use crate::harness::{Bench, Call, Party, eventually, media_at, media_of, receive};

#[test]
fn both_parties_hear_each_other() {
    let bench = Bench::start();
    let call = Call::up(&bench.ng(), "plain", &json!({}));
    call.talk(1, 50);
    let figures = call.down(&bench.ng());
    assert_eq!(figures["totals"]["RTP"]["packets"], 98, "{figures}");
}

#[test]
fn ipv4_talks_to_ipv6() {
    let bench = Bench::start();
    let keys = json!({ "address family": "IP6" });
    let call = Call::between(&bench.ng(), "bridge", Party::new(1), Party::v6(2), &keys);
    assert!(call.at_caller.is_ipv4() && call.at_callee.is_ipv6());
    call.talk(1, 20);
}

#[test]
fn rtcp_goes_from_rtcp_port_to_rtcp_port() {
    let bench = Bench::start();
    let call = Call::up(&bench.ng(), "rtcp", &json!({}));
    call.talk(1, 2);
    let report = [0x80, 201, 0, 1, 0x11, 0x11, 0, 1];
    let mut to = call.at_caller;
    to.set_port(to.port() + 1);
    call.caller.rtcp.send_to(&report, to).unwrap();
    assert_eq!(receive(&call.callee.rtcp).0, report);
}

#[test]
fn rtcp_on_the_rtp_port_reaches_the_rtcp_port() {
    let bench = Bench::start();
    let call = Call::up(&bench.ng(), "stray-rtcp", &json!({}));
    call.talk(1, 2);
    let report = [0x80, 201, 0, 1, 0x11, 0x11, 0, 1];
    call.caller.rtp.send_to(&report, call.at_caller).unwrap();
    assert_eq!(receive(&call.callee.rtcp).0, report);
}

#[test]
fn early_media_flows_before_the_answer() {
    let bench = Bench::start();
    let (caller, callee) = (Party::new(1), Party::new(2));
    let offer = json!({
        "command": "offer", "call-id": "early", "from-tag": "caller", "sdp": caller.sdp(),
    });
    let at_callee = media_of(&bench.ng().must(&offer));
    callee.send(at_callee, 1);
    assert_eq!(caller.receive().0, callee.packet(1));
}

#[test]
fn a_party_behind_nat_is_found() {
    let bench = Bench::start();
    let (caller, callee) = (Party::new(1), Party::new(2));
    // What the caller declares is not where its packets come from.
    let declared = Party::new(3);
    let offer = json!({
        "command": "offer", "call-id": "nat", "from-tag": "caller", "sdp": declared.sdp(),
    });
    let at_callee = media_of(&bench.ng().must(&offer));
    let answer = json!({
        "command": "answer", "call-id": "nat", "from-tag": "caller", "to-tag": "callee",
        "sdp": callee.sdp(),
    });
    let at_caller = media_of(&bench.ng().must(&answer));
    caller.send(at_caller, 1);
    assert_eq!(callee.receive().0, caller.packet(1));
    callee.send(at_callee, 1);
    assert_eq!(caller.receive().0, callee.packet(1));
    assert!(declared.hears_nothing());
}

#[test]
fn floor_control_is_carried_and_counts_for_learning() {
    let bench = Bench::start();
    let (caller, callee, declared) = (Party::new(1), Party::new(2), Party::new(3));
    let sdp = |audio: &Party, floor: &Party| {
        let port = floor.address().port();
        audio.sdp() + &format!("m=application {port} udp MCPTT\r\na=fmtp:MCPTT mc_queueing\r\n")
    };
    let caller_audio = Party::new(4);
    let offered = bench.ng().must(&json!({
        "command": "offer", "call-id": "floor", "from-tag": "caller",
        "sdp": sdp(&caller_audio, &declared),
    }));
    assert!(
        offered["sdp"]
            .as_str()
            .unwrap()
            .contains("a=fmtp:MCPTT mc_queueing\r\n")
    );
    let callee_audio = Party::new(5);
    let answered = bench.ng().must(&json!({
        "command": "answer", "call-id": "floor", "from-tag": "caller", "to-tag": "callee",
        "sdp": sdp(&callee_audio, &callee),
    }));
    let (at_caller, at_callee) = (media_at(&answered, 1), media_at(&offered, 1));
    // An empty datagram opens the NAT, and from then on floor messages find their way back.
    caller.rtp.send_to(&[], at_caller).unwrap();
    assert!(callee.receive().0.is_empty());
    let taken = [0x82, 204, 0, 2, 0, 0, 0, 9, b'M', b'C', b'P', b'T'];
    callee.rtp.send_to(&taken, at_callee).unwrap();
    assert_eq!(caller.receive().0, taken);
    assert!(declared.hears_nothing());
}

#[test]
fn forked_branches_each_have_ports_and_the_one_that_answers_talks() {
    let bench = Bench::start();
    let ng = bench.ng();
    let (caller, first, second) = (Party::new(1), Party::new(2), Party::new(3));
    let offer = |branch: &str| {
        media_of(&ng.must(&json!({
            "command": "offer", "call-id": "fork", "from-tag": "caller", "via-branch": branch,
            "sdp": caller.sdp(),
        })))
    };
    let (at_first, at_second) = (offer("b1"), offer("b2"));
    assert_ne!(at_first, at_second);
    let answer = ng.must(&json!({
        "command": "answer", "call-id": "fork", "from-tag": "caller", "to-tag": "second",
        "via-branch": "b2", "sdp": second.sdp(),
    }));
    let at_caller = media_of(&answer);
    caller.send(at_caller, 1);
    assert_eq!(second.receive().0, caller.packet(1));
    second.send(at_second, 1);
    assert_eq!(caller.receive().0, second.packet(1));
    // The other branch goes, and the call lives.
    ng.must(&json!({
        "command": "delete", "call-id": "fork", "from-tag": "caller", "via-branch": "b1",
        "delete delay": 0,
    }));
    caller.send(at_caller, 2);
    assert_eq!(second.receive().0, caller.packet(2));
    assert!(first.hears_nothing());
}

#[test]
fn a_changed_endpoint_gets_new_ports_and_late_packets_still_arrive() {
    let bench = Bench::start();
    let ng = bench.ng();
    let call = Call::up(&ng, "renewal", &json!({}));
    call.talk(1, 5);
    let moved = Party::new(9);
    let offered = ng.must(&json!({
        "command": "offer", "call-id": "renewal", "from-tag": "caller", "to-tag": "callee",
        "sdp": moved.sdp(),
    }));
    let renewed = media_of(&offered);
    assert_ne!(renewed, call.at_callee, "the endpoint changed: new ports");
    let answered = ng.must(&json!({
        "command": "answer", "call-id": "renewal", "from-tag": "caller", "to-tag": "callee",
        "sdp": call.callee.sdp(),
    }));
    call.callee.send(call.at_callee, 6);
    assert_eq!(
        moved.receive().0,
        call.callee.packet(6),
        "late packets to the old port"
    );
    moved.send(media_of(&answered), 1);
    assert_eq!(call.callee.receive().0, moved.packet(1));
    // Back at the first endpoint, its ports are the first ones.
    let offered = ng.must(&json!({
        "command": "offer", "call-id": "renewal", "from-tag": "caller", "to-tag": "callee",
        "sdp": call.caller.sdp(),
    }));
    assert_eq!(media_of(&offered), call.at_callee);
    // And with port latching they stay whatever comes.
    let offered = ng.must(&json!({
        "command": "offer", "call-id": "renewal", "from-tag": "caller", "to-tag": "callee",
        "flags": ["port latching"], "sdp": Party::new(10).sdp(),
    }));
    assert_eq!(media_of(&offered), call.at_callee);
}

#[test]
fn a_looping_packet_is_stopped_and_counted() {
    let bench = Bench::start();
    let ng = bench.ng();
    let call = Call::up(&ng, "loop", &json!({}));
    for _ in 0..60 {
        call.caller.send(call.at_caller, 7);
    }
    let mut arrived = 0;
    while !call.callee.hears_nothing() {
        arrived += 1;
    }
    assert!(
        (28..=31).contains(&arrived),
        "{arrived} of 60 equal packets arrived"
    );
    let explained = eventually("the loop is counted", || {
        let (_, explained) = bench.http("GET", "/v1/calls/loop/explain", "");
        explained
            .to_string()
            .contains("\"loop\"")
            .then_some(explained)
    });
    assert_eq!(explained["call_id"], "loop");
    // Signalling opens the way again (NG reference 13.3).
    ng.must(&json!({
        "command": "offer", "call-id": "loop", "from-tag": "caller", "to-tag": "callee",
        "sdp": call.caller.sdp(),
    }));
    call.caller.send(call.at_caller, 8);
    assert_eq!(call.callee.receive().0, call.caller.packet(8));
}
