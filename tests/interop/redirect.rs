//! Calls that go through the primary's media anchor, a process of its own, asked by SIP.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::agents::Dialog;
use crate::judge::{assert_ssrcs, assert_stream, missing, recordings, unrecorded};
use crate::recording::Stream;
use crate::site::{Daemon, Plan, Setup, Site};
use crate::talk::{SSRC, said};
use crate::{can_run, migrate};

const PLAN: Plan = Plan {
    daemon: Daemon::Homeward,
    setup: Setup::Redirect,
    dialogs: &[Dialog::of("alice", "bob")],
    bridged: false,
};

/// Packets that are heard, at least, in each state of the call.
const ENOUGH: usize = 75;

#[test]
fn a_call_goes_straight_while_its_anchor_is_dead_and_returns_to_the_next_one() {
    let name = "a_call_goes_straight_while_its_anchor_is_dead_and_returns_to_the_next_one";
    if !can_run(name, PLAN) {
        return;
    }
    let site = Site::start(PLAN);
    migrate(&site, "alice", "primary.example");
    let said = said(14);
    let mut returned = [0; 2];
    let heard = site.call(&[&said[0].packets], &[&said[1].packets], |ears| {
        let more = |count: usize| {
            let until = [ears[0].count() + count, ears[1].count() + count];
            ears.iter()
                .zip(until)
                .for_each(|(ear, count)| ear.wait_for(count));
        };
        wait_for_lanes(&site, "through");
        more(ENOUGH);
        site.kill_elsewhere();
        wait_for_lanes(&site, "bypassed");
        more(ENOUGH);
        site.start_elsewhere();
        wait_for_lanes(&site, "through");
        returned = [ears[0].count(), ears[1].count()];
        more(ENOUGH);
    });

    let elsewhere = recordings(2, || site.recordings_elsewhere());
    elsewhere
        .iter()
        .for_each(|streams| assert_ssrcs(streams, &SSRC));
    let here = recordings(1, || site.recordings());
    for (number, said) in said.iter().enumerate() {
        let who = ["the callee", "the caller"][number];
        let missing = missing(who, &heard[1 - number], said);
        let lost = Duration::from_millis(20) * u32::try_from(missing.len()).unwrap();
        assert!(
            lost <= UNREACHABLE_AFTER + SLACK,
            "{who} misses {missing:?}"
        );
        // What went through home, and what went straight, is recorded: but for what was on its way
        // when the anchor died, in its memory, or between the two when the relay noticed.
        let all: Vec<Vec<Stream>> = elsewhere.iter().chain(&here).cloned().collect();
        let unrecorded = unrecorded(&all, SSRC[number], &said.packets);
        let allowed = missing.start.saturating_sub(UNSAVED)..missing.end + UNSAVED;
        assert!(
            unrecorded.iter().all(|number| allowed.contains(number)),
            "{who}: unrecorded {unrecorded:?} beside {missing:?}"
        );
        // The second anchor has the end of the call.
        let stream = &elsewhere[1][number];
        let back = said.packets.len() - stream.packets;
        assert_stream(stream, &said.packets[back..]);
        assert!(back >= missing.end + ENOUGH, "{who}: back from {back} on");
        let returned = returned[1 - number] + missing.len();
        assert!(
            back <= returned + UNSAVED,
            "{who}: back from {back}, {returned}"
        );
    }
    site.close();
}

/// Waits until both directions of the call are like that.
fn wait_for_lanes(site: &Site, state: &str) {
    let path = format!("/v1/calls/{}/explain", PLAN.dialogs[0].call_id());
    let mut last = String::new();
    let limit = Instant::now() + Duration::from_secs(15);
    while Instant::now() < limit {
        let (_, body) = site.http("GET", &path, "");
        let lanes = body["homes"][0]["lanes"].as_array();
        if lanes.is_some_and(|of| of.len() == 2 && of.iter().all(|lane| lane["state"] == state)) {
            return;
        }
        last = body.to_string();
        sleep(Duration::from_millis(50));
    }
    panic!("not {state}: {last}\n{}", site.log());
}

/// As in the configuration.
const UNREACHABLE_AFTER: Duration = Duration::from_millis(700);
/// How far an agent under load may stray from its pace.
const SLACK: Duration = Duration::from_millis(300);
/// Packets that come within the age at which a logger writes, and its writing.
const UNSAVED: usize = 25;
