//! The calls of a run as sender, receiver and controller share them: sockets that do not change
//! once made, and counters.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::media::{Media, Side, Stream};
use super::plan::{Mode, PACKET_INTERVAL, Plan};
use super::sdp::{LocalPorts, Remote};
use crate::sys::sockopt;

/// One call.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) id: String,
    pub(super) parties: [Party; 2],
    /// Where caller and callee send to; set once the call is up.
    pub(super) remote: OnceLock<[Remote; 2]>,
    /// Packet interval of the run in which the call begins, plus one; 0: not begun.
    start: AtomicU64,
}

/// One party of a call.
#[derive(Debug)]
pub(super) struct Party {
    pub(super) stream: Stream,
    pub(super) ip: IpAddr,
    pub(super) rtp: UdpSocket,
    pub(super) rtcp: Option<UdpSocket>,
    pub(super) floor: Option<UdpSocket>,
    /// Place of the party's packets within each packet interval.
    pub(super) offset: Duration,
    pub(super) sent: AtomicU32,
    pub(super) sent_rtcp: AtomicU32,
    pub(super) sent_floor: AtomicU32,
    pub(super) send_errors: AtomicU32,
    /// The sender will send nothing more for this party.
    pub(super) finished: AtomicBool,
    /// Packets of the peer that have arrived here, each counted once.
    pub(super) arrived: AtomicU32,
    /// Control messages of the peer that have arrived here, each counted once.
    pub(super) arrived_control: AtomicU32,
    /// When anything last happened to it, in nanoseconds of the run.
    pub(super) last_news: AtomicU64,
    /// When each of the last packets was sent, in nanoseconds of the run, by its number.
    send_times: Box<[AtomicU64]>,
}

/// Send times kept for a party: five seconds of packets.
const SEND_TIMES: usize = 256;

impl Call {
    /// When the call began, as a packet interval of the run.
    pub(super) fn start(&self) -> Option<u64> {
        self.start.load(Ordering::Acquire).checked_sub(1)
    }

    /// Begins the call.
    pub(super) fn begin(&self, tick: u64) {
        self.start.store(tick + 1, Ordering::Release);
    }

    /// When a packet interval of a party is due, since the start of the run.
    pub(super) fn due(&self, side: Side, tick: u32) -> Option<Duration> {
        let tick = self.start()?.checked_add(u64::from(tick))?;
        Some(slot(tick) + self.parties[side.index()].offset)
    }

    /// Whether nothing more is to come: all has been sent, and all has arrived or there was no
    /// news for `patience`.
    pub(super) fn drained(&self, now: Duration, patience: Duration) -> bool {
        Side::BOTH.into_iter().all(|side| {
            let (party, peer) = (
                &self.parties[side.index()],
                &self.parties[side.peer().index()],
            );
            let news = Duration::from_nanos(peer.last_news.load(Ordering::Acquire));
            let sent_at = Duration::from_nanos(party.last_news.load(Ordering::Acquire));
            let load = |counter: &AtomicU32| counter.load(Ordering::Acquire);
            let control = load(&party.sent_rtcp) + load(&party.sent_floor);
            let all =
                load(&peer.arrived) >= load(&party.sent) && load(&peer.arrived_control) >= control;
            party.finished.load(Ordering::Acquire)
                && (all || now.saturating_sub(news.max(sent_at)) > patience)
        })
    }
}

impl Party {
    /// Remembers when a packet was sent.
    pub(super) fn note_sent(&self, index: u32, now: Duration) {
        self.send_times[place(index)].store(nanos(now), Ordering::Release);
        self.sent.store(index + 1, Ordering::Release);
        self.last_news.store(nanos(now), Ordering::Release);
    }

    /// When a packet was sent, if that is still known.
    pub(super) fn sent_at(&self, index: u32) -> Option<Duration> {
        let sent = self.sent.load(Ordering::Acquire);
        let newest = sent.max(index + 1);
        let known = usize::try_from(newest - index).is_ok_and(|age| age <= SEND_TIMES);
        let time = self.send_times[place(index)].load(Ordering::Acquire);
        (known && time != 0).then(|| Duration::from_nanos(time))
    }

    /// The ports to be stated in a description.
    pub(super) fn local_ports(&self) -> io::Result<LocalPorts> {
        let port = |socket: &UdpSocket| socket.local_addr().map(|address| address.port());
        Ok(LocalPorts {
            rtp: port(&self.rtp)?,
            rtcp: self.rtcp.as_ref().map(port).transpose()?,
            floor: self.floor.as_ref().map(port).transpose()?,
        })
    }
}

fn place(index: u32) -> usize {
    usize::try_from(index).unwrap_or(0) % SEND_TIMES
}

/// Start of a packet interval of the run.
pub(super) fn slot(tick: u64) -> Duration {
    Duration::from_nanos(nanos(PACKET_INTERVAL).saturating_mul(tick))
}

/// A duration in nanoseconds; five centuries are enough.
pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Opens the sockets of all calls.
pub(super) fn open(plan: &Plan, media: &Arc<Media>) -> io::Result<Vec<Call>> {
    let mut ports = Ports::new(plan.ports.clone(), rand::random());
    (0..plan.calls)
        .map(|call| {
            let mut party = |side| open_party(plan, &mut ports, media, call, side);
            Ok(Call {
                id: plan.call_id(call),
                parties: [party(Side::Caller)?, party(Side::Callee)?],
                remote: OnceLock::new(),
                start: AtomicU64::new(0),
            })
        })
        .collect()
}

fn open_party(
    plan: &Plan,
    ports: &mut Ports,
    media: &Arc<Media>,
    call: u32,
    side: Side,
) -> io::Result<Party> {
    let ip = match side {
        Side::Caller => plan.caller_ip,
        Side::Callee => plan.callee_ip,
    };
    let (rtp, rtcp) = ports.bind(ip, plan.rtcp)?;
    let floor = match plan.mode {
        Mode::FullDuplex => None,
        Mode::PushToTalk => Some(ports.bind(ip, false)?.0),
    };
    let stream = Stream::new(Arc::clone(media), call, side);
    // Evenly over the interval; the sides of a call lie half an interval apart.
    let order = call + plan.calls * u32::from(side == Side::Callee);
    Ok(Party {
        stream,
        ip,
        rtp,
        rtcp,
        floor,
        offset: PACKET_INTERVAL * order / (plan.calls * 2),
        sent: AtomicU32::new(0),
        sent_rtcp: AtomicU32::new(0),
        sent_floor: AtomicU32::new(0),
        send_errors: AtomicU32::new(0),
        finished: AtomicBool::new(false),
        arrived: AtomicU32::new(0),
        arrived_control: AtomicU32::new(0),
        last_news: AtomicU64::new(0),
        send_times: (0..SEND_TIMES).map(|_| AtomicU64::new(0)).collect(),
    })
}

/// Hands out even ports, from a place in the range that differs between processes.
struct Ports {
    range: RangeInclusive<u16>,
    next: u16,
}

impl Ports {
    fn new(range: RangeInclusive<u16>, place: u16) -> Self {
        let width = range.end().saturating_sub(*range.start()).max(1);
        let next = range.start().saturating_add(place % width) & !1;
        Self { range, next }
    }

    /// Binds the next free even port, and with `pair` the odd one above it.
    fn bind(&mut self, ip: IpAddr, pair: bool) -> io::Result<(UdpSocket, Option<UdpSocket>)> {
        let (start, end) = (*self.range.start(), *self.range.end());
        let mut last = io::Error::from(io::ErrorKind::AddrInUse);
        for _ in 0..=end.saturating_sub(start) / 2 {
            let port = self.next.max(start.next_multiple_of(2));
            self.next = match port.checked_add(2) {
                Some(next) if next < end => next,
                Some(_) | None => start,
            };
            let bound = bind(ip, port).and_then(|rtp| match pair {
                true => bind(ip, port | 1).map(|rtcp| (rtp, Some(rtcp))),
                false => Ok((rtp, None)),
            });
            match bound {
                Ok(sockets) => return Ok(sockets),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => last = error,
                Err(error) => {
                    let text = format!("cannot open a port on {ip}: {error}");
                    return Err(io::Error::new(error.kind(), text));
                }
            }
        }
        Err(last)
    }
}

fn bind(ip: IpAddr, port: u16) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(SocketAddr::new(ip, port))?;
    socket.set_nonblocking(true)?;
    sockopt::set_receive_timestamps(&socket)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        Plan::new("127.0.0.1:1".parse().unwrap())
    }

    #[test]
    fn ports_are_even_and_used_ones_are_passed_over() {
        let mut ports = Ports::new(39_200..=39_299, 7);
        let (rtp, rtcp) = ports.bind("127.0.0.1".parse().unwrap(), true).unwrap();
        let port = rtp.local_addr().unwrap().port();
        assert!(port.is_multiple_of(2));
        assert_eq!(rtcp.unwrap().local_addr().unwrap().port(), port + 1);
        let mut again = Ports::new(39_200..=39_299, port - 39_200);
        let (other, _) = again.bind("127.0.0.1".parse().unwrap(), false).unwrap();
        assert_ne!(other.local_addr().unwrap().port(), port);
    }

    #[test]
    fn an_exhausted_range_is_an_error() {
        let mut ports = Ports::new(39_300..=39_305, 0);
        let ip = "127.0.0.1".parse().unwrap();
        let held: Vec<_> = (0..8).map_while(|_| ports.bind(ip, true).ok()).collect();
        assert!(held.len() <= 3);
        let error = ports.bind(ip, true).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn parties_are_spread_over_the_interval() {
        let mut plan = plan();
        plan.calls = 5;
        let calls = open(&plan, &Arc::new(Media::new(&plan).unwrap())).unwrap();
        let mut offsets: Vec<_> = calls
            .iter()
            .flat_map(|call| call.parties.iter().map(|party| party.offset))
            .collect();
        offsets.sort_unstable();
        let expected: Vec<_> = (0..10).map(|n| Duration::from_millis(2) * n).collect();
        assert_eq!(offsets, expected);
        assert_eq!(calls[0].due(Side::Callee, 3), None);
        calls[0].begin(10);
        let due = calls[0].due(Side::Callee, 3);
        assert_eq!(due, Some(Duration::from_millis(13 * 20 + 10)));
    }

    #[test]
    fn old_send_times_are_forgotten() {
        let plan = plan();
        let calls = open(&plan, &Arc::new(Media::new(&plan).unwrap())).unwrap();
        let party = &calls[0].parties[0];
        assert_eq!(party.sent_at(0), None);
        for index in 0..300 {
            party.note_sent(index, Duration::from_nanos(u64::from(index) + 1));
        }
        assert_eq!(party.sent_at(299), Some(Duration::from_nanos(300)));
        assert_eq!(party.sent_at(44), Some(Duration::from_nanos(45)));
        assert_eq!(party.sent_at(43), None);
    }
}
