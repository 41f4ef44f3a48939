//! Which local ports are free: even and odd pairs, by local address.
//!
//! A pair that was freed goes to the end of its queue, so a port does not come back while packets
//! of its former call may still be on the way. Taking and giving back cost the same however full
//! a pool is. Only numbers are kept here; sockets are the host's.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use rustc_hash::FxHashSet;
use serde::{Deserialize, Serialize};

use super::core::{Interface, LocalAddress};
use super::media::{Half, PortSet};
use super::options::Family;
use super::reply::PortUse;

/// Index of a local address of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct PlaceId(u16);

impl PlaceId {
    /// As an index of [`Names::places`].
    pub(super) fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// All local addresses with their ports.
#[derive(Debug)]
pub(super) struct Ports {
    names: Arc<Names>,
    places: Vec<Place>,
    pools: Vec<Pool>,
}

impl Ports {
    /// All ports free, in an order that `seed` mixes: ports that follow one another are easy to
    /// guess for a stranger.
    pub(super) fn new(interfaces: &[Interface], seed: &str) -> Self {
        let mut ports = Self {
            names: Arc::new(Names::of(interfaces)),
            places: Vec::new(),
            pools: Vec::new(),
        };
        for (index, interface) in (0_u16..).zip(interfaces) {
            for address in &interface.addresses {
                let pool = ports.pool(address.bind, interface.ports, seed);
                ports.places.push(Place {
                    interface: index,
                    address: *address,
                    pool,
                });
            }
        }
        ports
    }

    /// The pool of this address; interfaces that share address and range share it.
    fn pool(&mut self, bind: IpAddr, range: (u16, u16), seed: &str) -> usize {
        let same = |p: &Pool| p.bind == bind && p.range == range;
        self.pools.iter().position(same).unwrap_or_else(|| {
            self.pools.push(Pool::new(bind, range, seed));
            self.pools.len() - 1
        })
    }

    /// Index of an interface.
    pub(super) fn interface(&self, name: &str) -> Option<u16> {
        let index = self.names.interfaces.iter().position(|n| n == name)?;
        u16::try_from(index).ok()
    }

    /// Local addresses of an interface in this family, the one with most free ports first. If it
    /// has none in this family, those of the other.
    pub(super) fn places(&self, interface: u16, family: Family) -> Vec<PlaceId> {
        let mut found = self.of_family(interface, family);
        if found.is_empty() {
            found = self.of_family(interface, other(family));
        }
        found.sort_by_key(|&place| std::cmp::Reverse(self.free(place)));
        found
    }

    fn of_family(&self, interface: u16, family: Family) -> Vec<PlaceId> {
        let fits = |p: &Place| p.interface == interface && Family::of(p.address.bind) == family;
        (0..)
            .zip(&self.places)
            .filter(|(_, place)| fits(place))
            .map(|(index, _)| PlaceId(index))
            .collect()
    }

    /// The interface that a local address belongs to.
    pub(super) fn interface_of(&self, place: PlaceId) -> u16 {
        self.place(place).interface
    }

    /// The address itself.
    pub(super) fn address(&self, place: PlaceId) -> LocalAddress {
        self.place(place).address
    }

    /// The socket address of one half of a pair.
    pub(super) fn local(&self, set: &PortSet, half: Half) -> SocketAddr {
        let port = match half {
            Half::Rtp => set.port,
            Half::Rtcp => set.port.saturating_add(1),
        };
        SocketAddr::new(self.address(set.place).bind, port)
    }

    /// Its family.
    pub(super) fn family(&self, place: PlaceId) -> Family {
        Family::of(self.place(place).address.bind)
    }

    /// How many pairs are free.
    pub(super) fn free(&self, place: PlaceId) -> usize {
        self.pool_of(place).free_pairs()
    }

    /// Takes the pair that has been free for longest; the even port is returned.
    pub(super) fn take(&mut self, place: PlaceId) -> Option<u16> {
        let index = self.place(place).pool;
        let pool = &mut self.pools[index];
        pool.settle();
        pool.free.pop_front()
    }

    /// Takes this very pair, if it is one of the address's and free.
    pub(super) fn claim(&mut self, place: PlaceId, port: u16) -> bool {
        let index = self.place(place).pool;
        let pool = &mut self.pools[index];
        let ours = port.is_multiple_of(2) && (pool.range.0..pool.range.1).contains(&port);
        let untouched = pool.free.len() == pool.pairs;
        ours && (untouched || pool.free.contains(&port)) && pool.claimed.insert(port)
    }

    /// Free ports in another order, that this seed gives: after a restart those that were used
    /// last are not to be the first ones again.
    pub(super) fn mix(&mut self, seed: &str) {
        for pool in &mut self.pools {
            shuffle(pool.free.make_contiguous(), seed);
        }
    }

    /// Names of interfaces and addresses, for those who write indexes down.
    pub(super) fn names(&self) -> &Arc<Names> {
        &self.names
    }

    /// The local address of an interface, by name.
    pub(super) fn find(&self, interface: &str, bind: IpAddr) -> Option<PlaceId> {
        let interface = self.interface(interface)?;
        let same = |place: &Place| place.interface == interface && place.address.bind == bind;
        let index = self.places.iter().position(same)?;
        u16::try_from(index).ok().map(PlaceId)
    }

    /// Gives a pair back.
    pub(super) fn give_back(&mut self, place: PlaceId, port: u16) {
        let index = self.place(place).pool;
        let pool = &mut self.pools[index];
        pool.settle();
        debug_assert!(
            pool.free.len() < pool.pairs,
            "port {port} is given back twice"
        );
        pool.free.push_back(port);
    }

    /// Ports in use, by interface and address.
    pub(super) fn usage(&self) -> Vec<PortUse> {
        let usage = |place: &Place| {
            let pool = &self.pools[place.pool];
            let used = pool.pairs.saturating_sub(pool.free_pairs()) * 2;
            PortUse {
                interface: self.names.interfaces[usize::from(place.interface)].clone(),
                address: place.address.bind,
                min: pool.range.0,
                max: pool.range.1,
                used: u32::try_from(used).unwrap_or(u32::MAX),
            }
        };
        self.places.iter().map(usage).collect()
    }

    fn place(&self, place: PlaceId) -> &Place {
        &self.places[usize::from(place.0)]
    }

    fn pool_of(&self, place: PlaceId) -> &Pool {
        &self.pools[self.place(place).pool]
    }
}

/// What the indexes of interfaces and local addresses mean.
#[derive(Debug)]
pub(super) struct Names {
    /// Names of the interfaces.
    pub(super) interfaces: Vec<String>,
    /// Interface and address of each place.
    pub(super) places: Vec<(u16, IpAddr)>,
}

impl Names {
    fn of(interfaces: &[Interface]) -> Self {
        let place = |(index, interface): (u16, &Interface)| {
            let address = move |address: &LocalAddress| (index, address.bind);
            interface.addresses.iter().map(address).collect::<Vec<_>>()
        };
        Self {
            interfaces: interfaces.iter().map(|i| i.name.clone()).collect(),
            places: (0..).zip(interfaces).flat_map(place).collect(),
        }
    }
}

#[derive(Debug)]
struct Place {
    interface: u16,
    address: LocalAddress,
    pool: usize,
}

#[derive(Debug)]
struct Pool {
    bind: IpAddr,
    range: (u16, u16),
    pairs: usize,
    free: VecDeque<u16>,
    /// Taken out of turn, and still among the free ones: all are taken out in one go.
    claimed: FxHashSet<u16>,
}

impl Pool {
    fn new(bind: IpAddr, range: (u16, u16), seed: &str) -> Self {
        let mut free: Vec<u16> = (range.0..range.1).filter(|port| port % 2 == 0).collect();
        shuffle(&mut free, seed);
        Self {
            bind,
            range,
            pairs: free.len(),
            free: free.into(),
            claimed: FxHashSet::default(),
        }
    }

    fn free_pairs(&self) -> usize {
        self.free.len() - self.claimed.len()
    }

    fn settle(&mut self) {
        if !self.claimed.is_empty() {
            let claimed = std::mem::take(&mut self.claimed);
            self.free.retain(|port| !claimed.contains(port));
        }
    }
}

/// Fisher and Yates, with a hash for dice.
fn shuffle(ports: &mut [u16], seed: &str) {
    for last in (1..ports.len()).rev() {
        let mut hasher = DefaultHasher::new();
        (seed, last).hash(&mut hasher);
        let dice = hasher.finish() % (last as u64 + 1);
        ports.swap(last, usize::try_from(dice).unwrap_or(last));
    }
}

const fn other(family: Family) -> Family {
    match family {
        Family::Ip4 => Family::Ip6,
        Family::Ip6 => Family::Ip4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(name: &str, addresses: &[&str], ports: (u16, u16)) -> Interface {
        let address = |text: &&str| LocalAddress {
            bind: text.parse().unwrap(),
            advertised: text.parse().unwrap(),
        };
        Interface {
            name: name.into(),
            addresses: addresses.iter().map(address).collect(),
            ports,
        }
    }

    #[test]
    fn a_freed_port_comes_back_last() {
        let mut ports = Ports::new(&[interface("a", &["127.0.0.1"], (2000, 2019))], "x");
        let place = ports.places(0, Family::Ip4)[0];
        let first = ports.take(place).unwrap();
        ports.give_back(place, first);
        let rest: Vec<u16> = std::iter::from_fn(|| ports.take(place)).collect();
        assert_eq!((rest.len(), rest[9]), (10, first));
        assert!(rest.iter().all(|p| p % 2 == 0 && (2000..2019).contains(p)));
    }

    #[test]
    fn a_claimed_port_is_taken_until_it_is_given_back() {
        let mut ports = Ports::new(&[interface("a", &["127.0.0.1"], (2000, 2019))], "x");
        let place = ports.find("a", "127.0.0.1".parse().unwrap()).unwrap();
        assert!(ports.claim(place, 2004) && ports.claim(place, 2006));
        for port in [2004, 2005, 1998, 2020] {
            assert!(!ports.claim(place, port), "{port}");
        }
        assert_eq!((ports.free(place), ports.usage()[0].used), (8, 4));
        ports.mix("y");
        let first = ports.take(place).unwrap();
        assert!(!ports.claim(place, first), "in use");
        ports.give_back(place, 2004);
        assert!(ports.claim(place, 2004));
        ports.give_back(place, 2004);
        let rest: Vec<u16> = std::iter::from_fn(|| ports.take(place)).collect();
        assert_eq!((rest.len(), rest.last()), (8, Some(&2004)));
        assert!(!rest.contains(&2006));
        assert_eq!(ports.find("b", "127.0.0.1".parse().unwrap()), None);
        assert_eq!(ports.find("a", "127.0.0.2".parse().unwrap()), None);
    }

    #[test]
    fn odd_bounds_give_whole_pairs_only() {
        for (range, pairs) in [((2001, 2005), 2), ((2000, 2000), 0), ((65534, 65535), 1)] {
            let ports = Ports::new(&[interface("a", &["127.0.0.1"], range)], "x");
            assert_eq!(ports.free(PlaceId(0)), pairs, "{range:?}");
        }
    }

    #[test]
    fn addresses_of_a_family_share_the_load() {
        let all = ["127.0.0.1", "::1", "127.0.0.2"];
        let mut ports = Ports::new(&[interface("a", &all, (2000, 2009))], "x");
        let first = ports.places(0, Family::Ip4)[0];
        ports.take(first);
        assert_ne!(ports.places(0, Family::Ip4)[0], first);
        assert_eq!(ports.places(0, Family::Ip4).len(), 2);
        assert_eq!(ports.places(0, Family::Ip6).len(), 1);
    }

    #[test]
    fn a_missing_family_falls_back_to_the_other() {
        let ports = Ports::new(&[interface("a", &["::1"], (2000, 2009))], "x");
        assert_eq!(ports.family(ports.places(0, Family::Ip4)[0]), Family::Ip6);
    }

    #[test]
    fn interfaces_on_one_address_share_its_ports() {
        let both = [
            interface("core", &["127.0.0.1"], (2000, 2009)),
            interface("partner", &["127.0.0.1"], (2000, 2009)),
        ];
        let mut ports = Ports::new(&both, "x");
        let taken = ports.take(PlaceId(0)).unwrap();
        assert!(!std::iter::from_fn(|| ports.take(PlaceId(1))).any(|p| p == taken));
        assert!(ports.usage().iter().all(|u| u.used == 10));
    }
}
