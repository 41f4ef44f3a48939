//! Redirected calls that change, of several primaries, without ports, in a circle, and their end.

use std::collections::BTreeSet;
use std::time::Duration;

use homeward::migration::context::CallContext;
use homeward::session::command::Command;
use homeward::session::core::Event;
use homeward::session::reply::{Error, HomeState, LaneState};
use homeward::session::request::Request;
use homeward::wire::block::Direction;

use crate::harness::{audio, context, delete, exchange, head, mcptt};
use crate::redirect::{answered, call, copied, explained, only, order, redirect, rig};

#[test]
fn hold_changes_nothing_at_home() {
    let mut rig = rig(&[("alice", "primary.example")]);
    call(&mut rig, context("alice", "bob"), audio);
    answered(&mut rig);
    for address in ["0.0.0.0", "192.0.2.1"] {
        rig.offer(exchange("c1", "a", Some("b"), &audio(address, 4000)))
            .unwrap();
        let labels: Vec<&str> = rig.homes[&only(&rig)]
            .offer
            .lanes
            .iter()
            .map(|lane| lane.label.as_str())
            .collect();
        assert_eq!(labels, ["1", "2"]);
        assert!(copied(&rig).is_empty());
    }
}

#[test]
fn renewed_ports_keep_their_lane_and_added_media_gets_one() {
    let mut rig = rig(&[("alice", "primary.example")]);
    let (to_b, to_a) = call(&mut rig, context("alice", "bob"), audio);
    let home = answered(&mut rig);
    let (facing, _) = rig.home_of(to_b.rtp[0]).unwrap();
    // The caller moves: other ports face the callee, and the old ones linger.
    let moved = rig
        .offer(exchange("c1", "a", Some("b"), &mcptt("192.0.2.7", 4400)))
        .unwrap();
    assert_ne!(moved.rtp[0], to_b.rtp[0]);
    rig.answer(exchange("c1", "a", Some("b"), &mcptt("192.0.2.2", 5000)))
        .unwrap();
    assert_eq!(rig.home_of(moved.rtp[0]).unwrap().0, facing);
    assert_eq!(
        rig.home_of(to_b.rtp[0]).unwrap().0,
        facing,
        "late packets, too"
    );
    assert_eq!(rig.flows[&facing].forward, rig.stream_at(to_a.rtp[0]));
    // Floor control goes straight until the anchor takes it.
    assert_eq!(rig.homes[&home].offer.lanes.len(), 4);
    assert!(rig.home_of(moved.rtp[1]).is_none());
    assert_eq!(copied(&rig).len(), 2);
    rig.home_answers(home, |_| true);
    assert!(rig.home_of(moved.rtp[1]).is_some() && copied(&rig).is_empty());
    // And it is taken away again.
    let gone = format!("{}m=application 0 udp MCPTT\r\n", audio("192.0.2.7", 4400));
    rig.offer(exchange("c1", "a", Some("b"), &gone)).unwrap();
    assert_eq!(rig.homes[&home].offer.lanes.len(), 2);
    rig.wait(Duration::from_secs(31));
    assert_eq!(
        rig.ground.bound.len(),
        8,
        "two pairs of parties, two that face home"
    );
}

#[test]
fn another_party_takes_over() {
    // Attended transfer: the migrated user stays, the other end becomes somebody else.
    let mut rig = rig(&[("alice", "primary.example")]);
    call(&mut rig, context("alice", "bob"), audio);
    let home = answered(&mut rig);
    rig.offer(exchange("c1", "a", Some("c"), &audio("192.0.2.1", 4000)))
        .unwrap();
    rig.answer(exchange("c1", "a", Some("c"), &audio("192.0.2.3", 6000)))
        .unwrap();
    assert_eq!(rig.homes[&home].offer.lanes.len(), 4);
    rig.home_answers(home, |_| true);
    let mut end = delete("c1");
    (end.from_tag, end.to_tag) = (Some("a".into()), Some("b".into()));
    rig.delete(end).unwrap();
    let lanes = &rig.homes[&home].offer.lanes;
    let tags: BTreeSet<&str> = lanes.iter().map(|l| l.info.from_tag.as_str()).collect();
    assert_eq!(tags, BTreeSet::from(["a", "c"]));
    assert!(copied(&rig).is_empty());
}

#[test]
fn a_migration_may_begin_and_end_in_mid_call() {
    let mut rig = rig(&[]);
    let (_, to_a) = call(&mut rig, context("alice", "bob"), audio);
    assert!(rig.homes.is_empty());
    rig.migrate("alice", "primary.example");
    assert_eq!(copied(&rig).len(), 4, "duplicated at first");
    redirect(&mut rig, "primary.example");
    answered(&mut rig);
    assert!(copied(&rig).is_empty());
    let id = rig.registry.list(&Default::default(), rig.now)[0].id;
    let change = rig.registry.prepare_end(id, rig.now).unwrap();
    rig.registry.commit(change);
    rig.wait(Duration::from_secs(1));
    rig.event(Event::RegistryChanged);
    assert!(rig.homes.is_empty() && rig.mirrors.is_empty());
    assert_eq!(rig.home_of(to_a.rtp[0]), None);
    assert_eq!(rig.ground.bound.len(), 4, "the call goes on");
    // Straight first, then the sockets go, then the anchor is told.
    let straight = order(&rig, |c| matches!(c, Command::Configure { .. }));
    let closed = order(&rig, |c| matches!(c, Command::Close { .. }));
    let told = order(&rig, |c| matches!(c, Command::HomeClose { .. }));
    assert_eq!((straight.len(), closed.len(), told.len()), (4, 4, 1));
    assert!(straight[3] < closed[0] && closed[3] < told[0]);
}

#[test]
fn between_two_users_of_one_primary_each_stream_goes_home_once() {
    let mut rig = rig(&[("alice", "primary.example"), ("bob", "primary.example")]);
    call(&mut rig, context("alice", "bob"), audio);
    let lanes = &rig.homes[&only(&rig)].offer.lanes;
    assert_eq!(lanes.len(), 2);
    assert!(lanes.iter().all(|l| l.info.direction == Direction::Both));
}

#[test]
fn of_two_primaries_the_senders_has_the_stream_and_the_other_a_copy() {
    let mut rig = rig(&[("alice", "one.example"), ("bob", "two.example")]);
    let (to_b, to_a) = call(&mut rig, context("alice", "bob"), audio);
    assert_eq!(rig.homes.len(), 2);
    for home in rig.homes.keys().copied().collect::<Vec<_>>() {
        rig.home_answers(home, |_| true);
    }
    for asked in rig.homes.values() {
        assert_eq!(asked.offer.lanes.len(), 1);
        let user = match asked.offer.info.primary_system.as_str() {
            "one.example" => "a",
            _ => "b",
        };
        assert_eq!(asked.offer.lanes[0].info.from_tag, user);
    }
    for (local, to) in [(to_a.rtp[0], "two.example"), (to_b.rtp[0], "one.example")] {
        assert!(rig.home_of(local).is_some());
        let stream = rig.stream_at(local).unwrap();
        let has = |system: &str| {
            let mut tapes = rig.mirrors.values();
            let tape = tapes.find(|t| t.info.primary_system == system).unwrap();
            tape.streams.get(&stream).map(|info| info.direction)
        };
        let other = if to == "one.example" {
            "two.example"
        } else {
            "one.example"
        };
        assert_eq!((has(to), has(other)), (Some(Direction::ToUser), None));
    }
    let homes = rig.explain("c1").unwrap().homes;
    assert!(
        homes[0].note.contains("goes through two.example; a copy"),
        "{}",
        homes[0].note
    );
    // Bypassed, it is copied to both.
    let (stream, _) = rig.home_of(to_a.rtp[0]).unwrap();
    rig.event(Event::HomeLost {
        stream,
        unanswered: 0,
    });
    let party = rig.stream_at(to_a.rtp[0]).unwrap();
    assert!(rig.mirrors.values().all(|t| t.streams.contains_key(&party)));
}

#[test]
fn a_primary_that_duplicates_gets_its_copy_besides_one_that_redirects() {
    let mut rig = rig(&[("alice", "one.example")]);
    rig.migrate("bob", "two.example");
    let (to_b, to_a) = call(&mut rig, context("alice", "bob"), audio);
    answered(&mut rig);
    assert!(rig.home_of(to_a.rtp[0]).is_some() && rig.home_of(to_b.rtp[0]).is_some());
    let tape = |system: &str| {
        let mut tapes = rig.mirrors.values();
        tapes
            .find(|t| t.info.primary_system == system)
            .unwrap()
            .streams
            .len()
    };
    assert_eq!((tape("one.example"), tape("two.example")), (0, 4));
}

#[test]
fn redirect_alone_is_enough() {
    let mut rig = rig(&[("alice", "primary.example")]);
    rig.agreements[0].loggers.clear();
    let (_, to_a) = call(&mut rig, context("alice", "bob"), audio);
    assert!(rig.mirrors.is_empty());
    let note = explained(&mut rig).note;
    assert!(note.contains("is not recorded"), "{note}");
    answered(&mut rig);
    assert!(rig.home_of(to_a.rtp[0]).is_some() && rig.mirrors.is_empty());
}

#[test]
fn without_ports_for_lanes_the_call_goes_straight() {
    let mut rig = rig(&[("alice", "primary.example")]);
    let mut offer = exchange("c1", "a", None, &audio("192.0.2.1", 4000));
    offer.context = context("alice", "bob");
    rig.offer(offer).unwrap();
    rig.ground.left = Some(0);
    let answer = exchange("c1", "a", Some("b"), &audio("192.0.2.2", 5000));
    let to_a = rig.answer(answer.clone()).expect("never refused for that");
    assert!(rig.homes.is_empty());
    assert_eq!(copied(&rig).len(), 4);
    let seen = explained(&mut rig);
    assert_eq!(seen.state, HomeState::Failed);
    assert!(seen.reason.unwrap().contains("port"));
    // One lane has room, the other has not.
    rig.ground.left = Some(2);
    rig.wait(Duration::from_secs(1));
    answered(&mut rig);
    assert!(rig.home_of(to_a.rtp[0]).is_some());
    let states: Vec<LaneState> = explained(&mut rig).lanes.iter().map(|l| l.state).collect();
    assert_eq!(states, [LaneState::Through, LaneState::NoPort]);
    assert_eq!(copied(&rig).len(), 2);
    rig.ground.left = None;
    rig.answer(answer).unwrap();
    rig.home_answers(only(&rig), |_| true);
    assert!(copied(&rig).is_empty());
}

#[test]
fn sockets_that_face_home_are_on_the_anchors_interface() {
    let mut rig = rig(&[("alice", "primary.example")]);
    rig.agreements[0].anchors = vec!["spare".into()];
    call(&mut rig, context("alice", "bob"), audio);
    let lanes = &rig.homes[&only(&rig)].offer.lanes;
    assert!(
        lanes
            .iter()
            .all(|l| l.rtp.ip().to_string().starts_with("127.0.1."))
    );
}

#[test]
fn other_anchors_are_another_home_leg() {
    let mut rig = rig(&[("alice", "primary.example")]);
    let (_, to_a) = call(&mut rig, context("alice", "bob"), audio);
    let first = answered(&mut rig);
    rig.agreements[0].anchors = vec!["spare".into()];
    rig.event(Event::RegistryChanged);
    assert_ne!(only(&rig), first);
    assert_eq!(copied(&rig).len(), 4, "straight meanwhile");
    answered(&mut rig);
    assert!(rig.home_of(to_a.rtp[0]).is_some() && copied(&rig).is_empty());
}

#[test]
fn media_that_has_come_through_us_is_refused() {
    let mut rig = rig(&[("alice", "primary.example")]);
    call(&mut rig, context("alice", "bob"), audio);
    answered(&mut rig);
    let before = (rig.flows.clone(), rig.ground.bound.clone());
    let path = "a=homeward-path:homeward-other homeward-test\r\n";
    let sdp = format!("{}{path}m=audio 4000 RTP/AVP 0\r\n", head("192.0.2.1"));
    for (id, to) in [("c1", Some("b")), ("c2", None)] {
        let refused = rig.offer(exchange(id, "a", to, &sdp)).unwrap_err();
        assert_eq!(refused, Error::HomeCycle);
        assert!(refused.to_string().contains("through this relay"));
        assert!(rig.log.is_empty());
    }
    let refused = rig
        .answer(exchange("c1", "a", Some("b"), &sdp))
        .unwrap_err();
    assert_eq!(refused, Error::HomeCycle);
    assert_eq!(before, (rig.flows.clone(), rig.ground.bound.clone()));
    assert!(rig.view("c2").is_none());
}

#[test]
fn what_the_anchor_is_told_is_kept_up_to_date() {
    let mut rig = rig(&[("alice", "primary.example")]);
    call(&mut rig, context("alice", "bob"), audio);
    let home = answered(&mut rig);
    let context = CallContext {
        emergency: true,
        ..CallContext::default()
    };
    let call_id = "c1".into();
    rig.request(Request::Context { call_id, context }).unwrap();
    assert!(rig.homes[&home].offer.info.emergency);
    assert!(copied(&rig).is_empty(), "media goes on as it was");
}

#[test]
fn the_end_closes_all() {
    let mut rig = rig(&[("alice", "primary.example")]);
    call(&mut rig, context("alice", "bob"), audio);
    answered(&mut rig);
    rig.delete(delete("c1")).unwrap();
    assert!(rig.homes.is_empty() && rig.mirrors.is_empty() && rig.ground.bound.is_empty());
    let closed = order(&rig, |c| matches!(c, Command::Close { .. }));
    let told = order(&rig, |c| matches!(c, Command::HomeClose { .. }));
    assert_eq!((closed.len(), told.len()), (8, 1));
    assert!(closed.last() < told.first());
    let kept = rig.explain("c1").unwrap();
    assert_eq!((kept.homes.len(), kept.homes[0].lanes.len()), (1, 2));
}
