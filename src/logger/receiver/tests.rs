use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::time::Duration;

use crate::logger::service::{MirrorKey, Service, Settings};
use crate::sys::clock::Clock;
use crate::wire::block::{CallInfo, Direction, MediaKind, StreamInfo, StreamKind};

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// The grace time is for packets on the way; those that have arrived are the stream's however late
/// they are looked at.
#[test]
fn what_has_arrived_when_a_stream_ends_is_stored_without_any_grace() {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings {
        dir: dir.path().to_owned(),
        bind: LOCALHOST,
        ports: (0, 0),
        relays: vec![LOCALHOST],
        bind_all: false,
        close_grace: Duration::ZERO,
        block_bytes: 64 << 10,
        block_age: Duration::from_millis(20),
        segment_bytes: 1 << 20,
    };
    let service = Service::start(settings, Clock::start()).unwrap();
    let (handle, recordings) = (service.handle(), service.recordings());
    let sender = UdpSocket::bind((LOCALHOST, 0)).unwrap();
    let info = StreamInfo {
        stream: 1,
        from_tag: "a".into(),
        direction: Direction::FromUser,
        media_index: 1,
        media: MediaKind::Audio,
        kind: StreamKind::Datagram,
        local: sender.local_addr().unwrap(),
        remote: None,
        codecs: Vec::new(),
    };
    for mirror in 0..20 {
        let key = MirrorKey {
            relay: "relay-1".into(),
            mirror,
        };
        handle.open(key.clone(), CallInfo::default());
        let port = handle.attach(&key, info.clone(), 0).unwrap();
        for packet in 0..150_u8 {
            sender.send_to(&[packet; 20], port).unwrap();
        }
        handle.close(&key);
    }
    for _ in 0..20 {
        let recording = recordings.recv_timeout(Duration::from_secs(60)).unwrap();
        assert_eq!(recording.packets, 150, "{:?}", recording.key);
    }
    service.stop();
}
