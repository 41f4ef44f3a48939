//! Who may send requests: NG has no authentication, so the source address is all there is.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use thiserror::Error;

/// A network: an address and the length of its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// Whether the address lies in it. An IPv4 address mapped into IPv6 counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let shift = 32 - u32::from(self.prefix);
                let differs = network.to_bits() ^ address.to_bits();
                differs.checked_shr(shift).unwrap_or(0) == 0
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let shift = 128 - u32::from(self.prefix);
                let differs = network.to_bits() ^ address.to_bits();
                differs.checked_shr(shift).unwrap_or(0) == 0
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

/// `192.0.2.0/24`, `2001:db8::/32`, or a single address.
impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let error = || NetworkError(text.chars().take(64).collect());
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| error())?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(prefix) => prefix.parse().map_err(|_| error())?,
            None => longest,
        };
        if prefix > longest {
            return Err(error());
        }
        Ok(Self { address, prefix })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// Not a network.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is not a network: expected an address, or an address, a slash and a prefix length")]
pub struct NetworkError(String);

/// Networks whose hosts may send requests. The default is this host alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowList(Vec<Network>);

impl AllowList {
    /// Loopback and these.
    pub fn new(networks: impl IntoIterator<Item = Network>) -> Self {
        let mut all = Self::default();
        all.0.extend(networks);
        all
    }

    /// These alone: not even loopback unless it is among them.
    pub fn only(networks: impl IntoIterator<Item = Network>) -> Self {
        Self(networks.into_iter().collect())
    }

    /// Whether requests from there are taken.
    pub fn allows(&self, source: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(source))
    }
}

impl Default for AllowList {
    fn default() -> Self {
        let network = |address: IpAddr, prefix| Network { address, prefix };
        Self(vec![
            network(IpAddr::from([127, 0, 0, 0]), 8),
            network(IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]), 128),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_only_unless_told() {
        let list = AllowList::default();
        for (address, allowed) in [
            ("127.0.0.1", true),
            ("127.255.0.9", true),
            ("::1", true),
            ("::ffff:127.0.0.1", true),
            ("192.0.2.1", false),
            ("::2", false),
            ("::ffff:192.0.2.1", false),
        ] {
            assert_eq!(list.allows(address.parse().unwrap()), allowed, "{address}");
        }
    }

    #[test]
    fn networks_by_prefix() {
        let list = AllowList::new(["192.0.2.128/25", "2001:db8::/32"].map(|n| n.parse().unwrap()));
        let allows = |address: &str| list.allows(address.parse().unwrap());
        assert!(allows("192.0.2.200") && !allows("192.0.2.5"));
        assert!(allows("2001:db8:1::5") && !allows("2001:db9::5"));
        assert!(allows("127.0.0.1"));
        let only = AllowList::only(["127.0.0.2".parse().unwrap()]);
        assert!(only.allows("127.0.0.2".parse().unwrap()));
        assert!(!only.allows("127.0.0.1".parse().unwrap()));
        let any: Network = "0.0.0.0/0".parse().unwrap();
        assert!(any.contains("198.51.100.1".parse().unwrap()));
        assert!(!any.contains("2001:db8::1".parse().unwrap()));
        let host: Network = "192.0.2.7".parse().unwrap();
        assert_eq!(host.to_string(), "192.0.2.7/32");
    }

    #[test]
    fn bad_networks_are_refused() {
        for bad in [
            "",
            "x",
            "192.0.2.0/33",
            "192.0.2.0/-1",
            "192.0.2.0/",
            "::/129",
            "192.0.2/24",
        ] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }
}
