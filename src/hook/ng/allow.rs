//! Who may send requests: NG has no authentication, so the source address is all there is.

use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};

use crate::wire::network::Network;

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

/// The list in force; all clones change together.
#[derive(Clone, Debug)]
pub struct Allowed(Arc<RwLock<AllowList>>);

impl Allowed {
    /// This list, until it is changed.
    pub fn new(list: AllowList) -> Self {
        Self(Arc::new(RwLock::new(list)))
    }

    /// This list from the next datagram on.
    pub fn set(&self, list: AllowList) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = list;
    }

    pub(super) fn allows(&self, source: IpAddr) -> bool {
        let list = self.0.read().unwrap_or_else(PoisonError::into_inner);
        list.allows(source)
    }
}

impl Default for AllowList {
    fn default() -> Self {
        Self(Network::loopback().into())
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
