//! A socket address in the kernel's own layout, so that it goes in and out of system calls
//! without being built anew for every packet.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// An IPv4 or IPv6 socket address, or none: 28 octets that are a `sockaddr_in` or a
/// `sockaddr_in6` to the kernel.
///
/// Octets that the family does not use are always zero and the flow label is never kept, so that
/// equality of the octets is equality of the addresses.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Address {
    family: u16,
    /// Network order.
    port: [u8; 2],
    /// IPv4: four octets. IPv6: flow label, sixteen octets, scope.
    rest: [u8; 24],
}

impl Address {
    /// No address.
    pub const NONE: Self = Self {
        family: 0,
        port: [0; 2],
        rest: [0; 24],
    };

    /// Whether there is an address at all.
    pub const fn is_some(&self) -> bool {
        self.family != 0
    }

    /// Whether something can be sent there: an address that is neither unspecified nor has port 0.
    pub fn is_sendable(&self) -> bool {
        self.is_some() && self.port() != 0 && self.ip_octets().iter().any(|&octet| octet != 0)
    }

    /// Whether the address is one of IPv6.
    pub const fn is_ipv6(&self) -> bool {
        self.family == FAMILY_V6
    }

    /// UDP port; zero if there is no address.
    pub const fn port(&self) -> u16 {
        u16::from_be_bytes(self.port)
    }

    /// Whether both are the same host, whatever the ports.
    pub fn same_ip(&self, other: &Self) -> bool {
        self.family == other.family && self.rest == other.rest
    }

    /// The address as std has it; `None` if there is none.
    pub fn to_std(self) -> Option<SocketAddr> {
        match self.family {
            FAMILY_V4 => {
                let [a, b, c, d, ..] = self.rest;
                Some(SocketAddr::from((Ipv4Addr::new(a, b, c, d), self.port())))
            }
            FAMILY_V6 => {
                let mut octets = [0; 16];
                octets.copy_from_slice(&self.rest[V6_OCTETS]);
                let mut scope = [0; 4];
                scope.copy_from_slice(&self.rest[V6_SCOPE]);
                Some(SocketAddr::V6(SocketAddrV6::new(
                    Ipv6Addr::from(octets),
                    self.port(),
                    0,
                    u32::from_ne_bytes(scope),
                )))
            }
            _ => None,
        }
    }

    /// How many octets of it the kernel is shown.
    pub(super) const fn kernel_len(&self) -> libc::socklen_t {
        if self.is_ipv6() { 28 } else { 16 }
    }

    /// What the kernel wrote, `len` octets of it, with the octets cleared that do not count.
    pub(super) fn cleaned(self, len: libc::socklen_t) -> Self {
        let mut clean = Self {
            family: self.family,
            port: self.port,
            rest: [0; 24],
        };
        match (self.family, len) {
            (FAMILY_V4, 8..) => clean.rest[..4].copy_from_slice(&self.rest[..4]),
            (FAMILY_V6, 28..) => clean.rest[4..].copy_from_slice(&self.rest[4..]),
            _ => return Self::NONE,
        }
        clean
    }

    fn ip_octets(&self) -> &[u8] {
        if self.is_ipv6() {
            &self.rest[V6_OCTETS]
        } else {
            &self.rest[..4]
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        let mut rest = [0; 24];
        let family = match address {
            SocketAddr::V4(v4) => {
                rest[..4].copy_from_slice(&v4.ip().octets());
                FAMILY_V4
            }
            SocketAddr::V6(v6) => {
                rest[V6_OCTETS].copy_from_slice(&v6.ip().octets());
                rest[V6_SCOPE].copy_from_slice(&v6.scope_id().to_ne_bytes());
                FAMILY_V6
            }
        };
        Self {
            family,
            port: address.port().to_be_bytes(),
            rest,
        }
    }
}

impl From<Option<SocketAddr>> for Address {
    fn from(address: Option<SocketAddr>) -> Self {
        address.map_or(Self::NONE, Self::from)
    }
}

impl From<(IpAddr, u16)> for Address {
    fn from(parts: (IpAddr, u16)) -> Self {
        SocketAddr::from(parts).into()
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to_std() {
            Some(address) => address.fmt(f),
            None => f.write_str("none"),
        }
    }
}

const FAMILY_V4: u16 = 2; // AF_INET
const FAMILY_V6: u16 = 10; // AF_INET6
const V6_OCTETS: std::ops::Range<usize> = 4..20;
const V6_SCOPE: std::ops::Range<usize> = 20..24;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_the_layout_of_the_kernel() {
        assert_eq!(i32::from(FAMILY_V4), libc::AF_INET);
        assert_eq!(i32::from(FAMILY_V6), libc::AF_INET6);
        assert_eq!(size_of::<Address>(), size_of::<libc::sockaddr_in6>());
        assert!(size_of::<Address>() >= size_of::<libc::sockaddr_in>());
    }

    #[test]
    fn std_addresses_survive() {
        for text in ["192.0.2.1:5004", "[2001:db8::7]:1", "[fe80::1%3]:65535"] {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(Address::from(address).to_std(), Some(address), "{text}");
        }
        assert_eq!(Address::NONE.to_std(), None);
        assert_eq!(Address::from(None), Address::NONE);
    }

    #[test]
    fn leftovers_of_the_other_family_do_not_count() {
        let mut raw = Address::from("[2001:db8::7]:9".parse::<SocketAddr>().unwrap());
        raw.family = FAMILY_V4;
        raw.rest[..4].copy_from_slice(&[192, 0, 2, 1]);
        let clean = raw.cleaned(16);
        assert_eq!(clean, "192.0.2.1:9".parse::<SocketAddr>().unwrap().into());
        assert_eq!(raw.cleaned(0), Address::NONE);
    }

    #[test]
    fn sendable_means_host_and_port() {
        let sendable =
            |text: &str| Address::from(text.parse::<SocketAddr>().unwrap()).is_sendable();
        assert!(sendable("192.0.2.1:1"));
        assert!(sendable("[::1]:1"));
        assert!(!sendable("0.0.0.0:5004"));
        assert!(!sendable("[::]:5004"));
        assert!(!sendable("192.0.2.1:0"));
        assert!(!Address::NONE.is_sendable());
    }

    #[test]
    fn hosts_compare_without_ports() {
        let address = |text: &str| Address::from(text.parse::<SocketAddr>().unwrap());
        assert!(address("192.0.2.1:1").same_ip(&address("192.0.2.1:2")));
        assert!(!address("192.0.2.1:1").same_ip(&address("192.0.2.2:1")));
        assert!(!address("192.0.2.1:1").same_ip(&address("[::1]:1")));
    }
}
