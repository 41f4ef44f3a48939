//! Ports that are used up, taken by others, or cannot be bound (NG reference 9.1, pitfalls 19
//! and 22).

use homeward::session::core::{Interface, Settings};
use homeward::session::reply::Error;

use crate::harness::{Rig, audio, delete, exchange, mcptt, settings};

fn few(pairs: u16) -> Settings {
    let mut config = settings();
    let ports = (30_000, 30_000 + 2 * pairs - 1);
    for interface in &mut config.interfaces {
        *interface = Interface {
            ports,
            ..interface.clone()
        };
    }
    config
}

#[test]
fn used_up_ports_are_an_error_without_a_trace() {
    let mut rig = Rig::new(few(4));
    rig.call("c1");
    rig.call("c2");
    let before = (rig.flows.clone(), rig.ground.bound.clone());
    for n in 0..1000 {
        let offer = exchange(&format!("x{n}"), "a", None, &audio("192.0.2.1", 4000));
        assert_eq!(rig.offer(offer).unwrap_err(), Error::OutOfPorts);
        let grown = exchange("c1", "a", Some("b"), &mcptt("192.0.2.1", 4000));
        assert_eq!(rig.offer(grown).unwrap_err(), Error::OutOfPorts);
    }
    assert_eq!((rig.flows.clone(), rig.ground.bound.clone()), before);
    assert_eq!(rig.core_statistics().calls, 2);
    rig.delete(delete("c2")).unwrap();
    rig.call("c3");
}

#[test]
fn a_refused_message_leaves_the_call_as_it_was() {
    let mut rig = Rig::new(settings());
    rig.call("c1");
    let before = rig.view("c1").unwrap();
    for left in 0..6 {
        rig.ground.left = Some(left);
        let grown = exchange("c1", "a", Some("b"), &mcptt("192.0.2.1", 4400));
        assert_eq!(rig.offer(grown).unwrap_err(), Error::OutOfPorts, "{left}");
        assert_eq!(rig.view("c1").unwrap(), before);
    }
    rig.ground.left = None;
    rig.offer(exchange("c1", "a", Some("b"), &mcptt("192.0.2.1", 4400)))
        .unwrap();
}

#[test]
fn ports_of_other_programs_are_passed_over() {
    let mut rig = Rig::new(few(20));
    rig.ground.taken = (30_000..30_030).filter(|port| port % 3 == 0).collect();
    for n in 0..5 {
        rig.call(&format!("c{n}"));
    }
    assert!(
        rig.ground
            .bound
            .values()
            .all(|local| !rig.ground.taken.contains(&local.port()))
    );
}

#[test]
fn tries_are_bounded() {
    let mut rig = Rig::new(settings());
    rig.ground.taken = (30_000..=30_999).collect();
    let offer = exchange("c1", "a", None, &audio("192.0.2.1", 4000));
    assert_eq!(rig.offer(offer).unwrap_err(), Error::OutOfPorts);
    assert!(rig.ground.binds <= 64, "{}", rig.ground.binds);
}

#[test]
fn a_host_without_descriptors_is_not_asked_again_and_again() {
    let mut rig = Rig::new(settings());
    rig.ground.broken = true;
    let offer = exchange("c1", "a", None, &audio("192.0.2.1", 4000));
    assert_eq!(rig.offer(offer).unwrap_err(), Error::OutOfPorts);
    assert!(rig.ground.binds <= 4 && rig.view("c1").is_none());
}

#[test]
fn a_thousand_offers_for_one_call_stay_bounded() {
    let mut rig = Rig::new(settings());
    rig.call("c1");
    for n in 0..1000 {
        let port = 4000 + 2 * (n % 500);
        rig.offer(exchange("c1", "a", Some("b"), &audio("192.0.2.1", port)))
            .unwrap();
        assert!(rig.ground.bound.len() <= 16, "{n}");
    }
    let same = exchange("c1", "a", Some("b"), &audio("192.0.2.1", 4000));
    let first = rig.offer(same.clone()).unwrap();
    for _ in 0..1000 {
        assert_eq!(rig.offer(same.clone()).unwrap(), first);
    }
}

#[test]
fn the_other_address_helps_out_before_the_call_has_one() {
    let mut config = few(2);
    config.interfaces[1].addresses.truncate(2);
    let mut rig = Rig::new(config);
    let on_partner = |id: &str| {
        let mut offer = exchange(id, "a", None, &audio("192.0.2.1", 4000));
        offer.options.direction = [Some("partner".into()), Some("partner".into())];
        offer
    };
    rig.offer(on_partner("c1")).unwrap();
    rig.offer(on_partner("c2")).unwrap();
    assert_eq!(rig.offer(on_partner("c3")).unwrap_err(), Error::OutOfPorts);
}
