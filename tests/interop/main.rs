//! Real programs, no stand-ins: a stock Kamailio routes calls between SIPp agents that play real
//! speech, and drives the relay over NG. tshark and sox judge what was recorded.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a helper of a test fails its test; real programs live in real time"
)]

#[path = "../common/skip.rs"]
mod skip;

mod agents;
mod anchor;
mod calls;
mod group;
mod http;
mod judge;
mod judging;
mod migration_ends;
mod party;
mod ports;
mod process;
mod recording;
mod redirect;
mod restart;
mod setup;
mod site;
mod speech;
mod talk;

use crate::site::{Daemon, Plan, Site};

/// Whether this machine can do it; if not, the test `name` is left out.
fn can_run(name: &str, plan: Plan) -> bool {
    let daemon = match plan.daemon {
        Daemon::Homeward => "tshark",
        Daemon::Rtpengine => "rtpengine",
    };
    if plan.bridged && !ports::has_ipv6() {
        skip::skip(name, "the machine has no IPv6 loopback");
        return false;
    }
    // SIPp plays captures through a raw socket.
    skip::root(name) && skip::programs(name, &["kamailio", "sipp", "espeak-ng", "sox", daemon])
}

/// Tells the relay that a user of a primary system is here. Gives the record's number.
fn migrate(site: &Site, user: &str, primary: &str) -> String {
    let record = serde_json::json!({
        "service": "mcptt",
        "primary_id": format!("sip:{user}@{primary}"),
        "partner_id": format!("sip:{user}@partner.example"),
        "primary_system": primary,
    });
    let (status, body) = site.http("POST", "/v1/migrations", &record.to_string());
    assert!((200..300).contains(&status), "{status} {body}");
    body["id"].to_string().trim_matches('"').to_owned()
}
