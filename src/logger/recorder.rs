//! Makes the recordings: reads the blocks of calls that have ended, once for all that ended about
//! the same time, and writes a pcapng for each.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use crossbeam::channel::{Receiver, Sender, TrySendError, after};
use rustc_hash::FxHashMap;

use super::archive::{Layout, read_block};
use super::catalog::Job;
use super::recording::{Finished, RecordingWriter};
use super::service::{MirrorKey, Recording, Shared};
use crate::store::index::Extent;
use crate::wire::block::{Event, Frame};
use crate::wire::time::Timestamp;

/// The recorder's state.
#[derive(Debug)]
pub(super) struct Recorder {
    pub(super) shared: Arc<Shared>,
    pub(super) layout: Arc<Layout>,
    /// Closed recordings, for whoever wants to know.
    pub(super) notices: Sender<Recording>,
    /// To the writer: that a recording was made.
    pub(super) side: Sender<(Timestamp, Event)>,
}

impl Recorder {
    /// The recorder's thread: ends when the catalog has no more work.
    pub(super) fn run(self, jobs: &Receiver<Job>) {
        let mut again: Vec<Job> = Vec::new();
        loop {
            let mut batch = std::mem::take(&mut again);
            if batch.is_empty() {
                match jobs.recv() {
                    Ok(job) => batch.push(job),
                    Err(_) => return,
                }
            } else {
                let _ = after(RETRY).recv();
            }
            batch.extend(jobs.try_iter().take(AT_ONCE - batch.len()));
            if self.shared.abandoned() || self.shared.suspended() {
                return;
            }
            for (job, outcome) in self.pass(batch) {
                match outcome {
                    Ok(finished) => self.announce(&job, finished),
                    Err(error) => again.extend(self.failed(job, &error)),
                }
            }
        }
    }

    /// One reading of the archive for all of these calls.
    fn pass(&self, jobs: Vec<Job>) -> Vec<(Job, io::Result<Finished>)> {
        let mut writers: Vec<io::Result<RecordingWriter>> = jobs
            .iter()
            .map(|job| RecordingWriter::create(&self.layout, &job.call))
            .collect();
        let mut routes = FxHashMap::default();
        for (place, job) in jobs.iter().enumerate() {
            for (interface, stream) in (0u32..).zip(job.call.streams.keys()) {
                routes.insert((job.call.id.epoch, *stream), (place, interface));
            }
        }
        let extents = merge(jobs.iter().flat_map(|job| job.call.extents.iter().copied()));
        let read = self.read(&extents, &routes, &mut writers);
        let results = writers.into_iter().map(|writer| {
            if let Err(error) = &read {
                return Err(io::Error::new(error.kind(), error.to_string()));
            }
            writer?.finish()
        });
        jobs.iter().cloned().zip(results).collect()
    }

    /// Hands every packet in these extents to the recording that it belongs to.
    fn read(
        &self,
        extents: &[Extent],
        routes: &FxHashMap<(u128, u64), (usize, u32)>,
        writers: &mut [io::Result<RecordingWriter>],
    ) -> io::Result<()> {
        let mut buffer = Vec::new();
        for extent in extents {
            let file = File::open(self.layout.segment(extent.segment))?;
            let mut at = extent.start;
            while at < extent.end {
                if self.shared.abandoned() || self.shared.suspended() {
                    return Err(io::ErrorKind::Interrupted.into());
                }
                let Some(Ok(block)) = read_block(&file, at, &mut buffer)? else {
                    // Damage since it was written: what comes after it cannot be found here.
                    tracing::error!(segment = extent.segment, at, "the archive is damaged");
                    break;
                };
                let epoch = block.header().epoch;
                for frame in block.frames().map_while(Result::ok) {
                    let Frame::Packet(packet) = frame else {
                        continue;
                    };
                    let Some((place, interface)) = routes.get(&(epoch, packet.stream)) else {
                        continue;
                    };
                    let Some(slot) = writers.get_mut(*place) else {
                        continue;
                    };
                    if let Ok(writer) = slot
                        && let Err(error) = writer.packet(*interface, &packet)
                    {
                        *slot = Err(error);
                    }
                }
                at += block.bytes().len() as u64;
            }
        }
        Ok(())
    }

    fn announce(&self, job: &Job, finished: Finished) {
        let call = &job.call;
        self.shared.counters.recordings.add(1);
        let event = Event::Recorded {
            epoch: format!("{:032x}", call.id.epoch),
            call: call.id.call,
            path: finished.relative,
            packets: finished.packets,
            lost: finished.lost,
            incomplete: finished.incomplete,
        };
        let _ = self.side.send((self.shared.clock.now(), event));
        let notice = Recording {
            key: MirrorKey {
                relay: call.relay.clone(),
                mirror: call.mirror,
            },
            info: call.info.clone(),
            path: finished.path,
            packets: finished.packets,
            lost: finished.lost,
            incomplete: finished.incomplete,
        };
        if let Err(TrySendError::Full(_)) = self.notices.try_send(notice) {
            self.shared.counters.notices_dropped.add(1);
        }
    }

    /// The job again, unless it has failed often enough or the service ends.
    fn failed(&self, mut job: Job, error: &io::Error) -> Option<Job> {
        job.attempts += 1;
        if job.attempts < ATTEMPTS && !self.shared.ending() {
            return Some(job);
        }
        self.shared.counters.recordings_failed.add(1);
        tracing::error!(
            %error,
            mirror = job.call.mirror,
            "a recording cannot be made; the archive keeps the call until the next start"
        );
        None
    }
}

/// Extents in ascending order, with those that touch or overlap united.
fn merge(extents: impl Iterator<Item = Extent>) -> Vec<Extent> {
    let mut sorted: Vec<_> = extents.collect();
    sorted.sort_unstable();
    let mut merged: Vec<Extent> = Vec::new();
    for extent in sorted {
        match merged.last_mut() {
            Some(last) if last.segment == extent.segment && extent.start <= last.end => {
                last.end = last.end.max(extent.end);
            }
            _ => merged.push(extent),
        }
    }
    merged
}

/// Recordings that are made in one pass; bounds memory and open files.
const AT_ONCE: usize = 64;
/// How often a recording is tried.
const ATTEMPTS: u32 = 5;
/// Between attempts.
const RETRY: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extents_are_united_where_they_touch() {
        let extent = |segment, start, end| Extent {
            segment,
            start,
            end,
        };
        let given = [
            extent(2, 0, 5),
            extent(1, 10, 20),
            extent(1, 0, 10),
            extent(1, 5, 7),
            extent(1, 30, 40),
        ];
        assert_eq!(
            merge(given.into_iter()),
            [extent(1, 0, 20), extent(1, 30, 40), extent(2, 0, 5)]
        );
    }
}
