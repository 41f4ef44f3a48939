//! The answer to `statistics` (NG reference 9.3): daemon-wide figures under the names that
//! monitoring scripts know. What this relay does not measure here is left out, not zero.

use std::time::Duration;

use super::command::Command;
use super::counters::{Counters, Reading};
use crate::session::reply::{PortUse, Statistics};
use crate::wire::bencode::{Dict, Value};

/// The dictionary. From `cut` 1 on, the lists by interface and by client are left out.
pub fn statistics<'a>(
    figures: &'a Statistics,
    counters: &Counters,
    uptime: u64,
    cut: u32,
) -> Dict<'a> {
    let interfaces = if cut == 0 {
        Value::list(figures.ports.iter().map(interface))
    } else {
        Value::List(Vec::new())
    };
    Dict::new()
        .with("currentstatistics", current(figures))
        .with("totalstatistics", total(figures, uptime))
        .with("controlstatistics", control(counters, cut))
        .with("interfaces", interfaces)
        .with("transcoders", Value::List(Vec::new()))
}

/// Nothing is transcoded, and no call belongs to another node.
fn current(figures: &Statistics) -> Dict<'static> {
    Dict::new()
        .with("sessionsown", figures.calls)
        .with("sessionsforeign", 0)
        .with("sessionstotal", figures.calls)
        .with("sessionsmirrored", figures.mirrored_calls)
        .with("transcodedmedia", 0)
}

fn total(figures: &Statistics, uptime: u64) -> Dict<'static> {
    let ended = figures.deleted_total
        + figures.timeout_total
        + figures.silent_timeout_total
        + figures.offer_timeout_total
        + figures.final_timeout_total;
    let average = Duration::from_millis(figures.duration_total_ms.checked_div(ended).unwrap_or(0));
    Dict::new()
        .with("uptime", uptime)
        .with("managedsessions", figures.calls_total)
        .with("rejectedsessions", figures.rejected_total)
        .with("timeoutsessions", figures.timeout_total)
        .with("silenttimeoutsessions", figures.silent_timeout_total)
        .with("finaltimeoutsessions", figures.final_timeout_total)
        .with("offertimeoutsessions", figures.offer_timeout_total)
        .with("regularterminatedsessions", figures.deleted_total)
        .with("forcedterminatedsessions", 0)
        .with("zerowaystreams", figures.zeroway_total)
        .with("onewaystreams", figures.oneway_total)
        .with("avgcallduration", seconds(average))
}

fn control(counters: &Counters, cut: u32) -> Dict<'static> {
    let proxies = if cut == 0 {
        Value::list(counters.clients().iter().map(proxy))
    } else {
        Value::List(Vec::new())
    };
    let total = counters.total();
    let mut dict = Dict::new().with("proxies", proxies);
    for command in Command::ALL {
        let key = format!("total{}count", command.as_str());
        dict.push(key, total.count[command.index()]);
    }
    dict.push("totalerrorcount", total.all_errors());
    dict
}

fn proxy(reading: &Reading) -> Dict<'static> {
    let client = reading.client.map(|client| client.to_string());
    let mut dict = Dict::new().with("proxy", client.unwrap_or_default());
    for command in Command::ALL {
        let (name, place) = (command.as_str(), command.index());
        dict.push(format!("{name}count"), reading.count[place]);
        dict.push(format!("{name}duration"), seconds(reading.duration[place]));
    }
    dict.push("errorcount", reading.all_errors());
    dict
}

fn interface(ports: &PortUse) -> Dict<'_> {
    let all = u32::from(ports.max.saturating_sub(ports.min)) + 1;
    let percent = f64::from(ports.used) * 100.0 / f64::from(all);
    Dict::new()
        .with("name", ports.interface.as_str())
        .with("address", ports.address.to_string())
        .with(
            "ports",
            Dict::new()
                .with("min", ports.min)
                .with("max", ports.max)
                .with("used", ports.used)
                .with("used_pct", format!("{percent:.2}"))
                .with("free", all.saturating_sub(ports.used))
                .with("totals", all),
        )
}

/// Bencode has no fractions: text, in seconds.
fn seconds(time: Duration) -> String {
    format!("{}.{:06}", time.as_secs(), time.subsec_micros())
}
