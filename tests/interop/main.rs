//! Real programs, no stand-ins: a stock Kamailio routes calls between two SIPp agents that play
//! real speech, and drives the relay over NG. tshark and sox judge what was recorded.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a helper of a test fails its test; real programs live in real time"
)]

#[path = "../common/skip.rs"]
mod skip;

mod anchor;
mod http;
mod party;
mod ports;
mod process;
mod recording;
mod site;
mod speech;

use std::sync::OnceLock;
use std::time::Duration;

use crate::party::{assert_heard, packets};
use crate::process::wait_for;
use crate::recording::Stream;
use crate::site::{Daemon, Plan, Site};
use crate::speech::{Speech, decode, likeness};

const PLAN: Plan = Plan {
    daemon: Daemon::Homeward,
    caller: "alice",
    bridged: false,
    hold: false,
};

#[test]
fn a_migrated_caller_is_heard_and_recorded() {
    let name = "a_migrated_caller_is_heard_and_recorded";
    if can_run(name, PLAN) {
        let site = Site::start(PLAN);
        migrate_alice(&site);
        let said = talk(&site);
        assert_recorded(&site, &said);
        site.close();
    }
}

#[test]
fn a_call_between_ipv4_and_ipv6_is_heard_and_recorded() {
    let name = "a_call_between_ipv4_and_ipv6_is_heard_and_recorded";
    let plan = Plan {
        bridged: true,
        ..PLAN
    };
    if can_run(name, plan) {
        let site = Site::start(plan);
        migrate_alice(&site);
        let said = talk(&site);
        assert_recorded(&site, &said);
        site.close();
    }
}

#[test]
fn a_call_that_is_held_and_resumed_is_one_whole_recording() {
    let name = "a_call_that_is_held_and_resumed_is_one_whole_recording";
    let plan = Plan { hold: true, ..PLAN };
    if can_run(name, plan) {
        let site = Site::start(plan);
        migrate_alice(&site);
        let said = talk_with_hold(&site);
        assert_recorded(&site, &said);
        site.close();
    }
}

#[test]
fn a_caller_who_has_not_migrated_is_heard_and_not_recorded() {
    let name = "a_caller_who_has_not_migrated_is_heard_and_not_recorded";
    let plan = Plan {
        caller: "carol",
        ..PLAN
    };
    if can_run(name, plan) {
        let site = Site::start(plan);
        migrate_alice(&site);
        let path = format!("/v1/calls/{}/explain", site.call_id());
        let mut explained = String::new();
        let said = said();
        let heard = site.call(&[&said[0].1], &[&said[1].1], |site| {
            explained = wait_for("the call", Duration::from_secs(10), || {
                let (status, body) = site.http("GET", &path, "");
                (status == 200 && body.to_string().contains("bob")).then(|| body.to_string())
            });
        });
        assert_both_heard(&site, &heard, &said);
        assert!(explained.contains("not-migrated"), "{explained}");
        assert!(
            explained.contains("sip:carol@partner.example"),
            "{explained}"
        );
        // A recording would be closed by now: those of other tests are, after the same time.
        std::thread::sleep(Duration::from_secs(4));
        let found = site.recordings();
        assert!(
            found.is_empty(),
            "recorded although not migrated: {found:?}"
        );
    }
}

/// Shows that proxy, agents and this test do their part, whatever the relay does.
#[test]
fn the_same_call_passes_through_rtpengine() {
    let name = "the_same_call_passes_through_rtpengine";
    let plan = Plan {
        daemon: Daemon::Rtpengine,
        bridged: ports::has_ipv6(),
        ..PLAN
    };
    if can_run(name, plan) {
        let site = Site::start(plan);
        talk(&site);
        site.close();
    }
}

/// The same for hold and resume.
#[test]
fn a_held_call_passes_through_rtpengine() {
    let name = "a_held_call_passes_through_rtpengine";
    let plan = Plan {
        daemon: Daemon::Rtpengine,
        hold: true,
        ..PLAN
    };
    if can_run(name, plan) {
        let site = Site::start(plan);
        talk_with_hold(&site);
        site.close();
    }
}

#[test]
fn the_relay_takes_the_configuration() {
    let text = site::homeward_config(ports::Ports::find());
    let checked = homeward::config::check(&text);
    assert!(checked.is_ok(), "{checked:#?}");
}

/// Shows that the way recordings are judged here tells a whole one from one that lacks a packet.
#[test]
fn tshark_tells_whole_recordings_from_others() {
    let name = "tshark_tells_whole_recordings_from_others";
    if !skip::programs(name, &["tshark", "espeak-ng", "sox"]) {
        return;
    }
    let dir = tempfile::TempDir::new().unwrap();
    let said = said();
    let [whole, cut] = ["whole.pcapng", "cut.pcapng"].map(|name| dir.path().join(name));
    recording::write(&whole, &[&said[0].1, &said[1].1]);
    let mut less = said[1].1.clone();
    less.remove(40);
    recording::write(&cut, &[&said[0].1, &less]);
    let streams = recording::read(&whole);
    assert_eq!(streams.len(), 2);
    assert_stream(&streams[0], &said[0].1);
    assert_stream(&streams[1], &said[1].1);
    let streams = recording::read(&cut);
    assert_eq!(
        (streams[1].packets, streams[1].lost),
        (said[1].1.len() - 1, 1)
    );
}

#[test]
fn likeness_tells_speeches_apart() {
    if skip::programs("likeness_tells_speeches_apart", &["espeak-ng", "sox"]) {
        let [(alice, _), (bob, _)] = said();
        let dir = tempfile::TempDir::new().unwrap();
        let decoded = decode(&alice.coded, dir.path());
        assert!(likeness(&alice.samples, &decoded) > 0.95);
        assert!(likeness(&alice.samples, &decoded[1234..]) > 0.95);
        assert!(likeness(&alice.samples, &bob.samples) < 0.5);
    }
}

fn can_run(name: &str, plan: Plan) -> bool {
    let daemon = match plan.daemon {
        Daemon::Homeward => "tshark",
        Daemon::Rtpengine => "rtpengine",
    };
    if plan.bridged && !ports::has_ipv6() {
        skip::skip(name, "the machine has no IPv6 loopback");
        return false;
    }
    // SIPp plays captures through a raw socket.
    skip::root(name) && skip::programs(name, &["kamailio", "sipp", "espeak-ng", "sox", daemon])
}

fn migrate_alice(site: &Site) {
    let record = serde_json::json!({
        "service": "mcptt",
        "primary_id": "sip:alice@primary.example",
        "partner_id": "sip:alice@partner.example",
        "primary_system": "primary.example",
    });
    let (status, body) = site.http("POST", "/v1/migrations", &record.to_string());
    assert!((200..300).contains(&status), "{status} {body}");
}

/// A speech and its packets.
type Said = (Speech, Vec<Vec<u8>>);

const SSRC: [u32; 2] = [0xA11C_E001, 0xB0B0_0002];

/// What the caller and the callee say; made once, since synthesis takes its time.
fn said() -> [Said; 2] {
    static SPEECHES: OnceLock<[Speech; 2]> = OnceLock::new();
    let [alice, bob] = SPEECHES.get_or_init(speeches).clone();
    let packets = [packets(&alice, SSRC[0], &[]), packets(&bob, SSRC[1], &[])];
    let [of_alice, of_bob] = packets;
    [(alice, of_alice), (bob, of_bob)]
}

fn speeches() -> [Speech; 2] {
    const ALICE: &str = "Control, this is unit seven. We have crossed the border with two ambulances, \
        and ask for the landing site at the northern hospital.";
    const BOB: &str = "Unit seven, good evening. The helicopter waits behind the fire station; \
        take the second exit and follow the blue lights from there.";
    [
        Speech::of(ALICE, "en-gb", 4),
        Speech::of(BOB, "en-us+f3", 4),
    ]
}

/// A call in which both talk once.
fn talk(site: &Site) -> [Said; 2] {
    let said = said();
    let heard = site.call(&[&said[0].1], &[&said[1].1], |_| {});
    assert_both_heard(site, &heard, &said);
    said
}

/// A call that the caller holds after a while: it goes on playing, and the callee keeps silent
/// until the call is resumed.
fn talk_with_hold(site: &Site) -> [Said; 2] {
    let [(alice, _), (bob, _)] = said();
    let (first, second) = (70, 130);
    let caller = packets(&alice, SSRC[0], &[(first, 50), (second, 50)]);
    let callee = packets(&bob, SSRC[1], &[(first, 200)]);
    let said = [(alice, caller), (bob, callee)];
    let caller = [
        &said[0].1[..first],
        &said[0].1[first..second],
        &said[0].1[second..],
    ];
    let callee = [&said[1].1[..first], &said[1].1[first..]];
    let heard = site.call(&caller, &callee, |_| {});
    assert_both_heard(site, &heard, &said);
    said
}

fn assert_both_heard(site: &Site, heard: &[Vec<party::Heard>; 2], said: &[Said; 2]) {
    let (first, last) = site.ports().media();
    assert_heard("the callee", &heard[1], &said[0].1, first..last + 1);
    assert_heard("the caller", &heard[0], &said[1].1, first..last + 1);
}

/// One recording holds every packet that the two have said, and can be listened to.
fn assert_recorded(site: &Site, said: &[Said; 2]) {
    let file = wait_for("the recording", Duration::from_secs(15), || {
        let found = site.recordings();
        assert!(
            found.len() < 2,
            "one call, and several recordings: {found:?}"
        );
        found.into_iter().next()
    });
    let streams = recording::read(&file);
    let ssrcs: Vec<u32> = streams.iter().map(|stream| stream.ssrc).collect();
    assert_eq!(ssrcs, SSRC, "SSRCs in the recording");
    let dir = tempfile::TempDir::new().unwrap();
    for (number, stream) in streams.iter().enumerate() {
        let (speech, packets) = &said[number];
        assert_stream(stream, packets);
        let heard = decode(&stream.coded(), dir.path());
        let own = likeness(&speech.samples, &heard);
        let other = likeness(&said[1 - number].0.samples, &heard);
        assert!(
            own > 0.8 && other < 0.5,
            "likeness {own}, to the other's speech {other}"
        );
    }
}

fn assert_stream(stream: &Stream, said: &[Vec<u8>]) {
    let ssrc = stream.ssrc;
    assert_eq!(
        (stream.packets, stream.lost),
        (said.len(), 0),
        "packets, lost of {ssrc:#x}"
    );
    let said = said.iter().map(|packet| {
        let sequence = u16::from_be_bytes([packet[2], packet[3]]);
        (sequence, packet[12..].to_vec())
    });
    assert!(
        stream.contents.iter().cloned().eq(said),
        "contents of {ssrc:#x} differ"
    );
}
