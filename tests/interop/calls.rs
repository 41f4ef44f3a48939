//! Calls of two, in all the shapes that they have without anything happening to the relay.

use std::time::Duration;

use crate::agents::Dialog;
use crate::judge::{assert_both_heard, assert_recorded};
use crate::process::wait_for;
use crate::site::{Daemon, Plan, Setup, Site};
use crate::talk::{SSRC, Said, said};
use crate::{can_run, migrate, ports, setup};

const PLAN: Plan = Plan {
    daemon: Daemon::Homeward,
    setup: Setup::Duplicate,
    dialogs: &[Dialog::of("alice", "bob")],
    bridged: false,
};

#[test]
fn a_migrated_caller_is_heard_and_recorded() {
    let name = "a_migrated_caller_is_heard_and_recorded";
    if can_run(name, PLAN) {
        let site = Site::start(PLAN);
        migrate(&site, "alice", "primary.example");
        let said = talk(&site);
        assert_recorded(&site, &said);
        site.close();
    }
}

#[test]
fn a_call_between_ipv4_and_ipv6_is_heard_and_recorded() {
    let name = "a_call_between_ipv4_and_ipv6_is_heard_and_recorded";
    let plan = Plan {
        bridged: true,
        ..PLAN
    };
    if can_run(name, plan) {
        let site = Site::start(plan);
        migrate(&site, "alice", "primary.example");
        let said = talk(&site);
        assert_recorded(&site, &said);
        site.close();
    }
}

#[test]
fn a_call_that_is_held_and_resumed_is_one_whole_recording() {
    let name = "a_call_that_is_held_and_resumed_is_one_whole_recording";
    if can_run(name, PLAN) {
        let site = Site::start(PLAN);
        migrate(&site, "alice", "primary.example");
        let said = talk_with_hold(&site);
        assert_recorded(&site, &said);
        site.close();
    }
}

#[test]
fn a_caller_who_has_not_migrated_is_heard_and_not_recorded() {
    let name = "a_caller_who_has_not_migrated_is_heard_and_not_recorded";
    let plan = Plan {
        dialogs: const { &[Dialog::of("carol", "bob")] },
        ..PLAN
    };
    if can_run(name, plan) {
        let site = Site::start(plan);
        migrate(&site, "alice", "primary.example");
        let path = format!("/v1/calls/{}/explain", plan.dialogs[0].call_id());
        let mut explained = String::new();
        let said = said(4);
        let heard = site.call(&[&said[0].packets], &[&said[1].packets], |_| {
            explained = wait_for("the call", Duration::from_secs(10), || {
                let (status, body) = site.http("GET", &path, "");
                (status == 200 && body.to_string().contains("bob")).then(|| body.to_string())
            });
        });
        assert_both_heard(&site, &heard, &said);
        assert!(explained.contains("not-migrated"), "{explained}");
        assert!(
            explained.contains("sip:carol@partner.example"),
            "{explained}"
        );
        // A logger that ends closes whatever is still open.
        let found = site.close();
        assert!(
            found.is_empty(),
            "recorded although not migrated: {found:?}"
        );
    }
}

/// Shows that proxy, agents and this test do their part, whatever the relay does.
#[test]
fn the_same_call_passes_through_rtpengine() {
    let name = "the_same_call_passes_through_rtpengine";
    let plan = Plan {
        daemon: Daemon::Rtpengine,
        bridged: ports::has_ipv6(),
        ..PLAN
    };
    if can_run(name, plan) {
        let site = Site::start(plan);
        talk(&site);
        site.close();
    }
}

/// The same for hold and resume.
#[test]
fn a_held_call_passes_through_rtpengine() {
    let name = "a_held_call_passes_through_rtpengine";
    let plan = Plan {
        daemon: Daemon::Rtpengine,
        ..PLAN
    };
    if can_run(name, plan) {
        let site = Site::start(plan);
        talk_with_hold(&site);
        site.close();
    }
}

#[test]
fn the_relay_takes_its_configurations() {
    let ports = ports::Ports::find();
    for setup in [Setup::Duplicate, Setup::TwoPrimaries, Setup::Redirect] {
        let more = setup::elsewhere_config(setup, ports);
        for text in more
            .into_iter()
            .chain([setup::homeward_config(setup, ports)])
        {
            let checked = homeward::config::check(&text);
            assert!(checked.is_ok(), "{checked:#?}");
        }
    }
}

/// A call in which both talk once.
fn talk(site: &Site) -> [Said; 2] {
    let said = said(4);
    let heard = site.call(&[&said[0].packets], &[&said[1].packets], |_| {});
    assert_both_heard(site, &heard, &said);
    said
}

/// A call that the caller holds after a while: it goes on playing, and the callee keeps silent
/// until the call is resumed.
fn talk_with_hold(site: &Site) -> [Said; 2] {
    let [alice, bob] = said(4).map(|said| said.speech);
    let (first, second) = (70, 130);
    let said = [
        Said::of(alice, SSRC[0], &[(first, 50), (second, 50)]),
        Said::of(bob, SSRC[1], &[(first, 200)]),
    ];
    let caller = [
        &said[0].packets[..first],
        &said[0].packets[first..second],
        &said[0].packets[second..],
    ];
    let callee = [&said[1].packets[..first], &said[1].packets[first..]];
    let heard = site.call(&caller, &callee, |_| {});
    assert_both_heard(site, &heard, &said);
    said
}
