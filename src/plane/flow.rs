//! Wanted state of a flow slot, as the control side states it.

use std::net::SocketAddr;
use std::time::Duration;

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
    /// Where the peer was when another process served this flow: taken as confirmed. Looked at
    /// when the slot is opened only.
    pub known: Option<SocketAddr>,
    /// The way of its packets, or that this is the socket facing home.
    pub route: Route,
    /// Keep accepted packets in the pre-roll of this call (any number that the calls of a worker
    /// do not share), because it is not decided yet where they belong.
    pub keep: Option<u64>,
}

/// The way of a flow's packets (design section 6, redirect).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Route {
    /// Straight to where `forward` says.
    #[default]
    Direct,
    /// Through the home leg: out of these slots' sockets, to their remotes. While home does not
    /// answer, straight to where `forward` says, with a copy home that probes it.
    Via {
        /// The slot that faces home, for RTP and datagrams.
        home: SlotId,
        /// The same for RTCP on an RTP slot; `None`: like `home`.
        home_rtcp: Option<SlotId>,
    },
    /// This is the slot that faces home: what comes back goes to where `forward` says.
    Home(HomeLimits),
}

/// When home counts as unreachable, and as back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HomeLimits {
    /// Packets were sent home for so long, and none came back: bypass it.
    pub unreachable_after: Duration,
    /// Home has answered without a pause for so long: go through it again.
    pub return_after: Duration,
}
