//! Home legs by SIP: the relay's client against the reference media anchor, message by message in
//! virtual time, with media over real sockets; and the client against anchors that misbehave.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a helper of a test fails its test; sockets live in real time"
)]

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use homeward::logger::anchor::{self, Anchor, Failure as AnchorFailure};
use homeward::logger::service::{Recording, Service, Settings as LoggerSettings};
use homeward::mirror::sip::{Client, Failure, Lane, Offer, Outcome, Remote, Settings};
use homeward::sys::clock::Clock;
use homeward::wire::block::{
    CallInfo, Codec, Direction, MediaKind, PartyInfo, StreamInfo, StreamKind,
};
use homeward::wire::network::Network;
use homeward::wire::sip::{Agent, Hop, Timing, parse};
use homeward::wire::time::Timestamp;
use tempfile::TempDir;

const RELAY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5_080);
const ANCHOR: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5_070);

/// A client, an anchor, and the network between them.
struct World {
    client: Client,
    anchor: Anchor,
    service: Service,
    now: Timestamp,
    /// How often each message is still lost on its first ways, by its first word.
    lossy: bool,
    seen: Vec<Vec<u8>>,
    /// First lines of all that was delivered.
    log: Vec<String>,
    _dir: TempDir,
}

fn client(max_legs: usize) -> Client {
    Client::new(Settings {
        system: "partner.example".to_owned(),
        anchors: vec![ANCHOR.ip()],
        max_legs,
        answer_timeout: Duration::from_secs(10),
        timing: Timing::default(),
        secret: [1; 32],
    })
}

impl World {
    fn new(ports: (u16, u16)) -> Self {
        Self::with(ports, |_| {})
    }

    fn with(ports: (u16, u16), change: impl FnOnce(&mut anchor::Settings)) -> Self {
        let dir = TempDir::new().unwrap();
        let clock = Clock::start();
        let service = Service::start(
            LoggerSettings {
                dir: dir.path().join("archive"),
                bind: Ipv4Addr::LOCALHOST.into(),
                ports: (0, 0),
                relays: vec![Ipv4Addr::LOCALHOST.into()],
                bind_all: false,
                close_grace: Duration::from_millis(50),
                block_bytes: 65_536,
                block_age: Duration::from_millis(20),
                segment_bytes: 1 << 24,
            },
            clock,
        )
        .unwrap();
        let mut settings = anchor::Settings {
            system: "primary.example".to_owned(),
            identities: vec!["primary.example".to_owned()],
            relays: Network::loopback().into(),
            bind: vec![Ipv4Addr::LOCALHOST.into()],
            ports,
            max_calls: 3,
            media_timeout: Duration::from_secs(600),
            timing: Timing::default(),
            secret: [2; 32],
        };
        change(&mut settings);
        Self {
            client: client(10),
            anchor: Anchor::new(settings, service.handle()),
            service,
            now: clock.now(),
            lossy: false,
            seen: Vec::new(),
            log: Vec::new(),
            _dir: dir,
        }
    }

    /// Carries messages until nobody has anything to say.
    fn pump(&mut self) {
        loop {
            let (there, back) = (self.client.poll_transmit(), self.anchor.poll_transmit());
            if there.is_none() && back.is_none() {
                return;
            }
            for transmit in [there, back].into_iter().flatten() {
                let bytes = transmit.bytes.to_vec();
                if self.lossy && !self.seen.contains(&bytes) {
                    self.seen.push(bytes);
                    continue;
                }
                let hop = Hop {
                    local: transmit.hop.peer,
                    peer: transmit.hop.local,
                };
                self.log.push(first_line(&bytes));
                if hop.local == ANCHOR {
                    self.anchor.receive(hop, &bytes, self.now);
                } else {
                    assert_eq!(hop.local, RELAY);
                    self.client.receive(hop, &bytes, self.now);
                }
            }
        }
    }

    /// Lets time pass, timer by timer.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            self.pump();
            let timers = [self.client.poll_timeout(), self.anchor.poll_timeout()];
            let next = timers.into_iter().flatten().min().unwrap_or(end).min(end);
            self.now = next.max(self.now);
            self.client.handle_timeout(self.now);
            self.anchor.handle_timeout(self.now);
            self.pump();
            if self.now >= end {
                return;
            }
            self.now = self.now + Duration::from_millis(1);
        }
    }

    fn open(&mut self, home: u64, offer: Offer) {
        self.client.open(home, hop(), offer, self.now);
    }

    fn answered(&mut self) -> Vec<(String, Remote)> {
        match self.client.poll_outcome() {
            Some(Outcome::Answered { lanes, .. }) => lanes,
            other => panic!("{other:?}\n{:#?}", self.log),
        }
    }

    fn failed(&mut self) -> (Failure, String) {
        match self.client.poll_outcome() {
            Some(Outcome::Failed {
                failure, reason, ..
            }) => (failure, reason),
            other => panic!("{other:?}\n{:#?}", self.log),
        }
    }

    fn recording(&self) -> Recording {
        let wait = Duration::from_secs(20);
        self.service.recordings().recv_timeout(wait).unwrap()
    }

    /// Sends a text to the anchor as if from a relay; gives its answers.
    fn tell(&mut self, from: &str, text: &str) -> Vec<String> {
        let hop = Hop {
            local: ANCHOR,
            peer: from.parse().unwrap(),
        };
        self.anchor.receive(hop, text.as_bytes(), self.now);
        let sent = std::iter::from_fn(|| self.anchor.poll_transmit());
        sent.map(|sent| String::from_utf8(sent.bytes.to_vec()).unwrap())
            .collect()
    }
}

fn hop() -> Hop {
    Hop {
        local: RELAY,
        peer: ANCHOR,
    }
}

fn first_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.lines().next().unwrap().to_owned()
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let patience = Some(Duration::from_secs(10));
    socket.set_read_timeout(patience).unwrap();
    socket
}

fn lane(label: &str, rtp: SocketAddr, rtcp: Option<SocketAddr>, kind: MediaKind) -> Lane {
    let audio = kind == MediaKind::Audio;
    let codec = Codec {
        payload_type: 8,
        encoding: "PCMA/8000".to_owned(),
        fmtp: String::new(),
    };
    Lane {
        label: label.to_owned(),
        info: StreamInfo {
            stream: 7,
            from_tag: "alice".to_owned(),
            direction: Direction::ToUser,
            media_index: 2,
            media: kind,
            kind: if audio {
                StreamKind::Rtp
            } else {
                StreamKind::Datagram
            },
            local: rtp,
            remote: None,
            codecs: if audio { vec![codec] } else { Vec::new() },
        },
        protocol: if audio { "RTP/AVP" } else { "udp" }.to_owned(),
        rtp,
        rtcp,
    }
}

fn offer(lanes: Vec<Lane>) -> Offer {
    Offer {
        info: CallInfo {
            call_id: "call-1".to_owned(),
            started: Timestamp::from_secs(1),
            relay_system: "partner.example".to_owned(),
            primary_system: "primary.example".to_owned(),
            group: Some("sip:group@primary.example".to_owned()),
            emergency: true,
            parties: vec![PartyInfo {
                tag: "alice".to_owned(),
                primary_id: Some("sip:alice@primary.example".to_owned()),
                migrated: true,
                ..PartyInfo::default()
            }],
            ..CallInfo::default()
        },
        path: vec!["relay-q".to_owned()],
        lanes,
    }
}

/// An offer whose media nobody sends.
fn quiet() -> Offer {
    let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    offer(vec![lane(
        "a",
        at(9_000),
        Some(at(9_001)),
        MediaKind::Audio,
    )])
}

fn rtp(sequence: u8) -> Vec<u8> {
    let mut packet = vec![0x80, 8, 0, sequence, 0, 0, 0, sequence, 1, 2, 3, 4];
    packet.extend([sequence; 160]);
    packet
}

/// Sends a packet and expects it back, as it is, from where it was sent to.
fn comes_back(socket: &UdpSocket, to: SocketAddr, packet: &[u8]) {
    socket.send_to(packet, to).unwrap();
    let mut buffer = [0; 2_048];
    let (length, from) = socket.recv_from(&mut buffer).unwrap();
    assert_eq!((&buffer[..length], from), (packet, to));
}

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

fn until(what: &str, mut good: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !good() {
        assert!(Instant::now() < end, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
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
