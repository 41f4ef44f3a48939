//! Repeats of a request: a table from (source IP, cookie) to the encoded reply (NG reference 3).
//!
//! Clients repeat a request under the same cookie when no reply came in time. A repeat must not be
//! carried out again: it gets the stored bytes, or waits for the first copy. The key has the IP and
//! not the port, since a retry may leave from another one. Pure: time is an argument, and whoever
//! waits is a token `W` that is handed back with the reply.

use std::collections::HashMap;
use std::collections::hash_map::{IntoIter, RandomState};
use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use smallvec::SmallVec;

use crate::wire::time::Timestamp;

/// Bounds of the table; two generations exist at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Replies in one generation.
    pub entries: usize,
    /// Octets of replies and cookies in one generation.
    pub octets: usize,
    /// How long a generation takes new replies: a reply is kept for one to two times that.
    pub generation: Duration,
    /// Repeats that may wait for one request in flight; further ones are dropped.
    pub waiters: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: 200_000,
            octets: 64 << 20,
            generation: Duration::from_secs(30),
            waiters: 16,
        }
    }
}

/// What to do with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// It is new: carry it out, then call [`Cache::complete`] or [`Cache::abandon`].
    New(Key),
    /// It is a repeat: send these bytes.
    Stored(Bytes),
    /// It is a repeat of one in flight: its token is handed back on completion.
    Waiting,
    /// It is a repeat of one in flight, and enough others are waiting: drop it.
    Crowded,
}

/// Names a request in flight.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key(KeyBytes);

impl Key {
    /// The cookie of the request.
    pub fn cookie(&self) -> &[u8] {
        &self.0[ADDRESS_LEN..]
    }

    fn new(source: IpAddr, cookie: &[u8]) -> Self {
        let mut bytes = KeyBytes::new();
        let address = match source {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        };
        bytes.extend_from_slice(&address.octets());
        bytes.extend_from_slice(cookie);
        Self(bytes)
    }
}

/// The table.
#[derive(Debug)]
pub struct Cache<W> {
    limits: Limits,
    current: Generation,
    previous: Generation,
    /// The generation before: dropped a few at a time, so that no request pays for all of it.
    fading: Option<IntoIter<Key, Bytes>>,
    in_flight: HashMap<Key, Vec<W>, RandomState>,
    swapped: Option<Timestamp>,
}

/// Replies of one time span.
#[derive(Debug, Default)]
struct Generation {
    replies: HashMap<Key, Bytes, RandomState>,
    octets: usize,
}

impl<W> Cache<W> {
    /// An empty table.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            current: Generation::default(),
            previous: Generation::default(),
            fading: None,
            in_flight: HashMap::default(),
            swapped: None,
        }
    }

    /// Asks what to do with a request; `waiter` is kept only if the answer is [`Lookup::Waiting`].
    pub fn begin(&mut self, source: IpAddr, cookie: &[u8], waiter: W, now: Timestamp) -> Lookup {
        self.age(now);
        self.fade();
        let key = Key::new(source, cookie);
        if let Some(reply) = self.stored(&key) {
            return Lookup::Stored(reply.clone());
        }
        match self.in_flight.get_mut(&key) {
            Some(waiters) if waiters.len() >= self.limits.waiters => Lookup::Crowded,
            Some(waiters) => {
                waiters.push(waiter);
                Lookup::Waiting
            }
            None => {
                self.in_flight.insert(key.clone(), Vec::new());
                Lookup::New(key)
            }
        }
    }

    /// The reply of a request that was new: stores it and gives the repeats that wait for it.
    pub fn complete(&mut self, key: Key, reply: Bytes, now: Timestamp) -> Vec<W> {
        self.age(now);
        let waiters = self.in_flight.remove(&key).unwrap_or_default();
        let octets = key.0.len() + reply.len();
        let full = self.current.replies.len() >= self.limits.entries
            || self.current.octets + octets > self.limits.octets;
        if full {
            // Bounded memory goes before the full time: the oldest replies go early.
            self.swap(now);
        }
        if octets <= self.limits.octets {
            self.current.octets += octets;
            self.current.replies.insert(key, reply);
        }
        waiters
    }

    /// A request that was new will have no reply: the next repeat is new again.
    pub fn abandon(&mut self, key: &Key) {
        self.in_flight.remove(key);
    }

    /// Replies that are stored.
    pub fn len(&self) -> usize {
        self.current.replies.len() + self.previous.replies.len()
    }

    /// Whether no reply is stored.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Requests in flight.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Octets that are stored: replies and keys, without the table's own overhead.
    pub const fn octets(&self) -> usize {
        self.current.octets + self.previous.octets
    }

    fn stored(&self, key: &Key) -> Option<&Bytes> {
        let newer = self.current.replies.get(key);
        newer.or_else(|| self.previous.replies.get(key))
    }

    fn age(&mut self, now: Timestamp) {
        let swapped = *self.swapped.get_or_insert(now);
        let age = now.since(swapped);
        let generation = self.limits.generation.max(Duration::from_millis(1));
        if age < generation {
            return;
        }
        let missed = age.as_nanos() / generation.as_nanos();
        if missed >= 2 {
            self.current = Generation::default();
        }
        // Kept in step, so that requests at odd times don't stretch a generation.
        let since = age.as_nanos() % generation.as_nanos();
        self.swap(now - Duration::from_nanos(u64::try_from(since).unwrap_or(0)));
    }

    fn swap(&mut self, now: Timestamp) {
        // As much room as the last one took: a growing table would stop for moving house.
        let fresh = Generation {
            replies: HashMap::with_capacity(self.current.replies.len()),
            octets: 0,
        };
        let full = std::mem::replace(&mut self.current, fresh);
        let old = std::mem::replace(&mut self.previous, full);
        self.fading = Some(old.replies.into_iter());
        self.swapped = Some(now);
    }

    fn fade(&mut self) {
        if let Some(fading) = &mut self.fading
            && fading.by_ref().take(FADE_STEP).count() < FADE_STEP
        {
            self.fading = None;
        }
    }
}

/// An address and the cookies of known clients fit without an allocation.
type KeyBytes = SmallVec<[u8; 48]>;
const ADDRESS_LEN: usize = 16;
/// A request adds one reply at most: old ones go faster than new ones come.
const FADE_STEP: usize = 8;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs(1_000 + secs)
    }

    fn new(cache: &mut Cache<u8>, cookie: &str, now: Timestamp) -> Key {
        let lookup = cache.begin(CLIENT, cookie.as_bytes(), 0, now);
        let Lookup::New(key) = lookup else {
            panic!("{lookup:?}");
        };
        key
    }

    #[test]
    fn a_repeat_gets_the_same_bytes_for_30_to_60_seconds() {
        let mut cache = Cache::new(Limits::default());
        let key = new(&mut cache, "c1", at(0));
        assert!(
            cache
                .complete(key, Bytes::from_static(b"r"), at(0))
                .is_empty()
        );
        for secs in [0, 1, 29, 31, 59] {
            let again = cache.begin(CLIENT, b"c1", 1, at(secs));
            assert_eq!(again, Lookup::Stored(Bytes::from_static(b"r")), "{secs}");
        }
        new(&mut cache, "c1", at(61));
    }

    #[test]
    fn a_long_pause_clears_everything() {
        let mut cache = Cache::new(Limits::default());
        let key = new(&mut cache, "c1", at(0));
        cache.complete(key, Bytes::from_static(b"r"), at(1));
        new(&mut cache, "c1", at(500));
        assert!(cache.is_empty());
        assert_eq!(cache.octets(), 0);
    }

    #[test]
    fn repeats_in_flight_wait_and_are_bounded() {
        let limits = Limits {
            waiters: 2,
            ..Limits::default()
        };
        let mut cache = Cache::new(limits);
        let key = new(&mut cache, "c1", at(0));
        assert_eq!(cache.begin(CLIENT, b"c1", 1, at(0)), Lookup::Waiting);
        // Not even two generations later is it new.
        assert_eq!(cache.begin(CLIENT, b"c1", 2, at(100)), Lookup::Waiting);
        assert_eq!(cache.begin(CLIENT, b"c1", 3, at(100)), Lookup::Crowded);
        let waiters = cache.complete(key, Bytes::from_static(b"r"), at(100));
        assert_eq!(waiters, [1, 2]);
        assert_eq!(cache.in_flight(), 0);
    }

    #[test]
    fn each_client_has_its_own_cookies() {
        let mut cache = Cache::new(Limits::default());
        let key = new(&mut cache, "c1", at(0));
        cache.complete(key, Bytes::from_static(b"r"), at(0));
        let other = "192.0.2.1".parse().unwrap();
        assert!(matches!(
            cache.begin(other, b"c1", 0, at(0)),
            Lookup::New(_)
        ));
        let mapped = "::ffff:127.0.0.1".parse().unwrap();
        assert!(matches!(
            cache.begin(mapped, b"c1", 0, at(0)),
            Lookup::Stored(_)
        ));
    }

    #[test]
    fn abandoned_requests_are_new_again() {
        let mut cache = Cache::new(Limits::default());
        let key = new(&mut cache, "c1", at(0));
        cache.abandon(&key);
        new(&mut cache, "c1", at(0));
    }

    #[test]
    fn entries_and_octets_are_bounded() {
        let limits = Limits {
            entries: 10,
            octets: 1_000,
            ..Limits::default()
        };
        let mut cache = Cache::new(limits);
        for n in 0..1_000 {
            let key = new(&mut cache, &n.to_string(), at(0));
            cache.complete(key, Bytes::from(vec![b'r'; n % 300]), at(0));
            assert!(cache.len() <= 20 && cache.octets() <= 2_000, "{n}");
        }
        let key = new(&mut cache, "huge", at(0));
        cache.complete(key, Bytes::from(vec![b'r'; 5_000]), at(0));
        assert!(cache.octets() <= 2_000);
    }

    proptest! {
        /// Any interleaving of requests, repeats, completions and time: a cookie is never carried
        /// out twice within a generation, and every waiter is answered exactly once.
        #[test]
        fn never_executed_twice(steps in proptest::collection::vec((0_u8..4, 0_u8..3), 1..200)) {
            let mut cache = Cache::new(Limits { waiters: 1_000, ..Limits::default() });
            let mut in_flight: Vec<(u8, Key, usize)> = Vec::new();
            let mut done: [Option<u64>; 3] = [None; 3];
            let mut now = 0_u64;
            for (what, cookie) in steps {
                match what {
                    0 | 1 => match cache.begin(CLIENT, &[cookie], cookie, at(now)) {
                        Lookup::New(key) => {
                            prop_assert!(in_flight.iter().all(|(other, ..)| *other != cookie));
                            prop_assert!(done[usize::from(cookie)].is_none_or(|t| now - t > 29));
                            in_flight.push((cookie, key, 0));
                        }
                        Lookup::Waiting => {
                            let found = in_flight.iter_mut().find(|(other, ..)| *other == cookie);
                            found.unwrap().2 += 1;
                        }
                        Lookup::Stored(reply) => {
                            prop_assert_eq!(reply.as_ref(), &[cookie]);
                            prop_assert!(done[usize::from(cookie)].is_some_and(|t| now - t <= 60));
                        }
                        Lookup::Crowded => prop_assert!(false),
                    },
                    2 if !in_flight.is_empty() => {
                        let (cookie, key, waiting) = in_flight.remove(0);
                        let waiters = cache.complete(key, Bytes::from(vec![cookie]), at(now));
                        prop_assert_eq!(waiters, vec![cookie; waiting]);
                        done[usize::from(cookie)] = Some(now);
                    }
                    _ => now += 7,
                }
            }
        }
    }
}
