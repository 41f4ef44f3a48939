//! The one thread that sends for all parties, by a fixed timetable: it never waits for what
//! comes back, so that a stall shows as lateness of every packet that it held up.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::call::{Call, Party, nanos, slot};
use super::media::Side;
use super::script::{self, Cue};
use super::sdp::Remote;
use crate::sys::clock::Clock;

/// Sends until every call has ended or `halt` is set. `epoch` is the start of the run on the
/// monotonic clock.
pub(super) fn run(calls: &[Call], epoch: Duration, halt: &AtomicBool) {
    let mut states: Vec<_> = calls.iter().map(|_| CallState::default()).collect();
    // The order of the offsets: all callers, then all called parties.
    let order = Side::BOTH
        .into_iter()
        .flat_map(|side| (0..calls.len()).map(move |call| (side, call)));
    let order: Vec<_> = order.collect();
    let mut running = calls.len();
    for tick in 0.. {
        for &(side, at) in &order {
            let (call, state) = (&calls[at], &mut states[at]);
            let Some(remote) = call.remote.get() else {
                continue;
            };
            let begun = match call.start() {
                Some(begun) => begun,
                // Caller first: both begin in the same interval.
                None if side == Side::Caller => {
                    call.begin(tick);
                    tick
                }
                None => continue,
            };
            let progress = &mut state.0[side.index()];
            if progress.ended {
                continue;
            }
            let party = &call.parties[side.index()];
            if !wait_until(epoch + slot(tick) + party.offset, halt) {
                finish(calls);
                return;
            }
            let within = u32::try_from(tick - begun).unwrap_or(u32::MAX);
            progress.send(party, &remote[side.index()], within, epoch);
            if progress.ended {
                party.finished.store(true, Ordering::Release);
                running -= usize::from(state.0.iter().all(|party| party.ended));
            }
        }
        if running == 0 {
            return;
        }
        if !wait_until(epoch + slot(tick + 1), halt) {
            finish(calls);
            return;
        }
    }
}

#[derive(Debug, Default)]
struct CallState([Progress; 2]);

/// How far a party has come in its scripts.
#[derive(Debug, Default)]
struct Progress {
    rtcp: u32,
    floor: u32,
    ended: bool,
}

impl Progress {
    /// Sends all that is due in a packet interval of the call.
    fn send(&mut self, party: &Party, remote: &Remote, tick: u32, epoch: Duration) {
        let now = || Clock::monotonic().saturating_sub(epoch);
        let due = |cue: &Cue| cue.tick <= tick;
        if let (Some(socket), Some(to)) = (&party.floor, remote.floor) {
            while let Some(cue) = script::floor(&party.stream, self.floor).filter(due) {
                self.floor += 1;
                party.sent_floor.store(self.floor, Ordering::Release);
                send(party, socket, &cue.bytes, to);
            }
        }
        if let Some(socket) = &party.rtcp {
            while let Some(cue) = script::rtcp(&party.stream, self.rtcp).filter(due) {
                self.rtcp += 1;
                party.sent_rtcp.store(self.rtcp, Ordering::Release);
                send(party, socket, &cue.bytes, remote.rtcp);
            }
        }
        if let Some(index) = party.stream.index_at(tick) {
            let packet = party.stream.packet(index);
            party.note_sent(index, now());
            send(party, &party.rtp, &packet, remote.rtp);
        }
        if tick >= party.stream.media().ticks() {
            party.last_news.store(nanos(now()), Ordering::Release);
            self.ended = true;
        }
    }
}

/// Sends one datagram; a full socket buffer is waited for, briefly.
fn send(party: &Party, socket: &UdpSocket, bytes: &[u8], to: SocketAddr) {
    for _ in 0..SEND_TRIES {
        match socket.send_to(bytes, to) {
            Ok(_) => return,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                thread::park_timeout(Duration::from_micros(50));
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    party.send_errors.fetch_add(1, Ordering::Relaxed);
}

/// Waits for a moment of the monotonic clock; `false` when the run is halted. What is due within
/// the precision of the timer is sent at once: a burst of a few packets, never early by more.
fn wait_until(moment: Duration, halt: &AtomicBool) -> bool {
    loop {
        let left = moment.saturating_sub(Clock::monotonic());
        if left < TIMER_PRECISION {
            return !halt.load(Ordering::Relaxed);
        }
        thread::park_timeout(left.min(LONGEST_SLEEP));
        if halt.load(Ordering::Relaxed) {
            return false;
        }
    }
}

fn finish(calls: &[Call]) {
    for party in calls.iter().flat_map(|call| &call.parties) {
        party.finished.store(true, Ordering::Release);
    }
}

const SEND_TRIES: u32 = 100;
const TIMER_PRECISION: Duration = Duration::from_micros(20);
const LONGEST_SLEEP: Duration = Duration::from_millis(20);
