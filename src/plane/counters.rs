//! Counters of one stream: written by its worker alone, read by anybody at any time.
//!
//! Every field is an atomic that one thread writes with relaxed stores, so that counting costs no
//! more than with plain integers. A reading is exact for each field; fields read while packets
//! arrive may be a packet apart. There are four of these for every call, hence the narrow types
//! where counts stay small: those saturate.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicI32, AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};

use crate::sys::address::Address;
use crate::wire::time::Timestamp;

/// Why a datagram is dropped. The order is that of `session::host::DROP_REASONS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drop {
    /// From another address than the one expected.
    Stranger,
    /// Neither RTP nor RTCP where one of them was expected.
    Malformed,
    /// Longer than a packet buffer.
    TooLarge,
    /// The other side's address is not known yet. Such a packet counts as taken, and is mirrored.
    NoDestination,
    /// The same packet came 30 times within a second.
    Loop,
    /// The kernel did not take it for sending. Such a packet counts as taken, and is mirrored.
    SendFailed,
    /// The kernel dropped it before we read it (`SO_RXQ_OVFL`).
    SocketFull,
    /// The flow is blocked by signalling.
    Blocked,
    /// Came back from home after it had been sent straight.
    LateHome,
    /// Came back from home a second time.
    HomeDuplicate,
    /// Came back from home other than it was sent there, or was never sent there.
    HomeAltered,
}

/// How many reasons for a drop there are.
pub const DROP_COUNT: usize = 11;

/// Counters of one stream.
#[derive(Debug, Default)]
pub struct Counters {
    packets: AtomicU64,
    octets: AtomicU64,
    forwarded: AtomicU64,
    forwarded_octets: AtomicU64,
    mirrored: AtomicU64,
    mirror_dropped: AtomicU64,
    /// Nanoseconds of the Unix epoch; zero before the first packet.
    last_packet: AtomicU64,
    learned_ip: [AtomicU64; 2],
    learned_port: AtomicU16,
    /// Whether an address has been learned, and of which family; see `IPV4` and `IPV6`.
    learned_family: AtomicU8,
    has_ssrc: AtomicU8,
    ssrc: AtomicU32,
    drops: [AtomicU32; DROP_COUNT],
    rtcp_packets: AtomicU32,
    ssrc_changes: AtomicU32,
    lost: AtomicI32,
    jitter: AtomicU32,
    last_seq: AtomicU32,
    last_rtp_timestamp: AtomicU32,
    talk_bursts: AtomicU32,
    preroll_kept: AtomicU32,
    preroll_sent: AtomicU32,
    preroll_evicted: AtomicU32,
    home_sent: AtomicU32,
    home_lost: AtomicU32,
}

/// A reading of the counters of one stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Datagrams taken.
    pub packets: u64,
    /// Their octets (UDP payload).
    pub octets: u64,
    /// Of the packets, those that are RTCP.
    pub rtcp_packets: u64,
    /// Datagrams dropped, by [`Drop`].
    pub drops: [u64; DROP_COUNT],
    /// Packets that were sent on to the other leg.
    pub forwarded: u64,
    /// Octets that were sent on.
    pub forwarded_octets: u64,
    /// Copies sent to loggers.
    pub mirrored: u64,
    /// Copies that could not be sent.
    pub mirror_dropped: u64,
    /// SSRC seen last; `None` before the first RTP packet.
    pub ssrc: Option<u32>,
    /// Number of changes of SSRC.
    pub ssrc_changes: u32,
    /// RTP packets missing by sequence number (RFC 3550 A.3), summed over SSRCs.
    pub lost: i64,
    /// Interarrival jitter in time stamp units (RFC 3550 A.8).
    pub jitter: u32,
    /// Extended highest sequence number of the last SSRC (RFC 3550 A.1).
    pub last_seq: u32,
    /// Time stamp of the last RTP packet.
    pub last_rtp_timestamp: u32,
    /// Talk bursts seen: marker bit, or a packet after silence.
    pub talk_bursts: u32,
    /// Packets in the pre-roll now: a gauge.
    pub preroll_kept: u32,
    /// Packets of the pre-roll that went to loggers after a late decision, however many loggers.
    pub preroll_sent: u64,
    /// Packets that the pre-roll gave up while it was undecided where they belong, or because no
    /// logger took what one should have: a gap.
    pub preroll_evicted: u64,
    /// When the last packet from the right source came, also if it was dropped as blocked, as a
    /// loop, or for want of a destination; `None` before the first.
    pub last_packet: Option<Timestamp>,
    /// The address that was learned.
    pub learned: Option<SocketAddr>,
    /// On a slot that faces home: packets of parties that were sent there to come back. Those that
    /// did are its `packets`; copies that only probe home are not among them.
    pub home_sent: u32,
    /// Of those, the ones that have not come back, and are not expected to any more: home became
    /// unreachable, or too many others were sent since.
    pub home_lost: u32,
}

impl Snapshot {
    /// Datagrams dropped for any reason.
    pub fn dropped(&self) -> u64 {
        self.drops.iter().sum()
    }

    /// Datagrams dropped for this reason.
    pub const fn dropped_as(&self, reason: Drop) -> u64 {
        self.drops[reason as usize]
    }
}

impl Counters {
    /// The values of now.
    pub fn snapshot(&self) -> Snapshot {
        let last_packet = self.last_packet.load(RELAXED);
        Snapshot {
            packets: self.packets.load(RELAXED),
            octets: self.octets.load(RELAXED),
            rtcp_packets: self.rtcp_packets.load(RELAXED).into(),
            drops: std::array::from_fn(|reason| self.drops[reason].load(RELAXED).into()),
            forwarded: self.forwarded.load(RELAXED),
            forwarded_octets: self.forwarded_octets.load(RELAXED),
            mirrored: self.mirrored.load(RELAXED),
            mirror_dropped: self.mirror_dropped.load(RELAXED),
            ssrc: (self.has_ssrc.load(RELAXED) != 0).then(|| self.ssrc.load(RELAXED)),
            ssrc_changes: self.ssrc_changes.load(RELAXED),
            lost: self.lost.load(RELAXED).into(),
            jitter: self.jitter.load(RELAXED),
            last_seq: self.last_seq.load(RELAXED),
            last_rtp_timestamp: self.last_rtp_timestamp.load(RELAXED),
            talk_bursts: self.talk_bursts.load(RELAXED),
            preroll_kept: self.preroll_kept.load(RELAXED),
            preroll_sent: self.preroll_sent.load(RELAXED).into(),
            preroll_evicted: self.preroll_evicted.load(RELAXED).into(),
            last_packet: (last_packet != 0).then(|| Timestamp::from_nanos(last_packet)),
            learned: self.learned(),
            home_sent: self.home_sent.load(RELAXED),
            home_lost: self.home_lost.load(RELAXED),
        }
    }

    /// A datagram of `octets` was taken.
    pub(super) fn took(&self, octets: usize, rtcp: bool) {
        add(&self.packets, 1);
        add(&self.octets, octets as u64);
        if rtcp {
            add_narrow(&self.rtcp_packets, 1);
        }
    }

    /// The right source was heard.
    pub(super) fn heard(&self, now: Timestamp) {
        self.last_packet.store(now.nanos(), RELAXED);
    }

    /// `count` datagrams were dropped.
    pub(super) fn dropped(&self, reason: Drop, count: u32) {
        add_narrow(&self.drops[reason as usize], count);
    }

    /// A datagram of `octets` went on to the other leg.
    pub(super) fn forwarded(&self, octets: usize) {
        add(&self.forwarded, 1);
        add(&self.forwarded_octets, octets as u64);
    }

    /// A copy was sent to a logger, or could not be.
    pub(super) fn mirrored(&self, sent: bool) {
        let counter = if sent {
            &self.mirrored
        } else {
            &self.mirror_dropped
        };
        add(counter, 1);
    }

    /// So many packets are in the pre-roll.
    pub(super) fn preroll_holds(&self, packets: u32) {
        self.preroll_kept.store(packets, RELAXED);
    }

    /// A packet of the pre-roll went to the loggers.
    pub(super) fn preroll_sent(&self) {
        add_narrow(&self.preroll_sent, 1);
    }

    /// The pre-roll gave packets up.
    pub(super) fn preroll_evicted(&self, packets: u32) {
        add_narrow(&self.preroll_evicted, packets);
    }

    /// A packet goes home.
    pub(super) fn home_sent(&self) {
        add_narrow(&self.home_sent, 1);
    }

    /// `count` packets that were sent home are not expected back any more.
    pub(super) fn home_lost(&self, count: u32) {
        add_narrow(&self.home_lost, count);
    }

    /// One of those came back after all.
    pub(super) fn home_found(&self) {
        let lost = self.home_lost.load(RELAXED);
        self.home_lost.store(lost.saturating_sub(1), RELAXED);
    }

    /// The peer's address. A reader that looks while it changes may see parts of both.
    pub(super) fn set_learned(&self, address: &Address) {
        let Some(address) = address.to_std() else {
            self.learned_family.store(0, RELAXED);
            return;
        };
        let (family, octets) = match address.ip() {
            IpAddr::V4(v4) => (IPV4, v4.to_ipv6_mapped().octets()),
            IpAddr::V6(v6) => (IPV6, v6.octets()),
        };
        let bits = u128::from_be_bytes(octets);
        let [high, low] = [bits >> 64, bits & u128::from(u64::MAX)];
        self.learned_ip[0].store(u64::try_from(high).unwrap_or(0), RELAXED);
        self.learned_ip[1].store(u64::try_from(low).unwrap_or(0), RELAXED);
        self.learned_port.store(address.port(), RELAXED);
        self.learned_family.store(family, Ordering::Release);
    }

    /// What is known of the RTP stream now.
    pub(super) fn set_rtp(&self, rtp: &RtpReading) {
        self.ssrc.store(rtp.ssrc, RELAXED);
        self.has_ssrc.store(1, RELAXED);
        self.ssrc_changes.store(rtp.ssrc_changes, RELAXED);
        self.lost.store(rtp.lost, RELAXED);
        self.jitter.store(rtp.jitter, RELAXED);
        self.last_seq.store(rtp.last_seq, RELAXED);
        self.last_rtp_timestamp.store(rtp.timestamp, RELAXED);
        self.talk_bursts.store(rtp.talk_bursts, RELAXED);
    }

    /// What [`Self::set_rtp`] said last.
    pub(super) fn rtp(&self) -> RtpReading {
        RtpReading {
            ssrc: self.ssrc.load(RELAXED),
            ssrc_changes: self.ssrc_changes.load(RELAXED),
            lost: self.lost.load(RELAXED),
            jitter: self.jitter.load(RELAXED),
            last_seq: self.last_seq.load(RELAXED),
            timestamp: self.last_rtp_timestamp.load(RELAXED),
            talk_bursts: self.talk_bursts.load(RELAXED),
        }
    }

    fn learned(&self) -> Option<SocketAddr> {
        let family = self.learned_family.load(Ordering::Acquire);
        let bits = u128::from(self.learned_ip[0].load(RELAXED)) << 64
            | u128::from(self.learned_ip[1].load(RELAXED));
        let v6 = std::net::Ipv6Addr::from(bits);
        let ip = match family {
            IPV4 => IpAddr::V4(v6.to_ipv4_mapped()?),
            IPV6 => IpAddr::V6(v6),
            _ => return None,
        };
        Some(SocketAddr::new(ip, self.learned_port.load(RELAXED)))
    }
}

/// What the statistics say after an RTP packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct RtpReading {
    pub(super) ssrc: u32,
    pub(super) ssrc_changes: u32,
    pub(super) lost: i32,
    pub(super) jitter: u32,
    pub(super) last_seq: u32,
    pub(super) timestamp: u32,
    pub(super) talk_bursts: u32,
}

/// A single writer needs no read-modify-write.
fn add(counter: &AtomicU64, by: u64) {
    counter.store(counter.load(RELAXED).wrapping_add(by), RELAXED);
}

fn add_narrow(counter: &AtomicU32, by: u32) {
    counter.store(counter.load(RELAXED).saturating_add(by), RELAXED);
}

const RELAXED: Ordering = Ordering::Relaxed;
const IPV4: u8 = 1;
const IPV6: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let counters = Counters::default();
        assert_eq!(counters.snapshot(), Snapshot::default());
        counters.took(172, false);
        counters.took(60, true);
        counters.heard(Timestamp::from_secs(9));
        counters.dropped(Drop::Stranger, 2);
        counters.dropped(Drop::Blocked, 1);
        counters.forwarded(172);
        counters.mirrored(true);
        counters.mirrored(false);
        counters.home_sent();
        counters.home_lost(3);
        counters.home_found();
        counters.set_rtp(&RtpReading {
            ssrc: 5,
            lost: -1,
            ..RtpReading::default()
        });
        let seen = counters.snapshot();
        assert_eq!((seen.packets, seen.octets, seen.rtcp_packets), (2, 232, 1));
        assert_eq!(seen.drops, [2, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]);
        assert_eq!((seen.dropped(), seen.dropped_as(Drop::Blocked)), (3, 1));
        assert_eq!((seen.forwarded, seen.forwarded_octets), (1, 172));
        assert_eq!((seen.mirrored, seen.mirror_dropped), (1, 1));
        assert_eq!((seen.ssrc, seen.lost), (Some(5), -1));
        assert_eq!((seen.home_sent, seen.home_lost), (1, 2));
        assert_eq!(seen.last_packet, Some(Timestamp::from_secs(9)));
    }

    #[test]
    fn narrow_counts_saturate() {
        let counters = Counters::default();
        counters.dropped(Drop::Loop, u32::MAX);
        counters.dropped(Drop::Loop, 1);
        assert_eq!(
            counters.snapshot().dropped_as(Drop::Loop),
            u64::from(u32::MAX)
        );
    }

    #[test]
    fn addresses_of_both_families() {
        let counters = Counters::default();
        for text in ["192.0.2.9:4000", "[2001:db8::9]:4002"] {
            let address: SocketAddr = text.parse().unwrap();
            counters.set_learned(&address.into());
            assert_eq!(counters.snapshot().learned, Some(address));
        }
        counters.set_learned(&Address::NONE);
        assert_eq!(counters.snapshot().learned, None);
    }

    #[test]
    fn stays_small() {
        assert!(size_of::<Counters>() <= 176, "{}", size_of::<Counters>());
    }
}
