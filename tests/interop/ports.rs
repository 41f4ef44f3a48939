//! Ports that tests which run at the same time do not share.

use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, UdpSocket};
use std::sync::Mutex;

/// Ports that belong to one test, as offsets from the first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    first: u16,
}

impl Ports {
    /// Looks for a stretch of free ports below those that the system gives to others.
    pub(crate) fn find() -> Self {
        let random = RandomState::new();
        // Tests of this process look one after the other, and never take what was given out.
        let mut given = GIVEN.lock().unwrap();
        for attempt in 0..500_u16 {
            let place = u16::try_from(random.hash_one(attempt) % 33).unwrap();
            let first = 12_000 + place * COUNT;
            if !given.contains(&first) && (first..first + COUNT).all(is_free) {
                given.push(first);
                return Self { first };
            }
        }
        panic!("no {COUNT} free ports in a row");
    }

    /// Of the SIP proxy, both families.
    pub(crate) const fn proxy(self) -> u16 {
        self.first + 200
    }

    /// Of the NG daemon.
    pub(crate) const fn ng(self) -> u16 {
        self.first + 206
    }

    /// Of the relay's HTTP hooks.
    pub(crate) const fn http(self) -> u16 {
        self.first + 208
    }

    /// Of the HTTP door of the logger elsewhere.
    pub(crate) const fn door(self) -> u16 {
        self.first + 210
    }

    /// Of the media anchor elsewhere, for SIP.
    pub(crate) const fn anchor_sip(self) -> u16 {
        self.first + 212
    }

    /// Of the relay's media, first and last.
    pub(crate) const fn media(self) -> (u16, u16) {
        (self.first + 220, self.first + 399)
    }

    /// Of the embedded logger's media, first and last.
    pub(crate) const fn logger(self) -> (u16, u16) {
        (self.first + 400, self.first + 499)
    }

    /// Of the media of the logger elsewhere, first and last.
    pub(crate) const fn elsewhere(self) -> (u16, u16) {
        (self.first + 500, self.first + 549)
    }

    /// Of the media anchor elsewhere, first and last.
    pub(crate) const fn anchor(self) -> (u16, u16) {
        (self.first + 550, self.first + COUNT - 1)
    }

    /// Of an agent, of ten: 0 is the first caller, 1 who is called, 2 the next caller, and so on.
    pub(crate) const fn agent(self, number: u16) -> AgentPorts {
        AgentPorts {
            first: self.first + 20 * number,
        }
    }
}

/// Ports of one agent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AgentPorts {
    first: u16,
}

impl AgentPorts {
    /// What SIPp binds for an echo that is not used; its media ports are counted from here.
    pub(crate) const fn base(self) -> u16 {
        self.first
    }

    /// RTP: SIPp sends from it through a raw socket, the test listens on it.
    pub(crate) const fn rtp(self) -> u16 {
        self.first + RTP_OFFSET
    }

    /// SIP.
    pub(crate) const fn sip(self) -> u16 {
        self.first + 14
    }

    /// SIPp's remote control.
    pub(crate) const fn control(self) -> u16 {
        self.first + 16
    }
}

/// From [`AgentPorts::base`] to [`AgentPorts::rtp`].
pub(crate) const RTP_OFFSET: u16 = 10;

const COUNT: u16 = 600;

/// First ports of what was given out.
static GIVEN: Mutex<Vec<u16>> = Mutex::new(Vec::new());

fn is_free(port: u16) -> bool {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
        && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
        && (!has_ipv6() || UdpSocket::bind((Ipv6Addr::LOCALHOST, port)).is_ok())
}

/// Whether the machine has an IPv6 loopback.
pub(crate) fn has_ipv6() -> bool {
    UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
}
