//! Calls that nobody has announced: a logger that stands alone records them all the same, under a
//! call-id of its own, until silence ends them.

use std::net::SocketAddr;

use super::outbox::Live;
use super::{ROUND, State};
use crate::logger::intake::Arrival;
use crate::logger::loss::rtp;
use crate::wire::block::{CallInfo, Direction, Event, MediaKind, StreamInfo, StreamKind};

/// Such a call; its ports are one pair.
#[derive(Debug)]
pub(super) struct Stray {
    pub(super) call: u64,
    pub(super) ports: Vec<u16>,
}

impl State {
    /// Makes a stream of its own for the packet; RTP and RTCP of a port pair are one call.
    pub(super) fn stray(&mut self, arrival: &Arrival<'_>) {
        let pair = arrival.port & !1;
        let call = match self.strays.get(&pair) {
            Some(stray) => stray.call,
            None => self.begin_stray(pair),
        };
        let id = self.shared.registry().stream_number();
        if let Some(stray) = self.strays.get_mut(&pair) {
            stray.ports.push(arrival.port);
        }
        let local = SocketAddr::new(self.bind, arrival.port);
        let info = stream_info(id, local, arrival);
        self.outbox
            .event(self.now, Event::StreamOpen { call, id, info });
        if let Some(slot) = self.ports.get_mut(&arrival.port) {
            slot.live = Some(Live::new(id, self.now));
        }
    }

    fn begin_stray(&mut self, pair: u16) -> u64 {
        let call = self.shared.registry().call_number();
        let number = self.next_stray;
        self.next_stray += 1;
        let info = CallInfo {
            call_id: format!("unattributed-{pair}-{number}"),
            started: self.now,
            reason: "packets at a port that no mirror was announced for".into(),
            ..CallInfo::default()
        };
        let open = Event::CallOpen {
            call,
            relay: format!("unattributed-{:08x}", self.shared.epoch >> 96),
            mirror: number,
            info,
        };
        self.outbox.event(self.now, open);
        let ports = Vec::new();
        self.strays.insert(pair, Stray { call, ports });
        call
    }

    /// Now and then: writes open gaps down, and ends such calls after silence.
    pub(super) fn round(&mut self) {
        if self.now < self.next_round {
            return;
        }
        let (now, silence) = (self.now, self.silence);
        self.next_round = now + ROUND.min(silence);
        self.give_up_waiting();
        let outbox = &mut self.outbox;
        if outbox.ready() {
            let live = self
                .ports
                .values_mut()
                .filter_map(|slot| slot.live.as_mut());
            live.for_each(|live| outbox.gaps(now, live));
        }
        let heard = |port: &u16| {
            let live = self.ports.get(port).and_then(|slot| slot.live.as_ref());
            live.is_some_and(|live| now.since(live.last) < silence)
        };
        let silent = self
            .strays
            .iter()
            .filter(|(_, stray)| !stray.ports.iter().any(heard));
        let ended: Vec<u16> = silent.map(|(pair, _)| *pair).collect();
        for pair in ended {
            self.end_stray(pair);
        }
    }

    fn end_stray(&mut self, pair: u16) {
        let Some(Stray { call, ports }) = self.strays.remove(&pair) else {
            return;
        };
        for port in ports {
            let live = self.ports.get(&port).and_then(|slot| slot.live.as_ref());
            if let Some(id) = live.map(|live| live.id) {
                self.finish(port, id);
            }
        }
        self.outbox.event(self.now, Event::CallClose { call });
    }
}

/// What can be said of a stream by its first packet.
fn stream_info(stream: u64, local: SocketAddr, arrival: &Arrival<'_>) -> StreamInfo {
    let kind = match (local.port() % 2, rtp(arrival.bytes)) {
        (0, Some(_)) => StreamKind::Rtp,
        (0, None) => StreamKind::Datagram,
        _ => StreamKind::Rtcp,
    };
    StreamInfo {
        stream,
        from_tag: String::new(),
        direction: Direction::Both,
        media_index: 1,
        media: MediaKind::Other,
        kind,
        local,
        remote: Some(arrival.source),
        codecs: Vec::new(),
    }
}
