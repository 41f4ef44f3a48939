use std::net::IpAddr;

use proptest::prelude::*;

use super::*;
use crate::hook::ng::message::Message;
use crate::migration::identity::Service;
use crate::session::options::{Family, Ice, Learning, Options, RtcpAttribute};

fn base(command: &'static str) -> Dict<'static> {
    Dict::new()
        .with("command", command)
        .with("call-id", "c1")
        .with("from-tag", "a")
        .with("sdp", "v=0\r\n")
}

fn core(dict: &Dict<'_>) -> Request {
    match translate(dict).action {
        Ok(Action::Core(request)) => request,
        other => panic!("{other:?}"),
    }
}

fn offer(dict: &Dict<'_>) -> Exchange {
    let Request::Offer(exchange) = core(dict) else {
        panic!("not an offer");
    };
    *exchange
}

fn with_flags(flags: &[&'static str]) -> Exchange {
    offer(&base("offer").with("flags", Value::list(flags.iter().copied())))
}

fn refusal(dict: &Dict<'_>) -> String {
    translate(dict).action.unwrap_err().to_string()
}

/// The worked example of an offer for an MCPTT call.
const STOCK_OFFER: &[u8] = b"1_4022250974_18 d8:supportsl10:load limite3:sdp207:v=0\r\no=mcas 88210 1 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\nm=audio 41000 RTP/AVP 96\r\na=rtpmap:96 AMR-WB/16000\r\na=ptime:20\r\nm=application 41002 udp MCPTT\r\na=fmtp:MCPTT mc_queueing;mc_priority=5\r\n3:ICE6:remove9:directionl4:core7:partnere5:flagsl13:trust-address13:strict-sourcee7:replacel6:origine7:call-id15:grp7@mc.example13:received-froml3:IP410:192.0.2.10e8:from-tag3:aa17:command5:offere";

#[test]
fn the_offer_of_a_stock_proxy() {
    let datagram = STOCK_OFFER;
    let message = Message::parse(datagram).unwrap();
    let translated = translate(&message.dict);
    assert_eq!(translated.command, Command::Offer);
    assert!(translated.shape.load_limit);
    let offer = offer(&message.dict);
    assert_eq!(offer.call_id, CallId::from("grp7@mc.example"));
    assert_eq!(offer.from_tag, Tag::from("aa1"));
    assert_eq!(offer.to_tag, None);
    assert_eq!(offer.sdp.len(), 207);
    let options = &offer.options;
    assert_eq!(options.direction[0].as_deref(), Some("core"));
    assert_eq!(options.direction[1].as_deref(), Some("partner"));
    assert_eq!(options.received_from, Some("192.0.2.10".parse().unwrap()));
    assert_eq!(options.strict_source, Some(true));
    assert!(options.replace.origin);
    assert_eq!(options.ice, Ice::Remove);
    assert!(offer.context.is_empty());
}

#[test]
fn missing_keys_have_their_texts() {
    let full = || base("answer").with("to-tag", "b");
    let without = |missing: &str| {
        let mut dict = Dict::new();
        for (key, value) in full().iter().filter(|(key, _)| *key != missing.as_bytes()) {
            dict.push(
                String::from_utf8_lossy(key).into_owned(),
                value.clone().into_owned(),
            );
        }
        refusal(&dict)
    };
    assert_eq!(without("command"), "Dictionary contains no key \"command\"");
    assert_eq!(without("sdp"), "No SDP body in message");
    assert_eq!(without("call-id"), "No call-id in message");
    assert_eq!(without("from-tag"), "No from-tag in message");
    assert_eq!(without("to-tag"), "No to-tag in message");
    assert!(translate(&full()).action.is_ok());
    for command in ["delete", "query"] {
        assert_eq!(
            refusal(&Dict::new().with("command", command)),
            "No call-id in message"
        );
    }
    assert_eq!(
        refusal(&full().with("call-id", "")),
        "No call-id in message"
    );
    assert_eq!(
        refusal(&base("offer").with("call-id", &b"\xff"[..])),
        "call-id: not a text in UTF-8"
    );
}

#[test]
fn commands_that_are_not_done() {
    for command in NEED_CODEC.into_iter().chain(NOT_YET) {
        assert_eq!(refusal(&base(command)), "unsupported", "{command}");
    }
    for command in ["OFFER", "offers", "", "Ping"] {
        assert_eq!(refusal(&base(command)), "Unrecognized command", "{command}");
    }
    assert_eq!(refusal(&base("offer").with("ICE", "force")), "unsupported");
}

#[test]
fn ping_needs_nothing() {
    let ping = translate(&Dict::new().with("command", "ping"));
    assert_eq!(ping.action, Ok(Action::Ping));
}

#[test]
fn spellings_types_duplicates_and_unknown_keys() {
    let dict = base("offer")
        .with("Media_Address", "203.0.113.9")
        .with("address family", "IP6")
        .with("TOS", "184")
        .with("direction", "core,partner")
        .with("replace", "session name")
        .with("transport-protocol", "rtp/avpf")
        .with("call-id", "c1")
        .with("from-tag", 17)
        .with("never heard of", Dict::new())
        .with("xmlrpc-callback", "192.0.2.1");
    let offer = offer(&dict);
    let options = offer.options;
    assert_eq!(offer.from_tag, Tag::from("17"));
    assert_eq!(
        options.media_address,
        Some("203.0.113.9".parse::<IpAddr>().unwrap())
    );
    assert_eq!(options.address_family, Some(Family::Ip6));
    assert_eq!(options.tos, Some(184));
    assert_eq!(options.direction[1].as_deref(), Some("partner"));
    assert!(options.replace.session_name);
    assert_eq!(options.transport_protocol.as_deref(), Some("RTP/AVPF"));
}

#[test]
fn duplicate_keys_are_accepted() {
    let datagram = b"1_99_3 d7:call-id15:p2p9@mc.example5:flagsl3:all6:siprece7:call-id15:p2p9@mc.example7:command17:subscribe requeste";
    let message = Message::parse(datagram).unwrap();
    let translated = translate(&message.dict);
    assert_eq!(translated.command, Command::Unsupported);
    let twice = base("query").with("call-id", "c2");
    let Request::Query(query) = core(&twice) else {
        panic!("not a query");
    };
    assert_eq!(query.call_id, CallId::from("c2"));
}

#[test]
fn tos_out_of_range_keeps_the_default() {
    for tos in [-1, 256, 100_000] {
        assert_eq!(offer(&base("offer").with("TOS", tos)).options.tos, None);
    }
}

#[test]
fn flags_and_prefix_forms() {
    let options = with_flags(&[
        "SIP source address",
        "asymmetric",
        "port latching",
        "reset",
        "loop-protect",
        "original_sendrecv",
        "full-rtcp-attribute",
        "new branch",
        "passthrough",
        "symmetric",
        "no such flag",
        "replace-origin",
        "replace-zero-address",
        "rtcp-mux-demux",
        "endpoint-learning-off",
        "codec-strip-G722/8000",
        "RTP/AVP",
        "label=caller",
    ])
    .options;
    assert!(options.sip_source_address && options.asymmetric && options.reset);
    assert!(options.loop_protect && options.original_sendrecv && options.new_branch);
    assert!(options.passthrough && options.replace.origin && options.replace.zero_address);
    assert!(options.rtcp_mux.demux && !options.rtcp_mux.offer);
    assert_eq!(options.port_latching, Some(true));
    assert_eq!(options.rtcp_attribute, RtcpAttribute::Full);
    assert_eq!(options.learning, Some(Learning::Off));
    assert_eq!(options.codec_strip, ["G722/8000".into()]);
    assert_eq!(options.transport_protocol.as_deref(), Some("RTP/AVP"));
    assert_eq!(options.label.as_deref(), Some("caller"));
    assert_eq!(options.strict_source, None);
}

#[test]
fn flags_as_keys_and_off() {
    let dict = base("offer")
        .with("loop-protect", 1)
        .with("strict source", "no")
        .with("reset", "perhaps");
    let options = offer(&dict).options;
    assert!(options.loop_protect);
    assert_eq!(options.strict_source, Some(false));
    assert!(!options.reset);
}

#[test]
fn handover_is_the_opposite_of_strict() {
    assert_eq!(
        with_flags(&["media handover"]).options.strict_source,
        Some(false)
    );
    let both = with_flags(&["media handover", "strict source"]).options;
    assert_eq!(
        (both.media_handover, both.strict_source),
        (true, Some(true))
    );
}

#[test]
fn rtpp_flags_are_taken_apart() {
    let text = "trust-address replace-origin ICE=force-relay direction=core direction=partner \
                rtcp-mux=[offer accept] codec=[strip=[PCMA]] via-branch=z9 delete-delay=0";
    let offer = offer(&base("offer").with("rtpp-flags", text));
    let options = offer.options;
    assert_eq!(offer.via_branch.as_deref(), Some("z9"));
    assert_eq!(options.direction[0].as_deref(), Some("core"));
    assert_eq!(options.direction[1].as_deref(), Some("partner"));
    assert_eq!(options.ice, Ice::Pass);
    assert!(options.rtcp_mux.offer && options.rtcp_mux.accept && options.replace.origin);
    assert_eq!(options.codec_strip, ["PCMA".into()]);
}

#[test]
fn flags_within_flags_end() {
    let nested = "flags=".repeat(10_000);
    let rtpp = "rtpp-flags=[".repeat(5_000);
    let dict = base("offer")
        .with("flags", Value::list([nested.as_str()]))
        .with("rtpp-flags", rtpp.as_str());
    assert!(translate(&dict).action.is_ok());
}

#[test]
fn codec_rules_that_need_an_encoder_are_told() {
    let codec = Dict::new()
        .with("transcode", Value::list(["opus"]))
        .with("strip", Value::list(["all"]))
        .with("except", "PCMA");
    let dict = base("offer").with("codec", codec);
    let translated = translate(&dict);
    assert!(translated.shape.warning.is_some());
    assert!(offer(&dict).options.codec_strip.is_empty());
}

#[test]
fn bad_values_that_would_misdirect_media_are_refused() {
    assert_eq!(
        refusal(&base("offer").with("media address", "nowhere")),
        "media-address: \"nowhere\" is not an IP address"
    );
    assert_eq!(
        refusal(&base("offer").with("mc-calling-id", "a b")),
        "mc-calling-id: \"a b\" is not an MC service ID: expected a URI of at most 255 characters"
    );
}

#[test]
fn the_call_context_rides_along() {
    let dict = base("offer")
        .with("mc_service", "mcptt")
        .with("mc-calling-id", "sip:alice@partner.example");
    let context = offer(&dict).context;
    assert_eq!(context.service, Some(Service::Mcptt));
    assert_eq!(
        context.calling_id.unwrap().as_str(),
        "sip:alice@partner.example"
    );
}

#[test]
fn delete_in_its_forms() {
    let delete = |dict: &Dict<'_>| {
        let Request::Delete(delete) = core(dict) else {
            panic!("not a delete");
        };
        delete
    };
    let datagram =
        b"2210_77_5 d5:flagsle7:call-id15:grp7@mc.example13:received-fromle7:command6:deletee";
    let opensips = delete(&Message::parse(datagram).unwrap().dict);
    assert_eq!(opensips.from_tag, None);
    assert_eq!((opensips.delay, opensips.fatal), (None, false));
    let dict = base("delete")
        .with("to-tag", "b")
        .with("via-branch", "z9")
        .with("delete delay", "0");
    let plain = delete(&dict);
    assert_eq!((plain.to_tag, plain.delay), (None, Some(0)));
    let flags = Value::list(["to-tag", "fatal", "fast"]);
    let dict = dict.with("flags", flags).with("delete-delay", -1);
    let flagged = delete(&dict);
    assert_eq!(flagged.to_tag, Some(Tag::from("b")));
    assert!(flagged.fatal && flagged.delay.is_none());
    assert!(translate(&dict).shape.fast);
}

#[test]
fn list_limits() {
    let list = |limit: Option<i64>| {
        translate(
            &Dict::new()
                .with("command", "list")
                .with_some("limit", limit),
        )
        .action
    };
    assert_eq!(list(None), Ok(Action::Core(Request::List { limit: 32 })));
    assert_eq!(list(Some(0)), Ok(Action::Core(Request::List { limit: 0 })));
    assert_eq!(
        list(Some(-1)).unwrap_err().to_string(),
        "invalid limit, must be >= 0"
    );
}

#[test]
fn recording_switches_are_told_to_be_without_effect() {
    for dict in [
        base("offer").with("record-call", "yes"),
        base("offer").with("flags", "record call"),
    ] {
        assert!(translate(&dict).shape.warning.is_some());
        assert_eq!(offer(&dict).options, Options::default());
    }
}

proptest! {
    #[test]
    fn a_damaged_datagram_is_understood_or_refused(
        edits in proptest::collection::vec((0..STOCK_OFFER.len(), any::<u8>()), 0..6),
        cut in 0..STOCK_OFFER.len(),
    ) {
        let mut datagram = STOCK_OFFER.to_vec();
        for (at, byte) in edits {
            datagram[at] = byte;
        }
        for datagram in [&datagram[..], &datagram[..cut]] {
            if let Ok(message) = Message::parse(datagram) {
                let _ = translate(&message.dict);
            }
        }
    }

    #[test]
    fn any_dictionary_is_understood_or_refused(
        keys in proptest::collection::vec(
            (
                proptest::sample::select(vec![
                    "call-id", "from-tag", "to-tag", "sdp", "flags", "rtpp-flags", "direction",
                    "received-from", "codec", "ICE", "mc-info64", "mc-emergency", "replace", "TOS",
                    "media-address", "rtcp-mux", "supports", "delete-delay", "a=b=c",
                ]),
                prop_oneof![
                    any::<i64>().prop_map(Value::Int),
                    "[ -~é]{0,20}".prop_map(Value::from),
                    proptest::collection::vec(any::<u8>(), 0..8).prop_map(Value::from),
                    proptest::collection::vec("[a-z=\\[\\], -]{0,12}", 0..4).prop_map(Value::list),
                    Just(Value::from(Dict::new().with("strip", "x").with("except", 1))),
                ],
            ),
            0..12,
        ),
        command in proptest::sample::select(vec!["offer", "answer", "delete", "query", "list"]),
    ) {
        let mut dict = Dict::new().with("command", command);
        for (key, value) in keys {
            dict.push(key, value);
        }
        let _ = translate(&dict);
    }
}

#[test]
fn recording_verbs_ask_for_a_switch() {
    let asked = |dict: Dict<'_>| {
        let translated = translate(&dict);
        let Ok(Action::Core(Request::Recording {
            call_id,
            switch,
            primary,
        })) = translated.action
        else {
            panic!("{:?}", translated.action);
        };
        assert_eq!((&*call_id.0, primary), ("c1", None));
        (switch, translated.shape.warning.is_some())
    };
    let verb = |name| Dict::new().with("command", name).with("call-id", "c1");
    assert_eq!(asked(verb("start recording")), (Switch::On, false));
    assert_eq!(asked(verb("pause recording")), (Switch::Paused, false));
    let stop = || verb("stop recording");
    assert_eq!(asked(stop()), (Switch::Stopped, false));
    assert_eq!(asked(stop().with("pause", "yes")), (Switch::Paused, false));
    let flags = Value::list(["pause"]);
    assert_eq!(asked(stop().with("flags", flags)), (Switch::Paused, false));
    let flags = Value::list(["discard recording"]);
    assert_eq!(asked(stop().with("flags", flags)), (Switch::Stopped, true));
    let nameless = Dict::new().with("command", "stop recording");
    assert_eq!(translate(&nameless).action, Err(Refusal::NoCallId));
}
