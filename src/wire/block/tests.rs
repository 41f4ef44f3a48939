use proptest::prelude::*;

use super::*;
use crate::wire::time::Timestamp;

const T0: u64 = 1_795_369_080_123_456_789;

fn at(nanos: u64) -> Timestamp {
    Timestamp::from_nanos(T0 + nanos)
}

fn gap(first: u64) -> Event {
    Event::Gap {
        id: 7,
        first,
        count: 3,
        reason: GapReason::Overflow,
    }
}

fn sample() -> Vec<u8> {
    let mut builder = Builder::new(1, 2, 64 << 10);
    builder.push_event(at(0), &gap(1)).unwrap();
    for n in 0..5u64 {
        builder
            .push_packet(n % 2, 10 + n / 2, at(n * 1000), &[0x80; 40])
            .unwrap();
    }
    builder.seal(Vec::new()).unwrap().bytes
}

#[test]
fn chain_and_identity() {
    let mut builder = Builder::new(u128::MAX, 3, 4_096);
    let mut blocks = Vec::new();
    for n in 0..200u64 {
        if builder.push_packet(9, n, at(n), &[1; 100]).is_err() {
            blocks.push(builder.seal(Vec::new()).unwrap());
            builder.push_packet(9, n, at(n), &[1; 100]).unwrap();
        }
    }
    blocks.push(builder.seal(Vec::new()).unwrap());
    assert!(builder.seal(Vec::new()).is_none());
    let (mut previous, mut expected) = ([0; 32], 0);
    for (sequence, sealed) in blocks.iter().enumerate() {
        let block = Block::parse(&sealed.bytes).unwrap();
        let header = block.header();
        assert_eq!(header, &sealed.header);
        assert_eq!(header.previous, previous);
        assert_eq!((header.epoch, header.stripe), (u128::MAX, 3));
        assert_eq!(header.sequence, sequence as u64);
        assert!(sealed.bytes.len() <= 4_096);
        assert_eq!(block.hash(), sealed.hash);
        previous = sealed.hash;
        for frame in block.frames() {
            let Ok(Frame::Packet(packet)) = frame else {
                panic!("{frame:?}");
            };
            assert_eq!(
                (packet.stream, packet.index, packet.time),
                (9, expected, at(expected))
            );
            expected += 1;
        }
    }
    assert_eq!(expected, 200);
}

#[test]
fn overhead_is_under_12_octets_for_a_known_stream() {
    let mut builder = Builder::new(0, 0, 4 << 20);
    let streams = 2_000;
    for stream in 0..streams {
        builder
            .push_packet(stream, u64::MAX / 2, at(0), &[0; 1_400])
            .unwrap_or_default();
    }
    let before = builder.len();
    let known: Vec<_> = builder.streams().take(20).collect();
    for (n, stream) in (1..).zip(&known) {
        // Each 20 ms after the one before.
        builder
            .push_packet(*stream, u64::MAX / 2 + 1, at(n * 20_000_000), &[0; 172])
            .unwrap();
    }
    assert!(builder.len() - before < known.len() * (172 + 12));
}

#[test]
fn large_frames_go_into_an_empty_block() {
    let mut builder = Builder::new(0, 0, 4_096);
    builder.push_packet(1, 0, at(0), &vec![1; 65_507]).unwrap();
    assert!(builder.push_packet(1, 1, at(0), &[]).is_err());
    builder.seal(Vec::new()).unwrap();
    let info = CallInfo {
        metadata: Some("x".repeat(MAX_EVENT)),
        ..CallInfo::default()
    };
    assert_eq!(
        builder.push_event(at(0), &Event::CallUpdate { call: 1, info }),
        Ok(false)
    );
    assert!(builder.is_empty());
}

#[test]
fn unknown_kinds_are_skipped() {
    // A form and an event kind of a later version, between two packets.
    let mut builder = Builder::new(0, 0, 4_096);
    builder.push_packet(1, 0, at(0), b"one").unwrap();
    let mut block = builder.seal(Vec::new()).unwrap();
    varint::put(&mut block.bytes, 5 | 77 << 3);
    varint::put(&mut block.bytes, 3);
    block.bytes.extend(b"???");
    varint::put(&mut block.bytes, 3 | 99 << 3);
    varint::put_signed(&mut block.bytes, 5);
    varint::put(&mut block.bytes, 2);
    block.bytes.extend(b"{}");
    varint::put(&mut block.bytes, 0);
    varint::put_signed(&mut block.bytes, 5);
    varint::put(&mut block.bytes, 3);
    block.bytes.extend(b"two");
    block.header.body_len = u32::try_from(block.bytes.len() - Header::LEN).unwrap();
    block.header.finish(&mut block.bytes);
    let frames: Vec<_> = Block::parse(&block.bytes)
        .unwrap()
        .frames()
        .map(Result::unwrap)
        .collect();
    let Frame::Event(event) = frames[1] else {
        panic!("{frames:?}");
    };
    assert_eq!((event.kind, event.decode().unwrap()), (99, None));
    let Frame::Packet(packet) = frames[2] else {
        panic!("{frames:?}");
    };
    assert_eq!(
        (packet.index, packet.time, packet.bytes),
        (1, at(10), &b"two"[..])
    );
}

#[test]
fn events_survive_and_unknown_members_are_ignored() {
    let block = sample();
    let frames: Vec<_> = Block::parse(&block)
        .unwrap()
        .frames()
        .map(Result::unwrap)
        .collect();
    assert_eq!(frames.len(), 6);
    let Frame::Event(event) = frames[0] else {
        panic!("{frames:?}");
    };
    assert_eq!(event.decode().unwrap(), Some(gap(1)));
    let json = br#"{"event":"gap","id":7,"first":1,"count":3,"reason":"new","more":[1]}"#;
    let later = RawEvent { json, ..event };
    assert!(matches!(
        later.decode(),
        Ok(Some(Event::Gap {
            reason: GapReason::Unknown,
            ..
        }))
    ));
    let bad = RawEvent {
        json: b"{",
        ..event
    };
    assert!(bad.decode().is_err());
}

#[test]
fn every_truncation_and_every_changed_octet_is_detected() {
    let good = sample();
    assert!(Block::parse(&good).is_ok());
    for end in 0..good.len() {
        assert_eq!(
            Block::parse(&good[..end]).err(),
            Some(BlockError::Truncated),
            "{end}"
        );
    }
    for place in 0..good.len() {
        let mut bad = good.clone();
        bad[place] ^= 1 << (place % 8);
        assert!(Block::parse(&bad).is_err(), "{place}");
    }
}

#[test]
fn hostile_bodies_with_a_right_checksum_end() {
    let mut builder = Builder::new(0, 0, 4_096);
    builder.push_packet(1, 0, at(0), b"x").unwrap();
    let sealed = builder.seal(Vec::new()).unwrap();
    let bodies: [&[u8]; 6] = [
        &[0],                                     // a packet of a slot never declared
        &[2, 1],                                  // a declaration cut off
        &[2, 1, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0x0F], // a length beyond the block
        &[0x80; 30],                              // a number without end
        &[3, 0, 5, b'{'],                         // an event cut off
        &[7, 0xFF, 0x01],                         // an unknown form cut off
    ];
    for body in bodies {
        let mut bytes = sealed.bytes[..Header::LEN].to_vec();
        bytes.extend(body);
        let mut header = sealed.header.clone();
        header.body_len = u32::try_from(body.len()).unwrap();
        header.finish(&mut bytes);
        let block = Block::parse(&bytes).unwrap();
        assert!(block.frames().any(|frame| frame.is_err()), "{body:?}");
    }
    let mut long = sealed.bytes;
    long[28..32].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(matches!(Block::parse(&long), Err(BlockError::TooLong(_))));
    long[4] = 9;
    assert_eq!(Block::parse(&long).err(), Some(BlockError::Version(9)));
}

proptest! {
    #[test]
    fn round_trip(packets in proptest::collection::vec(
        (0u64..6, any::<u64>(), any::<u64>(), proptest::collection::vec(any::<u8>(), 0..300)),
        1..60,
    )) {
        let mut builder = Builder::new(5, 6, 1 << 20);
        for (stream, index, time, bytes) in &packets {
            builder.push_packet(*stream, *index, Timestamp::from_nanos(*time), bytes).unwrap();
        }
        let sealed = builder.seal(Vec::new()).unwrap();
        let block = Block::parse(&sealed.bytes).unwrap();
        let frames: Vec<_> = block.frames().map(Result::unwrap).collect();
        prop_assert_eq!(frames.len(), packets.len());
        for (frame, (stream, index, time, bytes)) in frames.iter().zip(&packets) {
            let time = Timestamp::from_nanos(*time);
            let (stream, index) = (*stream, *index);
            prop_assert_eq!(frame, &Frame::Packet(PacketFrame { stream, index, time, bytes }));
        }
    }

    #[test]
    fn hostile_bodies(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut builder = Builder::new(0, 0, 4_096);
        builder.push_packet(1, 0, at(0), b"x").unwrap();
        let mut sealed = builder.seal(Vec::new()).unwrap();
        sealed.bytes.extend(&body);
        sealed.header.body_len = u32::try_from(sealed.bytes.len() - Header::LEN).unwrap();
        sealed.header.finish(&mut sealed.bytes);
        for frame in Block::parse(&sealed.bytes).unwrap().frames() {
            if let Ok(Frame::Event(event)) = frame {
                let _ = event.decode();
            }
        }
    }

    #[test]
    fn any_input_is_taken(input in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Block::parse(&input).is_err());
    }
}

/// The example of the manual is what the builder makes and the reader reads.
#[test]
fn the_worked_example_of_the_manual_is_true() {
    let page = include_str!("../../manual/block_format.rs");
    let rows = page.lines().filter_map(|line| line.strip_prefix("//! | `"));
    let octets: Vec<u8> = rows
        .flat_map(|row| row.split_once('`').unwrap().0.split(' '))
        .map(|octet| u8::from_str_radix(octet, 16).unwrap())
        .collect();
    let mut builder = Builder::new(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10, 2, 4_096);
    let time = Timestamp::from_nanos(1_000_000_000);
    builder
        .push_event(time, &Event::CallClose { call: 5 })
        .unwrap();
    builder
        .push_packet(300, 0, time + std::time::Duration::from_nanos(64), b"ab")
        .unwrap();
    builder.push_packet(300, 1, time, b"c").unwrap();
    builder.push_packet(300, 4, time, b"").unwrap();
    let block = builder.seal(Vec::new()).unwrap().bytes;
    let hex: Vec<_> = block.iter().map(|octet| format!("{octet:02x}")).collect();
    assert_eq!(octets, block, "{}", hex.join(" "));
}
