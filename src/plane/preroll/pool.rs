//! The memory of the pre-roll: chunks of one size, taken when they are first needed and used again
//! for ever after. Each belongs to one stream, whose packets lie in its chunks one behind the
//! other.
//!
//! Chunks that may be given up stand in two lists, in the order in which they were opened: that of
//! their call and that of all. A stream's chunks come in the same order in all three, so that the
//! oldest chunk of a list is always the first one of its stream.

use rustc_hash::FxHashMap;

use crate::wire::time::Timestamp;

/// All chunks of a worker.
#[derive(Debug)]
pub(super) struct Pool {
    chunks: Vec<Chunk>,
    /// Chunks that nobody uses, joined by `next`.
    free: Option<ChunkId>,
    used: usize,
    limit: usize,
    all: List,
    calls: FxHashMap<u64, Account>,
}

/// Index of a chunk; one more than it is, so that an `Option` of it takes no more room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ChunkId(std::num::NonZeroU32);

/// The chunks of one stream, in order.
#[derive(Debug, Default)]
pub(super) struct Queue {
    first: Option<ChunkId>,
    last: Option<ChunkId>,
    /// Where the first packet begins in the first chunk.
    read: usize,
    packets: u32,
}

/// A packet that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kept<'a> {
    /// Its octets.
    pub(super) bytes: &'a [u8],
    /// When it was taken, by the worker's clock: its age counts from here.
    pub(super) at: Timestamp,
    /// When the kernel received it, by the kernel's clock.
    pub(super) received: Timestamp,
}

/// Whom a chunk is opened for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owner {
    /// Slot of the stream.
    pub(super) slot: u32,
    /// Its call, as long as the chunk may be given up; `None`: it may not.
    pub(super) call: Option<u64>,
}

#[derive(Debug)]
struct Chunk {
    data: Box<[u8]>,
    len: usize,
    packets: u32,
    opened: Timestamp,
    owner: Owner,
    /// The next one of the same stream, or the next free one.
    next: Option<ChunkId>,
    /// Its places in the list of all and in that of its call.
    links: [Links; 2],
}

#[derive(Clone, Copy, Debug, Default)]
struct Links {
    before: Option<ChunkId>,
    after: Option<ChunkId>,
}

#[derive(Clone, Copy, Debug, Default)]
struct List {
    first: Option<ChunkId>,
    last: Option<ChunkId>,
}

#[derive(Debug, Default)]
struct Account {
    list: List,
    chunks: usize,
}

impl Queue {
    /// Packets in it.
    pub(super) const fn packets(&self) -> u32 {
        self.packets
    }

    /// The chunk that its oldest packet is in.
    pub(super) const fn first(&self) -> Option<ChunkId> {
        self.first
    }
}

impl Pool {
    /// A pool that takes at most so many octets.
    pub(super) fn new(octets: usize) -> Self {
        let limit = (octets / CHUNK).min(MAX_CHUNKS);
        Self {
            chunks: Vec::new(),
            free: None,
            used: 0,
            limit,
            all: List::default(),
            calls: FxHashMap::default(),
        }
    }

    /// Whether there will never be a chunk.
    pub(super) const fn is_nothing(&self) -> bool {
        self.limit == 0
    }

    /// Whether no chunk is in use.
    pub(super) const fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// Whether all chunks are in use.
    pub(super) const fn is_full(&self) -> bool {
        self.used >= self.limit
    }

    /// Chunks of a call that may be given up.
    pub(super) fn chunks_of(&self, call: u64) -> usize {
        self.calls.get(&call).map_or(0, |account| account.chunks)
    }

    /// Chunks in use.
    #[cfg(test)]
    pub(super) const fn used(&self) -> usize {
        self.used
    }

    /// The slot of the oldest chunk that may be given up, of a call or of all.
    pub(super) fn oldest(&self, call: Option<u64>) -> Option<u32> {
        let list = match call {
            Some(call) => self.calls.get(&call)?.list,
            None => self.all,
        };
        list.first.map(|id| self.chunk(id).owner.slot)
    }

    /// The oldest chunk that may be given up if it was opened before then: itself, its slot, and
    /// the one behind it.
    pub(super) fn opened_before(
        &self,
        from: Option<ChunkId>,
        then: Timestamp,
    ) -> Option<(ChunkId, u32, Option<ChunkId>)> {
        let id = from?;
        let chunk = self.chunk(id);
        (chunk.opened < then).then_some((id, chunk.owner.slot, chunk.links[ALL].after))
    }

    /// Where [`Self::opened_before`] begins.
    pub(super) const fn start(&self) -> Option<ChunkId> {
        self.all.first
    }

    /// Adds a packet; `false`, and nothing done, if a chunk must be opened first.
    pub(super) fn append(&mut self, queue: &mut Queue, kept: &Kept<'_>) -> bool {
        let (Some(last), Ok(len)) = (queue.last, u16::try_from(kept.bytes.len())) else {
            return false;
        };
        let chunk = self.chunk_mut(last);
        let end = chunk.len + HEAD + kept.bytes.len();
        let Some(room) = chunk.data.get_mut(chunk.len..end) else {
            return false;
        };
        let (head, body) = room.split_at_mut(HEAD);
        head[LEN].copy_from_slice(&len.to_ne_bytes());
        head[AT].copy_from_slice(&kept.at.nanos().to_ne_bytes());
        head[RECEIVED].copy_from_slice(&kept.received.nanos().to_ne_bytes());
        body.copy_from_slice(kept.bytes);
        chunk.len = end;
        chunk.packets += 1;
        queue.packets += 1;
        true
    }

    /// Gives the queue another chunk at its end; `false` if all are in use.
    pub(super) fn open(&mut self, queue: &mut Queue, owner: Owner, now: Timestamp) -> bool {
        let Some(id) = self.take() else {
            return false;
        };
        let chunk = self.chunk_mut(id);
        (chunk.len, chunk.packets, chunk.opened) = (0, 0, now);
        (chunk.owner, chunk.next) = (owner, None);
        self.used += 1;
        match queue.last.replace(id) {
            Some(last) => self.chunk_mut(last).next = Some(id),
            None => (queue.first, queue.read) = (Some(id), 0),
        }
        if let Some(call) = owner.call {
            self.list(id, call);
        }
        true
    }

    /// The oldest packet.
    pub(super) fn front(&self, queue: &Queue) -> Option<Kept<'_>> {
        let chunk = self.chunk(queue.first.filter(|_| queue.packets > 0)?);
        let (head, rest) = chunk.data.get(queue.read..)?.split_at_checked(HEAD)?;
        let len = u16::from_ne_bytes(head[LEN].try_into().ok()?);
        let at = u64::from_ne_bytes(head[AT].try_into().ok()?);
        let received = u64::from_ne_bytes(head[RECEIVED].try_into().ok()?);
        Some(Kept {
            bytes: rest.get(..usize::from(len))?,
            at: Timestamp::from_nanos(at),
            received: Timestamp::from_nanos(received),
        })
    }

    /// Takes the oldest packet out; its chunk is free when nothing is left in it.
    pub(super) fn pop(&mut self, queue: &mut Queue) {
        let Some((first, len)) = queue
            .first
            .zip(self.front(queue).map(|kept| kept.bytes.len()))
        else {
            return;
        };
        queue.packets -= 1;
        queue.read += HEAD + len;
        let chunk = self.chunk_mut(first);
        chunk.packets -= 1;
        if chunk.packets == 0 {
            self.close_first(queue);
        }
    }

    /// Frees the first chunk; how many packets were in it still.
    pub(super) fn close_first(&mut self, queue: &mut Queue) -> u32 {
        let Some(id) = queue.first else {
            return 0;
        };
        self.unlist(id);
        let free = self.free.replace(id);
        let chunk = self.chunk_mut(id);
        let (lost, next) = (chunk.packets, std::mem::replace(&mut chunk.next, free));
        self.used -= 1;
        (queue.first, queue.read) = (next, 0);
        if next.is_none() {
            queue.last = None;
        }
        queue.packets -= lost;
        lost
    }

    /// Frees all chunks of a queue.
    pub(super) fn clear(&mut self, queue: &mut Queue) {
        while queue.first.is_some() {
            self.close_first(queue);
        }
    }

    /// From now on the queue's chunks may not be given up.
    pub(super) fn hold(&mut self, queue: &Queue) {
        let mut next = queue.first;
        while let Some(id) = next {
            self.unlist(id);
            next = self.chunk(id).next;
        }
    }

    /// A free chunk; a new one if there is none, up to the limit.
    fn take(&mut self) -> Option<ChunkId> {
        if let Some(id) = self.free {
            self.free = self.chunk(id).next;
            return Some(id);
        }
        if self.chunks.len() >= self.limit {
            return None;
        }
        self.chunks.push(Chunk {
            data: vec![0; CHUNK].into_boxed_slice(),
            len: 0,
            packets: 0,
            opened: Timestamp::default(),
            owner: Owner {
                slot: 0,
                call: None,
            },
            next: None,
            links: Default::default(),
        });
        let number = u32::try_from(self.chunks.len()).ok()?;
        std::num::NonZeroU32::new(number).map(ChunkId)
    }

    fn list(&mut self, id: ChunkId, call: u64) {
        let mut all = self.all;
        self.link(ALL, &mut all, id);
        self.all = all;
        let mut account = self.calls.remove(&call).unwrap_or_default();
        self.link(OF_CALL, &mut account.list, id);
        account.chunks += 1;
        self.calls.insert(call, account);
    }

    fn unlist(&mut self, id: ChunkId) {
        let Some(call) = self.chunk_mut(id).owner.call.take() else {
            return;
        };
        let mut all = self.all;
        self.unlink(ALL, &mut all, id);
        self.all = all;
        if let Some(mut account) = self.calls.remove(&call) {
            self.unlink(OF_CALL, &mut account.list, id);
            account.chunks -= 1;
            if account.chunks > 0 {
                self.calls.insert(call, account);
            }
        }
    }

    fn link(&mut self, which: usize, list: &mut List, id: ChunkId) {
        let before = list.last.replace(id);
        self.chunk_mut(id).links[which] = Links {
            before,
            after: None,
        };
        match before {
            Some(before) => self.chunk_mut(before).links[which].after = Some(id),
            None => list.first = Some(id),
        }
    }

    fn unlink(&mut self, which: usize, list: &mut List, id: ChunkId) {
        let Links { before, after } = std::mem::take(&mut self.chunk_mut(id).links[which]);
        match before {
            Some(before) => self.chunk_mut(before).links[which].after = after,
            None => list.first = after,
        }
        match after {
            Some(after) => self.chunk_mut(after).links[which].before = before,
            None => list.last = before,
        }
    }

    fn chunk(&self, id: ChunkId) -> &Chunk {
        &self.chunks[id.index()]
    }

    fn chunk_mut(&mut self, id: ChunkId) -> &mut Chunk {
        &mut self.chunks[id.index()]
    }
}

impl ChunkId {
    const fn index(self) -> usize {
        (self.0.get() - 1) as usize
    }
}

/// Octets of a chunk: half a second of a voice stream, and a worst packet fits twice less heads.
pub(super) const CHUNK: usize = 4_096;
/// Octets before each packet: its length and two times.
const HEAD: usize = 18;
const LEN: std::ops::Range<usize> = 0..2;
const AT: std::ops::Range<usize> = 2..10;
const RECEIVED: std::ops::Range<usize> = 10..18;
/// As many as a `ChunkId` can name.
const MAX_CHUNKS: usize = 1 << 30;
const ALL: usize = 0;
const OF_CALL: usize = 1;

#[cfg(test)]
mod tests;
