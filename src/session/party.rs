//! One leg of a call.

use serde::{Deserialize, Serialize};

use super::command::SourcePolicy;
use super::core::Settings;
use super::host::Traffic;
use super::ids::Tag;
use super::media::Media;
use super::names::OwnNames;
use super::options::{Learning, Options};
use super::rewrite::Memory;
use crate::migration::decision::{Decision, LegRole, MirrorRule};
use crate::wire::time::Timestamp;

/// Number of a leg, unique within its call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct PartyId(pub(super) u16);

/// One leg of a call.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Party {
    /// Its number.
    pub(super) id: PartyId,
    /// Its tag; `None` until it has answered.
    pub(super) tag: Option<Tag>,
    /// Other tags that have answered the same offer: phones behind one branch.
    pub(super) aliases: Vec<Tag>,
    /// Its branch.
    pub(super) via_branch: Option<Box<str>>,
    /// Its label.
    pub(super) label: Option<Box<str>>,
    /// When it was made.
    pub(super) created: Timestamp,
    /// Which end of the call it is.
    pub(super) role: LegRole,
    /// Its own names; `None`: it goes by the context of the call.
    pub(super) own: Option<Box<OwnNames>>,
    /// Legs that it exchanges media with.
    pub(super) peers: Vec<PartyId>,
    /// Who has offered to it last, and when: an answer of anybody else is out of order.
    pub(super) offered: Option<(PartyId, Timestamp)>,
    /// Interface that faces it.
    pub(super) interface: u16,
    /// Its SDP as received.
    #[serde(with = "octets")]
    pub(super) sdp: Option<Box<[u8]>>,
    /// What was written to it, for a stable `o=` line.
    pub(super) memory: Memory,
    /// Its medias, by m-line.
    pub(super) medias: Vec<Media>,
    /// How its real address is learned.
    pub(super) learning: Learning,
    /// What is done with other sources.
    pub(super) source: SourcePolicy,
    /// To be removed then.
    pub(super) delete_at: Option<Timestamp>,
    /// What was decided for it, and when; `None`: undecided, nothing was asked.
    pub(super) decided: Option<Box<(Decision, Timestamp)>>,
    /// Sums over its sockets that are closed.
    pub(super) closed: Option<Box<Traffic>>,
}

impl Party {
    /// A leg that nothing is known of.
    pub(super) fn new(id: PartyId, role: LegRole, now: Timestamp) -> Self {
        Self {
            id,
            tag: None,
            aliases: Vec::new(),
            via_branch: None,
            label: None,
            created: now,
            role,
            own: None,
            peers: Vec::new(),
            offered: None,
            interface: 0,
            sdp: None,
            memory: Memory::default(),
            medias: Vec::new(),
            learning: Learning::Heuristic,
            source: SourcePolicy::Strict,
            delete_at: None,
            decided: None,
            closed: None,
        }
    }

    /// Whether the tag is one of the leg's.
    pub(super) fn is_named(&self, tag: &Tag) -> bool {
        self.tag.as_ref() == Some(tag) || self.aliases.contains(tag)
    }

    /// The leg speaks under this tag now. Its former one stays known: several phones behind one
    /// branch may answer in turn (NG reference 5.1).
    pub(super) fn name(&mut self, tag: &Tag) {
        if self.tag.as_ref() == Some(tag) {
            return;
        }
        self.aliases.retain(|alias| alias != tag);
        if let Some(former) = self.tag.replace(tag.clone()) {
            if self.aliases.len() >= MAX_ALIASES {
                self.aliases.remove(0);
            }
            self.aliases.push(former);
        }
    }

    /// Takes over what the options say about the address of the leg.
    ///
    /// `asymmetric` with `strict source` is contradictory (NG reference 13.2): the leg sends from
    /// an address that nobody has declared, so strictness would drop all of it. Asymmetry wins,
    /// and every source is taken, but nothing is ever sent elsewhere than declared.
    pub(super) fn take_policy(&mut self, options: &Options, settings: &Settings, asymmetric: bool) {
        let strict = options.strict_source.unwrap_or(settings.strict_source);
        (self.learning, self.source) = if asymmetric {
            (Learning::Off, SourcePolicy::Loose)
        } else {
            let learning = options.learning.unwrap_or(settings.learning);
            let source = match options.strict_source {
                Some(true) => SourcePolicy::Strict,
                Some(false) | None if options.media_handover => SourcePolicy::Handover,
                Some(false) | None if strict => SourcePolicy::Strict,
                Some(false) | None => SourcePolicy::Loose,
            };
            (learning, source)
        };
    }

    /// The rule, if its media goes home.
    pub(super) fn rule(&self) -> Option<&MirrorRule> {
        self.decided.as_ref()?.0.rule()
    }

    /// Adds a peer, once.
    pub(super) fn link(&mut self, peer: PartyId) {
        if !self.peers.contains(&peer) {
            self.peers.reserve_exact(1);
            self.peers.push(peer);
        }
    }

    /// Drops a peer and the sockets that carry its media.
    pub(super) fn unlink(&mut self, peer: PartyId) {
        self.peers.retain(|p| *p != peer);
        for media in &mut self.medias {
            media.release(peer);
        }
    }

    /// At least so many medias.
    pub(super) fn grow_medias(&mut self, count: usize) {
        if self.medias.len() < count {
            self.medias.reserve_exact(count - self.medias.len());
            self.medias.resize_with(count, Media::unknown);
        }
    }
}

/// An SDP in the journal: as octets, where a sequence of numbers would take time and room.
mod octets {
    use serde::de::{Deserializer, Error, Visitor};
    use serde::{Deserialize, Serializer};

    pub(super) fn serialize<S: Serializer>(
        sdp: &Option<Box<[u8]>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match sdp {
            Some(sdp) => serializer.serialize_bytes(sdp),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Box<[u8]>>, D::Error> {
        let octets = Option::<Octets>::deserialize(deserializer)?;
        Ok(octets.map(|octets| octets.0))
    }

    struct Octets(Box<[u8]>);

    impl<'de> Deserialize<'de> for Octets {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_byte_buf(Visit)
        }
    }

    struct Visit;

    impl<'de> Visitor<'de> for Visit {
        type Value = Octets;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("octets")
        }

        fn visit_bytes<E: Error>(self, octets: &[u8]) -> Result<Octets, E> {
            Ok(Octets(octets.into()))
        }

        fn visit_byte_buf<E: Error>(self, octets: Vec<u8>) -> Result<Octets, E> {
            Ok(Octets(octets.into()))
        }
    }
}

/// Former tags that are remembered for a leg.
const MAX_ALIASES: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn leg() -> Party {
        Party::new(PartyId(0), LegRole::Called, Timestamp::default())
    }

    #[test]
    fn tags_in_turn_stay_known_within_bounds() {
        let mut party = leg();
        for n in 0..100 {
            party.name(&Tag::from(format!("t{n}").as_str()));
        }
        assert_eq!(party.aliases.len(), MAX_ALIASES);
        party.name(&Tag::from("t98"));
        assert_eq!(party.tag, Some(Tag::from("t98")));
        assert!(party.is_named(&Tag::from("t99")) && !party.is_named(&Tag::from("t1")));
        assert_eq!(party.aliases.len(), MAX_ALIASES);
    }
}
