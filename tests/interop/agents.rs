//! The agents of a dialog: SIPp, which calls or is called, plays speech, and hangs up.

use std::fs::write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::time::Duration;

use crate::party::write_pcap;
use crate::ports::{AgentPorts, RTP_OFFSET};
use crate::process::{Process, command};

/// Who calls whom.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dialog {
    /// User part of the caller's address.
    pub(crate) caller: &'static str,
    /// User part of the callee's address.
    pub(crate) callee: &'static str,
    /// Header fields that the caller adds, which the proxy's script reads.
    pub(crate) headers: &'static [(&'static str, &'static str)],
}

impl Dialog {
    /// A call without more.
    pub(crate) const fn of(caller: &'static str, callee: &'static str) -> Self {
        Self {
            caller,
            callee,
            headers: &[],
        }
    }

    /// Its SIP Call-ID.
    pub(crate) fn call_id(&self) -> String {
        format!("{}-{}-1", self.caller, self.callee)
    }
}

/// What an agent plays: the parts of its speech, one before, in, and after a hold.
pub(crate) type Parts<'a> = [&'a [Vec<u8>]];

/// How long an agent plays the longest of these parts. The other party begins a little later, and
/// is given time to end.
pub(crate) fn talk<'a>(parts: impl Iterator<Item = &'a &'a [Vec<u8>]>) -> Duration {
    let length = |part: &&[Vec<u8>]| {
        let stamp = |packet: &Vec<u8>| u32::from_be_bytes(packet[4..8].try_into().unwrap());
        let (first, last) = (part.first().map(stamp), part.last().map(stamp));
        last.unwrap_or(0).wrapping_sub(first.unwrap_or(0)) / 8
    };
    let longest = parts.map(length).max().unwrap();
    Duration::from_millis(u64::from(longest) + 1_500)
}

/// One end of a dialog.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Agent {
    /// Which dialog, of those of its site.
    pub(crate) dialog: Dialog,
    /// Whether it is called.
    pub(crate) is_callee: bool,
    /// Its ports.
    pub(crate) ports: AgentPorts,
    /// Where it sends SIP to and listens for media.
    pub(crate) address: IpAddr,
}

impl Agent {
    /// What it is known by: the name of its files.
    pub(crate) fn name(&self) -> String {
        let Dialog { caller, callee, .. } = self.dialog;
        if self.is_callee {
            format!("{callee}-of-{caller}")
        } else {
            format!("{caller}-to-{callee}")
        }
    }

    /// Starts it in `dir`.
    pub(crate) fn start(
        &self,
        dir: &Path,
        proxy: u16,
        parts: &Parts<'_>,
        talk: Duration,
    ) -> Process {
        let name = self.name();
        let mut scenario = self.scenario(parts.len() > 1, talk);
        for (part, packets) in (1..).zip(parts) {
            let file = format!("{name}{part}.pcap");
            write_pcap(&dir.join(&file), packets);
            scenario = scenario.replace(&format!("@PART{part}@"), &file);
        }
        let file = format!("{name}.xml");
        write(dir.join(&file), scenario).unwrap();
        let mut sipp = command("sipp");
        sipp.args(["-sf", &file, "-m", "1", "-nostdin"])
            .args(["-trace_msg", "-message_file", &format!("{name}.messages")])
            .args(["-i", &host(self.address)])
            .args(["-p", &self.ports.sip().to_string()])
            .args(["-mi", &self.address.to_string()])
            .args(["-mp", &self.ports.base().to_string()])
            .args(["-cp", &self.ports.control().to_string()])
            .args(["-timeout", "60s", "-timeout_error"]);
        if !self.is_callee {
            let id = format!("{}-{}-%u", self.dialog.caller, self.dialog.callee);
            sipp.arg(format!("127.0.0.1:{proxy}"))
                .args(["-cid_str", &id]);
        }
        Process::start(&name, dir, &mut sipp)
    }

    fn scenario(&self, hold: bool, talk: Duration) -> String {
        let Dialog {
            caller,
            callee,
            headers,
        } = self.dialog;
        let scenario = match (self.is_callee, hold) {
            (false, false) => include_str!("data/caller.xml"),
            (false, true) => include_str!("data/caller_hold.xml"),
            (true, false) => include_str!("data/callee.xml"),
            (true, true) => include_str!("data/callee_hold.xml"),
        };
        let headers: String = headers
            .iter()
            .map(|(name, value)| format!("\n      {name}: {value}"))
            .collect();
        scenario
            .replace("@HEADERS@", &headers)
            .replace("@USER@", if self.is_callee { callee } else { caller })
            .replace("@CALLEE@", callee)
            .replace("@FAMILY@", if self.address.is_ipv6() { "6" } else { "4" })
            .replace("@ADDRESS@", &self.address.to_string())
            .replace("@OFFSET@", &RTP_OFFSET.to_string())
            .replace("@TALK@", &talk.as_millis().to_string())
    }
}

/// Where an agent is.
pub(crate) const fn loopback(ipv6: bool) -> IpAddr {
    if ipv6 {
        IpAddr::V6(Ipv6Addr::LOCALHOST)
    } else {
        IpAddr::V4(Ipv4Addr::LOCALHOST)
    }
}

/// An address as it stands in a URI.
pub(crate) fn host(address: IpAddr) -> String {
    if address.is_ipv6() {
        format!("[{address}]")
    } else {
        address.to_string()
    }
}
