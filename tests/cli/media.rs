//! A call by hand: two parties with a socket each.

use std::net::UdpSocket;
use std::time::Duration;

use serde_json::{Value, json};

use crate::daemon::Relay;

/// A call that is set up.
#[derive(Debug)]
pub(crate) struct Call {
    id: String,
    /// Calling and called party, connected to the relay's ports.
    parties: [UdpSocket; 2],
}

impl Call {
    /// Sets up a call that `sip:CALLER@partner.example` makes.
    pub(crate) fn set_up(relay: &mut Relay, id: &str, caller: &str) -> Self {
        let parties = [(), ()].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
        let port = |party: usize| parties[party].local_addr().unwrap().port();
        let offer = relay.ng(&json!({
            "command": "offer", "call-id": id, "from-tag": "a", "sdp": sdp(port(0)),
            "mc-service": "mcptt", "mc-session-type": "private",
            "mc-calling-id": format!("sip:{caller}@partner.example"),
            "mc-called-id": "sip:dispatcher@partner.example",
        }));
        parties[1]
            .connect(("127.0.0.1", media_port(&offer)))
            .unwrap();
        let answer = relay.ng(&json!({
            "command": "answer", "call-id": id, "from-tag": "a", "to-tag": "b",
            "sdp": sdp(port(1)),
        }));
        parties[0]
            .connect(("127.0.0.1", media_port(&answer)))
            .unwrap();
        let id = id.to_owned();
        Self { id, parties }
    }

    /// Ports of the relay, as the parties know them.
    pub(crate) fn ports(&self) -> [u16; 2] {
        [0, 1].map(|party: usize| self.parties[party].peer_addr().unwrap().port())
    }

    /// Offers anew from one of the parties, and answers; the ports that the relay names.
    pub(crate) fn again(&self, relay: &mut Relay) -> [u16; 2] {
        let port = |party: usize| self.parties[party].local_addr().unwrap().port();
        let offer = relay.ng(&json!({
            "command": "offer", "call-id": self.id, "from-tag": "a", "to-tag": "b",
            "sdp": sdp(port(0)),
        }));
        let answer = relay.ng(&json!({
            "command": "answer", "call-id": self.id, "from-tag": "a", "to-tag": "b",
            "sdp": sdp(port(1)),
        }));
        [media_port(&answer), media_port(&offer)]
    }

    /// Whether what a stranger sends to the relay's port reaches a party.
    pub(crate) fn lets_strangers_in(&self) -> bool {
        let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
        let [to, _] = self.ports();
        stranger
            .send_to(&rtp(0, 60_000), ("127.0.0.1", to))
            .unwrap();
        let wait = Some(Duration::from_millis(200));
        self.parties[1].set_read_timeout(wait).unwrap();
        self.parties[1].recv(&mut [0; 2_000]).is_ok()
    }

    /// Sends a packet each way and waits for it on the other side.
    pub(crate) fn exchange(&self, sequence: u16) {
        for (from, to) in [(0, 1), (1, 0)] {
            let packet = rtp(from, sequence);
            self.parties[from].send(&packet).unwrap();
            let mut buffer = [0; 2_000];
            let wait = Some(Duration::from_secs(20));
            self.parties[to].set_read_timeout(wait).unwrap();
            let length = self.parties[to].recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], packet);
        }
    }

    /// Sends a packet each way.
    pub(crate) fn send(&self, sequence: u16) {
        for (party, socket) in self.parties.iter().enumerate() {
            // While nobody has the port a datagram may come back as an error.
            let _ = socket.send(&rtp(party, sequence));
        }
    }

    /// Takes what has arrived at each party: the sequence numbers of packets that the other one
    /// has sent, byte by byte.
    pub(crate) fn heard(&self) -> [Vec<u16>; 2] {
        [0, 1].map(|party| {
            let socket = &self.parties[party];
            socket.set_nonblocking(true).unwrap();
            let mut buffer = [0; 2_000];
            let mut heard = Vec::new();
            while let Ok(length) = socket.recv(&mut buffer) {
                let sequence = u16::from_be_bytes([buffer[2], buffer[3]]);
                assert_eq!(buffer[..length], rtp(1 - party, sequence));
                heard.push(sequence);
            }
            socket.set_nonblocking(false).unwrap();
            heard
        })
    }

    /// Ends it by signalling.
    pub(crate) fn delete(&self, relay: &mut Relay) {
        let reply = relay.ng(&json!({
            "command": "delete", "call-id": self.id, "from-tag": "a",
        }));
        assert_eq!(reply["result"], "ok", "{reply}");
    }
}

fn sdp(port: u16) -> String {
    format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
         m=audio {port} RTP/AVP 0\r\n"
    )
}

/// The port that the relay wrote into the first media line.
pub(crate) fn media_port(reply: &Value) -> u16 {
    assert_eq!(reply["result"], "ok", "{reply}");
    let sdp = reply["sdp"].as_str().unwrap();
    let media = sdp.lines().find_map(|line| line.strip_prefix("m=audio "));
    media.unwrap().split_once(' ').unwrap().0.parse().unwrap()
}

/// PCMU with a payload of its own for each packet.
pub(crate) fn rtp(party: usize, sequence: u16) -> Vec<u8> {
    let [high, low] = sequence.to_be_bytes();
    let ssrc = if party == 0 { 0x11 } else { 0x22 };
    let mut packet = vec![0x80, 0, high, low, 0, 0, high, low, ssrc, ssrc, ssrc, ssrc];
    packet.extend([high ^ ssrc, low].iter().cycle().take(160));
    packet
}
