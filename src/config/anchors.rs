//! The `[[anchor]]` sections: media anchors of primary systems, through which an agreement with
//! `mode = "redirect"` leads its calls.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::check::{overlap, too_many};
use super::sections::{name, safe, socket, usable};
use super::walk::Table;
use super::{Anchor, AnchorTransport, DEFAULT_PORTS, Interface};
use crate::wire::network::Network;

/// The anchors, and the names of all of them, those with mistakes included.
pub(super) fn anchors(
    root: &Table<'_, '_>,
    plain: &[Network],
    interfaces: &[Interface],
) -> (Vec<Anchor>, Vec<String>) {
    let (mut anchors, mut names): (Vec<Anchor>, Vec<String>) = (Vec::new(), Vec::new());
    for (place, table) in root.tables("anchor").into_iter().enumerate() {
        too_many(&table, place, MAX_ANCHORS);
        let name = name(&table);
        let anchor = anchor(&table, name.clone(), plain, interfaces);
        if let Some(name) = name {
            if names.contains(&name) {
                table.mistake("name", format!("{name:?} is taken already"));
            }
            names.push(name);
        }
        if let Some(anchor) = anchor {
            own_ports(&table, &anchor, &anchors, interfaces);
            anchors.push(anchor);
        }
        table.finish();
    }
    (anchors, names)
}

/// Anchors that an agreement names must exist.
pub(super) fn agreed(table: &Table<'_, '_>, names: &[String]) {
    let _ = table.list("anchors", |text| match names.iter().any(|n| n == text) {
        true => Ok(()),
        false if names.is_empty() => Err(format!(
            "there is no anchor {text:?}: the file has no [[anchor]]"
        )),
        false => Err(format!(
            "there is no anchor {text:?}; known: {}",
            names.join(", ")
        )),
    });
}

fn anchor(
    table: &Table<'_, '_>,
    name: Option<String>,
    plain: &[Network],
    interfaces: &[Interface],
) -> Option<Anchor> {
    let limits = Duration::from_millis(100)..=Duration::from_secs(3_600);
    let unreachable_after = table.duration("unreachable_after", limits.clone());
    let return_after = table.duration("return_after", limits);
    let transport = transport(table);
    let interface = table.string("interface").map(str::to_owned);
    let wanted = facing(table, interface.as_deref(), interfaces);
    let allowed = table.boolean("allow_plaintext").unwrap_or(false);
    let anchor = Anchor {
        name: name?,
        interface,
        unreachable_after: unreachable_after.unwrap_or(UNREACHABLE_AFTER),
        return_after: return_after.unwrap_or(RETURN_AFTER),
        transport: transport?,
    };
    let address = anchor.address();
    if !allowed && !safe(address, plain) {
        let text = format!(
            "media would go to {address} unprotected: set allow_plaintext = true here, or name \
             the network in relay.plain_networks"
        );
        table.mistake("address", text);
    }
    if let Some(interface) = wanted
        && !has_family(interface, address)
    {
        let text = format!(
            "{address} cannot be reached: interface {:?} has no address of its family",
            interface.name
        );
        table.mistake("address", text);
    }
    Some(anchor)
}

fn transport(table: &Table<'_, '_>) -> Option<AnchorTransport> {
    match table.string("transport") {
        Some("static") => static_transport(table),
        Some("sip") => sip_transport(table),
        Some(_) => {
            let text = "unknown transport: expected \"static\" or \"sip\"";
            table.mistake("transport", text);
            None
        }
        None => {
            if !table.has("transport") {
                let text = "missing: expected \"static\" or \"sip\"";
                table.mistake("transport", text);
            }
            None
        }
    }
}

fn static_transport(table: &Table<'_, '_>) -> Option<AnchorTransport> {
    let address = table.string("address").and_then(|text| {
        let address = text.parse::<IpAddr>().ok().filter(usable);
        if address.is_none() {
            let text = format!("{text:?} is not an IP address; names are not looked up");
            table.mistake("address", text);
        }
        address
    });
    let ports = table.ports("ports");
    for key in ["address", "ports"] {
        if !table.has(key) {
            table.mistake(key, "missing: a static anchor needs it");
        }
    }
    Some(AnchorTransport::Static {
        address: address?,
        ports: ports?,
    })
}

fn sip_transport(table: &Table<'_, '_>) -> Option<AnchorTransport> {
    if table.has_known("ports") {
        let text = "an anchor that is asked over SIP tells its ports itself";
        table.mistake("ports", text);
    }
    let Some(text) = table.string("address") else {
        if !table.has("address") {
            table.mistake("address", "missing: where SIP requests go");
        }
        return None;
    };
    let address = socket(text).and_then(|address: SocketAddr| match usable(&address.ip()) {
        true => Ok(address),
        false => Err(format!("{text:?} is not an address that can be sent to")),
    });
    let address = address
        .map_err(|error| table.mistake("address", error))
        .ok()?;
    let local = table.string("sip_local").and_then(|text| {
        let local = socket(text).map_err(|error| table.mistake("sip_local", error));
        local.ok()
    });
    if let Some(local) = local
        && (!usable(&local.ip()) || local.is_ipv4() != address.is_ipv4())
    {
        let text =
            format!("{local} cannot send to {address}: an address of this machine is needed");
        table.mistake("sip_local", text);
    }
    Some(AnchorTransport::Sip { address, local })
}

/// The interface that faces the anchor, if it is known.
fn facing<'a>(
    table: &Table<'_, '_>,
    name: Option<&str>,
    interfaces: &'a [Interface],
) -> Option<&'a Interface> {
    let Some(name) = name else {
        return interfaces.first();
    };
    let found = interfaces.iter().find(|interface| interface.name == name);
    if found.is_none() {
        let known: Vec<&str> = interfaces.iter().map(|i| i.name.as_str()).collect();
        let text = match known.is_empty() {
            true => format!("there is no interface {name:?}: the file has no [[interface]]"),
            false => format!(
                "there is no interface {name:?}; known: {}",
                known.join(", ")
            ),
        };
        table.mistake("interface", text);
    }
    found
}

fn has_family(interface: &Interface, address: IpAddr) -> bool {
    let mut addresses = interface.addresses.iter();
    addresses.any(|local| local.bind.is_ipv4() == address.is_ipv4())
}

/// A port that two anchors, or an anchor and a leg of a call, are given is nobody's.
fn own_ports(table: &Table<'_, '_>, anchor: &Anchor, former: &[Anchor], interfaces: &[Interface]) {
    let AnchorTransport::Static { address, ports } = anchor.transport else {
        return;
    };
    for former in former {
        if let AnchorTransport::Static {
            address: at,
            ports: of,
        } = former.transport
            && at == address
            && overlap(of, ports)
        {
            let text = format!("overlap with those of anchor {:?}", former.name);
            table.mistake("ports", text);
        }
    }
    let default = (interfaces.is_empty() && address.is_loopback()).then_some(DEFAULT_PORTS);
    let local = interfaces.iter().filter(|interface| {
        let mut addresses = interface.addresses.iter();
        addresses.any(|local| local.bind == address)
    });
    let taken = local.map(|interface| interface.ports).chain(default);
    for of in taken {
        if overlap(of, ports) {
            table.mistake("ports", "overlap with the media ports of this relay");
        }
    }
}

const UNREACHABLE_AFTER: Duration = Duration::from_secs(2);
const RETURN_AFTER: Duration = Duration::from_secs(5);
const MAX_ANCHORS: usize = 64;
