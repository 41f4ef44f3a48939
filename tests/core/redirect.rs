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
use homeward::session::reply::{HomeExplanation, HomeState, LaneState};
use homeward::wire::block::{Direction, MediaKind};

use crate::harness::{
    LIMITS, Rig, Sdp, anchor_at, audio, context, exchange, head, mcptt, settings,
};

/// Users whose systems want redirect.
pub(crate) fn rig(migrated: &[(&str, &str)]) -> Rig {
    let mut rig = Rig::new(settings());
    for (user, system) in migrated {
        rig.migrate(user, system);
        redirect(&mut rig, system);
    }
    rig
}

pub(crate) fn redirect(rig: &mut Rig, system: &str) {
    let mut agreements = rig.agreements.iter_mut();
    let agreement = agreements.find(|a| a.primary.as_str() == system).unwrap();
    agreement.mode = Mode::Redirect;
    agreement.anchors = vec!["gate".into(), "spare".into()];
    rig.event(Event::RegistryChanged);
}

/// A call with a context; SDP for the callee and for the caller.
pub(crate) fn call(
    rig: &mut Rig,
    context: CallContext,
    sdp: fn(&str, u16) -> String,
) -> (Sdp, Sdp) {
    let mut offer = exchange("c1", "a", None, &sdp("192.0.2.1", 4000));
    offer.context = context;
    let to_b = rig.offer(offer).unwrap();
    let answer = exchange("c1", "a", Some("b"), &sdp("192.0.2.2", 5000));
    (to_b, rig.answer(answer).unwrap())
}

pub(crate) fn only(rig: &Rig) -> HomeId {
    assert_eq!(rig.homes.len(), 1, "{:?}", rig.homes);
    *rig.homes.keys().next().unwrap()
}

pub(crate) fn answered(rig: &mut Rig) -> HomeId {
    let home = only(rig);
    rig.home_answers(home, |_| true);
    home
}

pub(crate) fn copied(rig: &Rig) -> BTreeSet<StreamId> {
    let tapes = rig.mirrors.values();
    tapes
        .flat_map(|tape| tape.streams.keys().copied())
        .collect()
}

pub(crate) fn explained(rig: &mut Rig) -> HomeExplanation {
    let mut homes = rig.explain("c1").unwrap().homes;
    assert_eq!(homes.len(), 1);
    homes.remove(0)
}

pub(crate) fn order(rig: &Rig, wanted: impl Fn(&Command) -> bool) -> Vec<usize> {
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
    let mut told = Vec::new();
    for notice in &rig.notices {
        if let Notice::HomeLost { unanswered, .. } = notice {
            told.push(*unanswered);
        } else if let Notice::HomeBack(..) = notice {
            told.push(0);
        }
    }
    assert_eq!(told, [100, 0]);
}

#[test]
fn an_anchor_that_is_bypassed_is_asked_whether_it_still_has_the_home_leg() {
    let mut rig = rig(&[("alice", "primary.example")]);
    let (_, to_a) = call(&mut rig, context("alice", "bob"), audio);
    let home = answered(&mut rig);
    let (stream, _) = rig.home_of(to_a.rtp[0]).unwrap();
    let party = rig.stream_at(to_a.rtp[0]).unwrap();
    let asks = |c: &Command| matches!(c, Command::HomeProbe { .. });
    let mut asked = Vec::new();
    rig.event(Event::HomeLost {
        stream,
        unanswered: 100,
    });
    for second in 0..30 {
        asked.extend(order(&rig, asks).iter().map(|_| second));
        rig.log.clear();
        rig.hear(party);
        rig.wait(Duration::from_secs(1));
    }
    assert_eq!(asked, [0, 10, 20]);
    // It does not, and is asked for a new one.
    rig.home_fails(home);
    rig.wait(Duration::from_secs(1));
    answered(&mut rig);
    assert_eq!(explained(&mut rig).lanes[0].state, LaneState::Through);
    for _ in 0..30 {
        rig.log.clear();
        rig.hear(party);
        rig.wait(Duration::from_secs(1));
        assert_eq!(order(&rig, asks), [0; 0]);
    }
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
