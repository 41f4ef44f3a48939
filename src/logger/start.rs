//! Starts a logger: recovery first, then the threads and the queues between them.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use crossbeam::channel::bounded;

use super::archive::{Layout, Place, SegmentWriter, scan};
use super::catalog::{self, Catalog, Summary};
use super::fault::Injector;
use super::intake::Watch;
use super::receiver::{Parts, Receiver};
use super::recorder::Recorder;
use super::recording;
use super::registry::{self, Command, Registry};
use super::service::{Handle, LoggerError, Options, Service, Settings, Shared};
use super::stats::Counters;
use super::writer::{Batch, Inputs, Writer};
use crate::store::index::{Index, IndexError};
use crate::sys::clock::Clock;
use crate::wire::block::Builder;

/// Starts a logger.
pub(super) fn start(
    settings: Settings,
    clock: Clock,
    options: Options,
) -> Result<Service, LoggerError> {
    let layout = Arc::new(Layout::prepare(&settings.dir)?);
    let counters = Counters::default();
    let (catalog, next_segment) = recover(&layout, &counters, &clock, &settings.dir)?;
    let watch = Watch::new().map_err(|cause| LoggerError::Archive {
        dir: settings.dir.clone(),
        reason: format!("no packets can be waited for: {cause}"),
    })?;
    let registry = bind_all(&settings)?;
    let shared = Arc::new(Shared {
        clock,
        epoch: rand::random(),
        counters,
        bind: settings.bind,
        close_grace: settings.close_grace,
        bind_all: settings.bind_all,
        registry: Mutex::new(registry),
        waker: watch.waker(),
        pending: AtomicBool::new(true),
        stopping: AtomicBool::new(false),
        suspended: AtomicBool::new(false),
        abandoned: AtomicBool::new(false),
    });

    let (full, batches) = bounded(BATCHES);
    let (emptied, free) = bounded(BATCHES);
    for _ in 0..BATCHES {
        let _ = emptied.try_send(Batch::default());
    }
    let (reports, reported) = bounded(REPORTS);
    let (jobs, to_record) = bounded(JOBS);
    let (side, made) = bounded(JOBS);
    let (notices, recordings) = bounded(NOTICES);

    let parts = Parts {
        shared: Arc::clone(&shared),
        watch,
        relays: settings.relays,
        bind: settings.bind,
        standalone: settings.bind_all,
        silence: options.silence,
        faults: Injector::new(options.faults),
        full,
        free,
    };
    let builder = Builder::new(shared.epoch, 0, settings.block_bytes);
    let segments = SegmentWriter::new(Arc::clone(&layout), next_segment, settings.segment_bytes);
    let writer = Writer::new(
        Arc::clone(&shared),
        builder,
        segments,
        reports,
        settings.block_age,
    );
    let recorder = Recorder {
        shared: Arc::clone(&shared),
        layout,
        notices,
        side,
    };
    let inputs = Inputs {
        batches,
        free: emptied,
        side: made,
    };
    let for_catalog = Arc::clone(&shared);
    let mut service = Service {
        handle: Handle { shared },
        recordings,
        threads: Vec::new(),
    };
    // A service that is dropped half-way ends the threads that it has.
    let threads = [
        spawn("log-receive", move || Receiver::new(parts).run()),
        spawn("log-write", move || writer.run(inputs)),
        spawn("log-catalog", move || {
            catalog::run(catalog, &for_catalog, &reported, jobs);
        }),
        spawn("log-record", move || recorder.run(&to_record)),
    ];
    for thread in threads {
        let started = thread.map_err(|error| LoggerError::Archive {
            dir: settings.dir.clone(),
            reason: format!("a thread cannot be started: {error}"),
        });
        service.threads.push(started?);
    }
    Ok(service)
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name(name.into()).spawn(run)
}

/// Brings the catalog up to the archive's end. Gives it with the number of the next segment.
fn recover(
    layout: &Layout,
    counters: &Counters,
    clock: &Clock,
    dir: &Path,
) -> Result<(Catalog, u64), LoggerError> {
    let error = |reason: String| LoggerError::Archive {
        dir: dir.to_owned(),
        reason,
    };
    let unreadable = |cause: io::Error| error(cause.to_string());
    recording::sweep(&layout.recordings()).map_err(unreadable)?;
    let segments = layout.segments().map_err(unreadable)?;
    let (mut catalog, positions) = open_index(layout, clock, &segments).map_err(error)?;
    for number in &segments {
        let from = positions.get(number).copied().unwrap_or(0);
        let last = Some(number) == segments.last();
        let path = layout.segment(*number);
        let scanned = scan(&path, from, last, |at, block| {
            let place = Place {
                segment: *number,
                start: at,
                end: at + block.bytes().len() as u64,
            };
            catalog.apply(Summary::of(place, block));
        });
        let scanned = scanned.map_err(|cause| error(format!("{}: {cause}", path.display())))?;
        if last && scanned.torn > 0 {
            tracing::warn!(
                octets = scanned.torn,
                segment = number,
                "cut off an unfinished block"
            );
            counters.torn_octets.add(scanned.torn);
        } else if scanned.torn + scanned.damaged > 0 {
            let octets = scanned.torn + scanned.damaged;
            tracing::error!(
                octets,
                segment = number,
                "a segment of the archive is damaged"
            );
            counters.damaged_octets.add(octets);
        }
    }
    catalog.recover();
    if let Err(cause) = catalog.flush() {
        tracing::error!(error = %cause, "the logger's index cannot be written");
        counters.index_errors.add(1);
    }
    let next = segments.last().map_or(1, |last| last + 1);
    Ok((catalog, next))
}

/// Opens the index. One that is damaged, or knows more than the archive has, is moved aside and
/// made anew.
fn open_index(
    layout: &Layout,
    clock: &Clock,
    segments: &[u64],
) -> Result<(Catalog, BTreeMap<u64, u64>), String> {
    match load(layout, segments) {
        Ok(found) => return Ok(found),
        Err(IndexError::Newer(version)) => return Err(IndexError::Newer(version).to_string()),
        Err(cause) => {
            let path = layout.index();
            let aside = format!("index.sqlite.broken-{}", clock.now().nanos());
            tracing::warn!(%cause, aside, "the logger's index is made anew from the archive");
            fs::rename(&path, path.with_file_name(aside)).map_err(|error| error.to_string())?;
            for rest in ["index.sqlite-wal", "index.sqlite-shm"] {
                let _ = fs::remove_file(path.with_file_name(rest));
            }
        }
    }
    load(layout, segments).map_err(|cause| format!("the index cannot be made: {cause}"))
}

fn load(layout: &Layout, segments: &[u64]) -> Result<(Catalog, BTreeMap<u64, u64>), IndexError> {
    let index = Index::open(&layout.index())?;
    let positions = index.positions()?;
    for (number, position) in &positions {
        let length = fs::metadata(layout.segment(*number)).map_or(0, |meta| meta.len());
        if segments.contains(number) && length < *position {
            let reason = format!("segment {number} is shorter than it says");
            return Err(IndexError::Damaged(reason));
        }
    }
    let unrecorded = index.unrecorded()?;
    Ok((Catalog::new(index, unrecorded), positions))
}

/// Binds all ports, for a logger that stands alone.
fn bind_all(settings: &Settings) -> Result<Registry, LoggerError> {
    let mut registry = Registry::default();
    if !settings.bind_all {
        return Ok(registry);
    }
    for port in settings.ports.0..=settings.ports.1 {
        let socket = registry::bind(settings.bind, port).map_err(|source| LoggerError::Bind {
            address: (settings.bind, port).into(),
            source,
        })?;
        registry.ports.insert(port, None);
        registry.commands.push(Command::Bind(port, socket));
    }
    Ok(registry)
}

/// Batches between receiver and writer; together they hold a good second of a busy network.
const BATCHES: usize = 256;
/// Blocks that wait for the catalog.
const REPORTS: usize = 4_096;
/// Calls that wait for the recorder.
const JOBS: usize = 256;
/// Closed recordings that nobody has asked for yet.
const NOTICES: usize = 4_096;
