//! Why a call is, or is not, mirrored (design section 2, promise 5).

use super::call::Call;
use super::host::{DROP_REASONS, Host};
use super::party::Party;
use super::reply::{Explanation, LegExplanation, MirrorExplanation, MirrorStream};
use super::scope::Mirror;
use crate::migration::decision::{Decision, Outcome};

/// All that explains a call, as of now.
pub(super) fn of(call: &Call, host: &dyn Host) -> Explanation {
    Explanation {
        call_id: call.id.clone(),
        created: call.created,
        ended: None,
        context: call.context.clone(),
        legs: call.parties.iter().map(|party| leg(party, host)).collect(),
        mirrors: call.mirrors.iter().map(|m| mirror(m, host)).collect(),
    }
}

fn leg(party: &Party, host: &dyn Host) -> LegExplanation {
    let (decision, decided) = match &party.decided {
        Some(decided) => (**decided).clone(),
        None => {
            let undecided = Decision {
                looked_up: None,
                outcome: Outcome::Undecided,
            };
            (undecided, party.created)
        }
    };
    let mut packets = 0;
    let mut drops = [0_u64; DROP_REASONS.len()];
    let sets = party.medias.iter().flat_map(|media| &media.sets);
    for stream in sets.flat_map(|set| [set.rtp, set.rtcp]) {
        let counters = host.counters(stream);
        packets += counters.packets;
        for (sum, dropped) in drops.iter_mut().zip(counters.drops) {
            *sum += dropped;
        }
    }
    let named = DROP_REASONS
        .iter()
        .zip(drops)
        .filter(|(_, count)| *count > 0);
    LegExplanation {
        tag: party.tag.as_ref().map(ToString::to_string),
        role: party.role,
        decision,
        decided,
        packets,
        drops: named
            .map(|(name, count)| ((*name).to_owned(), count))
            .collect(),
    }
}

/// Which of the loggers has taken the mirror is known to whoever carries out the commands; here
/// stands the one preferred.
fn mirror(mirror: &Mirror, host: &dyn Host) -> MirrorExplanation {
    let logger = mirror.loggers.first().cloned();
    let note = match logger {
        Some(_) => mirror.info.reason.clone(),
        None => format!("{}; the agreement names no logger", mirror.info.reason),
    };
    let stream = |attached: &super::scope::Attached| {
        let counters = host.counters(attached.stream);
        MirrorStream {
            stream: attached.stream,
            media: attached.info.media,
            kind: attached.info.kind,
            packets: counters.mirrored,
            dropped: counters.mirror_dropped,
        }
    };
    MirrorExplanation {
        mirror: mirror.id,
        primary_system: mirror.primary.to_string(),
        logger,
        note,
        streams: mirror.attached.iter().map(stream).collect(),
    }
}
