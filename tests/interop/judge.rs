//! What is true of a good call and of its recordings.

use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;

use crate::party::{Heard, assert_heard};
use crate::process::wait_for;
use crate::recording::{self, Stream};
use crate::site::Site;
use crate::speech::{FRAME, FRAMES_A_SECOND, Speech, decode, likeness};
use crate::talk::{SSRC, Said};

/// Each heard every packet of the other, once and in order.
pub(crate) fn assert_both_heard(site: &Site, heard: &[Vec<Heard>; 2], said: &[Said; 2]) {
    let (first, last) = site.ports().media();
    let relay = first..last + 1;
    assert_heard("the callee", &heard[1], &said[0].packets, relay.clone());
    assert_heard("the caller", &heard[0], &said[1].packets, relay);
}

/// The packets that a party did not hear. Those must follow one another; all others it heard once
/// and in order, from one and the same port of the relay, and understood what was said.
pub(crate) fn missing(who: &str, heard: &[Heard], said: &Said) -> Range<usize> {
    let packets = &said.packets;
    let before = heard.iter().zip(packets);
    let before = before.take_while(|(a, b)| a.bytes == **b).count();
    let after = heard[before..].iter().rev().zip(packets.iter().rev());
    let after = after.take_while(|(a, b)| a.bytes == **b).count();
    let (got, sent) = (heard.len(), packets.len());
    assert_eq!(
        before + after,
        got,
        "{who} heard {got} packets of {sent}: {before} at first and {after} at last are right"
    );
    let from = heard[0].from;
    assert!(
        heard.iter().all(|heard| heard.from == from),
        "{who} heard several senders"
    );
    let missing = before..sent - after;
    let heard_of = [0..missing.start, missing.end..sent];
    for range in heard_of.into_iter().filter(|range| !range.is_empty()) {
        let part = said.speech.part(range.start, range.end);
        let place = if range.start == 0 { 0 } else { before };
        let heard = &heard[place..place + range.len()];
        let coded: Vec<u8> = heard
            .iter()
            .flat_map(|heard| payload(&heard.bytes).to_vec())
            .collect();
        assert_sounds_like(&part, &coded);
    }
    missing
}

/// The one recording of the site's one call, once it is closed.
pub(crate) fn one_recording(site: &Site) -> Vec<Stream> {
    let file = wait_for("the recording", Duration::from_secs(15), || {
        let found = site.recordings();
        assert!(
            found.len() < 2,
            "one call, and several recordings: {found:?}"
        );
        found.into_iter().next()
    });
    recording::read(&file)
}

/// The recordings that `find` finds once there are so many, each as its streams, in order of time.
pub(crate) fn recordings(count: usize, find: impl Fn() -> Vec<PathBuf>) -> Vec<Vec<Stream>> {
    let files = wait_for("the recordings", Duration::from_secs(15), || {
        let found = find();
        assert!(found.len() <= count, "more than {count}: {found:?}");
        (found.len() == count).then_some(found)
    });
    let mut all: Vec<Vec<Stream>> = files.iter().map(|file| recording::read(file)).collect();
    let end = |streams: &Vec<Stream>| streams.first().map_or(0.0, |stream| stream.last);
    all.sort_by(|one, other| end(one).total_cmp(&end(other)));
    all
}

/// One recording holds every packet that the two have said, and can be listened to.
pub(crate) fn assert_recorded(site: &Site, said: &[Said; 2]) {
    let streams = one_recording(site);
    assert_ssrcs(&streams, &SSRC);
    for (number, stream) in streams.iter().enumerate() {
        assert_stream(stream, &said[number].packets);
        let coded = stream.coded();
        assert_sounds_like(&said[number].speech, &coded);
        assert_sounds_unlike(&said[1 - number].speech, &coded);
    }
}

/// A recording has the streams of these sources and no others.
pub(crate) fn assert_ssrcs(streams: &[Stream], expected: &[u32]) {
    let ssrcs: Vec<u32> = streams.iter().map(|stream| stream.ssrc).collect();
    assert_eq!(ssrcs, expected, "SSRCs in the recording");
}

/// A stream of a recording is exactly these packets.
pub(crate) fn assert_stream(stream: &Stream, said: &[Vec<u8>]) {
    let ssrc = stream.ssrc;
    assert_eq!(
        (stream.packets, stream.lost),
        (said.len(), 0),
        "packets, lost of {ssrc:#x}"
    );
    let said = said.iter().map(|packet| content(packet));
    assert!(
        stream.contents.iter().cloned().eq(said),
        "contents of {ssrc:#x} differ"
    );
}

/// Sequence number and payload of a packet, as a recording has them.
pub(crate) fn content(packet: &[u8]) -> (u16, Vec<u8>) {
    let sequence = u16::from_be_bytes([packet[2], packet[3]]);
    (sequence, payload(packet).to_vec())
}

/// Numbers of the packets that none of the recordings has.
pub(crate) fn unrecorded(recordings: &[Vec<Stream>], ssrc: u32, said: &[Vec<u8>]) -> Vec<usize> {
    let streams = recordings.iter().flatten();
    let contents: Vec<_> = streams
        .filter(|stream| stream.ssrc == ssrc)
        .flat_map(|stream| &stream.contents)
        .collect();
    let is_there = |packet: &Vec<u8>| contents.contains(&&content(packet));
    let missing = said.iter().enumerate().filter(|(_, said)| !is_there(said));
    missing.map(|(number, _)| number).collect()
}

/// Whoever listens to this PCMU hears this speech.
pub(crate) fn assert_sounds_like(speech: &Speech, coded: &[u8]) {
    let likeness = compare(speech, coded);
    assert!(
        likeness > 0.8,
        "likeness {likeness} of {} frames",
        coded.len() / FRAME
    );
}

/// Whoever listens to this PCMU hears something else.
pub(crate) fn assert_sounds_unlike(speech: &Speech, coded: &[u8]) {
    let likeness = compare(speech, coded);
    assert!(likeness < 0.5, "likeness {likeness} to another's speech");
}

fn compare(speech: &Speech, coded: &[u8]) -> f64 {
    let dir = TempDir::new().unwrap();
    // The beginning says enough, and what is compared takes the square of its length.
    let beginning = |length: usize| length.min(4 * FRAMES_A_SECOND * FRAME);
    let (said, coded) = (
        &speech.samples[..beginning(speech.samples.len())],
        &coded[..beginning(coded.len())],
    );
    likeness(said, &decode(coded, dir.path()))
}

fn payload(packet: &[u8]) -> &[u8] {
    &packet[12..]
}
