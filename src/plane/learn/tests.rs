use std::net::SocketAddr;

use proptest::prelude::*;

use super::*;

fn address(text: &str) -> Address {
    text.parse::<SocketAddr>().unwrap().into()
}

fn at(millis: u64) -> Timestamp {
    Timestamp::from_secs(1_000) + Duration::from_millis(millis)
}

/// A slot's share of the learning: what the worker does around [`Learner`].
struct Party {
    learner: Learner,
    rules: Rules,
    declared: Address,
    peer: Address,
}

impl Party {
    fn new(learn: Learn, source: Source) -> Self {
        Self::declared(learn, source, address(DECLARED))
    }

    fn declared(learn: Learn, source: Source, declared: Address) -> Self {
        Self {
            learner: Learner::default(),
            rules: Rules { learn, source },
            declared,
            peer: declared,
        }
    }

    fn hears(&mut self, from: &str, millis: u64) -> Verdict {
        self.hears_from(address(from), millis)
    }

    fn hears_from(&mut self, from: Address, millis: u64) -> Verdict {
        let (declared, peer) = (&self.declared, &self.peer);
        let verdict = self
            .learner
            .judge(self.rules, declared, peer, &from, at(millis));
        if verdict == Follow {
            self.peer = from;
        }
        verdict
    }
}

const DECLARED: &str = "192.0.2.1:4000";
const SAME_HOST_: &str = "192.0.2.1:5000";
const SAME_PORT_: &str = "198.51.100.9:4000";
const OTHER: &str = "203.0.113.7:7000";
const ANOTHER: &str = "203.0.113.8:7000";

use Verdict::{Follow, Stranger, Take};

#[test]
fn off_never_moves() {
    for (source, from_elsewhere) in [
        (Source::Strict, Stranger),
        (Source::Loose, Take),
        (Source::Handover, Take),
    ] {
        let mut party = Party::new(Learn::Off, source);
        assert_eq!(party.hears(OTHER, 0), from_elsewhere);
        assert_eq!(party.hears(DECLARED, 10_000), Take);
        assert_eq!(party.hears(SAME_HOST_, 20_000), from_elsewhere);
    }
    let mut party = Party::declared(Learn::Off, Source::Strict, Address::NONE);
    assert_eq!(party.hears(OTHER, 0), Stranger);
}

#[test]
fn immediate_takes_the_first() {
    let mut party = Party::new(Learn::Immediate, Source::Strict);
    assert_eq!(party.hears(OTHER, 0), Follow);
    assert_eq!(party.hears(OTHER, 1), Take);
    assert_eq!(party.hears(DECLARED, 2), Stranger);
    let mut party = Party::new(Learn::Immediate, Source::Strict);
    assert_eq!(party.hears(DECLARED, 0), Follow);
    assert_eq!(party.hears(OTHER, 1), Stranger);
}

#[test]
fn delayed_takes_the_last_of_the_window() {
    let mut party = Party::new(Learn::Delayed, Source::Strict);
    assert_eq!(party.hears(DECLARED, 0), Follow);
    assert_eq!(party.hears(OTHER, 1_000), Follow);
    assert_eq!(party.hears(ANOTHER, 2_999), Follow);
    assert_eq!(party.hears(OTHER, 3_000), Stranger);
    assert_eq!(party.hears(ANOTHER, 3_001), Take);
}

#[test]
fn heuristic_prefers_the_better_match() {
    let mut party = Party::new(Learn::Heuristic, Source::Strict);
    assert_eq!(party.hears(OTHER, 0), Follow);
    assert_eq!(party.hears(ANOTHER, 100), Stranger);
    assert_eq!(party.hears(OTHER, 200), Take);
    assert_eq!(party.hears(SAME_PORT_, 300), Follow);
    assert_eq!(party.hears(OTHER, 400), Stranger);
    assert_eq!(party.hears(SAME_HOST_, 500), Follow);
    assert_eq!(party.hears(SAME_PORT_, 600), Stranger);
    assert!(!party.learner.is_confirmed());
    assert_eq!(party.hears(DECLARED, 700), Follow);
    assert!(party.learner.is_confirmed());
    assert_eq!(party.hears(SAME_HOST_, 800), Stranger);
}

#[test]
fn after_the_window_no_match_is_good_enough() {
    let mut party = Party::new(Learn::Heuristic, Source::Strict);
    assert_eq!(party.hears(OTHER, 0), Follow);
    assert_eq!(party.hears(DECLARED, 3_000), Stranger);
    assert_eq!(party.hears(OTHER, 3_001), Take);
}

#[test]
fn an_exact_match_confirms_at_once() {
    let mut party = Party::new(Learn::Heuristic, Source::Strict);
    assert_eq!(party.hears(DECLARED, 0), Follow);
    assert!(party.learner.is_confirmed());
    assert_eq!(party.hears(SAME_HOST_, 1), Stranger);
}

#[test]
fn without_a_declared_address_the_first_is_as_good_as_any() {
    let mut party = Party::declared(Learn::Heuristic, Source::Strict, Address::NONE);
    assert_eq!(party.hears(OTHER, 0), Follow);
    assert_eq!(party.hears(DECLARED, 1), Stranger);
    assert_eq!(party.hears(OTHER, 2), Take);
}

#[test]
fn after_confirmation_the_policy_decides() {
    for (source, verdict) in [
        (Source::Strict, Stranger),
        (Source::Handover, Follow),
        (Source::Loose, Take),
    ] {
        let mut party = Party::new(Learn::Heuristic, source);
        party.hears(DECLARED, 0);
        assert_eq!(party.hears(OTHER, 10), verdict);
    }
    // In the window loose takes what strict drops, and stays where it is.
    let mut party = Party::new(Learn::Heuristic, Source::Loose);
    party.hears(SAME_HOST_, 0);
    assert_eq!(party.hears(OTHER, 10), Take);
    assert_eq!(party.peer, address(SAME_HOST_));
}

fn reopened(declared: &str, known: &str) -> Party {
    let mut party = Party::new(Learn::Heuristic, Source::Strict);
    party.hears(known, 0);
    let kept = (declared == DECLARED).then_some(party.peer);
    party.declared = address(declared);
    party.learner.reopen(&party.declared, kept.as_ref());
    party
}

#[test]
fn a_harmless_window_does_not_give_the_stream_away() {
    let mut party = reopened(DECLARED, OTHER);
    assert_eq!(party.hears(ANOTHER, 10_000), Stranger);
    assert_eq!(party.hears(OTHER, 10_020), Take);
    assert_eq!(party.hears(ANOTHER, 10_900), Stranger);
    // A better match wins even so.
    let mut party = reopened(DECLARED, OTHER);
    assert_eq!(party.hears(SAME_HOST_, 10_000), Follow);
    assert_eq!(party.hears(OTHER, 10_010), Stranger);
}

#[test]
fn a_former_peer_that_is_silent_gives_way() {
    let mut party = reopened(DECLARED, OTHER);
    assert_eq!(party.hears(ANOTHER, 10_000), Stranger);
    assert_eq!(party.hears(ANOTHER, 10_499), Stranger);
    assert_eq!(party.hears(ANOTHER, 10_500), Follow);
    assert_eq!(party.hears(OTHER, 10_600), Stranger);
    // Also long after the window, if nobody spoke in it.
    let mut party = reopened(DECLARED, DECLARED);
    assert_eq!(party.hears(OTHER, 10_000), Stranger);
    assert_eq!(party.hears(OTHER, 90_000), Follow);
}

#[test]
fn a_new_declared_address_starts_from_nothing() {
    let mut party = reopened(ANOTHER, DECLARED);
    assert_eq!(party.hears(OTHER, 10_000), Follow);
    assert_eq!(party.hears(ANOTHER, 10_001), Follow);
    assert!(party.learner.is_confirmed());
}

#[test]
fn state_stays_small() {
    assert!(size_of::<Learner>() <= 16);
}

/// One party, its NAT, and attackers who know some of it: who has the stream at the end?
fn simulation() -> impl Strategy<Value = Vec<(usize, u64)>> {
    proptest::collection::vec((0..5_usize, 1..400_u64), 1..60)
}

proptest! {
    /// Whoever sends, and whenever: with strict source the peer never becomes a worse match than
    /// it was, no stranger is followed after confirmation, and what is followed is the source.
    #[test]
    fn the_peer_only_gets_better(steps in simulation()) {
        let sources = [DECLARED, SAME_HOST_, SAME_PORT_, OTHER, ANOTHER];
        let mut party = Party::new(Learn::Heuristic, Source::Strict);
        let (mut now, mut best, mut opened) = (0, 0, None);
        for (who, pause) in steps {
            now += pause;
            let opened = *opened.get_or_insert(now);
            let from = address(sources[who]);
            let confirmed = party.learner.is_confirmed();
            let before = party.peer;
            let verdict = party.hears_from(from, now);
            match verdict {
                Follow => {
                    prop_assert!(!confirmed && now < opened + 3_000);
                    prop_assert!(rank(&party.declared, &from) > best);
                    best = rank(&party.declared, &from);
                    prop_assert_eq!(party.peer, from);
                }
                Take => prop_assert_eq!(before, from),
                Stranger => prop_assert_ne!(before, from),
            }
        }
    }

    /// Once the party itself has been heard from the declared address, attackers change nothing,
    /// however many harmless windows signalling opens.
    #[test]
    fn the_declared_party_keeps_its_stream(steps in simulation(), reopen in 1..10_usize) {
        let attackers = [SAME_HOST_, SAME_PORT_, OTHER, ANOTHER, DECLARED];
        let mut party = Party::new(Learn::Heuristic, Source::Strict);
        party.hears(DECLARED, 0);
        let mut now = 0;
        for (step, (who, pause)) in steps.into_iter().enumerate() {
            now += pause;
            if step % reopen == 0 {
                let kept = party.peer;
                party.learner.reopen(&party.declared, Some(&kept));
                party.hears(DECLARED, now);
            }
            party.hears(attackers[who], now);
            prop_assert_eq!(party.peer, address(DECLARED));
        }
    }
}
