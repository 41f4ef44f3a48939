//! Late knowledge: context, records and legs that come when the call is running, contradict each
//! other, or come when it is over (design section 4).

use std::collections::BTreeSet;
use std::time::Duration;

use homeward::migration::context::CallContext;
use homeward::migration::decision::{Outcome, Reason};
use homeward::migration::identity::Service;
use homeward::migration::record::{RecordId, Trigger};
use homeward::migration::registry::{NewRecord, RegistryError};
use homeward::session::command::Command;
use homeward::session::core::Event;
use homeward::session::host::Preroll;
use homeward::session::ids::StreamId;
use homeward::session::request::Request;
use homeward::wire::block::Direction;
use homeward::wire::time::Timestamp;

use crate::harness::{Rig, audio, context, delete, exchange, mcptt, settings};

fn rig(migrated: &[(&str, &str)]) -> Rig {
    let mut rig = Rig::new(settings());
    for (user, system) in migrated {
        rig.migrate(user, system);
    }
    rig
}

fn tell(rig: &mut Rig, context: CallContext) {
    let call_id = "c1".into();
    rig.request(Request::Context { call_id, context }).unwrap();
}

/// An answered call with this context.
fn call(rig: &mut Rig, context: CallContext) {
    let mut offer = exchange("c1", "a", None, &audio("192.0.2.1", 4000));
    offer.context = context;
    rig.offer(offer).unwrap();
    rig.answer(exchange("c1", "a", Some("b"), &audio("192.0.2.2", 5000)))
        .unwrap();
}

/// The numbers that streams are kept under.
fn kept(rig: &Rig) -> BTreeSet<Option<u64>> {
    rig.flows.values().map(|flow| flow.keep).collect()
}

fn copied(rig: &Rig) -> BTreeSet<StreamId> {
    let streams = |tape: &crate::harness::Taped| tape.streams.keys().copied().collect::<Vec<_>>();
    rig.mirrors.values().flat_map(streams).collect()
}

/// What the last step has attached and detached.
fn moved(rig: &Rig) -> (Vec<StreamId>, Vec<StreamId>) {
    let (mut attached, mut detached) = (Vec::new(), Vec::new());
    for command in &rig.log {
        if let Command::MirrorAttach { stream, .. } = command {
            attached.push(*stream);
        } else if let Command::MirrorDetach { stream, .. } = command {
            detached.push(*stream);
        }
    }
    (attached, detached)
}

fn record(user: &str, partner: &str, since: Option<u64>, until: Option<u64>) -> NewRecord {
    NewRecord {
        service: Service::Mcptt,
        primary_id: format!("sip:{user}@primary.example").parse().unwrap(),
        partner_id: format!("sip:{partner}@partner.example").parse().unwrap(),
        primary_system: "primary.example".parse().unwrap(),
        functional_aliases: Vec::new(),
        trigger: Trigger::Client,
        profile_index: None,
        standing: Default::default(),
        since: since.map(Timestamp::from_secs),
        until: until.map(Timestamp::from_secs),
    }
}

fn add(rig: &mut Rig, new: NewRecord) -> Result<RecordId, RegistryError> {
    let change = rig.registry.prepare_add(new, rig.now)?;
    let record = rig.registry.commit(change);
    rig.event(Event::RegistryChanged);
    Ok(record.id)
}

/// Lets time pass as the engine does: records begin and end on their own.
fn wait(rig: &mut Rig, time: Duration) {
    rig.wait(time);
    if !rig.registry.expire(rig.now).is_empty() {
        rig.event(Event::RegistryChanged);
    }
}

#[test]
fn all_streams_of_an_undecided_call_are_kept_under_one_number() {
    let mut rig = rig(&[]);
    rig.call("c1");
    let first = kept(&rig);
    assert_eq!(first.len(), 1);
    rig.call("c2");
    let both = kept(&rig);
    assert_eq!(both.len(), 2, "another call, another number");
    assert!(!both.contains(&None));
    rig.delete(delete("c2")).unwrap();
    // Renewed ports and added media are kept with the rest.
    rig.offer(exchange("c1", "a", Some("b"), &mcptt("192.0.2.7", 4400)))
        .unwrap();
    assert_eq!(kept(&rig), first);
}

#[test]
fn without_a_preroll_nothing_is_kept() {
    let mut settings = settings();
    settings.preroll = false;
    let mut rig = Rig::new(settings);
    rig.call("c1");
    assert_eq!(kept(&rig), [None].into());
}

#[test]
fn keeping_can_be_turned_off_and_on_while_calls_are_up() {
    let mut rig = rig(&[("bob", "primary.example")]);
    rig.call("c1");
    let first = kept(&rig);
    let mut settings = rig.core.settings().clone();
    for wanted in [false, true, true] {
        settings.preroll = wanted;
        rig.core.reconfigure(settings.clone());
        rig.event(Event::Tick);
        let expected = if wanted { first.clone() } else { [None].into() };
        assert_eq!(kept(&rig), expected);
    }
    // What is decided is not kept again.
    tell(&mut rig, context("alice", "bob"));
    settings.preroll = false;
    rig.core.reconfigure(settings.clone());
    settings.preroll = true;
    rig.core.reconfigure(settings);
    rig.event(Event::Tick);
    assert_eq!((kept(&rig), copied(&rig).len()), ([None].into(), 4));
}

#[test]
fn a_late_context_ends_the_keeping_before_it_attaches() {
    let mut rig = rig(&[("bob", "primary.example")]);
    rig.call("c1");
    tell(&mut rig, CallContext::default());
    assert!(!kept(&rig).contains(&None), "nothing was told");
    tell(&mut rig, context("alice", "bob"));
    assert_eq!(kept(&rig), [None].into());
    assert_eq!(copied(&rig).len(), 4);
    let is_flow = |command: &Command| matches!(command, Command::Configure { .. });
    let flows = rig
        .log
        .iter()
        .take_while(|command| is_flow(command))
        .count();
    assert_eq!(flows, 4);
    assert!(!rig.log[flows..].iter().any(is_flow), "{:?}", rig.log);
}

#[test]
fn a_context_with_a_new_offer_is_as_good() {
    let mut rig = rig(&[("alice", "primary.example")]);
    rig.call("c1");
    let mut offer = exchange("c1", "b", Some("a"), &audio("192.0.2.2", 5000));
    offer.context = context("alice", "bob");
    rig.offer(offer).unwrap();
    assert_eq!((kept(&rig), copied(&rig).len()), ([None].into(), 4));
}

#[test]
fn a_context_without_a_match_is_a_decision() {
    let mut rig = rig(&[]);
    rig.call("c1");
    tell(&mut rig, context("alice", "bob"));
    assert_eq!((kept(&rig), copied(&rig).len()), ([None].into(), 0));
    // A record that comes later: from then on, and nothing is kept on the way there.
    rig.migrate("alice", "primary.example");
    assert_eq!((kept(&rig), copied(&rig).len()), ([None].into(), 4));
}

#[test]
fn a_migration_that_expires_in_mid_call_ends_the_mirror_to_the_second() {
    let mut rig = rig(&[]);
    rig.agreements
        .push(crate::harness::agreement("primary.example"));
    call(&mut rig, context("alice", "bob"));
    // It is planned, begins, and runs out, all during the call.
    add(
        &mut rig,
        record("alice", "alice", Some(1_000_010), Some(1_000_030)),
    )
    .unwrap();
    assert!(rig.mirrors.is_empty());
    assert_eq!(
        rig.registry.next_event(),
        Some(Timestamp::from_secs(1_000_010))
    );
    wait(&mut rig, Duration::from_secs(9));
    assert!(rig.mirrors.is_empty());
    wait(&mut rig, Duration::from_secs(1));
    assert_eq!(copied(&rig).len(), 4);
    wait(&mut rig, Duration::from_secs(20));
    assert!(rig.mirrors.is_empty());
    assert_eq!(rig.ground.bound.len(), 4, "the call goes on");
    let legs = rig.explain("c1").unwrap().legs;
    let reason = Reason::MigrationNotInForce;
    assert_eq!(legs[0].decision.outcome, Outcome::None { reason });
}

#[test]
fn a_transfer_to_another_user_adds_that_leg_and_leaves_the_first_as_it_is() {
    let mut rig = rig(&[("bob", "primary.example"), ("carol", "primary.example")]);
    call(&mut rig, context("alice", "bob"));
    let before = copied(&rig);
    let mut offer = exchange("c1", "a", None, &audio("192.0.2.1", 4000));
    offer.options.new_branch = true;
    offer.context = context("alice", "carol");
    rig.offer(offer).unwrap();
    let (_, detached) = moved(&rig);
    assert!(detached.is_empty(), "what was copied goes on");
    let answer = exchange("c1", "a", Some("c"), &audio("192.0.2.3", 6000));
    rig.answer(answer).unwrap();
    assert!(copied(&rig).is_superset(&before));
    assert!(copied(&rig).len() > before.len());
    let legs = rig.explain("c1").unwrap().legs;
    let names: Vec<_> = legs
        .iter()
        .map(|leg| leg.decision.looked_up.clone())
        .collect();
    let carol = Some("sip:carol@partner.example".parse().unwrap());
    assert!(names.contains(&carol), "{names:?}");
}

#[test]
fn a_transfer_within_an_undecided_call_decides_for_the_new_leg_only() {
    let mut rig = rig(&[("carol", "primary.example")]);
    rig.call("c1");
    let mut offer = exchange("c1", "a", None, &audio("192.0.2.1", 4000));
    offer.options.new_branch = true;
    // Nothing but the ID: not even the service.
    offer.context.called_id = Some("sip:carol@partner.example".parse().unwrap());
    rig.offer(offer).unwrap();
    rig.answer(exchange("c1", "a", Some("c"), &audio("192.0.2.3", 6000)))
        .unwrap();
    let legs = rig.explain("c1").unwrap().legs;
    let migrated: Vec<_> = legs
        .iter()
        .map(|leg| leg.decision.rule().is_some())
        .collect();
    assert_eq!(migrated, [false, false, true]);
    assert!(
        !kept(&rig).contains(&None),
        "of the others nothing is known"
    );
    assert!(!copied(&rig).is_empty());
    // Her record ends: found again, though the call has no context.
    let id = rig.registry.list(&Default::default(), rig.now)[0].id;
    let change = rig.registry.prepare_end(id, rig.now).unwrap();
    rig.registry.commit(change);
    rig.now = rig.now + Duration::from_secs(1);
    rig.event(Event::RegistryChanged);
    assert!(copied(&rig).is_empty());
}

#[test]
fn moved_ports_added_and_removed_media_are_copied_without_a_gap() {
    let mut rig = rig(&[("alice", "primary.example")]);
    call(&mut rig, context("alice", "bob"));
    let mut all = copied(&rig);
    // The user moves: the former sockets are copied as long as they are open.
    let steps: [(&str, String, &str, String); 4] = [
        (
            "a",
            audio("198.51.100.9", 7000),
            "b",
            audio("192.0.2.2", 5000),
        ),
        (
            "a",
            mcptt("198.51.100.9", 7000),
            "b",
            mcptt("192.0.2.2", 5000),
        ),
        (
            "b",
            mcptt("192.0.2.2", 5500),
            "a",
            mcptt("198.51.100.9", 7000),
        ),
        (
            "a",
            audio("198.51.100.9", 7000),
            "b",
            audio("192.0.2.2", 5500),
        ),
    ];
    for (from, offered, to, answered) in steps {
        for (is_offer, sdp) in [(true, offered), (false, answered)] {
            let message = exchange("c1", from, Some(to), &sdp);
            match is_offer {
                true => rig.offer(message).unwrap(),
                false => rig.answer(message).unwrap(),
            };
            let closed: BTreeSet<StreamId> = all
                .iter()
                .filter(|stream| !rig.flows.contains_key(stream))
                .copied()
                .collect();
            let (_, detached) = moved(&rig);
            assert_eq!(detached.into_iter().collect::<BTreeSet<_>>(), closed);
            let open: BTreeSet<StreamId> = all.difference(&closed).copied().collect();
            assert!(copied(&rig).is_superset(&open), "a gap");
            all = copied(&rig);
        }
    }
    assert_eq!(rig.mirrors.len(), 1);
}

#[test]
fn hold_and_resume_keep_what_the_user_says() {
    let mut rig = rig(&[("alice", "primary.example")]);
    call(&mut rig, context("alice", "bob"));
    let from_user = |rig: &Rig| -> BTreeSet<StreamId> {
        let tape = rig.mirrors.values().next().unwrap();
        let all = tape.streams.iter();
        all.filter(|(_, info)| info.direction == Direction::FromUser)
            .map(|(stream, _)| *stream)
            .collect()
    };
    let said = from_user(&rig);
    for attribute in ["a=sendonly\r\n", "a=inactive\r\n", "a=sendrecv\r\n"] {
        let sdp = audio("192.0.2.1", 4000) + attribute;
        rig.offer(exchange("c1", "a", Some("b"), &sdp)).unwrap();
        assert_eq!(from_user(&rig), said, "{attribute}");
        assert_eq!(moved(&rig).1, [], "{attribute}");
    }
    assert_eq!(copied(&rig).len(), 4);
}

#[test]
fn an_id_has_one_holder_at_a_time_and_the_same_user_moves_on() {
    let mut rig = rig(&[]);
    rig.agreements
        .push(crate::harness::agreement("primary.example"));
    call(&mut rig, context("guest", "bob"));
    add(&mut rig, record("alice", "guest", None, None)).unwrap();
    assert_eq!(copied(&rig).len(), 4);
    // Another user claims the same partner ID: refused, and nothing about the call changes.
    let refused = add(&mut rig, record("mallory", "guest", None, None));
    assert!(refused.is_err());
    rig.event(Event::RegistryChanged);
    assert_eq!((moved(&rig), copied(&rig).len()), ((vec![], vec![]), 4));
    // Also for a time to come that overlaps.
    assert!(add(&mut rig, record("mallory", "guest", Some(1_000_100), None)).is_err());
    // The user herself gets another ID: the former record ends, and with it the mirror.
    add(&mut rig, record("alice", "other", None, None)).unwrap();
    assert!(rig.mirrors.is_empty());
}

#[test]
fn scheduled_records_that_do_not_overlap_follow_one_another() {
    let mut rig = rig(&[]);
    rig.agreements
        .push(crate::harness::agreement("primary.example"));
    call(&mut rig, context("guest", "bob"));
    add(&mut rig, record("alice", "guest", None, Some(1_000_020))).unwrap();
    assert!(add(&mut rig, record("mallory", "guest", Some(1_000_019), None)).is_err());
    add(&mut rig, record("carol", "guest", Some(1_000_020), None)).unwrap();
    let named = |rig: &Rig| {
        let tape = rig.mirrors.values().next().unwrap();
        tape.info.parties[0].primary_id.clone().unwrap()
    };
    assert_eq!(named(&rig), "sip:alice@primary.example");
    wait(&mut rig, Duration::from_secs(20));
    assert_eq!(named(&rig), "sip:carol@primary.example");
    assert_eq!(moved(&rig).1, [], "the change of the user leaves no gap");
    assert_eq!(copied(&rig).len(), 4);
}

#[test]
fn a_record_that_comes_after_the_end_changes_nothing_and_explain_says_what_was() {
    let mut rig = rig(&[]);
    rig.agreements
        .push(crate::harness::agreement("primary.example"));
    call(&mut rig, context("alice", "bob"));
    rig.delete(delete("c1")).unwrap();
    let before = rig.explain("c1").unwrap();
    rig.migrate("alice", "primary.example");
    assert!(rig.mirrors.is_empty() && rig.log.is_empty());
    let after = rig.explain("c1").unwrap();
    assert_eq!(after, before);
    let reason = Reason::NotMigrated;
    assert_eq!(after.legs[0].decision.outcome, Outcome::None { reason });
    let context = context("alice", "bob");
    let call_id = "c1".into();
    assert!(rig.request(Request::Context { call_id, context }).is_err());
    assert!(rig.mirrors.is_empty());
}

#[test]
fn of_two_contexts_the_later_counts() {
    let mut rig = rig(&[("alice", "one.example"), ("carol", "two.example")]);
    rig.call("c1");
    tell(&mut rig, context("alice", "bob"));
    assert_eq!(
        rig.mirrors.values().next().unwrap().info.primary_system,
        "one.example"
    );
    let first = copied(&rig);
    tell(&mut rig, context("carol", "bob"));
    assert_eq!(rig.mirrors.len(), 1);
    assert_eq!(
        rig.mirrors.values().next().unwrap().info.primary_system,
        "two.example"
    );
    // All in one step: no packet comes in between, so what both cover has no gap.
    let (attached, detached) = moved(&rig);
    assert_eq!((attached.len(), detached.len()), (4, 4));
    assert_eq!(copied(&rig), first);
}

#[test]
fn of_two_contexts_of_one_primary_the_mirror_goes_on() {
    let mut rig = rig(&[("alice", "primary.example"), ("carol", "primary.example")]);
    call(&mut rig, context("alice", "bob"));
    let (id, before) = (*rig.mirrors.keys().next().unwrap(), copied(&rig));
    tell(&mut rig, context("carol", "bob"));
    assert_eq!(moved(&rig), (vec![], vec![]));
    assert_eq!(
        (rig.mirrors.keys().next(), copied(&rig)),
        (Some(&id), before.clone())
    );
    // From the calling user to the called one: her two directions change places.
    tell(&mut rig, context("alice", "carol"));
    tell(&mut rig, context("dave", "carol"));
    assert_eq!((moved(&rig).1, copied(&rig)), (vec![], before));
}

#[test]
fn explain_tells_what_became_of_the_preroll_and_so_does_the_end() {
    let mut rig = rig(&[]);
    rig.call("c1");
    let streams: Vec<StreamId> = rig.flows.keys().copied().collect();
    for stream in streams {
        rig.hear(stream);
        let counters = rig.ground.counters.get_mut(&stream).unwrap();
        (counters.preroll_kept, counters.preroll_evicted) = (7, 2);
    }
    let sum = |rig: &mut Rig| {
        let legs = rig.explain("c1").unwrap().legs;
        legs.iter().map(|leg| leg.preroll).collect::<Vec<_>>()
    };
    let now = Preroll {
        kept: 14,
        sent: 0,
        evicted: 4,
    };
    assert_eq!(sum(&mut rig), [now, now]);
    rig.delete(delete("c1")).unwrap();
    let then = Preroll {
        kept: 0,
        sent: 0,
        evicted: 18,
    };
    assert_eq!(
        sum(&mut rig),
        [then, then],
        "a call that ends undecided is a gap"
    );
}
