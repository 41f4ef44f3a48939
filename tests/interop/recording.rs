//! Recordings, seen through tshark.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use homeward::wire::pcapng::{udp, write};
use homeward::wire::time::Timestamp;

use crate::process::output;

/// An RTP stream of a recording.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    /// Its source.
    pub(crate) ssrc: u32,
    /// Packets, as tshark counts them.
    pub(crate) packets: usize,
    /// Packets that tshark misses by their sequence numbers.
    pub(crate) lost: i64,
    /// Sequence numbers and payloads, in the order of the file.
    pub(crate) contents: Vec<(u16, Vec<u8>)>,
    /// When the last of them was received, in seconds since 1970.
    pub(crate) last: f64,
}

impl Stream {
    /// All payloads, one after the other.
    pub(crate) fn coded(&self) -> Vec<u8> {
        self.contents
            .iter()
            .flat_map(|(_, payload)| payload.iter().copied())
            .collect()
    }
}

/// Recordings below a data directory, in order.
pub(crate) fn find(data_dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![data_dir.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(folder) else {
            continue;
        };
        for path in entries.map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path
                .extension()
                .is_some_and(|extension| extension == "pcapng")
            {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The RTP streams of a recording, by SSRC.
pub(crate) fn read(file: &Path) -> Vec<Stream> {
    let tshark = || {
        let mut command = Command::new("tshark");
        command
            .args(["-n", "--enable-heuristic", "rtp_udp", "-r"])
            .arg(file);
        command
    };
    let table = String::from_utf8(output(tshark().args(["-q", "-z", "rtp,streams"]))).unwrap();
    let mut streams: Vec<Stream> = table.lines().filter_map(row).collect();
    streams.sort_by_key(|stream| stream.ssrc);
    let fields = [
        "-Y", "rtp", "-T", "fields", "-e", "rtp.ssrc", "-e", "rtp.seq",
    ];
    let more = ["-e", "rtp.payload", "-e", "frame.time_epoch"];
    let packets = output(tshark().args(fields).args(more));
    for line in String::from_utf8(packets).unwrap().lines() {
        let mut fields = line.split('\t');
        let ssrc = hex_number(fields.next().unwrap()).unwrap();
        let sequence = fields.next().unwrap().parse().unwrap();
        let payload = octets(fields.next().unwrap());
        let stream = streams
            .iter_mut()
            .find(|stream| stream.ssrc == ssrc)
            .unwrap();
        stream.contents.push((sequence, payload));
        stream.last = fields.next().unwrap().parse().unwrap();
    }
    streams
}

/// Writes a recording as the relay's logger does, of streams that began at the same time.
pub(crate) fn write(file: &Path, streams: &[&[Vec<u8>]]) {
    let mut out = Vec::new();
    write::section(&mut out, &write::Section::default());
    for _ in streams {
        write::interface(&mut out, &write::Interface::default());
    }
    let mut data = Vec::new();
    for (number, packets) in (0..).zip(streams) {
        let from = SocketAddr::from((Ipv4Addr::LOCALHOST, 6000 + 2 * number));
        let to = SocketAddr::from((Ipv4Addr::LOCALHOST, 7000 + 2 * number));
        for (index, packet) in (0..).zip(*packets) {
            assert!(udp::packet(&mut data, from, to, packet));
            write::packet(
                &mut out,
                &write::Packet {
                    interface: number.into(),
                    time: Timestamp::from_nanos(1_000_000_000_000 + index * 20_000_000),
                    id: Some(index),
                    data: &data,
                    comments: &[],
                },
            );
        }
    }
    std::fs::write(file, out).unwrap();
}

/// A row of tshark's table: ... SSRC, payload, packets, lost (per cent), ...
fn row(line: &str) -> Option<Stream> {
    let mut words = line.split_whitespace();
    let ssrc = words.find_map(hex_number)?;
    let packets = words.nth(1)?.parse().ok()?;
    let lost = words.next()?.parse().ok()?;
    Some(Stream {
        ssrc,
        packets,
        lost,
        contents: Vec::new(),
        last: 0.0,
    })
}

fn hex_number(word: &str) -> Option<u32> {
    u32::from_str_radix(word.strip_prefix("0x")?, 16).ok()
}

fn octets(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(|byte| *byte != b':').collect();
    let octet = |two: &[u8]| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap();
    digits.chunks_exact(2).map(octet).collect()
}
