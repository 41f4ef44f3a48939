//! How calls end: deletes, time-outs, and what is said about them (NG reference 9.2, 13.1).

use std::time::Duration;

use homeward::session::command::{EndReason, Notice};
use homeward::session::core::Event;
use homeward::session::ids::{StreamId, Tag};
use homeward::session::reply::{Error, Reply};
use homeward::session::request::{Delete, Exchange, Query, Request};

use crate::harness::{Rig, audio, delete, exchange, mcptt, settings};

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn rig() -> Rig {
    Rig::new(settings())
}

fn fork(branch: &str) -> Exchange {
    let mut offer = exchange("c1", "a", None, &audio("192.0.2.1", 4000));
    offer.via_branch = Some(branch.into());
    offer
}

#[test]
fn a_delete_frees_everything_after_its_delay() {
    let mut rig = rig();
    rig.call("c1");
    let mut slow = delete("c1");
    slow.delay = None;
    let view = rig.delete(slow.clone()).unwrap().unwrap();
    assert_eq!(view.parties.len(), 2);
    rig.wait(secs(29));
    assert_eq!(rig.ground.bound.len(), 4, "late packets still flow");
    rig.wait(secs(2));
    assert!(rig.ground.bound.is_empty() && rig.view("c1").is_none());
    assert_eq!(rig.ended(), [EndReason::Deleted]);
    assert_eq!(rig.core.poll_timeout(), None);
    assert_eq!(rig.delete(slow).unwrap(), None);
}

#[test]
fn a_delete_without_delay_is_done_at_once() {
    let mut rig = rig();
    rig.call("c1");
    assert!(rig.delete(delete("c1")).unwrap().is_some());
    assert!(rig.ground.bound.is_empty());
    assert_eq!(rig.core_statistics().deleted_total, 1);
}

#[test]
fn a_message_within_the_delay_revives_the_call() {
    let mut rig = rig();
    rig.call("c1");
    let slow = || Delete {
        delay: None,
        ..delete("c1")
    };
    rig.delete(slow()).unwrap();
    rig.wait(secs(20));
    rig.offer(exchange("c1", "a", Some("b"), &audio("192.0.2.1", 4000)))
        .unwrap();
    rig.wait(secs(20));
    assert_eq!(rig.ground.bound.len(), 4);
    // A message that is refused revives nothing, and of two deletes the sooner one counts.
    rig.delete(slow()).unwrap();
    rig.wait(secs(20));
    rig.delete(slow()).unwrap();
    rig.offer(exchange("c1", "a", Some("b"), "rubbish"))
        .unwrap_err();
    rig.wait(secs(11));
    assert!(rig.ground.bound.is_empty());
}

#[test]
fn what_is_not_there_is_a_warning_or_an_error() {
    let mut rig = rig();
    let mut unknown = delete("c9");
    assert_eq!(rig.delete(unknown.clone()).unwrap(), None);
    unknown.fatal = true;
    assert_eq!(rig.delete(unknown).unwrap_err(), Error::NothingToDelete);
    rig.call("c1");
    let mut stranger = delete("c1");
    stranger.from_tag = Some("nobody".into());
    assert_eq!(rig.delete(stranger).unwrap(), None);
    assert_eq!(rig.ground.bound.len(), 4);
}

#[test]
fn one_branch_of_three_ends_and_the_others_live() {
    let mut rig = rig();
    for branch in ["br1", "br2", "br3"] {
        rig.offer(fork(branch)).unwrap();
    }
    let mut one = delete("c1");
    one.from_tag = Some("a".into());
    one.via_branch = Some("br2".into());
    rig.delete(one.clone()).unwrap().unwrap();
    let view = rig.view("c1").unwrap();
    let branches: Vec<_> = view
        .parties
        .iter()
        .map(|p| p.via_branch.as_deref())
        .collect();
    assert_eq!(branches, [None, Some("br1"), Some("br3")]);
    assert_eq!(rig.ground.bound.len(), 8);
    // With the last branch the caller is left alone, and the call goes.
    for branch in ["br1", "br3"] {
        one.via_branch = Some(branch.into());
        rig.delete(one.clone()).unwrap().unwrap();
    }
    assert!(rig.view("c1").is_none() && rig.ground.bound.is_empty());
}

#[test]
fn branches_with_delays_end_one_by_one() {
    let mut rig = rig();
    for branch in ["br1", "br2"] {
        rig.offer(fork(branch)).unwrap();
    }
    let mut one = delete("c1");
    one.from_tag = Some("a".into());
    one.via_branch = Some("br1".into());
    one.delay = Some(5);
    rig.delete(one.clone()).unwrap();
    one.via_branch = Some("br2".into());
    one.delay = Some(10);
    rig.delete(one).unwrap();
    rig.wait(secs(6));
    assert_eq!(rig.view("c1").unwrap().parties.len(), 2);
    rig.wait(secs(6));
    assert!(rig.view("c1").is_none());
}

#[test]
fn a_tag_picks_its_leg_and_takes_lonely_peers_along() {
    let mut rig = rig();
    rig.call("c1");
    let by = |from: &str, to: Option<&str>| Delete {
        from_tag: Some(from.into()),
        to_tag: to.map(Tag::from),
        ..delete("c1")
    };
    rig.delete(by("b", None)).unwrap().unwrap();
    assert!(rig.view("c1").is_none());
    rig.offer(fork("br1")).unwrap();
    rig.offer(fork("br2")).unwrap();
    let mut answer = exchange("c1", "a", Some("b1"), &audio("192.0.2.2", 5000));
    answer.via_branch = Some("br1".into());
    rig.answer(answer).unwrap();
    // An unknown to-tag means the leg that has not shown its own yet.
    rig.delete(by("a", Some("b2"))).unwrap().unwrap();
    let view = rig.view("c1").unwrap();
    assert_eq!(view.parties[1].tag.as_deref(), Some("b1"));
    rig.delete(by("a", Some("b1"))).unwrap().unwrap();
    assert!(rig.view("c1").is_none());
}

#[test]
fn a_phone_that_lost_the_race_takes_nobody_along() {
    let mut rig = rig();
    rig.call("c1");
    rig.answer(exchange("c1", "a", Some("b2"), &audio("192.0.2.3", 5000)))
        .unwrap();
    let loser = Delete {
        from_tag: Some("b".into()),
        ..delete("c1")
    };
    assert!(rig.delete(loser.clone()).unwrap().is_some());
    assert!(rig.view("c1").is_some());
    assert_eq!(rig.delete(loser).unwrap(), None, "its tag is forgotten");
}

#[test]
fn silence_ends_a_call_and_packets_keep_it() {
    let mut rig = rig();
    let (to_b, _) = rig.call("c1");
    let stream = rig.stream_at(to_b.rtp[0]).unwrap();
    for _ in 0..10 {
        rig.wait(secs(50));
        rig.hear(stream);
    }
    rig.wait(secs(59));
    assert!(rig.view("c1").is_some());
    rig.wait(secs(2));
    assert!(rig.view("c1").is_none());
    assert_eq!(rig.ended(), [EndReason::MediaTimeout]);
    let statistics = rig.core_statistics();
    assert_eq!((statistics.timeout_total, statistics.oneway_total), (1, 1));
}

#[test]
fn a_held_call_may_be_silent_for_longer() {
    let mut rig = rig();
    rig.call("c1");
    let hold = format!("{}a=sendonly\r\n", audio("192.0.2.1", 4000));
    rig.offer(exchange("c1", "a", Some("b"), &hold)).unwrap();
    rig.wait(secs(3500));
    assert!(rig.view("c1").is_some());
    rig.wait(secs(200));
    assert_eq!(rig.ended(), [EndReason::SilentTimeout]);
}

#[test]
fn offers_without_answer_and_long_calls_end() {
    let mut config = settings();
    config.final_timeout = Some(secs(7200));
    config.offer_timeout = secs(100);
    let mut rig = Rig::new(config);
    rig.offer(exchange("c0", "a", None, &audio("192.0.2.1", 4000)))
        .unwrap();
    let (to_b, _) = rig.call("c1");
    let stream = rig.stream_at(to_b.rtp[0]).unwrap();
    rig.wait(secs(30));
    for _ in 0..240 {
        rig.hear(stream);
        rig.wait(secs(30));
    }
    assert_eq!(
        rig.ended(),
        [EndReason::OfferTimeout, EndReason::FinalTimeout]
    );
    assert!(rig.ground.bound.is_empty());
}

#[test]
fn one_way_media_is_reported_once() {
    let mut rig = rig();
    let (to_b, _) = rig.call("c1");
    let stream = rig.stream_at(to_b.rtp[0]).unwrap();
    for _ in 0..20 {
        rig.hear(stream);
        rig.wait(secs(10));
    }
    let one_way = |rig: &Rig| {
        rig.notices
            .iter()
            .filter(|n| matches!(n, Notice::OneWay(_)))
            .count()
    };
    assert_eq!(one_way(&rig), 1);
    // With floor control users take turns: one way is no news.
    rig.offer(exchange("c2", "a", None, &mcptt("192.0.2.1", 4000)))
        .unwrap();
    let to_a = rig
        .answer(exchange("c2", "a", Some("b"), &mcptt("192.0.2.2", 5000)))
        .unwrap();
    let stream = rig.stream_at(to_a.rtp[0]).unwrap();
    rig.hear(stream);
    rig.wait(secs(50));
    assert_eq!(one_way(&rig), 1);
}

#[test]
fn retired_ports_close_after_a_while() {
    let mut rig = rig();
    rig.call("c1");
    for port in [4100, 4200] {
        rig.offer(exchange("c1", "a", Some("b"), &audio("192.0.2.1", port)))
            .unwrap();
    }
    assert_eq!(rig.ground.bound.len(), 8);
    rig.wait(secs(31));
    assert_eq!(rig.ground.bound.len(), 4);
}

#[test]
fn the_end_of_the_relay_ends_all() {
    let mut rig = rig();
    rig.call("c1");
    rig.call("c2");
    rig.event(Event::Shutdown);
    assert!(rig.ground.bound.is_empty());
    assert_eq!(rig.ended(), [EndReason::Shutdown; 2]);
    let late = rig.offer(exchange("c3", "a", None, &audio("192.0.2.1", 4000)));
    assert_eq!(late.unwrap_err(), Error::SessionLimit);
}

#[test]
fn calls_are_limited_but_not_those_that_exist() {
    let mut config = settings();
    config.max_calls = 2;
    let mut rig = Rig::new(config);
    rig.call("c1");
    rig.call("c2");
    let third = rig.offer(exchange("c3", "a", None, &audio("192.0.2.1", 4000)));
    assert_eq!(third.unwrap_err(), Error::SessionLimit);
    rig.call("c1");
    assert_eq!(rig.core_statistics().rejected_total, 1);
}

#[test]
fn query_list_and_statistics_tell_what_there_is() {
    let mut rig = rig();
    let (to_b, to_a) = rig.call("c1");
    let stream: StreamId = rig.stream_at(to_a.rtp[0]).unwrap();
    rig.hear(stream);
    rig.ground.counters.get_mut(&stream).unwrap().forwarded = 1;
    let view = rig.view("c1").unwrap();
    let [a, b] = [&view.parties[0], &view.parties[1]];
    assert_eq!(
        (a.medias[0].streams[0].local, b.medias[0].streams[0].local),
        (to_a.rtp[0], to_b.rtp[0])
    );
    assert_eq!(a.medias[0].codec.as_deref(), Some("PCMU/8000"));
    assert_eq!(a.medias[0].streams[0].counters.packets, 1);
    assert_eq!(b.medias[0].streams[0].packets_out, 1);
    assert_eq!((a.subscribers.as_slice(), b.index), ([1].as_slice(), 1));
    let unknown = Query {
        call_id: "c9".into(),
        from_tag: None,
        to_tag: None,
    };
    assert_eq!(
        rig.request(Request::Query(unknown)).unwrap_err(),
        Error::UnknownCall
    );
    rig.call("c2");
    let list = |rig: &mut Rig, limit| rig.request(Request::List { limit }).unwrap();
    assert_eq!(
        list(&mut rig, 32),
        Reply::Calls(vec!["c1".into(), "c2".into()])
    );
    assert_eq!(list(&mut rig, 1), Reply::Calls(vec!["c1".into()]));
    assert_eq!(
        (
            rig.core_statistics().calls,
            rig.core_statistics().calls_total
        ),
        (2, 2)
    );
}

#[test]
fn a_query_of_one_branch_shows_it_with_its_peers() {
    let mut rig = rig();
    for branch in ["br1", "br2"] {
        rig.offer(fork(branch)).unwrap();
    }
    let mut answer = exchange("c1", "a", Some("b1"), &audio("192.0.2.2", 5000));
    answer.via_branch = Some("br1".into());
    rig.answer(answer).unwrap();
    let query = Query {
        call_id: "c1".into(),
        from_tag: None,
        to_tag: Some("b1".into()),
    };
    let Reply::Call(view) = rig.request(Request::Query(query)).unwrap() else {
        panic!("not a call");
    };
    assert_eq!(view.parties.len(), 2);
    assert!(
        view.parties
            .iter()
            .enumerate()
            .all(|(place, party)| party.index == place)
    );
}
