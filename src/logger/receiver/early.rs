//! Packets that come before their stream is announced: a relay says by HTTP which call a port
//! belongs to at the moment in which it begins to copy, and a packet may overtake that. They wait
//! for a moment, within bounds, and then are the announced call's; or else nobody's
//! ([`super::stray`]).

use std::net::SocketAddr;
use std::time::Duration;

use super::State;
use crate::logger::intake::Arrival;
use crate::wire::time::Timestamp;

/// What waits at one port, in the order of arrival.
#[derive(Debug)]
pub(super) struct Early {
    since: Timestamp,
    packets: Vec<Packet>,
}

#[derive(Debug)]
struct Packet {
    time: Timestamp,
    source: SocketAddr,
    bytes: Box<[u8]>,
}

impl State {
    /// Lets a packet wait at a port that belongs to nobody; false when there is no room for it.
    pub(super) fn wait(&mut self, arrival: &Arrival<'_>, bytes: &[u8]) -> bool {
        if self.early_octets + bytes.len() > OCTETS {
            return false;
        }
        let now = self.now;
        let early = self.early.entry(arrival.port).or_insert_with(|| Early {
            since: now,
            packets: Vec::new(),
        });
        if early.packets.len() >= PACKETS {
            return false;
        }
        self.early_octets += bytes.len();
        early.packets.push(Packet {
            time: arrival.time,
            source: arrival.source,
            bytes: bytes.into(),
        });
        true
    }

    /// Gives what waits at a port to the stream that has it now.
    pub(super) fn settle(&mut self, port: u16) {
        for packet in self.take_early(port) {
            self.store(port, packet.time, &packet.bytes);
        }
    }

    /// What has waited for too long at any port is nobody's.
    pub(super) fn give_up_waiting(&mut self) {
        let longest = self.silence.min(LONGEST);
        let over = |early: &Early| self.now.since(early.since) >= longest;
        let ports = self.early.iter().filter(|(_, early)| over(early));
        let ports: Vec<u16> = ports.map(|(port, _)| *port).collect();
        for port in ports {
            self.disown(port);
        }
    }

    /// What waits at all ports is nobody's: the service stops.
    pub(super) fn stop_waiting(&mut self) {
        let ports: Vec<u16> = self.early.keys().copied().collect();
        for port in ports {
            self.disown(port);
        }
    }

    /// What waits at a port makes a recording that nobody announced.
    pub(super) fn disown(&mut self, port: u16) {
        for packet in self.take_early(port) {
            let arrival = Arrival {
                port,
                source: packet.source,
                time: packet.time,
                bytes: &packet.bytes,
            };
            if self.is_free(port) {
                self.stray(&arrival);
            }
            self.store(port, packet.time, &packet.bytes);
        }
    }

    fn take_early(&mut self, port: u16) -> Vec<Packet> {
        let packets = self.early.remove(&port).map(|early| early.packets);
        let packets = packets.unwrap_or_default();
        self.early_octets -= packets
            .iter()
            .map(|packet| packet.bytes.len())
            .sum::<usize>();
        packets
    }
}

/// How long a packet waits at most before the next round gives it up.
const LONGEST: Duration = Duration::from_secs(2);
/// Packets that wait at one port...
const PACKETS: usize = 1_024;
/// ... and their octets at all ports together.
const OCTETS: usize = 32 << 20;
