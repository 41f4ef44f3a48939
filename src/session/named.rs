//! Calls by the names of their parties, so that a change of a record touches those calls alone.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};

use smallvec::SmallVec;

use super::call::Call;
use super::names;
use crate::migration::identity::McId;

/// Pairs of a name's hash and the key of a call. Two names with one hash do no harm: a call is
/// looked at in vain. The hash is keyed (SipHash), since peers choose the names; a name that
/// thousands of calls have costs no more than any other.
#[derive(Debug, Default)]
pub(super) struct Named {
    pairs: BTreeSet<(u64, usize)>,
    hasher: RandomState,
}

impl Named {
    /// A new call.
    pub(super) fn add(&mut self, key: usize, call: &Call) {
        for name in of(call) {
            self.pairs.insert((self.hasher.hash_one(name), key));
        }
    }

    /// A call that has ended.
    pub(super) fn remove(&mut self, key: usize, call: &Call) {
        for name in of(call) {
            self.pairs.remove(&(self.hasher.hash_one(name), key));
        }
    }

    /// A call that has changed.
    pub(super) fn rename(&mut self, key: usize, old: &Call, new: &Call) {
        if of(old) != of(new) {
            self.remove(key, old);
            self.add(key, new);
        }
    }

    /// The calls that have any of these names, each once.
    pub(super) fn calls(&self, names: &[McId]) -> Vec<usize> {
        let of_name = |name| {
            let hash = self.hasher.hash_one(name);
            self.pairs.range((hash, 0)..=(hash, usize::MAX))
        };
        let mut keys: Vec<usize> = names
            .iter()
            .flat_map(of_name)
            .map(|(_, key)| *key)
            .collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }
}

/// The names of a call's parties, each once.
fn of(call: &Call) -> SmallVec<[&McId; 4]> {
    let mut found: SmallVec<[&McId; 4]> = SmallVec::new();
    for party in &call.parties {
        let names = names::of(call, party);
        for name in [names.id, names.alias].into_iter().flatten() {
            if !found.contains(&name) {
                found.push(name);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migration::decision::LegRole;
    use crate::session::ids::{CallId, WorkerIndex};
    use crate::session::party::{Party, PartyId};
    use crate::wire::time::Timestamp;

    fn id(name: &str) -> McId {
        name.parse().unwrap()
    }

    fn call(calling: &str) -> Call {
        let mut call = Call::new(CallId::from("c"), WorkerIndex(0), Timestamp::default());
        let party = Party::new(PartyId(0), LegRole::Calling, Timestamp::default());
        call.parties.push(party);
        call.context.calling_id = Some(id(calling));
        call
    }

    #[test]
    fn calls_are_found_by_the_names_they_have_now() {
        let mut named = Named::default();
        let (alice, bob) = (call("alice@p"), call("bob@p"));
        named.add(1, &alice);
        named.add(2, &alice);
        named.rename(2, &alice, &bob);
        assert_eq!(named.calls(&[id("alice@p")]), [1]);
        assert_eq!(
            named.calls(&[id("bob@p"), id("alice@p"), id("bob@p")]),
            [1, 2]
        );
        named.remove(1, &alice);
        named.remove(2, &bob);
        assert!(named.pairs.is_empty());
    }
}
