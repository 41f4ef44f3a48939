//! Counters of the control protocol: what the `controlstatistics` of NG and the metrics show.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::command::Command;

/// Counters of all listeners together, shared by them and by whoever shows them.
#[derive(Debug, Default)]
pub struct Counters {
    total: ClientCounters,
    clients: Mutex<BTreeMap<IpAddr, Box<ClientCounters>>>,
    /// Datagrams from sources that are not allowed.
    pub not_allowed: AtomicU64,
    /// Datagrams without a cookie.
    pub no_cookie: AtomicU64,
    /// Dictionaries that could not be read.
    pub malformed: AtomicU64,
    /// Repeats that got the stored reply.
    pub repeats: AtomicU64,
    /// Repeats that waited for the first copy.
    pub repeats_in_flight: AtomicU64,
    /// Requests dropped because too many were in flight; the client repeats them.
    pub overloaded: AtomicU64,
    /// Replies shortened to fit a datagram.
    pub shortened: AtomicU64,
    /// Replies that the kernel did not take.
    pub send_failed: AtomicU64,
}

#[derive(Debug, Default)]
struct ClientCounters {
    count: [AtomicU64; COMMANDS],
    micros: [AtomicU64; COMMANDS],
    errors: [AtomicU64; COMMANDS],
}

/// A reading of the counters of one client, or of all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// The client; `None` for the sum of all.
    pub client: Option<IpAddr>,
    /// Requests carried out, by place of the command in [`Command::ALL`].
    pub count: [u64; COMMANDS],
    /// Time that they took in all.
    pub duration: [Duration; COMMANDS],
    /// Of the requests by command, those answered with an error or a limit.
    pub errors: [u64; COMMANDS],
}

impl Reading {
    /// Requests of all commands that were answered with an error or a limit.
    pub fn all_errors(&self) -> u64 {
        self.errors.iter().sum()
    }
}

impl Counters {
    /// Counts a request that was carried out.
    pub fn done(&self, client: IpAddr, command: Command, took: Duration, error: bool) {
        self.total.done(command, took, error);
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        match clients.get(&client) {
            Some(counters) => counters.done(command, took, error),
            None if clients.len() < MAX_CLIENTS => {
                let counters = Box::<ClientCounters>::default();
                counters.done(command, took, error);
                clients.insert(client, counters);
            }
            None => {}
        }
    }

    /// Sum of all clients.
    pub fn total(&self) -> Reading {
        self.total.read(None)
    }

    /// The first 64 clients that were seen, by address.
    pub fn clients(&self) -> Vec<Reading> {
        let clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        clients
            .iter()
            .map(|(client, counters)| counters.read(Some(*client)))
            .collect()
    }
}

impl ClientCounters {
    fn done(&self, command: Command, took: Duration, error: bool) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.count[command.index()].fetch_add(1, Relaxed);
        self.micros[command.index()].fetch_add(micros, Relaxed);
        self.errors[command.index()].fetch_add(u64::from(error), Relaxed);
    }

    fn read(&self, client: Option<IpAddr>) -> Reading {
        Reading {
            client,
            count: std::array::from_fn(|n| self.count[n].load(Relaxed)),
            duration: std::array::from_fn(|n| Duration::from_micros(self.micros[n].load(Relaxed))),
            errors: std::array::from_fn(|n| self.errors[n].load(Relaxed)),
        }
    }
}

/// Number of commands that are counted.
pub const COMMANDS: usize = Command::ALL.len();
/// A table that a stranger's addresses can't fill.
const MAX_CLIENTS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_by_client_and_in_all() {
        let counters = Counters::default();
        let took = Duration::from_micros(20);
        for n in 0..100 {
            let client = IpAddr::from([10, 0, 0, n]);
            counters.done(client, Command::Offer, took, n == 0);
        }
        counters.done(IpAddr::from([10, 0, 0, 0]), Command::Ping, took, false);
        let total = counters.total();
        assert_eq!(total.count[Command::Offer.index()], 100);
        assert_eq!(total.duration[Command::Offer.index()], took * 100);
        assert_eq!(total.all_errors(), 1);
        let clients = counters.clients();
        assert_eq!(clients.len(), MAX_CLIENTS);
        assert_eq!(clients[0].count[Command::Ping.index()], 1);
        assert_eq!((clients[0].all_errors(), clients[1].all_errors()), (1, 0));
    }

    #[test]
    fn commands_have_their_places() {
        for (place, command) in Command::ALL.into_iter().enumerate() {
            assert_eq!(command.index(), place);
        }
    }
}
