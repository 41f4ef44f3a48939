//! Wanted state of a flow slot, as the control side states it.

use std::net::SocketAddr;

/// Index of a flow slot at its worker; given by the control side, reused only after `Closed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotId(pub u32);

/// What a datagram must look like on this slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// RTP, or RTCP multiplexed with it.
    Rtp,
    /// RTCP.
    Rtcp,
    /// Anything, empty datagrams too: floor control and the like.
    Datagram,
}

/// How the real address of the peer is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Learn {
    /// The declared address only.
    Off,
    /// The source of the first good packet.
    Immediate,
    /// The last good source within the window.
    Delayed,
    /// The best match with the declared address within the window.
    Heuristic,
}

/// What is done with other sources once an address is confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Dropped and counted.
    Strict,
    /// Followed.
    Handover,
    /// Taken; the destination stays.
    Loose,
}

/// Everything that the control side wants of a slot. Counters and the learned address survive a
/// change of it, unless `window` grew: then learning starts anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// What arrives.
    pub expect: Expect,
    /// Where the leg is reached, as declared.
    pub remote: Option<SocketAddr>,
    /// How its real address is learned.
    pub learn: Learn,
    /// Generation of the learning window.
    pub window: u32,
    /// What is done with other sources.
    pub source: Source,
    /// The slot (of the same worker) whose socket and remote packets go to.
    pub forward: Option<SlotId>,
    /// The same for RTCP on an RTP slot.
    pub forward_rtcp: Option<SlotId>,
    /// Drop everything, and count it.
    pub blocked: bool,
    /// RTP clock rate in Hz, for jitter.
    pub clock_rate: u32,
}
