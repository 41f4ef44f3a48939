use std::collections::VecDeque;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;

const UNREACHABLE: Duration = Duration::from_millis(200);
const RETURN: Duration = Duration::from_millis(500);
const STEP: Duration = Duration::from_millis(20);
const LIMITS: HomeLimits = HomeLimits {
    unreachable_after: UNREACHABLE,
    return_after: RETURN,
};

/// A slot facing home, with the time and what it has told.
struct Bench {
    home: Home,
    counters: Counters,
    now: Timestamp,
    sequence: u32,
}

impl Bench {
    fn new() -> Self {
        Self {
            home: Home::new(LIMITS, 64, 7),
            counters: Counters::default(),
            now: Timestamp::from_secs(1_000),
            sequence: 0,
        }
    }

    /// Sends the next packet after `pause`.
    fn send(&mut self, pause: Duration) -> ([u8; 4], Way) {
        self.now = self.now + pause;
        self.sequence += 1;
        let packet = self.sequence.to_be_bytes();
        (packet, self.home.send(&packet, self.now, &self.counters))
    }

    fn take(&mut self, packet: &[u8]) -> Result<(), Drop> {
        self.home.take(packet, self.now, &self.counters)
    }

    /// Sends a packet that is answered at once.
    fn answered(&mut self, pause: Duration) -> Way {
        let (packet, way) = self.send(pause);
        let expected = match way {
            Way::Home => Ok(()),
            Way::Straight => Err(Drop::LateHome),
        };
        assert_eq!(self.take(&packet), expected);
        way
    }

    fn news(&mut self) -> Vec<Event> {
        let told = std::cell::RefCell::new(Vec::new());
        assert!(self.home.tell(SLOT, |event| {
            told.borrow_mut().push(event);
            true
        }));
        told.into_inner()
    }

    fn counts(&self) -> (u32, u32) {
        let seen = self.counters.snapshot();
        (seen.home_sent, seen.home_lost)
    }

    /// Sends unanswered packets until home is lost.
    fn lose(&mut self) -> Vec<[u8; 4]> {
        let mut sent = Vec::new();
        loop {
            let (packet, way) = self.send(STEP);
            sent.push(packet);
            if way == Way::Straight {
                return sent;
            }
            assert!(sent.len() < 100);
        }
    }
}

const SLOT: SlotId = SlotId(9);

fn lost(unanswered: u64) -> Event {
    Event::HomeLost {
        slot: SLOT,
        unanswered,
    }
}

const BACK: Event = Event::HomeBack { slot: SLOT };

#[test]
fn each_packet_comes_back_once_and_as_it_was() {
    let mut bench = Bench::new();
    let (packet, way) = bench.send(STEP);
    assert_eq!(way, Way::Home);
    assert_eq!(bench.take(b"other"), Err(Drop::HomeAltered));
    assert_eq!(bench.take(&packet[..3]), Err(Drop::HomeAltered));
    assert_eq!(bench.take(&packet), Ok(()));
    assert_eq!(bench.take(&packet), Err(Drop::HomeDuplicate));
    // An empty datagram is one like any other, and comes as often as it was sent.
    for _ in 0..3 {
        bench.home.send(&[], bench.now, &bench.counters);
    }
    let results: Vec<_> = (0..4).map(|_| bench.take(&[])).collect();
    assert_eq!(results, [Ok(()), Ok(()), Ok(()), Err(Drop::HomeDuplicate)]);
    assert_eq!(bench.counts(), (4, 0));
    assert!(bench.news().is_empty());
}

#[test]
fn silence_of_home_is_noticed_after_the_limit_and_three_packets() {
    let mut bench = Bench::new();
    assert_eq!(bench.answered(STEP), Way::Home);
    // The first at 0 ms, one more each 20 ms: the one at 220 ms is the first beyond 200 ms.
    let sent = bench.lose();
    assert_eq!(sent.len(), 12);
    assert_eq!(bench.counts(), (12, 11));
    assert!(bench.home.has_news() && !bench.home.has_news());
    assert_eq!(bench.news(), [lost(11)]);
    assert!(bench.news().is_empty());

    let mut slow = Bench::new();
    let ways: Vec<_> = [0, 190, 190, 190]
        .map(|pause| slow.send(Duration::from_millis(pause)).1)
        .into();
    assert_eq!(ways, [Way::Home, Way::Home, Way::Home, Way::Straight]);
    assert_eq!(slow.news(), [lost(3)]);
}

#[test]
fn silence_of_the_party_is_not_that_of_home() {
    let mut bench = Bench::new();
    for _ in 0..50 {
        // A burst whose last packets got lost, a long silence, and it goes on.
        for _ in 0..5 {
            assert_eq!(bench.answered(STEP), Way::Home);
        }
        for _ in 0..5 {
            assert_eq!(bench.send(STEP).1, Way::Home);
        }
        let (packet, way) = bench.send(Duration::from_secs(60));
        assert_eq!((way, bench.take(&packet)), (Way::Home, Ok(())));
    }
    assert!(bench.news().is_empty());
}

#[test]
fn a_sparse_stream_is_given_up_after_three_pauses_without_an_answer() {
    let mut bench = Bench::new();
    let pause = Duration::from_secs(5);
    for _ in 0..3 {
        assert_eq!(bench.send(pause).1, Way::Home);
    }
    assert_eq!(bench.send(pause).1, Way::Straight);
    assert_eq!(bench.news(), [lost(3)]);
    // Each answer stands for 200 ms; the first for nothing yet.
    for _ in 0..4 {
        assert_eq!(bench.answered(pause), Way::Straight);
    }
    assert_eq!(bench.answered(pause), Way::Home);
    assert_eq!(bench.news(), [BACK]);
}

#[test]
fn only_good_returns_are_answers() {
    let mut bench = Bench::new();
    let (first, _) = bench.send(STEP);
    assert_eq!(bench.take(&first), Ok(()));
    let mut way = Way::Home;
    let mut sent = 0;
    while way == Way::Home {
        let packet;
        (packet, way) = bench.send(STEP);
        sent += 1;
        assert_eq!(bench.take(&first), Err(Drop::HomeDuplicate));
        assert_eq!(bench.take(&[0, packet[3]]), Err(Drop::HomeAltered));
    }
    assert_eq!(sent, 12);
}

#[test]
fn one_answer_in_time_is_enough() {
    let mut bench = Bench::new();
    for round in 0..200 {
        let (packet, way) = bench.send(STEP);
        assert_eq!(way, Way::Home);
        if round % 9 == 0 {
            bench.take(&packet).unwrap();
        }
    }
    assert!(bench.news().is_empty());
}

#[test]
fn home_must_answer_for_a_while_before_it_is_trusted_again() {
    let mut bench = Bench::new();
    bench.lose();
    bench.news();
    // The first answer at 0 ms, the last at 500 ms.
    let probes = (0..).take_while(|_| bench.answered(STEP) == Way::Straight);
    assert_eq!(probes.count(), 26);
    assert_eq!(bench.news(), [BACK]);
}

#[test]
fn silence_of_home_in_between_starts_the_proof_anew() {
    let mut bench = Bench::new();
    bench.lose();
    for _ in 0..20 {
        assert_eq!(bench.answered(STEP), Way::Straight);
    }
    for _ in 0..12 {
        assert_eq!(bench.send(STEP).1, Way::Straight);
    }
    let probes = (0..).take_while(|_| bench.answered(STEP) == Way::Straight);
    assert_eq!(probes.count(), 26);

    // Silence of the party does not, and proves no more than an answer in time.
    let mut bench = Bench::new();
    bench.lose();
    for _ in 0..16 {
        assert_eq!(bench.answered(STEP), Way::Straight); // 300 ms
    }
    assert_eq!(bench.answered(Duration::from_secs(60)), Way::Straight);
    assert_eq!(bench.answered(STEP), Way::Home);
}

#[test]
fn what_went_straight_never_comes_twice() {
    let mut bench = Bench::new();
    let sent = bench.lose();
    let (straight, _) = bench.send(STEP);
    while bench.answered(STEP) == Way::Straight {}
    // Long after the switch back.
    assert_eq!(bench.take(&straight), Err(Drop::LateHome));
    assert_eq!(bench.take(&straight), Err(Drop::HomeDuplicate));
    // What had been given up was never delivered: it is now, and is not lost any more.
    let (_, lost_before) = bench.counts();
    assert_eq!(bench.take(&sent[0]), Ok(()));
    assert_eq!(bench.take(&sent[0]), Err(Drop::HomeDuplicate));
    assert_eq!(bench.counts().1, lost_before - 1);
}

#[test]
fn what_is_forgotten_counts_as_lost() {
    let mut bench = Bench::new();
    let (first, _) = bench.send(STEP);
    for _ in 0..63 {
        bench.answered(STEP);
    }
    assert_eq!(bench.counts(), (64, 0));
    bench.answered(STEP);
    assert_eq!(bench.counts(), (65, 1));
    assert_eq!(bench.take(&first), Err(Drop::HomeAltered));
}

#[test]
fn another_address_of_home_has_missed_nothing() {
    let mut bench = Bench::new();
    for _ in 0..11 {
        assert_eq!(bench.send(STEP).1, Way::Home);
    }
    bench.home.configure(LIMITS, true);
    assert_eq!(bench.lose().len(), 12);
    bench.home.configure(LIMITS, true);
    assert_eq!(bench.send(STEP).1, Way::Straight, "it must prove itself");
}

#[test]
fn news_that_find_no_room_are_told_later() {
    let mut bench = Bench::new();
    for _ in 0..3 {
        bench.lose();
        while bench.answered(STEP) == Way::Straight {}
    }
    assert!(!bench.home.tell(SLOT, |_| false));
    let room = std::cell::Cell::new(1);
    assert!(!bench.home.tell(SLOT, |_| room.replace(0) == 1));
    assert_eq!(bench.news(), [BACK]);
    bench.lose();
    while bench.answered(STEP) == Way::Straight {}
    bench.lose();
    assert_eq!(bench.news(), [lost(22)], "what lies between is settled");
}

/// What the machine should do, said in the plainest way: everything is remembered for ever, and
/// searched from the end.
#[derive(Default)]
struct Model {
    packets: Vec<(Vec<u8>, State)>,
    bypassed: bool,
    /// Times of sending since the last answer, and of the answers since home was silent.
    unanswered: Vec<Timestamp>,
    answers: Vec<Timestamp>,
    sent: u32,
    lost: u32,
    news: Vec<Event>,
}

impl Model {
    fn is_silent(&self, now: Timestamp) -> bool {
        let times = self.unanswered.iter().copied().chain([now]);
        let times: Vec<_> = times.collect();
        let pauses: Vec<_> = (1..times.len())
            .filter(|&at| times[at].since(times[at - 1]) > UNREACHABLE)
            .collect();
        let run = pauses.last().copied().unwrap_or(0);
        let before = times.len() - 1 - run;
        pauses.len() >= 3 || (before >= 3 && now.since(times[run]) > UNREACHABLE)
    }

    fn send(&mut self, bytes: &[u8], now: Timestamp, places: usize) -> Way {
        let silent = self.is_silent(now);
        if silent && !self.bypassed {
            self.bypassed = true;
            let unanswered = self.unanswered.len() as u64;
            self.news.push(lost(unanswered));
            self.unanswered.clear();
            let from = self.packets.len().saturating_sub(places);
            for (_, state) in &mut self.packets[from..] {
                if *state == State::Home {
                    *state = State::Lost;
                    self.lost += 1;
                }
            }
            self.answers.clear();
        } else if silent {
            self.answers.clear();
        }
        self.unanswered.push(now);
        let state = if self.bypassed {
            State::Straight
        } else {
            self.sent += 1;
            State::Home
        };
        self.packets.push((bytes.to_vec(), state));
        let gone = self.packets.len().checked_sub(places + 1);
        self.lost += u32::from(gone.is_some_and(|at| self.packets[at].1 == State::Home));
        if self.bypassed {
            Way::Straight
        } else {
            Way::Home
        }
    }

    fn take(&mut self, bytes: &[u8], now: Timestamp, places: usize) -> Result<(), Drop> {
        let from = self.packets.len().saturating_sub(places);
        let known = &mut self.packets[from..];
        let mut same = |wanted: &[State]| {
            let found = known
                .iter_mut()
                .rev()
                .find(|(packet, state)| packet == bytes && wanted.contains(state))?;
            Some(std::mem::replace(&mut found.1, State::Returned))
        };
        let result = match same(&[State::Home, State::Lost]) {
            Some(state) => {
                self.lost -= u32::from(state == State::Lost);
                Ok(())
            }
            None if same(&[State::Straight]).is_some() => Err(Drop::LateHome),
            None if same(&[State::Returned]).is_some() => return Err(Drop::HomeDuplicate),
            None => return Err(Drop::HomeAltered),
        };
        self.unanswered.clear();
        self.answers.push(now);
        let proof: Duration = self
            .answers
            .windows(2)
            .map(|pair| pair[1].since(pair[0]).min(UNREACHABLE))
            .sum();
        if self.bypassed && proof >= RETURN {
            self.bypassed = false;
            self.news.push(BACK);
        }
        result
    }
}

/// What is on its way back from a home that does as it likes.
struct Chaos {
    rng: StdRng,
    /// When it arrives, and what.
    returning: VecDeque<(Timestamp, Vec<u8>)>,
    dead: bool,
}

impl Chaos {
    /// Home gets a packet: it may be lost, delayed, doubled, altered.
    fn reflect(&mut self, packet: &[u8], now: Timestamp) {
        if self.dead || self.rng.random_ratio(1, 20) {
            return;
        }
        let copies = if self.rng.random_ratio(1, 15) { 2 } else { 1 };
        for _ in 0..copies {
            let mut packet = packet.to_vec();
            if self.rng.random_ratio(1, 15) {
                let at = self.rng.random_range(0..packet.len());
                packet[at] ^= 1 << self.rng.random_range(0..8);
            }
            let mut delay = self.rng.random_range(1..60);
            if self.rng.random_ratio(1, 40) {
                delay += self.rng.random_range(0..3_000);
            }
            let arrives = now + Duration::from_millis(delay);
            let place = self.returning.partition_point(|(at, _)| *at <= arrives);
            self.returning.insert(place, (arrives, packet));
        }
    }
}

/// A party that talks in bursts, changes its SSRC, repeats itself, and whose sequence wraps.
#[derive(Default)]
struct Party {
    ssrc: u32,
    sequence: u16,
}

impl Party {
    fn next(&mut self, rng: &mut StdRng) -> Vec<u8> {
        if rng.random_ratio(1, 300) {
            self.ssrc = rng.random_range(0..3);
            self.sequence = rng.random_range(65_500..=u16::MAX);
        }
        if !rng.random_ratio(1, 30) {
            self.sequence = self.sequence.wrapping_add(1);
        }
        let mut packet = vec![0x80, 0];
        packet.extend(self.sequence.to_be_bytes());
        packet.extend([0, 0, 0, rng.random_range(0..2)]);
        packet.extend(self.ssrc.to_be_bytes());
        packet
    }
}

#[test]
fn behaves_like_the_model_whatever_home_does() {
    let (mut switches, mut outcomes) = (0, [0; 4]);
    for seed in 0..30 {
        let places = [8, 64, 256][usize::try_from(seed % 3).unwrap()];
        let mut chaos = Chaos {
            rng: StdRng::seed_from_u64(seed),
            returning: VecDeque::new(),
            dead: false,
        };
        let mut home = Home::new(LIMITS, places, seed);
        let (counters, mut model) = (Counters::default(), Model::default());
        let (mut party, mut now) = (Party::default(), Timestamp::from_secs(1_000));
        let told = std::cell::RefCell::new(Vec::new());
        for _ in 0..3_000 {
            now = now + Duration::from_millis(chaos.rng.random_range(0..30));
            if chaos.rng.random_ratio(1, 200) {
                now = now + Duration::from_millis(chaos.rng.random_range(0..5_000));
            }
            if chaos.rng.random_ratio(1, 150) {
                chaos.dead = !chaos.dead;
            }
            while chaos.returning.front().is_some_and(|(at, _)| *at <= now) {
                let (at, packet) = chaos.returning.pop_front().unwrap();
                let result = home.take(&packet, at, &counters);
                assert_eq!(result, model.take(&packet, at, places), "seed {seed}");
                outcomes[match result {
                    Ok(()) => 0,
                    Err(Drop::LateHome) => 1,
                    Err(Drop::HomeDuplicate) => 2,
                    Err(_) => 3,
                }] += 1;
                assert!(home.tell(SLOT, |event| {
                    told.borrow_mut().push(event);
                    true
                }));
            }
            let packet = party.next(&mut chaos.rng);
            let way = home.send(&packet, now, &counters);
            assert_eq!(way, model.send(&packet, now, places), "seed {seed}");
            chaos.reflect(&packet, now);
            assert!(home.tell(SLOT, |event| {
                told.borrow_mut().push(event);
                true
            }));
            let seen = counters.snapshot();
            assert_eq!((seen.home_sent, seen.home_lost), (model.sent, model.lost));
        }
        assert_eq!(told.into_inner(), model.news, "seed {seed}");
        switches += model.news.len();
    }
    assert!(switches > 60, "{switches}");
    assert!(outcomes.iter().all(|&count| count > 300), "{outcomes:?}");
}

/// Whatever home does, no party gets more of equal packets than the other sent, and all those
/// that home took and gave back in time arrive.
#[test]
fn nothing_is_delivered_twice() {
    for seed in 0..30 {
        let mut chaos = Chaos {
            rng: StdRng::seed_from_u64(1_000 + seed),
            returning: VecDeque::new(),
            dead: false,
        };
        let mut home = Home::new(LIMITS, 1_024, seed);
        let (counters, mut now) = (Counters::default(), Timestamp::from_secs(1_000));
        let mut arrived = vec![0; 2_000];
        for number in 0..2_000_u32 {
            now = now + STEP;
            chaos.dead = number % 400 > 300;
            while chaos.returning.front().is_some_and(|(at, _)| *at <= now) {
                let (at, packet) = chaos.returning.pop_front().unwrap();
                if home.take(&packet, at, &counters).is_ok() {
                    let number = u32::from_be_bytes(packet.try_into().unwrap());
                    arrived[usize::try_from(number).unwrap()] += 1;
                }
            }
            let packet = number.to_be_bytes();
            match home.send(&packet, now, &counters) {
                Way::Home => {}
                Way::Straight => arrived[usize::try_from(number).unwrap()] += 1,
            }
            chaos.reflect(&packet, now);
        }
        assert!(arrived.iter().all(|&times| times <= 1), "seed {seed}");
        // While home is dead some get lost until that is seen; the rest is the loss of its links.
        let missing = arrived.iter().filter(|&&times| times == 0).count();
        assert!((20..400).contains(&missing), "{missing} with seed {seed}");
    }
}

/// A window of any size holds exactly the last packets, equal ones too.
#[test]
fn the_window_is_a_ring() {
    let mut rng = StdRng::seed_from_u64(3);
    for places in [2, 4, 64, 1_024] {
        let mut window = Window::new(places);
        let mut last = VecDeque::new();
        for _ in 0..5_000 {
            // Few hashes, so that chains are long; the lowest bits are not part of them.
            let hash = rng.random_range(0..40_u64) << 6 | rng.random_range(0..4);
            if rng.random() {
                let forgotten = window.insert(hash, State::Home);
                last.push_back((hash >> 2, State::Home));
                let expected = (last.len() > places).then(|| last.pop_front().unwrap().1);
                assert_eq!(forgotten, expected);
            } else {
                let mut same = last.iter_mut().rev().filter(|(own, _)| *own == hash >> 2);
                let expected = match same.find(|(_, state)| *state == State::Home) {
                    Some((_, state)) => Some(std::mem::replace(state, State::Returned)),
                    None => last
                        .iter()
                        .any(|(own, _)| *own == hash >> 2)
                        .then_some(State::Returned),
                };
                assert_eq!(window.take(hash), expected);
            }
        }
    }
}

/// Otherwise one who repeats itself, with an anchor that does, could keep a worker busy.
#[test]
fn the_search_among_equal_packets_ends() {
    let mut window = Window::new(1_024);
    for _ in 0..1_024 {
        window.insert(1 << 5, State::Home);
        assert_eq!(window.take(1 << 5), Some(State::Home));
    }
    assert_eq!(window.take(1 << 5), Some(State::Returned));
    // One that is late behind a few equal ones is found, behind many it is not.
    for (between, found) in [(63, State::Home), (64, State::Returned)] {
        window.insert(1 << 5, State::Home);
        for _ in 0..between {
            window.insert(1 << 5, State::Home);
            assert_eq!(window.take(1 << 5), Some(State::Home));
        }
        assert_eq!(window.take(1 << 5), Some(found));
    }
}

#[test]
fn video_gets_more_room_and_reports_get_less() {
    assert_eq!(places(Expect::Rtp, 90_000), 4_096);
    assert_eq!(places(Expect::Rtp, 8_000), 1_024);
    assert_eq!(places(Expect::Rtcp, 90_000), 256);
    assert_eq!(places(Expect::Datagram, 8_000), 256);
}
