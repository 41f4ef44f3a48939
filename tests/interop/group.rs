//! A group session of five: a server has a dialog with each member, and passes on what the others
//! say. Two members have migrated, from different primaries.

use crate::agents::{Dialog, Parts};
use crate::judge::{assert_sounds_like, assert_ssrcs, assert_stream, recordings};
use crate::party::assert_heard;
use crate::recording::Stream;
use crate::site::{Daemon, Plan, Setup, Site};
use crate::speech::Speech;
use crate::talk::{Said, voices};
use crate::{can_run, migrate};

const GROUP: (&str, &str) = ("X-Group", "sip:fire@partner.example");
/// Joins the dialogs to one call of the relay.
const SESSION: (&str, &str) = ("X-Session", "session-1");
/// Places of those who have migrated, and where from.
const MIGRATED: [(usize, &str, &str); 2] = [
    (0, "alice", "primary.example"),
    (3, "dave", "other.example"),
];

const JOINED: Plan = Plan {
    daemon: Daemon::Homeward,
    setup: Setup::TwoPrimaries,
    dialogs: &[
        with("alice", &[GROUP, SESSION]),
        with("bob", &[GROUP, SESSION]),
        with("carol", &[GROUP, SESSION]),
        with("dave", &[GROUP, SESSION]),
        with("erin", &[GROUP, SESSION]),
    ],
    bridged: false,
};

const APART: Plan = Plan {
    dialogs: &[
        with("alice", &[GROUP]),
        with("bob", &[GROUP]),
        with("carol", &[GROUP]),
        with("dave", &[GROUP]),
        with("erin", &[GROUP]),
    ],
    ..JOINED
};

/// As a proxy does that tells the relay which dialogs belong together.
#[test]
fn each_primary_gets_its_own_leg_of_a_group_session_in_one_call() {
    let name = "each_primary_gets_its_own_leg_of_a_group_session_in_one_call";
    if can_run(name, JOINED) {
        each_primary_gets_its_own_leg(JOINED);
    }
}

/// As a proxy does that knows of each dialog alone.
#[test]
fn each_primary_gets_its_own_leg_of_a_group_session_in_five_calls() {
    let name = "each_primary_gets_its_own_leg_of_a_group_session_in_five_calls";
    if can_run(name, APART) {
        each_primary_gets_its_own_leg(APART);
    }
}

fn each_primary_gets_its_own_leg(plan: Plan) {
    let site = Site::start(plan);
    for (_, user, primary) in MIGRATED {
        migrate(&site, user, primary);
    }
    let said: Vec<[Said; 2]> = (0..plan.dialogs.len()).map(member).collect();
    let parts: Vec<[[&[Vec<u8>]; 1]; 2]> = said
        .iter()
        .map(|[focus, member]| [[&focus.packets[..]], [&member.packets[..]]])
        .collect();
    let parts: Vec<[&Parts<'_>; 2]> = parts.iter().map(|[a, b]| [&a[..], &b[..]]).collect();
    let heard = site.calls(&parts, |_| {});

    let (first, last) = site.ports().media();
    for (dialog, (said, heard)) in plan.dialogs.iter().zip(said.iter().zip(&heard)) {
        let relay = first..last + 1;
        assert_heard(dialog.callee, &heard[1], &said[0].packets, relay.clone());
        assert_heard("the server", &heard[0], &said[1].packets, relay);
    }
    let here = recordings(1, || site.recordings());
    let elsewhere = recordings(1, || site.recordings_elsewhere());
    assert_leg(&here[0], &said[MIGRATED[0].0]);
    assert_leg(&elsewhere[0], &said[MIGRATED[1].0]);
    // Loggers that end close whatever is still open.
    let found = site.close();
    assert_eq!(found.len(), 2, "{found:?}");
}

/// What the server says to a member, and what the member says.
fn member(place: usize) -> [Said; 2] {
    let others: Vec<usize> = (0..JOINED.dialogs.len())
        .filter(|of| *of != place)
        .collect();
    let heard = others[1..]
        .iter()
        .fold(speech(others[0]), |heard, of| heard.and(&speech(*of)));
    // Nobody hears himself.
    let own: &[(usize, u32)] = &[(place * TURN, u32::try_from(TURN).unwrap())];
    let silent = (1..others.len()).contains(&place);
    let number = u32::try_from(place).unwrap();
    [
        Said::of(heard, 0xF0C0_0000 + number, if silent { own } else { &[] }),
        Said::of(speech(place), 0x5A1D_0000 + number, &[]),
    ]
}

/// Frames of a member's turn to speak.
const TURN: usize = 60;

fn speech(place: usize) -> Speech {
    let first = place / 3 * 2 * TURN;
    voices()[place % 3].part(first, first + TURN)
}

/// A recording has what a member has said and heard, and nothing else.
fn assert_leg(streams: &[Stream], [focus, member]: &[Said; 2]) {
    let ssrc = |said: &Said| u32::from_be_bytes(said.packets[0][8..12].try_into().unwrap());
    assert_ssrcs(streams, &[ssrc(member), ssrc(focus)]);
    for (stream, said) in streams.iter().zip([member, focus]) {
        assert_stream(stream, &said.packets);
        assert_sounds_like(&said.speech, &stream.coded());
    }
}

const fn with(callee: &'static str, headers: &'static [(&'static str, &'static str)]) -> Dialog {
    Dialog {
        caller: "server",
        callee,
        headers,
    }
}
