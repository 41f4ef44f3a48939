//! One recording: a pcapng with one interface a stream, packets in order of time, and what is
//! known of the call as comments.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::announce;
use super::archive::Layout;
use super::archive::layout::{private_dir, private_file, sync_dir};
use super::file_name;
use super::loss::Loss;
use crate::store::index::{CallRow, StreamRow};
use crate::wire::block::{Direction, MediaKind, PacketFrame, StreamInfo, StreamKind};
use crate::wire::pcapng::{self, Block, Reader, udp, write};
use crate::wire::time::Timestamp;

/// A recording that is being made, under a temporary name.
#[derive(Debug)]
pub(super) struct RecordingWriter {
    file: BufWriter<File>,
    part: PathBuf,
    /// Directory of all recordings, and the day within.
    root: PathBuf,
    day: String,
    call: CallRow,
    streams: Vec<Stream>,
    held: BinaryHeap<Reverse<Held>>,
    held_octets: usize,
    newest: Timestamp,
    order: u64,
    packets: u64,
    scratch: Vec<u8>,
    out: Vec<u8>,
}

/// What a recording needs of a stream.
#[derive(Debug)]
struct Stream {
    from: SocketAddr,
    to: SocketAddr,
    loss: Option<Loss>,
    /// Latest time of a packet so far.
    latest: Timestamp,
}

/// A packet that waits for those with an earlier time.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Held {
    /// Place among the packets: its time, but never before a former packet of its stream. The
    /// kernel may stamp the first packets of a host late, and a stream is in the order in which
    /// its socket gave it.
    place: Timestamp,
    order: u64,
    time: Timestamp,
    interface: u32,
    index: u64,
    bytes: Vec<u8>,
}

/// A recording that lies under its name.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) path: PathBuf,
    /// From the directory of recordings.
    pub(super) relative: String,
    pub(super) packets: u64,
    pub(super) lost: u64,
    pub(super) incomplete: bool,
}

impl RecordingWriter {
    /// Begins the file, with the interfaces of all streams.
    pub(super) fn create(layout: &Layout, call: &CallRow) -> io::Result<Self> {
        let day: String = call.opened.to_string().chars().take(10).collect();
        let root = layout.recordings();
        private_dir(&root.join(&day))?;
        let part = root
            .join(&day)
            .join(format!(".{:032x}-{}{PART}", call.id.epoch, call.id.call));
        let file = private_file(&part, false)?;
        file.set_len(0)?;
        let mut writer = Self {
            file: BufWriter::with_capacity(64 << 10, file),
            part,
            root,
            day,
            call: call.clone(),
            streams: call.streams.values().map(Stream::new).collect(),
            held: BinaryHeap::new(),
            held_octets: 0,
            newest: Timestamp::default(),
            order: 0,
            packets: 0,
            scratch: Vec::new(),
            out: Vec::new(),
        };
        writer.head()?;
        Ok(writer)
    }

    /// Section and interfaces.
    fn head(&mut self) -> io::Result<()> {
        let call = &self.call;
        let comments = [context(call).to_string(), summary(call)];
        let section = write::Section {
            application: concat!("homeward ", env!("CARGO_PKG_VERSION")),
            comments: &[&comments[0], &comments[1]],
        };
        write::section(&mut self.out, &section);
        for stream in call.streams.values() {
            let comment = json!({"stream": stream.info, "gaps": stream.gaps}).to_string();
            let interface = write::Interface {
                name: &interface_name(call, &stream.info),
                description: &description(&stream.info),
                comments: &[&comment],
            };
            write::interface(&mut self.out, &interface);
        }
        for (interface, stream) in (0..).zip(call.streams.values()) {
            let Some((to, announcement)) = announce::announcement(&stream.info) else {
                continue;
            };
            let from = SocketAddr::new(stream.info.local.ip(), to.port());
            if udp::packet(&mut self.scratch, from, to, &announcement) {
                let packet = write::Packet {
                    interface,
                    time: call.opened,
                    id: None,
                    data: &self.scratch,
                    comments: &[announce::COMMENT],
                };
                write::packet(&mut self.out, &packet);
            }
        }
        self.write_out()
    }

    /// Takes a packet, and writes those that are now certain to be next.
    pub(super) fn packet(&mut self, interface: u32, packet: &PacketFrame<'_>) -> io::Result<()> {
        self.newest = self.newest.max(packet.time);
        self.held_octets += packet.bytes.len();
        let stream = usize::try_from(interface).ok();
        let stream = stream.and_then(|at| self.streams.get_mut(at));
        let place = stream.map_or(packet.time, |stream| {
            stream.latest = stream.latest.max(packet.time);
            stream.latest
        });
        self.held.push(Reverse(Held {
            place,
            order: self.order,
            time: packet.time,
            interface,
            index: packet.index,
            bytes: packet.bytes.to_vec(),
        }));
        self.order += 1;
        while let Some(Reverse(next)) = self.held.peek() {
            let certain = self.newest.since(next.place) > WINDOW;
            if !certain && self.held_octets <= MAX_HELD {
                break;
            }
            self.write_next()?;
        }
        Ok(())
    }

    fn write_next(&mut self) -> io::Result<()> {
        let Some(Reverse(packet)) = self.held.pop() else {
            return Ok(());
        };
        self.held_octets -= packet.bytes.len();
        let place = usize::try_from(packet.interface).unwrap_or(usize::MAX);
        let Some(stream) = self.streams.get_mut(place) else {
            return Ok(());
        };
        if let Some(loss) = &mut stream.loss {
            loss.packet(&packet.bytes);
        }
        // Cannot fail: the archive holds datagrams that UDP could carry, IPv4-mapped at worst.
        if !udp::packet(&mut self.scratch, stream.from, stream.to, &packet.bytes) {
            let v6 = |address: SocketAddr| SocketAddr::new(to_v6(address.ip()), address.port());
            udp::packet(
                &mut self.scratch,
                v6(stream.from),
                v6(stream.to),
                &packet.bytes,
            );
        }
        write::packet(
            &mut self.out,
            &write::Packet {
                interface: packet.interface,
                time: packet.time,
                id: Some(packet.index),
                data: &self.scratch,
                comments: &[],
            },
        );
        self.packets += 1;
        self.write_out()
    }

    fn write_out(&mut self) -> io::Result<()> {
        self.file.write_all(&self.out)?;
        self.out.clear();
        Ok(())
    }

    /// Writes what is held, makes the file durable and gives it its name.
    pub(super) fn finish(mut self) -> io::Result<Finished> {
        while !self.held.is_empty() {
            self.write_next()?;
        }
        self.file.flush()?;
        self.file.get_ref().sync_all()?;
        let name = self.settle()?;
        let lost = self
            .streams
            .iter()
            .filter_map(|stream| stream.loss.as_ref());
        Ok(Finished {
            path: self.root.join(&self.day).join(&name),
            relative: format!("{}/{name}", self.day),
            packets: self.packets,
            lost: lost.map(Loss::lost).sum(),
            incomplete: self.call.closed.is_none(),
        })
    }

    /// Links the file under the first free name; one that a killed process made of the same call
    /// is replaced.
    fn settle(&self) -> io::Result<String> {
        let dir = self.root.join(&self.day);
        for copy in 0..MAX_COPIES {
            let name = file_name::recording(&self.call.info.call_id, self.call.mirror, copy);
            let path = dir.join(&name);
            if is_of(&path, &self.call) {
                fs::rename(&self.part, &path)?;
            } else {
                match fs::hard_link(&self.part, &path) {
                    Ok(()) => fs::remove_file(&self.part)?,
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                    // File systems without hard links.
                    Err(_) if !path.exists() => fs::rename(&self.part, &path)?,
                    Err(error) => return Err(error),
                }
            }
            sync_dir(&dir)?;
            sync_dir(&self.root)?;
            return Ok(name);
        }
        Err(io::Error::from(io::ErrorKind::AlreadyExists))
    }
}

impl Drop for RecordingWriter {
    fn drop(&mut self) {
        // Gone already when it was finished.
        let _ = fs::remove_file(&self.part);
    }
}

impl Stream {
    fn new(row: &StreamRow) -> Self {
        let local = row.info.local;
        let nowhere = match local.ip() {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let from = row.info.remote;
        Self {
            from: from.unwrap_or_else(|| SocketAddr::new(nowhere, 0)),
            to: local,
            loss: (row.info.kind == StreamKind::Rtp).then(Loss::default),
            latest: Timestamp::default(),
        }
    }
}

/// Removes what recordings that were never finished have left.
pub(super) fn sweep(root: &Path) -> io::Result<()> {
    for day in fs::read_dir(root)? {
        let day = day?.path();
        if !day.is_dir() {
            continue;
        }
        for entry in fs::read_dir(day)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            if name.is_some_and(|name| name.starts_with('.') && name.ends_with(PART)) {
                fs::remove_file(path)?;
            }
        }
    }
    Ok(())
}

/// What is known of a call, for programs.
fn context(call: &CallRow) -> Value {
    json!({
        "homeward": {
            "epoch": format!("{:032x}", call.id.epoch),
            "call": call.id.call,
            "relay": call.relay,
            "mirror": call.mirror,
            "opened": call.opened.to_string(),
            "closed": call.closed.map(|at| at.to_string()),
            "incomplete": call.closed.is_none(),
            "gaps": call.streams.values().map(|stream| stream.gaps).sum::<u64>(),
            "info": call.info,
        }
    })
}

/// Whether a file is the recording of this very call.
fn is_of(path: &Path, call: &CallRow) -> bool {
    let Ok(file) = File::open(path) else {
        return false;
    };
    let mut reader = Reader::new(BufReader::new(file));
    let Ok(Some(Block::Section(options))) = reader.next_block() else {
        return false;
    };
    // A long comment is split over several options.
    let text = options.comments().concat();
    let mut values = serde_json::Deserializer::from_str(&text).into_iter::<Value>();
    let Some(Ok(value)) = values.next() else {
        return false;
    };
    let ours = context(call);
    ["epoch", "call"]
        .iter()
        .all(|member| value["homeward"][member] == ours["homeward"][member])
}

/// What is known of a call, for people.
fn summary(call: &CallRow) -> String {
    let info = &call.info;
    let mut text = format!("Call {} ({})", info.call_id, info.relay_system);
    for (label, value) in [
        ("service", &info.service),
        ("session type", &info.session_type),
        ("group", &info.group),
    ] {
        if let Some(value) = value {
            text.push_str(&format!(", {label} {value}"));
        }
    }
    if info.emergency {
        text.push_str(", EMERGENCY");
    }
    for party in &info.parties {
        let name = party.primary_id.as_ref().or(party.partner_id.as_ref());
        text.push_str(&format!("; party {}", name.unwrap_or(&party.tag)));
        if let Some(alias) = &party.functional_alias {
            text.push_str(&format!(" as {alias}"));
        }
        if party.migrated {
            text.push_str(" (migrated)");
        }
    }
    if call.closed.is_none() {
        text.push_str("; INCOMPLETE: the logger was stopped while the call went on");
    }
    printable(&text)
}

/// `from-user audio sip:alice@primary.example`.
fn interface_name(call: &CallRow, info: &StreamInfo) -> String {
    let direction = match info.direction {
        Direction::FromUser => "from-user",
        Direction::ToUser => "to-user",
        Direction::Both => "both-users",
    };
    let media = match info.media {
        MediaKind::Audio => "audio",
        MediaKind::Video => "video",
        MediaKind::Floor => "floor",
        MediaKind::Other => "other",
    };
    let rtcp = match info.kind {
        StreamKind::Rtcp => " rtcp",
        StreamKind::Rtp | StreamKind::Datagram => "",
    };
    let party = call
        .info
        .parties
        .iter()
        .find(|party| party.tag == info.from_tag);
    let name = party.and_then(|party| party.primary_id.as_ref().or(party.partner_id.as_ref()));
    let name = name.unwrap_or(&info.from_tag);
    printable(format!("{direction} {media}{rtcp} {name}").trim_end())
}

fn description(info: &StreamInfo) -> String {
    let codecs = info.codecs.iter();
    let codecs: Vec<_> = codecs
        .map(|codec| format!("{} {}", codec.payload_type, codec.encoding))
        .collect();
    let text = format!("m-line {}; {}", info.media_index, codecs.join(", "));
    printable(text.trim_end_matches("; "))
}

/// Without control characters, which could play tricks on a terminal.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{FFFD}' } else { c })
        .collect()
}

fn to_v6(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(v4) => IpAddr::V6(v4.to_ipv6_mapped()),
        v6 @ IpAddr::V6(_) => v6,
    }
}

/// Packets are put in order within so much time: more than receivers can be apart.
const WINDOW: std::time::Duration = std::time::Duration::from_secs(1);
/// ... and within so many octets.
const MAX_HELD: usize = 2 << 20;
/// Other recordings under the same name.
const MAX_COPIES: u32 = 10_000;
/// Ends the name of a file that is not finished.
const PART: &str = ".part";

// The reader must be able to take what is written here.
const _: () = assert!(pcapng::MAX_BLOCK > 4 << 20);
