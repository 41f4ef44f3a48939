//! A relay that is restarted in the middle of a conversation, without any new signalling.

use std::time::Duration;

use crate::agents::Dialog;
use crate::judge::{missing, recordings, unrecorded};
use crate::site::{Daemon, Plan, Restart, Setup, Site};
use crate::talk::{SSRC, said};
use crate::{can_run, migrate};

const PLAN: Plan = Plan {
    daemon: Daemon::Homeward,
    setup: Setup::Duplicate,
    dialogs: &[Dialog::of("alice", "bob")],
    bridged: false,
};

/// Packets that are heard, at least, before the restart.
const ENOUGH: usize = 125;

#[test]
fn a_call_outlives_an_orderly_restart() {
    let name = "a_call_outlives_an_orderly_restart";
    if can_run(name, PLAN) {
        outlives(Restart::Orderly);
    }
}

#[test]
fn a_call_outlives_the_sudden_end_of_the_relay() {
    let name = "a_call_outlives_the_sudden_end_of_the_relay";
    if can_run(name, PLAN) {
        outlives(Restart::Killed);
    }
}

#[test]
fn a_call_loses_no_packet_when_another_process_takes_over() {
    let name = "a_call_loses_no_packet_when_another_process_takes_over";
    if can_run(name, PLAN) {
        outlives(Restart::TakenOver);
    }
}

fn outlives(how: Restart) {
    let site = Site::start(PLAN);
    migrate(&site, "alice", "primary.example");
    let said = said(8);
    let mut outage = Duration::ZERO;
    let heard = site.call(&[&said[0].packets], &[&said[1].packets], |ears| {
        ears.iter().for_each(|ear| ear.wait_for(ENOUGH));
        let (begun, back) = site.restart(how);
        outage = back - begun;
    });
    // Nobody listens to the recordings of a relay that still writes them.
    let recorded = recordings(2, || site.recordings());
    for (number, said) in said.iter().enumerate() {
        let who = ["the callee", "the caller"][number];
        let missing = missing(who, &heard[1 - number], said);
        let lost = Duration::from_millis(20) * u32::try_from(missing.len()).unwrap();
        match how {
            Restart::TakenOver => assert!(missing.is_empty(), "{who} misses {missing:?}"),
            Restart::Orderly | Restart::Killed => {
                assert!(lost <= outage + SLACK, "{lost:?} lost in {outage:?}");
                assert!(missing.start >= ENOUGH && missing.end < said.packets.len());
            }
        }
        let unsaved = unrecorded(&recorded, SSRC[number], &said.packets);
        let allowed = missing.start.saturating_sub(unsaved_by(how))..missing.end;
        assert!(
            unsaved.iter().all(|number| allowed.contains(number)),
            "{how:?}: heard, but not recorded: {unsaved:?} beside {missing:?}"
        );
    }
    site.close();
}

/// Packets that a relay may have had in memory only when it ended: none if it ended in peace, and
/// otherwise what came within the age at which the logger writes, and its writing.
const fn unsaved_by(how: Restart) -> usize {
    match how {
        Restart::Orderly | Restart::TakenOver => 0,
        Restart::Killed => 25,
    }
}

/// How far an agent under load may stray from its pace.
const SLACK: Duration = Duration::from_millis(300);
