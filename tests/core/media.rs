//! Medias that are out of the ordinary: on hold, told to be elsewhere, passed by, and MCVideo's
//! transmission control.

use std::collections::BTreeMap;

use homeward::migration::context::CallContext;
use homeward::migration::identity::Service;
use homeward::session::command::Command;
use homeward::session::ids::StreamId;
use homeward::wire::block::{Direction, MediaKind, StreamKind};

use crate::harness::{Rig, Sdp, audio, context, exchange, mcptt, settings};

/// Alice has migrated and calls Bob with these SDPs.
fn rig(caller: &str, callee: &str) -> (Rig, Sdp, Sdp) {
    let mut rig = Rig::new(settings());
    rig.migrate("alice", "primary.example");
    let mut offer = exchange("c1", "a", None, caller);
    offer.context = context("alice", "bob");
    let to_b = rig.offer(offer).unwrap();
    let to_a = rig.answer(exchange("c1", "a", Some("b"), callee)).unwrap();
    (rig, to_b, to_a)
}

fn copied(rig: &Rig) -> BTreeMap<StreamId, Direction> {
    let streams = rig.mirrors.values().flat_map(|tape| &tape.streams);
    streams
        .map(|(stream, info)| (*stream, info.direction))
        .collect()
}

fn with(sdp: &str, attribute: &str) -> String {
    format!("{sdp}a={attribute}\r\n")
}

#[test]
fn hold_by_direction_leaves_the_mirror_alone() {
    let (caller, callee) = (audio("192.0.2.1", 4000), audio("192.0.2.2", 5000));
    let (mut rig, to_b, to_a) = rig(&caller, &callee);
    let before = copied(&rig);
    assert_eq!(before.len(), 4);
    let holds = [
        ("inactive", "inactive"),
        ("sendonly", "recvonly"),
        ("recvonly", "sendonly"),
        ("sendrecv", "sendrecv"),
    ];
    for (offered, answered) in holds {
        for (from, to, first, second) in
            [("a", "b", &caller, &callee), ("b", "a", &callee, &caller)]
        {
            rig.offer(exchange("c1", from, Some(to), &with(first, offered)))
                .unwrap();
            assert!(rig.log.iter().all(harmless), "{:?}", rig.log);
            rig.answer(exchange("c1", from, Some(to), &with(second, answered)))
                .unwrap();
            assert!(rig.log.iter().all(harmless), "{:?}", rig.log);
            assert_eq!(copied(&rig), before, "{offered} from {from}");
        }
    }
    // What is sent on hold all the same (a tone, comfort noise) is carried, and so it is copied.
    for local in [to_a.rtp[0], to_b.rtp[0]] {
        assert!(rig.route(local, false).is_some());
    }
}

/// Nothing that could make a gap: no socket closes, no copy stops.
fn harmless(command: &Command) -> bool {
    match command {
        Command::Configure { .. } | Command::MirrorUpdate { .. } | Command::MirrorAttach { .. } => {
            true
        }
        Command::Notice(_) => true,
        Command::HomeOpen { .. } | Command::HomeUpdate { .. } | Command::HomeProbe { .. } => true,
        Command::Close { .. }
        | Command::HomeClose { .. }
        | Command::MirrorOpen { .. }
        | Command::MirrorDetach { .. }
        | Command::MirrorClose { .. } => false,
    }
}

#[test]
fn a_rejected_media_leaves_the_mirror_and_its_return_comes_back() {
    let (caller, callee) = (mcptt("192.0.2.1", 4000), mcptt("192.0.2.2", 5000));
    let (mut rig, _, _) = rig(&caller, &callee);
    assert_eq!(copied(&rig).len(), 6);
    let without = caller.replace("m=application 4002", "m=application 0");
    rig.offer(exchange("c1", "a", Some("b"), &without)).unwrap();
    assert_eq!(copied(&rig).len(), 4);
    rig.offer(exchange("c1", "a", Some("b"), &caller)).unwrap();
    rig.answer(exchange("c1", "a", Some("b"), &callee)).unwrap();
    assert_eq!(copied(&rig).len(), 6);
}

#[test]
fn media_address_is_written_and_nothing_else_changes() {
    let mut rig = Rig::new(settings());
    let mut offer = exchange("c1", "a", None, &audio("192.0.2.1", 4000));
    offer.options.media_address = Some("198.51.100.9".parse().unwrap());
    let to_b = rig.offer(offer).unwrap();
    assert_eq!(to_b.rtp[0].ip().to_string(), "198.51.100.9");
    let socket = rig
        .ground
        .bound
        .values()
        .find(|b| b.port() == to_b.rtp[0].port());
    let socket = *socket.expect("the port is one of ours");
    assert!(socket.ip().is_loopback(), "sockets are where they were");
    // It counts for the message that says it; the answer is written with our own address.
    let answer = exchange("c1", "a", Some("b"), &audio("192.0.2.2", 5000));
    let to_a = rig.answer(answer).unwrap();
    assert!(to_a.rtp[0].ip().is_loopback());
    let (_, to) = rig.route(socket, false).unwrap();
    assert_eq!(to, "192.0.2.1:4000".parse().unwrap());
}

#[test]
fn passthrough_takes_no_port_and_mirrors_nothing() {
    let mut rig = Rig::new(settings());
    rig.migrate("alice", "primary.example");
    let sdp = audio("192.0.2.1", 4000);
    let mut offer = exchange("c1", "a", None, &sdp);
    offer.options.passthrough = true;
    offer.context = context("alice", "bob");
    let to_b = rig.offer(offer).unwrap();
    assert_eq!(to_b.rtp, ["192.0.2.1:4000".parse().unwrap()]);
    // The answer goes by as well, though nobody says so again.
    let answer = exchange("c1", "a", Some("b"), &audio("192.0.2.2", 5000));
    let to_a = rig.answer(answer).unwrap();
    assert_eq!(to_a.rtp, ["192.0.2.2:5000".parse().unwrap()]);
    assert!(rig.ground.bound.is_empty() && copied(&rig).is_empty());
    // Without the flag the relay is in the middle again, and the copies begin.
    rig.offer(exchange("c1", "a", Some("b"), &sdp)).unwrap();
    rig.answer(exchange("c1", "a", Some("b"), &audio("192.0.2.2", 5000)))
        .unwrap();
    assert_eq!(copied(&rig).len(), 4);
    let mut again = exchange("c1", "a", Some("b"), &sdp);
    again.options.passthrough = true;
    rig.offer(again).unwrap();
    assert!(rig.ground.bound.is_empty() && copied(&rig).is_empty());
}

/// Speech, video and transmission control (TS 24.581 4.3.3.1).
fn mcvideo(address: &str, port: u16) -> String {
    format!(
        "{}m=video {} RTP/AVP 97\r\na=rtpmap:97 H264/90000\r\n\
         m=application {} udp MCVideo\r\na=fmtp:MCVideo mc_queueing\r\n",
        audio(address, port),
        port + 2,
        port + 4
    )
}

fn mcvideo_context() -> CallContext {
    CallContext {
        service: Some(Service::Mcvideo),
        ..context("alice", "bob")
    }
}

#[test]
fn mcvideo_with_its_transmission_control_goes_home() {
    let mut rig = Rig::new(settings());
    rig.migrate_for(Service::Mcvideo, "alice", "primary.example");
    rig.agreements[0].services = vec![Service::Mcvideo];
    rig.agreements[0].media = vec![MediaKind::Audio, MediaKind::Video, MediaKind::Floor];
    let mut offer = exchange("c1", "a", None, &mcvideo("192.0.2.1", 4000));
    offer.context = mcvideo_context();
    let to_b = rig.offer(offer).unwrap();
    let answer = exchange("c1", "a", Some("b"), &mcvideo("192.0.2.2", 5000));
    let to_a = rig.answer(answer).unwrap();
    assert!(to_b.text.contains("udp MCVideo\r\n"), "{}", to_b.text);
    assert!(to_b.text.contains("a=fmtp:MCVideo mc_queueing\r\n"));
    let tape = rig.mirrors.values().next().unwrap();
    assert_eq!(tape.info.service.as_deref(), Some("mcvideo"));
    let count = |media, kind| {
        let of =
            |info: &&homeward::wire::block::StreamInfo| (info.media, info.kind) == (media, kind);
        tape.streams.values().filter(of).count()
    };
    for media in [MediaKind::Audio, MediaKind::Video] {
        assert_eq!(count(media, StreamKind::Rtp), 2);
        assert_eq!(count(media, StreamKind::Rtcp), 2);
    }
    assert_eq!(count(MediaKind::Floor, StreamKind::Datagram), 2);
    assert_eq!(tape.streams.len(), 10);
    // Control messages reach the other side's control port.
    let (_, to) = rig.route(to_a.rtp[2], false).unwrap();
    assert_eq!(to, "192.0.2.2:5004".parse().unwrap());
    assert_eq!(
        rig.flows[&rig.stream_at(to_a.rtp[1]).unwrap()].clock_rate,
        90_000
    );
}

#[test]
fn kinds_that_the_agreement_leaves_out_stay_here() {
    let mut rig = Rig::new(settings());
    rig.migrate_for(Service::Mcvideo, "alice", "primary.example");
    rig.agreements[0].services = vec![Service::Mcvideo];
    rig.agreements[0].media = vec![MediaKind::Floor];
    let mut offer = exchange("c1", "a", None, &mcvideo("192.0.2.1", 4000));
    offer.context = mcvideo_context();
    rig.offer(offer).unwrap();
    let answer = exchange("c1", "a", Some("b"), &mcvideo("192.0.2.2", 5000));
    rig.answer(answer).unwrap();
    let tape = rig.mirrors.values().next().unwrap();
    let kinds: Vec<MediaKind> = tape.streams.values().map(|info| info.media).collect();
    assert_eq!(kinds, [MediaKind::Floor; 2]);
}
