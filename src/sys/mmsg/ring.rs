//! The ring of packet buffers that a worker receives into and sends from.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use super::super::address::Address;
use super::super::uninterrupted;
use super::control::{self, Control};
use crate::wire::time::Timestamp;

/// The longest datagram that a buffer takes, in octets.
pub const BUFFER_OCTETS: usize = 2_048;

/// A fixed number of packet buffers with everything that `recvmmsg` needs around them.
pub struct PacketRing {
    memory: Vec<u8>,
    names: Vec<Address>,
    controls: Vec<Control>,
    /// Kept because the headers point to it.
    _vectors: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
    metas: Vec<Meta>,
    /// Octets of a buffer.
    octets: usize,
}

/// A received datagram.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// Its octets, at most as many as a buffer has.
    pub bytes: &'a [u8],
    /// Where it came from.
    pub from: Address,
    /// Whether it was longer than the buffer, and has been cut.
    pub truncated: bool,
    /// When the kernel received it, by the kernel's wall clock.
    pub received: Option<Timestamp>,
    /// Datagrams that the kernel dropped at this socket so far, modulo 2^32; `None`: none yet.
    pub dropped: Option<u32>,
}

impl PacketRing {
    /// `count` buffers of [`BUFFER_OCTETS`].
    pub fn new(count: usize) -> Self {
        Self::with_buffers(count, BUFFER_OCTETS)
    }

    /// `count` buffers of this size.
    pub fn with_buffers(count: usize, octets: usize) -> Self {
        let stride = octets + GAP;
        let mut memory = vec![0_u8; count * stride];
        let mut names = vec![Address::NONE; count];
        let mut controls = vec![Control::default(); count];
        let base = memory.as_mut_ptr();
        let mut vectors: Vec<_> = (0..count)
            .map(|index| libc::iovec {
                iov_base: base.wrapping_add(index * stride).cast(),
                iov_len: octets,
            })
            .collect();
        let headers = names
            .iter_mut()
            .zip(&mut controls)
            .zip(&mut vectors)
            .map(|((name, control), vector)| header(name, Some(control), vector))
            .collect();
        Self {
            memory,
            names,
            controls,
            _vectors: vectors,
            headers,
            metas: vec![Meta::default(); count],
            octets,
        }
    }

    /// How many buffers there are.
    pub fn len(&self) -> usize {
        self.headers.len()
    }

    /// Whether there is no buffer.
    pub fn is_empty(&self) -> bool {
        self.headers.is_empty()
    }

    /// Receives up to `count` datagrams into the buffers from `first` on, without waiting; gives
    /// their number, zero if there were none.
    pub fn receive(&mut self, socket: &impl AsFd, first: usize, count: usize) -> io::Result<usize> {
        self.receive_with(socket, first, count, libc::MSG_DONTWAIT)
    }

    /// Shows the next datagram in buffer `index`, and leaves it in the socket; whether there is
    /// one.
    pub fn peek(&mut self, socket: &impl AsFd, index: usize) -> io::Result<bool> {
        let flags = libc::MSG_DONTWAIT | libc::MSG_PEEK;
        Ok(self.receive_with(socket, index, 1, flags)? == 1)
    }

    fn receive_with(
        &mut self,
        socket: &impl AsFd,
        first: usize,
        count: usize,
        flags: libc::c_int,
    ) -> io::Result<usize> {
        let fd = socket.as_fd().as_raw_fd();
        let Some(headers) = self.headers.get_mut(first..first.saturating_add(count)) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let room = libc::c_uint::try_from(headers.len()).unwrap_or(libc::c_uint::MAX);
        let start = headers.as_mut_ptr();
        let result = uninterrupted(|| {
            // SAFETY: `start` is good for `room` headers, and each points to buffers of this
            // ring that nobody else uses during the call.
            unsafe { libc::recvmmsg(fd, start, room, flags, std::ptr::null_mut()) }
        });
        let taken = match result {
            Ok(taken) => usize::try_from(taken).unwrap_or(0),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
            Err(error) => return Err(error),
        };
        for index in first..first + taken {
            self.note(index);
        }
        Ok(taken)
    }

    /// What buffer `index` holds. An index beyond the ring gives an empty datagram.
    pub fn datagram(&self, index: usize) -> Datagram<'_> {
        let meta = self.metas.get(index).copied().unwrap_or_default();
        let start = index * (self.octets + GAP);
        Datagram {
            bytes: self.memory.get(start..start + meta.len).unwrap_or(&[]),
            from: meta.from,
            truncated: meta.truncated,
            received: meta.notes.received,
            dropped: meta.notes.dropped,
        }
    }

    /// Keeps what the kernel said of buffer `index`, and makes its header ready for the next.
    fn note(&mut self, index: usize) {
        let header = &mut self.headers[index];
        let message = &mut header.msg_hdr;
        self.metas[index] = Meta {
            len: usize::try_from(header.msg_len)
                .unwrap_or(0)
                .min(self.octets),
            from: self.names[index].cleaned(message.msg_namelen),
            truncated: message.msg_flags & libc::MSG_TRUNC != 0,
            notes: control::parse(&self.controls[index], message.msg_controllen),
        };
        message.msg_namelen = NAME_LEN;
        message.msg_controllen = size_of::<Control>();
        message.msg_flags = 0;
    }
}

impl std::fmt::Debug for PacketRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PacketRing({})", self.len())
    }
}

/// A header that points to `name`, `control` and `vector`, which must not move while it is used.
pub(super) fn header(
    name: &mut Address,
    control: Option<&mut Control>,
    vector: &mut libc::iovec,
) -> libc::mmsghdr {
    // SAFETY: integers and pointers; all zero is an empty message.
    let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
    header.msg_hdr.msg_name = std::ptr::from_mut(name).cast();
    header.msg_hdr.msg_namelen = NAME_LEN;
    header.msg_hdr.msg_iov = vector;
    header.msg_hdr.msg_iovlen = 1;
    if let Some(control) = control {
        header.msg_hdr.msg_control = std::ptr::from_mut(control).cast();
        header.msg_hdr.msg_controllen = size_of::<Control>();
    }
    header
}

#[derive(Clone, Copy, Debug, Default)]
struct Meta {
    len: usize,
    from: Address,
    truncated: bool,
    notes: control::Notes,
}

/// One cache line between buffers, so that their starts do not share cache sets.
const GAP: usize = 64;
const NAME_LEN: libc::socklen_t = 28;
