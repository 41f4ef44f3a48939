//! Carries out the core's mirror commands: picks the logger, gives each stream its port there,
//! tells the logger and the worker.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use rustc_hash::FxHashMap;
use tracing::{debug, warn};

use super::contact::Contact;
use super::limited::Limited;
use super::loggers::{Maker, Wanted};
use super::sockets::Sockets;
use crate::config::Transport;
use crate::logger::service::{Handle, MirrorKey};
use crate::mirror::announce::Counts;
use crate::mirror::rtp::{PortBook, PortPair, pair_key};
use crate::session::host::{Room, Taken};
use crate::session::ids::{MirrorId, StreamId};
use crate::telemetry::metrics;
use crate::wire::block::{CallInfo, StreamInfo};

mod former;

/// The loggers that are configured, and the mirrors that are open.
#[derive(Debug)]
pub(super) struct Mirrors {
    /// Random for each start of the process: mirrors are numbered within it.
    instance: String,
    loggers: Vec<Logger>,
    open: FxHashMap<MirrorId, Mirror>,
    /// Where each mirrored stream is copied to: a stream can be in mirrors of several primaries.
    copies: FxHashMap<StreamId, Vec<(MirrorId, SocketAddr)>>,
    /// Mirrors of the process before this one that are not open again yet, with their ports.
    former: FxHashMap<MirrorId, Mirror>,
    /// Mirrors that no logger took.
    pub(super) refused: u64,
    /// Limits what is logged of loggers without room.
    no_room: Limited,
}

/// One configured plain RTP logger.
#[derive(Debug)]
pub(super) struct Logger {
    /// Its name in agreements.
    pub(super) name: String,
    /// As it is configured.
    pub(super) way: Transport,
    /// Its ports, which this relay alone gives out.
    pub(super) ports: PortBook,
    /// How it is told what its ports are used for.
    pub(super) contact: Contact,
    /// It is not configured any more: it gets no further mirrors.
    pub(super) retired: bool,
}

/// One open mirror.
#[derive(Debug)]
struct Mirror {
    key: MirrorKey,
    logger: usize,
    /// Port pairs that no stream uses yet.
    aside: Vec<PortPair>,
    /// The same for those streams that had them before a restart.
    kept: FxHashMap<SocketAddr, PortPair>,
    /// Port pairs by the even local port of the streams that share them, with their users.
    pairs: FxHashMap<SocketAddr, (PortPair, u32)>,
    /// The streams, with the key of their pair.
    streams: FxHashMap<StreamId, SocketAddr>,
}

impl Mirrors {
    /// No mirrors yet.
    pub(super) fn new(instance: String, loggers: Vec<Logger>) -> Self {
        Self {
            instance,
            loggers,
            open: FxHashMap::default(),
            copies: FxHashMap::default(),
            former: FxHashMap::default(),
            refused: 0,
            no_room: Limited::default(),
        }
    }

    /// Opens a mirror at the first logger of the list that has room for all of it, or else for
    /// some of it. What it needs to begin with is set aside.
    pub(super) fn open(&mut self, id: MirrorId, wanted: Room<'_>, info: CallInfo) {
        if self.open_again(id, wanted, &info) {
            return;
        }
        let free = self.free_pairs();
        let found = choose(&self.loggers, &free, wanted).or_else(|| {
            let some = Room { pairs: 1, ..wanted };
            choose(&self.loggers, &free, some)
        });
        let Some(logger) = found else {
            self.refused += 1;
            debug!(call = info.call_id, wanted = ?wanted.loggers, "no logger has ports left");
            if let Some(held_back) = self.no_room.permit() {
                warn!(
                    held_back,
                    "no logger has ports left: a call is not mirrored"
                );
            }
            return;
        };
        let key = MirrorKey {
            relay: self.instance.clone(),
            mirror: id.0,
        };
        let name = &self.loggers[logger].name;
        debug!(
            mirror = id.0,
            logger = name,
            primary = info.primary_system,
            "mirror opened"
        );
        self.loggers[logger].contact.open(&key, info);
        let ports = &mut self.loggers[logger].ports;
        let mirror = Mirror {
            key,
            logger,
            aside: (0..wanted.pairs).map_while(|_| ports.take()).collect(),
            kept: FxHashMap::default(),
            pairs: FxHashMap::default(),
            streams: FxHashMap::default(),
        };
        self.open.insert(id, mirror);
    }

    /// Tells the logger what has changed about the call.
    pub(super) fn update(&self, id: MirrorId, info: CallInfo) {
        if let Some(mirror) = self.open.get(&id) {
            self.loggers[mirror.logger].contact.open(&mirror.key, info);
        }
    }

    /// Copies a stream to the mirror's logger; if it is copied already, only what the logger
    /// knows of it changes.
    pub(super) fn attach(
        &mut self,
        id: MirrorId,
        stream: StreamId,
        info: StreamInfo,
        sockets: &mut Sockets,
    ) {
        let Some(mirror) = self.open.get_mut(&id) else {
            sockets.unserved(stream);
            return;
        };
        let logger = &mut self.loggers[mirror.logger];
        if mirror.streams.contains_key(&stream) {
            let mut copies = self.copies.get(&stream).into_iter().flatten();
            if let Some((_, to)) = copies.find(|(of, _)| *of == id) {
                logger.contact.update_stream(&mirror.key, info, to.port());
            }
            return;
        }
        let pair_at = pair_key(&info);
        let Some(target) = take_port(mirror, logger, pair_at, &info) else {
            if let Some(held_back) = self.no_room.permit() {
                let logger = &logger.name;
                warn!(logger, held_back, "no port left: a stream is not mirrored");
            }
            sockets.unserved(stream);
            return;
        };
        mirror.streams.insert(stream, pair_at);
        self.copies.entry(stream).or_default().push((id, target));
        sockets.mirror(stream, self.targets(stream));
    }

    /// Stops copying a stream.
    pub(super) fn detach(&mut self, id: MirrorId, stream: StreamId, sockets: &mut Sockets) {
        let Some(mirror) = self.open.get_mut(&id) else {
            return;
        };
        let Some(pair_at) = mirror.streams.remove(&stream) else {
            return;
        };
        if let Some(copies) = self.copies.get_mut(&stream) {
            copies.retain(|(of, _)| *of != id);
            if copies.is_empty() {
                self.copies.remove(&stream);
            }
        }
        let logger = &mut self.loggers[mirror.logger];
        logger.contact.detach(&mirror.key, stream.0);
        give_back(mirror, logger, pair_at);
        sockets.mirror(stream, self.targets(stream));
    }

    /// Ends a mirror; the logger closes its recording.
    pub(super) fn close(&mut self, id: MirrorId, sockets: &mut Sockets) {
        let Some(mirror) = self.open.get(&id) else {
            return;
        };
        let mut streams: Vec<StreamId> = mirror.streams.keys().copied().collect();
        streams.sort_unstable();
        for stream in streams {
            self.detach(id, stream, sockets);
        }
        if let Some(mut mirror) = self.open.remove(&id) {
            let logger = &mut self.loggers[mirror.logger];
            mirror.give_all_back(&mut logger.ports);
            logger.contact.close(&mirror.key);
        }
    }

    /// Goes over to these loggers. Those that are as before keep their mirrors. Gives the mirrors
    /// whose logger is gone or has moved; they are to be closed, and [`Self::sweep`] is to be
    /// called after that. Must be called within a tokio runtime.
    pub(super) fn reconfigure(&mut self, wanted: &[Wanted], maker: &Maker) -> Replaced {
        let former = std::mem::take(&mut self.loggers);
        let mut former: Vec<Option<Logger>> = former.into_iter().map(Some).collect();
        let mut places = vec![0; former.len()];
        let mut replaced = Replaced::default();
        for wanted in wanted {
            let stays = |logger: &Option<Logger>| logger.as_ref().is_some_and(|l| l.is(wanted));
            let known = former.iter().position(stays);
            let stays = known.and_then(|at| {
                places[at] = self.loggers.len();
                former[at].take()
            });
            let logger = match stays {
                Some(mut logger) => {
                    if logger.renew(wanted) {
                        replaced.renewed.push(logger.name.clone());
                    }
                    logger
                }
                None => {
                    replaced.any = true;
                    maker.make(wanted)
                }
            };
            self.loggers.push(logger);
        }
        for (at, logger) in former.into_iter().enumerate() {
            if let Some(mut logger) = logger {
                logger.retired = true;
                replaced.any = true;
                places[at] = self.loggers.len();
                self.loggers.push(logger);
            }
        }
        #[expect(clippy::iter_over_hash_type, reason = "what is found is sorted")]
        for (id, mirror) in &mut self.open {
            mirror.logger = places[mirror.logger];
            if self.loggers[mirror.logger].retired {
                replaced.lost.push(*id);
            }
        }
        replaced.lost.sort_unstable();
        replaced
    }

    /// Forgets loggers that are not configured any more and have no mirrors.
    pub(super) fn sweep(&mut self) {
        let used: BTreeSet<usize> = self.open.values().map(|mirror| mirror.logger).collect();
        // They stand behind all others.
        while let Some(last) = self.loggers.last()
            && last.retired
            && !used.contains(&(self.loggers.len() - 1))
        {
            last.contact.retire();
            self.loggers.pop();
        }
    }

    /// Mirrors that are open.
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// The loggers with what they have to do.
    pub(super) fn loggers(&self) -> Vec<metrics::Logger> {
        let mut loggers: Vec<metrics::Logger> = self
            .loggers
            .iter()
            .map(|logger| metrics::Logger {
                name: logger.name.clone(),
                mirrors: 0,
                free_pairs: logger.ports.free_pairs() as u64,
                announcements: logger.contact.counts().map_or_else(Vec::new, results),
            })
            .collect();
        #[expect(clippy::iter_over_hash_type, reason = "a count has no order")]
        for mirror in self.open.values() {
            loggers[mirror.logger].mirrors += 1;
        }
        loggers
    }

    /// The embedded logger.
    pub(super) fn embedded(&self) -> Option<&Handle> {
        self.loggers
            .iter()
            .find_map(|logger| logger.contact.handle())
    }

    /// The logger that a mirror goes to, and how many of its streams.
    pub(super) fn taken(&self, id: MirrorId) -> Option<Taken> {
        self.open.get(&id).map(|mirror| Taken {
            logger: self.loggers[mirror.logger].name.clone(),
            streams: mirror.streams.len(),
        })
    }

    /// Whether all of these mirrors could be opened, one after the other, with room for all that
    /// they need.
    pub(super) fn can_take(&self, mirrors: &[Room<'_>]) -> bool {
        let mut free = self.free_pairs();
        mirrors.iter().all(|wanted| {
            let found = choose(&self.loggers, &free, *wanted);
            if let Some(logger) = found {
                free[logger] -= wanted.pairs;
            }
            found.is_some()
        })
    }

    fn free_pairs(&self) -> Vec<usize> {
        let free = |logger: &Logger| logger.ports.free_pairs();
        self.loggers.iter().map(free).collect()
    }

    fn targets(&self, stream: StreamId) -> Vec<SocketAddr> {
        let copies = self.copies.get(&stream);
        copies.map_or_else(Vec::new, |copies| {
            copies.iter().map(|(_, to)| *to).collect()
        })
    }
}

impl Logger {
    /// Whether it is the one that is wanted, for the media that goes there.
    fn is(&self, wanted: &Wanted) -> bool {
        let same_way = match (&self.way, &wanted.logger.transport) {
            (Transport::Embedded, Transport::Embedded) => true,
            (
                Transport::Rtp {
                    addresses,
                    ports,
                    announce,
                },
                Transport::Rtp {
                    addresses: new_addresses,
                    ports: new_ports,
                    announce: new_announce,
                },
            ) => {
                let told = announce.is_some() == new_announce.is_some();
                addresses == new_addresses && ports == new_ports && told
            }
            (Transport::Embedded, Transport::Rtp { .. })
            | (Transport::Rtp { .. }, Transport::Embedded) => false,
        };
        !self.retired && self.name == wanted.logger.name && same_way
    }

    /// Takes over where it is told, and with which token; whether only the token is another one.
    fn renew(&mut self, wanted: &Wanted) -> bool {
        let moved = self.way != wanted.logger.transport;
        self.way = wanted.logger.transport.clone();
        let door = wanted.door();
        door.is_some_and(|door| self.contact.retarget(door)) && !moved
    }
}

/// What became of loggers that were replaced.
#[derive(Debug, Default)]
pub(super) struct Replaced {
    /// Whether any logger was added, taken away, or moved.
    pub(super) any: bool,
    /// Mirrors that go to loggers which are gone, or to where they were before.
    pub(super) lost: Vec<MirrorId>,
    /// Loggers that are shown another token.
    pub(super) renewed: Vec<String>,
}

/// The first logger in order of preference that has so many pairs among its `free` ones.
fn choose(loggers: &[Logger], free: &[usize], wanted: Room<'_>) -> Option<usize> {
    wanted.loggers.iter().find_map(|name| {
        let fits = |logger: &Logger| logger.name == *name && !logger.retired;
        let at = loggers.iter().position(fits)?;
        (free[at] >= wanted.pairs).then_some(at)
    })
}

/// Finds the stream a port at the logger and makes the logger listen there. An embedded logger
/// may find that another program has the port: then the next pair is tried, up to a bound.
fn take_port(
    mirror: &mut Mirror,
    logger: &mut Logger,
    pair_at: SocketAddr,
    info: &StreamInfo,
) -> Option<SocketAddr> {
    for _ in 0..PORT_TRIES {
        let pair = match mirror.pairs.get(&pair_at) {
            Some((pair, _)) => *pair,
            None => match mirror.kept.remove(&pair_at) {
                Some(kept) => kept,
                None => mirror.aside.pop().or_else(|| logger.ports.take())?,
            },
        };
        let target = logger.ports.target(pair, info)?;
        match logger.contact.attach(&mirror.key, info, target) {
            Ok(target) => {
                mirror.pairs.entry(pair_at).or_insert((pair, 0)).1 += 1;
                return Some(target);
            }
            Err(error) => {
                debug!(logger = logger.name, %error, "port not usable, trying another");
                if mirror.pairs.contains_key(&pair_at) {
                    return None;
                }
                logger.ports.give_back(pair);
            }
        }
    }
    None
}

fn results(counts: Counts) -> Vec<(&'static str, u64)> {
    vec![
        ("taken", counts.taken),
        ("refused", counts.refused),
        ("failed", counts.failed),
        ("dropped", counts.dropped),
    ]
}

fn give_back(mirror: &mut Mirror, logger: &mut Logger, pair_at: SocketAddr) {
    let Some((pair, users)) = mirror.pairs.get_mut(&pair_at) else {
        return;
    };
    *users -= 1;
    if *users == 0 {
        logger.ports.give_back(*pair);
        mirror.pairs.remove(&pair_at);
    }
}

/// A try costs some microseconds, in which the control loop does nothing else.
const PORT_TRIES: usize = 256;

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::super::journal::Place;
    use super::*;
    use crate::wire::time::Timestamp;

    /// A small logger with one pair, and a large one with three.
    fn mirrors() -> Mirrors {
        let logger = |name: &str, ports| Logger {
            name: name.to_owned(),
            ports: PortBook::new(vec![Ipv4Addr::LOCALHOST.into()], ports),
            contact: Contact::Silent,
            way: Transport::Embedded,
            retired: false,
        };
        let loggers = vec![
            logger("small", (40_000, 40_001)),
            logger("large", (41_000, 41_005)),
        ];
        Mirrors::new("test".to_owned(), loggers)
    }

    fn open(mirrors: &mut Mirrors, id: u64, loggers: &[String], pairs: usize) -> Option<String> {
        let info = CallInfo {
            call_id: "c1".to_owned(),
            started: Timestamp::default(),
            relay_system: "partner.example".to_owned(),
            primary_system: "primary.example".to_owned(),
            service: None,
            session_type: None,
            group: None,
            emergency: false,
            metadata: None,
            parties: Vec::new(),
            reason: String::new(),
        };
        mirrors.open(MirrorId(id), Room { loggers, pairs }, info);
        mirrors.taken(MirrorId(id)).map(|taken| taken.logger)
    }

    #[test]
    fn a_logger_with_room_for_all_goes_before_the_preferred_one() {
        let mut mirrors = mirrors();
        let both = ["small".to_owned(), "large".to_owned()];
        assert_eq!(open(&mut mirrors, 1, &both, 2).as_deref(), Some("large"));
        // Now nobody has two pairs: some room is better than none.
        assert_eq!(open(&mut mirrors, 2, &both, 2).as_deref(), Some("small"));
        assert_eq!(open(&mut mirrors, 3, &both, 2).as_deref(), Some("large"));
        assert_eq!(open(&mut mirrors, 4, &both, 2), None);
        assert_eq!(mirrors.refused, 1);
    }

    #[test]
    fn after_a_restart_a_mirror_has_the_ports_that_it_had() {
        let place = |mirror, logger: &str, aside: &[u16], pairs: &[(&str, u16)]| Place {
            mirror: MirrorId(mirror),
            logger: logger.into(),
            aside: aside.to_vec(),
            pairs: pairs
                .iter()
                .map(|(at, even)| (at.parse().unwrap(), *even))
                .collect(),
        };
        let at = ["127.0.0.1:3000", "127.0.0.1:3002"];
        let mut mirrors = mirrors();
        let former = vec![
            place(7, "large", &[41_000], &[(at[1], 41_004)]),
            // Its pair is another's already, its logger is gone, it never comes back.
            place(8, "large", &[41_004], &[(at[0], 41_002)]),
            place(9, "gone", &[50_000], &[]),
            place(10, "small", &[40_000], &[]),
        ];
        mirrors.expect(former.clone());
        let both = ["small".to_owned(), "large".to_owned()];
        // Another call finds no room there meanwhile.
        assert_eq!(open(&mut mirrors, 1, &both, 1), None);
        assert_eq!(open(&mut mirrors, 7, &both, 2).as_deref(), Some("large"));
        assert_eq!(mirrors.place(MirrorId(7)), Some(former[0].clone()));
        // The agreement names other loggers now.
        assert_eq!(open(&mut mirrors, 8, &both[..1], 1), None);
        assert_eq!(mirrors.loggers[1].ports.free_pairs(), 1);
        mirrors.settle();
        assert_eq!(open(&mut mirrors, 9, &both, 1).as_deref(), Some("small"));
        assert_eq!(mirrors.place(MirrorId(9)).unwrap().aside, [40_000]);
    }

    #[test]
    fn room_is_asked_for_all_mirrors_of_a_call_together() {
        let mut mirrors = mirrors();
        let [small, large, gone] = ["small", "large", "gone"].map(|name| [name.to_owned()]);
        let room = |loggers, pairs| Room { loggers, pairs };
        assert!(mirrors.can_take(&[room(&small, 1), room(&large, 3)]));
        assert!(!mirrors.can_take(&[room(&large, 2), room(&large, 2)]));
        assert!(!mirrors.can_take(&[room(&gone, 1)]));
        assert!(!mirrors.can_take(&[room(&[], 0)]), "no logger at all");
        // What a mirror needs is set aside before its streams come.
        open(&mut mirrors, 1, &large, 2);
        assert!(!mirrors.can_take(&[room(&large, 2)]));
        assert!(mirrors.can_take(&[room(&large, 1)]));
    }
}
