use proptest::prelude::*;

use super::*;

const INVITE: &str = "INVITE sip:anchor@127.0.0.1:5070 SIP/2.0\r\n\
    Via: SIP/2.0/UDP 192.0.2.7:5080;rport;branch=z9hG4bKabc\r\n\
    Max-Forwards: 70\r\n\
    From: \"Relay \\\"Q\\\"\" <sip:relay@partner.example>;tag=f1\r\n\
    t: <sip:anchor@primary.example>\r\n\
    Call-ID: c1@partner.example\r\n\
    CSeq: 1 INVITE\r\n\
    m: <sip:relay@192.0.2.7:5080>\r\n\
    Subject: a call\r\n of somebody\r\n\
    Record-Route: <sip:p1;lr>\r\n\
    Content-Type: application/SDP; charset=utf-8\r\n\
    Content-Length: 5\r\n\r\nv=0\r\n trailing";

const SOURCE: &str = "192.0.2.7:6000";

fn hop() -> Hop {
    Hop {
        local: "127.0.0.1:5070".parse().unwrap(),
        peer: SOURCE.parse().unwrap(),
    }
}

fn at(millis: u64) -> Timestamp {
    Timestamp::from_secs(1_000) + Duration::from_millis(millis)
}

fn transactions() -> Transactions {
    Transactions::new([7; 32], Timing::default(), 16)
}

/// Everything that is to be sent, as text.
fn sent(of: &mut Transactions) -> Vec<String> {
    std::iter::from_fn(|| of.poll_transmit())
        .map(|transmit| String::from_utf8(transmit.bytes.to_vec()).unwrap())
        .collect()
}

fn events(of: &mut Transactions) -> Vec<Event> {
    std::iter::from_fn(|| of.poll_event()).collect()
}

fn request() -> Request {
    Request {
        method: Method::Invite,
        uri: "sip:anchor@192.0.2.7".to_owned(),
        routes: Vec::new(),
        from: "<sip:homeward@partner.example>;tag=t1".to_owned(),
        to: "<sip:anchor@192.0.2.7>".to_owned(),
        call_id: "c1".to_owned(),
        cseq: 1,
        contact: Some("sip:homeward@127.0.0.1:5070".to_owned()),
        headers: vec![("Subject", "evil\r\nInjected: yes".to_owned())],
        body: Some(("application/sdp", "v=0\r\n".to_owned())),
    }
}

/// A response to what was sent.
fn reply(request: &str, code: u16, tag: &str) -> String {
    let message = parse(request.as_bytes()).unwrap();
    let mut response = Response::new(code, "Because");
    response.tag = Some(tag.to_owned());
    let bytes = response.encode(&message, "127.0.0.1:5070".parse().unwrap());
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn what_matters_of_a_message_is_read() {
    let message = parse(INVITE.as_bytes()).unwrap();
    assert_eq!(message.start, Start::Request(Method::Invite));
    assert_eq!(message.branch.as_deref(), Some("z9hG4bKabc"));
    assert_eq!(message.from_tag.as_deref(), Some("f1"));
    assert_eq!(message.from_host, "partner.example");
    assert_eq!(message.to_tag, None);
    assert_eq!((message.cseq, &message.cseq_method), (1, &Method::Invite));
    let uri = "sip:relay@192.0.2.7:5080";
    assert_eq!(message.contact.as_deref(), Some(uri));
    assert_eq!(message.content_type.as_deref(), Some("application/sdp"));
    assert_eq!(message.body, b"v=0\r\n");
    assert_eq!(message.record_routes, ["<sip:p1;lr>"]);
    let source: SocketAddr = SOURCE.parse().unwrap();
    assert_eq!(message.reply_to(source), source, "rport");
    let here = "192.0.2.7:5080".parse().unwrap();
    assert_eq!(message.next_hop(source), here, "the contact's port");
    let elsewhere: SocketAddr = "203.0.113.1:9".parse().unwrap();
    assert_eq!(message.next_hop(elsewhere), elsewhere, "nobody else's");
}

#[test]
fn a_message_without_what_every_message_has_is_refused() {
    for name in ["Via", "From", "t", "Call-ID", "CSeq"] {
        let without: Vec<&str> = INVITE
            .split("\r\n")
            .filter(|line| !line.starts_with(&format!("{name}:")))
            .collect();
        let error = parse(without.join("\r\n").as_bytes()).unwrap_err();
        assert!(matches!(error, Error::Header(_)), "{name}: {error}");
    }
}

#[test]
fn repeated_headers_are_refused_unless_they_are_lists() {
    for line in [
        "From: <sip:a@b>;tag=2",
        "To: <sip:a@b>",
        "i: other",
        "CSeq: 2 INVITE",
        "Content-Length: 3",
        "Content-Type: text/plain",
        "Max-Forwards: 1",
    ] {
        let twice = INVITE.replacen("Subject:", &format!("{line}\r\nSubject:"), 1);
        let error = parse(twice.as_bytes()).unwrap_err();
        assert!(matches!(error, Error::Header(_)), "{line}: {error}");
    }
    let vias = INVITE.replacen("Max", "Via: SIP/2.0/UDP p;branch=z9hG4bKp\r\nMax", 1);
    let message = parse(vias.as_bytes()).unwrap();
    assert_eq!(message.vias.len(), 2);
    assert_eq!(message.branch.as_deref(), Some("z9hG4bKabc"), "the first");
}

#[test]
fn lengths_that_lie_are_refused() {
    for length in [
        "6000",
        "18446744073709551600",
        "99999999999999999999999",
        "-1",
        "0x5",
        "",
    ] {
        let lie = INVITE.replace("Length: 5", &format!("Length: {length}"));
        assert!(parse(lie.as_bytes()).is_err(), "{length}");
    }
    let none = INVITE.replace("Content-Length: 5\r\n", "");
    assert_eq!(parse(none.as_bytes()).unwrap().body, b"v=0\r\n trailing");
}

#[test]
fn overlong_messages_are_refused_at_once() {
    let long = INVITE.replacen("a call", &"x".repeat(MAX_HEAD), 1);
    assert!(parse(long.as_bytes()).is_err());
    let many = INVITE.replacen("Subject", &("X: y\r\n".repeat(MAX_HEADERS) + "Subject"), 1);
    assert_eq!(parse(many.as_bytes()), Err(Error::TooLong));
    let names: String = (0..9_000).map(|n| format!("h{n}:\r\n")).collect();
    let names = INVITE.replacen("Subject", &(names + "Subject"), 1);
    assert!(parse(names.as_bytes()).is_err());
    assert_eq!(parse(&vec![b'a'; MAX_MESSAGE + 1]), Err(Error::TooLong));
}

#[test]
fn words_that_are_nearly_right_are_wrong() {
    for (good, bad) in [
        ("INVITE sip:", "INVITEX sip:"),
        ("INVITE sip:", "invite sip:"),
        ("SIP/2.0\r\nVia", "SIP/3.0\r\nVia"),
        ("CSeq: 1 INVITE", "CSeq: 1 BYE"),
        ("CSeq: 1 INVITE", "CSeq: 2147483648 INVITE"),
        ("CSeq: 1 INVITE", "CSeq: 1"),
        ("Call-ID: c1@partner.example", "Call-ID:"),
        ("Subject: a", "Subject\u{1}: a"),
        ("Subject: a", "Subject a"),
    ] {
        let text = INVITE.replacen(good, bad, 1);
        assert_ne!(text, INVITE, "{good}");
        let result = parse(text.as_bytes());
        let known = result.as_ref().ok().and_then(Message::method);
        assert_ne!(known, Some(&Method::Invite), "{bad}: {result:?}");
    }
}

#[test]
fn an_invite_is_repeated_until_something_comes_and_then_no_more() {
    let mut of = transactions();
    let tx = of.send(request(), hop(), at(0)).unwrap();
    let first = sent(&mut of);
    assert!(!first[0].contains("\r\nInjected"), "{}", first[0]);
    let mut moments = Vec::new();
    while let Some(due) = of.poll_timeout().filter(|due| *due < at(16_000)) {
        of.handle_timeout(due);
        assert_eq!(sent(&mut of), first);
        moments.push(due.since(at(0)).as_millis());
    }
    assert_eq!(moments, [500, 1_500, 3_500, 7_500, 15_500], "timer A");
    let trying = reply(&first[0], 100, "");
    of.receive(hop(), trying.as_bytes(), at(16_000)).unwrap();
    of.handle_timeout(at(60_000));
    assert!(sent(&mut of).is_empty(), "100 ends the repetition");
    assert!(events(&mut of).is_empty(), "and is not handed on");
    let busy = reply(&first[0], 486, "x");
    of.receive(hop(), busy.as_bytes(), at(60_000)).unwrap();
    let ack = sent(&mut of);
    assert!(ack[0].starts_with("ACK sip:anchor@192.0.2.7 SIP/2.0\r\n"));
    assert!(ack[0].contains("To: <sip:anchor@192.0.2.7>;tag=x\r\n"));
    let branch = |text: &str| parse(text.as_bytes()).unwrap().branch;
    assert_eq!(branch(&ack[0]), branch(&first[0]), "RFC 3261 17.1.1.3");
    // The refusal comes again since the ACK was lost: acknowledged again, handed on once.
    of.receive(hop(), busy.as_bytes(), at(60_500)).unwrap();
    assert_eq!(sent(&mut of), ack);
    let [
        Event::Response {
            tx: of_tx, message, ..
        },
    ] = &events(&mut of)[..]
    else {
        panic!("one response")
    };
    assert_eq!((*of_tx, message.code()), (tx, Some(486)));
    of.handle_timeout(at(200_000));
    assert_eq!(of.poll_timeout(), None, "nothing is left");
}

#[test]
fn a_request_that_nobody_answers_times_out() {
    let mut of = transactions();
    let invite = of.send(request(), hop(), at(0)).unwrap();
    let bye = Request {
        method: Method::Bye,
        cseq: 2,
        ..request()
    };
    let bye = of.send(bye, hop(), at(0)).unwrap();
    sent(&mut of);
    of.handle_timeout(at(31_999));
    assert!(events(&mut of).is_empty());
    of.handle_timeout(at(32_000));
    let expected = [Event::TimedOut { tx: invite }, Event::TimedOut { tx: bye }];
    assert_eq!(events(&mut of), expected, "timers B and F: 64 T1");
    assert!(!of.is_waiting());
}

#[test]
fn a_cancel_waits_until_the_invite_is_known_to_have_arrived() {
    let mut of = transactions();
    let tx = of.send(request(), hop(), at(0)).unwrap();
    let invite = sent(&mut of).remove(0);
    of.cancel(tx, at(10));
    assert!(sent(&mut of).is_empty(), "RFC 3261 9.1");
    let ringing = reply(&invite, 180, "x");
    of.receive(hop(), ringing.as_bytes(), at(20)).unwrap();
    let cancel = sent(&mut of).remove(0);
    assert!(cancel.starts_with("CANCEL sip:anchor@192.0.2.7 SIP/2.0"));
    let branch = |text: &str| parse(text.as_bytes()).unwrap().branch;
    assert_eq!(branch(&cancel), branch(&invite));
    of.cancel(tx, at(30));
    assert!(sent(&mut of).is_empty(), "once");
    for (text, code) in [(&cancel, 200), (&invite, 487)] {
        let text = reply(text, code, "x");
        of.receive(hop(), text.as_bytes(), at(40)).unwrap();
    }
    let codes = events(&mut of).into_iter().filter_map(|event| match event {
        Event::Response { message, .. } => message.code(),
        Event::Request { .. }
        | Event::Ack { .. }
        | Event::TimedOut { .. }
        | Event::Unacknowledged { .. } => None,
    });
    assert_eq!(codes.collect::<Vec<_>>(), [180, 200, 487]);
    assert!(sent(&mut of)[0].starts_with("ACK "));
}

#[test]
fn a_repeated_request_is_handed_on_once_and_answered_again() {
    let mut of = transactions();
    of.receive(hop(), INVITE.as_bytes(), at(0)).unwrap();
    of.receive(hop(), INVITE.as_bytes(), at(1)).unwrap();
    let [Event::Request { tx, .. }] = events(&mut of)[..] else {
        panic!("one request")
    };
    assert!(sent(&mut of).is_empty());
    of.respond(tx, &Response::new(486, "Busy Here"), at(2));
    let busy = sent(&mut of);
    assert!(busy[0].contains(
        "Via: SIP/2.0/UDP 192.0.2.7:5080;rport=6000;branch=z9hG4bKabc;received=192.0.2.7\r\n"
    ));
    of.receive(hop(), INVITE.as_bytes(), at(3)).unwrap();
    assert_eq!(sent(&mut of), busy);
    of.handle_timeout(at(502));
    assert_eq!(sent(&mut of), busy, "timer G");
    let ack = INVITE.replace("INVITE", "ACK");
    of.receive(hop(), ack.as_bytes(), at(600)).unwrap();
    of.handle_timeout(at(5_000));
    of.receive(hop(), INVITE.as_bytes(), at(5_000)).unwrap();
    assert!(
        sent(&mut of).is_empty() && events(&mut of).is_empty(),
        "absorbed"
    );
    of.handle_timeout(at(60_000));
    assert_eq!(of.poll_timeout(), None);
}

#[test]
fn a_2xx_is_repeated_until_its_ack_comes() {
    let mut of = transactions();
    of.receive(hop(), INVITE.as_bytes(), at(0)).unwrap();
    let [Event::Request { tx, .. }] = events(&mut of)[..] else {
        panic!("one request")
    };
    let mut ok = Response::new(200, "OK");
    ok.tag = Some("mine".to_owned());
    of.respond(tx, &ok, at(0));
    let first = sent(&mut of);
    of.handle_timeout(at(500));
    assert_eq!(sent(&mut of), first);
    // The ACK for a 2xx is a transaction of its own.
    let ack = INVITE
        .replace("INVITE", "ACK")
        .replace("z9hG4bKabc", "z9hG4bKnew");
    of.receive(hop(), ack.as_bytes(), at(600)).unwrap();
    assert!(matches!(events(&mut of)[..], [Event::Ack { .. }]));
    of.acknowledged(tx, at(600));
    of.handle_timeout(at(40_000));
    assert!(sent(&mut of).is_empty() && events(&mut of).is_empty());

    let other = INVITE.replace("z9hG4bKabc", "z9hG4bKother");
    of.receive(hop(), other.as_bytes(), at(40_000)).unwrap();
    let [Event::Request { tx, .. }] = events(&mut of)[..] else {
        panic!("one request")
    };
    of.respond(tx, &ok, at(40_000));
    of.handle_timeout(at(72_000));
    assert_eq!(events(&mut of), [Event::Unacknowledged { tx }]);
}

#[test]
fn a_cancel_is_answered_and_changes_nothing() {
    let mut of = transactions();
    let cancel = INVITE.replace("INVITE", "CANCEL");
    of.receive(hop(), cancel.as_bytes(), at(0)).unwrap();
    assert!(sent(&mut of)[0].starts_with("SIP/2.0 481 "), "of nothing");
    let other = |text: &str| text.replace("z9hG4bKabc", "z9hG4bKtwo");
    of.receive(hop(), other(INVITE).as_bytes(), at(0)).unwrap();
    of.receive(hop(), other(&cancel).as_bytes(), at(0)).unwrap();
    assert!(sent(&mut of)[0].starts_with("SIP/2.0 200 OK\r\n"));
    assert!(
        matches!(events(&mut of)[..], [Event::Request { .. }]),
        "the INVITE alone"
    );
}

#[test]
fn the_number_of_transactions_is_bounded() {
    let mut of = transactions();
    for number in 0..100 {
        let text = INVITE.replace("z9hG4bKabc", &format!("z9hG4bK{number}"));
        of.receive(hop(), text.as_bytes(), at(0)).unwrap();
    }
    assert_eq!(events(&mut of).len(), 16);
    assert_eq!(of.counts.overflow, 84);
    assert!(of.send(request(), hop(), at(0)).is_none());
    of.handle_timeout(at(32_000));
    assert!(of.send(request(), hop(), at(32_000)).is_some());
}

#[test]
fn a_dialog_takes_requests_in_order_and_of_its_own_only() {
    let invite = parse(INVITE.as_bytes()).unwrap();
    let mut dialog = Dialog::of_invite(&invite, "mine", hop()).unwrap();
    let bye = dialog.request(Method::Bye);
    assert_eq!(bye.uri, "sip:relay@192.0.2.7:5080");
    assert_eq!(bye.routes, ["<sip:p1;lr>"]);
    assert_eq!(bye.from, "<sip:anchor@primary.example>;tag=mine");
    let next = INVITE.replace("CSeq: 1", "CSeq: 2");
    let next = next.replace("t: <sip:anchor@primary.example>", "t: <sip:a@b>;tag=mine");
    let next = parse(next.as_bytes()).unwrap();
    assert!(dialog.owns(&next) && dialog.takes(&next));
    assert!(!dialog.takes(&next), "the same number again");
    let mut other = next.clone();
    other.from_tag = Some("f2".to_owned());
    assert!(!dialog.owns(&other));
    assert!(Dialog::of_invite(&next, "mine", hop()).is_none());
}

fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<prop::sample::Index>(), 0..4_u8, any::<u8>());
    prop::collection::vec(change, 1..8).prop_map(|changes| {
        let mut bytes = INVITE.as_bytes().to_vec();
        for (place, what, byte) in changes {
            let place = place.index(bytes.len().max(1)).min(bytes.len());
            match what {
                0 => bytes.insert(place, byte),
                1 => bytes.truncate(place),
                2 if place < bytes.len() => bytes[place] = byte,
                _ if place < bytes.len() => drop(bytes.remove(place)),
                _ => {}
            }
        }
        bytes
    })
}

proptest! {
    #[test]
    fn any_datagram_is_read_or_refused(bytes in prop_oneof![mutated(), prop::collection::vec(any::<u8>(), 0..200)]) {
        let mut of = transactions();
        let _ = of.receive(hop(), &bytes, at(0));
        for event in events(&mut of) {
            if let Event::Request { tx, .. } = event {
                of.respond(tx, &Response::new(200, "OK"), at(0));
            }
        }
        of.handle_timeout(at(700));
        for text in sent(&mut of) {
            // Whatever was asked, the answer is a message with one head.
            let answer = parse(text.as_bytes());
            prop_assert!(answer.is_ok(), "{answer:?}: {text:?}");
        }
    }
}
