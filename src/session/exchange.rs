//! Offer and answer (NG reference 5.1, 9.1): one message, from the SDP that came to the SDP that
//! goes on.
//!
//! All is done in a draft of the call, which the core takes over only if it succeeds.

use super::call::Call;
use super::command::Notice;
use super::core::Settings;
use super::negotiate::Turn;
use super::options::Ice;
use super::ports::Ports;
use super::reply::Error;
use super::request::Exchange;
use super::sockets::Sockets;
use super::{names, rewrite, timers};
use crate::wire::sdp::Session;

/// Which half of an exchange a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `offer`.
    Offer,
    /// `answer`.
    Answer,
}

/// What a message has led to.
pub(super) struct Outcome {
    /// The SDP for the other side.
    pub(super) sdp: Vec<u8>,
    /// News.
    pub(super) notices: Vec<Notice>,
}

/// Refuses what this relay cannot do and what cannot be meant, before anything is looked up.
pub(super) fn check(message: &Exchange) -> Result<(), Error> {
    // A party does not talk to itself.
    if message.to_tag.as_ref() == Some(&message.from_tag) {
        return Err(Error::BadDialogue);
    }
    match message.options.ice {
        Ice::Force => Err(Error::Unsupported("ICE")),
        Ice::Remove | Ice::Pass => Ok(()),
    }
}

/// Works a message into the draft of its call.
pub(super) fn run(
    draft: &mut Call,
    message: &Exchange,
    session: &Session<'_>,
    kind: Kind,
    sockets: &mut Sockets<'_>,
) -> Result<Outcome, Error> {
    let now = sockets.now;
    let first_new = draft.next_party;
    let (offerer, answerer) = match kind {
        Kind::Offer => draft.legs_of_offer(message, now)?,
        Kind::Answer => draft.legs_of_answer(message)?,
    };
    let (sender, receiver) = match kind {
        Kind::Offer => (offerer, answerer),
        Kind::Answer => (answerer, offerer),
    };
    let new = draft.next_party.wrapping_sub(first_new);
    names::take(draft, message.context.clone(), [offerer, answerer], |leg| {
        leg.0.wrapping_sub(first_new) < new
    });
    take_call_facts(draft, message, kind, sockets);
    take_leg_facts(draft, message, sender, receiver, sockets.settings);
    let mut notices = Vec::new();
    if kind == Kind::Offer {
        take_interfaces(
            draft,
            message,
            [sender, receiver],
            sockets.ports,
            &mut notices,
        );
    }
    let mut turn = Turn {
        draft,
        message,
        session,
        kind,
        sender,
        receiver,
    };
    let plans = turn.negotiate(sockets)?;
    let plan = rewrite::Plan {
        options: &message.options,
        instance: &sockets.settings.instance,
        origin_address: turn.origin_address(sockets.ports),
        session_id: turn.draft.created.micros(),
        medias: &plans,
    };
    let mut memory = std::mem::take(&mut turn.draft.parties[receiver].memory);
    let sdp = rewrite::write(session, &plan, &mut memory)?;
    drop(plans);
    draft.parties[receiver].memory = memory;
    draft.parties[sender].sdp = Some(message.sdp.as_slice().into());
    draft.quiet_due = timers::quiet_due(draft, sockets.settings, now);
    Ok(Outcome { sdp, notices })
}

fn take_call_facts(draft: &mut Call, message: &Exchange, kind: Kind, sockets: &Sockets<'_>) {
    draft.last_signal = sockets.now;
    // A message within the delete delay revives the call (NG reference 9.2).
    draft.delete_at = None;
    let options = &message.options;
    if options.metadata.is_some() {
        draft.metadata.clone_from(&options.metadata);
    }
    draft.tos = options.tos.or(draft.tos);
    if kind == Kind::Answer && draft.answered.is_none() {
        draft.answered = Some(sockets.now);
        draft.one_way_due = Some(sockets.now + timers::ONE_WAY_CHECK);
    }
}

fn take_leg_facts(
    draft: &mut Call,
    message: &Exchange,
    sender: usize,
    receiver: usize,
    settings: &Settings,
) {
    let options = &message.options;
    let from = &mut draft.parties[sender];
    from.delete_at = None;
    from.take_policy(options, settings, options.asymmetric);
    if options.label.is_some() {
        from.label.clone_from(&options.label);
    }
    let to = &mut draft.parties[receiver];
    to.delete_at = None;
    if to.sdp.is_none() {
        // Until its own message comes, the flags of the offer are all there is.
        to.take_policy(options, settings, false);
    }
}

/// Interfaces count in offers: at an answer both sides have been chosen. An unknown name falls
/// back to the default (NG reference 6.1).
fn take_interfaces(
    draft: &mut Call,
    message: &Exchange,
    legs: [usize; 2],
    ports: &Ports,
    notices: &mut Vec<Notice>,
) {
    for (leg, name) in legs.into_iter().zip(&message.options.direction) {
        let Some(name) = name else {
            continue;
        };
        let found = ports.interface(name);
        if found.is_none() {
            notices.push(Notice::UnknownInterface(draft.id.clone(), name.clone()));
        }
        draft.parties[leg].interface = found.unwrap_or(0);
    }
}
