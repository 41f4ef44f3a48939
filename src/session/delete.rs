//! NG `delete` (NG reference 9.2): who is meant, and who goes with it.

use super::call::Call;
use super::party::PartyId;
use super::request::Delete;
use crate::wire::time::Timestamp;

/// What a delete takes away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Removal {
    /// All of the call.
    Whole,
    /// These legs.
    Legs(Vec<PartyId>),
    /// Only a tag that another phone behind the same branch has used; the leg goes on.
    Nothing,
}

/// Finds what a delete means; `None` if its tags fit nobody.
///
/// Without `from-tag` it is the whole call. A usable `to-tag` picks that leg; else the branch
/// does; else, if a `to-tag` was given, the leg that was offered to and has no tag yet; else
/// `from-tag` picks its leg. Legs that are left without a peer go too.
pub(super) fn find(call: &Call, delete: &Delete) -> Option<Removal> {
    let Some(from_tag) = &delete.from_tag else {
        return Some(Removal::Whole);
    };
    let from = call.named(from_tag);
    let to = delete.to_tag.as_ref().and_then(|tag| call.named(tag));
    let branch = || {
        let branch = delete.via_branch.as_deref()?;
        let of_from = from.map(|from| call.peers_of(from).collect::<Vec<_>>());
        (0..call.parties.len()).find(|index| {
            let mine = of_from.as_ref().is_none_or(|peers| peers.contains(index));
            mine && call.parties[*index].via_branch.as_deref() == Some(branch)
        })
    };
    let untagged = || {
        delete.to_tag.as_ref()?;
        call.peers_of(from?)
            .filter(|&index| call.parties[index].tag.is_none())
            .last()
    };
    let from_itself = || match delete.to_tag {
        None => from,
        Some(_) => None,
    };
    let picked = to.or_else(branch).or_else(untagged).or_else(from_itself)?;
    let leg = &call.parties[picked];
    let by = if to.is_some() {
        delete.to_tag.as_ref()
    } else {
        None
    };
    let by = by.unwrap_or(from_tag);
    if leg.aliases.contains(by) && leg.tag.as_ref() != Some(by) {
        return Some(Removal::Nothing);
    }
    Some(closure(call, leg.id))
}

/// A leg with all that are left without a peer when it goes.
pub(super) fn closure(call: &Call, first: PartyId) -> Removal {
    let mut gone = vec![first];
    loop {
        let alone = call.parties.iter().find(|party| {
            !gone.contains(&party.id) && party.peers.iter().all(|peer| gone.contains(peer))
        });
        match alone {
            Some(party) => gone.push(party.id),
            None => break,
        }
    }
    match gone.len() == call.parties.len() {
        true => Removal::Whole,
        false => Removal::Legs(gone),
    }
}

/// Marks what is to go at this time. Something that was to go earlier still does.
pub(super) fn mark(call: &mut Call, removal: &Removal, at: Timestamp) {
    let sooner = |old: Option<Timestamp>| Some(old.map_or(at, |old| old.min(at)));
    match removal {
        Removal::Whole => call.delete_at = sooner(call.delete_at),
        Removal::Legs(legs) => {
            for party in &mut call.parties {
                if legs.contains(&party.id) {
                    party.delete_at = sooner(party.delete_at);
                }
            }
        }
        Removal::Nothing => {}
    }
}

/// Takes out the legs whose time has come, with those left alone. Returns whether any is left.
pub(super) fn sweep(call: &mut Call, now: Timestamp) -> bool {
    let due = |party: &super::party::Party| party.delete_at.is_some_and(|at| at <= now);
    while let Some(leg) = call.parties.iter().find(|party| due(party)).map(|p| p.id) {
        match closure(call, leg) {
            Removal::Whole => return false,
            Removal::Legs(legs) => legs.into_iter().for_each(|leg| call.remove_party(leg)),
            Removal::Nothing => break,
        }
    }
    true
}
