//! Cost of a call in signalling: offer, answer and delete, through the core alone and with the NG
//! protocol around it. Sockets cost nothing here. Run with `cargo bench --bench control`.
#![expect(clippy::unwrap_used, reason = "a bench may fail loudly")]

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use homeward::hook::ng::command::{Action, translate};
use homeward::hook::ng::counters::Counters;
use homeward::hook::ng::message::{Encoding, Message, encode};
use homeward::hook::ng::reply::{Answer, Surroundings, write};
use homeward::migration::agreement::Agreement;
use homeward::migration::context::CallContext;
use homeward::migration::identity::Service;
use homeward::migration::record::Trigger;
use homeward::migration::registry::{NewRecord, Registry};
use homeward::session::core::{Core, Interface, LocalAddress, Settings, World};
use homeward::session::host::{BindError, Host, Room, StreamCounters, Taken};
use homeward::session::ids::{CallId, MirrorId, StreamId, Tag};
use homeward::session::options::{Learning, Options};
use homeward::session::reply::Reply;
use homeward::session::request::{Delete, Exchange, Request};
use homeward::store::journal::{Batch, Encode, Journal};
use homeward::sys::clock::Clock;
use homeward::wire::bencode::{Dict, Value};
use homeward::wire::time::Timestamp;

criterion_group!(benches, core, protocol, journal);
criterion_main!(benches);

/// Calls that are there already: the cost of one must not depend on their number.
const STANDING: [usize; 2] = [0, 10_000];

fn core(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("core, offer + answer + delete");
    group.throughput(Throughput::Elements(1));
    for standing in STANDING {
        for (name, context) in [("plain", CallContext::default()), ("mirrored", migrated())] {
            let mut relay = Relay::with(standing);
            group.bench_function(format!("{name}, beside {standing} calls"), |b| {
                b.iter(|| relay.call(black_box("bench"), &context));
            });
        }
    }
    group.finish();
}

/// Offer, answer and delete of calls that live for a while, with and without a journal: `plain`
/// pays for nothing, `control` for what the control thread does (collecting changes, as often as
/// the relay does), `all` for encoding too. SQLite is not in it; `store` is what a row costs there.
fn journal(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("journal, offer + answer + delete");
    group.throughput(Throughput::Elements(1));
    for kept in [Kept::Not, Kept::Collected, Kept::Encoded] {
        let mut relay = Relay::with(0);
        if kept != Kept::Not {
            relay.core.keep_journal();
        }
        let mut number = 0_u64;
        group.bench_function(format!("{kept:?}"), |b| {
            b.iter(|| relay.journalled(&mut number, kept));
        });
    }
    group.bench_function("store, a row", |b| {
        let dir = tempfile::tempdir().unwrap();
        let (journal, _) = Journal::open(dir.path(), "bench", 0).unwrap();
        b.iter_custom(|rows| store(&journal, rows));
    });
    group.finish();
}

/// What is done for the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    Not,
    Collected,
    Encoded,
}

/// A record of the usual size.
struct Row;

impl Encode for Row {
    fn encode(&self) -> [Vec<u8>; 2] {
        [vec![b'x'; 3_000], vec![b'x'; 60]]
    }
}

/// Writes rows in batches as they come at a thousand calls a second, and takes them away.
fn store(journal: &Journal, rows: u64) -> Duration {
    let begun = Clock::monotonic();
    for first in (0..rows).step_by(50) {
        let numbers = first..(first + 50).min(rows);
        for keep in [true, false] {
            let row = |n| (n, keep.then(|| Box::new(Row) as Box<dyn Encode>));
            let calls = numbers.clone().map(row).collect();
            let numbers = vec![("call", first)];
            assert!(journal.write(Batch { calls, numbers }).is_ok());
            assert!(journal.flush(Duration::from_secs(60)));
        }
    }
    Clock::monotonic().saturating_sub(begun)
}

fn protocol(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("NG, offer + answer + delete");
    group.throughput(Throughput::Elements(1));
    for (name, keys) in [("plain", &[][..]), ("mirrored", &MIGRATED[..])] {
        let datagrams = datagrams(keys);
        for standing in STANDING {
            let mut relay = Relay::with(standing);
            group.bench_function(format!("{name}, beside {standing} calls"), |b| {
                b.iter(|| {
                    datagrams
                        .each_ref()
                        .map(|datagram| relay.datagram(black_box(datagram)))
                });
            });
        }
    }
    group.finish();
}

/// A core with its world, in which alice has migrated.
struct Relay {
    core: Core,
    host: Nothing,
    registry: Registry,
    agreements: Vec<Agreement>,
    counters: Counters,
    now: Timestamp,
}

impl Relay {
    fn with(standing: usize) -> Self {
        let mut registry = Registry::default();
        let change = registry
            .prepare_add(alice(), Timestamp::from_secs(1))
            .unwrap();
        registry.commit(change);
        let primary = "primary.example".parse().unwrap();
        let mut relay = Self {
            core: Core::new(settings()),
            host: Nothing,
            registry,
            agreements: vec![Agreement::new(primary, vec!["hq".into()])],
            counters: Counters::default(),
            now: Timestamp::from_secs(1_000_000),
        };
        for number in 0..standing {
            let id = format!("standing-{number}");
            relay.exchanges(&id, &migrated());
        }
        relay
    }

    fn handle(&mut self, request: Request) -> Reply {
        let world = World {
            registry: &self.registry,
            agreements: &self.agreements,
        };
        self.now = self.now + Duration::from_micros(100);
        let reply = self.core.handle(request, &world, &mut self.host, self.now);
        while let Some(command) = self.core.poll_command() {
            black_box(command);
        }
        reply.unwrap()
    }

    fn exchanges(&mut self, id: &str, context: &CallContext) {
        let mut offer = exchange(id, None, &sdp("192.0.2.10", 41_000));
        offer.context = context.clone();
        self.handle(Request::Offer(Box::new(offer)));
        let answer = exchange(id, Some("callee"), &sdp("192.0.2.20", 42_000));
        self.handle(Request::Answer(Box::new(answer)));
    }

    fn call(&mut self, id: &str, context: &CallContext) -> Reply {
        self.exchanges(id, context);
        self.handle(Request::Delete(Delete {
            call_id: CallId::from(id),
            from_tag: None,
            to_tag: None,
            via_branch: None,
            delay: Some(0),
            fatal: true,
        }))
    }

    /// A call begins, and the one before the last fifty ends: at a thousand calls a second they
    /// live for a round of the journal.
    fn journalled(&mut self, number: &mut u64, kept: Kept) {
        self.exchanges(&format!("journalled-{number}"), &migrated());
        if let Some(old) = number.checked_sub(50) {
            self.handle(Request::Delete(Delete {
                call_id: CallId::from(format!("journalled-{old}").as_str()),
                from_tag: None,
                to_tag: None,
                via_branch: None,
                delay: Some(0),
                fatal: true,
            }));
        }
        *number += 1;
        if kept == Kept::Not || !number.is_multiple_of(50) {
            return;
        }
        while let Some(entry) = self.core.poll_journal(&self.host) {
            match (kept, &entry.call) {
                (Kept::Encoded, Some(call)) => drop(black_box(call.encode())),
                (Kept::Encoded | Kept::Collected | Kept::Not, _) => drop(black_box(entry)),
            }
        }
    }

    fn datagram(&mut self, datagram: &[u8]) -> Vec<u8> {
        let message = Message::parse(datagram).unwrap();
        let translated = translate(&message.dict);
        let Ok(Action::Core(request)) = translated.action else {
            panic!("refused: {:?}", translated.action);
        };
        let answer = Answer::Reply(self.handle(request));
        let surroundings = Surroundings {
            command: translated.command,
            shape: translated.shape,
            counters: &self.counters,
            uptime: 1,
        };
        write(message.cookie, message.encoding, &answer, &surroundings).bytes
    }
}

/// Surroundings that agree to all.
struct Nothing;

impl Host for Nothing {
    fn bind(&mut self, _: StreamId, _: SocketAddr, _: Option<u8>) -> Result<(), BindError> {
        Ok(())
    }

    fn counters(&self, _: StreamId) -> StreamCounters {
        StreamCounters::default()
    }

    fn worker_loads(&self) -> &[u64] {
        &[0]
    }

    fn can_mirror(&self, _: &[Room<'_>]) -> bool {
        true
    }

    fn taken(&self, _: MirrorId) -> Option<Taken> {
        None
    }
}

fn settings() -> Settings {
    let address = |last| {
        let address = IpAddr::V4(Ipv4Addr::new(127, 0, 0, last));
        LocalAddress {
            bind: address,
            advertised: address,
        }
    };
    Settings {
        system: "partner.example".into(),
        interfaces: vec![Interface {
            name: "core".into(),
            addresses: vec![address(1), address(2)],
            ports: (10_000, 59_999),
        }],
        anchors: Vec::new(),
        max_calls: 20_000,
        media_timeout: Duration::from_secs(60),
        silent_timeout: Duration::from_secs(3600),
        offer_timeout: Duration::from_secs(3600),
        final_timeout: None,
        delete_delay: Duration::from_secs(30),
        port_linger: Duration::from_secs(30),
        learning: Learning::Heuristic,
        strict_source: true,
        instance: "bench".into(),
        preroll: false,
        ended_kept: 1_000,
    }
}

fn exchange(id: &str, to: Option<&str>, sdp: &str) -> Exchange {
    let mut options = Options::default();
    options.replace.origin = true;
    Exchange {
        call_id: CallId::from(id),
        from_tag: Tag::from("caller"),
        to_tag: to.map(Tag::from),
        via_branch: None,
        sdp: sdp.as_bytes().to_vec(),
        options,
        context: CallContext::default(),
    }
}

/// One audio media, as MC servers write it.
fn sdp(address: &str, port: u16) -> String {
    format!(
        "v=0\r\no=mcas 88210 1 IN IP4 {address}\r\ns=-\r\nc=IN IP4 {address}\r\nt=0 0\r\n\
         m=audio {port} RTP/AVP 96 8 101\r\ni=speech\r\nb=AS:38\r\na=rtpmap:96 AMR-WB/16000/1\r\n\
         a=fmtp:96 mode-change-capability=2;max-red=0\r\na=rtpmap:101 telephone-event/8000\r\n\
         a=fmtp:101 0-15\r\na=ptime:20\r\na=maxptime:240\r\na=sendrecv\r\n"
    )
}

fn alice() -> NewRecord {
    NewRecord {
        service: Service::Mcptt,
        primary_id: "sip:alice@primary.example".parse().unwrap(),
        partner_id: "sip:alice@partner.example".parse().unwrap(),
        primary_system: "primary.example".parse().unwrap(),
        functional_aliases: Vec::new(),
        trigger: Trigger::Client,
        profile_index: None,
        standing: Default::default(),
        since: None,
        until: None,
    }
}

fn migrated() -> CallContext {
    CallContext {
        service: Some(Service::Mcptt),
        calling_id: Some("sip:alice@partner.example".parse().unwrap()),
        called_id: Some("sip:bob@partner.example".parse().unwrap()),
        ..CallContext::default()
    }
}

/// The same as NG keys.
const MIGRATED: [(&str, &str); 3] = [
    ("mc-service", "mcptt"),
    ("mc-calling-id", "sip:alice@partner.example"),
    ("mc-called-id", "sip:bob@partner.example"),
];

/// Offer, answer and delete as a proxy sends them.
fn datagrams(keys: &[(&'static str, &'static str)]) -> [Vec<u8>; 3] {
    let dialogue = |command: &'static str, sdp: String| {
        Dict::new()
            .with("sdp", sdp)
            .with("ICE", "remove")
            .with("replace", Value::list(["origin"]))
            .with("call-id", "bench-call-1@192.0.2.10")
            .with("from-tag", "caller")
            .with("received-from", Value::list(["IP4", "192.0.2.10"]))
            .with("command", command)
    };
    let mut offer = dialogue("offer", sdp("192.0.2.10", 41_000));
    for (key, value) in keys {
        offer.push(*key, *value);
    }
    let answer = dialogue("answer", sdp("192.0.2.20", 42_000)).with("to-tag", "callee");
    let delete = Dict::new()
        .with("command", "delete")
        .with("call-id", "bench-call-1@192.0.2.10")
        .with("from-tag", "caller")
        .with("delete delay", 0);
    [offer, answer, delete].map(|dict| encode(b"4711_1", Encoding::Bencode, &dict))
}
