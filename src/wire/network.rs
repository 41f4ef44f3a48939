//! Networks in CIDR notation, for allow lists.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A network: an address and the number of leading bits that count (RFC 4632 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// This host: 127.0.0.0/8 and ::1.
    pub const fn loopback() -> [Self; 2] {
        [
            Self {
                address: IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)),
                prefix: 8,
            },
            Self {
                address: IpAddr::V6(Ipv6Addr::LOCALHOST),
                prefix: 128,
            },
        ]
    }

    /// Whether the address belongs to it. An IPv4-mapped IPv6 address counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(address)) => {
                let differ = net.to_bits() ^ address.to_bits();
                differ.leading_zeros() >= u32::from(self.prefix)
            }
            (IpAddr::V6(net), IpAddr::V6(address)) => {
                let differ = net.to_bits() ^ address.to_bits();
                differ.leading_zeros() >= u32::from(self.prefix)
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        let prefix = if address.is_ipv4() { 32 } else { 128 };
        Self { address, prefix }
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || {
            let text: String = text.chars().take(64).collect();
            format!("{text:?} is not a network: expected \"10.0.0.0/8\" or one address")
        };
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let host = Self::from(address.parse::<IpAddr>().map_err(|_| bad())?);
        let Some(prefix) = prefix else {
            return Ok(host);
        };
        let digits = prefix.bytes().all(|byte| byte.is_ascii_digit());
        let bits = prefix.parse::<u8>().ok();
        match bits.filter(|bits| digits && *bits <= host.prefix) {
            Some(prefix) => Ok(Self { prefix, ..host }),
            None => Err(bad()),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_contain_their_addresses() {
        let net = |text: &str| text.parse::<Network>().unwrap();
        let has = |text: &str, address: &str| net(text).contains(address.parse().unwrap());
        assert!(has("10.0.0.0/8", "10.255.0.1"));
        assert!(has("10.0.0.0/8", "::ffff:10.1.1.1"));
        assert!(!has("10.0.0.0/8", "11.0.0.1"));
        assert!(has("0.0.0.0/0", "203.0.113.1"));
        assert!(!has("0.0.0.0/0", "2001:db8::1"));
        assert!(has("2001:db8::/32", "2001:db8:ffff::1"));
        assert!(!has("2001:db8::/32", "2001:db9::1"));
        assert!(has("192.0.2.1", "192.0.2.1"));
        assert!(!has("192.0.2.1", "192.0.2.2"));
    }

    #[test]
    fn others_are_refused() {
        for bad in [
            "",
            "/",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/",
            "10/8",
            "a/8",
            "1.2.3.4/+8",
        ] {
            assert!(bad.parse::<Network>().is_err(), "{bad:?}");
        }
    }
}
