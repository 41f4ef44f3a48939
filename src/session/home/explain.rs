//! How the home legs of a call stand, for `explain` and views.

use super::super::call::Call;
use super::super::host::Host;
use super::super::ids::StreamId;
use super::super::ports::Ports;
use super::super::reply::{HomeExplanation, HomeState, LaneExplanation, LaneState};
use super::super::scope;
use super::flow::source;
use super::plan::elsewhere;
use super::{Answer, Carried, Home, Lane, Pair, Standing};
use crate::session::host::DROP_REASONS;
use crate::wire::block::MediaKind;

/// All home legs.
pub(in super::super) fn of(call: &Call, ports: &Ports, host: &dyn Host) -> Vec<HomeExplanation> {
    let homes = call.homes.iter();
    homes.map(|home| one(call, home, ports, host)).collect()
}

fn one(call: &Call, home: &Home, ports: &Ports, host: &dyn Host) -> HomeExplanation {
    let mut sum = home.gone;
    home.lanes
        .iter()
        .for_each(|lane| sum.add(lane.carried(host)));
    let reason = match &home.standing {
        Standing::Failed { reason, .. } => Some(reason.to_string()),
        Standing::Idle | Standing::Pending | Standing::Up => None,
    };
    HomeExplanation {
        home: home.id,
        primary_system: home.primary.to_string(),
        anchors: home.anchors.clone(),
        anchor: host.anchor(home.id),
        state: state(home),
        since: home.since,
        reason,
        next_try: home.next_try(),
        note: note(call, home),
        bypasses: home.bypasses,
        returns: home.returns,
        unanswered: home.unanswered,
        sent: sum.sent,
        returned: sum.returned,
        lost: sum.lost,
        dropped: sum.dropped,
        lanes: home
            .lanes
            .iter()
            .map(|lane| lane_of(call, home, lane, ports, host))
            .collect(),
    }
}

fn state(home: &Home) -> HomeState {
    match home.standing {
        Standing::Idle => HomeState::Idle,
        Standing::Pending => HomeState::Pending,
        Standing::Up => HomeState::Up,
        Standing::Failed { .. } => HomeState::Failed,
    }
}

/// What does not go through home now, and where it goes instead.
fn note(call: &Call, home: &Home) -> String {
    let mut notes: Vec<String> = Vec::new();
    if home.lanes.is_empty() {
        notes.push("no media has both its ends known yet".to_owned());
    }
    let recorded = scope::has_loggers(call, &home.primary);
    let instead = match recorded {
        true => "straight, with a copy to the loggers",
        false => "straight, and is not recorded: the agreement names no logger",
    };
    let straight = |lane: &&Lane| !matches!(lane_state(home, lane), LaneState::Through);
    match home.lanes.iter().filter(straight).count() {
        0 => {}
        n if n == home.lanes.len() => notes.push(format!("all media goes {instead}")),
        n => {
            let all = home.lanes.len();
            notes.push(format!(
                "{n} of {all} lanes are without home: their media goes {instead}"
            ));
        }
    }
    for other in elsewhere(call, &home.primary) {
        let instead = match recorded {
            true => "a copy of it goes to the loggers here",
            false => "no copy is kept here: the agreement names no logger",
        };
        notes.push(format!(
            "what users of {other} send to its users goes through {other}; {instead}"
        ));
    }
    notes.join("; ")
}

fn lane_state(home: &Home, lane: &Lane) -> LaneState {
    match (&home.standing, lane.pair, lane.answer) {
        (Standing::Failed { .. }, _, _) => LaneState::Failed,
        (_, None, _) => LaneState::NoPort,
        (_, Some(_), Answer::Waiting) => LaneState::Pending,
        (_, Some(_), Answer::Refused) => LaneState::Refused,
        (_, Some(pair), Answer::At(_)) if pair.lost != [false; 2] => LaneState::Bypassed,
        (_, Some(_), Answer::At(_)) => LaneState::Through,
    }
}

fn lane_of(
    call: &Call,
    home: &Home,
    lane: &Lane,
    ports: &Ports,
    host: &dyn Host,
) -> LaneExplanation {
    let counts: Carried = lane.carried(host);
    let mut drops = [0; DROP_REASONS.len()];
    for stream in lane.pair.iter().flat_map(Pair::streams) {
        let counters = host.counters(stream);
        for (sum, more) in drops.iter_mut().zip(counters.drops) {
            *sum += more;
        }
    }
    let streams: Vec<StreamId> = lane.pair.iter().flat_map(Pair::streams).collect();
    let local = lane.pair.map(|pair| {
        let address = ports.address(pair.opened.place).bind;
        std::net::SocketAddr::new(address, pair.opened.port)
    });
    LaneExplanation {
        label: lane.label.to_string(),
        media: source(call, lane.key).map_or(MediaKind::Other, |(_, media, _)| media.kind),
        direction: lane.direction,
        state: lane_state(home, lane),
        streams,
        local,
        remote: lane.open().map(|(_, remote)| remote),
        sent: counts.sent,
        returned: counts.returned,
        lost: counts.lost,
        drops: DROP_REASONS
            .iter()
            .zip(drops)
            .filter(|(_, count)| *count > 0)
            .map(|(name, count)| ((*name).to_owned(), count))
            .collect(),
    }
}
