//! What becomes of a call that no logger takes, and of the figures of what is closed.

use std::time::Duration;

use homeward::migration::agreement::OnLoggerLoss;
use homeward::migration::context::CallContext;
use homeward::session::command::Command;
use homeward::session::core::Event;
use homeward::session::host::DROP_REASONS;
use homeward::session::ids::StreamId;
use homeward::session::reply::Error;
use homeward::session::request::{Exchange, Request};

use crate::harness::{Rig, audio, context, delete, exchange, mcptt, settings};

/// Alice has migrated; her agreement says this, and the logger has room for so many pairs.
fn rig(loss: OnLoggerLoss, room: usize) -> Rig {
    let mut rig = Rig::new(settings());
    rig.migrate("alice", "primary.example");
    rig.agreements[0].on_logger_loss = loss;
    rig.ground.room = Some(room);
    rig
}

fn offer(id: &str, context: CallContext) -> Exchange {
    let mut offer = exchange(id, "a", None, &audio("192.0.2.1", 4000));
    offer.context = context;
    offer
}

fn answer(id: &str) -> Exchange {
    exchange(id, "a", Some("b"), &audio("192.0.2.2", 5000))
}

#[test]
fn a_new_call_that_no_logger_takes_is_refused_without_a_trace() {
    let mut rig = rig(OnLoggerLoss::Refuse, 3);
    rig.offer(offer("c1", context("alice", "bob"))).unwrap();
    rig.answer(answer("c1")).unwrap();
    for _ in 0..3 {
        let refused = rig.offer(offer("c2", context("alice", "bob"))).unwrap_err();
        assert_eq!(refused, Error::SessionLimit);
        assert!(rig.view("c2").is_none() && rig.explain("c2").is_err());
    }
    assert_eq!(rig.ground.bound.len(), 4, "only the first call has sockets");
    let statistics = rig.core_statistics();
    assert_eq!((statistics.rejected_total, statistics.calls_total), (3, 1));
    // When the first one ends there is room again.
    rig.delete(delete("c1")).unwrap();
    rig.offer(offer("c2", context("alice", "bob"))).unwrap();
}

#[test]
fn half_the_room_is_none() {
    // Before the answer only one direction is copied, but both need room.
    let mut rig = rig(OnLoggerLoss::Refuse, 1);
    for parties in [context("alice", "bob"), context("bob", "alice")] {
        let refused = rig.offer(offer("c1", parties)).unwrap_err();
        assert_eq!(refused, Error::SessionLimit);
    }
    assert!(rig.ground.bound.is_empty());
}

#[test]
fn a_call_that_need_not_be_mirrored_is_not_refused() {
    let mut rig = rig(OnLoggerLoss::Refuse, 0);
    rig.offer(offer("c1", context("carol", "bob"))).unwrap();
    rig.offer(offer("c2", CallContext::default())).unwrap();
    assert_eq!(rig.core_statistics().calls, 2);
}

#[test]
fn a_call_that_exists_is_never_touched() {
    let mut rig = rig(OnLoggerLoss::Refuse, 2);
    rig.offer(offer("c1", context("alice", "bob"))).unwrap();
    rig.ground.room = Some(0);
    rig.answer(answer("c1")).unwrap();
    let mut wider = exchange("c1", "a", Some("b"), &mcptt("192.0.2.1", 4400));
    wider.context = context("alice", "bob");
    rig.offer(wider).unwrap();
    // What is told later comes too late to refuse.
    rig.offer(offer("c2", CallContext::default())).unwrap();
    let news = Request::Context {
        call_id: "c2".into(),
        context: context("alice", "bob"),
    };
    rig.request(news).unwrap();
    assert_eq!(rig.core_statistics().calls, 2);
    assert!(!rig.view("c2").unwrap().mirrored);
}

#[test]
fn both_primaries_need_room_if_both_insist() {
    let mut rig = rig(OnLoggerLoss::Refuse, 3);
    rig.migrate("bob", "two.example");
    rig.agreements[1].on_logger_loss = OnLoggerLoss::Refuse;
    let refused = rig.offer(offer("c1", context("alice", "bob"))).unwrap_err();
    assert_eq!(refused, Error::SessionLimit);
    // One that does not insist comes second, whoever was named first.
    rig.agreements[0].on_logger_loss = OnLoggerLoss::Continue;
    rig.offer(offer("c1", context("alice", "bob"))).unwrap();
    let mirrors = rig.explain("c1").unwrap().mirrors;
    let takers: Vec<_> = mirrors
        .iter()
        .map(|m| (m.primary_system.as_str(), m.logger.as_deref()))
        .collect();
    assert_eq!(
        takers,
        [("two.example", Some("hq")), ("primary.example", None)]
    );
}

#[test]
fn continue_carries_the_call_and_explain_says_that_it_is_not_mirrored() {
    let mut rig = rig(OnLoggerLoss::Continue, 1);
    rig.agreements[0].loggers = vec!["hq".into(), "spare".into()];
    rig.offer(offer("c1", context("alice", "bob"))).unwrap();
    rig.answer(answer("c1")).unwrap();
    assert!(!rig.view("c1").unwrap().mirrored);
    let check = |rig: &mut Rig| {
        let mirror = rig.explain("c1").unwrap().mirrors.remove(0);
        assert_eq!(mirror.logger, None);
        let why = "no logger took it: no room at hq, spare";
        assert!(mirror.note.ends_with(why), "{}", mirror.note);
    };
    check(&mut rig);
    rig.delete(delete("c1")).unwrap();
    check(&mut rig);
}

#[test]
fn the_logger_that_had_it_is_named_after_the_end() {
    let mut rig = rig(OnLoggerLoss::Continue, 2);
    rig.offer(offer("c1", context("alice", "bob"))).unwrap();
    rig.answer(answer("c1")).unwrap();
    rig.delete(delete("c1")).unwrap();
    let mirror = rig.explain("c1").unwrap().mirrors.remove(0);
    assert_eq!(mirror.logger.as_deref(), Some("hq"));
    assert!(!mirror.note.contains("no logger"), "{}", mirror.note);
}

#[test]
fn streams_without_room_are_told() {
    let mut rig = rig(OnLoggerLoss::Continue, 2);
    rig.offer(offer("c1", context("alice", "bob"))).unwrap();
    let id = *rig.mirrors.keys().next().unwrap();
    rig.ground.taped.get_mut(&id).unwrap().0.streams = 1;
    let mirror = rig.explain("c1").unwrap().mirrors.remove(0);
    let why = "for 3 of its 4 streams the logger had no room";
    assert!(mirror.note.ends_with(why), "{}", mirror.note);
}

/// A packet that was taken and copied, and one that was dropped.
fn count(rig: &mut Rig, stream: StreamId) {
    rig.hear(stream);
    let counters = rig.ground.counters.get_mut(&stream).unwrap();
    counters.mirrored += 1;
    counters.mirror_dropped += 2;
    counters.drops[0] += 1;
}

#[test]
fn figures_outlive_their_ports_and_their_call() {
    let mut rig = rig(OnLoggerLoss::Continue, 100);
    rig.offer(offer("c1", context("alice", "bob"))).unwrap();
    rig.answer(answer("c1")).unwrap();
    let count_all = |rig: &mut Rig| {
        let streams: Vec<StreamId> = rig.flows.keys().copied().collect();
        streams.into_iter().for_each(|stream| count(rig, stream));
    };
    count_all(&mut rig);
    let check = |rig: &mut Rig, each: u64| {
        let explained = rig.explain("c1").unwrap();
        for leg in &explained.legs {
            assert_eq!(leg.packets, each);
            assert_eq!(leg.drops, [(DROP_REASONS[0].to_owned(), each)]);
        }
        let mirror = &explained.mirrors[0];
        let sums = |pick: fn(&homeward::session::reply::MirrorStream) -> u64| {
            mirror.streams.iter().map(pick).sum::<u64>()
        };
        assert_eq!(sums(|s| s.packets) + mirror.detached.packets, 2 * each);
        assert_eq!(sums(|s| s.dropped) + mirror.detached.dropped, 4 * each);
    };
    check(&mut rig, 2);
    // The caller moves: the ports that stand for it are renewed, and the old ones close later.
    rig.offer(exchange("c1", "a", Some("b"), &audio("192.0.2.1", 4400)))
        .unwrap();
    rig.answer(answer("c1")).unwrap();
    assert_eq!(rig.ground.bound.len(), 6);
    check(&mut rig, 2);
    rig.wait(Duration::from_secs(31));
    assert_eq!(rig.ground.bound.len(), 4);
    check(&mut rig, 2);
    let closed = &rig.view("c1").unwrap().parties[1].closed;
    assert_eq!((closed.rtp.packets, closed.rtcp.packets), (1, 1));
    assert_eq!((closed.rtp.octets, closed.rtp.drops[0]), (172, 1));
    rig.delete(delete("c1")).unwrap();
    check(&mut rig, 2);
}

#[test]
fn a_branch_that_leaves_takes_no_figures_of_others_along() {
    let mut rig = Rig::new(settings());
    for branch in ["one", "two"] {
        let mut offer = exchange("c1", "a", None, &audio("192.0.2.1", 4000));
        offer.via_branch = Some(branch.into());
        rig.offer(offer).unwrap();
    }
    let view = rig.view("c1").unwrap();
    let facing_caller: Vec<StreamId> = view.parties[0].medias[0]
        .streams
        .iter()
        .map(|s| s.stream)
        .collect();
    for stream in facing_caller {
        rig.hear(stream);
    }
    let mut one = delete("c1");
    one.from_tag = Some("a".into());
    one.via_branch = Some("one".into());
    rig.delete(one).unwrap();
    assert_eq!(rig.explain("c1").unwrap().legs[0].packets, 4);
}

#[test]
fn copies_are_counted_once_if_a_stream_comes_back() {
    let mut rig = rig(OnLoggerLoss::Continue, 100);
    rig.offer(offer("c1", context("alice", "bob"))).unwrap();
    rig.answer(answer("c1")).unwrap();
    let stream = *rig.flows.keys().next().unwrap();
    count(&mut rig, stream);
    let kinds = std::mem::take(&mut rig.agreements[0].media);
    rig.event(Event::RegistryChanged);
    assert!(
        rig.log
            .iter()
            .any(|c| matches!(c, Command::MirrorDetach { .. }))
    );
    rig.agreements[0].media = kinds;
    rig.event(Event::RegistryChanged);
    count(&mut rig, stream);
    let mirror = rig.explain("c1").unwrap().mirrors.remove(0);
    let now: u64 = mirror.streams.iter().map(|s| s.packets).sum();
    assert_eq!((mirror.detached.packets, now), (1, 1));
}
