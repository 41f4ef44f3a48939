//! Mirrors of the process before this one: the same ports of the same loggers are kept for them
//! until their calls are restored.

use rustc_hash::FxHashMap;

use super::{Logger, Mirror, Mirrors};
use crate::logger::service::MirrorKey;
use crate::mirror::rtp::{PortBook, PortPair};
use crate::runtime::journal::Place;
use crate::session::host::Room;
use crate::session::ids::MirrorId;
use crate::wire::block::CallInfo;

impl Mirrors {
    /// Opens a mirror where it was before a restart; false if it cannot be there any more.
    pub(super) fn open_again(&mut self, id: MirrorId, wanted: Room<'_>, info: &CallInfo) -> bool {
        let Some(mut mirror) = self.former.remove(&id) else {
            return false;
        };
        let logger = &mut self.loggers[mirror.logger];
        if !wanted.loggers.contains(&logger.name) {
            mirror.give_all_back(&mut logger.ports);
            return false;
        }
        while mirror.aside.len() + mirror.kept.len() < wanted.pairs {
            match logger.ports.take() {
                Some(pair) => mirror.aside.push(pair),
                None => break,
            }
        }
        logger.contact.open(&mirror.key, info.clone());
        self.open.insert(id, mirror);
        true
    }

    /// Where a mirror goes, for the journal.
    pub(in crate::runtime) fn place(&self, id: MirrorId) -> Option<Place> {
        let mirror = self.open.get(&id)?;
        let used = mirror
            .pairs
            .iter()
            .map(|(at, (pair, _))| (*at, pair.even()));
        let kept = mirror.kept.iter().map(|(at, pair)| (*at, pair.even()));
        Some(Place {
            mirror: id,
            logger: self.loggers[mirror.logger].name.clone(),
            aside: mirror.aside.iter().map(|pair| pair.even()).collect(),
            pairs: used.chain(kept).collect(),
        })
    }

    /// Before calls are restored: keeps the ports of their mirrors for them. What is not free is
    /// left out.
    pub(in crate::runtime) fn expect(&mut self, places: Vec<Place>) {
        for place in places {
            let named = |logger: &Logger| logger.name == place.logger;
            let Some(logger) = self.loggers.iter().position(named) else {
                continue;
            };
            let ports = &mut self.loggers[logger].ports;
            let kept = place
                .pairs
                .iter()
                .filter_map(|(at, even)| Some((*at, ports.claim(*even)?)));
            let kept = kept.collect();
            let aside = place.aside.iter().filter_map(|even| ports.claim(*even));
            let mirror = Mirror {
                key: MirrorKey {
                    relay: self.instance.clone(),
                    mirror: place.mirror.0,
                },
                logger,
                aside: aside.collect(),
                kept,
                pairs: FxHashMap::default(),
                streams: FxHashMap::default(),
            };
            if let Some(mut twice) = self.former.insert(place.mirror, mirror) {
                twice.give_all_back(&mut self.loggers[twice.logger].ports);
            }
        }
    }

    /// All calls are restored: ports that were kept for others are free.
    pub(in crate::runtime) fn settle(&mut self) {
        let mut former: Vec<(MirrorId, Mirror)> = self.former.drain().collect();
        former.sort_unstable_by_key(|(id, _)| *id);
        for (_, mut mirror) in former {
            mirror.give_all_back(&mut self.loggers[mirror.logger].ports);
        }
        for logger in &self.loggers {
            logger.contact.settle();
        }
    }
}

impl Mirror {
    /// Gives the pairs back that no stream uses.
    pub(super) fn give_all_back(&mut self, ports: &mut PortBook) {
        let mut kept: Vec<PortPair> = self.kept.drain().map(|(_, pair)| pair).collect();
        kept.sort_unstable_by_key(|pair| pair.even());
        for pair in self.aside.drain(..).chain(kept) {
            ports.give_back(pair);
        }
    }
}
