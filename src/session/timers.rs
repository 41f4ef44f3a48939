//! Time-outs of a call (NG reference 13.1), and when to look at it next.

use std::time::Duration;

use super::call::Call;
use super::command::EndReason;
use super::core::Settings;
use super::home::Home;
use super::host::Host;
use super::media::Declared;
use crate::wire::time::Timestamp;

/// After the answer, and then again: when to look whether media flows both ways.
pub(super) const ONE_WAY_CHECK: Duration = Duration::from_secs(10);
/// How long that is looked at.
const ONE_WAY_FOR: Duration = Duration::from_secs(60);

/// What has become of a call whose time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It goes on.
    Lives,
    /// It ends.
    Ends(EndReason),
}

/// When to look at the call next.
pub(super) fn due(call: &Call, settings: &Settings) -> Timestamp {
    let parties = call.parties.iter().filter_map(|party| party.delete_at);
    let retired = call.sets().filter_map(|(_, _, _, set)| set.retired);
    let homes = call.homes.iter().filter_map(Home::due);
    let length = settings.final_timeout.map(|length| call.created + length);
    parties
        .chain(retired)
        .chain(homes)
        .chain(length)
        .chain(call.delete_at)
        .chain(call.one_way_due)
        .fold(call.quiet_due, Ord::min)
}

/// When to look for silence next, if signalling has touched the call at `now`.
pub(super) fn quiet_due(call: &Call, settings: &Settings, now: Timestamp) -> Timestamp {
    now + match call.answered {
        None => settings.offer_timeout,
        Some(_) => patience(call, settings).0,
    }
}

/// Judges the call, and moves its next looks on.
pub(super) fn judge(
    call: &mut Call,
    settings: &Settings,
    host: &dyn Host,
    now: Timestamp,
) -> Verdict {
    if call.delete_at.is_some_and(|at| at <= now) {
        return Verdict::Ends(EndReason::Deleted);
    }
    let reached = |length| call.created + length <= now;
    if settings.final_timeout.is_some_and(reached) {
        return Verdict::Ends(EndReason::FinalTimeout);
    }
    if call.quiet_due > now {
        return Verdict::Lives;
    }
    if call.answered.is_none() {
        return Verdict::Ends(EndReason::OfferTimeout);
    }
    let (patience, reason) = patience(call, settings);
    let heard = call.streams().filter_map(|s| host.counters(s).last_packet);
    call.quiet_due = heard.fold(call.last_signal, Ord::max) + patience;
    match call.quiet_due > now {
        true => Verdict::Lives,
        false => Verdict::Ends(reason),
    }
}

/// How long an answered call may be silent.
pub(super) fn patience(call: &Call, settings: &Settings) -> (Duration, EndReason) {
    match is_held(call) {
        true => (settings.silent_timeout, EndReason::SilentTimeout),
        false => (settings.media_timeout, EndReason::MediaTimeout),
    }
}

/// On hold or muted: no RTP media of the call is stated to flow both ways. Floor control and the
/// like does not count, since it states no direction; a call with nothing else is not on hold.
pub(super) fn is_held(call: &Call) -> bool {
    let mut any = false;
    for (party, index, media, set) in call.sets() {
        if !media.is_rtp() || set.retired.is_some() {
            continue;
        }
        any = true;
        let other = call.party(set.peer).and_then(|p| p.medias.get(index));
        let other = other.and_then(|media| media.declared());
        let both = |d: &Declared| d.direction.sends() && d.direction.receives() && !d.held;
        let own = party.medias[index].declared();
        if own.is_some_and(both) && other.is_some_and(both) {
            return false;
        }
    }
    any
}

/// Looks whether media flows one way only. Settled once it flows both ways, was reported, or a
/// minute has gone by; a call on hold is not judged. Returns whether it is to be reported.
pub(super) fn one_way(call: &mut Call, host: &dyn Host, now: Timestamp) -> bool {
    let (Some(due), Some(answered)) = (call.one_way_due, call.answered) else {
        return false;
    };
    if due > now {
        return false;
    }
    let speaking = if is_held(call) {
        0
    } else {
        speakers(call, host)
    };
    let over = now.since(answered) >= ONE_WAY_FOR;
    call.one_way_due = match speaking {
        0 if !over => Some(now + ONE_WAY_CHECK),
        _ => None,
    };
    // Users of push to talk take turns: there one way is how it should be.
    speaking == 1 && !takes_turns(call)
}

/// Whether media flows one way only as of now, and should not: some time after the answer, not on
/// hold, and not push to talk.
pub(super) fn is_one_way(call: &Call, host: &dyn Host, now: Timestamp) -> bool {
    let talking = |at: Timestamp| now.since(at) >= ONE_WAY_CHECK;
    call.answered.is_some_and(talking)
        && !is_held(call)
        && !takes_turns(call)
        && speakers(call, host) == 1
}

/// How many legs media has come from.
pub(super) fn speakers(call: &Call, host: &dyn Host) -> usize {
    let spoke = |party: &&super::party::Party| {
        // A socket that is closed has counted too, in this process or in an earlier one.
        let before = party.closed.as_ref();
        let sets = party.medias.iter().flat_map(|media| &media.sets);
        before.is_some_and(|closed| closed.packets() > 0)
            || sets
                .flat_map(|set| [set.rtp, set.rtcp])
                .any(|stream| host.counters(stream).packets > 0)
    };
    call.parties.iter().filter(spoke).count()
}

fn takes_turns(call: &Call) -> bool {
    use crate::wire::block::MediaKind;
    let medias = call.parties.iter().flat_map(|party| &party.medias);
    medias
        .filter(|media| !media.sets.is_empty())
        .any(|media| media.kind == MediaKind::Floor)
}
