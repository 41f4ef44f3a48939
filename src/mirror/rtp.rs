//! Ports of a plain RTP logger: each stream goes to an address and port of its own.
//!
//! RTP (and datagrams of a media that is not RTP) goes to an even port and the RTCP that belongs
//! to it to the odd one after, as RFC 3550 11 has it, so that any RTP receiver can take it.
//! The relay alone hands out the ports of a logger's range: no question has to be asked before
//! media flows, and an SDP answer never waits for a logger.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use crate::wire::block::{StreamInfo, StreamKind};

/// The ports of one plain RTP logger.
///
/// Freed pairs go to the end of the queue, so that late packets of one call do not fall into the
/// recording of the next.
#[derive(Debug)]
pub struct PortBook {
    addresses: Vec<IpAddr>,
    free: VecDeque<u16>,
}

impl PortBook {
    /// All pairs of an even and an odd port within `first..=last` of a logger with these addresses
    /// (one of each family at most).
    pub fn new(addresses: Vec<IpAddr>, (first, last): (u16, u16)) -> Self {
        let even = first.saturating_add(first % 2);
        let free = (even..last).step_by(2).collect();
        Self { addresses, free }
    }

    /// Takes the pair that has been free for longest; its even port.
    pub fn take(&mut self) -> Option<PortPair> {
        self.free.pop_front().map(PortPair)
    }

    /// Takes the pair that begins with this port, if it is free.
    pub fn claim(&mut self, even: u16) -> Option<PortPair> {
        let place = self.free.iter().position(|port| *port == even)?;
        self.free.remove(place).map(PortPair)
    }

    /// Gives a pair back.
    pub fn give_back(&mut self, pair: PortPair) {
        self.free.push_back(pair.0);
    }

    /// Where a stream goes that uses this pair: to the logger's address of its own family, if
    /// there is one. `None` for a logger without any address.
    pub fn target(&self, pair: PortPair, info: &StreamInfo) -> Option<SocketAddr> {
        let same = |address: &&IpAddr| address.is_ipv4() == info.local.is_ipv4();
        let address = self
            .addresses
            .iter()
            .find(same)
            .or_else(|| self.addresses.first())?;
        Some(SocketAddr::new(*address, pair.port(info.kind)))
    }

    /// Pairs that are free.
    pub fn free_pairs(&self) -> usize {
        self.free.len()
    }
}

/// An even port and the odd one after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PortPair(u16);

impl PortPair {
    /// Its even port.
    pub const fn even(self) -> u16 {
        self.0
    }

    /// The port for a stream of this kind.
    pub const fn port(self, kind: StreamKind) -> u16 {
        match kind {
            StreamKind::Rtp | StreamKind::Datagram => self.0,
            StreamKind::Rtcp => self.0 + 1,
        }
    }
}

/// What RTP and its RTCP have in common: their even local port. Streams with the same key share a
/// pair at the logger.
pub fn pair_key(info: &StreamInfo) -> SocketAddr {
    SocketAddr::new(info.local.ip(), info.local.port() & !1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::block::{Direction, MediaKind};

    const LOCALHOST: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn hands_out_whole_pairs_only() {
        let mut book = PortBook::new(vec![LOCALHOST], (40_001, 40_006));
        let pairs: Vec<u16> = std::iter::from_fn(|| book.take())
            .map(|pair| pair.0)
            .collect();
        assert_eq!(pairs, [40_002, 40_004]);
        assert_eq!(
            PortBook::new(vec![LOCALHOST], (65_535, 65_535)).free_pairs(),
            0
        );
        assert_eq!(
            PortBook::new(vec![LOCALHOST], (65_534, 65_535)).free_pairs(),
            1
        );
    }

    #[test]
    fn a_pair_can_be_taken_out_of_turn() {
        let mut book = PortBook::new(vec![LOCALHOST], (40_000, 40_005));
        let pair = book.claim(40_002).unwrap();
        assert_eq!(pair.even(), 40_002);
        assert_eq!(book.claim(40_002), None);
        assert_eq!(book.claim(40_001), None);
        assert_eq!(book.free_pairs(), 2);
    }

    #[test]
    fn a_freed_pair_comes_back_last() {
        let mut book = PortBook::new(vec![LOCALHOST], (40_000, 40_005));
        let first = book.take().unwrap();
        book.give_back(first);
        let order: Vec<PortPair> = std::iter::from_fn(|| book.take()).collect();
        assert_eq!(order.last(), Some(&first));
    }

    #[test]
    fn rtcp_goes_to_the_odd_port_and_each_family_to_its_address() {
        let v6: IpAddr = "2001:db8::9".parse().unwrap();
        let mut book = PortBook::new(vec![LOCALHOST, v6], (40_000, 40_005));
        let pair = book.take().unwrap();
        let target = |local: &str, kind| book.target(pair, &info(local, kind)).unwrap().to_string();
        assert_eq!(
            target("127.0.0.1:30000", StreamKind::Rtp),
            "127.0.0.1:40000"
        );
        assert_eq!(
            target("127.0.0.1:30001", StreamKind::Rtcp),
            "127.0.0.1:40001"
        );
        assert_eq!(
            target("[::1]:30000", StreamKind::Datagram),
            "[2001:db8::9]:40000"
        );
        assert_eq!(
            pair_key(&info("[::1]:30001", StreamKind::Rtcp)),
            pair_key(&info("[::1]:30000", StreamKind::Rtp)),
        );
    }

    fn info(local: &str, kind: StreamKind) -> StreamInfo {
        StreamInfo {
            stream: 1,
            from_tag: "a".into(),
            direction: Direction::FromUser,
            media_index: 1,
            media: MediaKind::Audio,
            kind,
            local: local.parse().unwrap(),
            remote: None,
            codecs: Vec::new(),
        }
    }
}
