//! The section `[media_anchor]`: the reference media anchor beside a logger.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::check::overlap;
use super::sections::{no_repetition, socket, usable};
use super::walk::Table;
use super::{Archive, Interface, MediaAnchor};
use crate::wire::network::Network;

/// The section, if it stands in the file.
pub(super) fn media_anchor(
    table: &Table<'_, '_>,
    archive: &Archive,
    interfaces: &[Interface],
) -> Option<MediaAnchor> {
    let sip = table.list("sip", socket);
    let bind = table.list("bind", |text| {
        let address = text.parse::<IpAddr>().ok().filter(usable);
        address.ok_or_else(|| format!("{text:?} is not an IP address of this machine"))
    });
    let ports = table.ports("ports");
    let relays = table.list("relays", str::parse::<Network>);
    let max_calls = table.size("max_calls", 1..=100_000);
    let limits = Duration::from_secs(1)..=Duration::from_secs(7 * 86_400);
    let media_timeout = table.duration("media_timeout", limits);
    if !table.is_present() {
        return None;
    }
    for key in ["sip", "ports"] {
        if !table.has(key) {
            table.mistake(key, "missing: a media anchor needs it");
        }
    }
    let sip = sip.unwrap_or_default();
    if sip.is_empty() && table.has("sip") {
        table.mistake("sip", "no usable address is left");
    }
    if let Some(at) = sip.iter().find(|at| !usable(&at.ip())) {
        table.mistake("sip", format!("{at} is a wildcard: name each address"));
    }
    no_repetition(table, "sip", &sip);
    let open = sip.iter().find(|at| !at.ip().is_loopback());
    if let (Some(at), true) = (open, relays.as_ref().is_none_or(Vec::is_empty)) {
        let text = format!("listening on {at} needs relays = [addresses of those who may call]");
        table.mistake("sip", text);
    }
    let bind = bind.unwrap_or_else(|| one_of_each_family(&sip));
    for family in [IpAddr::is_ipv4, IpAddr::is_ipv6] {
        if bind.iter().filter(|address| family(address)).count() > 1 {
            table.mistake("bind", "at most one address of each family");
        }
    }
    let ports = ports?;
    let shared = |of: (u16, u16)| overlap(of, ports);
    // Ports of the logger are told apart by their number alone, on whatever address they are.
    if shared(archive.ports) {
        table.mistake("ports", "overlap with archive.ports");
    }
    let on_it = |interface: &&Interface| {
        let mut addresses = interface.addresses.iter();
        addresses.any(|local| bind.contains(&local.bind)) && shared(interface.ports)
    };
    if let Some(interface) = interfaces.iter().find(on_it) {
        let text = format!("overlap with those of interface {:?}", interface.name);
        table.mistake("ports", text);
    }
    if let Some(at) = sip.iter().find(|at| shared((at.port(), at.port()))) {
        table.mistake("sip", format!("{at} lies in the media ports"));
    }
    Some(MediaAnchor {
        sip,
        bind,
        ports,
        relays: relays.unwrap_or_else(|| Network::loopback().into()),
        max_calls: max_calls.unwrap_or(MAX_CALLS),
        media_timeout: media_timeout.unwrap_or(MEDIA_TIMEOUT),
    })
}

fn one_of_each_family(sip: &[SocketAddr]) -> Vec<IpAddr> {
    let mut bind: Vec<IpAddr> = Vec::new();
    for ip in sip.iter().map(SocketAddr::ip) {
        if !bind.iter().any(|known| known.is_ipv4() == ip.is_ipv4()) {
            bind.push(ip);
        }
    }
    bind
}

const MAX_CALLS: usize = 1_000;
const MEDIA_TIMEOUT: Duration = Duration::from_secs(600);
