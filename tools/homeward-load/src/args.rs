//! What can be typed.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::{Parser, Subcommand};
use homeward::traffic::Codec;

/// Plays calls through a media relay, and checks that every packet arrives unchanged and once.
#[derive(Debug, Parser)]
#[command(version, about)]
pub(crate) struct Args {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Place calls over NG, play both parties of each, and check what arrives
    #[command(after_help = EXAMPLES)]
    Calls(Calls),
}

/// Options of `calls`.
#[derive(Debug, clap::Args)]
pub(crate) struct Calls {
    /// Where the relay listens for NG over UDP
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) ng: SocketAddr,
    /// Number of calls
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) calls: u32,
    /// Length of each call in seconds
    #[arg(long, value_name = "S", default_value_t = 5)]
    pub(crate) seconds: u32,
    /// Calls set up per second; 0: as fast as the relay answers
    #[arg(long, value_name = "R", default_value_t = 0)]
    pub(crate) rate: u32,
    /// What the parties say: pcmu, amr-wb, or wav:FILE (8 kHz, mono, 16 bit)
    #[arg(long, value_name = "CODEC", default_value = "pcmu", value_parser = codec)]
    pub(crate) codec: Codec,
    /// Push to talk: talk bursts in turn, with floor control messages
    #[arg(long)]
    pub(crate) ptt: bool,
    /// The parties also send RTCP sender reports
    #[arg(long)]
    pub(crate) rtcp: bool,
    /// Address of the calling parties [default: that of the relay if loopback, else 127.0.0.1]
    #[arg(long, value_name = "IP")]
    pub(crate) caller_ip: Option<IpAddr>,
    /// Address of the called parties; of another family, the relay is to bridge [default: as
    /// --caller-ip]
    #[arg(long, value_name = "IP")]
    pub(crate) callee_ip: Option<IpAddr>,
    /// Lowest and highest local port of the parties
    #[arg(long, value_name = "FROM-TO", default_value = "41000-65535", value_parser = ports)]
    pub(crate) ports: (u16, u16),
    /// Interfaces of the relay towards callers and called parties
    #[arg(long, value_name = "A,B", value_parser = direction)]
    pub(crate) direction: Option<[String; 2]>,
    /// Another NG key for each offer and answer; `<n>` in it is the number of the call
    #[arg(long = "key", value_name = "KEY=VALUE", value_parser = key)]
    pub(crate) keys: Vec<(String, String)>,
    /// Another NG flag for each offer and answer
    #[arg(long = "flag", value_name = "FLAG")]
    pub(crate) flags: Vec<String>,
    /// MC service ID of the callers, `<n>` being the number of the call: short for the keys
    /// mc-service=mcptt, mc-session-type=private and mc-calling-id=ID
    #[arg(long, value_name = "ID")]
    pub(crate) context: Option<String>,
    /// Start of each call-id [default: load- and a number of this process]
    #[arg(long, value_name = "TEXT")]
    pub(crate) call_id_prefix: Option<String>,
    /// Packets follow from it
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Then read the recordings (pcapng) here, and compare them packet by packet
    #[arg(long, value_name = "DIR")]
    pub(crate) recordings: Option<PathBuf>,
    /// How long to wait for the recordings to be whole, in seconds
    #[arg(long, value_name = "S", default_value_t = 10, requires = "recordings")]
    pub(crate) recordings_wait: u64,
    /// One JSON object instead of text, and no progress
    #[arg(long)]
    pub(crate) json: bool,
    /// Permit a relay that is neither on loopback nor on this host
    #[arg(long)]
    pub(crate) allow_remote: bool,
}

const EXAMPLES: &str = "\
Examples:
  homeward-load calls --ng 127.0.0.1:2223 --calls 20 --seconds 5
  homeward-load calls --ng 127.0.0.1:2223 --ptt --codec amr-wb --context 'sip:user-<n>@partner.example'

Exit status: 0 good, 1 the run or its checks failed, 2 bad usage.";

fn codec(text: &str) -> Result<Codec, String> {
    match text {
        "pcmu" => Ok(Codec::Pcmu),
        "amr-wb" => Ok(Codec::AmrWb),
        other => match other.strip_prefix("wav:") {
            Some(path) if !path.is_empty() => Ok(Codec::Wav(path.into())),
            Some(_) | None => Err("must be pcmu, amr-wb or wav:FILE".to_owned()),
        },
    }
}

fn ports(text: &str) -> Result<(u16, u16), String> {
    let bounds = text.split_once('-').and_then(|(from, to)| {
        let bounds: (u16, u16) = (from.parse().ok()?, to.parse().ok()?);
        (bounds.0 > 0 && bounds.0 < bounds.1).then_some(bounds)
    });
    bounds.ok_or_else(|| "must be two ports, the lower first: 41000-65535".to_owned())
}

fn direction(text: &str) -> Result<[String; 2], String> {
    match text.split_once(',') {
        Some((a, b)) if !a.is_empty() && !b.is_empty() && !b.contains(',') => {
            Ok([a.to_owned(), b.to_owned()])
        }
        Some(_) | None => Err("must be two names: core,partner".to_owned()),
    }
}

fn key(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        Some(_) | None => Err("must be KEY=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn definition_holds() {
        Args::command().debug_assert();
    }

    #[test]
    fn values_are_checked() {
        assert_eq!(codec("wav:a.wav"), Ok(Codec::Wav("a.wav".into())));
        assert!(codec("opus").is_err() && codec("wav:").is_err());
        assert_eq!(ports("1000-2000"), Ok((1_000, 2_000)));
        assert!(ports("2000-1000").is_err() && ports("0-9").is_err() && ports("7").is_err());
        assert_eq!(direction("a,b"), Ok(["a".to_owned(), "b".to_owned()]));
        assert!(direction("a").is_err() && direction("a,b,c").is_err());
        assert_eq!(key("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert!(key("=b").is_err() && key("a").is_err());
    }
}
