//! What a relay tells a logger elsewhere about the ports of its range: a bounded queue of requests
//! in order, and what is open, so that a logger which has restarted can be told again.
//!
//! Pure: no socket, no clock. `crate::runtime` sends what stands first and pops it when the logger
//! has taken it. `crate::manual::logger` describes the requests.

use std::collections::{BTreeMap, VecDeque};

use serde_json::json;

use crate::wire::block::{CallInfo, StreamInfo};

/// Something that the logger is to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Announcement {
    /// A mirror is open, or something about its call has changed.
    Open {
        /// Number of the mirror.
        mirror: u64,
        /// What is known of the call.
        info: Box<CallInfo>,
    },
    /// A stream is copied to this port, or something about it has changed.
    Attach {
        /// Number of the mirror.
        mirror: u64,
        /// Port at the logger.
        port: u16,
        /// What is known of the stream.
        info: Box<StreamInfo>,
    },
    /// A stream is not copied any more.
    Detach {
        /// Number of the mirror.
        mirror: u64,
        /// Number of the stream.
        stream: u64,
    },
    /// The mirror has ended, with all of its streams.
    Close {
        /// Number of the mirror.
        mirror: u64,
    },
    /// Of the mirrors with numbers from `first` to `last` these are open; others have ended, maybe
    /// with an earlier process of the relay that could not say so.
    Only {
        /// First number that it is about.
        first: u64,
        /// Last number that it is about.
        last: u64,
        /// Numbers of the mirrors that are open, in rising order.
        open: Vec<u64>,
    },
}

/// One HTTP request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// `PUT` or `DELETE`.
    pub method: &'static str,
    /// Path, beginning with a slash.
    pub path: String,
    /// JSON; empty for `DELETE`.
    pub body: String,
}

impl Announcement {
    /// The request that says it on behalf of this relay.
    pub fn request(&self, relay: &str) -> Request {
        let of = |mirror| format!("/v1/mirrors/{relay}/{mirror}");
        let put = |path, body: serde_json::Value| Request {
            method: "PUT",
            path,
            body: body.to_string(),
        };
        let delete = |path| Request {
            method: "DELETE",
            path,
            body: String::new(),
        };
        match self {
            Self::Open { mirror, info } => put(of(mirror), json!(info)),
            Self::Attach { mirror, port, info } => put(
                format!("{}/streams/{}", of(mirror), info.stream),
                json!({ "port": port, "info": info }),
            ),
            Self::Detach { mirror, stream } => delete(format!("{}/streams/{stream}", of(mirror))),
            Self::Close { mirror } => delete(of(mirror)),
            Self::Only { first, last, open } => put(
                format!("/v1/relays/{relay}/mirrors"),
                json!({ "first": first, "last": last, "open": open }),
            ),
        }
    }
}

/// What became of announcements since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Taken by the logger.
    pub taken: u64,
    /// Refused by the logger for good.
    pub refused: u64,
    /// Attempts that failed; each is repeated.
    pub failed: u64,
    /// Given up since the queue was full.
    pub dropped: u64,
}

/// The queue for one logger.
#[derive(Debug)]
pub struct Queue {
    limit: usize,
    waiting: VecDeque<Announcement>,
    open: BTreeMap<u64, Mirror>,
    /// All mirrors of an earlier process that go on are open again.
    settled: bool,
    /// What became of announcements.
    pub counts: Counts,
}

#[derive(Debug)]
struct Mirror {
    info: Box<CallInfo>,
    streams: BTreeMap<u64, (u16, Box<StreamInfo>)>,
}

impl Queue {
    /// An empty queue. Beyond `limit` waiting announcements further ones are dropped; ends of
    /// mirrors only beyond twice as many, since nothing makes up for them.
    pub const fn new(limit: usize) -> Self {
        Self {
            limit,
            waiting: VecDeque::new(),
            open: BTreeMap::new(),
            settled: false,
            counts: Counts {
                taken: 0,
                refused: 0,
                failed: 0,
                dropped: 0,
            },
        }
    }

    /// Puts something in.
    pub fn push(&mut self, announcement: Announcement) {
        let limit = match &announcement {
            Announcement::Close { .. } => self.limit.saturating_mul(2),
            Announcement::Open { .. }
            | Announcement::Attach { .. }
            | Announcement::Detach { .. }
            | Announcement::Only { .. } => self.limit,
        };
        self.note(&announcement);
        if self.waiting.len() < limit {
            self.waiting.push_back(announcement);
        } else {
            self.counts.dropped += 1;
        }
    }

    /// What is to be said next.
    pub fn first(&self) -> Option<&Announcement> {
        self.waiting.front()
    }

    /// The logger has taken what was first, or refused it for good.
    pub fn done(&mut self, taken: bool) {
        if self.waiting.pop_front().is_some() {
            match taken {
                true => self.counts.taken += 1,
                false => self.counts.refused += 1,
            }
        }
    }

    /// The logger knows of nothing: what waits gives way to all that is open. That may be more
    /// than the limit, and is never more than the relay has mirrors and streams.
    pub fn begin_anew(&mut self) {
        self.waiting.clear();
        for (mirror, Mirror { info, streams }) in &self.open {
            let (mirror, info) = (*mirror, info.clone());
            self.waiting.push_back(Announcement::Open { mirror, info });
            for (port, info) in streams.values() {
                let (port, info) = (*port, info.clone());
                self.waiting
                    .push_back(Announcement::Attach { mirror, port, info });
            }
        }
        if self.settled {
            self.tell_all();
        }
    }

    /// All mirrors of an earlier process of this relay that go on are open again: the logger is to
    /// end the others, now and whenever it is told everything.
    pub fn settle(&mut self) {
        self.settled = true;
        self.tell_all();
    }

    /// In pieces, since a logger takes no long requests.
    fn tell_all(&mut self) {
        let open: Vec<u64> = self.open.keys().copied().collect();
        let mut first = 0;
        let mut pieces = open.chunks(PIECE).peekable();
        loop {
            let piece = pieces.next().unwrap_or_default();
            let more = pieces.peek().is_some();
            let last = match piece.last() {
                Some(last) if more => *last,
                Some(_) | None => u64::MAX,
            };
            let open = piece.to_vec();
            self.waiting
                .push_back(Announcement::Only { first, last, open });
            if !more {
                return;
            }
            first = last.saturating_add(1);
        }
    }

    /// Keeps what is open up to date.
    fn note(&mut self, announcement: &Announcement) {
        match announcement {
            Announcement::Open { mirror, info } => match self.open.get_mut(mirror) {
                Some(known) => known.info = info.clone(),
                None => {
                    let (info, streams) = (info.clone(), BTreeMap::new());
                    self.open.insert(*mirror, Mirror { info, streams });
                }
            },
            Announcement::Attach { mirror, port, info } => {
                if let Some(known) = self.open.get_mut(mirror) {
                    known.streams.insert(info.stream, (*port, info.clone()));
                }
            }
            Announcement::Detach { mirror, stream } => {
                if let Some(known) = self.open.get_mut(mirror) {
                    known.streams.remove(stream);
                }
            }
            Announcement::Close { mirror } => drop(self.open.remove(mirror)),
            Announcement::Only { .. } => {}
        }
    }
}

/// Mirrors in one request.
const PIECE: usize = 2_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::block::{Direction, MediaKind, StreamKind};

    fn open(mirror: u64, call_id: &str) -> Announcement {
        let info = CallInfo {
            call_id: call_id.into(),
            ..CallInfo::default()
        };
        let info = Box::new(info);
        Announcement::Open { mirror, info }
    }

    fn attach(mirror: u64, stream: u64, port: u16) -> Announcement {
        let info = Box::new(StreamInfo {
            stream,
            from_tag: "a".into(),
            direction: Direction::FromUser,
            media_index: 1,
            media: MediaKind::Audio,
            kind: StreamKind::Rtp,
            local: "192.0.2.5:30000".parse().unwrap(),
            remote: None,
            codecs: Vec::new(),
        });
        Announcement::Attach { mirror, port, info }
    }

    #[test]
    fn after_a_restart_the_logger_hears_what_is_open_and_that_it_is_all() {
        let only = |first, last, open: &[u64]| Announcement::Only {
            first,
            last,
            open: open.to_vec(),
        };
        let mut queue = Queue::new(10_000);
        queue.push(open(7, "c7"));
        // A connection before all calls are restored says nothing of the rest.
        queue.begin_anew();
        assert_eq!(drained(&mut queue), [open(7, "c7")]);
        queue.push(open(9, "c9"));
        queue.settle();
        queue.push(open(10, "c10"));
        let all = only(0, u64::MAX, &[7, 9]);
        assert_eq!(
            drained(&mut queue),
            [open(9, "c9"), all.clone(), open(10, "c10")]
        );
        let request = all.request("r");
        assert_eq!(
            (request.method, request.path.as_str()),
            ("PUT", "/v1/relays/r/mirrors")
        );
        for mirror in [7, 9, 10] {
            queue.push(Announcement::Close { mirror });
        }
        queue.begin_anew();
        assert_eq!(drained(&mut queue), [only(0, u64::MAX, &[])]);
        // Pieces leave no number out.
        (1..=4_001).for_each(|mirror| queue.push(open(mirror, "c")));
        queue.begin_anew();
        let pieces = drained(&mut queue)
            .into_iter()
            .filter_map(|said| match said {
                Announcement::Only { first, last, open } => Some((first, last, open.len())),
                Announcement::Open { .. }
                | Announcement::Attach { .. }
                | Announcement::Detach { .. }
                | Announcement::Close { .. } => None,
            });
        let pieces: Vec<_> = pieces.collect();
        let wanted = [
            (0, 2_000, 2_000),
            (2_001, 4_000, 2_000),
            (4_001, u64::MAX, 1),
        ];
        assert_eq!(pieces, wanted);
    }

    fn drained(queue: &mut Queue) -> Vec<Announcement> {
        let mut all = Vec::new();
        while let Some(first) = queue.first().cloned() {
            all.push(first);
            queue.done(true);
        }
        all
    }

    #[test]
    fn requests_name_relay_mirror_and_stream() {
        let request = attach(7, 3, 50_000).request("relay-1");
        assert_eq!(request.method, "PUT");
        assert_eq!(request.path, "/v1/mirrors/relay-1/7/streams/3");
        let body: serde_json::Value = serde_json::from_str(&request.body).unwrap();
        assert_eq!(
            (&body["port"], &body["info"]["stream"]),
            (&json!(50_000), &json!(3))
        );
        let request = open(7, "c1").request("relay-1");
        assert_eq!(request.path, "/v1/mirrors/relay-1/7");
        assert!(request.body.contains("\"call_id\":\"c1\""));
        let (mirror, stream) = (7, 3);
        let request = Announcement::Detach { mirror, stream }.request("relay-1");
        assert_eq!((request.method, request.body.as_str()), ("DELETE", ""));
        assert_eq!(request.path, "/v1/mirrors/relay-1/7/streams/3");
    }

    #[test]
    fn a_logger_that_knows_nothing_is_told_what_is_open_now() {
        let mut queue = Queue::new(100);
        for what in [
            open(1, "old"),
            open(2, "c2"),
            attach(1, 1, 50_000),
            attach(2, 2, 50_002),
            attach(2, 3, 50_004),
            open(2, "c2 again"),
            attach(2, 2, 50_002),
            Announcement::Detach {
                mirror: 2,
                stream: 3,
            },
            Announcement::Close { mirror: 1 },
        ] {
            queue.push(what);
        }
        assert_eq!(drained(&mut queue).len(), 9);
        queue.push(Announcement::Close { mirror: 1 });
        queue.begin_anew();
        assert_eq!(
            drained(&mut queue),
            [open(2, "c2 again"), attach(2, 2, 50_002)]
        );
    }

    #[test]
    fn a_full_queue_drops_and_counts_but_keeps_the_ends() {
        let mut queue = Queue::new(2);
        (0..5).for_each(|mirror| queue.push(open(mirror, "c")));
        assert_eq!(queue.counts.dropped, 3);
        queue.push(Announcement::Close { mirror: 0 });
        queue.push(Announcement::Close { mirror: 1 });
        queue.push(Announcement::Close { mirror: 2 });
        assert_eq!(queue.counts.dropped, 4);
        assert_eq!(
            drained(&mut queue),
            [
                open(0, "c"),
                open(1, "c"),
                Announcement::Close { mirror: 0 },
                Announcement::Close { mirror: 1 }
            ]
        );
        // What was dropped is not forgotten for a logger that knows nothing.
        queue.begin_anew();
        assert_eq!(drained(&mut queue), [open(3, "c"), open(4, "c")]);
    }
}
