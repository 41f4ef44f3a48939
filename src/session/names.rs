//! What signalling calls the parties of a call.
//!
//! In a call between two the context says it all: the calling ID is the leg of the first offer,
//! the called ID the leg that answers. With more legs the IDs of a message mean the two legs that
//! the message is about, so that each member of a group session has its own.

use serde::{Deserialize, Serialize};

use super::call::Call;
use super::party::{Party, PartyId};
use crate::migration::context::{CallContext, SessionType};
use crate::migration::decision::{LegRole, Names};
use crate::migration::identity::McId;

/// Names of a leg that does not go by the context of its call; without any it is unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct OwnNames {
    /// Its MC service ID, or a functional alias in the place of one.
    pub(super) id: Option<McId>,
    /// The functional alias that it uses, or is addressed by.
    pub(super) alias: Option<McId>,
}

/// What a message says of one of its legs.
#[derive(Default)]
struct Said {
    id: Option<McId>,
    alias: Option<McId>,
}

/// What signalling calls a leg.
pub(super) fn of<'a>(call: &'a Call, party: &'a Party) -> Names<'a> {
    match &party.own {
        Some(own) => Names {
            id: own.id.as_ref(),
            alias: own.alias.as_ref(),
        },
        None => Names::of(&call.context, party.role),
    }
}

/// Takes over what an offer or answer tells: about the call, and about the legs that offer and
/// answer. `is_new` tells legs that the message has made.
pub(super) fn take(
    call: &mut Call,
    mut told: CallContext,
    [offerer, answerer]: [usize; 2],
    is_new: impl Fn(PartyId) -> bool,
) {
    let mut calling = Said {
        id: told.calling_id.take(),
        alias: told.functional_alias.take(),
    };
    let mut called = Said {
        id: told.called_id.take(),
        alias: told.called_functional_alias.take(),
    };
    call.context.merge(told);
    if is_turned(call, &calling, &called, offerer, answerer) {
        std::mem::swap(&mut calling, &mut called);
    }
    for (leg, said) in [(offerer, calling), (answerer, called)] {
        name(call, leg, said, is_new(call.parties[leg].id));
    }
}

/// More is known about the call: a leg that is alone at its end goes by the context from then on.
pub(super) fn take_context(call: &mut Call, told: CallContext) {
    let ends = [
        (LegRole::Calling, told.calling_id.is_some()),
        (LegRole::Called, told.called_id.is_some()),
    ];
    for (role, named) in ends {
        let mut legs = call.parties.iter_mut().filter(|party| party.role == role);
        if let (true, Some(only), None) = (named, legs.next(), legs.next()) {
            only.own = None;
        }
    }
    call.context.merge(told);
}

/// Whether the IDs of an offer by the called party keep the places of the first offer. Scripts
/// that always give `From` as the calling ID turn them; then one of them is at its known place.
fn is_turned(call: &Call, calling: &Said, called: &Said, offerer: usize, answerer: usize) -> bool {
    let (offerer, answerer) = (&call.parties[offerer], &call.parties[answerer]);
    if (offerer.role, answerer.role) != (LegRole::Called, LegRole::Calling) {
        return false;
    }
    let known =
        |party: &Party, said: &Said| said.id.is_some() && of(call, party).id == said.id.as_ref();
    !known(offerer, calling) && !known(answerer, called)
}

fn name(call: &mut Call, leg: usize, said: Said, is_new: bool) {
    let role = call.parties[leg].role;
    let alone = others(call, leg).next().is_none();
    if said.id.is_none() && said.alias.is_none() {
        if is_new && !alone && !shares(call, leg) {
            call.parties[leg].own = Some(Box::default());
        }
        return;
    }
    if alone && call.parties[leg].own.is_none() {
        let context = &mut call.context;
        let (id, alias) = match role {
            LegRole::Calling => (&mut context.calling_id, &mut context.functional_alias),
            LegRole::Called => (&mut context.called_id, &mut context.called_functional_alias),
        };
        *id = said.id.or_else(|| id.take());
        *alias = said.alias.or_else(|| alias.take());
        return;
    }
    let own = call.parties[leg].own.get_or_insert_default();
    own.id = said.id.or_else(|| own.id.take());
    own.alias = said.alias.or_else(|| own.alias.take());
}

/// Whether a leg that a message does not name is another branch to the called user of the call.
/// Members of a group are different users, and so are legs beside one that has its own name.
fn shares(call: &Call, leg: usize) -> bool {
    let is_group = call.context.group_id.is_some()
        || matches!(
            call.context.session_type,
            Some(SessionType::Prearranged | SessionType::Chat | SessionType::Adhoc)
        );
    let called = call.parties[leg].role == LegRole::Called;
    called && !is_group && others(call, leg).all(|party| party.own.is_none())
}

/// The other legs at the same end of the call.
fn others(call: &Call, leg: usize) -> impl Iterator<Item = &Party> {
    let this = &call.parties[leg];
    let all = call.parties.iter();
    all.filter(|party| party.role == this.role && party.id != this.id)
}
