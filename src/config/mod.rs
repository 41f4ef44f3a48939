//! Configuration: a TOML file in, only valid values out.
//!
//! A file is read in two steps: parsed as TOML, then walked through key by key into the checked
//! form, [`Config`]. Nothing stops at the first mistake: all of them are listed, each with its line
//! and key. `crate::manual::configuration` documents every key and its default.

mod anchors;
mod check;
mod media_anchor;
mod mistake;
mod primary;
mod sections;
mod walk;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

pub use self::check::check;
pub use self::mistake::{LoadError, Mistake};
pub use self::primary::{Partner, Tell, Users};

use crate::migration::agreement::Agreement;
use crate::migration::identity::SystemName;
use crate::wire::network::Network;

/// A checked configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The relay itself.
    pub relay: Relay,
    /// Interfaces, at least one; the first is the default.
    pub interfaces: Vec<Interface>,
    /// The NG control protocol.
    pub ng: Ng,
    /// HTTP: hooks, health, metrics.
    pub http: Http,
    /// Loggers, at least one.
    pub loggers: Vec<Logger>,
    /// Media anchors of primary systems, for redirect.
    pub anchors: Vec<Anchor>,
    /// Agreements, at most one for each primary system.
    pub agreements: Vec<Agreement>,
    /// Primaries that are told of migrations, each of an agreement.
    pub tells: Vec<Tell>,
    /// Systems that our own users may migrate to.
    pub partners: Vec<Partner>,
    /// Our own users; `None`: `homeward logger` keeps none.
    pub users: Option<Users>,
    /// The logger of `homeward logger`, and the embedded one.
    pub archive: Archive,
    /// The reference media anchor beside the logger; `None`: there is none.
    pub media_anchor: Option<MediaAnchor>,
    /// What is logged, and how.
    pub log: Log,
}

/// Section `[relay]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Relay {
    /// Name of our MC system.
    pub system: SystemName,
    /// Where everything durable lies.
    pub data_dir: PathBuf,
    /// Data plane threads; 0: one less than there are cores, at least one.
    pub workers: usize,
    /// At most so many calls at once.
    pub max_calls: usize,
    /// Ended calls kept for `explain`.
    pub ended_calls: usize,
    /// An answered call without a packet for so long is ended.
    pub media_timeout: Duration,
    /// The same for a call on hold.
    pub silent_timeout: Duration,
    /// An offer without an answer for so long is given up.
    pub offer_timeout: Duration,
    /// Longest life of a call; `None`: no limit.
    pub final_timeout: Option<Duration>,
    /// From `delete` to removal.
    pub delete_delay: Duration,
    /// How long a retired port stays open.
    pub port_linger: Duration,
    /// How a peer's real address is learned, unless signalling says otherwise.
    pub learning: Learning,
    /// Whether packets from elsewhere are dropped, unless signalling says otherwise.
    pub strict_source: bool,
    /// Whether calls are written down, so that a restarted relay goes on with them.
    pub journal: bool,
    /// How long packets of a call are kept while it is undecided where they belong; zero: not.
    pub preroll: Duration,
    /// At most so many octets of one call are kept.
    pub preroll_call_bytes: usize,
    /// At most so many octets are kept in all.
    pub preroll_bytes: usize,
    /// Networks in which mirrored media may travel unprotected.
    pub plain_networks: Vec<Network>,
}

/// How the real address of a peer is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Learning {
    /// The declared address only.
    Off,
    /// The source of the first packet.
    Immediate,
    /// What is seen at the end of the window.
    Delayed,
    /// The best match with the declared address within the window.
    Heuristic,
}

/// One `[[interface]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name in NG `direction`.
    pub name: String,
    /// Its addresses, at least one.
    pub addresses: Vec<Address>,
    /// First and last media port, both included.
    pub ports: (u16, u16),
}

/// A local address of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// What sockets are bound to.
    pub bind: IpAddr,
    /// What is written into SDP; of the same family.
    pub advertised: IpAddr,
}

/// Section `[ng]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ng {
    /// UDP sockets that are listened on; none: NG is off.
    pub udp: Vec<SocketAddr>,
    /// Who may send requests.
    pub allow: Vec<Network>,
}

/// Section `[http]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// TCP sockets that are listened on; none: HTTP is off.
    pub listen: Vec<SocketAddr>,
    /// File with the bearer token that clients must show; `None`: no token.
    pub token_file: Option<PathBuf>,
    /// At most so many connections at once.
    pub max_connections: usize,
}

/// One `[[logger]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logger {
    /// Its name in agreements.
    pub name: String,
    /// How media gets there.
    pub transport: Transport,
}

/// How media gets to a logger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Plain RTP to the logger in this process ([`Config::archive`]).
    Embedded,
    /// Plain RTP to a logger elsewhere: each stream to a port of its own.
    Rtp {
        /// Its addresses, at most one of each family.
        addresses: Vec<IpAddr>,
        /// First and last port that it listens on, both included.
        ports: (u16, u16),
        /// Its HTTP door, where it is told which call a port belongs to; `None`: it is not told.
        announce: Option<Announce>,
    },
}

/// The HTTP door of a logger elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announce {
    /// Its address.
    pub address: SocketAddr,
    /// File with the bearer token that it wants to see; `None`: no token.
    pub token_file: Option<PathBuf>,
}

/// One `[[anchor]]`: where a primary system takes media that is redirected through it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// Its name in agreements.
    pub name: String,
    /// Name of the interface that faces it; `None`: the default one.
    pub interface: Option<String>,
    /// Packets were sent there for so long, and none came back: it is bypassed.
    pub unreachable_after: Duration,
    /// It has answered without a pause for so long: media goes through it again.
    pub return_after: Duration,
    /// How it is asked to take media.
    pub transport: AnchorTransport,
}

/// How an anchor is asked to take media.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnchorTransport {
    /// Not at all: it sends back what comes to its ports, which are given out by this relay alone.
    Static {
        /// Its address.
        address: IpAddr,
        /// First and last port that it listens on, both included.
        ports: (u16, u16),
    },
    /// By SIP INVITE.
    Sip {
        /// Where SIP requests go.
        address: SocketAddr,
        /// Where ours come from; `None`: from where the system chooses.
        local: Option<SocketAddr>,
    },
}

impl Anchor {
    /// An address of it, by whose family lanes get their local addresses.
    pub const fn address(&self) -> IpAddr {
        match &self.transport {
            AnchorTransport::Static { address, .. } => *address,
            AnchorTransport::Sip { address, .. } => address.ip(),
        }
    }
}

/// Section `[archive]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archive {
    /// Where archive, index and recordings lie.
    pub dir: PathBuf,
    /// Address that media arrives on.
    pub bind: IpAddr,
    /// First and last UDP port for media, both included.
    pub ports: (u16, u16),
    /// Relays that media is taken from; empty for a logger that only hears its own process.
    pub relays: Vec<IpAddr>,
    /// From the end of a call to the closing of its recording.
    pub close_grace: Duration,
    /// A block is sealed at so many octets.
    pub block_bytes: usize,
    /// A block is sealed at this age.
    pub block_age: Duration,
    /// A segment file is closed at so many octets.
    pub segment_bytes: u64,
}

/// Section `[media_anchor]`: takes the media of redirected calls, records it, and sends it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaAnchor {
    /// UDP sockets that SIP is taken on, at least one.
    pub sip: Vec<SocketAddr>,
    /// Addresses that media is taken on, at most one of each family.
    pub bind: Vec<IpAddr>,
    /// First and last UDP port for media, both included.
    pub ports: (u16, u16),
    /// Relays that may call.
    pub relays: Vec<Network>,
    /// Calls at once.
    pub max_calls: usize,
    /// A call without any packet for so long is ended.
    pub media_timeout: Duration,
}

/// Section `[log]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// What is logged: a level, or directives such as `info,homeward::hook=debug`.
    pub filter: String,
    /// One JSON object a line instead of text.
    pub json: bool,
}

impl Default for Config {
    /// Loopback only, with an embedded logger and no agreement: what `homeward run` does without
    /// a file.
    fn default() -> Self {
        let relay = Relay::default();
        Self {
            archive: Archive::in_dir(&relay.data_dir),
            relay,
            interfaces: vec![Interface::default()],
            ng: Ng::default(),
            http: Http::default(),
            loggers: vec![Logger::default()],
            anchors: Vec::new(),
            agreements: Vec::new(),
            media_anchor: None,
            tells: Vec::new(),
            partners: Vec::new(),
            users: None,
            log: Log::default(),
        }
    }
}

impl Default for Relay {
    fn default() -> Self {
        #[expect(clippy::unwrap_used, reason = "a literal that is a good system name")]
        let system = "localhost".parse().unwrap();
        Self {
            system,
            data_dir: "homeward-data".into(),
            workers: 0,
            max_calls: 20_000,
            ended_calls: 1_000,
            media_timeout: Duration::from_secs(60),
            silent_timeout: Duration::from_secs(3_600),
            offer_timeout: Duration::from_secs(3_600),
            final_timeout: None,
            delete_delay: Duration::from_secs(30),
            port_linger: Duration::from_secs(30),
            learning: Learning::Heuristic,
            strict_source: true,
            journal: true,
            preroll: Duration::from_secs(10),
            preroll_call_bytes: 1 << 20,
            preroll_bytes: 64 << 20,
            plain_networks: Vec::new(),
        }
    }
}

impl Default for Interface {
    fn default() -> Self {
        Self {
            name: "default".into(),
            addresses: vec![Address::from(IpAddr::from(Ipv4Addr::LOCALHOST))],
            ports: DEFAULT_PORTS,
        }
    }
}

impl From<IpAddr> for Address {
    fn from(address: IpAddr) -> Self {
        Self {
            bind: address,
            advertised: address,
        }
    }
}

impl Default for Ng {
    fn default() -> Self {
        Self {
            udp: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 2_223))],
            allow: Network::loopback().into(),
        }
    }
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 8_080))],
            token_file: None,
            max_connections: 256,
        }
    }
}

impl Default for Logger {
    fn default() -> Self {
        Self {
            name: "embedded".into(),
            transport: Transport::Embedded,
        }
    }
}

impl Archive {
    /// The defaults, with the archive in a folder of this data directory.
    fn in_dir(data_dir: &Path) -> Self {
        Self {
            dir: data_dir.join("archive"),
            bind: Ipv4Addr::LOCALHOST.into(),
            ports: (41_000, 60_999),
            relays: Vec::new(),
            close_grace: Duration::from_secs(2),
            block_bytes: 64 * 1_024,
            block_age: Duration::from_millis(100),
            segment_bytes: 256 * 1_024 * 1_024,
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self {
            filter: "info".into(),
            json: false,
        }
    }
}

impl Http {
    /// Reads the token file, if one is configured.
    ///
    /// # Errors
    /// The file cannot be read, or does not hold one token of 16 to 512 visible ASCII characters.
    pub fn token(&self) -> Result<Option<String>, String> {
        self.token_file.as_deref().map(token).transpose()
    }
}

impl Announce {
    /// Reads the token file, if one is configured.
    ///
    /// # Errors
    /// As [`Http::token`].
    pub fn token(&self) -> Result<Option<String>, String> {
        self.token_file.as_deref().map(token).transpose()
    }
}

fn token(path: &Path) -> Result<String, String> {
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("cannot read the token in {shown}: {error}"))?;
    let token = text.trim();
    let visible = token.bytes().all(|byte| byte.is_ascii_graphic());
    if !visible || !(16..=512).contains(&token.len()) {
        return Err(format!(
            "{shown} must hold one token of 16 to 512 visible ASCII characters"
        ));
    }
    Ok(token.to_owned())
}

/// Reads and checks a file.
///
/// # Errors
/// The file cannot be read, or all of its mistakes.
pub fn load(path: &Path) -> Result<Config, LoadError> {
    let text = std::fs::read_to_string(path).map_err(|source| LoadError::Read {
        path: path.to_owned(),
        source,
    })?;
    check(&text).map_err(|mistakes| LoadError::Mistakes {
        path: path.to_owned(),
        mistakes,
    })
}

const DEFAULT_PORTS: (u16, u16) = (30_000, 40_000);

#[cfg(test)]
mod tests;
