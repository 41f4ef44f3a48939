//! What is read and what is refused; hostile input; `sdp-types` as a second opinion.

use proptest::prelude::*;

use super::*;
use crate::wire::block::MediaKind;

const CALL: &str = "v=0\r\no=mcas 88210 1 IN IP4 192.0.2.10\r\ns=Group call\r\ni=About it\r\n\
    c=IN IP4 192.0.2.10\r\nb=AS:64\r\nt=0 0\r\na=tool:mc\r\n\
    m=audio 41000/2 RTP/AVP 96 8 101\r\ni=speech\r\nb=AS:32\r\na=rtpmap:96 AMR-WB/16000/1\r\n\
    a=fmtp:96 octet-align=1\r\na=rtpmap:101 telephone-event/8000\r\na=rtcp:41009\r\n\
    a=mid:a\r\na=label:7\r\na=ptime:20\r\na=recvonly\r\n\
    m=application 41002 udp MCPTT\r\na=fmtp:MCPTT mc_queueing;mc_priority=5\r\n";

/// A session with one audio media; `{}` of the templates of these tests.
fn audio(session: &str, media: &str) -> String {
    format!("v=0\no=- 1 1 IN IP4 192.0.2.1\ns=-\n{session}t=0 0\nm=audio 5004 RTP/AVP 0\n{media}")
}

fn addr(text: &str) -> Option<std::net::SocketAddr> {
    Some(text.parse().unwrap())
}

#[test]
fn whole_call() {
    let session = parse(CALL.as_bytes()).unwrap();
    let origin = session.origin.unwrap();
    assert_eq!(
        (origin.user, origin.id, origin.version),
        ("mcas", "88210", "1")
    );
    assert_eq!((origin.family, origin.address), ("IP4", "192.0.2.10"));
    assert_eq!(session.name, Some(&b"Group call"[..]));
    assert_eq!(session.texts, [b"i=About it"]);
    assert_eq!(session.bandwidth, [b"b=AS:64"]);
    assert_eq!(session.timing, [b"t=0 0"]);
    assert_eq!(session.attributes[0].raw(), b"tool:mc");
    let [audio, floor] = &session.medias[..] else {
        panic!("two medias")
    };
    assert_eq!(
        (audio.kind, audio.port, audio.port_count),
        ("audio", 41000, 2)
    );
    assert_eq!((audio.protocol, audio.profile), ("RTP/AVP", Profile::Avp));
    assert_eq!(audio.formats().collect::<Vec<_>>(), ["96", "8", "101"]);
    assert_eq!(audio.information, Some(&b"speech"[..]));
    assert_eq!(
        (audio.mid(), audio.label(), audio.ptime()),
        (Some("a"), Some("7"), Some(20))
    );
    assert_eq!(audio.direction(&session), Direction::RecvOnly);
    assert_eq!(audio.endpoint(&session), addr("192.0.2.10:41000"));
    assert_eq!(audio.rtcp_endpoint(&session), addr("192.0.2.10:41009"));
    assert_eq!(audio.media_kind(), MediaKind::Audio);
    assert_eq!(floor.media_kind(), MediaKind::Floor);
    assert!(audio.is_rtp() && !floor.is_rtp());
    assert!(!audio.rtcp_mux());
    assert!(floor.codecs().is_empty());
}

#[test]
fn codecs_with_static_types_and_parameters() {
    let session = parse(CALL.as_bytes()).unwrap();
    let codecs = session.medias[0].codecs();
    let shown: Vec<_> = codecs
        .iter()
        .map(|c| (c.payload, c.to_string(), c.fmtp))
        .collect();
    let expected = [
        (96, "AMR-WB/16000/1".to_owned(), Some("octet-align=1")),
        (8, "PCMA/8000".to_owned(), None),
        (101, "telephone-event/8000".to_owned(), None),
    ];
    assert_eq!(shown, expected);
    // One channel is the same as none stated, and names have no case.
    let plain = Codec {
        name: "amr-wb",
        params: None,
        ..codecs[0]
    };
    assert!(plain.same_encoding(&codecs[0]));
    assert!(
        !Codec {
            clock: 8000,
            ..plain
        }
        .same_encoding(&codecs[0])
    );
    assert!(
        !Codec {
            params: Some("2"),
            ..plain
        }
        .same_encoding(&codecs[0])
    );
}

#[test]
fn first_rtpmap_counts_and_odd_ones_do_no_harm() {
    let text = audio(
        "c=IN IP4 192.0.2.1\n",
        "a=rtpmap:0 X/1\na=rtpmap:0 Y/2\na=rtpmap:999 Z/1\na=rtpmap:\na=rtpmap:96\na=fmtp:0\n",
    );
    let session = parse(text.as_bytes()).unwrap();
    let codecs = session.medias[0].codecs();
    assert_eq!(codecs.len(), 1);
    assert_eq!(codecs[0].to_string(), "X/1");
}

/// NG reference, pitfall 14.
#[test]
fn connection_of_session_and_media() {
    let cases = [
        ("c=IN IP4 192.0.2.1\n", "", addr("192.0.2.1:5004")),
        ("", "c=IN IP4 192.0.2.2\n", addr("192.0.2.2:5004")),
        (
            "c=IN IP4 192.0.2.1\n",
            "c=IN IP4 192.0.2.2\n",
            addr("192.0.2.2:5004"),
        ),
        ("c=IN IP6 2001:db8::1\n", "", addr("[2001:db8::1]:5004")),
        ("c=IN IP4 0.0.0.0\n", "", addr("0.0.0.0:5004")),
        ("c=IN IP4 224.2.36.42/127/3\n", "", addr("224.2.36.42:5004")),
    ];
    for (of_session, of_media, endpoint) in cases {
        let text = audio(of_session, of_media);
        let session = parse(text.as_bytes()).unwrap();
        assert_eq!(session.medias[0].endpoint(&session), endpoint, "{text}");
        assert_eq!(
            session.medias[0].is_held(&session),
            text.contains("0.0.0.0")
        );
    }
}

#[test]
fn rtcp_endpoint_by_rfc_3605() {
    let cases = [
        ("", addr("192.0.2.1:5005")),
        ("a=rtcp:5010\n", addr("192.0.2.1:5010")),
        (
            "a=rtcp:5010 IN IP6 2001:db8::9\n",
            addr("[2001:db8::9]:5010"),
        ),
        ("a=rtcp:5010 IN IP4 host.example\n", addr("192.0.2.1:5010")),
        ("a=rtcp:0\n", addr("192.0.2.1:5005")),
        ("a=rtcp:nonsense\n", addr("192.0.2.1:5005")),
    ];
    for (line, endpoint) in cases {
        let text = audio("c=IN IP4 192.0.2.1\n", line);
        let session = parse(text.as_bytes()).unwrap();
        assert_eq!(
            session.medias[0].rtcp_endpoint(&session),
            endpoint,
            "{line}"
        );
    }
    let text = audio("c=IN IP4 192.0.2.1\n", "").replace("5004", "65535");
    let session = parse(text.as_bytes()).unwrap();
    assert_eq!(session.medias[0].rtcp_endpoint(&session), None);
}

#[test]
fn direction_and_hold() {
    let text = audio("c=IN IP4 0.0.0.0\na=sendonly\n", "");
    let session = parse(text.as_bytes()).unwrap();
    let media = &session.medias[0];
    assert_eq!(media.direction(&session), Direction::SendOnly);
    assert_eq!(media.stated_direction(), None);
    assert!(media.is_held(&session));
    // With port 9 it is trickle ICE, and a rejected media is not held.
    for port in ["9", "0"] {
        let text = text.replace("5004", port);
        let session = parse(text.as_bytes()).unwrap();
        assert!(!session.medias[0].is_held(&session));
    }
    for direction in ["sendrecv", "sendonly", "recvonly", "inactive"] {
        let text = audio("c=IN IP4 192.0.2.1\n", &format!("a={direction} \n"));
        let session = parse(text.as_bytes()).unwrap();
        let read = session.medias[0].direction(&session);
        assert_eq!(read.as_str(), direction);
        assert_eq!(Direction::new(read.sends(), read.receives()), read);
    }
}

#[test]
fn kinds_and_profiles() {
    let cases = [
        ("audio 1 RTP/AVP 0", MediaKind::Audio, true),
        ("video 1 rtp/savpf 99", MediaKind::Video, true),
        ("application 1 UDP mcptt", MediaKind::Floor, false),
        ("Application 1 udp MCVideo", MediaKind::Floor, false),
        ("application 1 udp other", MediaKind::Other, false),
        ("application 1 TCP MCPTT", MediaKind::Other, false),
        ("message 1 TCP/MSRP *", MediaKind::Other, false),
        ("audio 1 UDP/TLS/RTP/SAVPF 0", MediaKind::Audio, true),
        ("audio 1 TCP/RTP/AVP 0", MediaKind::Audio, false),
    ];
    for (line, kind, rtp) in cases {
        let text = format!("v=0\nc=IN IP4 192.0.2.1\nm={line}\n");
        let session = parse(text.as_bytes()).unwrap();
        let media = &session.medias[0];
        assert_eq!((media.media_kind(), media.is_rtp()), (kind, rtp), "{line}");
    }
    assert!(Profile::Savp.passes_as(Profile::Savpf));
    assert!(!Profile::Avp.passes_as(Profile::Savp));
    assert!(!Profile::Savp.passes_as(Profile::TlsSavp));
}

/// NG reference, pitfall 15: the same session, however its lines end.
#[test]
fn line_ends_blanks_order_and_unknown_lines() {
    let expected = parse(CALL.as_bytes()).unwrap();
    let lf = CALL.replace("\r\n", "\n");
    assert_eq!(parse(lf.as_bytes()).unwrap(), expected);
    assert_eq!(parse(lf.trim_end().as_bytes()).unwrap(), expected);
    let noisy = CALL
        .replace(
            "t=0 0\r\n",
            "t=0 0 \r\n\r\nq=unknown\r\nnonsense\r\n=\r\nk=clear:x\r\n",
        )
        .replace("IN IP4 192.0.2.10\r\nb", "IN IP4 192.0.2.10  \t\r\r\nb")
        .replace("m=audio 41000", "m=audio \t 41000")
        .replace("a=recvonly", "a=recvonly ");
    let read = parse(noisy.as_bytes()).unwrap();
    assert_eq!(read.medias[0].formats().count(), 3);
    assert_eq!(
        read.medias[0].endpoint(&read),
        expected.medias[0].endpoint(&expected)
    );
    assert_eq!(read.medias[0].direction(&read), Direction::RecvOnly);
    assert_eq!(
        (read.timing.clone(), read.texts),
        (expected.timing, expected.texts)
    );
    let late = audio("a=first\n", "a=second\nc=IN IP4 192.0.2.9\n");
    let late = parse(late.as_bytes()).unwrap();
    assert_eq!(late.medias[0].endpoint(&late), addr("192.0.2.9:5004"));
}

#[test]
fn text_in_another_charset_is_kept() {
    let mut text = audio("c=IN IP4 192.0.2.1\n", "").into_bytes();
    let place = text.windows(3).position(|w| w == b"s=-").unwrap();
    text[place + 2] = 0xe9;
    text.extend_from_slice(b"a=who:\xe9\n");
    let session = parse(&text).unwrap();
    assert_eq!(session.name, Some(&b"\xe9"[..]));
    let attribute = session.medias[0].attributes[0];
    assert_eq!(
        (attribute.raw(), attribute.value()),
        (&b"who:\xe9"[..], None)
    );
}

#[test]
fn what_cannot_be_read() {
    let medias = "m=audio 1 RTP/AVP 0\n".repeat(MAX_MEDIAS + 1);
    let attributes = "a=x\n".repeat(MAX_ATTRIBUTES + 1);
    let formats = " 0".repeat(MAX_FORMATS + 1);
    let bandwidth = "b=AS:1\n".repeat(MAX_LINES + 1);
    let cases = [
        String::new(),
        "\r\n\r\n".to_owned(),
        "v=1\nm=audio 1 RTP/AVP 0\n".to_owned(),
        "o=- 1 1 IN IP4 192.0.2.1\n".to_owned(),
        "v=0\nv=0\n".to_owned(),
        "v=0\no=- 1 1 IN IP4\n".to_owned(),
        "v=0\no=- 1 1 ATM IP4 192.0.2.1\n".to_owned(),
        format!("v=0\no={} 1 1 IN IP4 192.0.2.1\n", "u".repeat(MAX_ORIGIN)),
        "v=0\nm=audio\n".to_owned(),
        "v=0\nm=audio 1\n".to_owned(),
        "v=0\nm=audio 65536 RTP/AVP 0\n".to_owned(),
        "v=0\nm=audio -1 RTP/AVP 0\n".to_owned(),
        "v=0\nm=audio +1 RTP/AVP 0\n".to_owned(),
        "v=0\nm=audio 1/0 RTP/AVP 0\n".to_owned(),
        "v=0\nm=audio 1/x RTP/AVP 0\n".to_owned(),
        "v=0\nm=audio 1/2/3 RTP/AVP 0\n".to_owned(),
        format!("v=0\nm=audio 1 RTP/AVP{formats}\n"),
        "v=0\ns=a\rb\n".to_owned(),
        "v=0\ns=a\0b\n".to_owned(),
        format!("v=0\nc=IN IP4 192.0.2.1\n{medias}"),
        format!("v=0\n{attributes}"),
        format!("v=0\n{bandwidth}"),
        format!("v=0\na={}\n", "x".repeat(MAX_LINE)),
        format!("v=0{}", "\n".repeat(MAX_BODY)),
    ];
    for text in cases {
        let head: String = text.chars().take(60).collect();
        assert!(
            matches!(parse(text.as_bytes()), Err(Error::Unreadable { .. })),
            "{head}"
        );
    }
    assert_eq!(
        parse(b"v=0\n\nm=audio\n"),
        Err(Error::Unreadable {
            line: 3,
            reason: "m= with too few fields"
        })
    );
}

#[test]
fn what_is_incomplete() {
    let cases = [
        "v=0\n",
        "v=0\no=- 1 1 IN IP4 192.0.2.1\ns=-\nc=IN IP4 192.0.2.1\nt=0 0\n",
        "v=0\nm=audio 1 RTP/AVP 0\n",
        "v=0\nc=IN IP4 media.example\nm=audio 1 RTP/AVP 0\n",
        "v=0\nc=IN IP4 192.0.2.1\nm=audio 1 RTP/AVP 0\nc=ATM NSAP 1\n",
        "v=0\nm=audio 1 RTP/AVP 0\nc=IN IP4 192.0.2.1\nm=video 1 RTP/AVP 31\n",
    ];
    for text in cases {
        assert!(
            matches!(parse(text.as_bytes()), Err(Error::Incomplete(_))),
            "{text}"
        );
    }
    // Rejected medias and MSRP need none.
    assert!(parse(b"v=0\nm=audio 0 RTP/AVP 0\nm=message 9 TCP/MSRP *\n").is_ok());
}

#[test]
fn big_bodies() {
    let mut text = audio("c=IN IP4 192.0.2.1\n", "");
    while text.len() < 100_000 {
        text.push_str("a=key-mgmt:mikey 0123456789012345678901234567890123456789\n");
    }
    let session = parse(text.as_bytes()).unwrap();
    assert!(session.medias[0].attributes.len() > 1500);
    let garbage = vec![b'a'; 100_000];
    assert!(parse(&garbage).is_err());
    let nested = b"v=0\n"
        .iter()
        .chain(b"d1:al".repeat(20_000).iter())
        .copied()
        .collect::<Vec<_>>();
    assert!(parse(&nested).is_err());
}

#[test]
fn own_identity_is_recognised() {
    let text = audio("c=IN IP4 192.0.2.1\na=rtpengine:one\na=rtpengine:two\n", "");
    let session = parse(text.as_bytes()).unwrap();
    assert!(session.carries_instance("two") && !session.carries_instance("three"));
}

/// Sessions as a well-behaved author writes them.
fn well_formed() -> impl Strategy<Value = String> {
    let address = any::<std::net::Ipv4Addr>();
    let attribute = "[a-z]{1,8}(:[ -~]{0,20}[!-~])?";
    let media = (
        "(audio|video|application)",
        1u16..,
        proptest::collection::vec(0u8..128, 1..6),
        proptest::option::of(any::<std::net::Ipv4Addr>()),
        proptest::collection::vec(attribute, 0..6),
    );
    let medias = proptest::collection::vec(media, 1..5);
    (address, any::<u64>(), "[!-~]{1,10}", medias).prop_map(|(address, id, name, medias)| {
        let mut text = format!(
            "v=0\r\no=- {id} {id} IN IP4 {address}\r\ns={name}\r\nc=IN IP4 {address}\r\nt=0 0\r\n"
        );
        for (kind, port, formats, connection, attributes) in medias {
            let formats: Vec<_> = formats.iter().map(u8::to_string).collect();
            text += &format!("m={kind} {port} RTP/AVP {}\r\n", formats.join(" "));
            if let Some(address) = connection {
                text += &format!("c=IN IP4 {address}\r\n");
            }
            for attribute in attributes {
                text += &format!("a={attribute}\r\n");
            }
        }
        text
    })
}

fn agrees(ours: &Media<'_>, theirs: &sdp_types::Media) {
    assert_eq!(ours.kind, theirs.media);
    assert_eq!((ours.port, ours.protocol), (theirs.port, &*theirs.proto));
    assert_eq!(ours.formats().collect::<Vec<_>>().join(" "), theirs.fmt);
    let written = theirs
        .connections
        .first()
        .map(|c| c.connection_address.parse().unwrap());
    assert_eq!(ours.connection.and_then(|c| c.address), written);
    assert_eq!(ours.attributes.len(), theirs.attributes.len());
    for (a, b) in ours.attributes.iter().zip(&theirs.attributes) {
        assert_eq!(a.name(), b.attribute.as_bytes());
        assert_eq!(a.value(), b.value.as_deref());
    }
}

proptest! {
    #[test]
    fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let _ = parse(&bytes);
    }

    #[test]
    fn never_panics_on_nearly_right_lines(
        lines in proptest::collection::vec("[vosciubetmarkpz]?=?[ -~\t\r\u{0}]{0,40}", 0..40)
    ) {
        let text = format!("v=0\n{}", lines.join("\n"));
        let _ = parse(text.as_bytes());
    }

    #[test]
    fn never_panics_on_damaged_calls(cut in 0usize..600, at in 0usize..600, byte: u8) {
        let mut bytes = CALL.as_bytes().to_vec();
        if let Some(place) = bytes.get_mut(at) {
            *place = byte;
        }
        bytes.truncate(cut);
        if let Ok(session) = parse(&bytes) {
            for media in &session.medias {
                let _ = (media.codecs(), media.rtcp_endpoint(&session), media.ptime());
            }
        }
    }

    #[test]
    fn sdp_types_agrees(text in well_formed()) {
        let ours = parse(text.as_bytes()).unwrap();
        let theirs = sdp_types::Session::parse(text.as_bytes()).unwrap();
        let origin = ours.origin.unwrap();
        prop_assert_eq!(origin.id, &*theirs.origin.sess_id);
        prop_assert_eq!(origin.version, theirs.origin.sess_version.to_string());
        prop_assert_eq!(origin.address, &*theirs.origin.unicast_address);
        prop_assert_eq!(ours.name.unwrap(), theirs.session_name.as_bytes());
        prop_assert_eq!(ours.medias.len(), theirs.medias.len());
        for (a, b) in ours.medias.iter().zip(&theirs.medias) {
            agrees(a, b);
        }
    }
}
