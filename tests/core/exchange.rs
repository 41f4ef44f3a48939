//! Offer and answer: parties, sockets, where packets go (NG reference 5.1, 9.1, 12.3, 12.4).

use homeward::session::command::{Notice, SourcePolicy};
use homeward::session::ids::WorkerIndex;
use homeward::session::options::{Family, Ice, Learning, Options, RtcpMux};
use homeward::session::reply::Error;

use crate::harness::{Rig, audio, context, exchange, head, mcptt, settings};

fn rig() -> Rig {
    Rig::new(settings())
}

#[test]
fn a_call_carries_media_both_ways() {
    let mut rig = rig();
    let (to_b, to_a) = rig.call("c1");
    let [a, b] = ["192.0.2.1:4000", "192.0.2.2:5000"].map(|text| text.parse().unwrap());
    assert_eq!(rig.route(to_a.rtp[0], false), Some((to_b.rtp[0], b)));
    assert_eq!(rig.route(to_b.rtp[0], false), Some((to_a.rtp[0], a)));
    // RTCP on its own port, and on the RTP port without mux (pitfall 27).
    let b_rtcp = "192.0.2.2:5001".parse().unwrap();
    assert_eq!(rig.route(to_a.rtcp(0), true), Some((to_b.rtcp(0), b_rtcp)));
    assert_eq!(rig.route(to_a.rtp[0], true), Some((to_b.rtcp(0), b_rtcp)));
    assert_eq!(rig.ground.bound.len(), 4);
}

#[test]
fn the_worker_with_the_least_load_takes_the_call() {
    let mut rig = rig();
    rig.ground.loads = vec![5, 3, 9];
    rig.call("c1");
    assert_eq!(
        rig.workers().into_iter().collect::<Vec<_>>(),
        [WorkerIndex(1)]
    );
}

#[test]
fn before_the_answer_only_the_caller_gets_packets() {
    let mut rig = rig();
    let to_b = rig
        .offer(exchange("c1", "a", None, &audio("192.0.2.1", 4000)))
        .unwrap();
    let (_, remote) = rig.route(to_b.rtp[0], false).unwrap();
    assert_eq!(remote, "192.0.2.1:4000".parse().unwrap());
    assert_eq!(
        rig.flows.values().filter(|f| f.forward.is_some()).count(),
        2
    );
}

#[test]
fn the_same_offer_again_is_the_same_call() {
    let mut rig = rig();
    let offer = exchange("c1", "a", None, &audio("192.0.2.1", 4000));
    let first = rig.offer(offer.clone()).unwrap();
    assert_eq!(rig.offer(offer).unwrap(), first);
    assert_eq!(
        (rig.ground.bound.len(), rig.core_statistics().calls),
        (4, 1)
    );
}

#[test]
fn messages_out_of_order_are_refused_and_change_nothing() {
    let mut rig = rig();
    let sdp = audio("192.0.2.2", 5000);
    let refused = |rig: &mut Rig, answer| rig.answer(answer).unwrap_err();
    assert_eq!(
        refused(&mut rig, exchange("c1", "a", Some("b"), &sdp)),
        Error::UnknownCall
    );
    rig.offer(exchange("c1", "a", None, &audio("192.0.2.1", 4000)))
        .unwrap();
    let flows = rig.flows.clone();
    for (from, to) in [
        ("x", Some("b")),
        ("a", None),
        ("a", Some("a")),
        ("b", Some("a")),
    ] {
        let error = refused(&mut rig, exchange("c1", from, to, &sdp));
        assert_eq!(error, Error::BadDialogue, "{from} {to:?}");
    }
    assert_eq!(
        refused(&mut rig, exchange("c1", "a", Some("b"), "v=0\r\n")),
        Error::IncompleteSdp
    );
    assert_eq!(rig.flows, flows);
}

#[test]
fn the_callee_may_offer_again() {
    let mut rig = rig();
    let (to_b, to_a) = rig.call("c1");
    let moved = rig
        .offer(exchange("c1", "b", Some("a"), &audio("192.0.2.9", 6000)))
        .unwrap();
    assert_ne!(moved.rtp, to_a.rtp, "a changed endpoint gets new ports");
    let back = rig
        .answer(exchange("c1", "b", Some("a"), &audio("192.0.2.1", 4000)))
        .unwrap();
    assert_eq!(back.rtp, to_b.rtp);
    let remote = rig.route(moved.rtp[0], false).unwrap().1;
    assert_eq!(remote, "192.0.2.9:6000".parse().unwrap());
    // Late packets to the old port still arrive.
    assert_eq!(rig.route(to_a.rtp[0], false).unwrap().1, remote);
    assert_eq!(rig.view("c1").unwrap().parties.len(), 2);
}

#[test]
fn forks_are_legs_of_their_own() {
    let mut rig = rig();
    let fork = |branch: &str| {
        let mut offer = exchange("c1", "a", None, &audio("192.0.2.1", 4000));
        offer.via_branch = Some(branch.into());
        offer
    };
    let [one, two] = ["br1", "br2"].map(|branch| rig.offer(fork(branch)).unwrap());
    assert_ne!(one.rtp, two.rtp);
    let mut answer = exchange("c1", "a", Some("b1"), &audio("192.0.2.2", 5000));
    answer.via_branch = Some("br1".into());
    rig.answer(answer).unwrap();
    let view = rig.view("c1").unwrap();
    let tags: Vec<_> = view.parties.iter().map(|p| p.tag.as_deref()).collect();
    assert_eq!(tags, [Some("a"), Some("b1"), None]);
    assert_eq!(view.parties[0].subscribers, [1, 2]);
    // An answer without a branch takes the one that is left.
    rig.answer(exchange("c1", "a", Some("b2"), &audio("192.0.2.3", 5000)))
        .unwrap();
    assert_eq!(
        rig.view("c1").unwrap().parties[2].tag.as_deref(),
        Some("b2")
    );
    // Each phone is reached from its own port.
    assert_eq!(rig.ground.bound.len(), 8);
}

#[test]
fn several_phones_may_answer_one_offer() {
    let mut rig = rig();
    let (_, first) = rig.call("c1");
    let answer = |tag: &str, address: &str| exchange("c1", "a", Some(tag), &audio(address, 5000));
    let second = rig.answer(answer("b2", "192.0.2.3")).unwrap();
    assert_ne!(second.rtp, first.rtp);
    assert_eq!(rig.view("c1").unwrap().parties.len(), 2);
    assert_eq!(
        rig.route(second.rtp[0], false).unwrap().1,
        "192.0.2.3:5000".parse().unwrap()
    );
    // The first one wins after all: its ports are used again.
    assert_eq!(rig.answer(answer("b", "192.0.2.2")).unwrap().rtp, first.rtp);
    assert_eq!(rig.view("c1").unwrap().parties[1].tag.as_deref(), Some("b"));
}

#[test]
fn medias_are_added_and_taken_out() {
    let mut rig = rig();
    rig.call("c1");
    let to_b = rig
        .offer(exchange("c1", "a", Some("b"), &mcptt("192.0.2.1", 4000)))
        .unwrap();
    assert_eq!((to_b.rtp.len(), rig.ground.bound.len()), (2, 8));
    // The answer leaves the floor control out: its ports are freed.
    let answer = exchange("c1", "a", Some("b"), &audio("192.0.2.2", 5000));
    assert_eq!(rig.answer(answer).unwrap().rtp.len(), 1);
    assert_eq!(rig.ground.bound.len(), 4);
    // Port 0 keeps its place.
    let gone = format!(
        "{}m=audio 0 RTP/AVP 0\r\nm=application 4002 udp MCPTT\r\n",
        head("192.0.2.1")
    );
    let to_b = rig.offer(exchange("c1", "a", Some("b"), &gone)).unwrap();
    assert_eq!((to_b.rtp[0].port(), rig.ground.bound.len()), (0, 4));
    assert_ne!(to_b.rtp[1].port(), 0);
}

#[test]
fn hold_keeps_the_ports() {
    let mut rig = rig();
    let (to_b, _) = rig.call("c1");
    let zero = audio("0.0.0.0", 4000);
    let held = rig.offer(exchange("c1", "a", Some("b"), &zero)).unwrap();
    assert_eq!(held.rtp[0].port(), to_b.rtp[0].port());
    assert!(held.text.contains("a=sendonly") && held.text.contains("0.0.0.0"));
    assert_eq!(
        rig.route(to_b.rtp[0], false),
        None,
        "nothing may be sent to a zero address"
    );
    let back = rig
        .offer(exchange("c1", "a", Some("b"), &audio("192.0.2.1", 4000)))
        .unwrap();
    assert_eq!(back.rtp, to_b.rtp);
    // While the other side does not receive, a changed endpoint changes no port.
    let quiet = format!("{}a=sendonly\r\n", audio("192.0.2.2", 5000));
    rig.answer(exchange("c1", "a", Some("b"), &quiet)).unwrap();
    let moved = rig
        .offer(exchange("c1", "a", Some("b"), &audio("192.0.2.1", 4444)))
        .unwrap();
    assert_eq!(moved.rtp, to_b.rtp);
}

#[test]
fn ports_are_renewed_latched_and_taken_back() {
    let mut rig = rig();
    let (first, _) = rig.call("c1");
    let offer = |port: u16| exchange("c1", "a", Some("b"), &audio("192.0.2.1", port));
    let second = rig.offer(offer(4100)).unwrap();
    assert_ne!(second.rtp, first.rtp);
    assert_eq!(
        rig.offer(offer(4000)).unwrap().rtp,
        first.rtp,
        "the same endpoint again"
    );
    let mut latched = offer(4200);
    latched.options.port_latching = Some(true);
    assert_eq!(rig.offer(latched).unwrap().rtp, first.rtp);
    let mut reset = offer(4200);
    reset.options.reset = true;
    let fresh = rig.offer(reset).unwrap();
    assert!(fresh.rtp != first.rtp && fresh.rtp != second.rtp);
}

#[test]
fn interfaces_and_families_are_bridged() {
    let mut rig = rig();
    let mut offer = exchange("c1", "a", None, &audio("192.0.2.1", 4000));
    offer.options.direction = [Some("partner".into()), Some("core".into())];
    offer.options.address_family = Some(Family::Ip6);
    let to_b = rig.offer(offer).unwrap();
    assert_eq!(to_b.rtp[0].ip().to_string(), "::1");
    let to_a = rig
        .answer(exchange("c1", "a", Some("b"), &audio("2001:db8::2", 5000)))
        .unwrap();
    assert!(to_a.rtp[0].ip().to_string().starts_with("127.0.1."));
    let b = "[2001:db8::2]:5000".parse().unwrap();
    assert_eq!(rig.route(to_a.rtp[0], false), Some((to_b.rtp[0], b)));
    assert_eq!(rig.route(to_b.rtp[0], false).unwrap().0, to_a.rtp[0]);
}

#[test]
fn an_unknown_interface_is_the_default_one() {
    let mut rig = rig();
    let mut offer = exchange("c1", "a", None, &audio("192.0.2.1", 4000));
    offer.options.direction = [None, Some("moon".into())];
    assert_eq!(
        rig.offer(offer).unwrap().rtp[0].ip().to_string(),
        "127.0.0.1"
    );
    let notice = Notice::UnknownInterface("c1".into(), "moon".into());
    assert!(rig.notices.contains(&notice));
}

#[test]
fn one_call_uses_one_address_of_an_interface() {
    let mut rig = rig();
    let mut used = std::collections::BTreeSet::new();
    for n in 0..20 {
        let mut offer = exchange(&format!("c{n}"), "a", None, &mcptt("192.0.2.1", 4000));
        offer.options.direction = [Some("partner".into()), Some("partner".into())];
        let before: Vec<_> = rig.ground.bound.keys().copied().collect();
        rig.offer(offer).unwrap();
        let new = rig.ground.bound.iter().filter(|(s, _)| !before.contains(s));
        let ips: std::collections::BTreeSet<_> = new.map(|(_, local)| local.ip()).collect();
        assert_eq!(ips.len(), 1);
        used.extend(ips);
    }
    assert_eq!(used.len(), 2, "calls are shared between the addresses");
}

#[test]
fn what_needs_more_than_forwarding_is_refused() {
    let mut rig = rig();
    let with = |set: &dyn Fn(&mut Options)| {
        let mut offer = exchange("c1", "a", None, &audio("192.0.2.1", 4000));
        set(&mut offer.options);
        offer
    };
    let ice = rig.offer(with(&|o| o.ice = Ice::Force)).unwrap_err();
    assert!(matches!(ice, Error::Unsupported(_)));
    let srtp = rig
        .offer(with(&|o| o.transport_protocol = Some("RTP/SAVP".into())))
        .unwrap_err();
    assert!(matches!(srtp, Error::Unsupported(_)));
    assert!(rig.ground.bound.is_empty() && rig.view("c1").is_none());
    let avpf = rig
        .offer(with(&|o| o.transport_protocol = Some("RTP/AVPF".into())))
        .unwrap();
    assert!(avpf.text.contains("RTP/AVPF"));
    let answer = audio("192.0.2.2", 5000).replace("RTP/AVP", "RTP/AVPF");
    let to_a = rig.answer(exchange("c1", "a", Some("b"), &answer)).unwrap();
    assert!(
        to_a.text.contains("RTP/AVP 0"),
        "the offerer gets its own protocol back"
    );
}

#[test]
fn mux_follows_the_client_or_the_rules() {
    let muxed = |address, port| format!("{}a=rtcp-mux\r\n", audio(address, port));
    let run = |rules: RtcpMux, answer: &str| {
        let mut rig = rig();
        let mut offer = exchange("c1", "a", None, &muxed("192.0.2.1", 4000));
        offer.options.rtcp_mux = rules;
        let to_b = rig.offer(offer).unwrap();
        let to_a = rig.answer(exchange("c1", "a", Some("b"), answer)).unwrap();
        let has = [&to_b, &to_a].map(|sdp| sdp.text.contains("a=rtcp-mux"));
        (
            has,
            rig.route(to_a.rtp[0], true).unwrap().1.port(),
            rig.route(to_b.rtcp(0), true),
        )
    };
    let plain = audio("192.0.2.2", 5000);
    let (has, port, _) = run(RtcpMux::default(), &muxed("192.0.2.2", 5000));
    assert_eq!((has, port), ([true, true], 5000));
    let (has, port, _) = run(RtcpMux::default(), &plain);
    assert_eq!((has, port), ([true, false], 5001));
    let demux = RtcpMux {
        demux: true,
        ..RtcpMux::default()
    };
    let (has, port, from_b) = run(demux, &plain);
    assert_eq!((has, port), ([false, true], 5001));
    assert_eq!(
        from_b.unwrap().1.port(),
        4000,
        "RTCP joins RTP on the muxed side"
    );
    let reject = RtcpMux {
        reject: true,
        offer: true,
        ..RtcpMux::default()
    };
    assert_eq!(run(reject, &muxed("192.0.2.2", 5000)).0, [true, false]);
}

#[test]
fn policies_follow_the_flags() {
    let policy = |set: &dyn Fn(&mut Options)| {
        let mut rig = rig();
        let mut offer = exchange("c1", "a", None, &audio("192.0.2.1", 4000));
        set(&mut offer.options);
        rig.offer(offer).unwrap();
        let of_a = rig.flows.values().find(|f| f.remote.is_some()).unwrap();
        (of_a.learning, of_a.source)
    };
    let default = (Learning::Heuristic, SourcePolicy::Strict);
    assert_eq!(policy(&|_| ()), default);
    assert_eq!(
        policy(&|o| o.strict_source = Some(false)).1,
        SourcePolicy::Loose
    );
    assert_eq!(
        policy(&|o| o.media_handover = true).1,
        SourcePolicy::Handover
    );
    let both = |o: &mut Options| (o.asymmetric, o.strict_source) = (true, Some(true));
    assert_eq!(policy(&both), (Learning::Off, SourcePolicy::Loose));
    assert_eq!(
        policy(&|o| o.learning = Some(Learning::Off)).0,
        Learning::Off
    );
}

#[test]
fn the_source_of_signalling_can_stand_in_for_the_address() {
    let mut rig = rig();
    let mut offer = exchange("c1", "a", None, &audio("10.0.0.1", 4000));
    offer.options.sip_source_address = true;
    offer.options.received_from = Some("192.0.2.77".parse().unwrap());
    let to_b = rig.offer(offer).unwrap();
    assert_eq!(
        rig.route(to_b.rtp[0], false).unwrap().1,
        "192.0.2.77:4000".parse().unwrap()
    );
    assert_eq!(
        rig.route(to_b.rtcp(0), true).unwrap().1,
        "192.0.2.77:4001".parse().unwrap()
    );
}

#[test]
fn a_window_opens_with_every_message_of_a_leg() {
    let mut rig = rig();
    let (_, to_a) = rig.call("c1");
    let window = |rig: &Rig| rig.flows[&rig.stream_at(to_a.rtp[0]).unwrap()].window;
    let before = window(&rig);
    rig.offer(exchange("c1", "a", Some("b"), &audio("192.0.2.1", 4000)))
        .unwrap();
    assert!(window(&rig) > before);
}

#[test]
fn codecs_that_were_not_offered_are_taken_out() {
    let mut rig = rig();
    rig.offer(exchange("c1", "a", None, &audio("192.0.2.1", 4000)))
        .unwrap();
    let more = format!("{}m=audio 5000 RTP/AVP 0 8\r\n", head("192.0.2.2"));
    let to_a = rig.answer(exchange("c1", "a", Some("b"), &more)).unwrap();
    assert!(to_a.text.contains("RTP/AVP 0\r\n"), "{}", to_a.text);
    // Nothing in common: the media is dead, and so are its ports.
    let other = format!("{}m=audio 5000 RTP/AVP 8\r\n", head("192.0.2.2"));
    let to_a = rig.answer(exchange("c1", "a", Some("b"), &other)).unwrap();
    assert_eq!((to_a.rtp[0].port(), rig.ground.bound.len()), (0, 0));
}

#[test]
fn a_description_of_our_own_is_returned_as_it_came() {
    let mut rig = rig();
    let sdp = audio("192.0.2.1", 4000).replace("m=audio", "a=rtpengine:test\r\nm=audio");
    let mut offer = exchange("c1", "a", None, &sdp);
    offer.options.loop_protect = true;
    assert_eq!(rig.offer(offer).unwrap().text, sdp);
    assert!(rig.ground.bound.is_empty() && rig.view("c1").is_none());
}

#[test]
fn message_sessions_pass_by() {
    let mut rig = rig();
    let sdp = format!("{}m=message 7000 TCP/MSRP *\r\n", audio("192.0.2.1", 4000));
    let to_b = rig.offer(exchange("c1", "a", None, &sdp)).unwrap();
    assert_eq!(to_b.rtp[1], "192.0.2.1:7000".parse().unwrap());
    assert_eq!(rig.ground.bound.len(), 4);
}

#[test]
fn labels_metadata_and_tos_are_kept() {
    let mut rig = rig();
    let mut offer = exchange("c1", "a", None, &audio("192.0.2.1", 4000));
    offer.options.label = Some("caller".into());
    offer.options.metadata = Some("case:7".into());
    offer.options.tos = Some(184);
    offer.context = context("alice", "bob");
    rig.offer(offer).unwrap();
    let view = rig.view("c1").unwrap();
    assert_eq!(view.metadata.as_deref(), Some("case:7"));
    assert_eq!(view.parties[0].label.as_deref(), Some("caller"));
    assert!(rig.ground.tos.iter().all(|tos| *tos == Some(184)));
    let leg = &rig.explain("c1").unwrap().legs[0];
    assert_eq!(
        leg.decision.looked_up.as_ref().unwrap().as_str(),
        "sip:alice@partner.example"
    );
}

#[test]
fn a_late_offer_names_both_sides_at_once() {
    let mut rig = rig();
    rig.offer(exchange(
        "c1",
        "callee",
        Some("caller"),
        &audio("192.0.2.2", 5000),
    ))
    .unwrap();
    let answer = exchange("c1", "callee", Some("caller"), &audio("192.0.2.1", 4000));
    rig.answer(answer).unwrap();
    assert_eq!(rig.view("c1").unwrap().parties.len(), 2);
}

#[test]
fn branches_without_end_stay_bounded() {
    let mut rig = rig();
    for n in 0..200 {
        let mut offer = exchange("c1", "a", None, &audio("192.0.2.1", 4000));
        offer.via_branch = Some(format!("br{n}").into());
        rig.offer(offer).unwrap();
    }
    assert!(rig.view("c1").unwrap().parties.len() <= 32);
}

#[test]
fn a_party_does_not_talk_to_itself() {
    let mut rig = rig();
    let sdp = audio("192.0.2.1", 4000);
    let twin = |rig: &mut Rig| rig.offer(exchange("c1", "a", Some("a"), &sdp));
    assert_eq!(twin(&mut rig), Err(Error::BadDialogue));
    rig.offer(exchange("c1", "a", None, &sdp)).unwrap();
    assert_eq!(twin(&mut rig), Err(Error::BadDialogue));
    assert_eq!(rig.view("c1").unwrap().parties.len(), 2);
}
