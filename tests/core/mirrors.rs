//! Which streams go home, and when (design section 4).

use std::collections::BTreeSet;
use std::time::Duration;

use homeward::migration::context::CallContext;
use homeward::migration::decision::Outcome;
use homeward::session::command::Command;
use homeward::session::core::Event;
use homeward::session::ids::StreamId;
use homeward::session::request::Request;
use homeward::wire::block::{Direction, MediaKind, StreamKind};

use crate::harness::{Rig, Sdp, audio, context, delete, exchange, mcptt, settings};

fn rig(migrated: &[(&str, &str)]) -> Rig {
    let mut rig = Rig::new(settings());
    for (user, system) in migrated {
        rig.migrate(user, system);
    }
    rig
}

/// A call with a context; SDP for the callee and for the caller.
fn call(rig: &mut Rig, context: CallContext, sdp: fn(&str, u16) -> String) -> (Sdp, Sdp) {
    let mut offer = exchange("c1", "a", None, &sdp("192.0.2.1", 4000));
    offer.context = context;
    let to_b = rig.offer(offer).unwrap();
    let answer = exchange("c1", "a", Some("b"), &sdp("192.0.2.2", 5000));
    (to_b, rig.answer(answer).unwrap())
}

fn directions(rig: &Rig) -> Vec<(StreamId, Direction)> {
    let tape = rig.mirrors.values().next().unwrap();
    tape.streams
        .values()
        .map(|s| (StreamId(s.stream), s.direction))
        .collect()
}

#[test]
fn the_migrated_leg_goes_home_in_both_directions() {
    let mut rig = rig(&[("alice", "primary.example")]);
    let (to_b, to_a) = call(&mut rig, context("alice", "bob"), mcptt);
    let tape = rig.mirrors.values().next().unwrap();
    assert_eq!(tape.loggers, ["hq"]);
    assert_eq!(tape.call, "c1".into());
    let kinds: Vec<_> = tape.streams.values().map(|s| (s.media, s.kind)).collect();
    let count = |media, kind| kinds.iter().filter(|k| **k == (media, kind)).count();
    assert_eq!(count(MediaKind::Audio, StreamKind::Rtp), 2);
    assert_eq!(count(MediaKind::Audio, StreamKind::Rtcp), 2);
    assert_eq!(count(MediaKind::Floor, StreamKind::Datagram), 2);
    assert_eq!(kinds.len(), 6);
    let from = &tape.streams[&rig.stream_at(to_a.rtp[0]).unwrap()];
    assert_eq!(
        (from.direction, from.from_tag.as_str()),
        (Direction::FromUser, "a")
    );
    assert_eq!(from.codecs[0].encoding, "PCMU/8000");
    let to = &tape.streams[&rig.stream_at(to_b.rtp[0]).unwrap()];
    assert_eq!(
        (to.direction, to.from_tag.as_str()),
        (Direction::ToUser, "b")
    );
    let info = &tape.info;
    assert_eq!(
        (info.primary_system.as_str(), info.relay_system.as_str()),
        ("primary.example", "partner.example")
    );
    assert_eq!(
        info.parties.iter().map(|p| p.migrated).collect::<Vec<_>>(),
        [true, false]
    );
    assert!(rig.view("c1").unwrap().mirrored);
}

#[test]
fn nobody_else_goes_home() {
    let mut rig = rig(&[("alice", "primary.example")]);
    call(&mut rig, context("carol", "bob"), audio);
    assert!(rig.mirrors.is_empty());
    let legs = rig.explain("c1").unwrap().legs;
    assert!(
        legs.iter()
            .all(|leg| matches!(leg.decision.outcome, Outcome::None { .. }))
    );
}

#[test]
fn a_call_without_context_is_undecided_until_it_comes() {
    let mut rig = rig(&[("bob", "primary.example")]);
    call(&mut rig, CallContext::default(), audio);
    assert!(rig.mirrors.is_empty());
    let outcome = rig.explain("c1").unwrap().legs[0].decision.outcome.clone();
    assert_eq!(outcome, Outcome::Undecided);
    let news = Request::Context {
        call_id: "c1".into(),
        context: context("alice", "bob"),
    };
    rig.request(news).unwrap();
    assert_eq!(directions(&rig).len(), 4);
}

#[test]
fn a_stream_between_two_migrated_users_goes_once() {
    let mut rig = rig(&[("alice", "primary.example"), ("bob", "primary.example")]);
    call(&mut rig, context("alice", "bob"), audio);
    assert_eq!(rig.mirrors.len(), 1);
    let directions = directions(&rig);
    assert_eq!(directions.len(), 4);
    assert!(directions.iter().all(|(_, d)| *d == Direction::Both));
}

#[test]
fn two_primaries_get_a_mirror_each_and_no_ids_of_the_other() {
    let mut rig = rig(&[("alice", "one.example"), ("bob", "two.example")]);
    call(&mut rig, context("alice", "bob"), audio);
    assert_eq!(rig.mirrors.len(), 2);
    for tape in rig.mirrors.values() {
        let home: Vec<_> = tape
            .info
            .parties
            .iter()
            .filter_map(|p| p.primary_id.as_deref())
            .collect();
        assert_eq!(home.len(), 1);
        assert!(home[0].ends_with(&tape.info.primary_system));
        let kinds: BTreeSet<_> = tape
            .streams
            .values()
            .map(|s| format!("{:?}", s.direction))
            .collect();
        assert_eq!(
            kinds.into_iter().collect::<Vec<_>>(),
            ["FromUser", "ToUser"]
        );
    }
}

#[test]
fn legs_of_others_in_the_same_call_stay_out() {
    // The caller forks; the called user of the second branch is not reached by the first.
    let mut rig = rig(&[("bob", "primary.example")]);
    let mut offer = exchange("c1", "a", None, &audio("192.0.2.1", 4000));
    offer.context = context("alice", "bob");
    rig.offer(offer).unwrap();
    let before: BTreeSet<StreamId> = directions(&rig).into_iter().collect_streams();
    assert_eq!(
        before.len(),
        2,
        "not answered: only what would come from the user"
    );
    rig.answer(exchange("c1", "a", Some("b"), &audio("192.0.2.2", 5000)))
        .unwrap();
    assert_eq!(directions(&rig).len(), 4);
}

trait Streams {
    fn collect_streams(self) -> BTreeSet<StreamId>;
}

impl<I: Iterator<Item = (StreamId, Direction)>> Streams for I {
    fn collect_streams(self) -> BTreeSet<StreamId> {
        self.map(|(stream, _)| stream).collect()
    }
}

#[test]
fn what_is_not_sent_to_a_held_user_is_not_copied() {
    let mut rig = rig(&[("alice", "primary.example")]);
    call(&mut rig, context("alice", "bob"), audio);
    rig.offer(exchange("c1", "a", Some("b"), &audio("0.0.0.0", 4000)))
        .unwrap();
    assert!(
        directions(&rig)
            .iter()
            .all(|(_, d)| *d == Direction::FromUser)
    );
    rig.offer(exchange("c1", "a", Some("b"), &audio("192.0.2.1", 4000)))
        .unwrap();
    assert_eq!(directions(&rig).len(), 4);
}

#[test]
fn a_migration_may_begin_and_end_in_mid_call() {
    let mut rig = rig(&[]);
    call(&mut rig, context("alice", "bob"), audio);
    rig.migrate("alice", "primary.example");
    assert_eq!(rig.mirrors.len(), 1);
    let id = rig.registry.list(&Default::default(), rig.now)[0].id;
    let change = rig.registry.prepare_end(id, rig.now).unwrap();
    rig.registry.commit(change);
    rig.now = rig.now + Duration::from_secs(1);
    rig.event(Event::RegistryChanged);
    assert!(rig.mirrors.is_empty());
    assert_eq!(rig.ground.bound.len(), 4, "the call goes on");
}

#[test]
fn other_loggers_are_another_mirror_and_kinds_narrow_it() {
    let mut rig = rig(&[("alice", "primary.example")]);
    call(&mut rig, context("alice", "bob"), mcptt);
    let first = *rig.mirrors.keys().next().unwrap();
    rig.agreements[0].loggers = vec!["spare".into()];
    rig.agreements[0].media = vec![MediaKind::Floor];
    rig.event(Event::RegistryChanged);
    let (second, tape) = rig.mirrors.iter().next().unwrap();
    assert_ne!(first, *second);
    assert!(tape.streams.values().all(|s| s.media == MediaKind::Floor));
    assert_eq!(tape.streams.len(), 2);
}

#[test]
fn a_learned_address_is_told() {
    let mut rig = rig(&[("alice", "primary.example")]);
    let (_, to_a) = call(&mut rig, context("alice", "bob"), audio);
    let stream = rig.stream_at(to_a.rtp[0]).unwrap();
    let address = "198.51.100.7:41000".parse().unwrap();
    rig.event(Event::Learned { stream, address });
    assert!(matches!(rig.log.as_slice(), [Command::MirrorAttach { .. }]));
    rig.event(Event::Learned { stream, address });
    assert!(rig.log.is_empty(), "said once");
    // It is kept when other things change, and unknown streams are no harm.
    rig.offer(exchange("c1", "b", Some("a"), &audio("192.0.2.2", 5000)))
        .unwrap();
    assert_eq!(
        rig.mirrors.values().next().unwrap().streams[&stream].remote,
        Some(address)
    );
    rig.event(Event::Learned {
        stream: StreamId(999_999),
        address,
    });
}

#[test]
fn renewed_ports_and_added_media_are_copied_too() {
    let mut rig = rig(&[("alice", "primary.example")]);
    call(&mut rig, context("alice", "bob"), audio);
    let to_b = rig
        .offer(exchange("c1", "a", Some("b"), &mcptt("192.0.2.1", 4400)))
        .unwrap();
    rig.answer(exchange("c1", "a", Some("b"), &mcptt("192.0.2.2", 5000)))
        .unwrap();
    let streams: BTreeSet<StreamId> = directions(&rig).into_iter().collect_streams();
    for local in &to_b.rtp {
        assert!(streams.contains(&rig.stream_at(*local).unwrap()));
    }
    assert_eq!(streams.len(), 8, "audio, its retired pair, floor control");
    rig.wait(Duration::from_secs(31));
    assert_eq!(directions(&rig).len(), 6);
}

#[test]
fn what_is_known_of_the_call_is_kept_up_to_date() {
    let mut rig = rig(&[("alice", "primary.example")]);
    call(&mut rig, context("alice", "bob"), audio);
    let mut offer = exchange("c1", "a", Some("b"), &audio("192.0.2.1", 4000));
    offer.context.emergency = true;
    rig.offer(offer).unwrap();
    let updates = rig
        .log
        .iter()
        .filter(|c| matches!(c, Command::MirrorUpdate { .. }))
        .count();
    assert_eq!(updates, 1);
    assert!(rig.mirrors.values().next().unwrap().info.emergency);
}

#[test]
fn the_end_detaches_then_closes_then_ends_the_mirror() {
    let mut rig = rig(&[("alice", "primary.example")]);
    call(&mut rig, context("alice", "bob"), audio);
    rig.delete(delete("c1")).unwrap();
    let order: Vec<u8> = rig.log.iter().map(rank).collect();
    assert!(order.is_sorted(), "{:?}", rig.log);
    assert_eq!(order, [0, 0, 0, 0, 1, 1, 1, 1, 2, 3]);
    let kept = rig.explain("c1").unwrap();
    assert_eq!(kept.ended, Some(rig.now));
    assert_eq!(kept.mirrors[0].streams.len(), 4);
    for n in 0..20 {
        rig.call(&format!("d{n}"));
        rig.delete(delete(&format!("d{n}"))).unwrap();
    }
    assert!(rig.explain("c1").is_err(), "only the last ones are kept");
}

fn rank(command: &Command) -> u8 {
    match command {
        Command::MirrorDetach { .. } => 0,
        Command::Close { .. } => 1,
        Command::MirrorClose { .. } => 2,
        Command::Notice(_) => 3,
        Command::Configure { .. }
        | Command::HomeOpen { .. }
        | Command::HomeUpdate { .. }
        | Command::HomeProbe { .. }
        | Command::HomeClose { .. }
        | Command::MirrorOpen { .. }
        | Command::MirrorUpdate { .. }
        | Command::MirrorAttach { .. } => 9,
    }
}
