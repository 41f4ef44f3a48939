//! The judges of the other tests tell good from bad.

use std::net::{Ipv4Addr, SocketAddr};

use crate::judge::{assert_stream, missing};
use crate::party::Heard;
use crate::speech::{decode, likeness};
use crate::talk::said;
use crate::{recording, skip};

/// Shows that the way recordings are judged here tells a whole one from one that lacks a packet.
#[test]
fn tshark_tells_whole_recordings_from_others() {
    let name = "tshark_tells_whole_recordings_from_others";
    if !skip::programs(name, &["tshark", "espeak-ng", "sox"]) {
        return;
    }
    let dir = tempfile::TempDir::new().unwrap();
    let [alice, bob] = said(4).map(|said| said.packets);
    let [whole, cut] = ["whole.pcapng", "cut.pcapng"].map(|name| dir.path().join(name));
    recording::write(&whole, &[&alice, &bob]);
    let mut less = bob.clone();
    less.remove(40);
    recording::write(&cut, &[&alice, &less]);
    let streams = recording::read(&whole);
    assert_eq!(streams.len(), 2);
    assert_stream(&streams[0], &alice);
    assert_stream(&streams[1], &bob);
    let streams = recording::read(&cut);
    assert_eq!((streams[1].packets, streams[1].lost), (bob.len() - 1, 1));
}

#[test]
fn likeness_tells_speeches_apart() {
    if skip::programs("likeness_tells_speeches_apart", &["espeak-ng", "sox"]) {
        let [alice, bob] = said(4).map(|said| said.speech);
        let dir = tempfile::TempDir::new().unwrap();
        let decoded = decode(&alice.coded, dir.path());
        assert!(likeness(&alice.samples, &decoded) > 0.95);
        assert!(likeness(&alice.samples, &decoded[1234..]) > 0.95);
        assert!(likeness(&alice.samples, &bob.samples) < 0.5);
    }
}

#[test]
fn an_outage_is_found_where_it_was() {
    if !skip::programs("an_outage_is_found_where_it_was", &["espeak-ng", "sox"]) {
        return;
    }
    let [alice, _] = said(4);
    let from = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
    let one = |bytes: &Vec<u8>| Heard {
        from,
        bytes: bytes.clone(),
    };
    let heard = |packets: &[Vec<u8>]| packets.iter().map(one).collect::<Vec<_>>();
    assert!(missing("all", &heard(&alice.packets), &alice).is_empty());
    let less = [&alice.packets[..50], &alice.packets[70..]].concat();
    assert_eq!(missing("some", &heard(&less), &alice), 50..70);
}
