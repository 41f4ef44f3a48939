use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// Floor Taken: by hand from TS 24.380 8.2.9, with an identity that needs padding.
const TAKEN: [u8; 40] = [
    0x92, 204, 0x00, 0x09, // ack requested, subtype 2; ten words
    0x00, 0x00, 0x00, 0x2a, b'M', b'C', b'P', b'T', //
    4, 11, b's', b'i', b'p', b':', b'a', b'@', b'b', b'.', b'c', b'o', b'm', 0, 0, 0, //
    5, 2, 0, 1, // permission
    14, 6, 0xde, 0xad, 0xbe, 0xef, 0, 0,
];

#[test]
fn reads_floor_taken() {
    let message = Message::new_checked(&TAKEN).unwrap();
    assert_eq!(message.name(), Name::Mcpt);
    assert_eq!(message.floor(), Some(FloorKind::Taken));
    assert_eq!(message.label(), Some("Floor Taken"));
    assert!(message.wants_ack());
    assert_eq!(message.ssrc(), 42);
    assert_eq!(message.granted_party(), Some("sip:a@b.com"));
    assert_eq!(message.audio_ssrc(), Some(0xdead_beef));
    assert_eq!(message.field(field::PERMISSION), Some(&[0, 1][..]));
    assert_eq!(message.sequence(), None);
    assert_eq!(message.check_fields(), Ok(()));
}

#[test]
fn writes_what_it_reads() {
    let built = Builder::floor(FloorKind::Taken, 42)
        .wants_ack()
        .granted_party("sip:a@b.com")
        .permission_to_request(true)
        .audio_ssrc(0xdead_beef)
        .finish();
    assert_eq!(built, TAKEN);
}

#[test]
fn several_messages_share_a_datagram() {
    let mut datagram = Builder::floor(FloorKind::Release, 1).finish();
    datagram.extend_from_slice(&TAKEN);
    datagram.extend(Builder::new(Name::Mcv1, 6, 3).finish());
    let labels: Vec<_> = messages(&datagram)
        .map(|message| message.unwrap().label().unwrap())
        .collect();
    let expected = [
        "Floor Release",
        "Floor Taken",
        "Media Transmission Notification",
    ];
    assert_eq!(labels, expected);
}

#[test]
fn an_error_ends_the_walk() {
    let mut datagram = TAKEN.to_vec();
    datagram.extend_from_slice(&TAKEN[..39]);
    let walked: Vec<_> = messages(&datagram).collect();
    assert_eq!(walked.len(), 2);
    assert_eq!(walked[1], Err(Error::Truncated));
    assert_eq!(messages(&[]).next(), None);
}

#[test]
fn refuses_what_is_not_app() {
    let mut other = TAKEN;
    other[1] = 200;
    assert_eq!(Message::new_checked(&other), Err(Error::PacketType(200)));
    other[0] = 0x12;
    assert_eq!(Message::new_checked(&other), Err(Error::Version));
    let lying = [0x80, 204, 0, 1, 0, 0, 0, 1, b'M', b'C', b'P', b'T'];
    assert_eq!(Message::new_checked(&lying), Err(Error::Truncated));
}

#[test]
fn unknown_fields_are_passed_over() {
    let message = Builder::floor(FloorKind::Granted, 7)
        .field(150, b"future")
        .field(200, &[9; 300])
        .duration_secs(30)
        .finish();
    let message = Message::new_checked(&message).unwrap();
    assert_eq!(message.duration_secs(), Some(30));
    assert_eq!(message.field(200).unwrap().len(), 300);
}

#[test]
fn a_field_that_runs_over_is_named() {
    let mut bytes = TAKEN;
    bytes[33] = 7;
    let message = Message::new_checked(&bytes).unwrap();
    assert_eq!(message.check_fields(), Err(Error::Field(14)));
    assert_eq!(message.granted_party(), Some("sip:a@b.com"));
    assert_eq!(message.audio_ssrc(), None);
}

#[test]
fn what_cannot_be_stated_is_left_out() {
    let message = Builder::floor(FloorKind::Taken, 1)
        .user_id(&"x".repeat(256))
        .field(200, &vec![0; 70_000])
        .finish();
    assert_eq!(message.len(), 12);
}

#[test]
fn subtypes_and_names_agree() {
    for subtype in 0..16 {
        if let Some(kind) = FloorKind::from_subtype(subtype) {
            assert_eq!(kind.subtype(), subtype);
        }
    }
    assert_eq!(kind::label(Name::Mcpt, 13), None);
    assert_eq!(kind::label(Name::Mcv0, 1), None);
    assert_eq!(kind::label(Name::Mcv0, 8).unwrap().len(), 34);
    assert_eq!(Name::from_octets(*b"MCCP"), Name::Mcmc);
    assert_eq!(Name::from_octets(*b"a\0bc").to_string(), r"a\x00bc");
}

proptest! {
    #[test]
    fn never_panics(datagram in vec(any::<u8>(), 0..400)) {
        walk(&datagram);
    }

    #[test]
    fn never_panics_behind_a_good_header(body in vec(any::<u8>(), 0..64), subtype in 0u8..32) {
        let mut datagram = Builder::new(Name::Mcpt, subtype, 1).finish();
        datagram.extend(&body);
        datagram.resize(datagram.len().next_multiple_of(4), 0);
        datagram[3] = u8::try_from(datagram.len() / 4 - 1).unwrap();
        walk(&datagram);
    }

    #[test]
    fn fields_round_trip(
        fields in vec((any::<u8>(), vec(any::<u8>(), 0..256)), 0..8),
        ssrc: u32,
        subtype in 0u8..16,
    ) {
        let built = fields
            .iter()
            .filter(|(id, value)| *id >= 192 || value.len() < 256)
            .fold(Builder::new(Name::Mcv2, subtype, ssrc), |built, (id, value)| {
                built.field(*id, value)
            })
            .finish();
        let message = Message::new_checked(&built).unwrap();
        prop_assert_eq!(message.as_bytes().len(), built.len());
        prop_assert_eq!((message.ssrc(), message.subtype()), (ssrc, subtype));
        prop_assert_eq!(message.check_fields(), Ok(()));
        let read: Vec<_> = message.fields().map(|f| (f.id, f.value.to_vec())).collect();
        prop_assert_eq!(read, fields);
    }
}

/// Reads all that can be read of a datagram.
fn walk(datagram: &[u8]) {
    for message in messages(datagram).flatten() {
        let _ = (message.floor(), message.label(), message.name().to_string());
        let _ = (
            message.granted_party(),
            message.user_id(),
            message.functional_alias(),
        );
        let _ = (
            message.audio_ssrc(),
            message.priority(),
            message.duration_secs(),
        );
        let _ = (
            message.sequence(),
            message.indicator(),
            message.reject_cause(),
        );
        let _ = message.check_fields();
        assert!(message.fields().count() <= datagram.len());
    }
}
