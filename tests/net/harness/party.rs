//! Parties of calls: sockets that send and receive media, and what SDP says of them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use serde_json::Value;

/// One party of a call: its sockets, and what it says in SDP.
pub(crate) struct Party {
    pub(crate) rtp: UdpSocket,
    pub(crate) rtcp: UdpSocket,
    pub(crate) ssrc: u32,
}

impl Party {
    pub(crate) fn new(ssrc: u32) -> Self {
        Self::on(Ipv4Addr::LOCALHOST.into(), ssrc)
    }

    pub(crate) fn v6(ssrc: u32) -> Self {
        Self::on(Ipv6Addr::LOCALHOST.into(), ssrc)
    }

    fn on(address: IpAddr, ssrc: u32) -> Self {
        let (rtp, rtcp) = socket_pair(address);
        Self { rtp, rtcp, ssrc }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.rtp.local_addr().unwrap()
    }

    /// A plain audio SDP.
    pub(crate) fn sdp(&self) -> String {
        sdp(self.address(), "")
    }

    /// The same with further attributes of the media.
    pub(crate) fn sdp_with(&self, attributes: &str) -> String {
        sdp(self.address(), attributes)
    }

    /// The RTP packet with this number.
    pub(crate) fn packet(&self, seq: u16) -> Vec<u8> {
        rtp_packet(self.ssrc, seq)
    }

    pub(crate) fn send(&self, to: SocketAddr, seq: u16) {
        self.rtp.send_to(&self.packet(seq), to).unwrap();
    }

    /// The next datagram on the RTP socket, with its source.
    pub(crate) fn receive(&self) -> (Vec<u8>, SocketAddr) {
        receive(&self.rtp)
    }

    /// Whether no RTP comes for a while.
    pub(crate) fn hears_nothing(&self) -> bool {
        self.rtp
            .set_read_timeout(Some(Duration::from_millis(200)))
            .unwrap();
        let silent = self.rtp.recv(&mut [0; 2_048]).is_err();
        self.rtp
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        silent
    }
}

pub(crate) fn receive(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = vec![0; 65_536];
    let (count, from) = socket
        .recv_from(&mut buffer)
        .expect("a datagram within 10 s");
    buffer.truncate(count);
    (buffer, from)
}

fn rtp_packet(ssrc: u32, seq: u16) -> Vec<u8> {
    let mut packet = vec![0x80, 0];
    packet.extend(seq.to_be_bytes());
    packet.extend((u32::from(seq) * 160).to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend((0..160u8).map(|at| at ^ seq.to_le_bytes()[0]));
    packet
}

fn sdp(at: SocketAddr, attributes: &str) -> String {
    let family = if at.is_ipv4() { "IP4" } else { "IP6" };
    let (ip, port) = (at.ip(), at.port());
    format!(
        "v=0\r\no=- 1 1 IN {family} {ip}\r\ns=-\r\nc=IN {family} {ip}\r\nt=0 0\r\n\
         m=audio {port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n{attributes}"
    )
}

/// An even port and the one after it.
fn socket_pair(address: IpAddr) -> (UdpSocket, UdpSocket) {
    for _ in 0..1_000 {
        let rtp = UdpSocket::bind((address, 0)).unwrap();
        let port = rtp.local_addr().unwrap().port();
        if !port.is_multiple_of(2) {
            continue;
        }
        if let Ok(rtcp) = UdpSocket::bind((address, port + 1)) {
            for socket in [&rtp, &rtcp] {
                socket
                    .set_read_timeout(Some(Duration::from_secs(10)))
                    .unwrap();
            }
            return (rtp, rtcp);
        }
    }
    panic!("no pair of ports is free");
}

/// Where an SDP says that its first media is.
pub(crate) fn media_of(answer: &Value) -> SocketAddr {
    media_at(answer, 0)
}

/// Where an SDP says that its media with this index (from 0) is.
pub(crate) fn media_at(answer: &Value, index: usize) -> SocketAddr {
    let sdp = answer["sdp"].as_str().unwrap();
    let section = sdp
        .split("\r\nm=")
        .nth(index + 1)
        .unwrap_or_else(|| panic!("media in {sdp}"));
    let port: u16 = section.split(' ').nth(1).unwrap().parse().unwrap();
    let line = section.lines().find(|line| line.starts_with("c=")).unwrap();
    let ip: IpAddr = line.rsplit(' ').next().unwrap().parse().unwrap();
    SocketAddr::new(ip, port)
}
