//! The whole logger over real loopback sockets.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crossbeam::channel::Receiver;

use super::fault::Faults;
use super::service::{Handle, LoggerError, MirrorKey, Options, Recording, Service, Settings};
use crate::store::index::Index;
use crate::sys::clock::Clock;
use crate::wire::block::{
    CallInfo, Codec, Direction, MediaKind, PartyInfo, StreamInfo, StreamKind,
};
use crate::wire::pcapng::{Block, Reader, udp};
use crate::wire::time::Timestamp;

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Far more than anything here takes, on any machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn settings(dir: &Path) -> Settings {
    Settings {
        dir: dir.to_owned(),
        bind: LOCALHOST,
        ports: (0, 0),
        relays: vec![LOCALHOST],
        bind_all: false,
        close_grace: Duration::from_millis(100),
        block_bytes: 64 << 10,
        block_age: Duration::from_millis(20),
        segment_bytes: 1 << 20,
    }
}

fn start(dir: &Path) -> Service {
    Service::start(settings(dir), Clock::start()).unwrap()
}

fn key(mirror: u64) -> MirrorKey {
    MirrorKey {
        relay: "relay-1".into(),
        mirror,
    }
}

fn info(call_id: &str) -> CallInfo {
    CallInfo {
        call_id: call_id.into(),
        started: Timestamp::from_secs(1_795_369_080),
        relay_system: "partner.example".into(),
        primary_system: "primary.example".into(),
        parties: vec![PartyInfo {
            tag: "a".into(),
            primary_id: Some("sip:alice@primary.example".into()),
            migrated: true,
            ..PartyInfo::default()
        }],
        ..CallInfo::default()
    }
}

fn stream(number: u64, direction: Direction) -> StreamInfo {
    StreamInfo {
        stream: number,
        from_tag: "a".into(),
        direction,
        media_index: 1,
        media: MediaKind::Audio,
        kind: StreamKind::Rtp,
        local: SocketAddr::from(([192, 0, 2, 5], 30_000 + u16::try_from(number).unwrap())),
        remote: Some(SocketAddr::from(([198, 51, 100, 7], 40_000))),
        codecs: vec![Codec {
            payload_type: 8,
            encoding: "PCMA/8000".into(),
            fmtp: String::new(),
        }],
    }
}

fn rtp(ssrc: u32, sequence: u16) -> Vec<u8> {
    let mut packet = vec![0x80, 8];
    packet.extend(sequence.to_be_bytes());
    packet.extend((u32::from(sequence) * 160).to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend((0..160u16).map(|n| u8::try_from((n + sequence) % 251).unwrap()));
    packet
}

fn sender() -> UdpSocket {
    UdpSocket::bind((LOCALHOST, 0)).unwrap()
}

/// What a recording holds: payloads by interface name, with their packet ids. Announcements have
/// no id, since they were not received. A stream is in the order of its socket; its times are too,
/// but for the first packets of a host, which the kernel may stamp late.
fn read(path: &Path) -> BTreeMap<String, Vec<(u64, Vec<u8>)>> {
    let file = fs::read(path).unwrap();
    let mut reader = Reader::new(file.as_slice());
    let (mut names, mut found) = (Vec::new(), BTreeMap::new());
    while let Some(block) = reader.next_block().unwrap() {
        match block {
            Block::Interface(interface) => names.push(interface.name()),
            Block::Packet(packet) => {
                let datagram = udp::parse(packet.data).unwrap();
                assert!(datagram.checksums_hold);
                let name = names[usize::try_from(packet.interface).unwrap()].clone();
                let Some(id) = packet.id() else {
                    assert_eq!(
                        datagram.destination.port(),
                        9_875,
                        "only announcements have no id"
                    );
                    continue;
                };
                let entry: &mut Vec<_> = found.entry(name).or_default();
                assert!(entry.last().is_none_or(|(last, _)| *last < id));
                entry.push((id, datagram.payload.to_vec()));
            }
            Block::Section(_) | Block::Other(_) => {}
        }
    }
    found
}

fn payloads(path: &Path) -> Vec<Vec<u8>> {
    let all = read(path).into_values().flatten();
    all.map(|(_, payload)| payload).collect()
}

fn next(recordings: &Receiver<Recording>) -> Recording {
    recordings.recv_timeout(PATIENCE).unwrap()
}

/// Waits, for something that will certainly happen.
fn until(what: &str, mut happened: impl FnMut() -> bool) {
    let (waits, step) = (6_000, Duration::from_millis(10));
    for _ in 0..waits {
        if happened() {
            return;
        }
        let _ = crossbeam::channel::after(step).recv();
    }
    panic!("{what} has not happened");
}

fn stored(service: &Service, packets: u64) {
    until("storing", || service.stats().stored >= packets);
}

/// One call with one stream of `count` packets, sent and stored but not closed.
fn one_call(service: &Service, mirror: u64, count: u16) -> Vec<Vec<u8>> {
    let handle = service.handle();
    handle.open(key(mirror), info(&format!("call-{mirror}")));
    let to = handle
        .attach(&key(mirror), stream(1, Direction::FromUser), 0)
        .unwrap();
    let before = service.stats().stored;
    let socket = sender();
    let sent: Vec<_> = (0..count).map(|n| rtp(7, n)).collect();
    for packet in &sent {
        socket.send_to(packet, to).unwrap();
    }
    stored(service, before + u64::from(count));
    sent
}

#[test]
fn a_call_becomes_a_recording_byte_for_byte() {
    let dir = tempfile::tempdir().unwrap();
    let service = start(dir.path());
    let (handle, socket) = (service.handle(), sender());
    handle.open(key(1), info("a@b"));
    let to = [
        handle
            .attach(&key(1), stream(1, Direction::FromUser), 0)
            .unwrap(),
        handle
            .attach(&key(1), stream(2, Direction::ToUser), 0)
            .unwrap(),
    ];
    let mut sent = [Vec::new(), Vec::new()];
    for n in 0..100 {
        for side in 0..2 {
            let packet = rtp(u32::try_from(side).unwrap() + 1, n);
            socket.send_to(&packet, to[side]).unwrap();
            sent[side].push((u64::from(n), packet));
        }
    }
    stored(&service, 200);
    handle.close(&key(1));
    let recording = next(&service.recordings());
    assert_eq!((recording.packets, recording.lost), (200, 0));
    assert_eq!((recording.key, recording.incomplete), (key(1), false));
    let name = recording.path.file_name().unwrap().to_str().unwrap();
    assert_eq!(name, "a@b-1.pcapng");
    let found = read(&recording.path);
    let [from, to] = sent;
    assert_eq!(found["from-user audio sip:alice@primary.example"], from);
    assert_eq!(found["to-user audio sip:alice@primary.example"], to);
    assert_eq!(
        handle
            .attach(&key(1), stream(3, Direction::Both), 0)
            .map_err(|e| e.to_string()),
        Err(LoggerError::UnknownMirror(key(1)).to_string())
    );
    tshark_sees_two_streams(&recording.path);
    service.stop();
}

fn tshark_sees_two_streams(path: &Path) {
    let mut tshark = Command::new("tshark");
    tshark
        .args([
            "-o",
            "rtp.heuristic_rtp:TRUE",
            "-q",
            "-z",
            "rtp,streams",
            "-r",
        ])
        .arg(path);
    let Ok(output) = tshark.output() else {
        println!("SKIP: tshark is not installed");
        return;
    };
    let text = String::from_utf8_lossy(&output.stdout);
    for ssrc in ["0x00000001", "0x00000002"] {
        let line = text
            .lines()
            .find(|line| line.contains(ssrc))
            .expect("a stream");
        assert!(
            line.contains("g711A") && line.contains("100     0 (0.0%)"),
            "{text}"
        );
    }
}

#[test]
fn faults_show_in_the_recording() {
    for (faults, packets, lost) in [
        (Faults { drop: 2, alter: 0 }, 48, 2),
        (Faults { drop: 0, alter: 3 }, 50, 0),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let options = Options {
            faults,
            ..Options::default()
        };
        let service = Service::start_with(settings(dir.path()), Clock::start(), options).unwrap();
        let handle = service.handle();
        handle.open(key(1), info("x"));
        let to = handle
            .attach(&key(1), stream(1, Direction::FromUser), 0)
            .unwrap();
        let (socket, sent) = (sender(), Vec::from_iter((0..50).map(|n| rtp(1, n))));
        for packet in &sent {
            socket.send_to(packet, to).unwrap();
        }
        stored(&service, packets);
        handle.close(&key(1));
        let recording = next(&service.recordings());
        assert_eq!((recording.packets, recording.lost), (packets, lost));
        let found = payloads(&recording.path);
        let unchanged = found.iter().filter(|packet| sent.contains(packet)).count() as u64;
        assert_eq!(unchanged, packets - faults.alter);
        service.stop();
    }
}

#[test]
fn strangers_are_ignored_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = settings(dir.path());
    settings.relays = vec![IpAddr::from([127, 0, 0, 2])];
    let service = Service::start(settings, Clock::start()).unwrap();
    let handle = service.handle();
    handle.open(key(1), info("x"));
    let to = handle
        .attach(&key(1), stream(1, Direction::FromUser), 0)
        .unwrap();
    sender().send_to(&rtp(1, 1), to).unwrap();
    let relay = UdpSocket::bind(("127.0.0.2", 0)).unwrap();
    relay.send_to(&rtp(2, 1), to).unwrap();
    stored(&service, 1);
    until("counting", || service.stats().strangers == 1);
    handle.close(&key(1));
    let recording = next(&service.recordings());
    assert_eq!(payloads(&recording.path), [rtp(2, 1)]);
    service.stop();
}

#[test]
fn late_packets_are_taken_for_the_grace_time_and_the_port_is_freed() {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = settings(dir.path());
    settings.close_grace = Duration::from_millis(700);
    let service = Service::start(settings, Clock::start()).unwrap();
    let handle = service.handle();
    handle.open(key(1), info("x"));
    let to = handle
        .attach(&key(1), stream(1, Direction::FromUser), 0)
        .unwrap();
    handle.close(&key(1));
    sender().send_to(&rtp(1, 1), to).unwrap();
    let recording = next(&service.recordings());
    assert_eq!(recording.packets, 1);
    until("freeing the port", || UdpSocket::bind(to).is_ok());
    service.stop();
}

#[test]
fn a_port_passes_from_one_stream_to_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = settings(dir.path());
    settings.close_grace = Duration::from_secs(3_600);
    let service = Service::start(settings, Clock::start()).unwrap();
    let (handle, socket) = (service.handle(), sender());
    let mut port = 0;
    for mirror in 0..3u16 {
        handle.open(key(mirror.into()), info("x"));
        let to = handle
            .attach(&key(mirror.into()), stream(1, Direction::FromUser), port)
            .unwrap();
        port = to.port();
        socket.send_to(&rtp(1, mirror), to).unwrap();
        stored(&service, u64::from(mirror) + 1);
        handle.detach(&key(mirror.into()), 1);
        handle.close(&key(mirror.into()));
    }
    let recordings = service.recordings();
    // Nobody waits an hour for a service that stops.
    service.stop();
    let mut found: Vec<_> = recordings.try_iter().collect();
    found.sort_by_key(|recording| recording.key.mirror);
    assert_eq!(found.len(), 3);
    for (mirror, recording) in (0..).zip(&found) {
        assert_eq!(payloads(&recording.path), [rtp(1, mirror)]);
    }
}

#[test]
fn hostile_call_ids_stay_in_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    let service = start(dir.path());
    let handle = service.handle();
    let long = "x".repeat(300);
    let ids = [
        "../../x",
        "..",
        "",
        "a\0b",
        "/etc/passwd",
        "same",
        "same",
        long.as_str(),
    ];
    // Relays number their mirrors on their own: the same number is no wonder.
    for (relay, id) in ids.iter().enumerate() {
        let key = MirrorKey {
            relay: relay.to_string(),
            mirror: 1,
        };
        handle.open(key.clone(), info(id));
        handle.close(&key);
    }
    let mut paths: Vec<PathBuf> = ids
        .iter()
        .map(|_| next(&service.recordings()).path)
        .collect();
    for path in &paths {
        let parent = path.parent().unwrap().parent().unwrap();
        assert_eq!(parent, dir.path().join("recordings"));
        assert!(path.is_file());
    }
    paths.sort();
    paths.dedup();
    assert_eq!(paths.len(), ids.len());
    service.stop();
}

#[test]
fn a_killed_logger_leaves_calls_that_the_next_start_records() {
    let dir = tempfile::tempdir().unwrap();
    let service = start(dir.path());
    let sent = one_call(&service, 1, 50);
    let closed = one_call(&service, 2, 5);
    service.handle().close(&key(2));
    next(&service.recordings());
    drop(service);
    // A block that was not written to its end.
    let segment = dir.path().join("archive/00000001.seg");
    let mut torn = fs::read(&segment).unwrap();
    let whole = torn.len() as u64;
    torn.extend_from_within(..150);
    fs::write(&segment, &torn).unwrap();

    let service = start(dir.path());
    let recording = next(&service.recordings());
    assert_eq!((recording.key, recording.incomplete), (key(1), true));
    assert_eq!(payloads(&recording.path), sent);
    assert_eq!(service.stats().torn_octets, 150);
    assert_eq!(fs::metadata(&segment).unwrap().len(), whole);
    drop(closed);
    service.stop();

    // Once made, recordings are not made again, whatever happens to the index.
    fs::remove_file(dir.path().join("index.sqlite")).unwrap();
    let service = start(dir.path());
    let recordings = service.recordings();
    service.stop();
    let again: Vec<_> = recordings
        .try_iter()
        .map(|recording| recording.key)
        .collect();
    assert!(again.iter().all(|key| key.mirror == 2), "{again:?}");
    let mut names = Vec::new();
    for day in fs::read_dir(dir.path().join("recordings")).unwrap() {
        names.extend(fs::read_dir(day.unwrap().path()).unwrap());
    }
    assert_eq!(names.len(), 2);
}

#[test]
fn a_broken_index_is_moved_aside_and_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let service = start(dir.path());
    one_call(&service, 1, 5);
    service.stop();
    let path = dir.path().join("index.sqlite");
    let before = Index::open(&path).unwrap().latest(9).unwrap();
    assert_eq!(before.len(), 1);
    assert_eq!(before[0].streams.values().next().unwrap().packets, Some(5));
    assert!(before[0].recording.is_some());
    fs::write(&path, vec![1; 10_000]).unwrap();
    let service = start(dir.path());
    service.stop();
    assert_eq!(Index::open(&path).unwrap().latest(9).unwrap(), before);
    let names = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    let aside = names.filter(|name| name.to_str().unwrap().contains("broken"));
    assert_eq!(aside.count(), 1);
}

#[test]
fn two_hundred_calls_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let service = start(dir.path());
    let (handle, socket) = (service.handle(), sender());
    let ports: Vec<_> = (0..200)
        .map(|mirror| {
            handle.open(key(mirror), info(&format!("call-{mirror}")));
            handle
                .attach(&key(mirror), stream(1, Direction::FromUser), 0)
                .unwrap()
        })
        .collect();
    for n in 0..20u16 {
        for (ssrc, to) in (0..).zip(&ports) {
            socket.send_to(&rtp(ssrc, n), to).unwrap();
        }
    }
    stored(&service, 4_000);
    for mirror in 0..200 {
        handle.close(&key(mirror));
    }
    let recordings = service.recordings();
    service.stop();
    let mut found: Vec<_> = recordings.try_iter().collect();
    assert_eq!(found.len(), 200);
    found.sort_by_key(|recording| recording.key.mirror);
    for (ssrc, recording) in (0..).zip(&found) {
        let expected: Vec<_> = (0..20).map(|n| rtp(ssrc, n)).collect();
        assert_eq!((recording.lost, payloads(&recording.path)), (0, expected));
    }
}

#[test]
fn a_logger_that_stands_alone_records_what_nobody_announced() {
    let dir = tempfile::tempdir().unwrap();
    let free = UdpSocket::bind((LOCALHOST, 0))
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
        & !1;
    let mut settings = settings(dir.path());
    (settings.bind_all, settings.ports) = (true, (free, free + 1));
    let options = Options {
        silence: Duration::from_millis(300),
        ..Options::default()
    };
    let Ok(service) = Service::start_with(settings, Clock::start(), options) else {
        println!("SKIP: the port pair is taken");
        return;
    };
    let (handle, socket) = (service.handle(), sender());
    let to = SocketAddr::from((LOCALHOST, free));
    socket.send_to(&rtp(1, 1), to).unwrap();
    socket
        .send_to(&[0x80, 200, 0, 1, 0, 0, 0, 1], (LOCALHOST, free + 1))
        .unwrap();
    let recording = next(&service.recordings());
    assert_eq!(recording.info.call_id, format!("unattributed-{free}-0"));
    assert_eq!(recording.packets, 2);
    handle.open(key(1), info("announced"));
    handle
        .attach(&key(1), stream(1, Direction::FromUser), free)
        .unwrap();
    socket.send_to(&rtp(1, 2), to).unwrap();
    stored(&service, 3);
    handle.close(&key(1));
    let recording = next(&service.recordings());
    assert_eq!((recording.key, recording.packets), (key(1), 1));
    let outside = handle.attach(&key(1), stream(1, Direction::FromUser), free + 2);
    assert!(outside.is_err());
    service.stop();
}

#[test]
fn ipv6_and_datagrams_of_any_size() {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = settings(dir.path());
    let localhost = IpAddr::V6(Ipv6Addr::LOCALHOST);
    (settings.bind, settings.relays) = (localhost, vec![localhost]);
    let Ok(socket) = UdpSocket::bind((localhost, 0)) else {
        println!("SKIP: no IPv6");
        return;
    };
    let service = Service::start(settings, Clock::start()).unwrap();
    let handle = service.handle();
    handle.open(key(1), info("x"));
    let mut stream = stream(1, Direction::FromUser);
    (stream.kind, stream.media, stream.remote) = (StreamKind::Datagram, MediaKind::Floor, None);
    let to = handle.attach(&key(1), stream, 0).unwrap();
    let sent = [
        vec![],
        vec![0],
        vec![0x80, 204, 0, 2],
        vec![7; 9_000],
        vec![9; 65_507],
    ];
    for (n, packet) in (1..).zip(&sent) {
        socket.send_to(packet, to).unwrap();
        stored(&service, n);
    }
    handle.close(&key(1));
    let recording = next(&service.recordings());
    assert_eq!(payloads(&recording.path), sent);
    service.stop();
}

#[test]
fn handles_outlive_the_service_harmlessly() {
    let dir = tempfile::tempdir().unwrap();
    let service = start(dir.path());
    let handle: Handle = service.handle();
    service.stop();
    handle.open(key(1), info("x"));
    handle.detach(&key(1), 3);
    handle.close(&key(1));
    handle.close(&key(2));
    drop(handle);
    start(dir.path()).stop();
}

#[test]
fn a_full_disk_is_waited_out() {
    let dir = tempfile::tempdir().unwrap();
    let disk = dir.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let mount = |args: &[&str]| Command::new("mount").args(args).arg(&disk).status();
    if !mount(&["-t", "tmpfs", "-o", "size=2m", "tmpfs"]).is_ok_and(|status| status.success()) {
        println!("SKIP: cannot mount a small file system (not root)");
        return;
    }
    let service = start(&disk);
    let filler = disk.join("filler");
    let _ = fs::write(&filler, vec![0; 4 << 20]);
    let handle = service.handle();
    handle.open(key(1), info("x"));
    let to = handle
        .attach(&key(1), stream(1, Direction::FromUser), 0)
        .unwrap();
    let socket = sender();
    socket.send_to(&rtp(1, 0), to).unwrap();
    until("an error", || service.stats().write_errors > 0);
    assert_eq!(service.stats().stored, 0);
    fs::remove_file(&filler).unwrap();
    stored(&service, 1);
    handle.close(&key(1));
    let recording = next(&service.recordings());
    assert_eq!(payloads(&recording.path), [rtp(1, 0)]);
    service.stop();
    let unmounted = Command::new("umount").arg(&disk).status().unwrap();
    assert!(unmounted.success());
}
