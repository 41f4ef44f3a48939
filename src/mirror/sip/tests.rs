use super::*;
use crate::wire::block::{Codec, Direction, MediaKind, StreamKind};
use crate::wire::sdp;

fn lane(label: &str, port: u16) -> Lane {
    let rtp = SocketAddr::from(([192, 0, 2, 7], port));
    Lane {
        label: label.to_owned(),
        info: StreamInfo {
            stream: u64::from(port),
            from_tag: "tag with blanks".to_owned(),
            direction: Direction::ToUser,
            media_index: 1,
            media: MediaKind::Audio,
            kind: StreamKind::Rtp,
            local: rtp,
            remote: None,
            codecs: vec![Codec {
                payload_type: 97,
                encoding: "AMR-WB/16000".to_owned(),
                fmtp: "mode-set=2\r\na=inactive".to_owned(),
            }],
        },
        protocol: "RTP/AVP".to_owned(),
        rtp,
        rtcp: Some(SocketAddr::new(rtp.ip(), port + 1)),
    }
}

fn floor(label: &str, port: u16) -> Lane {
    let mut lane = lane(label, port);
    lane.protocol = "udp".to_owned();
    lane.info.media = MediaKind::Floor;
    lane.info.kind = StreamKind::Datagram;
    lane.info.codecs.clear();
    lane.rtcp = None;
    lane
}

fn offer(lanes: Vec<Lane>) -> Offer {
    Offer {
        info: CallInfo {
            call_id: "c1".to_owned(),
            ..CallInfo::default()
        },
        path: vec!["relay a".to_owned(), "b".to_owned()],
        lanes,
    }
}

#[test]
fn an_offer_says_what_the_lanes_are_and_nothing_that_parties_slipped_in() {
    let slots = [(lane("a", 30_000), true), (floor("f", 30_002), true)];
    let text = write(&offer(vec![]), &slots, 1, 2);
    let session = sdp::parse(text.as_bytes()).unwrap();
    let [audio, floor] = &session.medias[..] else {
        panic!("{text}")
    };
    assert_eq!(audio.label(), Some("a"));
    assert_eq!(audio.endpoint(&session), Some(slots[0].0.rtp));
    assert_eq!(audio.rtcp_endpoint(&session), slots[0].0.rtcp);
    assert_eq!(audio.direction(&session), sdp::Direction::SendRecv);
    assert_eq!(audio.codecs()[0].to_string(), "AMR-WB/16000");
    assert_eq!(floor.media_kind(), MediaKind::Floor);
    assert!(text.contains("a=homeward-path:relaya b\r\n"), "{text}");
    assert!(!text.contains("\r\na=inactive"), "{text}");
}

#[test]
fn answers_that_cannot_be_used_are_refused_with_the_reason() {
    let slots = [(lane("a", 30_000), true), (lane("b", 30_002), true)];
    let body = |medias: &str| {
        format!("v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n{medias}")
    };
    let read = |medias: &str| read(body(medias).as_bytes(), &slots);
    let one = "m=audio 4000 RTP/AVP 97\r\n";
    for (medias, reason) in [
        (one.to_owned(), "1 m-lines"),
        (one.repeat(3), "3 m-lines"),
        (
            format!("{one}{one}c=IN IP6 2001:db8::1\r\n"),
            "other family",
        ),
        (format!("{one}{one}c=IN IP4 0.0.0.0\r\n"), "no host"),
        (format!("{one}{one}c=IN IP4 224.0.0.1\r\n"), "no host"),
        (format!("{one}m=video 4000 RTP/AVP 97\r\n"), "another media"),
        (format!("{one}{one}a=label:a\r\n"), "another label"),
        (format!("{one}{one}a=rtcp-mux\r\n"), "rtcp-mux"),
        (format!("{one}m=audio 70000 RTP/AVP 97\r\n"), "SDP"),
        ("nonsense".to_owned(), "m-lines"),
    ] {
        let error = read(&medias);
        let error = error.expect_err(&medias);
        let no_media = medias == "nonsense" && error.contains("no media");
        assert!(error.contains(reason) || no_media, "{medias}: {error}");
    }
    let refused = read(&format!("{one}m=audio 0 RTP/AVP 97\r\n")).unwrap();
    assert!(refused[0].1.is_some() && refused[1].1.is_none());
    let silent = read(&format!("{one}{one}a=recvonly\r\n")).unwrap();
    assert!(silent[1].1.is_none(), "it would swallow the call");
    let remote = refused[0].1.unwrap();
    assert_eq!(remote.rtp.to_string(), "192.0.2.9:4000");
    assert_eq!(remote.rtcp.unwrap().port(), 4_001);
}
