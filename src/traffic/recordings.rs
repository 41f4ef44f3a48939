//! Holds recordings against what was sent, packet by packet.
//!
//! A packet belongs to a call by its SSRC, which differs for all streams of a run; nothing else
//! in a recording is believed. Only RTP is compared; RTCP and floor control are counted. What is
//! stored for two primaries is stored twice: compare the recordings of each by themselves.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use serde::Serialize;

use super::check::{BitSet, identify};
use super::report::CallExpectation;
use crate::sys::clock::Clock;
use crate::wire::pcapng::{self, Block, Reader};

/// What recordings hold of what was sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Found {
    /// Recordings of these calls, in order of their names.
    pub files: Vec<PathBuf>,
    /// Packets that are stored as they were sent, each counted once.
    pub stored: u64,
    /// Packets that were sent and are in no recording.
    pub missing: u64,
    /// Packets that are stored with other octets than were sent.
    pub altered: u64,
    /// Packets that are stored again.
    pub duplicate: u64,
    /// RTP packets in recordings of these calls that are of no stream of them.
    pub unexpected: u64,
    /// Datagrams that are not RTP: RTCP, floor control.
    pub control: u64,
    /// Calls of which there is no packet in any recording.
    pub calls_without: u64,
    /// The first few things that are wrong, each with call-id, SSRC and sequence number.
    pub problems: Vec<String>,
}

impl Found {
    /// Whether every packet is stored unchanged and once, and nothing else.
    pub const fn passed(&self) -> bool {
        self.missing + self.altered + self.duplicate + self.unexpected == 0
    }
}

/// Reads every `*.pcapng` file below `dir` and compares those of these calls. Recordings are written when calls end:
/// until all packets are found, the directory is read again, up to `wait`.
///
/// # Errors
///
/// The directory cannot be read at the end of the wait. A file that is cut short counts as far
/// as it can be read.
pub fn check(dir: &Path, expected: &[CallExpectation], wait: Duration) -> io::Result<Found> {
    check_named(dir, "", expected, wait)
}

/// As [`check`], for the files whose names begin with `prefix`: a directory can hold recordings
/// of other runs, and a recording is named after its call.
///
/// # Errors
///
/// As [`check`].
pub fn check_named(
    dir: &Path,
    prefix: &str,
    expected: &[CallExpectation],
    wait: Duration,
) -> io::Result<Found> {
    let end = Clock::monotonic() + wait;
    let mut before = None;
    loop {
        let over = Clock::monotonic() >= end;
        let files = match list(dir, prefix) {
            Err(error) if over => return Err(error),
            files => files.unwrap_or_default(),
        };
        // Only a change makes it worth reading everything again.
        let sizes = files
            .iter()
            .map(|file| fs::metadata(file).map_or(0, |meta| meta.len()));
        let state = Some((files.clone(), sizes.collect::<Vec<_>>()));
        if over || state != before {
            before = state;
            let found = check_files(&files, expected);
            if over || (found.passed() && !found.files.is_empty()) {
                return Ok(found);
            }
        }
        thread::park_timeout(BETWEEN_READS);
    }
}

/// Compares these files, once, as they are.
pub fn check_files(files: &[PathBuf], expected: &[CallExpectation]) -> Found {
    let mut check = Check::new(expected);
    for file in files {
        check.file(file);
    }
    check.finish()
}

/// One expected stream and what was found of it.
struct StreamState<'a> {
    call: &'a CallExpectation,
    party: usize,
    stored: BitSet,
    found: u32,
}

struct Check<'a> {
    streams: Vec<StreamState<'a>>,
    by_ssrc: HashMap<u32, usize>,
    /// Packets of streams of these calls, right or wrong.
    known: u64,
    found: Found,
}

impl<'a> Check<'a> {
    fn new(expected: &'a [CallExpectation]) -> Self {
        let streams: Vec<_> = expected
            .iter()
            .flat_map(|call| [0, 1].map(|party| (call, party)))
            .map(|(call, party)| StreamState {
                call,
                party,
                stored: BitSet::new(call.parties[party].packets()),
                found: 0,
            })
            .collect();
        let ssrcs = streams.iter().map(|s| s.call.parties[s.party].ssrc());
        Self {
            by_ssrc: ssrcs.enumerate().map(|(at, ssrc)| (ssrc, at)).collect(),
            streams,
            known: 0,
            found: Found::default(),
        }
    }

    /// Reads one recording. One that holds RTP, and none of these calls, is of other calls (of an
    /// earlier run into the same directory): it is left out, with all that it seemed to be wrong.
    fn file(&mut self, path: &Path) {
        let (unexpected, control) = (self.found.unexpected, self.found.control);
        let (problems, known) = (self.found.problems.len(), self.known);
        let outcome = self.read(path);
        if self.known == known && self.found.unexpected > unexpected {
            (self.found.unexpected, self.found.control) = (unexpected, control);
            self.found.problems.truncate(problems);
            return;
        }
        if let Err(error) = outcome {
            self.problem(|| format!("{}: {error}", path.display()));
        }
        self.found.files.push(path.to_owned());
    }

    fn read(&mut self, path: &Path) -> Result<(), String> {
        let file = File::open(path).map_err(|error| error.to_string())?;
        let mut reader = Reader::new(BufReader::new(file));
        while let Some(block) = reader.next_block().map_err(|error| error.to_string())? {
            if let Block::Packet(packet) = block {
                match pcapng::udp::parse(packet.data) {
                    Some(datagram) => self.take(datagram.payload, path),
                    None => {
                        self.found.unexpected += 1;
                        self.problem(|| format!("{}: a packet is not UDP", path.display()));
                    }
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, datagram: &[u8], path: &Path) {
        let Some(header) = datagram.first_chunk::<12>() else {
            self.found.control += 1;
            return;
        };
        // RTCP and APP by their packet types (RFC 5761 4).
        if header[0] >> 6 != 2 || (192..=223).contains(&header[1]) {
            self.found.control += 1;
            return;
        }
        let ssrc = u32::from_be_bytes([header[8], header[9], header[10], header[11]]);
        let sequence = u16::from_be_bytes([header[2], header[3]]);
        let at = self.by_ssrc.get(&ssrc).copied();
        let Some(state) = at.and_then(|at| self.streams.get_mut(at)) else {
            self.found.unexpected += 1;
            let name = path.display();
            self.problem(|| format!("{name}: unexpected SSRC {ssrc:#010x} sequence {sequence}"));
            return;
        };
        self.known += 1;
        let (call, party) = (state.call, &state.call.parties[state.party]);
        let index = identify(party.stream(), datagram).filter(|index| *index < party.packets());
        let Some(index) = index else {
            self.found.unexpected += 1;
            self.problem(|| told(call, "unexpected", ssrc, sequence));
            return;
        };
        if !state.stored.insert(index) {
            self.found.duplicate += 1;
            self.problem(|| told(call, "duplicate", ssrc, sequence));
            return;
        }
        state.found += 1;
        if party.packet(index) == datagram {
            self.found.stored += 1;
        } else {
            self.found.altered += 1;
            self.problem(|| told(call, "altered", ssrc, sequence));
        }
    }

    fn finish(mut self) -> Found {
        for state in std::mem::take(&mut self.streams) {
            let party = &state.call.parties[state.party];
            let missing = party.packets() - state.found;
            self.found.missing += u64::from(missing);
            let first = (0..party.packets()).find(|index| !state.stored.contains(*index));
            if let Some(index) = first {
                let sequence = party.stream().sequence(index);
                let text = told(state.call, "missing", party.ssrc(), sequence);
                self.problem(|| format!("{text} ({missing} of {} missing)", party.packets()));
            }
            // Both streams of a call are neighbours: the call counts with the first.
            if state.party == 0 && state.found == 0 {
                self.found.calls_without += 1;
            }
        }
        self.found
    }

    fn problem(&mut self, text: impl FnOnce() -> String) {
        if self.found.problems.len() < PROBLEMS {
            self.found.problems.push(text());
        }
    }
}

fn told(call: &CallExpectation, what: &str, ssrc: u32, sequence: u16) -> String {
    format!(
        "{}: {what}: SSRC {ssrc:#010x} sequence {sequence}",
        call.call_id
    )
}

/// All recordings below a directory whose names begin like this, in order of their names.
fn list(dir: &Path, prefix: &str) -> io::Result<Vec<PathBuf>> {
    let recording = |path: &Path| {
        let name = path.file_name().map(|name| name.as_encoded_bytes());
        path.extension().is_some_and(|ext| ext == "pcapng")
            && name.is_some_and(|name| name.starts_with(prefix.as_bytes()))
    };
    let mut files = Vec::new();
    let mut dirs = vec![(dir.to_owned(), 0)];
    while let Some((dir, depth)) = dirs.pop() {
        for entry in fs::read_dir(&dir)? {
            let entry = entry?;
            let (kind, path) = (entry.file_type()?, entry.path());
            if kind.is_dir() && depth < DEPTH {
                dirs.push((path, depth + 1));
            } else if kind.is_file() && recording(&path) {
                files.push(path);
            }
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// How deep directories are searched.
const DEPTH: u32 = 8;
const BETWEEN_READS: Duration = Duration::from_millis(200);
const PROBLEMS: usize = 10;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::traffic::media::{Media, Side, Stream};
    use crate::traffic::plan::Plan;
    use crate::traffic::report::PartyExpectation;
    use crate::wire::pcapng::{Interface, Packet, Section, udp, write};
    use crate::wire::time::Timestamp;

    fn expected(calls: u32) -> Vec<CallExpectation> {
        let mut plan = Plan::new("127.0.0.1:1".parse().unwrap());
        plan.seconds = 1;
        let media = Arc::new(Media::new(&plan).unwrap());
        let party =
            |call, side| PartyExpectation::new(Stream::new(Arc::clone(&media), call, side), 50);
        (0..calls)
            .map(|call| CallExpectation {
                call_id: plan.call_id(call),
                parties: Side::BOTH.map(|side| party(call, side)),
            })
            .collect()
    }

    /// A recording of these datagrams.
    fn record(path: &Path, datagrams: &[Vec<u8>]) {
        let mut out = Vec::new();
        let section = Section {
            application: "test",
            comments: &[],
        };
        write::section(&mut out, &section);
        let interface = Interface {
            name: "one",
            description: "",
            comments: &[],
        };
        write::interface(&mut out, &interface);
        for (number, datagram) in (0..).zip(datagrams) {
            let mut data = Vec::new();
            let (from, to) = ("192.0.2.1:4000", "[2001:db8::1]:5000");
            let (from, to) = if number % 2 == 0 {
                (from, from)
            } else {
                (to, to)
            };
            assert!(udp::packet(
                &mut data,
                from.parse().unwrap(),
                to.parse().unwrap(),
                datagram
            ));
            let packet = Packet {
                interface: 0,
                time: Timestamp::from_secs(1),
                id: Some(number),
                data: &data,
                comments: &[],
            };
            write::packet(&mut out, &packet);
        }
        fs::write(path, out).unwrap();
    }

    fn all(call: &CallExpectation) -> Vec<Vec<u8>> {
        let packets = |party: &PartyExpectation| -> Vec<_> {
            (0..50).map(|index| party.packet(index).to_vec()).collect()
        };
        call.parties.iter().flat_map(packets).collect()
    }

    #[test]
    fn whole_recordings_pass() {
        let dir = tempfile::tempdir().unwrap();
        let expected = expected(3);
        for call in &expected {
            let path = dir.path().join(&call.call_id).with_extension("pcapng");
            let mut datagrams = all(call);
            datagrams.push(vec![0x80, 204, 0, 2, 0, 0, 0, 1, b'M', b'C', b'P', b'T']);
            record(&path, &datagrams);
        }
        let found = check(dir.path(), &expected, Duration::ZERO).unwrap();
        assert!(found.passed(), "{found:?}");
        assert_eq!(
            (found.stored, found.control, found.files.len()),
            (300, 3, 3)
        );
    }

    #[test]
    fn recordings_of_other_runs_are_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (ours, theirs) = (expected(1), expected(2));
        record(&dir.path().join("load-1-1.pcapng"), &all(&ours[0]));
        record(&dir.path().join("else-2-1.pcapng"), &all(&theirs[1]));
        let found = check_named(dir.path(), "load-", &ours, Duration::ZERO).unwrap();
        assert!(found.passed(), "{found:?}");
        assert_eq!((found.stored, found.files.len()), (100, 1));
        // Without the prefix theirs is read, and left out since it has no packet of ours.
        let found = check(dir.path(), &ours, Duration::ZERO).unwrap();
        assert_eq!((found.unexpected, found.files.len()), (0, 1));
    }

    #[test]
    fn each_fault_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let expected = expected(2);
        let mut datagrams = all(&expected[0]);
        let duplicate = datagrams[3].clone();
        datagrams.push(duplicate);
        datagrams[10][50] ^= 1;
        datagrams.remove(60);
        let mut stranger = datagrams[0].clone();
        stranger[8] ^= 0x55;
        datagrams.push(stranger);
        record(&dir.path().join("a.pcapng"), &datagrams);
        let found = check(dir.path(), &expected[..1], Duration::ZERO).unwrap();
        let counts = (found.stored, found.missing, found.altered);
        assert_eq!(counts, (98, 1, 1));
        assert_eq!((found.duplicate, found.unexpected), (1, 1));
        let stream = expected[0].parties[1].stream();
        let missing = format!(
            "load-1: missing: SSRC {:#010x} sequence {} (1 of 50 missing)",
            stream.ssrc(),
            stream.sequence(10)
        );
        assert!(found.problems.contains(&missing), "{:?}", found.problems);
        assert!(!found.passed());
        let both = check(dir.path(), &expected, Duration::ZERO).unwrap();
        assert_eq!((both.missing, both.calls_without), (101, 1));
    }

    #[test]
    fn recordings_of_other_calls_are_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let mut expected = expected(2);
        let other = expected.split_off(1);
        record(&dir.path().join("earlier.pcapng"), &all(&other[0]));
        let none = check(dir.path(), &expected, Duration::ZERO).unwrap();
        assert_eq!(
            (none.files.len(), none.missing, none.unexpected),
            (0, 100, 0)
        );
        record(&dir.path().join("now.pcapng"), &all(&expected[0]));
        let found = check(dir.path(), &expected, Duration::ZERO).unwrap();
        assert!(found.passed() && found.problems.is_empty(), "{found:?}");
        assert_eq!(found.files, [dir.path().join("now.pcapng")]);
    }

    #[test]
    fn recordings_that_come_late_are_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let expected = expected(1);
        let below = dir.path().join("primary.example");
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::park_timeout(Duration::from_millis(50));
                fs::create_dir(&below).unwrap();
                record(&below.join("half.pcapng"), &all(&expected[0])[..60]);
                thread::park_timeout(Duration::from_millis(300));
                record(&below.join("rest.pcapng"), &all(&expected[0])[60..]);
            });
            let found = check(dir.path(), &expected, Duration::from_secs(60)).unwrap();
            assert!(found.passed(), "{found:?}");
            assert_eq!((found.stored, found.files.len()), (100, 2));
        });
    }

    #[test]
    fn torn_and_foreign_files_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let expected = expected(1);
        let path = dir.path().join("a.pcapng");
        record(&path, &all(&expected[0]));
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() - 7]).unwrap();
        fs::write(dir.path().join("notes.txt"), "not a recording").unwrap();
        let found = check(dir.path(), &expected, Duration::ZERO).unwrap();
        assert_eq!((found.files.len(), found.missing), (1, 1));
        fs::write(&path, b"nonsense").unwrap();
        let found = check(dir.path(), &expected, Duration::ZERO).unwrap();
        assert_eq!(found.missing, 100);
        assert!(
            found.problems[0].contains("a.pcapng"),
            "{:?}",
            found.problems
        );
        assert!(check(&dir.path().join("none"), &expected, Duration::ZERO).is_err());
    }
}
