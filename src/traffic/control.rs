//! The signalling of a run: offer, answer and delete of each call, and what the replies tell.

use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::call::Call;
use super::engine::{Progress, RunError, totals};
use super::media::Side;
use super::ng::NgClient;
use super::plan::Plan;
use super::report::{Micros, RelayTotals};
use super::sdp::{self, Remote};
use crate::sys::clock::Clock;
use crate::wire::bencode::{Dict, Value};

/// Places and ends the calls of a plan.
#[derive(Debug)]
pub(super) struct Controller<'a> {
    plan: &'a Plan,
    calls: &'a [Call],
    epoch: Duration,
    client: NgClient,
    /// Calls before this one have been offered.
    next: usize,
    /// Calls that stand, by number.
    open: Vec<usize>,
    ended: u32,
    permitted: Vec<IpAddr>,
    pub(super) setup: Micros,
    pub(super) relay: RelayTotals,
    pub(super) interrupted: bool,
    /// Requests that failed while the calls were ended.
    pub(super) problems: Vec<String>,
}

impl<'a> Controller<'a> {
    pub(super) fn new(plan: &'a Plan, calls: &'a [Call], epoch: Duration) -> io::Result<Self> {
        Ok(Self {
            plan,
            calls,
            epoch,
            client: NgClient::new(plan.ng, plan.ng_timeout)?,
            next: 0,
            open: Vec::new(),
            ended: 0,
            permitted: Vec::new(),
            setup: Micros::new(),
            relay: RelayTotals::default(),
            interrupted: false,
            problems: Vec::new(),
        })
    }

    /// When the run was over, since its start.
    pub(super) fn elapsed(&self) -> Duration {
        Clock::monotonic().saturating_sub(self.epoch)
    }

    /// Requests that had to be repeated.
    pub(super) const fn repeats(&self) -> u64 {
        self.client.repeats
    }

    /// Places every call at its time and ends it when it is drained.
    pub(super) fn run(
        &mut self,
        progress: &mut dyn FnMut(&Progress),
        stop: &AtomicBool,
        halt: &AtomicBool,
    ) -> Result<(), RunError> {
        let (mut next_sweep, mut next_report) = (Duration::ZERO, Duration::ZERO);
        loop {
            // 1. The operator has had enough: stop sending, and wait for what is under way.
            if stop.load(Ordering::Relaxed) && !self.interrupted {
                self.interrupted = true;
                halt.store(true, Ordering::Release);
            }
            let now = self.elapsed();
            // 2. Calls that are over.
            if now >= next_sweep {
                next_sweep = now + SWEEP;
                self.end_drained(now);
            }
            // 3. The progress bar.
            if now >= next_report {
                next_report = now + REPORT;
                progress(&self.progress(now));
            }
            let more = self.next < self.calls.len() && !self.interrupted;
            if !more && self.open.is_empty() {
                progress(&self.progress(now));
                return Ok(());
            }
            // 4. The next call, at its time.
            let due = self.due(self.next);
            if more && now >= due {
                self.place(self.next)?;
                continue;
            }
            let until = if more {
                due.min(next_sweep)
            } else {
                next_sweep
            };
            thread::park_timeout(until.saturating_sub(now));
        }
    }

    fn due(&self, call: usize) -> Duration {
        match self.plan.rate {
            0 => Duration::ZERO,
            rate => Duration::from_secs(1) * u32::try_from(call).unwrap_or(u32::MAX) / rate,
        }
    }

    fn progress(&self, now: Duration) -> Progress {
        let (sent, arrived) = totals(self.calls);
        let streams = self.calls.iter().flat_map(|call| &call.parties);
        Progress {
            placed: u32::try_from(self.next).unwrap_or(u32::MAX),
            ended: self.ended,
            calls: self.plan.calls,
            sent,
            arrived,
            planned: streams.map(|party| u64::from(party.stream.packets())).sum(),
            elapsed: now,
        }
    }

    fn place(&mut self, number: usize) -> Result<(), RunError> {
        let call = &self.calls[number];
        let begin = Clock::monotonic();
        self.next = number + 1;
        self.open.push(number);
        let callee = self.exchange(number, "offer", Side::Caller)?;
        let caller = self.exchange(number, "answer", Side::Callee)?;
        self.setup.record(Clock::monotonic().saturating_sub(begin));
        // Each party sends to what the other's message was rewritten to. Set once per call.
        let _ = call.remote.set([caller, callee]);
        Ok(())
    }

    /// Sends the description of a party; gives what the relay made of it for the other one.
    fn exchange(
        &mut self,
        number: usize,
        command: &'static str,
        from: Side,
    ) -> Result<Remote, RunError> {
        let call = &self.calls[number];
        let request = self.describe(number, command, from)?;
        let reply = self
            .client
            .request(&request)
            .map_err(|source| RunError::Ng {
                call_id: call.id.clone(),
                command,
                source,
            })?;
        let text = reply
            .get("sdp")
            .and_then(Value::as_text)
            .unwrap_or_default();
        let floor = call.parties[from.index()].floor.is_some();
        let remote = sdp::read(text, floor).map_err(|source| RunError::Sdp {
            call_id: call.id.clone(),
            command,
            source,
        })?;
        let floor = remote.floor.map(|address| address.ip());
        for address in [remote.rtp.ip()].into_iter().chain(floor) {
            if self.permitted.contains(&address) {
                continue;
            }
            self.plan.permit(address).map_err(|_| RunError::Remote {
                call_id: call.id.clone(),
                command,
                address,
            })?;
            self.permitted.push(address);
        }
        Ok(remote)
    }

    fn describe(
        &self,
        number: usize,
        command: &'static str,
        from: Side,
    ) -> Result<Dict<'a>, RunError> {
        let (plan, call) = (self.plan, &self.calls[number]);
        let party = &call.parties[from.index()];
        let peer = &call.parties[from.peer().index()];
        let ports = party
            .local_ports()
            .map_err(RunError::io("port of a party"))?;
        let session = u64::try_from(number).unwrap_or(0) * 2 + from as u64 + 1;
        let format = party.stream.media().format();
        let family = |ip: IpAddr| if ip.is_ipv4() { "IP4" } else { "IP6" };
        let flags = plan.flags.iter().map(String::as_str);
        let mut request = Dict::new()
            .with("command", command)
            .with("call-id", call.id.as_str())
            .with("from-tag", format!("{}-caller", call.id));
        if from == Side::Callee {
            request.push("to-tag", format!("{}-callee", call.id));
        }
        request.push("sdp", sdp::write(session, party.ip, ports, &format));
        request.push("ICE", "remove");
        request.push("supports", Value::list(["load limit"]));
        request.push("replace", Value::list(["origin"]));
        request.push(
            "flags",
            Value::list(["trust-address"].into_iter().chain(flags)),
        );
        request.push(
            "received-from",
            Value::list([family(party.ip).to_owned(), party.ip.to_string()]),
        );
        if let Some([caller, callee]) = &plan.direction {
            let names = match from {
                Side::Caller => [caller, callee],
                Side::Callee => [callee, caller],
            };
            request.push("direction", Value::list(names.map(String::as_str)));
        }
        if plan.caller_ip.is_ipv4() != plan.callee_ip.is_ipv4() {
            request.push("address family", family(peer.ip));
        }
        let place = (number + 1).to_string();
        for (key, value) in &plan.keys {
            request.push(key.as_str(), value.replace("<n>", &place));
        }
        Ok(request)
    }

    fn end_drained(&mut self, now: Duration) {
        let calls = self.calls;
        let over = |number: &usize| calls[*number].drained(now, PATIENCE);
        let (over, open) = self.open.iter().copied().partition(over);
        self.open = open;
        self.end(over);
    }

    /// Ends all calls that stand, whatever their state.
    pub(super) fn end_calls(&mut self) {
        let open = std::mem::take(&mut self.open);
        self.end(open);
    }

    fn end(&mut self, numbers: Vec<usize>) {
        for number in numbers {
            let call = &self.calls[number];
            let request = Dict::new()
                .with("command", "delete")
                .with("call-id", call.id.as_str())
                .with("from-tag", format!("{}-caller", call.id))
                .with("delete delay", 0_i64);
            match self.client.request(&request) {
                Ok(reply) => self.add_totals(&reply),
                Err(error) if self.problems.len() < PROBLEMS => {
                    self.problems.push(format!("{}: delete: {error}", call.id));
                }
                Err(_) => {}
            }
            self.ended += 1;
        }
    }

    /// Adds the statistics of a reply to `delete` (NG reference 11).
    fn add_totals(&mut self, reply: &Dict<'_>) {
        let dict = |dict: Option<&Dict<'_>>, key: &str| {
            dict.and_then(|dict| dict.get(key))
                .and_then(Value::as_dict)
                .map(|dict| dict.clone().into_owned())
        };
        let Some(totals) = dict(Some(reply), "totals") else {
            return;
        };
        let number = |of: &str, key: &str| {
            dict(Some(&totals), of)
                .and_then(|counts| counts.get(key).and_then(Value::as_int))
                .and_then(|number| u64::try_from(number).ok())
                .unwrap_or(0)
        };
        self.relay.calls += 1;
        self.relay.rtp_packets += number("RTP", "packets");
        self.relay.rtp_octets += number("RTP", "bytes");
        self.relay.rtp_errors += number("RTP", "errors");
        self.relay.rtcp_packets += number("RTCP", "packets");
    }
}

/// How often calls are looked at for their end.
const SWEEP: Duration = Duration::from_millis(20);
/// How often progress is told.
const REPORT: Duration = Duration::from_millis(100);
/// How long after the last packet a call waits for missing ones.
const PATIENCE: Duration = Duration::from_secs(1);
const PROBLEMS: usize = 10;
