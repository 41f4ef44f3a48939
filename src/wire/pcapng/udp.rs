//! Synthetic IP and UDP headers around a mirrored payload, and the way back.
//!
//! Headers are IPv4 (RFC 791) or IPv6 (RFC 8200) without options, and UDP (RFC 768) with right
//! checksums, so that an analyser shows the packet as the relay received it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// Longest UDP payload in an IPv4 packet.
pub const MAX_PAYLOAD_V4: usize = 65_535 - IPV4 - UDP;

/// Longest UDP payload in an IPv6 packet without the jumbo option.
pub const MAX_PAYLOAD_V6: usize = 65_535 - UDP;

/// A UDP datagram out of a raw IP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// Where it came from.
    pub source: SocketAddr,
    /// Where it was sent to.
    pub destination: SocketAddr,
    /// What UDP carried.
    pub payload: &'a [u8],
    /// Whether the checksums that are there hold (RFC 768 lets IPv4 do without).
    pub checksums_hold: bool,
}

/// Replaces `out` by an IP packet. When the families differ, both become IPv6 (IPv4-mapped,
/// RFC 4291 2.5.5.2). Gives false, and an empty `out`, for a payload too long for its family.
pub fn packet(out: &mut Vec<u8>, from: SocketAddr, to: SocketAddr, payload: &[u8]) -> bool {
    match (from, to) {
        (SocketAddr::V4(from), SocketAddr::V4(to)) => packet_v4(out, from, to, payload),
        (from, to) => packet_v6(out, to_v6(from), to_v6(to), payload),
    }
}

/// Replaces `out` by an IPv4 packet; false, and an empty `out`, above [`MAX_PAYLOAD_V4`].
pub fn packet_v4(out: &mut Vec<u8>, from: SocketAddrV4, to: SocketAddrV4, payload: &[u8]) -> bool {
    out.clear();
    if payload.len() > MAX_PAYLOAD_V4 {
        return false;
    }
    out.extend_from_slice(&[0x45, 0]);
    out.extend_from_slice(&length(IPV4 + UDP + payload.len()));
    // Identification 0, "don't fragment": an atomic datagram (RFC 6864 4.1).
    out.extend_from_slice(&[0, 0, 0x40, 0, HOPS, PROTOCOL_UDP, 0, 0]);
    out.extend_from_slice(&from.ip().octets());
    out.extend_from_slice(&to.ip().octets());
    let checksum = fold(sum(out, 0));
    if let Some(field) = out.get_mut(10..12) {
        field.copy_from_slice(&(!checksum).to_be_bytes());
    }
    udp(out, IPV4, from.port(), to.port(), payload);
    true
}

/// Replaces `out` by an IPv6 packet; false, and an empty `out`, above [`MAX_PAYLOAD_V6`].
pub fn packet_v6(out: &mut Vec<u8>, from: SocketAddrV6, to: SocketAddrV6, payload: &[u8]) -> bool {
    out.clear();
    if payload.len() > MAX_PAYLOAD_V6 {
        return false;
    }
    out.extend_from_slice(&[0x60, 0, 0, 0]);
    out.extend_from_slice(&length(UDP + payload.len()));
    out.extend_from_slice(&[PROTOCOL_UDP, HOPS]);
    out.extend_from_slice(&from.ip().octets());
    out.extend_from_slice(&to.ip().octets());
    udp(out, IPV6, from.port(), to.port(), payload);
    true
}

/// Appends UDP header and payload; addresses stand right before `header` octets of IP end.
fn udp(out: &mut Vec<u8>, header: usize, from: u16, to: u16, payload: &[u8]) {
    out.extend_from_slice(&from.to_be_bytes());
    out.extend_from_slice(&to.to_be_bytes());
    out.extend_from_slice(&length(UDP + payload.len()));
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(payload);
    // RFC 768: a checksum that comes out as zero is sent as all ones.
    let checksum = match !fold(sum(
        out.get(header..).unwrap_or_default(),
        pseudo(out, header),
    )) {
        0 => u16::MAX,
        other => other,
    };
    if let Some(field) = out.get_mut(header + 6..header + 8) {
        field.copy_from_slice(&checksum.to_be_bytes());
    }
}

/// Takes a raw IP packet apart. `None` unless it is one whole UDP datagram: other protocols,
/// fragments, IPv6 extension headers, and lengths that do not agree.
pub fn parse(data: &[u8]) -> Option<Datagram<'_>> {
    match data.first()? >> 4 {
        4 => parse_v4(data),
        6 => parse_v6(data),
        _ => None,
    }
}

fn parse_v4(data: &[u8]) -> Option<Datagram<'_>> {
    let header = usize::from(data.first()? & 0x0F) * 4;
    let total = usize::from(be16(data, 2)?);
    let fragment = be16(data, 6)? & 0x3FFF;
    if header < IPV4 || fragment != 0 || *data.get(9)? != PROTOCOL_UDP {
        return None;
    }
    let from: [u8; 4] = data.get(12..16)?.try_into().ok()?;
    let to: [u8; 4] = data.get(16..20)?.try_into().ok()?;
    let packet = data.get(..total)?;
    let sound = fold(sum(packet.get(..header)?, 0)) == u16::MAX;
    let pseudo = sum(packet.get(12..20)?, 0);
    let (from, to) = (Ipv4Addr::from(from), Ipv4Addr::from(to));
    parse_udp(packet.get(header..)?, from.into(), to.into(), pseudo, sound)
}

fn parse_v6(data: &[u8]) -> Option<Datagram<'_>> {
    let total = IPV6 + usize::from(be16(data, 4)?);
    if *data.get(6)? != PROTOCOL_UDP {
        return None;
    }
    let from: [u8; 16] = data.get(8..24)?.try_into().ok()?;
    let to: [u8; 16] = data.get(24..40)?.try_into().ok()?;
    let packet = data.get(..total)?;
    let pseudo = sum(packet.get(8..40)?, 0);
    let (from, to) = (Ipv6Addr::from(from), Ipv6Addr::from(to));
    parse_udp(packet.get(IPV6..)?, from.into(), to.into(), pseudo, true)
}

/// The UDP part, given the sum over the addresses and whether the IP header is sound.
fn parse_udp(
    udp: &[u8],
    from: IpAddr,
    to: IpAddr,
    addresses: u64,
    ip_sound: bool,
) -> Option<Datagram<'_>> {
    let stated = be16(udp, 4)?;
    let whole = udp.get(..usize::from(stated))?;
    let payload = whole.get(UDP..)?;
    let pseudo = addresses + u64::from(stated) + u64::from(PROTOCOL_UDP);
    let absent = be16(udp, 6)? == 0 && from.is_ipv4();
    Some(Datagram {
        source: SocketAddr::new(from, be16(udp, 0)?),
        destination: SocketAddr::new(to, be16(udp, 2)?),
        payload,
        checksums_hold: ip_sound && (absent || fold(sum(whole, pseudo)) == u16::MAX),
    })
}

/// Sum of the pseudo header: addresses, length, protocol (RFC 768, RFC 8200 8.1).
fn pseudo(packet: &[u8], header: usize) -> u64 {
    let addresses = if header == IPV4 { 12..20 } else { 8..40 };
    let start = u64::from(PROTOCOL_UDP) + u64::try_from(packet.len() - header).unwrap_or(0);
    sum(packet.get(addresses).unwrap_or_default(), start)
}

/// Adds 16-bit words in network order (RFC 1071); an odd octet counts as the upper half. Cannot
/// overflow for any input that fits into memory.
fn sum(data: &[u8], start: u64) -> u64 {
    let mut words = data.chunks_exact(2);
    let total = words.by_ref().fold(start, |total, word| {
        total + u64::from(u16::from_be_bytes([word[0], word[1]]))
    });
    match words.remainder() {
        [last] => total + (u64::from(*last) << 8),
        _ => total,
    }
}

/// End-around carry down to 16 bits.
fn fold(mut sum: u64) -> u16 {
    loop {
        match u16::try_from(sum) {
            Ok(folded) => return folded,
            Err(_) => sum = (sum & 0xFFFF) + (sum >> 16),
        }
    }
}

fn to_v6(address: SocketAddr) -> SocketAddrV6 {
    match address {
        SocketAddr::V4(v4) => SocketAddrV6::new(v4.ip().to_ipv6_mapped(), v4.port(), 0, 0),
        SocketAddr::V6(v6) => v6,
    }
}

/// A length field; callers have checked the bound.
fn length(length: usize) -> [u8; 2] {
    u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes()
}

fn be16(data: &[u8], at: usize) -> Option<u16> {
    let octets = data.get(at..at.checked_add(2)?)?;
    Some(u16::from_be_bytes(octets.try_into().ok()?))
}

/// Octets of an IPv4 header without options.
const IPV4: usize = 20;
/// Octets of an IPv6 header.
const IPV6: usize = 40;
/// Octets of a UDP header.
const UDP: usize = 8;
/// Protocol number of UDP.
const PROTOCOL_UDP: u8 = 17;
/// Time to live, or hop limit: the usual default.
const HOPS: u8 = 64;
