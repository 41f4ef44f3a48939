use std::net::SocketAddr;

use super::*;
use crate::hook::ng::message::Message;
use crate::session::host::StreamCounters;
use crate::session::ids::{CallId, StreamId};
use crate::session::reply::{CallView, MediaView, PartyView, PortUse, Statistics, StreamView};
use crate::wire::block::StreamKind;
use crate::wire::time::Timestamp;

fn around(counters: &Counters, shape: Shape) -> Surroundings<'_> {
    Surroundings {
        command: Command::Offer,
        shape,
        counters,
        uptime: 9,
    }
}

fn written(answer: &Answer, shape: Shape) -> Vec<u8> {
    let counters = Counters::default();
    write(b"c1", Encoding::Bencode, answer, &around(&counters, shape)).bytes
}

fn core(error: Error) -> Answer {
    Answer::Failure(Failure::Core(error))
}

const SUPPORTS: Shape = Shape {
    load_limit: true,
    fast: false,
    warning: None,
};

#[test]
fn errors_and_limits_byte_for_byte() {
    let plain = Shape::default();
    assert_eq!(
        written(&core(Error::UnknownCall), plain),
        b"c1 d12:error-reason15:Unknown call-id6:result5:errore"
    );
    assert_eq!(
        written(&core(Error::SessionLimit), SUPPORTS),
        b"c1 d7:message30:Parallel session limit reached6:result10:load limite"
    );
    assert_eq!(
        written(&core(Error::SessionLimit), plain),
        b"c1 d12:error-reason30:Parallel session limit reached6:result5:errore"
    );
    assert_eq!(
        written(&core(Error::Busy), SUPPORTS),
        b"c1 d7:message19:Load limit exceeded6:result10:load limite"
    );
    assert_eq!(
        written(&core(Error::Busy), plain),
        b"c1 d12:error-reason30:Parallel session limit reached6:result5:errore"
    );
    assert_eq!(
        written(&core(Error::OutOfPorts), SUPPORTS),
        b"c1 d12:error-reason16:Ran out of ports6:result5:errore"
    );
}

#[test]
fn good_answers_byte_for_byte() {
    let plain = Shape::default();
    assert_eq!(written(&Answer::Pong, plain), b"c1 d6:result4:ponge");
    assert_eq!(
        written(&Answer::Reply(Reply::Sdp(b"v=0\r\n".to_vec())), plain),
        b"c1 d3:sdp5:v=0\r\n6:result2:oke"
    );
    assert_eq!(
        written(&Answer::Reply(Reply::Deleted(None)), plain),
        b"c1 d7:warning38:Call-ID not found or tags didn't match6:result2:oke"
    );
    let calls = Reply::Calls(vec![CallId::from("a"), CallId::from("b")]);
    assert_eq!(
        written(&Answer::Reply(calls), plain),
        b"c1 d5:callsl1:a1:be6:result2:oke"
    );
}

#[test]
fn details_stand_beside_the_known_text() {
    let bytes = written(
        &core(Error::Rewrite("no SRTP".to_owned())),
        Shape::default(),
    );
    assert_eq!(
        bytes,
        b"c1 d12:error-reason19:Error rewriting SDP7:message7:no SRTP6:result5:errore"
    );
}

fn stream(port: u16, kind: StreamKind) -> StreamView {
    let far: SocketAddr = "[2001:db8::7]:41000".parse().unwrap();
    StreamView {
        stream: StreamId(u64::from(port)),
        kind,
        local: SocketAddr::from(([203, 0, 113, 5], port)),
        endpoint: Some(far),
        advertised: Some(far),
        strict: true,
        handover: false,
        counters: StreamCounters {
            packets: 1350,
            octets: 98_550,
            rtcp_packets: 50,
            drops: [3, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0],
            ssrc: (kind == StreamKind::Rtp).then_some(305_419_896),
            lost: -1,
            last_packet: Some(Timestamp::from_secs(1_790_000_031)),
            learned: Some(far),
            ..StreamCounters::default()
        },
        packets_out: 7,
        octets_out: 700,
    }
}

fn call(parties: usize, medias: u32) -> CallView {
    let party = |index: usize| PartyView {
        tag: (index != 1).then(|| format!("tag{index}")),
        index,
        via_branch: None,
        label: Some("L".to_owned()),
        created: Timestamp::from_secs(1_790_000_000),
        subscriptions: vec![0],
        subscribers: vec![1, 99],
        medias: (1..=medias)
            .map(|index| MediaView {
                index,
                kind: "audio".to_owned(),
                protocol: "RTP/AVP".to_owned(),
                codec: Some("AMR-WB/16000".to_owned()),
                send: true,
                recv: false,
                rtcp_mux: false,
                streams: vec![
                    stream(30_100, StreamKind::Rtp),
                    stream(30_101, StreamKind::Rtcp),
                    stream(30_102, StreamKind::Rtp),
                ],
            })
            .collect(),
        closed: crate::session::host::Traffic::default(),
    };
    CallView {
        call_id: CallId::from("c1"),
        created: Timestamp::from_nanos(1_790_000_000_250_113_000),
        last_signal: Timestamp::from_secs(1_790_000_004),
        metadata: None,
        parties: (0..parties).map(party).collect(),
        mirrored: false,
        homes: Vec::new(),
    }
}

#[test]
fn a_query_has_what_proxies_read() {
    let call = call(2, 1);
    let answer = Answer::Reply(Reply::Call(Box::new(call)));
    let counters = Counters::default();
    let dict = dict(&answer, &around(&counters, Shape::default()), 0);
    let int = |value: Option<&Value<'_>>| value.unwrap().as_int().unwrap();
    assert_eq!(int(dict.get("created")), 1_790_000_000);
    assert_eq!(int(dict.get("created_us")), 250_113);
    assert_eq!(int(dict.get("last signal")), 1_790_000_004);
    let tags = dict.get("tags").unwrap().as_dict().unwrap();
    let names: Vec<_> = tags.iter().map(|(key, _)| key).collect();
    assert_eq!(names, [&b"tag0"[..], b"<untagged 1>"]);
    let party = tags.get("tag0").unwrap().as_dict().unwrap();
    assert_eq!(party.get("label").unwrap().as_text(), Some("L"));
    let subscribers = party.get("subscribers").unwrap().as_list().unwrap();
    assert_eq!(subscribers.len(), 1);
    let media = party.get("medias").unwrap().as_list().unwrap()[0]
        .as_dict()
        .unwrap();
    let stream = media.get("streams").unwrap().as_list().unwrap()[0]
        .as_dict()
        .unwrap();
    assert_eq!(int(stream.get("SSRC")), 305_419_896);
    let endpoint = stream.get("endpoint").unwrap().as_dict().unwrap();
    assert_eq!(endpoint.get("family").unwrap().as_text(), Some("IPv6"));
    let stats = stream.get("stats").unwrap().as_dict().unwrap();
    assert_eq!(int(stats.get("errors")), 4);
    let flags = stream.get("flags").unwrap().as_list().unwrap();
    assert!(flags.contains(&Value::from("confirmed")));
    assert!(flags.contains(&Value::from("strict source address")));
    let totals = dict.get("totals").unwrap().as_dict().unwrap();
    let rtp = totals.get("RTP").unwrap().as_dict().unwrap();
    assert_eq!(int(rtp.get("packets")), 4 * 1300);
    let ssrc = dict.get("SSRC").unwrap().as_dict().unwrap();
    let figures = ssrc.get("305419896").unwrap().as_dict().unwrap();
    assert_eq!(int(figures.get("cumulative loss")), -1);
    assert_eq!(figures.get("average MOS"), None);
}

#[test]
fn a_delete_tells_the_last_figures_unless_fast() {
    let answer = Answer::Reply(Reply::Deleted(Some(Box::new(call(2, 1)))));
    let fast = Shape {
        fast: true,
        ..Shape::default()
    };
    assert_eq!(written(&answer, fast), b"c1 d6:result2:oke");
    let full = written(&answer, Shape::default());
    let message = Message::parse(&full).unwrap();
    assert!(message.dict.get("totals").is_some());
    assert_eq!(message.dict.get("result").unwrap().as_text(), Some("ok"));
}

#[test]
fn large_replies_are_shortened_and_stay_valid() {
    let counters = Counters::default();
    let around = around(&counters, Shape::default());
    let ids: Vec<CallId> = (0..20_000)
        .map(|n| CallId::from(format!("{n}@long.example").as_str()))
        .collect();
    let answers = [
        Reply::Call(Box::new(call(2, 20))),
        Reply::Call(Box::new(call(10, 20))),
        Reply::Call(Box::new(call(100, 20))),
        Reply::Call(Box::new(call(5_000, 0))),
        Reply::Calls(ids),
        Reply::Statistics(Box::new(statistics_of(2_000))),
    ];
    for reply in answers {
        let answer = Answer::Reply(reply);
        for encoding in [Encoding::Bencode, Encoding::Json] {
            let written = write(b"c1", encoding, &answer, &around);
            assert!(written.bytes.len() <= MAX_REPLY);
            let message = Message::parse(&written.bytes).unwrap();
            assert_eq!(message.dict.get("result").unwrap().as_text(), Some("ok"));
        }
    }
}

#[test]
fn an_sdp_is_never_shortened() {
    let answer = Answer::Reply(Reply::Sdp(vec![b'x'; MAX_REPLY]));
    let bytes = written(&answer, Shape::default());
    let message = Message::parse(&bytes).unwrap();
    assert_eq!(message.dict.get("result").unwrap().as_text(), Some("error"));
    let answer = Answer::Reply(Reply::Sdp(vec![b'x'; MAX_REPLY - 100]));
    let bytes = written(&answer, Shape::default());
    let message = Message::parse(&bytes).unwrap();
    let sdp = message.dict.get("sdp").unwrap().as_bytes().unwrap();
    assert_eq!(sdp.len(), MAX_REPLY - 100);
}

fn statistics_of(addresses: u32) -> Statistics {
    Statistics {
        calls: 3,
        calls_total: 10,
        deleted_total: 4,
        timeout_total: 1,
        duration_total_ms: 10_000,
        ports: (0..addresses)
            .map(|n| PortUse {
                interface: "core".to_owned(),
                address: std::net::IpAddr::V4((0x0a00_0000 + n).into()),
                min: 30_000,
                max: 30_099,
                used: 25,
            })
            .collect(),
        ..Statistics::default()
    }
}

#[test]
fn statistics_under_known_names() {
    let counters = Counters::default();
    let client = "127.0.0.1".parse().unwrap();
    let took = std::time::Duration::from_micros(1_500);
    counters.done(client, Command::Offer, took, true);
    let answer = Answer::Reply(Reply::Statistics(Box::new(statistics_of(1))));
    let bytes = write(
        b"c1",
        Encoding::Json,
        &answer,
        &around(&counters, Shape::default()),
    )
    .bytes;
    let json: serde_json::Value = serde_json::from_slice(&bytes[3..]).unwrap();
    let root = &json["statistics"];
    assert_eq!(root["currentstatistics"]["sessionstotal"], 3);
    assert_eq!(root["totalstatistics"]["managedsessions"], 10);
    assert_eq!(root["totalstatistics"]["avgcallduration"], "2.000000");
    assert_eq!(root["totalstatistics"]["uptime"], 9);
    assert_eq!(root["controlstatistics"]["totaloffercount"], 1);
    let proxy = &root["controlstatistics"]["proxies"][0];
    assert_eq!(proxy["proxy"], "127.0.0.1");
    assert_eq!(proxy["offerduration"], "0.001500");
    assert_eq!(proxy["errorcount"], 1);
    let ports = &root["interfaces"][0]["ports"];
    assert_eq!(
        (&ports["free"], &ports["used_pct"]),
        (&75.into(), &"25.00".into())
    );
}
