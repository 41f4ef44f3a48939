//! What the programs of a site are started with.

use std::net::UdpSocket;
use std::process::Command;
use std::time::Duration;

use crate::agents::{host, loopback};
use crate::ports::{Ports, has_ipv6};
use crate::process::command;
use crate::site::{Plan, Setup};

/// Name of the relay's configuration.
pub(crate) const RELAY: &str = "homeward.toml";
/// Name of the configuration of the logger elsewhere.
pub(crate) const ELSEWHERE: &str = "elsewhere.toml";

/// The proxy's script.
pub(crate) fn proxy_config(plan: Plan, ports: Ports) -> String {
    let port = ports.proxy();
    let [offer, answer] = if plan.bridged {
        ["address-family=IP6", "address-family=IP4"]
    } else {
        [""; 2]
    };
    let listen6 = format!("listen=udp:[::1]:{port}");
    let route = |(number, callee): (u16, &str)| {
        let (address, sip) = (
            host(loopback(plan.bridged)),
            ports.agent(2 * number + 1).sip(),
        );
        format!("    if ($rU == \"{callee}\") $du = \"sip:{address}:{sip}\";\n")
    };
    let callees = plan.dialogs.iter().map(|dialog| dialog.callee);
    let routes: String = (0..).zip(callees).map(route).collect();
    include_str!("data/kamailio.cfg")
        .replace("@SIP@", &port.to_string())
        .replace("@NG@", &ports.ng().to_string())
        .replace("@LISTEN6@", if plan.bridged { &listen6 } else { "" })
        .replace("@ROUTES@", routes.trim())
        .replace("@OFFER@", offer)
        .replace("@ANSWER@", answer)
}

/// The file that the relay is started with.
pub(crate) fn homeward_config(setup: Setup, ports: Ports) -> String {
    let ipv6 = if has_ipv6() { ", \"::1\"" } else { "" };
    let agreements = match setup {
        Setup::Duplicate => include_str!("data/duplicate.toml"),
        Setup::TwoPrimaries => include_str!("data/two_primaries.toml"),
        Setup::Redirect => include_str!("data/redirect.toml"),
    };
    fill(
        &[include_str!("data/homeward.toml"), agreements].concat(),
        ports,
    )
    .replace("@IPV6@", ipv6)
}

/// The file that the logger elsewhere is started with, if there is one.
pub(crate) fn elsewhere_config(setup: Setup, ports: Ports) -> Option<String> {
    let text = match setup {
        Setup::Duplicate => return None,
        Setup::TwoPrimaries | Setup::Redirect => include_str!("data/elsewhere.toml"),
    };
    Some(fill(text, ports))
}

fn fill(text: &str, ports: Ports) -> String {
    let range = |(first, last): (u16, u16)| format!("{first}, {last}");
    text.replace("@PORTS@", &range(ports.media()))
        .replace("@LOGGER_PORTS@", &range(ports.logger()))
        .replace("@ELSEWHERE_PORTS@", &range(ports.elsewhere()))
        .replace("@ANCHOR_PORTS@", &range(ports.anchor()))
        .replace("@ANCHOR_SIP@", &ports.anchor_sip().to_string())
        .replace("@DOOR@", &ports.door().to_string())
        .replace("@NG@", &ports.ng().to_string())
        .replace("@HTTP@", &ports.http().to_string())
}

/// Kamailio, with its script.
pub(crate) fn kamailio() -> Command {
    let mut kamailio = command("kamailio");
    kamailio
        .args(["-DD", "-E", "-f", "kamailio.cfg"])
        .args(["-m", "32", "-M", "8", "-Y", "."]);
    kamailio
}

/// The daemon whose protocol the relay speaks.
pub(crate) fn rtpengine(ports: Ports) -> Command {
    let (first, last) = ports.media();
    let mut command = command("rtpengine");
    command
        .args(["--config-file=none", "--table=-1"])
        .args(["--foreground", "--log-stderr"])
        .args(["--log-level=6", "--delete-delay=0", "--num-threads=1"])
        .arg("--interface=127.0.0.1")
        .arg(format!("--listen-ng=127.0.0.1:{}", ports.ng()))
        .args([format!("--port-min={first}"), format!("--port-max={last}")]);
    if has_ipv6() {
        command.arg("--interface=::1");
    }
    command
}

/// Whether a datagram to a loopback port is answered as expected.
pub(crate) fn answers(port: u16, question: &str, expected: &str) -> bool {
    let socket = UdpSocket::bind((loopback(false), 0)).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    socket.connect((loopback(false), port)).unwrap();
    let mut buffer = [0; 2048];
    let length = socket
        .send(question.as_bytes())
        .and_then(|_| socket.recv(&mut buffer));
    length.is_ok_and(|length| String::from_utf8_lossy(&buffer[..length]).contains(expected))
}

/// A question that a SIP element answers.
pub(crate) fn options(port: u16) -> String {
    format!(
        "OPTIONS sip:127.0.0.1:{port} SIP/2.0\r\n\
         Via: SIP/2.0/UDP 127.0.0.1;rport;branch=z9hG4bKup\r\n\
         From: <sip:test@127.0.0.1>;tag=1\r\nTo: <sip:test@127.0.0.1>\r\nCall-ID: up\r\n\
         CSeq: 1 OPTIONS\r\nMax-Forwards: 9\r\nContent-Length: 0\r\n\r\n"
    )
}
