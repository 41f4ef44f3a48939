//! What to play: the plan of a run, and its check before anything is sent.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

/// A run of the engine: how many calls, how long, of what kind, through which relay.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where the relay's NG protocol listens, over UDP.
    pub ng: SocketAddr,
    /// Number of calls, at least one.
    pub calls: u32,
    /// Length of the media of each call in seconds, at least one.
    pub seconds: u32,
    /// Calls set up per second; 0 means as fast as the daemon answers.
    pub rate: u32,
    /// What the parties say.
    pub codec: Codec,
    /// Who speaks when.
    pub mode: Mode,
    /// Address of every calling party.
    pub caller_ip: IpAddr,
    /// Address of every called party; of another family, the relay is asked to bridge.
    pub callee_ip: IpAddr,
    /// Local ports of the parties.
    pub ports: RangeInclusive<u16>,
    /// Interface names of the relay towards caller and callee (NG key `direction`).
    pub direction: Option<[String; 2]>,
    /// Further NG keys of each offer and answer. `<n>` in a value stands for the number of the
    /// call, from 1.
    pub keys: Vec<(String, String)>,
    /// Further NG flags of each offer and answer.
    pub flags: Vec<String>,
    /// Start of each call-id; the number of the call, from 1, follows.
    pub call_id_prefix: String,
    /// All SSRCs, sequence numbers and payloads follow from it.
    pub seed: u64,
    /// Whether the parties send RTCP sender reports, one every [`RTCP_INTERVAL`].
    pub rtcp: bool,
    /// Permits a relay that is neither on loopback nor on this host.
    pub allow_remote: bool,
    /// How long a reply is waited for before the request is repeated.
    pub ng_timeout: Duration,
}

/// What the parties say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Codec {
    /// G.711 µ-law, 160 octets of noise a packet.
    Pcmu,
    /// Octets of the size and shape of AMR-WB at 12.65 kbit/s, octet-aligned (RFC 4867).
    AmrWb,
    /// A WAV file (8 kHz, mono, 16 bit), encoded as G.711 µ-law and repeated.
    Wav(PathBuf),
}

/// Who speaks when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Both parties all the time.
    FullDuplex,
    /// Talk bursts in turn, with floor control messages around them (TS 24.380) on a media
    /// stream of their own.
    PushToTalk,
}

/// Time between packets of a party.
pub const PACKET_INTERVAL: Duration = Duration::from_millis(20);
/// Packets a second and party.
pub const PACKETS_PER_SECOND: u32 = 50;
/// Time between sender reports of a party.
pub const RTCP_INTERVAL: Duration = Duration::from_secs(5);
/// Sends of one request before the daemon counts as silent.
pub const NG_TRIES: u32 = 5;

const MAX_CALLS: u32 = 100_000;
const MAX_SECONDS: u32 = 24 * 3_600;

/// Why a plan cannot be run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A number is outside of its bounds.
    #[error("{name} must be from 1 to {max}, and is {value}")]
    OutOfRange {
        /// Which number.
        name: &'static str,
        /// What it is.
        value: u32,
        /// What it may be at most.
        max: u32,
    },
    /// The target is on another host.
    #[error("{0} is neither loopback nor an address of this host; say so if that is intended")]
    Remote(IpAddr),
    /// No port or not enough ports for the parties.
    #[error("ports {from} to {to} do not hold {needed} sockets on an address")]
    Ports {
        /// Lowest port.
        from: u16,
        /// Highest port.
        to: u16,
        /// Sockets needed on the address.
        needed: u64,
    },
}

impl Plan {
    /// A small plan for the relay at `ng`: one full-duplex PCMU call of five seconds between
    /// parties on the relay's own loopback address.
    pub fn new(ng: SocketAddr) -> Self {
        let ip = match ng.ip() {
            ip if ip.is_loopback() => ip,
            IpAddr::V4(_) | IpAddr::V6(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        };
        Self {
            ng,
            calls: 1,
            seconds: 5,
            rate: 0,
            codec: Codec::Pcmu,
            mode: Mode::FullDuplex,
            caller_ip: ip,
            callee_ip: ip,
            ports: 41_000..=65_535,
            direction: None,
            keys: Vec::new(),
            flags: Vec::new(),
            call_id_prefix: "load-".to_owned(),
            seed: 1,
            rtcp: false,
            allow_remote: false,
            ng_timeout: Duration::from_secs(1),
        }
    }

    /// Whether the plan can be run, before anything is sent.
    ///
    /// # Errors
    ///
    /// [`PlanError`] with what is wrong.
    pub fn check(&self) -> Result<(), PlanError> {
        in_range("calls", self.calls, MAX_CALLS)?;
        in_range("seconds", self.seconds, MAX_SECONDS)?;
        self.permit(self.ng.ip())?;
        let parties = if self.caller_ip == self.callee_ip {
            2
        } else {
            1
        };
        let needed = u64::from(self.calls) * parties * self.sockets_per_party();
        let (from, to) = (*self.ports.start(), *self.ports.end());
        if u64::try_from(self.ports.clone().count()).unwrap_or(0) < needed {
            return Err(PlanError::Ports { from, to, needed });
        }
        Ok(())
    }

    /// Whether packets may be sent to this address.
    pub(super) fn permit(&self, ip: IpAddr) -> Result<(), PlanError> {
        if self.allow_remote || is_local(ip) {
            return Ok(());
        }
        Err(PlanError::Remote(ip))
    }

    /// Ports that each party takes; RTP and RTCP come in pairs.
    pub(super) fn sockets_per_party(&self) -> u64 {
        let floor = self.mode == Mode::PushToTalk;
        2 + if floor { 2 } else { 0 }
    }

    /// The call-id of a call, counted from 0.
    pub fn call_id(&self, call: u32) -> String {
        format!("{}{}", self.call_id_prefix, call + 1)
    }
}

/// Whether an address is loopback or belongs to this host: only then a socket binds to it.
pub fn is_local(ip: IpAddr) -> bool {
    ip.is_loopback() || (!ip.is_unspecified() && UdpSocket::bind((ip, 0)).is_ok())
}

fn in_range(name: &'static str, value: u32, max: u32) -> Result<(), PlanError> {
    if (1..=max).contains(&value) {
        return Ok(());
    }
    Err(PlanError::OutOfRange { name, value, max })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        Plan::new("127.0.0.1:2223".parse().unwrap())
    }

    #[test]
    fn a_default_plan_is_good() {
        assert_eq!(plan().check(), Ok(()));
        assert_eq!(plan().call_id(0), "load-1");
    }

    #[test]
    fn a_target_elsewhere_must_be_allowed() {
        let mut plan = plan();
        plan.ng = "192.0.2.1:2223".parse().unwrap();
        assert_eq!(plan.check(), Err(PlanError::Remote(plan.ng.ip())));
        plan.allow_remote = true;
        assert_eq!(plan.check(), Ok(()));
    }

    #[test]
    fn bounds_are_named() {
        let mut plan = plan();
        plan.calls = 0;
        let text = plan.check().unwrap_err().to_string();
        assert_eq!(text, "calls must be from 1 to 100000, and is 0");
        plan.calls = 10;
        plan.ports = 41_000..=41_010;
        assert!(matches!(
            plan.check(),
            Err(PlanError::Ports { needed: 40, .. })
        ));
    }
}
