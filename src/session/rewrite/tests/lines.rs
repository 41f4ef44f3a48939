//! Rules of the rewriting, one test a rule.

use super::*;

/// NG reference 17.2, byte for byte.
#[test]
fn worked_example() {
    let options = replace(|r| r.origin = true);
    let session = parse(MCPTT.as_bytes()).unwrap();
    let medias = [MediaPlan::relay(US, 30120), MediaPlan::relay(US, 30122)];
    let sdp = write(&session, &plan(&options, &medias), &mut Memory::default()).unwrap();
    let expected = "v=0\r\no=mcas 88210 1 IN IP4 203.0.113.5\r\ns=-\r\nt=0 0\r\n\
        m=audio 30120 RTP/AVP 96\r\nc=IN IP4 203.0.113.5\r\na=rtpmap:96 AMR-WB/16000\r\n\
        a=sendrecv\r\na=rtcp:30121\r\na=ptime:20\r\nm=application 30122 udp MCPTT\r\n\
        c=IN IP4 203.0.113.5\r\na=fmtp:MCPTT mc_queueing;mc_priority=5\r\n";
    assert_eq!(String::from_utf8(sdp).unwrap(), expected);
    assert_eq!(expected.len(), 257);
}

/// NG reference 12.1, every step of it.
#[test]
fn order_of_lines() {
    let sdp = "v=0\na=tool:x\no=mcas 88 5 IN IP4 192.0.2.10\np=+1\ne=a@b\nu=http://x\ni=text\n\
        s= \nb=AS:64\nc=IN IP4 192.0.2.10\na=group:LS 1 2\nm=audio 41000/2 RTP/AVP 96 0\n\
        a=maxptime:60\na=setup:actpass\na=fingerprint:sha-1 00\na=crypto:1 X inline:y\n\
        a=rtcp-mux\na=sendonly\na=rtcp-fb:* nack\na=key-mgmt:mikey AAA\na=extmap:1 urn:x\n\
        a=fmtp:96 mode-set=1\na=ptime:20\na=ssrc:1 cname:x\na=rtcp-fb:96 nack\n\
        a=rtpmap:96 AMR-WB/16000\na=label:3\na=bundle-only\na=mid:1\nb=AS:32\ni=speech\nz=x\n";
    let written = planned(sdp, &Options::default(), |m| m.port_count = 2).unwrap();
    let expected = "v=0\no=mcas 88 5 IN IP4 192.0.2.10\ns= \ni=text\nu=http://x\ne=a@b\np=+1\n\
        b=AS:64\nt=0 0\na=tool:x\na=group:LS 1 2\nm=audio 30000/2 RTP/AVP 96 0\ni=speech\n\
        c=IN IP4 203.0.113.5\nb=AS:32\na=mid:1\na=label:3\na=rtpmap:96 AMR-WB/16000\n\
        a=fmtp:96 mode-set=1\na=rtcp-fb:96 nack\na=rtpmap:0 PCMU/8000\na=rtcp-fb:* nack\n\
        a=extmap:1 urn:x\na=key-mgmt:mikey AAA\na=ssrc:1 cname:x\na=sendonly\na=rtcp:30001\n\
        a=crypto:1 X inline:y\na=setup:actpass\na=fingerprint:sha-1 00\na=maxptime:60\n\
        a=ptime:20\n";
    assert_eq!(written, expected.replace('\n', "\r\n"));
}

#[test]
fn missing_lines_are_made_up() {
    let written = rewrite(
        "v=0\nc=IN IP4 192.0.2.1\nm=audio 2 RTP/AVP 8\n",
        &Options::default(),
    );
    assert!(written.starts_with("v=0\r\no=- 7 1 IN IP4 203.0.113.5\r\ns=-\r\nt=0 0\r\nm="));
    assert_has(&written, "a=rtpmap:8 PCMA/8000");
}

/// NG reference 12.3, pitfall 26.
#[test]
fn hold_by_zero_address() {
    let held = |lines: &str| audio(lines).replace("c=IN IP4 192.0.2.10", "c=IN IP4 0.0.0.0");
    let written = rewrite(&held(""), &Options::default());
    assert_has(&written, "m=audio 30000 RTP/AVP 0");
    assert_has(&written, "c=IN IP4 0.0.0.0");
    assert_has(&written, "a=sendonly");
    let written = rewrite(&held("a=recvonly\n"), &Options::default());
    assert_has(&written, "a=inactive");
    // Towards IPv6, and from it.
    let six = planned(&held(""), &Options::default(), |m| m.address = US6).unwrap();
    assert_has(&six, "c=IN IP6 ::");
    let from_six = held("").replace("IP4 0.0.0.0", "IP6 ::");
    assert_has(&rewrite(&from_six, &Options::default()), "c=IN IP4 0.0.0.0");
    let options = replace(|r| r.zero_address = true);
    let written = rewrite(&held(""), &options);
    assert_has(&written, "c=IN IP4 203.0.113.5");
    assert_has(&written, "a=sendonly");
    let six = planned(&held(""), &options, |m| m.address = US6).unwrap();
    assert_has(&six, "c=IN IP6 2001:db8::5");
}

#[test]
fn directions() {
    let session_level = one(
        "c=IN IP4 192.0.2.10\na=recvonly\n",
        "m=audio 41000 RTP/AVP 0\n",
    );
    let written = rewrite(&session_level, &Options::default());
    assert_eq!(written.matches("a=recvonly").count(), 1);
    assert!(written.find("a=recvonly") > written.find("m=audio"));
    let original = Options {
        original_sendrecv: true,
        ..Options::default()
    };
    let written = rewrite(&session_level, &original);
    assert!(written.find("a=recvonly") < written.find("m=audio"));
    let held = audio("").replace("192.0.2.10", "0.0.0.0");
    assert_lacks(&rewrite(&held, &original), "a=send");
    let copy = planned(&audio("a=sendrecv\n"), &Options::default(), |m| {
        m.direction = Some(Direction::Inactive);
        m.label = Some(12);
    });
    assert_has(copy.as_ref().unwrap(), "a=inactive");
    assert_has(copy.as_ref().unwrap(), "a=label:12");
}

#[test]
fn media_address_goes_before_ours() {
    let options = Options {
        media_address: Some("198.51.100.9".parse().unwrap()),
        rtcp_attribute: RtcpAttribute::Full,
        ..Options::default()
    };
    let written = rewrite(&audio(""), &options);
    assert_has(&written, "c=IN IP4 198.51.100.9");
    assert_has(&written, "a=rtcp:30001 IN IP4 198.51.100.9");
}

/// NG reference 12.4.
#[test]
fn rtcp_lines() {
    let sdp = audio("a=rtcp:41007\na=rtcp-mux\n");
    let lines = |mux: Mux, attribute: RtcpAttribute| {
        let options = Options {
            rtcp_attribute: attribute,
            ..Options::default()
        };
        let written = planned(&sdp, &options, |m| m.mux = mux).unwrap();
        let lines = written.lines().filter(|l| l.starts_with("a=rtcp"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(lines(Mux::Off, RtcpAttribute::Port), ["a=rtcp:30001"]);
    assert_eq!(
        lines(Mux::Offered, RtcpAttribute::Port),
        ["a=rtcp:30001", "a=rtcp-mux"]
    );
    assert_eq!(
        lines(Mux::Agreed, RtcpAttribute::Port),
        ["a=rtcp:30000", "a=rtcp-mux"]
    );
    assert_eq!(
        lines(Mux::Off, RtcpAttribute::Full),
        ["a=rtcp:30001 IN IP4 203.0.113.5"]
    );
    assert_eq!(lines(Mux::Off, RtcpAttribute::None), [""; 0]);
    assert_eq!(lines(Mux::Agreed, RtcpAttribute::None), ["a=rtcp-mux"]);
}

#[test]
fn rejected_media_keeps_its_place_and_little_else() {
    let sdp = audio("i=speech\nb=AS:32\na=rtpmap:0 PCMU/8000\na=label:2\na=mid:1\na=sendonly\n");
    let media = "m=audio 0 RTP/AVP 0\r\ni=speech\r\nc=IN IP4 0.0.0.0\r\nb=AS:32\r\na=mid:1\r\n\
        a=label:2\r\n";
    let by_sender = rewrite(&sdp.replace("41000", "0"), &Options::default());
    assert!(by_sender.ends_with(media), "{by_sender}");
    let by_plan = planned(&sdp, &Options::default(), |m| m.action = Action::Reject).unwrap();
    assert!(by_plan.ends_with(media), "{by_plan}");
    let for_want_of_formats = planned(&sdp, &Options::default(), |m| {
        m.kept = Kept::Only([].into_iter().collect())
    })
    .unwrap();
    assert!(for_want_of_formats.ends_with(media));
    let six = planned(&sdp, &Options::default(), |m| *m = MediaPlan::reject(US6)).unwrap();
    assert_has(&six, "c=IN IP6 ::");
}

/// NG reference 12.5.
#[test]
fn media_that_is_not_rtp_is_copied() {
    let media = "m=application 41002 UDP mcptt x\nc=IN IP4 192.0.2.4\na=fmtp:MCPTT mc_queueing\n\
        a=candidate:1 1 UDP 1 192.0.2.4 1 typ host\na=x\na=ptime:3\n";
    let written = rewrite(&one("a=sendonly\n", media), &Options::default());
    let expected = "m=application 30000 UDP mcptt x\r\nc=IN IP4 203.0.113.5\r\n\
        a=fmtp:MCPTT mc_queueing\r\na=x\r\na=ptime:3\r\n";
    assert!(written.ends_with(expected), "{written}");
    let asked = planned(&one("", media), &Options::default(), |m| {
        m.protocol = Some("RTP/SAVP")
    });
    assert_has(&asked.unwrap(), "m=application 30000 UDP mcptt x");
}

#[test]
fn messages_and_passed_medias_are_left_alone() {
    let message = "m=message 2855 TCP/MSRP *\na=path:msrp://192.0.2.10:2855/x;tcp\na=sendonly\n";
    let written = rewrite(&one("c=IN IP4 192.0.2.10\n", message), &Options::default());
    let expected = "m=message 2855 TCP/MSRP *\r\nc=IN IP4 192.0.2.10\r\n\
        a=path:msrp://192.0.2.10:2855/x;tcp\r\na=sendonly\r\n";
    assert!(written.ends_with(expected), "{written}");
    let lines = "a=ptime:20\na=ice-ufrag:x\na=mid:1\na=bundle-only\n";
    let session = "a=ice-lite\na=group:BUNDLE 1\nc=IN IP4 192.0.2.10\n";
    let sdp = one(session, &format!("m=audio 41000 RTP/AVP 0\n{lines}"));
    let passthrough = Options {
        passthrough: true,
        ..Options::default()
    };
    let force_relay = Options {
        ice: Ice::Pass,
        ..Options::default()
    };
    for options in [passthrough, force_relay] {
        let written = rewrite(&sdp, &options);
        let expected = format!("m=audio 41000 RTP/AVP 0\nc=IN IP4 192.0.2.10\n{lines}");
        assert!(
            written.ends_with(&expected.replace('\n', "\r\n")),
            "{written}"
        );
        assert_has(&written, "a=group:BUNDLE 1");
        assert_has(&written, "a=ice-lite");
    }
}

#[test]
fn ice_and_bundle_are_removed() {
    let session = "c=IN IP4 192.0.2.10\na=ice-lite\na=ice-options:trickle\na=group:BUNDLE 1\n\
        a=msid-semantic: WMS\n";
    let lines = "a=mid:1\na=bundle-only\na=ice-ufrag:x\na=ice-pwd:y\na=end-of-candidates\n\
        a=candidate:1 1 UDP 1 192.0.2.10 1 typ host\na=remote-candidates:1 192.0.2.1 1\n";
    let sdp = one(session, &format!("m=audio 41000 RTP/AVP 0\n{lines}"));
    let written = rewrite(&sdp, &Options::default());
    for part in ["ice", "candidate", "BUNDLE", "bundle-only"] {
        assert_lacks(&written, part);
    }
    assert_has(&written, "a=msid-semantic: WMS");
    assert_has(&written, "a=mid:1");
}

/// NG reference 12.6.
#[test]
fn protocol_changes() {
    let asked = |from: &str, to: &'static str| {
        let sdp = audio("a=crypto:1 X inline:y\n").replace("RTP/AVP", from);
        planned(&sdp, &Options::default(), |m| m.protocol = Some(to))
    };
    assert_has(
        &asked("RTP/AVP", "RTP/AVPF").unwrap(),
        "m=audio 30000 RTP/AVPF 0",
    );
    assert_has(
        &asked("RTP/AVPF", "RTP/AVP").unwrap(),
        "m=audio 30000 RTP/AVP 0",
    );
    assert_has(
        &asked("RTP/SAVP", "RTP/SAVPF").unwrap(),
        "a=crypto:1 X inline:y",
    );
    for (from, to) in [
        ("RTP/AVP", "RTP/SAVP"),
        ("RTP/SAVP", "RTP/AVP"),
        ("RTP/SAVPF", "UDP/TLS/RTP/SAVPF"),
        ("RTP/AVP", "udp"),
        ("RTP/AVP", "RTP/AVP 0\r\na=evil"),
    ] {
        assert!(
            matches!(asked(from, to), Err(Error::Rewrite(_))),
            "{from} {to}"
        );
    }
    let rejected = planned(&audio(""), &Options::default(), |m| {
        m.action = Action::Reject;
        m.protocol = Some("RTP/SAVP 0\r\na=evil");
    });
    assert_has(&rejected.unwrap(), "m=audio 0 RTP/AVP 0");
}

#[test]
fn loops_are_recognised() {
    let options = Options {
        loop_protect: true,
        ..Options::default()
    };
    let written = rewrite(&audio(""), &options);
    assert_has(&written, "a=rtpengine:relay-1");
    let again = parse(written.as_bytes()).unwrap();
    assert!(returned(&again, &options, "relay-1"));
    assert!(!returned(&again, &options, "relay-2"));
    assert!(!returned(&again, &Options::default(), "relay-1"));
}

#[test]
fn plan_must_fit() {
    let session = parse(MCPTT.as_bytes()).unwrap();
    let mut memory = Memory::default();
    let medias = [MediaPlan::relay(US, 2)];
    let result = write(&session, &plan(&Options::default(), &medias), &mut memory);
    assert!(matches!(result, Err(Error::Rewrite(_))));
    assert_eq!(memory, Memory::default());
}

#[test]
fn errors_of_the_core() {
    assert_eq!(parse(b"nonsense").unwrap_err(), Error::BadSdp);
    assert_eq!(parse(b"v=0\ns=-\n").unwrap_err(), Error::IncompleteSdp);
}

/// NG reference 17.6, byte for byte: both parties' speech for a recorder.
#[test]
fn copies_for_a_recorder() {
    let party = |address: &str| {
        let head = "v=0\no=mcas 88310 1 IN IP4 192.0.2.10\ns=-\nb=AS:64\n";
        format!(
            "{head}c=IN IP4 {address}\nm=audio 41000 RTP/AVP 96\na=label:9\n\
             a=rtpmap:96 AMR-WB/16000\na=sendrecv\na=ptime:20\n"
        )
    };
    let (caller, callee) = (party("192.0.2.10"), party("0.0.0.0"));
    let (caller, callee) = (parse(caller.as_bytes()), parse(callee.as_bytes()));
    let sources = [caller.unwrap(), callee.unwrap()];
    let medias = sources.iter().map(|source| Media {
        connection: source.connection,
        ..source.medias[0].clone()
    });
    let session = Session {
        origin: sources[0].origin,
        name: sources[0].name,
        medias: medias.collect(),
        ..Session::default()
    };
    let plans = [(30140, 1), (30144, 3)].map(|(port, label)| MediaPlan {
        direction: Some(Direction::SendOnly),
        label: Some(label),
        ..MediaPlan::relay(US, port)
    });
    let options = Options::default();
    let written = write(&session, &plan(&options, &plans), &mut Memory::default()).unwrap();
    let media = |port: u16, label: u32| {
        let rtcp = port + 1;
        format!(
            "m=audio {port} RTP/AVP 96\r\nc=IN IP4 203.0.113.5\r\na=label:{label}\r\n\
             a=rtpmap:96 AMR-WB/16000\r\na=sendonly\r\na=rtcp:{rtcp}\r\na=ptime:20\r\n"
        )
    };
    let head = "v=0\r\no=mcas 88310 1 IN IP4 192.0.2.10\r\ns=-\r\nt=0 0\r\n";
    let expected = [head, &media(30140, 1), &media(30144, 3)].concat();
    assert_eq!(String::from_utf8(written).unwrap(), expected);
}
