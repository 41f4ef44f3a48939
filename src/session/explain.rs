//! Why a call is, or is not, mirrored (design section 2, promise 5).

use super::call::Call;
use super::host::Host;
use super::media::PortSet;
use super::party::Party;
use super::ports::Ports;
use super::reply::{Explanation, LegExplanation, MirrorExplanation, MirrorStream};
use super::scope::{Attached, Mirror};
use super::{flows, home};
use crate::migration::decision::{Decision, Outcome};

/// All that explains a call, as of now.
pub(super) fn of(call: &Call, ports: &Ports, host: &dyn Host) -> Explanation {
    Explanation {
        call_id: call.id.clone(),
        created: call.created,
        ended: None,
        context: call.context.clone(),
        legs: call.parties.iter().map(|party| leg(party, host)).collect(),
        mirrors: call.mirrors.iter().map(|m| mirror(m, host)).collect(),
        homes: home::explain::of(call, ports, host),
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
    let mut traffic = party.closed.as_deref().cloned().unwrap_or_default();
    for media in &party.medias {
        for (half, stream) in media.sets.iter().flat_map(PortSet::halves) {
            traffic.add(flows::kind(media, half), &host.counters(stream));
        }
    }
    let drops = traffic.drops().filter(|(_, count)| *count > 0);
    LegExplanation {
        tag: party.tag.as_ref().map(ToString::to_string),
        role: party.role,
        decision,
        decided,
        packets: traffic.packets(),
        drops: drops
            .map(|(name, count)| (name.to_owned(), count))
            .collect(),
    }
}

fn mirror(mirror: &Mirror, host: &dyn Host) -> MirrorExplanation {
    let taken = host.taken(mirror.id);
    let wanted = mirror.attached.len();
    let flaw = match &taken {
        None if mirror.loggers.is_empty() => "; the agreement names no logger".to_owned(),
        None => {
            let names = mirror.loggers.join(", ");
            format!("; no logger took it: no room at {names}")
        }
        Some(taken) if taken.streams < wanted => {
            let missing = wanted - taken.streams;
            format!("; for {missing} of its {wanted} streams the logger had no room")
        }
        Some(_) => String::new(),
    };
    let stream = |attached: &Attached| {
        let copies = attached.copies(host);
        MirrorStream {
            stream: attached.stream,
            media: attached.info.media,
            kind: attached.info.kind,
            packets: copies.packets,
            dropped: copies.dropped,
        }
    };
    MirrorExplanation {
        mirror: mirror.id,
        primary_system: mirror.primary.to_string(),
        logger: taken.map(|taken| taken.logger),
        note: format!("{}{flaw}", mirror.info.reason),
        streams: mirror.attached.iter().map(stream).collect(),
        detached: mirror.detached,
    }
}
