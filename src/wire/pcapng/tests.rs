use std::net::SocketAddr;
use std::process::Command;

use proptest::prelude::*;

use super::*;
use crate::wire::time::Timestamp;

const T0: u64 = 1_795_369_080_123_456_789;

fn v4(port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], port))
}

fn v6(port: u16) -> SocketAddr {
    SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, 9], port))
}

fn sample() -> Vec<u8> {
    let mut out = Vec::new();
    let comments = ["{\"call_id\":\"a\"}", "second"];
    write::section(
        &mut out,
        &Section {
            application: "homeward",
            comments: &comments,
        },
    );
    for name in ["from-user", "to-user"] {
        let description = "stream";
        write::interface(
            &mut out,
            &Interface {
                name,
                description,
                comments: &[],
            },
        );
    }
    let mut data = Vec::new();
    for n in 0..4u8 {
        let (from, to) = if n % 2 == 0 {
            (v4(1000), v4(2000))
        } else {
            (v6(1000), v6(2000))
        };
        assert!(udp::packet(&mut data, from, to, &rtp(n)));
        write::packet(
            &mut out,
            &Packet {
                interface: u32::from(n % 2),
                time: Timestamp::from_nanos(T0 + u64::from(n)),
                id: Some(u64::from(n) << 40),
                data: &data,
                comments: if n == 3 { &["late"] } else { &[] },
            },
        );
    }
    out
}

fn rtp(n: u8) -> Vec<u8> {
    let mut packet = vec![0x80, 0, 0, n / 2, 0, 0, n / 2, 0, 0, 0, 0, n % 2];
    packet.extend_from_slice(&vec![n; 7 + usize::from(n)]);
    packet
}

/// What a reader can see of a file; the number of packets read before an error, if there is one.
fn drain(file: &[u8]) -> Result<usize, usize> {
    let mut reader = Reader::new(file);
    let mut packets = 0;
    loop {
        match reader.next_block() {
            Ok(Some(Block::Packet(packet))) => {
                packet.options.comments();
                packet.id();
                udp::parse(packet.data);
                packets += 1;
            }
            Ok(Some(Block::Interface(interface))) => drop(interface.name()),
            Ok(Some(Block::Section(_) | Block::Other(_))) => {}
            Ok(None) => return Ok(packets),
            Err(_) => return Err(packets),
        }
    }
}

#[test]
fn reads_back_what_was_written() {
    let file = sample();
    let mut reader = Reader::new(file.as_slice());
    let Some(Block::Section(options)) = reader.next_block().unwrap() else {
        panic!("no section");
    };
    assert_eq!(options.comments(), ["{\"call_id\":\"a\"}", "second"]);
    for (index, name) in [(0, "from-user"), (1, "to-user")] {
        let Some(Block::Interface(interface)) = reader.next_block().unwrap() else {
            panic!("no interface");
        };
        assert_eq!((interface.index, interface.name().as_str()), (index, name));
        assert_eq!(interface.description(), "stream");
        assert_eq!(interface.link_type, LINKTYPE_RAW);
    }
    for n in 0..4u8 {
        let Some(Block::Packet(packet)) = reader.next_block().unwrap() else {
            panic!("no packet");
        };
        assert_eq!(packet.interface, u32::from(n % 2));
        assert_eq!(packet.time.nanos(), T0 + u64::from(n));
        assert_eq!(packet.id(), Some(u64::from(n) << 40));
        let datagram = udp::parse(packet.data).unwrap();
        assert!(datagram.checksums_hold);
        assert_eq!(datagram.payload, rtp(n));
        assert_eq!(
            (datagram.source.port(), datagram.destination.port()),
            (1000, 2000)
        );
        assert_eq!(packet.options.comments().len(), usize::from(n == 3));
    }
    assert!(reader.next_block().unwrap().is_none());
}

#[test]
fn a_second_section_can_be_appended() {
    let mut file = sample();
    file.extend(sample());
    assert_eq!(drain(&file), Ok(8));
}

#[test]
fn a_torn_file_gives_its_whole_blocks() {
    let file = sample();
    for end in 0..file.len() {
        let whole = drain(&file[..end]).unwrap_or_else(|read| read);
        assert!(whole < 4, "{end}");
    }
    assert_eq!(drain(&file[..file.len() - 1]), Err(3));
}

#[test]
fn big_endian_and_resolutions() {
    fn block(kind: u32, body: &[u8]) -> Vec<u8> {
        let total = u32::try_from(body.len() + 12).unwrap().to_be_bytes();
        [&kind.to_be_bytes(), &total, body, &total].concat()
    }
    let header = [
        &BYTE_ORDER_MAGIC.to_be_bytes()[..],
        &[0, 1, 0, 0],
        &[0xFF; 8],
    ]
    .concat();
    // Resolution, ticks, nanoseconds: microseconds by default, then 10^-3, 2^-10, 10^-12.
    let cases: [(&[u8], u64, u64); 5] = [
        (&[], 5_000_001, 5_000_001_000),
        (&[0, 9, 0, 1, 3, 0, 0, 0], 2_500, 2_500_000_000),
        (&[0, 9, 0, 1, 0x8A, 0, 0, 0], 1_536, 1_500_000_000),
        (&[0, 9, 0, 1, 12, 0, 0, 0], 7_000_123, 7_000),
        (&[0, 14, 0, 8, 0, 0, 0, 0, 0, 0, 0, 2], 1, 2_000_001_000),
    ];
    for (option, ticks, nanos) in cases {
        let mut file = block(SECTION_HEADER, &header);
        let interface = [&[0, 101, 0, 0, 0, 0, 0, 0], option].concat();
        file.extend(block(INTERFACE_DESCRIPTION, &interface));
        let packet = [
            &[0; 4][..],
            &ticks.to_be_bytes(),
            &[0, 0, 0, 3],
            &[0, 0, 0, 9],
            &[1, 2, 3, 0],
        ];
        file.extend(block(ENHANCED_PACKET, &packet.concat()));
        let mut reader = Reader::new(file.as_slice());
        reader.next_block().unwrap();
        reader.next_block().unwrap();
        let Some(Block::Packet(packet)) = reader.next_block().unwrap() else {
            panic!("no packet");
        };
        assert_eq!(packet.time.nanos(), nanos);
        assert_eq!((packet.data, packet.original_len), (&[1, 2, 3][..], 9));
    }
}

#[test]
fn hostile_lengths_are_refused() {
    let good = sample();
    for length in [0u32, 4, 8, 11, 13, 1 << 25, u32::MAX, u32::MAX - 3] {
        let mut file = good.clone();
        file[4..8].copy_from_slice(&length.to_le_bytes());
        assert_eq!(drain(&file), Err(0), "{length}");
    }
    assert_eq!(drain(b"GET / HTTP/1.1\r\n\r\n"), Err(0));
    // A packet before any interface, and one whose captured length is beyond its block.
    let mut file = Vec::new();
    write::section(&mut file, &Section::default());
    let packet = Packet {
        interface: 0,
        time: Timestamp::from_nanos(0),
        id: None,
        data: &[1, 2, 3, 4],
        comments: &[],
    };
    let mut early = file.clone();
    write::packet(&mut early, &packet);
    assert_eq!(drain(&early), Err(0));
    write::interface(&mut file, &Interface::default());
    let start = file.len();
    write::packet(&mut file, &packet);
    assert_eq!(drain(&file), Ok(1));
    file[start + 20..start + 24].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(drain(&file), Err(0));
}

#[test]
fn headers_are_total_over_the_size() {
    let mut out = Vec::new();
    let payload = vec![0xA5; MAX + 1];
    const MAX: usize = udp::MAX_PAYLOAD_V6;
    for size in [0, 1, 2, 3, 1_472, udp::MAX_PAYLOAD_V4] {
        for (from, to) in [(v4(1), v4(2)), (v6(1), v6(2)), (v4(1), v6(2))] {
            assert!(udp::packet(&mut out, from, to, &payload[..size]));
            let datagram = udp::parse(&out).unwrap();
            assert!(datagram.checksums_hold);
            assert_eq!(datagram.payload, &payload[..size]);
        }
    }
    assert!(!udp::packet(
        &mut out,
        v4(1),
        v4(2),
        &payload[..udp::MAX_PAYLOAD_V4 + 1]
    ));
    assert!(udp::packet(&mut out, v6(1), v6(2), &payload[..MAX]));
    assert!(!udp::packet(&mut out, v6(1), v6(2), &payload));
    assert!(out.is_empty());
}

#[test]
fn checksum_errors_show() {
    let mut out = Vec::new();
    for (from, to) in [(v4(1), v4(2)), (v6(1), v6(2))] {
        udp::packet(&mut out, from, to, b"payload");
        let last = out.len() - 1;
        out[last] ^= 1;
        assert!(!udp::parse(&out).unwrap().checksums_hold);
    }
}

/// RFC 1071: the sum of these words is known; a checksum that comes out zero is sent as ones.
#[test]
fn zero_checksum_is_sent_as_ones() {
    let mut out = Vec::new();
    let (from, to) = (v4(0), v4(0));
    udp::packet(&mut out, from, to, &[0, 0]);
    let checksum = u16::from_be_bytes([out[26], out[27]]);
    udp::packet(&mut out, from, to, &checksum.to_be_bytes());
    assert_eq!(out[26..28], [0xFF, 0xFF]);
    assert!(udp::parse(&out).unwrap().checksums_hold);
}

#[test]
fn long_comments_are_split_and_bounded() {
    let long = "ä".repeat(100_000);
    let many = vec![long.as_str(); 100];
    let mut file = Vec::new();
    write::section(
        &mut file,
        &Section {
            application: &long,
            comments: &many[..1],
        },
    );
    let mut reader = Reader::new(file.as_slice());
    let Some(Block::Section(options)) = reader.next_block().unwrap() else {
        panic!("no section");
    };
    assert_eq!(options.comments().concat(), long);
    file.clear();
    write::section(
        &mut file,
        &Section {
            application: "",
            comments: &many,
        },
    );
    assert_eq!(drain(&file), Ok(0));
}

#[test]
fn tshark_agrees() {
    if Command::new("tshark").arg("--version").output().is_err() {
        println!("SKIP: tshark is not installed");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sample.pcapng");
    std::fs::write(&path, sample()).unwrap();
    let fields = "frame.time_epoch frame.interface_name ip.checksum.status udp.checksum.status \
                  frame.comment udp.payload";
    let mut command = Command::new("tshark");
    command.args([
        "-o",
        "ip.check_checksum:TRUE",
        "-o",
        "udp.check_checksum:TRUE",
    ]);
    command.arg("-r").arg(&path).args(["-T", "fields"]);
    for field in fields.split_whitespace() {
        command.args(["-e", field]);
    }
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<_> = text.lines().collect();
    let payload: Vec<_> = rtp(3).iter().map(|octet| format!("{octet:02x}")).collect();
    assert_eq!(lines.len(), 4, "{text}");
    assert!(
        lines[0].starts_with("1795369080.123456789\tfrom-user\t1\t1\t\t"),
        "{text}"
    );
    let last = format!(
        "1795369080.123456792\tto-user\t\t1\tlate\t{}",
        payload.concat()
    );
    assert_eq!(lines[3], last);
}

proptest! {
    #[test]
    fn mutations_never_panic(at in 0usize..700, to in any::<u8>(), cut in 0usize..900) {
        let mut file = sample();
        let length = file.len();
        file[at % length] = to;
        file.truncate(cut);
        let _ = drain(&file);
    }

    #[test]
    fn any_input_is_taken(input in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = drain(&input);
        let mut file = sample();
        file.extend(&input);
        let _ = drain(&file);
        let _ = udp::parse(&input);
    }
}
