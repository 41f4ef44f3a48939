//! The SIP client of home legs against SIPp as an anchor that is not ours, and SIPp as a relay that
//! is not ours against the media anchor of `homeward logger`.

use std::fs::write;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use homeward::mirror::sip::{Client, Failure, Lane, Offer, Outcome, Settings};
use homeward::sys::clock::Clock;
use homeward::wire::block::{CallInfo, Codec, Direction, MediaKind, StreamInfo, StreamKind};
use homeward::wire::sip::{Agent, Hop, Timing};
use tempfile::TempDir;

use crate::process::{Process, command, wait_for};
use crate::{recording, skip};

#[test]
fn anchor_that_is_not_ours_takes_a_lane_and_refuses_the_other() {
    let name = "anchor_that_is_not_ours_takes_a_lane_and_refuses_the_other";
    if !skip::programs(name, &["sipp"]) {
        return;
    }
    let dir = TempDir::new().unwrap();
    let mut anchor = Sipp::anchor(&dir, include_str!("data/anchor_answers.xml"));
    let mut relay = Relay::new(anchor.sip);
    let media = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    relay.open(media.local_addr().unwrap());
    let Outcome::Answered { lanes, .. } = relay.outcome() else {
        panic!("{}", anchor.process.log())
    };
    let [(label, remote)] = &lanes[..] else {
        panic!("{lanes:?}")
    };
    assert_eq!((label.as_str(), remote.rtp), ("a", anchor.media));
    // SIPp echoes what comes, as an anchor does.
    let packet = [&[0x80, 8, 0, 1][..], &[7; 168]].concat();
    let mut buffer = [0; 2_048];
    media
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    media.send_to(&packet, remote.rtp).unwrap();
    let (length, from) = media.recv_from(&mut buffer).unwrap();
    assert_eq!((&buffer[..length], from), (&packet[..], remote.rtp));
    relay.client.close(1, relay.clock.now());
    relay.run_until("the BYE is confirmed", |client| {
        client.is_idle().then_some(())
    });
    let status = anchor.process.wait(Duration::from_secs(20));
    assert!(status.success(), "{status}\n{}", anchor.process.log());
}

#[test]
fn anchor_that_is_not_ours_refuses() {
    let name = "anchor_that_is_not_ours_refuses";
    if !skip::programs(name, &["sipp"]) {
        return;
    }
    let dir = TempDir::new().unwrap();
    let mut anchor = Sipp::anchor(&dir, include_str!("data/anchor_refuses.xml"));
    let mut relay = Relay::new(anchor.sip);
    relay.open("127.0.0.1:9000".parse().unwrap());
    let outcome = relay.outcome();
    let Outcome::Failed {
        failure, reason, ..
    } = outcome
    else {
        panic!("{outcome:?}")
    };
    assert_eq!(failure, Failure::Refused);
    assert!(reason.contains("486 Busy Here"), "{reason}");
    let status = anchor.process.wait(Duration::from_secs(20));
    assert!(status.success(), "{status}\n{}", anchor.process.log());
}

#[test]
fn anchor_of_ours_records_a_relay_that_is_not() {
    let name = "anchor_of_ours_records_a_relay_that_is_not";
    if !skip::programs(name, &["sipp", "tshark"]) {
        return;
    }
    let dir = TempDir::new().unwrap();
    let (sip, first, stored) = (free(1), free(10), free(10));
    let text = format!(
        "[http]\nlisten = []\n[archive]\ndir = \"stored\"\nports = [{stored}, {}]\n\
         [media_anchor]\nsip = [\"127.0.0.1:{sip}\"]\nports = [{first}, {}]\n",
        stored + 9,
        first + 9,
    );
    write(dir.path().join("logger.toml"), text).unwrap();
    let mut logger = command(env!("CARGO_BIN_EXE_homeward"));
    logger.args(["logger", "--config", "logger.toml"]);
    let mut logger = Process::start("logger", dir.path(), &mut logger);
    wait_for("the anchor", Duration::from_secs(20), || {
        assert!(logger.runs(), "{}", logger.log());
        let log = logger.log();
        log.contains("calls are taken as a media anchor")
            .then_some(())
    });
    let media = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    media
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let port = media.local_addr().unwrap().port().to_string();
    let scenario = include_str!("data/anchor_caller.xml").replace("@MEDIA@", &port);
    let mut relay = Sipp::start(&dir, &scenario, &[&format!("127.0.0.1:{sip}")]);
    let messages = dir.path().join("messages");
    let to: SocketAddr = wait_for("the answer", Duration::from_secs(20), || {
        let text = std::fs::read_to_string(&messages).unwrap_or_default();
        let answer = text.split("SIP/2.0 200").nth(1)?;
        let (_, rest) = answer.split_once("m=audio ")?;
        let port = rest.split(' ').next()?.parse().ok()?;
        rest.contains("a=sendrecv")
            .then(|| (Ipv4Addr::LOCALHOST, port).into())
    });
    for number in 0..50_u8 {
        let head = [0x80, 0, 0, number, 0, 0, 0, number, 1, 2, 3, 4];
        let packet = [&head[..], &[number; 160]].concat();
        media.send_to(&packet, to).unwrap();
        let mut buffer = [0; 2_048];
        let (length, from) = media.recv_from(&mut buffer).unwrap();
        assert_eq!((&buffer[..length], from), (&packet[..], to));
    }
    let status = relay.process.wait(Duration::from_secs(30));
    assert!(status.success(), "{status}\n{}", relay.process.log());
    let file = wait_for("the recording", Duration::from_secs(20), || {
        recording::find(&dir.path().join("stored"))
            .into_iter()
            .next()
    });
    let streams = recording::read(&file);
    assert_eq!(streams.len(), 1);
    assert_eq!((streams[0].packets, streams[0].lost), (50, 0));
    assert!(logger.stop(Duration::from_secs(20)).success());
}

/// SIPp with its own ports.
struct Sipp {
    process: Process,
    sip: SocketAddr,
    media: SocketAddr,
}

impl Sipp {
    /// An anchor that plays this scenario once, and echoes media.
    fn anchor(dir: &TempDir, scenario: &str) -> Self {
        let anchor = Self::start(dir, scenario, &["-rtp_echo"]);
        wait_for("SIPp", Duration::from_secs(20), || {
            UdpSocket::bind(anchor.sip).is_err().then_some(())
        });
        anchor
    }

    fn start(dir: &TempDir, scenario: &str, more: &[&str]) -> Self {
        let (sip, media, control) = (free(1), free(4), free(1));
        write(dir.path().join("scenario.xml"), scenario).unwrap();
        let mut sipp = command("sipp");
        sipp.args(["-sf", "scenario.xml", "-m", "1", "-nostdin", "-trace_msg"])
            .args([
                "-message_file",
                "messages",
                "-i",
                "127.0.0.1",
                "-mi",
                "127.0.0.1",
            ])
            .args(["-p", &sip.to_string(), "-mp", &media.to_string()])
            .args([
                "-cp",
                &control.to_string(),
                "-timeout",
                "60s",
                "-timeout_error",
            ])
            .args(more);
        let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self {
            process: Process::start("sipp", dir.path(), &mut sipp),
            sip: at(sip),
            media: at(media),
        }
    }
}

/// So many free ports in a row, the first one even; in a range of this file's own.
fn free(count: u16) -> u16 {
    use std::sync::atomic::{AtomicU16, Ordering};
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % 100).unwrap() * 10;
    for _ in 0..200 {
        let step = NEXT.fetch_add(count.next_multiple_of(2) + 2, Ordering::Relaxed);
        let first = 10_000 + (start + step) % 1_900;
        let first = first & !1;
        let is_free = |port| UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
        if (first..=first + count).all(is_free) {
            return first;
        }
    }
    panic!("no {count} free ports in a row")
}

/// The client with a socket.
struct Relay {
    client: Client,
    clock: Clock,
    socket: UdpSocket,
    hop: Hop,
}

impl Relay {
    fn new(anchor: SocketAddr) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(20)))
            .unwrap();
        let hop = Hop {
            local: socket.local_addr().unwrap(),
            peer: anchor,
        };
        let client = Client::new(Settings {
            system: "partner.example".to_owned(),
            anchors: vec![anchor.ip()],
            max_legs: 10,
            answer_timeout: Duration::from_secs(20),
            timing: Timing::default(),
            secret: [3; 32],
        });
        let clock = Clock::start();
        Self {
            client,
            clock,
            socket,
            hop,
        }
    }

    fn open(&mut self, media: SocketAddr) {
        let lanes = ["a", "b"].map(|label| Lane {
            label: label.to_owned(),
            info: StreamInfo {
                stream: 1,
                from_tag: "alice".to_owned(),
                direction: Direction::FromUser,
                media_index: 1,
                media: MediaKind::Audio,
                kind: StreamKind::Rtp,
                local: media,
                remote: None,
                codecs: vec![Codec {
                    payload_type: 8,
                    encoding: "PCMA/8000".to_owned(),
                    fmtp: String::new(),
                }],
            },
            protocol: "RTP/AVP".to_owned(),
            rtp: media,
            rtcp: None,
        });
        let offer = Offer {
            info: CallInfo::default(),
            path: vec!["q".to_owned()],
            lanes: lanes.into(),
        };
        self.client.open(1, self.hop, offer, self.clock.now());
    }

    fn outcome(&mut self) -> Outcome {
        self.run_until("an outcome", Client::poll_outcome)
    }

    fn run_until<T>(&mut self, what: &str, mut ready: impl FnMut(&mut Client) -> Option<T>) -> T {
        let end = Instant::now() + Duration::from_secs(30);
        let mut buffer = vec![0; 65_535];
        loop {
            while let Some(transmit) = self.client.poll_transmit() {
                self.socket
                    .send_to(&transmit.bytes, transmit.hop.peer)
                    .unwrap();
            }
            if let Some(found) = ready(&mut self.client) {
                return found;
            }
            assert!(Instant::now() < end, "in vain: {what}");
            if let Ok((length, peer)) = self.socket.recv_from(&mut buffer) {
                let hop = Hop { peer, ..self.hop };
                self.client
                    .receive(hop, &buffer[..length], self.clock.now());
            }
            self.client.handle_timeout(self.clock.now());
        }
    }
}
