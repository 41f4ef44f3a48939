//! Requests that no relay sends, and anchors that misbehave.

use std::time::Duration;

use homeward::mirror::sip::{Client, Failure, Outcome};
use homeward::wire::sip::{Agent, Hop, parse};
use homeward::wire::time::Timestamp;

use crate::world::{RELAY, World, client, first_line, hop, quiet};

#[test]
fn a_relay_that_never_acknowledges_loses_the_call() {
    let mut world = World::new((42_240, 42_259));
    let answer = world.tell("127.0.0.1:6000", &invite("z9hG4bK1", "c1", "1", SDP));
    assert!(answer[0].starts_with("SIP/2.0 200 OK\r\n"), "{}", answer[0]);
    world.now = world.now + Duration::from_secs(33);
    world.anchor.handle_timeout(world.now);
    let sent: Vec<_> = std::iter::from_fn(|| world.anchor.poll_transmit()).collect();
    assert!(first_line(&sent.last().unwrap().bytes).starts_with("BYE "));
    assert_eq!(world.anchor.counts().open, 0);
}

const SDP: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 9000 RTP/AVP 8\r\n";

fn invite(branch: &str, call_id: &str, cseq: &str, sdp: &str) -> String {
    format!(
        "INVITE sip:anchor@127.0.0.1:5070 SIP/2.0\r\n\
         Via: SIP/2.0/UDP 127.0.0.1:6000;rport;branch={branch}\r\nMax-Forwards: 70\r\n\
         From: <sip:r@q>;tag=f\r\nTo: <sip:anchor@p>\r\nCall-ID: {call_id}\r\n\
         CSeq: {cseq} INVITE\r\nContact: <sip:r@127.0.0.1:6000>\r\n\
         Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}",
        sdp.len()
    )
}

#[test]
fn hostile_requests_change_nothing() {
    let mut world = World::new((42_260, 42_299));
    let good = invite("z9hG4bK1", "c1", "5", SDP);
    // A stranger is not answered at all.
    assert!(world.tell("192.0.2.66:6000", &good).is_empty());
    assert_eq!(world.anchor.counts().strangers, 1);
    let first = world.tell("127.0.0.1:6000", &good);
    let again = world.tell("127.0.0.1:6000", &good);
    assert_eq!(first, again, "a repeated INVITE gets the same answer");
    assert_eq!(world.anchor.counts().open, 1);
    let tag = parse(first[0].as_bytes()).unwrap().to_tag.unwrap();
    let within = |text: &str, method: &str, cseq: &str| {
        text.replace(
            "To: <sip:anchor@p>",
            &format!("To: <sip:anchor@p>;tag={tag}"),
        )
        .replace("INVITE sip", &format!("{method} sip"))
        .replace("5 INVITE", &format!("{cseq} {method}"))
        .replace("z9hG4bK1", &format!("z9hG4bK{method}{cseq}"))
    };
    let code = |answers: &[String]| answers[0].split(' ').nth(1).unwrap().to_owned();
    let ask = |world: &mut World, text: &str| code(&world.tell("127.0.0.1:6000", text));
    world.tell("127.0.0.1:6000", &within(&good, "ACK", "5"));
    assert_eq!(
        ask(&mut world, &within(&good, "BYE", "4")),
        "500",
        "an old CSeq"
    );
    let foreign = within(&good, "BYE", "6").replace("tag=f", "tag=g");
    assert_eq!(ask(&mut world, &foreign), "481", "another's dialog");
    // A re-INVITE that is no good leaves the call as it is.
    let bad = within(&good, "INVITE", "7").replace("m=audio", "n=audio");
    assert_eq!(ask(&mut world, &bad), "488");
    assert_eq!(ask(&mut world, &within(&good, "INFO", "8")), "405");
    assert_eq!(
        ask(&mut world, &invite("z9hG4bKm", "c1", "1", SDP)),
        "482",
        "merged"
    );
    for (change, expected) in [
        (
            ("Content-Type: application/sdp", "Content-Type: text/plain"),
            "415",
        ),
        (("Max-Forwards: 70", "Max-Forwards: 0"), "483"),
        (("Max-Forwards", "Require: 100rel\r\nMax-Forwards"), "420"),
        (("Contact: <sip:r@127.0.0.1:6000>", "X: y"), "400"),
        (("m=audio 9000", "m=audio 0"), "488"),
        (("c=IN IP4 127.0.0.1", "c=IN IP6 2001:db8::9"), "488"),
        (("c=IN IP4 127.0.0.1", "c=IN IP4 224.0.0.9"), "488"),
        (("INVITE", "OPTIONS"), "200"),
        (("INVITE", "BYE"), "481"),
    ] {
        let text = invite(
            &format!("z9hG4bK{expected}{}", change.1.len()),
            "c2",
            "1",
            SDP,
        );
        let text = text.replace(change.0, change.1);
        let length = text.split_once("\r\n\r\n").unwrap().1.len();
        let old = format!("Content-Length: {}", SDP.len());
        let text = text.replace(&old, &format!("Content-Length: {length}"));
        assert_eq!(ask(&mut world, &text), expected, "{change:?}");
    }
    let unreadable = world.anchor.counts().unreadable;
    for text in [
        "",
        "\r\n\r\n",
        "INVITE",
        &good[..200],
        "\u{0}\u{1}",
        &good.replace("CSeq: 5 INVITE", "CSeq: 5 BYE"),
    ] {
        assert!(world.tell("127.0.0.1:6000", text).is_empty(), "{text:?}");
    }
    assert_eq!(world.anchor.counts().unreadable, unreadable + 6);
    assert_eq!(world.anchor.counts().open, 1, "the call is still there");
    assert_eq!(ask(&mut world, &within(&good, "BYE", "20")), "200");
    assert_eq!(ask(&mut world, &within(&good, "BYE", "21")), "481", "twice");
    assert_eq!(world.anchor.counts().open, 0);
}

/// Answers the client's INVITE with a text, and gives what comes of it.
fn answer(client: &mut Client, now: Timestamp, code: &str, sdp: &str) -> Vec<String> {
    let sent = client.poll_transmit().unwrap();
    let message = parse(&sent.bytes).unwrap();
    let text = format!(
        "SIP/2.0 {code}\r\nVia: {}\r\nFrom: {}\r\nTo: {};tag=t\r\nCall-ID: {}\r\nCSeq: {} INVITE\r\n\
         Contact: <sip:x@127.0.0.1:5070>\r\nContent-Length: {}\r\n\r\n{sdp}",
        message.vias[0],
        message.from,
        message.to,
        message.call_id,
        message.cseq,
        sdp.len()
    );
    client.receive(hop(), text.as_bytes(), now);
    let sent = std::iter::from_fn(|| client.poll_transmit());
    sent.map(|sent| first_line(&sent.bytes)).collect()
}

#[test]
fn anchors_that_misbehave_fail_with_the_reason() {
    let now = Timestamp::from_secs(1_000);
    let mut client = client(10);
    for (code, sdp, failure, words, follows) in [
        (
            "486 Busy Here",
            "",
            Failure::Refused,
            "486 Busy Here",
            &["ACK"][..],
        ),
        ("302 Moved", "", Failure::Refused, "302", &["ACK"]),
        ("200 OK", "", Failure::BadAnswer, "SDP", &["ACK", "BYE"]),
        (
            "200 OK",
            "garbage\u{1}",
            Failure::BadAnswer,
            "SDP",
            &["ACK", "BYE"],
        ),
        (
            "200 OK",
            "v=0\r\nm=audio 5 RTP/AVP 0\r\nc=IN IP6 ::1\r\n",
            Failure::BadAnswer,
            "family",
            &["ACK", "BYE"],
        ),
    ] {
        client.open(1, hop(), quiet(), now);
        let lines = answer(&mut client, now, code, sdp);
        let Some(Outcome::Failed {
            home: 1,
            failure: found,
            reason,
        }) = client.poll_outcome()
        else {
            panic!("{code}")
        };
        assert_eq!(found, failure, "{reason}");
        assert!(reason.contains(words), "{reason}");
        let words: Vec<&str> = lines
            .iter()
            .map(|line| line.split(' ').next().unwrap())
            .collect();
        assert_eq!(words, follows, "{code} {sdp}");
    }
    // One that never answers, and one that only rings.
    for (ringing, after, follows) in [(false, 10, "INVITE"), (true, 10, "CANCEL")] {
        let now = Timestamp::from_secs(if ringing { 3_000 } else { 2_000 });
        client.open(1, hop(), quiet(), now);
        if ringing {
            answer(&mut client, now, "180 Ringing", "");
        }
        client.handle_timeout(now + Duration::from_secs(after));
        let Some(Outcome::Failed { failure, .. }) = client.poll_outcome() else {
            panic!("ringing {ringing}")
        };
        assert_eq!(failure, Failure::NoAnswer);
        let sent: Vec<_> = std::iter::from_fn(|| client.poll_transmit()).collect();
        assert!(first_line(&sent.last().unwrap().bytes).starts_with(follows));
        client.handle_timeout(now + Duration::from_secs(300));
        assert!(client.is_idle());
    }
    // Strangers cannot answer for the anchor.
    let forged = Hop {
        local: RELAY,
        peer: "192.0.2.66:5070".parse().unwrap(),
    };
    client.receive(forged, b"SIP/2.0 200 OK\r\n\r\n", now);
    assert_eq!(client.counts().strangers, 1);
}

#[test]
fn an_anchor_that_answers_and_dies_is_noticed_with_the_next_change() {
    let now = Timestamp::from_secs(1_000);
    let mut client = client(10);
    client.open(1, hop(), quiet(), now);
    let good = "v=0\r\nc=IN IP4 127.0.0.1\r\nm=audio 5000 RTP/AVP 8\r\n";
    assert_eq!(answer(&mut client, now, "200 OK", good).len(), 1);
    let up = client.poll_outcome().unwrap();
    let Outcome::Answered { lanes, .. } = &up else {
        panic!("{up:?}")
    };
    assert_eq!(lanes[0].1.rtp.port(), 5_000);
    // A refused change leaves the leg as it was.
    client.update(1, quiet(), now);
    assert_eq!(
        answer(&mut client, now, "488 Not Acceptable Here", "").len(),
        1
    );
    assert_eq!(client.poll_outcome(), Some(up));
    // Glare: asked again later.
    client.update(1, quiet(), now);
    answer(&mut client, now, "491 Request Pending", "");
    assert!(client.poll_outcome().is_none());
    client.handle_timeout(now + Duration::from_secs(3));
    assert_eq!(answer(&mut client, now, "200 OK", good).len(), 1);
    assert!(matches!(
        client.poll_outcome(),
        Some(Outcome::Answered { .. })
    ));
    // Dead, or restarted without a memory.
    client.update(1, quiet(), now);
    answer(&mut client, now, "481 Gone", "");
    let Some(Outcome::Failed { failure, .. }) = client.poll_outcome() else {
        panic!("481")
    };
    assert_eq!(failure, Failure::Lost);
    assert!(client.is_empty());
}
