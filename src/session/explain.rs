//! Why a call is, or is not, mirrored (design section 2, promise 5).

use super::call::Call;
use super::command::Flow;
use super::host::Host;
use super::ids::StreamId;
use super::media::PortSet;
use super::operate;
use super::party::Party;
use super::ports::Ports;
use super::recording::Switch;
use super::reply::{Explanation, LegExplanation, MirrorExplanation, MirrorStream};
use super::scope::{Attached, Mirror};
use super::{flows, home, recording, timers};
use crate::migration::decision::Decision;
use crate::wire::time::Timestamp;

/// All that explains a call, as of now.
pub(super) fn of(call: &Call, ports: &Ports, host: &dyn Host, now: Timestamp) -> Explanation {
    let flows = flows::of(call, false);
    let legs = call.parties.iter().map(|party| leg(party, &flows, host));
    Explanation {
        call_id: call.id.clone(),
        as_of: now,
        created: call.created,
        answered: call.answered,
        ended: None,
        end: None,
        state: operate::state(call),
        one_way: timers::is_one_way(call, host, now),
        context: call.context.clone(),
        legs: legs.collect(),
        mirrors: call.mirrors.iter().map(|m| mirror(call, m, host)).collect(),
        homes: home::explain::of(call, ports, host),
        recordings: recording::of(call),
    }
}

fn leg(party: &Party, flows: &[(StreamId, Flow)], host: &dyn Host) -> LegExplanation {
    let (decision, decided) = match &party.decided {
        Some(decided) => (**decided).clone(),
        None => (Decision::undecided(), party.created),
    };
    let mut traffic = party.closed.as_deref().cloned().unwrap_or_default();
    let (mut packets_out, mut lost, mut last_packet) = (0, 0, None);
    for media in &party.medias {
        for (half, stream) in media.sets.iter().flat_map(PortSet::halves) {
            let counters = host.counters(stream);
            traffic.add(flows::kind(media, half), &counters);
            lost += counters.lost;
            last_packet = last_packet.max(counters.last_packet);
            let to_it = flows
                .iter()
                .filter(|(_, flow)| flow.forward == Some(stream));
            packets_out += to_it
                .map(|(from, _)| host.counters(*from).forwarded)
                .sum::<u64>();
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
        preroll: traffic.preroll,
        packets_out,
        lost,
        last_packet,
    }
}

fn mirror(call: &Call, mirror: &Mirror, host: &dyn Host) -> MirrorExplanation {
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
        Some(_) if call.switches.of(&mirror.primary) == Switch::Paused && wanted == 0 => {
            "; paused by signalling".to_owned()
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
