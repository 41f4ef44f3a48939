//! Calls that go through the primary system (design section 6, redirect).

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use homeward::migration::agreement::Mode;
use homeward::migration::context::CallContext;
use homeward::session::command::{Command, Notice, Route};
use homeward::session::core::Event;
use homeward::session::ids::{HomeId, StreamId};
use homeward::session::options::RtcpMux;
use homeward::session::reply::{Error, HomeExplanation, HomeState, LaneState};
use homeward::session::request::Request;
use homeward::wire::block::{Direction, MediaKind};

use crate::harness::{
    LIMITS, Rig, Sdp, anchor_at, audio, context, delete, exchange, head, mcptt, settings,
};

/// Users whose systems want redirect.
fn rig(migrated: &[(&str, &str)]) -> Rig {
    let mut rig = Rig::new(settings());
    for (user, system) in migrated {
        rig.migrate(user, system);
        redirect(&mut rig, system);
    }
    rig
}

fn redirect(rig: &mut Rig, system: &str) {
    let mut agreements = rig.agreements.iter_mut();
    let agreement = agreements.find(|a| a.primary.as_str() == system).unwrap();
    agreement.mode = Mode::Redirect;
    agreement.anchors = vec!["gate".into(), "spare".into()];
    rig.event(Event::RegistryChanged);
}

/// A call with a context; SDP for the callee and for the caller.
fn call(rig: &mut Rig, context: CallContext, sdp: fn(&str, u16) -> String) -> (Sdp, Sdp) {
    let mut offer = exchange("c1", "a", None, &sdp("192.0.2.1", 4000));
    offer.context = context;
    let to_b = rig.offer(offer).unwrap();
    let answer = exchange("c1", "a", Some("b"), &sdp("192.0.2.2", 5000));
    (to_b, rig.answer(answer).unwrap())
}

fn only(rig: &Rig) -> HomeId {
    assert_eq!(rig.homes.len(), 1, "{:?}", rig.homes);
    *rig.homes.keys().next().unwrap()
}

fn answered(rig: &mut Rig) -> HomeId {
    let home = only(rig);
    rig.home_answers(home, |_| true);
    home
}

fn copied(rig: &Rig) -> BTreeSet<StreamId> {
    let tapes = rig.mirrors.values();
    tapes
        .flat_map(|tape| tape.streams.keys().copied())
        .collect()
}

fn explained(rig: &mut Rig) -> HomeExplanation {
    let mut homes = rig.explain("c1").unwrap().homes;
    assert_eq!(homes.len(), 1);
    homes.remove(0)
}

fn order(rig: &Rig, wanted: impl Fn(&Command) -> bool) -> Vec<usize> {
    let log = rig.log.iter().enumerate();
    log.filter(|(_, c)| wanted(c)).map(|(at, _)| at).collect()
}

#[test]
fn media_goes_straight_and_is_copied_until_the_anchor_answers() {
    let mut rig = rig(&[("alice", "primary.example")]);
    let mut offer = exchange("c1", "a", None, &mcptt("192.0.2.1", 4000));
    offer.context = context("alice", "bob");
    let to_b = rig.offer(offer).unwrap();
    assert!(rig.homes.is_empty(), "nobody has answered yet");
    assert_eq!(copied(&rig).len(), 6, "what comes early is copied");
    let to_a = rig
        .answer(exchange("c1", "a", Some("b"), &mcptt("192.0.2.2", 5000)))
        .unwrap();
    assert_eq!(copied(&rig).len(), 6);
    let home = only(&rig);
    assert_eq!(rig.homes[&home].anchors, ["gate", "spare"]);
    assert_eq!(explained(&mut rig).state, HomeState::Pending);
    assert_eq!(rig.home_of(to_a.rtp[0]), None);

    answered(&mut rig);
    for (local, toward) in [(to_a.rtp[0], to_b.rtp[0]), (to_b.rtp[0], to_a.rtp[0])] {
        let (facing, remote) = rig.home_of(local).expect("through home");
        let back = &rig.flows[&facing];
        assert_eq!(back.remote, Some(remote));
        assert_eq!(back.route, Route::Home(LIMITS));
        // What comes back goes on as it would have gone straight.
        let straight = &rig.flows[&rig.stream_at(local).unwrap()];
        assert_eq!(back.forward, straight.forward);
        assert_eq!(back.forward_rtcp, straight.forward_rtcp);
        assert_eq!(back.forward, rig.stream_at(toward));
    }
    let odd = SocketAddr::new(to_a.rtp[0].ip(), to_a.rtp[0].port() + 1);
    let (facing, remote) = rig.home_of(odd).expect("RTCP, too");
    assert_eq!(remote.port() % 2, 1);
    assert_eq!(rig.flows[&facing].forward, rig.stream_at(to_b.rtcp(0)));
    assert!(copied(&rig).is_empty(), "home has it all");
    assert_eq!(
        rig.mirrors.len(),
        1,
        "the recording stays open for what may go straight"
    );
    let seen = explained(&mut rig);
    assert_eq!(seen.state, HomeState::Up);
    assert_eq!(seen.note, "");
    assert!(seen.lanes.iter().all(|l| l.state == LaneState::Through));
    assert_eq!(seen.lanes.len(), 4);
    let up = |n: &&Notice| matches!(n, Notice::HomeUp(call, _) if call.0.as_ref() == "c1");
    assert_eq!(rig.notices.iter().filter(up).count(), 1);
    assert_eq!(rig.core_statistics().homes, [0, 1, 0, 0]);
}

#[test]
fn the_offer_says_what_goes_through_home() {
    let mut rig = rig(&[("alice", "primary.example")]);
    let path = "a=homeward-path:homeward-one homeward-two\r\n";
    let sdp = format!("{}{path}m=audio 4000 RTP/AVP 0\r\n", head("192.0.2.1"));
    let mut offer = exchange("c1", "a", None, &sdp);
    offer.context = context("alice", "bob");
    let to_b = rig.offer(offer).unwrap();
    assert!(to_b.text.contains(path), "the attribute survives");
    rig.answer(exchange("c1", "a", Some("b"), &audio("192.0.2.2", 5000)))
        .unwrap();
    let offer = &rig.homes[&only(&rig)].offer;
    assert_eq!(
        offer.path,
        ["homeward-one", "homeward-two", "homeward-test"]
    );
    assert_eq!(offer.info.primary_system, "primary.example");
    let lanes: Vec<_> = offer
        .lanes
        .iter()
        .map(|l| {
            (
                l.info.direction,
                l.info.from_tag.as_str(),
                l.protocol.as_str(),
            )
        })
        .collect();
    let wanted = [
        (Direction::FromUser, "a", "RTP/AVP"),
        (Direction::ToUser, "b", "RTP/AVP"),
    ];
    assert_eq!(lanes, wanted);
    assert!(offer.lanes.iter().all(|l| l.rtcp == Some(after(l.rtp))));
    assert!(offer.lanes.iter().all(|l| l.info.media == MediaKind::Audio));
}

fn after(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip(), address.port() + 1)
}

#[test]
fn lanes_that_the_anchor_refuses_go_straight_and_are_copied() {
    let mut rig = rig(&[("alice", "primary.example")]);
    let (to_b, to_a) = call(&mut rig, context("alice", "bob"), mcptt);
    let home = only(&rig);
    let floor: Vec<String> = rig.homes[&home]
        .offer
        .lanes
        .iter()
        .filter(|lane| lane.info.media == MediaKind::Floor)
        .map(|lane| lane.label.clone())
        .collect();
    assert!(
        rig.homes[&home]
            .offer
            .lanes
            .iter()
            .all(|lane| { lane.rtcp.is_some() == (lane.info.media == MediaKind::Audio) })
    );
    rig.home_answers(home, |label| !floor.iter().any(|f| f == label));
    assert!(rig.home_of(to_a.rtp[0]).is_some() && rig.home_of(to_b.rtp[0]).is_some());
    assert!(rig.home_of(to_a.rtp[1]).is_none() && rig.home_of(to_b.rtp[1]).is_none());
    let floor = [to_a.rtp[1], to_b.rtp[1]].map(|local| rig.stream_at(local).unwrap());
    assert_eq!(copied(&rig), BTreeSet::from(floor));
    let seen = explained(&mut rig);
    let refused = |l: &&_| {
        matches!(
            l,
            homeward::session::reply::LaneExplanation {
                state: LaneState::Refused,
                ..
            }
        )
    };
    assert_eq!(seen.lanes.iter().filter(refused).count(), 2);
    assert!(seen.note.contains("2 of 4 lanes"), "{}", seen.note);
    // A later answer takes them after all.
    rig.home_answers(home, |_| true);
    assert!(rig.home_of(to_a.rtp[1]).is_some() && copied(&rig).is_empty());
}

#[test]
fn an_answer_that_cannot_be_used_is_a_refusal() {
    let mut rig = rig(&[("alice", "primary.example")]);
    let (_, to_a) = call(&mut rig, context("alice", "bob"), audio);
    let home = only(&rig);
    for remote in ["[2001:db8::9]:20002", "0.0.0.0:20002", "203.0.113.9:0"] {
        let remote = homeward::session::command::HomeRemote {
            rtp: remote.parse().unwrap(),
            rtcp: None,
        };
        let lanes = vec![("1".into(), remote), ("99".into(), anchor_at("99", true))];
        rig.event(Event::HomeAnswered { home, lanes });
        assert_eq!(rig.home_of(to_a.rtp[0]), None);
        assert_eq!(explained(&mut rig).lanes[0].state, LaneState::Refused);
    }
}

#[test]
fn an_anchor_may_take_rtcp_on_its_rtp_port() {
    let mut rig = rig(&[("alice", "primary.example")]);
    let (to_b, to_a) = call(&mut rig, context("alice", "bob"), audio);
    let home = only(&rig);
    let lanes = ["1", "2"].map(|label| (label.to_owned(), anchor_at(label, false)));
    rig.event(Event::HomeAnswered {
        home,
        lanes: lanes.to_vec(),
    });
    let (rtp, _) = rig.home_of(to_a.rtp[0]).unwrap();
    let (rtcp, _) = rig.home_of(after(to_a.rtp[0])).unwrap();
    assert_eq!(rtp, rtcp);
    assert_eq!(rig.flows[&rtp].forward_rtcp, rig.stream_at(to_b.rtcp(0)));
    let spare = rig.homes[&home].offer.lanes[0].rtcp.unwrap();
    assert!(
        rig.flows[&rig.stream_at(spare).unwrap()].blocked,
        "nothing may come there"
    );
}

#[test]
fn multiplexed_rtcp_goes_home_beside_rtp() {
    let mut rig = rig(&[("alice", "primary.example")]);
    let mux = |sdp: String| format!("{sdp}a=rtcp-mux\r\n");
    let mut offer = exchange("c1", "a", None, &mux(audio("192.0.2.1", 4000)));
    offer.context = context("alice", "bob");
    offer.options.rtcp_mux = RtcpMux {
        offer: true,
        ..RtcpMux::default()
    };
    rig.offer(offer).unwrap();
    let answer = exchange("c1", "a", Some("b"), &mux(audio("192.0.2.2", 5000)));
    let to_a = rig.answer(answer).unwrap();
    answered(&mut rig);
    let flow = &rig.flows[&rig.stream_at(to_a.rtp[0]).unwrap()];
    let Route::Via { home, home_rtcp } = flow.route else {
        panic!("{flow:?}");
    };
    let rtcp = home_rtcp.expect("the anchor takes RTCP apart");
    assert_eq!(rig.flows[&rtcp].forward, rig.flows[&home].forward);
    // If only RTCP is lost, some packets of the RTP port go straight: it is copied.
    rig.event(Event::HomeLost {
        stream: rtcp,
        unanswered: 1,
    });
    assert!(copied(&rig).contains(&rig.stream_at(to_a.rtp[0]).unwrap()));
}

#[test]
fn a_failed_home_leg_is_tried_again_with_growing_pauses() {
    let mut rig = rig(&[("alice", "primary.example")]);
    let (_, to_a) = call(&mut rig, context("alice", "bob"), audio);
    let home = only(&rig);
    let mut pauses = Vec::new();
    for _ in 0..8 {
        rig.home_fails(home);
        assert_eq!(copied(&rig).len(), 4);
        assert_eq!(rig.ground.bound.len(), 4, "no sockets meanwhile");
        let seen = explained(&mut rig);
        assert_eq!(
            (seen.state, seen.reason.as_deref()),
            (HomeState::Failed, Some("busy"))
        );
        let failed = rig.now;
        assert!(rig.homes.is_empty());
        while rig.homes.is_empty() {
            // The call itself must not time out.
            rig.hear(rig.stream_at(to_a.rtp[0]).unwrap());
            rig.wait(Duration::from_millis(500));
        }
        pauses.push(rig.now.since(failed).as_secs());
        assert_eq!(only(&rig), home);
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
    answered(&mut rig);
    assert!(copied(&rig).is_empty() && rig.home_of(to_a.rtp[0]).is_some());
    // It has stood for long: the next failure is a first one.
    rig.wait(Duration::from_secs(30));
    rig.hear(rig.stream_at(to_a.rtp[0]).unwrap());
    rig.wait(Duration::from_secs(31));
    rig.home_fails(home);
    assert_eq!(copied(&rig).len(), 4);
    assert!(rig.home_of(to_a.rtp[0]).is_none());
    rig.wait(Duration::from_secs(1));
    assert_eq!(only(&rig), home);
    let failed = |n: &&Notice| matches!(n, Notice::HomeFailed { .. });
    assert_eq!(rig.notices.iter().filter(failed).count(), 9);
    assert_eq!(rig.core_statistics().home_failures_total, 9);
}

#[test]
fn news_of_a_home_leg_that_is_over_change_nothing() {
    let mut rig = rig(&[("alice", "primary.example")]);
    let (_, to_a) = call(&mut rig, context("alice", "bob"), audio);
    let home = answered(&mut rig);
    let (facing, _) = rig.home_of(to_a.rtp[0]).unwrap();
    rig.home_fails(home);
    let late = vec![("1".to_owned(), anchor_at("1", true))];
    let events = [
        Event::HomeAnswered { home, lanes: late },
        Event::HomeFailed {
            home,
            reason: "again".into(),
        },
        Event::HomeLost {
            stream: facing,
            unanswered: 3,
        },
        Event::HomeBack { stream: facing },
        Event::HomeFailed {
            home: HomeId(999),
            reason: String::new(),
        },
    ];
    for event in events {
        rig.event(event);
        assert!(rig.log.is_empty(), "{:?}", rig.log);
    }
}

#[test]
fn what_home_does_not_answer_is_copied_until_it_does() {
    let mut rig = rig(&[("alice", "primary.example")]);
    let (_, to_a) = call(&mut rig, context("alice", "bob"), audio);
    answered(&mut rig);
    let party = rig.stream_at(to_a.rtp[0]).unwrap();
    let (stream, _) = rig.home_of(to_a.rtp[0]).unwrap();
    let lost = Event::HomeLost {
        stream,
        unanswered: 100,
    };
    rig.event(lost.clone());
    assert_eq!(
        copied(&rig),
        BTreeSet::from([party]),
        "that direction alone"
    );
    assert!(
        rig.home_of(to_a.rtp[0]).is_some(),
        "the worker itself sends it straight"
    );
    let seen = explained(&mut rig);
    assert_eq!((seen.bypasses, seen.unanswered), (1, 100));
    assert_eq!(seen.lanes[0].state, LaneState::Bypassed);
    assert_eq!(rig.core_statistics().homes, [0, 0, 1, 0]);
    rig.event(lost);
    assert!(rig.log.is_empty(), "said twice");
    rig.event(Event::HomeBack { stream });
    assert!(copied(&rig).is_empty());
    let figures = rig.core_statistics();
    assert_eq!(
        (figures.home_bypasses_total, figures.home_returns_total),
        (1, 1)
    );
    let told = rig.notices.iter().filter_map(|notice| match notice {
        Notice::HomeLost { unanswered, .. } => Some(*unanswered),
        Notice::HomeBack(..) => Some(0),
        _ => None,
    });
    assert_eq!(told.collect::<Vec<u64>>(), [100, 0]);
}

#[test]
fn counters_of_lanes_are_told_and_outlive_them() {
    let mut rig = rig(&[("alice", "primary.example")]);
    let (_, to_a) = call(&mut rig, context("alice", "bob"), audio);
    let home = answered(&mut rig);
    let (stream, _) = rig.home_of(to_a.rtp[0]).unwrap();
    let counters = rig.ground.counters.entry(stream).or_default();
    (counters.home_sent, counters.home_lost, counters.packets) = (100, 3, 95);
    let late = homeward::session::host::DROP_REASONS
        .iter()
        .position(|reason| *reason == "late-home");
    counters.drops[late.unwrap()] = 2;
    let seen = explained(&mut rig);
    let lane = &seen.lanes[0];
    assert_eq!((lane.sent, lane.returned, lane.lost), (100, 95, 3));
    assert_eq!(lane.drops, [("late-home".to_owned(), 2)]);
    rig.home_fails(home);
    let seen = explained(&mut rig);
    assert_eq!(
        (seen.sent, seen.returned, seen.lost, seen.dropped),
        (100, 95, 3, 2)
    );
}

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
    let mut context = CallContext::default();
    context.emergency = true;
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
