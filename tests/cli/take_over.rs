//! One process takes a relay's sockets over from another, under live calls.

use std::thread::sleep;
use std::time::Duration;

use crate::daemon::{Daemon, Relay};
use crate::media::Call;
use crate::tools::{eventually, recordings};

const CALLS: usize = 20;
/// Packets that each party sends before, while and after the processes change.
const EACH: u16 = 50;

#[test]
fn calls_lose_no_packet_when_another_process_takes_over() {
    let mut relay = Relay::start();
    relay.migrate("alice");
    let calls = set_up(&mut relay);
    let mut heard = vec![[const { Vec::<u16>::new() }; 2]; CALLS];
    for sequence in 0..EACH {
        tick(&calls, sequence, &mut heard);
    }
    let mut former = succeed(&mut relay);
    let mut sequence = EACH;
    let status = eventually("the end of the former process", || {
        tick(&calls, sequence, &mut heard);
        sequence += 1;
        former.ended()
    });
    assert!(status.success(), "{}", former.log());
    let sent = sequence + EACH;
    for sequence in sequence..sent {
        tick(&calls, sequence, &mut heard);
    }
    let all: Vec<u16> = (0..sent).collect();
    eventually("the last packets", || {
        collect(&calls, &mut heard);
        let whole = |parties: &[Vec<u16>; 2]| parties.iter().all(|heard| heard.len() >= all.len());
        heard.iter().all(whole).then_some(())
    });
    for (call, parties) in heard.iter().enumerate() {
        for party in parties {
            assert_eq!(*party, all, "call {call}: {}", relay.daemon.log());
        }
    }
    still_in_command(&mut relay, &calls);
}

/// A process that takes over from one that takes over.
#[test]
fn calls_outlive_several_processes() {
    let mut relay = Relay::start();
    let call = Call::set_up(&mut relay, "c1", "bob");
    for round in 0..3 {
        call.exchange(round);
        let mut former = succeed(&mut relay);
        let status = eventually("the end of the former process", || former.ended());
        assert!(status.success(), "{}", former.log());
        call.exchange(100 + round);
    }
    assert!(relay.daemon.terminate().success());
}

#[test]
fn a_second_relay_is_refused_and_told_how_to_take_over() {
    let relay = Relay::start();
    let mut second = Daemon::start(relay.dir.path(), &["run", "--config=relay.toml"]);
    let status = eventually("the end of the second process", || second.ended());
    assert_eq!(status.code(), Some(1));
    assert!(second.log().contains("--take-over"), "{}", second.log());
}

#[test]
fn with_nobody_to_take_over_from_a_relay_just_starts() {
    let mut relay = Relay::start();
    assert!(relay.daemon.terminate().success());
    drop(succeed(&mut relay));
    Call::set_up(&mut relay, "c1", "bob").exchange(1);
    assert!(
        relay.daemon.log().contains("nothing to take over"),
        "{}",
        relay.daemon.log()
    );
}

fn set_up(relay: &mut Relay) -> Vec<Call> {
    let caller = |number: usize| if number == 0 { "alice" } else { "bob" };
    (0..CALLS)
        .map(|number| Call::set_up(relay, &format!("c{number}"), caller(number)))
        .collect()
}

/// Starts a process that takes over; gives the former one.
fn succeed(relay: &mut Relay) -> Daemon {
    let successor = Daemon::start(
        relay.dir.path(),
        &["run", "--config", "relay.toml", "--take-over"],
    );
    std::mem::replace(&mut relay.daemon, successor)
}

fn tick(calls: &[Call], sequence: u16, heard: &mut [[Vec<u16>; 2]]) {
    calls.iter().for_each(|call| call.send(sequence));
    collect(calls, heard);
    sleep(Duration::from_millis(10));
}

fn collect(calls: &[Call], heard: &mut [[Vec<u16>; 2]]) {
    for (call, heard) in calls.iter().zip(heard) {
        for (heard, more) in heard.iter_mut().zip(call.heard()) {
            heard.extend(more);
        }
    }
}

/// The new process has the calls, the registry and the logger.
fn still_in_command(relay: &mut Relay, calls: &[Call]) {
    let (status, explained) = relay.http("GET", "/v1/calls/c0/explain", "");
    assert_eq!(status, 200, "{explained}");
    assert!(
        explained.contains("sip:alice@primary.example"),
        "{explained}"
    );
    calls.iter().for_each(|call| call.delete(relay));
    let dir = relay.dir.path().to_owned();
    // What the former process had stored, and what came after.
    let found = eventually("both parts of the recording", || {
        let found = recordings(&dir.join("data"));
        (found.len() >= 2).then_some(found)
    });
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(relay.daemon.terminate().success());
}
