//! Calls of many legs, users whose migration failed, and what signalling may do with mirrors.

use std::collections::BTreeSet;

use homeward::migration::agreement::OnFailedMigration;
use homeward::migration::context::{CallContext, SessionType};
use homeward::migration::decision::{Outcome, Reason};
use homeward::migration::identity::McId;
use homeward::migration::record::{RecordId, Standing};
use homeward::migration::registry::RecordUpdate;
use homeward::session::command::{Command, Notice};
use homeward::session::core::Event;
use homeward::session::recording::Switch;
use homeward::session::reply::{Error, RecordingState, Reply};
use homeward::session::request::{Exchange, Request};

use crate::harness::{Rig, Sdp, Taped, audio, context, delete, exchange, settings};

fn id(user: &str) -> McId {
    format!("sip:{user}@partner.example").parse().unwrap()
}

fn rig(migrated: &[(&str, &str)]) -> Rig {
    let mut rig = Rig::new(settings());
    for (user, system) in migrated {
        rig.migrate(user, system);
    }
    rig
}

/// What a focus says in its offer to one member.
fn member_context(member: &str) -> CallContext {
    CallContext {
        group_id: Some(id("fire")),
        session_type: Some(SessionType::Prearranged),
        ..context("focus", member)
    }
}

/// The focus offers to a member under a branch of its own, and the member answers; what the member
/// and the focus were given.
fn invite(rig: &mut Rig, member: &str, ports: [u16; 2]) -> (Sdp, Sdp) {
    let message = |to: Option<&str>, port| Exchange {
        via_branch: Some(format!("br-{member}").into()),
        ..exchange("g1", "focus", to, &audio("192.0.2.9", port))
    };
    let mut offer = message(None, ports[0]);
    offer.context = member_context(member);
    let to_member = rig.offer(offer).unwrap();
    let to_focus = rig.answer(message(Some(member), ports[1])).unwrap();
    (to_member, to_focus)
}

fn tape<'r>(rig: &'r Rig, primary: &str) -> &'r Taped {
    let mut found = rig.mirrors.values();
    let tape = found.find(|tape| tape.info.primary_system == primary);
    tape.unwrap_or_else(|| panic!("no mirror for {primary}"))
}

/// Streams of a mirror, as local ports.
fn ports(rig: &Rig, tape: &Taped) -> BTreeSet<u16> {
    let streams = tape.streams.keys();
    streams
        .map(|stream| rig.ground.bound[stream].port())
        .collect()
}

fn sockets(sdps: [&Sdp; 2]) -> BTreeSet<u16> {
    let pairs = sdps
        .into_iter()
        .flat_map(|sdp| [sdp.rtp[0].port(), sdp.rtp[0].port() + 1]);
    pairs.collect()
}

#[test]
fn each_migrated_member_of_a_group_goes_to_its_own_home() {
    let mut rig = rig(&[("ann", "one.example"), ("zoe", "two.example")]);
    let members = ["bob", "ann", "carl", "zoe", "dave"];
    let legs: Vec<(Sdp, Sdp)> = (0..5)
        .map(|n| invite(&mut rig, members[usize::from(n)], [4000, 5000 + 10 * n]))
        .collect();
    assert_eq!(rig.mirrors.len(), 2);
    for (primary, leg) in [("one.example", &legs[1]), ("two.example", &legs[3])] {
        let tape = tape(&rig, primary);
        assert_eq!(ports(&rig, tape), sockets([&leg.0, &leg.1]), "{primary}");
        let migrated = tape.info.parties.iter().filter(|party| party.migrated);
        assert_eq!(migrated.count(), 1);
        let known: Vec<_> = tape
            .info
            .parties
            .iter()
            .filter_map(|p| p.partner_id.clone())
            .collect();
        assert!(
            known.contains(&"sip:carl@partner.example".to_owned()),
            "{known:?}"
        );
    }
    // A member leaves, and only its mirror with it.
    let mut bye = delete("g1");
    bye.from_tag = Some("ann".into());
    rig.delete(bye).unwrap();
    assert_eq!(rig.mirrors.len(), 1);
    assert_eq!(ports(&rig, tape(&rig, "two.example")).len(), 4);
}

#[test]
fn two_members_of_one_home_share_its_mirror() {
    let mut rig = rig(&[("ann", "one.example"), ("abe", "one.example")]);
    let legs = ["ann", "bob", "abe"].map(|member| invite(&mut rig, member, [4000, 5000]));
    assert_eq!(rig.mirrors.len(), 1);
    let mut expected = sockets([&legs[0].0, &legs[0].1]);
    expected.extend(sockets([&legs[2].0, &legs[2].1]));
    assert_eq!(ports(&rig, tape(&rig, "one.example")), expected);
}

#[test]
fn a_focus_has_an_address_for_each_member() {
    let mut rig = rig(&[]);
    let legs = [("ann", 4000), ("bob", 4010), ("carl", 4020)]
        .map(|(member, port)| (invite(&mut rig, member, [port, port + 1000]), port));
    for ((to_member, to_focus), port) in &legs {
        // What a member sends goes to the address that the focus has for it, and back.
        let (out, to) = rig.route(to_member.rtp[0], false).unwrap();
        assert_eq!((out, to.port()), (to_focus.rtp[0], *port));
        let (out, to) = rig.route(to_focus.rtp[0], false).unwrap();
        assert_eq!((out, to.port()), (to_member.rtp[0], *port + 1000));
    }
    // The focus puts one of them on hold: the others go on.
    let hold = exchange("g1", "focus", Some("bob"), &audio("0.0.0.0", 4010));
    rig.offer(hold).unwrap();
    assert!(rig.route(legs[1].0.0.rtp[0], false).is_none());
    for (leg, port) in [(&legs[0], 4000), (&legs[2], 4020)] {
        assert_eq!(rig.route(leg.0.0.rtp[0], false).unwrap().1.port(), port);
    }
    let resume = exchange("g1", "focus", Some("bob"), &audio("192.0.2.9", 4010));
    rig.offer(resume).unwrap();
    assert_eq!(rig.route(legs[1].0.0.rtp[0], false).unwrap().1.port(), 4010);
}

#[test]
fn members_without_a_name_are_nobody() {
    let mut rig = rig(&[("ann", "one.example")]);
    invite(&mut rig, "ann", [4000, 5000]);
    let mut offer = exchange("g1", "focus", None, &audio("192.0.2.9", 4000));
    offer.via_branch = Some("other".into());
    rig.offer(offer).unwrap();
    let legs = rig.explain("g1").unwrap().legs;
    let reason = |reason| Outcome::None { reason };
    assert_eq!(legs[2].decision.outcome, reason(Reason::PartyUnknown));
    assert_eq!(tape(&rig, "one.example").streams.len(), 4);
    // The other dialogues of the focus say who is called, not who it is.
    let mut again = exchange("g1", "focus-2", None, &audio("192.0.2.9", 4100));
    again.context.called_id = Some(id("bob"));
    rig.offer(again).unwrap();
    let legs = rig.explain("g1").unwrap().legs;
    assert_eq!(legs[3].decision.outcome, reason(Reason::PartyUnknown));
    assert_eq!(tape(&rig, "one.example").streams.len(), 4);
}

#[test]
fn branches_to_one_user_share_its_name_and_a_transfer_has_its_own() {
    let mut rig = rig(&[("bob", "one.example"), ("carl", "two.example")]);
    for branch in ["br1", "br2"] {
        let mut offer = exchange("g1", "a", None, &audio("192.0.2.1", 4000));
        offer.via_branch = Some(branch.into());
        if branch == "br1" {
            offer.context = context("alice", "bob");
        }
        rig.offer(offer).unwrap();
    }
    let legs = rig.explain("g1").unwrap().legs;
    assert!(legs[1].decision.rule().is_some() && legs[2].decision.rule().is_some());
    let mut answer = exchange("g1", "a", Some("b"), &audio("192.0.2.2", 5000));
    answer.via_branch = Some("br1".into());
    rig.answer(answer).unwrap();
    // Alice is transferred to carl: another leg of the same call.
    let mut offer = exchange("g1", "a", Some("c"), &audio("192.0.2.1", 4000));
    offer.context.called_id = Some(id("carl"));
    rig.offer(offer).unwrap();
    rig.answer(exchange("g1", "a", Some("c"), &audio("192.0.2.3", 6000)))
        .unwrap();
    let mut bye = delete("g1");
    bye.from_tag = Some("b".into());
    rig.delete(bye).unwrap();
    assert_eq!(tape(&rig, "two.example").streams.len(), 4);
    let bob = rig.explain("g1").unwrap().context.called_id;
    assert_eq!(
        bob,
        Some(id("bob")),
        "what the call was made for stays known"
    );
}

#[test]
fn offers_of_the_called_party_may_give_the_ids_either_way_round() {
    for turned in [false, true] {
        let mut rig = rig(&[("alice", "one.example")]);
        let mut offer = exchange("g1", "a", None, &audio("192.0.2.1", 4000));
        offer.context = context("alice", "bob");
        let to_b = rig.offer(offer).unwrap();
        let answer = exchange("g1", "a", Some("b"), &audio("192.0.2.2", 5000));
        let to_a = rig.answer(answer).unwrap();
        let before = ports(&rig, tape(&rig, "one.example"));
        let mut back = exchange("g1", "b", Some("a"), &audio("192.0.2.2", 5000));
        back.context = match turned {
            true => context("bob", "alice"),
            false => context("alice", "bob"),
        };
        rig.offer(back).unwrap();
        assert_eq!(ports(&rig, tape(&rig, "one.example")), before, "{turned}");
        assert_eq!(before, sockets([&to_b, &to_a]));
        let legs = rig.explain("g1").unwrap().legs;
        assert_eq!(legs[0].decision.looked_up, Some(id("alice")));
        assert!(legs[0].decision.rule().is_some() && legs[1].decision.rule().is_none());
    }
}

fn fail(rig: &mut Rig, record: u64, reason: Option<&str>) {
    let standing = match reason {
        Some(reason) => Standing::Failed {
            reason: reason.to_owned(),
        },
        None => Standing::Authorised,
    };
    let update = RecordUpdate {
        standing: Some(standing),
        ..RecordUpdate::default()
    };
    let change = rig
        .registry
        .prepare_update(RecordId(record), update, rig.now);
    let change = change.unwrap();
    let names = rig.registry.names_touched(&change);
    rig.registry.commit(change);
    rig.event(Event::RecordsChanged(names));
}

fn offer_of(id: &str, calling: &str, called: &str) -> Exchange {
    let mut offer = exchange(id, "a", None, &audio("192.0.2.1", 4000));
    offer.context = context(calling, called);
    offer
}

#[test]
fn a_user_whose_migration_failed_is_refused_and_leaves_nothing_behind() {
    let mut rig = rig(&[("alice", "one.example")]);
    rig.offer(offer_of("old", "alice", "bob")).unwrap();
    assert_eq!(rig.mirrors.len(), 1);
    fail(&mut rig, 1, Some("partner-not-in-profile"));
    // The call that is there is not cut, and goes nowhere else.
    assert!(rig.mirrors.is_empty());
    let leg = rig.explain("old").unwrap().legs.remove(0);
    let expected = Outcome::None {
        reason: Reason::MigrationFailed,
    };
    assert_eq!(leg.decision.outcome, expected);
    assert_eq!(
        leg.decision.failure.as_deref(),
        Some("partner-not-in-profile")
    );
    rig.answer(exchange("old", "a", Some("b"), &audio("192.0.2.2", 5000)))
        .unwrap();
    let open = rig.ground.bound.len();
    for (calling, called) in [("alice", "bob"), ("bob", "alice")] {
        let refused = rig.offer(offer_of("new", calling, called)).unwrap_err();
        assert_eq!(
            refused,
            Error::MigrationFailed("partner-not-in-profile".into())
        );
        assert_eq!(
            refused.to_string(),
            "Migration failed: partner-not-in-profile"
        );
    }
    assert_eq!(rig.ground.bound.len(), open, "no socket is left");
    assert!(rig.view("new").is_none());
    let refusals = rig
        .notices
        .iter()
        .filter(|n| matches!(n, Notice::MigrationRefused(..)));
    assert_eq!(refusals.count(), 2);
    let statistics = rig.core_statistics();
    assert_eq!(
        (
            statistics.migration_refused_total,
            statistics.rejected_total
        ),
        (2, 2)
    );
    // A new leg of that user in a call of others is refused; the call goes on.
    rig.offer(offer_of("group", "carl", "dave")).unwrap();
    rig.answer(exchange("group", "a", Some("b"), &audio("192.0.2.2", 5000)))
        .unwrap();
    let mut third = exchange("group", "a", Some("x"), &audio("192.0.2.1", 4000));
    third.context.called_id = Some(id("alice"));
    assert!(matches!(
        rig.offer(third).unwrap_err(),
        Error::MigrationFailed(_)
    ));
    assert_eq!(rig.view("group").unwrap().parties.len(), 2);
    // It comes about after all.
    fail(&mut rig, 1, None);
    rig.offer(offer_of("new", "alice", "bob")).unwrap();
    assert_eq!(rig.mirrors.len(), 2);
}

#[test]
fn context_that_comes_later_cuts_nothing() {
    let mut rig = rig(&[("alice", "one.example")]);
    fail(&mut rig, 1, Some("no"));
    rig.call("late");
    let news = Request::Context {
        call_id: "late".into(),
        context: context("alice", "bob"),
    };
    rig.request(news).unwrap();
    assert!(rig.mirrors.is_empty());
    assert_eq!(rig.ground.bound.len(), 4);
    let mut again = exchange("late", "a", Some("b"), &audio("192.0.2.1", 4000));
    again.context = context("alice", "bob");
    rig.offer(again).expect("a leg that is there stays");
}

#[test]
fn a_failed_migration_is_served_where_the_agreement_says_so() {
    let mut rig = rig(&[("alice", "one.example")]);
    rig.agreements[0].on_failed_migration = OnFailedMigration::Serve;
    fail(&mut rig, 1, Some("no-interconnection"));
    rig.offer(offer_of("c1", "alice", "bob")).unwrap();
    let tape = tape(&rig, "one.example");
    let reason = &tape.info.reason;
    assert!(reason.contains("failed (no-interconnection)"), "{reason}");
    let rule = rig.explain("c1").unwrap().legs[0].decision.rule().cloned();
    assert_eq!(rule.unwrap().failed.as_deref(), Some("no-interconnection"));
    // Without any agreement it is as if it were refused by one.
    rig.agreements.clear();
    rig.event(Event::RegistryChanged);
    assert!(rig.mirrors.is_empty());
    let refused = rig.offer(offer_of("c2", "alice", "bob")).unwrap_err();
    assert!(matches!(refused, Error::MigrationFailed(_)));
}

#[test]
fn a_change_of_a_record_touches_the_calls_that_name_it_and_no_other() {
    let mut rig = rig(&[("alice", "one.example")]);
    for n in 0..50 {
        let other = format!("user{n}");
        rig.offer(offer_of(&format!("c{n}"), &other, "bob"))
            .unwrap();
    }
    rig.offer(offer_of("hers", "carl", "alice")).unwrap();
    fail(&mut rig, 1, Some("no"));
    assert!(!rig.log.is_empty(), "the mirror of her call ends");
    fail(&mut rig, 1, None);
    let opened =
        |c: &Command| matches!(c, Command::MirrorOpen { call, .. } if *call == "hers".into());
    assert!(rig.log.iter().any(opened), "{:?}", rig.log);
    // Names that calls had once, or never, touch nothing.
    let news = Request::Context {
        call_id: "hers".into(),
        context: context("carl", "dora"),
    };
    rig.request(news).unwrap();
    rig.event(Event::RecordsChanged(vec![id("alice"), id("nobody")]));
    assert!(rig.log.is_empty(), "{:?}", rig.log);
}

fn switch(rig: &mut Rig, switch: Switch, primary: Option<&str>) -> RecordingState {
    let request = Request::Recording {
        call_id: "c1".into(),
        switch,
        primary: primary.map(|name| name.parse().unwrap()),
    };
    let Ok(Reply::Recording(state)) = rig.request(request) else {
        panic!("not a recording");
    };
    *state
}

#[test]
fn signalling_pauses_stops_and_starts_what_is_not_mandatory() {
    let mut rig = rig(&[("alice", "one.example"), ("bob", "two.example")]);
    rig.agreements.iter_mut().for_each(|a| a.mandatory = false);
    rig.offer(offer_of("c1", "alice", "bob")).unwrap();
    rig.answer(exchange("c1", "a", Some("b"), &audio("192.0.2.2", 5000)))
        .unwrap();
    let state = switch(&mut rig, Switch::Paused, Some("one.example"));
    assert_eq!(state.warning, None);
    assert_eq!(
        tape(&rig, "one.example").streams.len(),
        0,
        "paused, and still open"
    );
    assert_eq!(tape(&rig, "two.example").streams.len(), 4);
    assert!(
        rig.log
            .iter()
            .all(|c| matches!(c, Command::MirrorDetach { .. }))
    );
    let explained = rig.explain("c1").unwrap();
    assert_eq!(explained.recordings[0].switch, Switch::Paused);
    // What happens to the call meanwhile does not resume it.
    rig.offer(exchange("c1", "a", Some("b"), &audio("192.0.2.1", 4400)))
        .unwrap();
    rig.event(Event::RegistryChanged);
    assert_eq!(tape(&rig, "one.example").streams.len(), 0);
    switch(&mut rig, Switch::On, None);
    assert!(!tape(&rig, "one.example").streams.is_empty());
    switch(&mut rig, Switch::Stopped, None);
    assert!(rig.mirrors.is_empty());
    assert_eq!(
        switch(&mut rig, Switch::Stopped, None).warning,
        None,
        "idempotent"
    );
    switch(&mut rig, Switch::On, Some("two.example"));
    assert_eq!(rig.mirrors.len(), 1);
}

#[test]
fn what_is_mandatory_goes_on_and_what_nobody_agreed_on_does_not_begin() {
    let mut rig = rig(&[("alice", "one.example")]);
    rig.offer(offer_of("c1", "alice", "bob")).unwrap();
    for wish in [Switch::Paused, Switch::Stopped] {
        let state = switch(&mut rig, wish, None);
        assert!(state.warning.unwrap().contains("mandatory"));
        assert!(state.recordings[0].mandatory);
        assert_eq!(rig.mirrors.len(), 1);
    }
    assert!(
        rig.notices
            .iter()
            .any(|n| matches!(n, Notice::NotObeyed(..)))
    );
    assert_eq!(rig.core_statistics().recording_not_obeyed_total, 2);
    assert_eq!(switch(&mut rig, Switch::On, None).warning, None);
    // An agreement that changes later does not make an old wish come true.
    rig.agreements[0].mandatory = false;
    rig.event(Event::RegistryChanged);
    assert_eq!(rig.mirrors.len(), 1);
    let other = switch(&mut rig, Switch::Stopped, Some("two.example"));
    assert!(other.warning.unwrap().contains("no agreement"));
    rig.delete(delete("c1")).unwrap();
    rig.offer(offer_of("c1", "carl", "bob")).unwrap();
    assert!(switch(&mut rig, Switch::On, None).warning.is_some());
    assert!(rig.mirrors.is_empty());
    let unknown = Request::Recording {
        call_id: "nothing".into(),
        switch: Switch::On,
        primary: None,
    };
    assert_eq!(rig.request(unknown).unwrap_err(), Error::UnknownCall);
}
