//! Calls that outlive the process: what is written down, and how they go on from it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use homeward::session::command::{EndReason, Flow};
use homeward::session::core::Event;
use homeward::session::ids::StreamId;
use homeward::session::journal::{BadRecord, NotRestored, Record};
use homeward::session::request::Request;
use proptest::collection::vec;
use proptest::prelude::*;
use xxhash_rust::xxh3::xxh3_64;

use crate::harness::{Rig, Sdp, audio, context, delete, exchange, mcptt, settings};

fn rig() -> Rig {
    let mut rig = Rig::new(settings());
    rig.core.keep_journal();
    rig
}

/// A mirrored call with floor control, whose caller is behind NAT.
fn call(rig: &mut Rig) -> (Sdp, Sdp) {
    rig.migrate("alice", "primary.example");
    let mut offer = exchange("c1", "a", None, &mcptt("192.0.2.1", 4000));
    offer.context = context("alice", "bob");
    offer.options.metadata = Some("the first one".into());
    offer.options.replace.origin = true;
    offer.options.replace.sdp_version = true;
    let to_b = rig.offer(offer).unwrap();
    let answer = exchange("c1", "a", Some("b"), &mcptt("192.0.2.2", 5000));
    let to_a = rig.answer(answer).unwrap();
    let stream = rig.stream_at(to_a.rtp[0]).unwrap();
    learn(rig, stream);
    (to_b, to_a)
}

const NAT: &str = "198.51.100.7:7777";

/// A packet comes on this stream, from behind a NAT.
fn learn(rig: &mut Rig, stream: StreamId) {
    rig.hear(stream);
    let address = NAT.parse().unwrap();
    rig.ground.counters.get_mut(&stream).unwrap().learned = Some(address);
    rig.event(Event::Learned { stream, address });
}

fn without_known(flows: &BTreeMap<StreamId, Flow>) -> BTreeMap<StreamId, Flow> {
    let flow = |flow: &Flow| Flow {
        known: None,
        ..flow.clone()
    };
    flows.iter().map(|(s, f)| (*s, flow(f))).collect()
}

#[test]
fn a_call_goes_on_as_if_nothing_had_been() {
    let (mut rig, mut twin) = (rig(), rig());
    let (_, to_a) = call(&mut rig);
    assert_eq!(call(&mut twin).1, to_a);
    rig.write();
    let (flows, bound) = (rig.flows.clone(), rig.ground.bound.clone());
    let (view, tapes) = (rig.view("c1").unwrap(), rig.mirrors.clone());
    assert_eq!(rig.restart(), []);
    assert_eq!(
        rig.ground.bound, bound,
        "the same ports for the same streams"
    );
    assert_eq!(without_known(&rig.flows), flows);
    let stream = rig.stream_at(to_a.rtp[0]).unwrap();
    for (of, flow) in &rig.flows {
        let known = (*of == stream).then(|| NAT.parse().unwrap());
        assert_eq!(flow.known, known, "{of:?}");
    }
    // The same mirror, with what was learned.
    assert!(rig.mirrors.keys().eq(tapes.keys()));
    for (id, tape) in &tapes {
        assert_eq!(rig.mirrors[id].streams, tape.streams);
        assert_eq!(rig.mirrors[id].info, tape.info);
    }
    let now = rig.view("c1").unwrap();
    assert_eq!(now.metadata, view.metadata);
    assert_eq!(
        (now.created, now.last_signal),
        (view.created, view.last_signal)
    );
    assert_eq!(
        now.parties[0].closed.packets(),
        1,
        "what was counted before"
    );
    // The next messages are answered as they would have been: the version goes on.
    for rig in [&mut rig, &mut twin] {
        rig.wait(Duration::from_secs(5));
    }
    for port in [4000, 4000, 4100] {
        let mut offer = exchange("c1", "a", Some("b"), &mcptt("192.0.2.1", port));
        offer.options.replace.origin = true;
        offer.options.replace.sdp_version = true;
        offer.options.port_latching = Some(true);
        let answer = exchange("c1", "a", Some("b"), &mcptt("192.0.2.2", 5000));
        assert_eq!(rig.offer(offer.clone()), twin.offer(offer));
        assert_eq!(rig.answer(answer.clone()), twin.answer(answer));
    }
    assert_eq!(without_known(&rig.flows), twin.flows);
}

#[test]
fn an_offer_is_answered_after_a_restart() {
    let mut rig = rig();
    let offer = exchange("c1", "a", None, &audio("192.0.2.1", 4000));
    let to_b = rig.offer(offer).unwrap();
    rig.write();
    assert_eq!(rig.restart(), []);
    let answer = exchange("c1", "a", Some("b"), &audio("192.0.2.2", 5000));
    let to_a = rig.answer(answer).unwrap();
    let b = "192.0.2.2:5000".parse().unwrap();
    assert_eq!(rig.route(to_a.rtp[0], false), Some((to_b.rtp[0], b)));
}

#[test]
fn only_changes_are_written() {
    let mut rig = rig();
    rig.call("c1");
    let (_, to_a) = rig.call("c2");
    assert_eq!(rig.write(), [1, 2]);
    assert!(rig.write().is_empty());
    // Of a stream that nobody mirrors.
    let stream = rig.stream_at(to_a.rtp[0]).unwrap();
    learn(&mut rig, stream);
    assert_eq!(rig.write(), [2]);
    // Many changes, one record.
    rig.call("c1");
    rig.call("c1");
    assert_eq!(rig.write(), [1]);
    // What comes and goes in between is not written at all.
    rig.call("c3");
    rig.delete(delete("c3")).unwrap();
    assert!(rig.write().is_empty());
    rig.delete(delete("c1")).unwrap();
    rig.call("c1");
    assert_eq!(rig.write(), [4], "another call of the same name");
    assert_eq!(rig.disk.keys().copied().collect::<Vec<_>>(), [2, 4]);
}

#[test]
fn records_that_change_nothing_are_not_written() {
    let mut rig = rig();
    call(&mut rig);
    rig.write();
    rig.now = rig.now + Duration::from_secs(1);
    rig.migrate("carol", "primary.example");
    assert!(rig.write().is_empty());
    rig.migrate("bob", "primary.example");
    assert_eq!(rig.write(), [1]);
}

#[test]
fn nothing_is_kept_unless_it_is_asked_for() {
    let mut rig = Rig::new(settings());
    rig.call("c1");
    assert!(!rig.core.journal_waits());
    rig.core.keep_journal();
    assert_eq!(rig.write(), [1]);
}

#[test]
fn decisions_are_made_anew() {
    let mut rig = rig();
    call(&mut rig);
    let before = rig.explain("c1").unwrap();
    rig.write();
    rig.now = rig.now + Duration::from_secs(7);
    assert_eq!(rig.restart(), []);
    let after = rig.explain("c1").unwrap();
    assert_eq!(before.legs[0].decided, after.legs[0].decided, "as before");
    // The migration ends while nobody is there.
    let id = rig.registry.list(&Default::default(), rig.now)[0].id;
    let change = rig.registry.prepare_end(id, rig.now).unwrap();
    rig.registry.commit(change);
    assert_eq!(rig.restart(), []);
    assert!(rig.mirrors.is_empty());
    assert_eq!(rig.explain("c1").unwrap().legs[0].decided, rig.now);
    // Numbers of mirrors are not used again.
    rig.agreements[0].loggers = vec!["other".into()];
    rig.migrate("bob", "primary.example");
    assert!(rig.mirrors.keys().all(|mirror| mirror.0 > 1_000));
}

#[test]
fn what_was_copied_before_is_told() {
    let mut rig = rig();
    let (_, to_a) = call(&mut rig);
    let stream = rig.stream_at(to_a.rtp[0]).unwrap();
    rig.ground.counters.get_mut(&stream).unwrap().mirrored = 40;
    for _ in 0..2 {
        rig.core.journal_all();
        rig.write();
        assert_eq!(rig.restart(), []);
        let mirrors = rig.explain("c1").unwrap().mirrors;
        assert_eq!(mirrors[0].detached.packets, 40);
        assert!(mirrors[0].streams.iter().all(|s| s.packets == 0));
    }
}

#[test]
fn media_may_stay_away_for_one_more_time_out() {
    let mut rig = rig();
    rig.call("c1");
    rig.write();
    rig.now = rig.now + Duration::from_secs(3_000);
    assert_eq!(rig.restart(), []);
    rig.wait(Duration::from_secs(59));
    assert_eq!(rig.ended(), []);
    rig.wait(Duration::from_secs(2));
    assert_eq!(rig.ended(), [EndReason::MediaTimeout]);
    assert_eq!(rig.core.statistics().zeroway_total, 1);
}

#[test]
fn a_call_that_carries_packets_stays() {
    let mut rig = rig();
    let (_, to_a) = rig.call("c1");
    rig.write();
    rig.now = rig.now + Duration::from_secs(3_000);
    assert_eq!(rig.restart(), []);
    let stream = rig.stream_at(to_a.rtp[0]).unwrap();
    for _ in 0..10 {
        rig.wait(Duration::from_secs(50));
        rig.hear(stream);
    }
    assert_eq!(rig.ended(), []);
}

#[test]
fn what_was_to_be_removed_is() {
    let mut rig = rig();
    for id in ["soon", "late"] {
        rig.call(id);
        let mut delete = delete(id);
        delete.delay = Some(if id == "soon" { 5 } else { 500 });
        rig.delete(delete).unwrap();
    }
    rig.write();
    rig.now = rig.now + Duration::from_secs(490);
    assert_eq!(rig.restart(), [("soon".into(), NotRestored::Over)]);
    assert_eq!(rig.core_statistics().calls, 1);
    rig.wait(Duration::from_secs(11));
    assert_eq!(rig.ended(), [EndReason::Deleted]);
}

#[test]
fn a_taken_port_ends_its_call_and_no_other() {
    for odd in [0, 1] {
        let mut rig = rig();
        let (_, to_a) = rig.call("c1");
        rig.call("c2");
        let port = to_a.rtp[0].port() + odd;
        rig.write();
        rig.ground.taken.insert(port);
        let address = SocketAddr::new(to_a.rtp[0].ip(), port);
        assert_eq!(rig.restart(), [("c1".into(), NotRestored::Taken(address))]);
        assert_eq!(rig.core_statistics().calls, 1);
        assert_eq!(rig.ground.bound.len(), 4);
        assert_eq!(rig.disk.len(), 1);
        // The port is free once the other program has gone.
        rig.ground.taken.clear();
        rig.delete(delete("c2")).unwrap();
        assert!(
            rig.core_statistics()
                .ports
                .iter()
                .all(|port| port.used == 0)
        );
    }
}

#[test]
fn another_configuration_is_met_as_far_as_it_goes() {
    let mut rig = rig();
    rig.ground.loads = vec![9, 9, 1];
    rig.call("c1");
    let mut offer = exchange("c2", "a", None, &audio("192.0.2.1", 4000));
    offer.options.direction = [Some("partner".into()), Some("partner".into())];
    rig.offer(offer).unwrap();
    rig.write();
    let bound = rig.ground.bound.clone();
    // Interfaces in another order, fewer workers.
    let mut changed = settings();
    changed.interfaces.reverse();
    rig.ground.loads = vec![2, 1];
    assert_eq!(rig.restart_with(changed), []);
    assert_eq!(rig.ground.bound, bound);
    assert_eq!(
        rig.workers().into_iter().map(|w| w.0).collect::<Vec<_>>(),
        [1]
    );
    // An address is gone, and ports are.
    let mut changed = settings();
    changed.interfaces.pop();
    let lost = rig.restart_with(changed);
    assert!(
        matches!(&lost[..], [(_, NotRestored::Address { interface, .. })] if interface == "partner")
    );
    let mut changed = settings();
    changed.interfaces[0].ports = (40_000, 40_100);
    assert!(matches!(
        &rig.restart_with(changed)[..],
        [(_, NotRestored::Port(_))]
    ));
    assert!(rig.ground.bound.is_empty() && rig.disk.is_empty());
}

#[test]
fn a_record_is_taken_once() {
    let mut rig = rig();
    rig.call("c1");
    rig.write();
    let bytes = rig.disk.values().next().unwrap().clone();
    let again = rig.restore(Record::decode(&bytes).unwrap());
    assert_eq!(again, Err(NotRestored::Known));
    rig.delete(delete("c1")).unwrap();
    let other = rig.restore(Record::decode(&bytes).unwrap());
    assert_eq!(other, Ok(()));
}

#[test]
fn a_retired_port_may_be_lost() {
    let mut rig = rig();
    let (_, to_a) = rig.call("c1");
    let again = exchange("c1", "a", Some("b"), &audio("192.0.2.2", 5100));
    let to_a_now = rig.answer(again);
    assert!(to_a_now.is_ok());
    let mut offer = exchange("c1", "b", Some("a"), &audio("192.0.2.2", 5200));
    offer.options.port_latching = Some(false);
    let moved = rig.offer(offer).unwrap();
    assert_ne!(moved.rtp, to_a.rtp);
    rig.write();
    rig.ground.taken.insert(to_a.rtp[0].port());
    assert_eq!(rig.restart(), []);
    assert!(rig.stream_at(moved.rtp[0]).is_some());
    assert!(rig.stream_at(to_a.rtp[0]).is_none());
}

#[test]
fn other_versions_and_damage_are_told_apart() {
    let mut rig = rig();
    call(&mut rig);
    rig.write();
    let good = rig.disk.values().next().unwrap().clone();
    let mut newer = good.clone();
    newer[0] = 99;
    let decode = |bytes: &[u8]| Record::decode(bytes).map(|record| record.call_id().clone());
    assert_eq!(decode(&newer), Err(BadRecord::Version(99)));
    for cut in 0..good.len() {
        let expected = Err(BadRecord::Damaged);
        assert_eq!(decode(&good[..cut]), expected, "{cut}");
    }
    for place in 1..good.len() {
        let mut bad = good.clone();
        bad[place] ^= 0x10;
        assert_eq!(decode(&bad), Err(BadRecord::Damaged), "{place}");
    }
    assert_eq!(decode(&good), Ok("c1".into()));
    assert!(good.len() < 6_000, "{} octets", good.len());
}

proptest! {
    #[test]
    fn no_octets_make_it_panic(octets in vec(any::<u8>(), 0..400)) {
        let _ = Record::decode(&octets);
        let _ = Record::decode(&signed(octets));
    }

    /// Damage that the sum does not show: the call goes on, or it does not, and nothing leaks.
    #[test]
    fn nonsense_is_refused_or_harmless(changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut rig = rig();
        call(&mut rig);
        rig.write();
        let mut body = rig.disk.values().next().unwrap()[9..].to_vec();
        for (place, octet) in changes {
            let place = place.index(body.len());
            body[place] = octet;
        }
        let mut fresh = Rig::new(settings());
        fresh.migrate("alice", "primary.example");
        if let Ok(record) = Record::decode(&signed(body)) {
            let id = record.call_id().clone();
            if fresh.restore(record).is_ok() {
                fresh.view(&id.0);
                let _ = fresh.offer(exchange(&id.0, "a", Some("b"), &mcptt("192.0.2.1", 4000)));
                let _ = fresh.answer(exchange(&id.0, "a", Some("b"), &mcptt("192.0.2.2", 5000)));
            }
        }
        fresh.event(Event::Shutdown);
        prop_assert!(fresh.ground.bound.is_empty());
    }
}

/// A body with its head.
fn signed(body: Vec<u8>) -> Vec<u8> {
    let mut record = vec![1];
    record.extend(xxh3_64(&body).to_le_bytes());
    record.extend(body);
    record
}

#[test]
fn calls_of_two_processes_do_not_mix() {
    let mut rig = rig();
    let mut seen = BTreeSet::new();
    for round in 0..4 {
        rig.call(&format!("written-{round}"));
        rig.write();
        rig.call(&format!("lost-{round}"));
        let _ = rig.request(Request::Statistics);
        let kept: BTreeSet<StreamId> = rig.flows.keys().copied().collect();
        let fresh: Vec<&StreamId> = kept.iter().filter(|s| !seen.contains(*s)).collect();
        assert_eq!(fresh.len(), 8, "no number comes back");
        seen.extend(kept);
        assert_eq!(rig.restart(), []);
        assert_eq!(rig.core_statistics().calls, round + 1);
    }
}
