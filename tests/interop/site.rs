//! A site: a proxy, an NG daemon behind it, and two agents that call each other.

use std::fs::write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::http;
use crate::party::{Ear, Heard, write_pcap};
use crate::ports::{Ports, RTP_OFFSET, has_ipv6};
use crate::process::{Process, command, wait_for};
use crate::recording;

/// Which NG daemon carries the media.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Daemon {
    /// `homeward run`.
    Homeward,
    /// The daemon whose protocol this is; shows that the agents and the proxy do their part.
    Rtpengine,
}

/// What is set up and called.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// The daemon.
    pub(crate) daemon: Daemon,
    /// User part of the caller's address; also names the call.
    pub(crate) caller: &'static str,
    /// Whether the callee is on IPv6 while the caller is on IPv4.
    pub(crate) bridged: bool,
    /// Whether the caller holds and resumes the call.
    pub(crate) hold: bool,
}

impl Plan {
    const fn callee_address(self) -> IpAddr {
        if self.bridged {
            IpAddr::V6(Ipv6Addr::LOCALHOST)
        } else {
            CALLER_ADDRESS
        }
    }
}

const CALLER_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// What an agent plays: the parts of its speech, one before, in, and after a hold.
pub(crate) type Parts<'a> = [&'a [Vec<u8>]];

/// The programs of a site, and where they keep their files.
#[derive(Debug)]
pub(crate) struct Site {
    plan: Plan,
    ports: Ports,
    // Declared, and so stopped, before the folder goes away.
    daemon: Process,
    _proxy: Process,
    dir: TempDir,
}

impl Site {
    /// Starts daemon and proxy, and returns when both answer.
    pub(crate) fn start(plan: Plan) -> Self {
        let dir = TempDir::new().unwrap();
        let ports = Ports::find();
        let mut start = match plan.daemon {
            Daemon::Homeward => {
                write(dir.path().join("homeward.toml"), homeward_config(ports)).unwrap();
                let mut run = command(env!("CARGO_BIN_EXE_homeward"));
                run.args(["run", "--config", "homeward.toml"]);
                run
            }
            Daemon::Rtpengine => rtpengine(ports),
        };
        let mut daemon = Process::start("daemon", dir.path(), &mut start);
        wait_for("the daemon", Duration::from_secs(15), || {
            assert!(daemon.runs(), "the daemon has ended:\n{}", daemon.log());
            answers(ports.ng(), "0_0 d7:command4:pinge", "pong").then_some(())
        });
        write(dir.path().join("kamailio.cfg"), proxy_config(plan, ports)).unwrap();
        let mut kamailio = command("kamailio");
        kamailio.args([
            "-DD",
            "-E",
            "-f",
            "kamailio.cfg",
            "-m",
            "32",
            "-M",
            "8",
            "-Y",
        ]);
        kamailio.arg(dir.path());
        let mut proxy = Process::start("proxy", dir.path(), &mut kamailio);
        wait_for("the proxy", Duration::from_secs(15), || {
            assert!(proxy.runs(), "the proxy has ended:\n{}", proxy.log());
            answers(ports.proxy(), &options(ports.proxy()), "SIP/2.0 200").then_some(())
        });
        Self {
            plan,
            ports,
            daemon,
            _proxy: proxy,
            dir,
        }
    }

    /// Sends a request to the relay's hooks.
    pub(crate) fn http(&self, method: &str, path: &str, body: &str) -> (u16, serde_json::Value) {
        let send = || http::request(self.ports.http(), method, path, body);
        wait_for("the HTTP hooks", Duration::from_secs(10), send)
    }

    /// The recordings that the relay has closed.
    pub(crate) fn recordings(&self) -> Vec<PathBuf> {
        recording::find(&self.dir.path().join("data"))
    }

    /// Stops the daemon, which is to end in good order.
    pub(crate) fn close(mut self) {
        let status = self.daemon.stop(Duration::from_secs(10));
        assert!(
            status.success(),
            "the daemon: {status}\n{}",
            self.daemon.log()
        );
    }

    /// The ports of the site.
    pub(crate) const fn ports(&self) -> Ports {
        self.ports
    }

    /// Call-ID of the one call of the site.
    pub(crate) fn call_id(&self) -> String {
        format!("{}-1", self.plan.caller)
    }

    /// Places the call: the agents play their parts, `during` looks on. Gives what the caller and
    /// the callee have heard.
    pub(crate) fn call(
        &self,
        caller: &Parts<'_>,
        callee: &Parts<'_>,
        during: impl FnOnce(&Self),
    ) -> [Vec<Heard>; 2] {
        let longest = caller
            .iter()
            .chain(callee)
            .map(|part| part.len())
            .max()
            .unwrap();
        // The other party begins a little later: it is given time to end.
        let talk = Duration::from_millis(20) * u32::try_from(longest).unwrap()
            + Duration::from_millis(1_500);
        let callee_address = self.plan.callee_address();
        let ears = [(0, CALLER_ADDRESS), (1, callee_address)]
            .map(|(number, address)| Ear::open(address, self.ports.agent(number).rtp()));
        let mut called = self.agent(1, "bob", callee_address, callee, talk, &[]);
        let id = format!("{}-%u", self.plan.caller);
        let proxy = format!("127.0.0.1:{}", self.ports.proxy());
        let target = [proxy.as_str(), "-cid_str", id.as_str()];
        let mut calling = self.agent(0, self.plan.caller, CALLER_ADDRESS, caller, talk, &target);
        during(self);
        let limit = talk * 3 + Duration::from_secs(20);
        for (who, agent) in [("caller", &mut calling), ("callee", &mut called)] {
            let status = agent.wait(limit);
            let trace = std::fs::read_to_string(self.dir.path().join(format!("{who}.messages")));
            let (trace, log) = (trace.unwrap_or_default(), self.daemon.log());
            assert!(status.success(), "{who}: {status}\n{trace}\ndaemon:\n{log}");
        }
        ears.map(Ear::close)
    }

    fn agent(
        &self,
        number: u16,
        user: &str,
        address: IpAddr,
        parts: &Parts<'_>,
        talk: Duration,
        more: &[&str],
    ) -> Process {
        let who = ["caller", "callee"][usize::from(number)];
        let ports = self.ports.agent(number);
        let scenario = match (number, self.plan.hold) {
            (0, false) => include_str!("data/caller.xml"),
            (0, true) => include_str!("data/caller_hold.xml"),
            (_, false) => include_str!("data/callee.xml"),
            (_, true) => include_str!("data/callee_hold.xml"),
        };
        let mut scenario = scenario
            .replace("@USER@", user)
            .replace("@FAMILY@", if address.is_ipv6() { "6" } else { "4" })
            .replace("@ADDRESS@", &address.to_string())
            .replace("@OFFSET@", &RTP_OFFSET.to_string())
            .replace("@TALK@", &talk.as_millis().to_string());
        for (part, packets) in (1..).zip(parts) {
            let name = format!("{who}{part}.pcap");
            write_pcap(&self.dir.path().join(&name), packets);
            scenario = scenario.replace(&format!("@PART{part}@"), &name);
        }
        let file = format!("{who}.xml");
        write(self.dir.path().join(&file), scenario).unwrap();
        let mut sipp = command("sipp");
        sipp.args([
            "-sf",
            &file,
            "-m",
            "1",
            "-nostdin",
            "-trace_msg",
            "-message_file",
        ])
        .arg(format!("{who}.messages"))
        .args(["-i", &host(address), "-p", &ports.sip().to_string()])
        .args([
            "-mi",
            &address.to_string(),
            "-mp",
            &ports.base().to_string(),
        ])
        .args([
            "-cp",
            &ports.control().to_string(),
            "-timeout",
            "60s",
            "-timeout_error",
        ])
        .args(more);
        Process::start(who, self.dir.path(), &mut sipp)
    }
}

/// Whether a datagram to a loopback port is answered as expected.
fn answers(port: u16, question: &str, expected: &str) -> bool {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    socket.connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    let mut buffer = [0; 2048];
    let length = socket
        .send(question.as_bytes())
        .and_then(|_| socket.recv(&mut buffer));
    length.is_ok_and(|length| String::from_utf8_lossy(&buffer[..length]).contains(expected))
}

fn options(port: u16) -> String {
    format!(
        "OPTIONS sip:127.0.0.1:{port} SIP/2.0\r\n\
         Via: SIP/2.0/UDP 127.0.0.1;rport;branch=z9hG4bKup\r\n\
         From: <sip:test@127.0.0.1>;tag=1\r\nTo: <sip:test@127.0.0.1>\r\nCall-ID: up\r\n\
         CSeq: 1 OPTIONS\r\nMax-Forwards: 9\r\nContent-Length: 0\r\n\r\n"
    )
}

fn proxy_config(plan: Plan, ports: Ports) -> String {
    let port = ports.proxy();
    let listen6 = if plan.bridged {
        format!("listen=udp:[::1]:{port}")
    } else {
        String::new()
    };
    let [offer, answer] = if plan.bridged {
        ["address-family=IP6", "address-family=IP4"]
    } else {
        [""; 2]
    };
    let callee = format!("{}:{}", host(plan.callee_address()), ports.agent(1).sip());
    include_str!("data/kamailio.cfg")
        .replace("@SIP@", &port.to_string())
        .replace("@NG@", &ports.ng().to_string())
        .replace("@LISTEN6@", &listen6)
        .replace("@CALLEE@", &callee)
        .replace("@OFFER@", offer)
        .replace("@ANSWER@", answer)
}

/// The file that the relay is started with.
pub(crate) fn homeward_config(ports: Ports) -> String {
    let (first, last) = ports.media();
    let (logger_first, logger_last) = ports.logger();
    let ipv6 = if has_ipv6() { ", \"::1\"" } else { "" };
    include_str!("data/homeward.toml")
        .replace("@IPV6@", ipv6)
        .replace("@PORTS@", &format!("{first}, {last}"))
        .replace("@LOGGER_PORTS@", &format!("{logger_first}, {logger_last}"))
        .replace("@NG@", &ports.ng().to_string())
        .replace("@HTTP@", &ports.http().to_string())
}

fn rtpengine(ports: Ports) -> Command {
    let (first, last) = ports.media();
    let mut command = command("rtpengine");
    command
        .args([
            "--config-file=none",
            "--table=-1",
            "--foreground",
            "--log-stderr",
        ])
        .args(["--log-level=6", "--delete-delay=0", "--num-threads=1"])
        .arg("--interface=127.0.0.1")
        .arg(format!("--listen-ng=127.0.0.1:{}", ports.ng()))
        .args([format!("--port-min={first}"), format!("--port-max={last}")]);
    if has_ipv6() {
        command.arg("--interface=::1");
    }
    command
}

/// An address as it stands in a URI.
fn host(address: IpAddr) -> String {
    if address.is_ipv6() {
        format!("[{address}]")
    } else {
        address.to_string()
    }
}
