//! The packets that were sent home last, found by their hash: a ring of fixed size with an index
//! of chains, the newest first. A chain is long only if a party repeats itself octet by octet; the
//! search in it ends after [`EQUALS`] packets that are of no use.

/// What has become of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Sent home, and on its way.
    Home,
    /// Came back.
    Returned,
    /// Sent straight; its copy is on its way.
    Straight,
    /// Sent home and given up.
    Lost,
}

/// The packets sent last.
#[derive(Debug)]
pub(super) struct Window {
    /// Hashes, the two lowest bits of which are replaced by the state.
    packets: Box<[u64]>,
    links: Box<[Links]>,
    /// The newest packet of each chain.
    heads: Box<[Place]>,
    /// Where the next packet goes: once the ring is full, the place of the oldest.
    next: usize,
    /// Places that are in use.
    filled: usize,
}

/// Neighbours in a chain.
#[derive(Clone, Copy, Debug)]
struct Links {
    older: Place,
    newer: Place,
}

/// A place in the ring, or [`NOWHERE`].
type Place = u16;

impl Window {
    /// Room for `places` packets: a power of two, at most 2^15.
    pub(super) fn new(places: usize) -> Self {
        let places = places.clamp(2, MOST).next_power_of_two();
        Self {
            packets: vec![0; places].into(),
            links: vec![UNLINKED; places].into(),
            heads: vec![NOWHERE; places].into(),
            next: 0,
            filled: 0,
        }
    }

    /// Remembers a packet; the state of the one that is forgotten for it, if any.
    pub(super) fn insert(&mut self, hash: u64, state: State) -> Option<State> {
        let at = self.next;
        let forgotten = (self.filled == self.packets.len()).then(|| self.forget(at));
        self.filled = self.packets.len().min(self.filled + 1);
        self.next = (at + 1) % self.packets.len();
        self.packets[at] = packed(hash, state);
        let chain = self.chain(hash);
        let (place, older) = (narrow(at), self.heads[chain]);
        if let Some(links) = self.links.get_mut(usize::from(older)) {
            links.newer = place;
        }
        self.links[at] = Links {
            older,
            newer: NOWHERE,
        };
        self.heads[chain] = place;
        forgotten
    }

    /// A packet came back: the state it was in, `None` if it was never sent or is forgotten. Of
    /// equal ones one that was only sent home counts as the one that came, so that no party gets
    /// a packet more often than the other sent it, nor less often if all come back in time.
    pub(super) fn take(&mut self, hash: u64) -> Option<State> {
        let (mut straight, mut returned, mut equals) = (None, None, 0);
        let mut place = self.heads[self.chain(hash)];
        while let Some(&packet) = self.packets.get(usize::from(place)) {
            let at = usize::from(place);
            if packet & HASH == hash & HASH {
                match state(packet) {
                    found @ (State::Home | State::Lost) => return Some(self.settle(at, found)),
                    State::Straight => straight = straight.or(Some(at)),
                    State::Returned => returned = Some(State::Returned),
                }
                equals += 1;
                if equals == EQUALS {
                    break;
                }
            }
            place = self.links[at].older;
        }
        straight
            .map(|at| self.settle(at, State::Straight))
            .or(returned)
    }

    /// Gives up what is on its way home; how many packets that are.
    pub(super) fn give_up(&mut self) -> u32 {
        let mut count = 0;
        for packet in &mut self.packets[..self.filled] {
            if state(*packet) == State::Home {
                *packet = packed(*packet, State::Lost);
                count += 1;
            }
        }
        count
    }

    fn settle(&mut self, at: usize, found: State) -> State {
        self.packets[at] = packed(self.packets[at], State::Returned);
        found
    }

    /// Takes the oldest packet, which is the last of its chain, out of it.
    fn forget(&mut self, oldest: usize) -> State {
        let (packet, newer) = (self.packets[oldest], self.links[oldest].newer);
        match self.links.get_mut(usize::from(newer)) {
            Some(links) => links.older = NOWHERE,
            None => self.heads[self.chain(packet)] = NOWHERE,
        }
        state(packet)
    }

    fn chain(&self, hash: u64) -> usize {
        (hash >> STATE_BITS) as usize & (self.heads.len() - 1) // as many bits as there are chains
    }
}

const fn packed(hash: u64, state: State) -> u64 {
    let state = match state {
        State::Home => 0,
        State::Returned => 1,
        State::Straight => 2,
        State::Lost => 3,
    };
    hash & HASH | state
}

const fn state(packet: u64) -> State {
    match packet & !HASH {
        0 => State::Home,
        1 => State::Returned,
        2 => State::Straight,
        _ => State::Lost,
    }
}

fn narrow(at: usize) -> Place {
    Place::try_from(at).unwrap_or(NOWHERE)
}

const STATE_BITS: u32 = 2;
const HASH: u64 = !0 << STATE_BITS;
const MOST: usize = 1 << 15;
/// Equal packets that are looked at in search of one that may come back.
const EQUALS: usize = 64;
const NOWHERE: Place = Place::MAX;
const UNLINKED: Links = Links {
    older: NOWHERE,
    newer: NOWHERE,
};
