//! Calls that go through, and such that end.

use std::net::UdpSocket;
use std::time::Duration;

use homeward::logger::anchor::Failure as AnchorFailure;
use homeward::mirror::sip::{Failure, Offer, Outcome};
use homeward::wire::block::MediaKind;

use homeward::wire::sip::Agent;

use crate::world::{World, client, comes_back, hop, lane, offer, quiet, rtp, socket, until};

#[test]
fn media_goes_through_the_anchor_and_is_recorded() {
    let mut world = World::new((42_000, 42_099));
    let (audio, control, floor, more) = (socket(), socket(), socket(), socket());
    let at = |socket: &UdpSocket| socket.local_addr().unwrap();
    let first = lane("a", at(&audio), Some(at(&control)), MediaKind::Audio);
    let second = lane("f", at(&floor), None, MediaKind::Floor);
    world.open(1, offer(vec![first.clone(), second]));
    world.pump();
    let lanes = world.answered();
    let labels: Vec<&str> = lanes.iter().map(|(label, _)| label.as_str()).collect();
    assert_eq!(labels, ["a", "f"]);
    let (a, f) = (lanes[0].1, lanes[1].1);
    assert!((42_000..=42_099).contains(&a.rtp.port()) && f.rtcp.is_none());
    for sequence in 0..20 {
        comes_back(&audio, a.rtp, &rtp(sequence));
    }
    comes_back(&control, a.rtcp.unwrap(), b"\x80\xc8\0\x01abcd");
    comes_back(&floor, f.rtp, b"floor request");

    // The floor goes, another audio comes in its place; the first one does not notice.
    let third = lane("b", at(&more), None, MediaKind::Audio);
    world.client.update(1, offer(vec![first, third]), world.now);
    world.pump();
    let lanes = world.answered();
    assert_eq!(lanes[0], ("a".to_owned(), a), "it keeps its ports");
    assert_eq!(lanes[1].0, "b");
    comes_back(&audio, a.rtp, &rtp(20));
    comes_back(&more, lanes[1].1.rtp, &rtp(1));

    // What comes from elsewhere is neither returned nor recorded.
    let stranger = socket();
    stranger.send_to(&rtp(9), a.rtp).unwrap();
    until("the stranger is counted", || {
        world.service.stats().elsewhere == 1
    });

    world.client.close(1, world.now);
    world.pump();
    assert_eq!(world.anchor.counts().open, 0);
    let recording = world.recording();
    assert_eq!(recording.packets, 24, "20 + 1 + 1 audio, RTCP, floor");
    assert_eq!(recording.info.call_id, "call-1");
    assert_eq!(recording.info.parties[0].tag, "alice");
    assert!(recording.info.emergency);
    let bytes = std::fs::read(&recording.path).unwrap();
    let text = String::from_utf8_lossy(&bytes);
    assert!(
        text.contains("to-user") || text.contains("ToUser"),
        "direction"
    );
    assert!(text.contains("PCMA"), "codec");
    assert_eq!(world.service.stats().returned, 24);
    assert!(world.client.is_empty());
    world.service.stop();
}

#[test]
fn every_message_may_be_lost_once() {
    let mut world = World::new((42_100, 42_119));
    world.lossy = true;
    world.open(1, quiet());
    world.pass(Duration::from_secs(5));
    assert_eq!(world.answered().len(), 1);
    let count = |world: &World, word: &str| {
        world
            .log
            .iter()
            .filter(|line| line.starts_with(word))
            .count()
    };
    assert!(
        count(&world, "SIP/2.0 200") >= 2,
        "200 came again for want of its ACK"
    );
    assert_eq!(world.anchor.counts().taken, 1);
    world.client.update(1, quiet(), world.now);
    world.pass(Duration::from_secs(5));
    assert_eq!(world.answered().len(), 1);
    world.client.close(1, world.now);
    world.pass(Duration::from_secs(5));
    assert!(count(&world, "BYE") >= 1);
    assert_eq!(world.anchor.counts().open, 0);
    world.pass(Duration::from_secs(120));
    assert!(world.client.is_idle() && world.anchor.is_idle());
    assert_eq!(world.client.poll_timeout(), None, "nothing lingers");
}

#[test]
fn a_leg_that_is_closed_before_its_answer_leaves_nothing_at_the_anchor() {
    let mut world = World::new((42_120, 42_139));
    world.open(1, quiet());
    // The CANCEL races the 200: the INVITE is on its way when the leg is closed.
    world.client.close(1, world.now);
    world.pass(Duration::from_secs(60));
    assert!(
        world.client.poll_outcome().is_none(),
        "nobody asks any more"
    );
    assert_eq!(world.anchor.counts().taken, 1);
    assert_eq!(world.anchor.counts().open, 0);
    assert!(world.log.iter().any(|line| line.starts_with("ACK ")));
    assert!(world.log.iter().any(|line| line.starts_with("BYE ")));
    assert!(world.client.is_idle());
}

#[test]
fn cycles_are_refused() {
    let mut world = World::new((42_140, 42_159));
    for path in [&["q", "r", "q"][..], &["q", "primary.example"]] {
        let path = path.iter().map(|id| (*id).to_owned()).collect();
        world.open(1, Offer { path, ..quiet() });
        world.pump();
        let (failure, reason) = world.failed();
        assert_eq!(failure, Failure::Refused);
        assert!(reason.contains("482 Loop Detected"), "{reason}");
    }
    assert_eq!(
        world.anchor.counts().failures[AnchorFailure::Loop as usize],
        2
    );
    assert_eq!(world.anchor.counts().open, 0);
}

#[test]
fn the_anchor_takes_so_many_calls_and_no_more() {
    let mut world = World::new((42_160, 42_199));
    for home in 0..4 {
        world.open(home, quiet());
    }
    world.pump();
    for _ in 0..3 {
        world.answered();
    }
    let (failure, reason) = world.failed();
    assert_eq!(failure, Failure::Refused);
    assert!(reason.contains("503"), "{reason}");
    let mut small = client(1);
    small.open(1, hop(), quiet(), world.now);
    small.open(2, hop(), quiet(), world.now);
    let Some(Outcome::Failed {
        home: 2, failure, ..
    }) = small.poll_outcome()
    else {
        panic!("the client is bounded, too")
    };
    assert_eq!(failure, Failure::Full);
}

#[test]
fn a_call_without_media_is_ended_and_the_relay_told() {
    let mut world = World::with((42_200, 42_219), |of| {
        of.media_timeout = Duration::from_secs(30)
    });
    world.open(1, quiet());
    world.pass(Duration::from_secs(29));
    world.answered();
    assert!(world.client.poll_outcome().is_none());
    world.pass(Duration::from_secs(3));
    assert_eq!(world.failed().0, Failure::Ended);
    assert_eq!(
        world.anchor.counts().failures[AnchorFailure::Silent as usize],
        1
    );
    assert_eq!(world.anchor.counts().open, 0);
}

#[test]
fn an_anchor_that_stops_ends_its_calls_with_bye() {
    let mut world = World::new((42_220, 42_239));
    world.open(1, quiet());
    world.pump();
    world.answered();
    world.anchor.shutdown(world.now);
    assert!(!world.anchor.is_idle(), "the BYE is to be confirmed");
    world.pump();
    assert!(world.anchor.is_idle());
    assert_eq!(world.failed().0, Failure::Ended);
}
