//! One redirected call: its ports, and its recording.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;

use super::Settings;
use super::offer::{self, Answered, Line, Offer, Wanted};
use crate::logger::returning::{Pair, Returned};
use crate::logger::service::{Handle, MirrorKey};
use crate::wire::block::{StreamInfo, StreamKind};
use crate::wire::sip::{Dialog, TxId};
use crate::wire::time::Timestamp;

/// One call.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) dialog: Dialog,
    /// The INVITE whose answer is not acknowledged yet, with its number.
    pub(super) unacknowledged: Option<(TxId, u32)>,
    /// When signalling was last heard.
    pub(super) heard: Timestamp,
    pub(super) key: MirrorKey,
    lanes: Vec<Option<Lane>>,
    streams: u64,
    session: u64,
    version: u64,
}

#[derive(Debug)]
struct Lane {
    wanted: Wanted,
    rtp: Port,
    rtcp: Option<Port>,
}

#[derive(Debug)]
struct Port {
    stream: u64,
    local: SocketAddr,
    back: Arc<Returned>,
}

impl Call {
    pub(super) fn new(dialog: Dialog, key: MirrorKey, now: Timestamp) -> Self {
        Self {
            dialog,
            unacknowledged: None,
            heard: now,
            key,
            lanes: Vec::new(),
            streams: 0,
            session: now.secs(),
            version: 0,
        }
    }

    /// Brings ports and recording to what is offered; lanes that stay keep their ports. Gives the
    /// answer; `None` if the offer drops m-lines of the one before (RFC 3264 8).
    pub(super) fn take(
        &mut self,
        offer: Offer,
        handle: &Handle,
        settings: &Settings,
        cursor: &mut u16,
    ) -> Option<String> {
        if offer.lanes.len() < self.lanes.len() {
            return None;
        }
        handle.open(self.key.clone(), offer.info);
        self.lanes.resize_with(offer.lanes.len(), || None);
        let mut lines = Vec::with_capacity(offer.lanes.len());
        for (place, (line, wanted)) in offer.lanes.into_iter().enumerate() {
            let lane = self.lanes[place].take();
            let lane = self.lane(lane, wanted, handle, settings, cursor);
            lines.push(answered(line, lane.as_ref()));
            self.lanes[place] = lane;
        }
        self.version += 1;
        Some(offer::answer(&lines, self.session, self.version))
    }

    /// How many lanes are in use.
    pub(super) fn lanes(&self) -> usize {
        self.lanes.iter().flatten().count()
    }

    /// When something was last heard of the call.
    pub(super) fn last(&self) -> Timestamp {
        let lanes = self.lanes.iter().flatten();
        let ports = lanes.flat_map(|lane| [Some(&lane.rtp), lane.rtcp.as_ref()]);
        let last = ports.flatten().map(|port| port.back.last());
        last.fold(self.heard, Timestamp::max)
    }

    /// Ends the recording; nothing is returned any more.
    pub(super) fn close(&mut self, handle: &Handle) {
        for lane in self.lanes.iter().flatten() {
            lane.close();
        }
        handle.close(&self.key);
    }

    fn lane(
        &mut self,
        lane: Option<Lane>,
        wanted: Option<Wanted>,
        handle: &Handle,
        settings: &Settings,
        cursor: &mut u16,
    ) -> Option<Lane> {
        let fits = |lane: &Lane, wanted: &Wanted| {
            lane.wanted.kind == wanted.kind
                && lane.wanted.rtp.is_ipv4() == wanted.rtp.is_ipv4()
                && lane.rtcp.is_some() == wanted.rtcp.is_some()
        };
        match (lane, wanted) {
            (Some(mut lane), Some(wanted)) if fits(&lane, &wanted) => {
                self.change(&mut lane, wanted, handle);
                Some(lane)
            }
            (lane, wanted) => {
                if let Some(lane) = lane {
                    lane.close();
                    for port in [Some(&lane.rtp), lane.rtcp.as_ref()].into_iter().flatten() {
                        handle.detach(&self.key, port.stream);
                    }
                }
                self.begin(wanted?, handle, settings, cursor)
            }
        }
    }

    fn change(&self, lane: &mut Lane, wanted: Wanted, handle: &Handle) {
        if lane.wanted == wanted {
            return;
        }
        lane.rtp.back.expect(wanted.rtp);
        handle.update_stream(&self.key, info(&wanted, &lane.rtp, false));
        if let (Some(port), Some(from)) = (&lane.rtcp, wanted.rtcp) {
            port.back.expect(from);
            handle.update_stream(&self.key, info(&wanted, port, true));
        }
        lane.wanted = wanted;
    }

    /// A new lane; `None` if there is no address of its family, or no port.
    fn begin(
        &mut self,
        wanted: Wanted,
        handle: &Handle,
        settings: &Settings,
        cursor: &mut u16,
    ) -> Option<Lane> {
        let family = |bind: &&IpAddr| bind.is_ipv4() == wanted.rtp.is_ipv4();
        let bind = *settings.bind.iter().find(family)?;
        let pair = handle.bind_pair(bind, settings.ports, cursor);
        let Pair { even, odd } = pair
            .inspect_err(|error| tracing::warn!(%error, "the anchor has no port for a lane"))
            .ok()?;
        let rtp = self.attach(&wanted, even, false, handle)?;
        let rtcp = match wanted.rtcp {
            Some(_) => Some(self.attach(&wanted, odd, true, handle)?),
            None => None,
        };
        Some(Lane { wanted, rtp, rtcp })
    }

    fn attach(
        &mut self,
        wanted: &Wanted,
        socket: UdpSocket,
        rtcp: bool,
        handle: &Handle,
    ) -> Option<Port> {
        let local = socket.local_addr().ok()?;
        self.streams += 1;
        let stream = self.streams;
        let (from, info) = match (rtcp, wanted.rtcp) {
            (true, Some(from)) => (from, describe(wanted, local, stream, true)),
            _ => (wanted.rtp, describe(wanted, local, stream, false)),
        };
        let back = handle
            .attach_returning(&self.key, info, socket, from)
            .ok()?;
        Some(Port {
            stream,
            local,
            back,
        })
    }
}

impl Lane {
    fn close(&self) {
        self.rtp.back.close();
        if let Some(rtcp) = &self.rtcp {
            rtcp.back.close();
        }
    }
}

fn answered(line: Line, lane: Option<&Lane>) -> Answered {
    let ports = lane.map(|lane| (lane.rtp.local, lane.rtcp.as_ref().map(|port| port.local)));
    (line, ports)
}

fn info(wanted: &Wanted, port: &Port, rtcp: bool) -> StreamInfo {
    describe(wanted, port.local, port.stream, rtcp)
}

/// What the recording says of a stream: what the relay's own logger would be told, but for the
/// addresses, which are those between relay and anchor.
fn describe(wanted: &Wanted, local: SocketAddr, stream: u64, rtcp: bool) -> StreamInfo {
    StreamInfo {
        stream,
        from_tag: wanted.from_tag.clone(),
        direction: wanted.direction,
        media_index: wanted.media_index,
        media: wanted.media,
        kind: if rtcp { StreamKind::Rtcp } else { wanted.kind },
        local,
        remote: if rtcp { wanted.rtcp } else { Some(wanted.rtp) },
        codecs: wanted.codecs.clone(),
    }
}
