//! The one thread that receives for all parties and checks what it gets.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::call::{Call, Party, nanos};
use super::check::{ScriptCheck, StreamCheck, Verdict};
use super::media::{Side, Stream};
use super::report::Micros;
use super::script;
use crate::sys::clock::Clock;
use crate::sys::epoll::{Epoll, Ready};
use crate::sys::mmsg::PacketRing;
use crate::wire::time::Timestamp;

/// What the parties received.
#[derive(Debug)]
pub(super) struct Received {
    /// By call; in it by receiving side.
    pub(super) parties: Vec<[Inbound; 2]>,
    pub(super) times: Times,
}

/// How long packets took.
#[derive(Debug)]
pub(super) struct Times {
    pub(super) latency: Micros,
    pub(super) from_due: Micros,
    pub(super) first_packet: Micros,
}

/// The checks of one receiving party.
#[derive(Debug)]
pub(super) struct Inbound {
    pub(super) rtp: StreamCheck,
    pub(super) rtcp: ScriptCheck,
    pub(super) floor: ScriptCheck,
}

impl Inbound {
    /// For what this stream's sender sends.
    fn new(peer: &Stream) -> Self {
        Self {
            rtp: StreamCheck::new(peer.clone()),
            rtcp: ScriptCheck::new(peer.clone(), script::rtcp),
            floor: ScriptCheck::new(peer.clone(), script::floor),
        }
    }
}

/// A receiver, with all sockets registered.
#[derive(Debug)]
pub(super) struct Receiver<'a> {
    calls: &'a [Call],
    epoch: Duration,
    epoll: Epoll,
    received: Received,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Channel {
    Rtp,
    Rtcp,
    Floor,
}

impl<'a> Receiver<'a> {
    /// Watches all sockets of all calls.
    pub(super) fn new(calls: &'a [Call], epoch: Duration) -> io::Result<Self> {
        let epoll = Epoll::new()?;
        for (number, call) in calls.iter().enumerate() {
            for side in Side::BOTH {
                let party = &call.parties[side.index()];
                for channel in [Channel::Rtp, Channel::Rtcp, Channel::Floor] {
                    if let Some(socket) = socket(party, channel) {
                        epoll.add(socket, token(number, side, channel))?;
                    }
                }
            }
        }
        let inbound =
            |call: &Call, side: Side| Inbound::new(&call.parties[side.peer().index()].stream);
        Ok(Self {
            calls,
            epoch,
            epoll,
            received: Received {
                parties: calls
                    .iter()
                    .map(|call| Side::BOTH.map(|side| inbound(call, side)))
                    .collect(),
                times: Times {
                    latency: Micros::new(),
                    from_due: Micros::new(),
                    first_packet: Micros::new(),
                },
            },
        })
    }

    /// Receives until `stop` is set, and then what is still there.
    pub(super) fn run(mut self, stop: &AtomicBool) -> io::Result<Received> {
        let (mut ready, mut ring) = (Ready::new(256), PacketRing::new(READS_IN_A_ROW));
        loop {
            let last = stop.load(Ordering::Acquire);
            self.epoll
                .wait(&mut ready, Some(Duration::from_millis(20)))?;
            for token in (0..ready.len()).filter_map(|at| ready.token(at)) {
                self.drain(token, &mut ring);
            }
            if last && ready.is_empty() {
                return Ok(self.received);
            }
        }
    }

    /// Reads what a socket holds, up to a batch: no busy socket holds up the others.
    fn drain(&mut self, token: u64, ring: &mut PacketRing) {
        let Some((number, side, channel)) = parse(token) else {
            return;
        };
        let Some(call) = self.calls.get(number) else {
            return;
        };
        let party = &call.parties[side.index()];
        let Some(socket) = socket(party, channel) else {
            return;
        };
        // An error of the socket (an ICMP message) was taken from it by the attempt.
        let count = ring.receive(socket, 0, READS_IN_A_ROW).unwrap_or(0);
        let clocks = Clocks::read(self.epoch);
        let inbound = &mut self.received.parties[number][side.index()];
        for datagram in (0..count).map(|index| ring.datagram(index)) {
            let now = clocks.of(datagram.received);
            party.last_news.store(nanos(now), Ordering::Release);
            let known = from_relay(call, side, channel, datagram.from.to_std());
            match (channel, known) {
                (Channel::Rtp, true) => {
                    let verdict = inbound.rtp.receive(datagram.bytes, now);
                    self.received.times.note(call, side, verdict, now);
                }
                (Channel::Rtp, false) => {
                    inbound.rtp.foreign();
                }
                (Channel::Rtcp, true) => inbound.rtcp.receive(datagram.bytes),
                (Channel::Rtcp, false) => inbound.rtcp.foreign(),
                (Channel::Floor, true) => inbound.floor.receive(datagram.bytes),
                (Channel::Floor, false) => inbound.floor.foreign(),
            }
        }
        let control = inbound.rtcp.counts().received + inbound.floor.counts().received;
        party.arrived_control.store(control, Ordering::Release);
    }
}

/// Both clocks at one moment, to bring the kernel's time stamps to the time of the run.
struct Clocks {
    run: Duration,
    wall: Timestamp,
}

impl Clocks {
    fn read(epoch: Duration) -> Self {
        Self {
            run: Clock::monotonic().saturating_sub(epoch),
            wall: Clock::realtime(),
        }
    }

    /// When the kernel received something: so our own slowness does not count as the relay's. A
    /// stamp that is not of the last moments tells of a stepped clock, and is not believed.
    fn of(&self, stamp: Option<Timestamp>) -> Duration {
        let waited = stamp.map_or(Duration::ZERO, |stamp| self.wall.since(stamp));
        if waited > LONGEST_WAIT {
            return self.run;
        }
        self.run.saturating_sub(waited)
    }
}

impl Times {
    /// Notes times of a packet that arrived at a party.
    fn note(&mut self, call: &Call, side: Side, verdict: Verdict, now: Duration) {
        let Verdict::Arrived { index, .. } = verdict else {
            return;
        };
        let sender = &call.parties[side.peer().index()];
        let first = call.parties[side.index()]
            .arrived
            .fetch_add(1, Ordering::AcqRel)
            == 0;
        let due = call
            .due(side.peer(), sender.stream.tick_of(index))
            .unwrap_or(now);
        // What is too old for the list of send times is measured from when it was due.
        let sent = sender.sent_at(index).unwrap_or(due);
        self.latency.record(now.saturating_sub(sent));
        self.from_due.record(now.saturating_sub(due));
        if first {
            let begin = sender.sent_at(0).unwrap_or(sent);
            self.first_packet.record(now.saturating_sub(begin));
        }
    }
}

/// Whether a datagram comes from where the party sends to.
fn from_relay(call: &Call, side: Side, channel: Channel, from: Option<SocketAddr>) -> bool {
    let Some(remote) = call.remote.get().map(|remote| remote[side.index()]) else {
        return false;
    };
    let expected = match channel {
        Channel::Rtp => Some(remote.rtp),
        Channel::Rtcp => Some(remote.rtcp),
        Channel::Floor => remote.floor,
    };
    from.is_some() && from == expected
}

const fn socket(party: &Party, channel: Channel) -> Option<&UdpSocket> {
    match channel {
        Channel::Rtp => Some(&party.rtp),
        Channel::Rtcp => party.rtcp.as_ref(),
        Channel::Floor => party.floor.as_ref(),
    }
}

fn token(call: usize, side: Side, channel: Channel) -> u64 {
    let call = u64::try_from(call).unwrap_or(u64::MAX >> 8);
    (call << 3) | (channel as u64) << 1 | side as u64
}

fn parse(token: u64) -> Option<(usize, Side, Channel)> {
    let call = usize::try_from(token >> 3).ok()?;
    let side = if token & 1 == 0 {
        Side::Caller
    } else {
        Side::Callee
    };
    let channel = match token >> 1 & 3 {
        0 => Channel::Rtp,
        1 => Channel::Rtcp,
        2 => Channel::Floor,
        _ => return None,
    };
    Some((call, side, channel))
}

/// Datagrams taken from a socket at once.
const READS_IN_A_ROW: usize = 16;
/// Longer than anything waits in a socket of ours.
const LONGEST_WAIT: Duration = Duration::from_secs(2);
