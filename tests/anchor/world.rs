//! A client, an anchor, and the network between them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use homeward::logger::anchor::{self, Anchor};
use homeward::logger::service::{Recording, Service, Settings as LoggerSettings};
use homeward::mirror::sip::{Client, Failure, Lane, Offer, Outcome, Remote, Settings};
use homeward::sys::clock::Clock;
use homeward::wire::block::{
    CallInfo, Codec, Direction, MediaKind, PartyInfo, StreamInfo, StreamKind,
};
use homeward::wire::network::Network;
use homeward::wire::sip::{Agent, Hop, Timing};
use homeward::wire::time::Timestamp;
use tempfile::TempDir;

pub(crate) const RELAY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5_080);
pub(crate) const ANCHOR: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5_070);

/// All of it.
pub(crate) struct World {
    pub(crate) client: Client,
    pub(crate) anchor: Anchor,
    pub(crate) service: Service,
    pub(crate) now: Timestamp,
    /// How often each message is still lost on its first ways, by its first word.
    pub(crate) lossy: bool,
    pub(crate) seen: Vec<Vec<u8>>,
    /// First lines of all that was delivered.
    pub(crate) log: Vec<String>,
    pub(crate) _dir: TempDir,
}

pub(crate) fn client(max_legs: usize) -> Client {
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
    pub(crate) fn new(ports: (u16, u16)) -> Self {
        Self::with(ports, |_| {})
    }

    pub(crate) fn with(ports: (u16, u16), change: impl FnOnce(&mut anchor::Settings)) -> Self {
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
    pub(crate) fn pump(&mut self) {
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
    pub(crate) fn pass(&mut self, time: Duration) {
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

    pub(crate) fn open(&mut self, home: u64, offer: Offer) {
        self.client.open(home, hop(), offer, self.now);
    }

    pub(crate) fn answered(&mut self) -> Vec<(String, Remote)> {
        match self.client.poll_outcome() {
            Some(Outcome::Answered { lanes, .. }) => lanes,
            other => panic!("{other:?}\n{:#?}", self.log),
        }
    }

    pub(crate) fn failed(&mut self) -> (Failure, String) {
        match self.client.poll_outcome() {
            Some(Outcome::Failed {
                failure, reason, ..
            }) => (failure, reason),
            other => panic!("{other:?}\n{:#?}", self.log),
        }
    }

    pub(crate) fn recording(&self) -> Recording {
        let wait = Duration::from_secs(20);
        self.service.recordings().recv_timeout(wait).unwrap()
    }

    /// Sends a text to the anchor as if from a relay; gives its answers.
    pub(crate) fn tell(&mut self, from: &str, text: &str) -> Vec<String> {
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

pub(crate) fn hop() -> Hop {
    Hop {
        local: RELAY,
        peer: ANCHOR,
    }
}

pub(crate) fn first_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.lines().next().unwrap().to_owned()
}

pub(crate) fn socket() -> UdpSocket {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let patience = Some(Duration::from_secs(10));
    socket.set_read_timeout(patience).unwrap();
    socket
}

pub(crate) fn lane(
    label: &str,
    rtp: SocketAddr,
    rtcp: Option<SocketAddr>,
    kind: MediaKind,
) -> Lane {
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

pub(crate) fn offer(lanes: Vec<Lane>) -> Offer {
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
pub(crate) fn quiet() -> Offer {
    let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    offer(vec![lane(
        "a",
        at(9_000),
        Some(at(9_001)),
        MediaKind::Audio,
    )])
}

pub(crate) fn rtp(sequence: u8) -> Vec<u8> {
    let mut packet = vec![0x80, 8, 0, sequence, 0, 0, 0, sequence, 1, 2, 3, 4];
    packet.extend([sequence; 160]);
    packet
}

/// Sends a packet and expects it back, as it is, from where it was sent to.
pub(crate) fn comes_back(socket: &UdpSocket, to: SocketAddr, packet: &[u8]) {
    socket.send_to(packet, to).unwrap();
    let mut buffer = [0; 2_048];
    let (length, from) = socket.recv_from(&mut buffer).unwrap();
    assert_eq!((&buffer[..length], from), (packet, to));
}

pub(crate) fn until(what: &str, mut good: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !good() {
        assert!(Instant::now() < end, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
