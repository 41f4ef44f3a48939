//! A migration that ends in mid-call: the call goes on, its copies do not.

use std::time::SystemTime;

use crate::agents::Dialog;
use crate::judge::{assert_both_heard, assert_sounds_like, assert_ssrcs, content, one_recording};
use crate::site::{Daemon, Plan, Setup, Site};
use crate::talk::{SSRC, said};
use crate::{can_run, migrate};

const PLAN: Plan = Plan {
    daemon: Daemon::Homeward,
    setup: Setup::Duplicate,
    dialogs: &[Dialog::of("alice", "bob")],
    bridged: false,
};

/// Packets that are heard, at least, before the migration ends, and after it.
const ENOUGH: usize = 100;

#[test]
fn a_migration_that_ends_in_mid_call_ends_the_recording_and_not_the_call() {
    let name = "a_migration_that_ends_in_mid_call_ends_the_recording_and_not_the_call";
    if !can_run(name, PLAN) {
        return;
    }
    let site = Site::start(PLAN);
    let record = migrate(&site, "alice", "primary.example");
    let said = said(6);
    let (mut before, mut ended) = ([0; 2], SystemTime::UNIX_EPOCH);
    let heard = site.call(&[&said[0].packets], &[&said[1].packets], |ears| {
        ears.iter().for_each(|ear| ear.wait_for(ENOUGH));
        // What the caller says is what the callee hears.
        before = [ears[1].count(), ears[0].count()];
        let (status, body) = site.http("DELETE", &format!("/v1/migrations/{record}"), "");
        assert!((200..300).contains(&status), "{status} {body}");
        ended = SystemTime::now();
    });
    assert_both_heard(&site, &heard, &said);
    let ended = ended.duration_since(SystemTime::UNIX_EPOCH).unwrap();

    let streams = one_recording(&site);
    assert_ssrcs(&streams, &SSRC);
    for ((stream, said), before) in streams.iter().zip(&said).zip(before) {
        let recorded = stream.contents.len();
        let beginning = said
            .packets
            .iter()
            .take(recorded)
            .map(|packet| content(packet));
        assert!(stream.contents.iter().cloned().eq(beginning));
        assert!(recorded >= before, "{recorded} recorded, {before} heard");
        assert!(recorded + ENOUGH / 2 < said.packets.len(), "{recorded}");
        // The relay's clock and this one are the same, but it takes time stamps of its own kind.
        let late = stream.last - ended.as_secs_f64();
        assert!(late < 0.02, "recorded {late} s after the end");
        assert_sounds_like(&said.speech.part(0, recorded), &stream.coded());
    }
    site.close();
}
