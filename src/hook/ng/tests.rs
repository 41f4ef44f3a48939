//! The UDP server over real sockets on loopback, with a core that is a script.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

use super::allow::AllowList;
use super::cache::Limits;
use super::counters::Counters;
use super::udp::{BindError, Config, Server};
use crate::hook::{Control, RegistryFailure};
use crate::migration::record::{Record, RecordId};
use crate::migration::registry::{NewRecord, RecordFilter, RecordUpdate};
use crate::session::ids::CallId;
use crate::session::reply::{Error, RecordingState, Reply};
use crate::session::request::Request;
use crate::wire::time::Timestamp;

/// Answers by the call-id; `slow` calls wait until they are let go.
#[derive(Clone)]
struct Script {
    offers: Arc<AtomicUsize>,
    order: Arc<Mutex<Vec<String>>>,
    gate: Arc<Semaphore>,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            offers: Arc::default(),
            order: Arc::default(),
            gate: Arc::new(Semaphore::new(0)),
        }
    }
}

impl Control for Script {
    async fn request(&self, request: Request) -> Result<Reply, Error> {
        match request {
            Request::Offer(offer) => {
                let number = self.offers.fetch_add(1, Relaxed);
                self.order.lock().unwrap().push(offer.call_id.to_string());
                if offer.call_id.0.starts_with("slow") {
                    self.gate.acquire().await.map_err(|_| Error::Busy)?.forget();
                }
                Ok(Reply::Sdp(format!("s={number}\r\n").into_bytes()))
            }
            Request::Answer(_) | Request::Query(_) => Err(Error::UnknownCall),
            Request::Delete(delete) if delete.fatal => Err(Error::NothingToDelete),
            Request::Delete(_) => Ok(Reply::Deleted(None)),
            Request::List { limit } => Ok(Reply::Calls(vec![CallId::from("c"); limit])),
            Request::Recording { primary: None, .. } => {
                Ok(Reply::Recording(Box::new(RecordingState {
                    recordings: Vec::new(),
                    warning: Some("a warning"),
                })))
            }
            Request::Recording { .. }
            | Request::Statistics
            | Request::Page { .. }
            | Request::Context { .. }
            | Request::Explain { .. } => Err(Error::Busy),
        }
    }

    async fn add_migration(&self, _: NewRecord) -> Result<Record, RegistryFailure> {
        Err(RegistryFailure::Busy)
    }

    async fn update_migration(
        &self,
        _: RecordId,
        _: RecordUpdate,
    ) -> Result<Record, RegistryFailure> {
        Err(RegistryFailure::Busy)
    }

    async fn end_migration(&self, _: RecordId) -> Result<Record, RegistryFailure> {
        Err(RegistryFailure::Busy)
    }

    async fn migrations(&self, _: RecordFilter) -> Result<Vec<Record>, RegistryFailure> {
        Err(RegistryFailure::Busy)
    }
}

struct Bed {
    script: Script,
    server: SocketAddr,
    counters: Arc<Counters>,
    stop: Option<oneshot::Sender<()>>,
    done: tokio::task::JoinHandle<()>,
}

impl Bed {
    fn start(config: Config) -> Self {
        let script = Script::default();
        let clock = Arc::new(|| Timestamp::from_secs(1_000));
        let server = Server::bind(config, script.clone(), clock).unwrap();
        let (address, counters) = (server.local_addrs()[0], server.counters());
        let (stop, stopped) = oneshot::channel();
        let done = tokio::spawn(server.run(async move {
            let _ = stopped.await;
        }));
        Self {
            script,
            server: address,
            counters,
            stop: Some(stop),
            done,
        }
    }

    async fn client(&self) -> Client {
        self.client_at("127.0.0.1".parse().unwrap()).await
    }

    async fn client_at(&self, source: IpAddr) -> Client {
        let socket = UdpSocket::bind((source, 0)).await.unwrap();
        socket.connect(self.server).await.unwrap();
        Client(socket)
    }
}

struct Client(UdpSocket);

impl Client {
    async fn send(&self, datagram: impl AsRef<[u8]>) {
        self.0.send(datagram.as_ref()).await.unwrap();
    }

    async fn receive(&self) -> String {
        let mut buffer = vec![0; 65_536];
        let received = timeout(Duration::from_secs(20), self.0.recv(&mut buffer));
        let len = received.await.expect("a reply").unwrap();
        String::from_utf8_lossy(&buffer[..len]).into_owned()
    }

    async fn ask(&self, datagram: impl AsRef<[u8]>) -> String {
        self.send(datagram).await;
        self.receive().await
    }
}

fn config() -> Config {
    Config {
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        ..Config::default()
    }
}

fn offer(cookie: &str, call: &str) -> String {
    format!(
        "{cookie} {{\"command\":\"offer\",\"call-id\":\"{call}\",\"from-tag\":\"a\",\"sdp\":\"v=0\"}}"
    )
}

#[tokio::test]
async fn worked_examples_byte_for_byte() {
    let bed = Bed::start(config());
    let client = bed.client().await;
    for (request, reply) in [
        ("4711_9 d7:command4:pinge", "4711_9 d6:result4:ponge"),
        ("c1 {\"command\":\"ping\"}", "c1 {\"result\":\"pong\"}"),
        (
            "2210_77_5 d5:flagsle7:call-id15:grp7@mc.example13:received-fromle7:command6:deletee",
            "2210_77_5 d7:warning38:Call-ID not found or tags didn't match6:result2:oke",
        ),
        (
            "c82 d7:call-id1:x7:command5:querye",
            "c82 d12:error-reason15:Unknown call-id6:result5:errore",
        ),
        (
            "c83 d7:call-id1:x5:flagsl5:fatale7:command6:deletee",
            "c83 d12:error-reason38:Call-ID not found or tags didn't match6:result5:errore",
        ),
        (
            "c84 d3:sdp1:v8:from-tag1:a6:to-tag1:b7:call-id1:x7:command6:answere",
            "c84 d12:error-reason15:Unknown call-id6:result5:errore",
        ),
        (
            "1_99_3 d7:call-id15:p2p9@mc.example5:flagsl3:all6:siprece7:call-id15:p2p9@mc.example7:command17:subscribe requeste",
            "1_99_3 d12:error-reason11:unsupported7:message35:this relay does not do this command6:result5:errore",
        ),
        (
            "c85 {\"command\":\"no such\"}",
            "c85 {\"error-reason\":\"Unrecognized command\",\"result\":\"error\"}",
        ),
        (
            "c86 ",
            "c86 d12:error-reason25:Invalid data (no payload)6:result5:errore",
        ),
    ] {
        assert_eq!(client.ask(request).await, reply);
    }
}

#[tokio::test]
async fn silence_without_a_cookie_and_for_strangers() {
    let bed = Bed::start(config());
    let client = bed.client().await;
    for datagram in ["", "d7:command4:pinge", " d7:command4:pinge"] {
        client.send(datagram).await;
    }
    // The next reply is that of the ping: nothing came before.
    assert_eq!(
        client.ask("p d7:command4:pinge").await,
        "p d6:result4:ponge"
    );
    assert_eq!(bed.counters.no_cookie.load(Relaxed), 3);

    let one = Config {
        allow: AllowList::only(["127.9.9.9".parse().unwrap()]),
        ..config()
    };
    let bed = Bed::start(one);
    let stranger = bed.client().await;
    stranger.send("p d7:command4:pinge").await;
    stranger.send(offer("c1", "call")).await;
    let good = bed.client_at("127.9.9.9".parse().unwrap()).await;
    assert_eq!(good.ask("p d7:command4:pinge").await, "p d6:result4:ponge");
    assert_eq!(bed.counters.not_allowed.load(Relaxed), 2);
    assert_eq!(bed.script.offers.load(Relaxed), 0);
}

#[tokio::test]
async fn a_repeat_is_not_carried_out_again() {
    let bed = Bed::start(config());
    let client = bed.client().await;
    let first = client.ask(offer("c1", "call")).await;
    assert_eq!(first, "c1 {\"sdp\":\"s=0\\r\\n\",\"result\":\"ok\"}");
    assert_eq!(client.ask(offer("c1", "call")).await, first);
    // From another port of the same client, as after a reopened socket.
    let reopened = bed.client().await;
    assert_eq!(reopened.ask(offer("c1", "call")).await, first);
    // The same cookie of another client, and another cookie, are other requests.
    let other = bed.client_at("127.0.0.2".parse().unwrap()).await;
    assert!(other.ask(offer("c1", "call")).await.contains("s=1"));
    assert!(client.ask(offer("c2", "call")).await.contains("s=2"));
    assert_eq!(bed.script.offers.load(Relaxed), 3);
    assert_eq!(bed.counters.repeats.load(Relaxed), 2);
}

#[tokio::test]
async fn repeats_in_flight_wait_for_the_first() {
    let bed = Bed::start(config());
    let client = bed.client().await;
    for _ in 0..3 {
        client.send(offer("c1", "slow")).await;
    }
    // Others are served meanwhile; their reply says that the three have been seen.
    assert!(client.ask(offer("c2", "quick")).await.starts_with("c2 "));
    assert_eq!(bed.counters.repeats_in_flight.load(Relaxed), 2);
    bed.script.gate.add_permits(1);
    let replies = [
        client.receive().await,
        client.receive().await,
        client.receive().await,
    ];
    assert!(
        replies.iter().all(|reply| *reply == replies[0]),
        "{replies:?}"
    );
    assert_eq!(bed.script.offers.load(Relaxed), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn requests_reach_the_core_in_order() {
    let bed = Bed::start(config());
    let client = bed.client().await;
    let names: Vec<String> = (0..100).map(|n| format!("slow{n}")).collect();
    for name in &names {
        client.send(offer(name, name)).await;
    }
    bed.script.gate.add_permits(names.len());
    for _ in &names {
        client.receive().await;
    }
    assert_eq!(*bed.script.order.lock().unwrap(), names);
}

#[tokio::test]
async fn beyond_the_bound_requests_are_dropped_until_repeated() {
    let small = Config {
        in_flight: 1,
        cache: Limits {
            waiters: 0,
            ..Limits::default()
        },
        ..config()
    };
    let bed = Bed::start(small);
    let client = bed.client().await;
    client.send(offer("c1", "slow")).await;
    client.send(offer("c1", "slow")).await;
    client.send(offer("c2", "quick")).await;
    assert_eq!(
        client.ask("p d7:command4:pinge").await,
        "p d6:result4:ponge"
    );
    assert_eq!(bed.counters.overloaded.load(Relaxed), 2);
    bed.script.gate.add_permits(1);
    assert!(client.receive().await.starts_with("c1 "));
    // The permit comes back just after the reply.
    loop {
        client.send(offer("c2", "quick")).await;
        if let Ok(reply) = timeout(Duration::from_millis(50), client.receive()).await {
            assert!(reply.starts_with("c2 "));
            break;
        }
    }
}

#[tokio::test]
async fn hostile_datagrams_get_an_error_and_nothing_else_happens() {
    let bed = Bed::start(config());
    let client = bed.client().await;
    let bombs: [Vec<u8>; 6] = [
        [b"c ".as_slice(), &b"d1:x".repeat(16_000)].concat(),
        [b"c d1:x".as_slice(), &b"l".repeat(65_000)].concat(),
        [b"c ".as_slice(), &br#"{"a":"#.repeat(13_000)].concat(),
        [b"c {\"a\":".as_slice(), &b"[".repeat(65_000)].concat(),
        b"c d7:command99999999999:pinge".to_vec(),
        [b"c ".as_slice(), &vec![0xff; 65_000]].concat(),
    ];
    for bomb in bombs {
        let reply = client.ask(bomb).await;
        assert!(reply.contains("error-reason"), "{reply}");
    }
    let request = offer("c", "call");
    for end in 2..request.len() - 1 {
        let reply = client.ask(&request[..end]).await;
        assert!(
            reply.starts_with("c ") && reply.contains("error"),
            "{reply}"
        );
    }
    assert_eq!(bed.script.offers.load(Relaxed), 0);
    assert!(client.ask(request).await.contains("ok"));
}

#[tokio::test]
async fn large_requests_and_replies_fit() {
    let bed = Bed::start(config());
    let client = bed.client().await;
    let sdp = "x".repeat(65_300);
    let large = format!(
        "c1 d3:sdp{}:{sdp}8:from-tag1:a7:call-id1:x7:command5:offere",
        sdp.len()
    );
    assert!(client.ask(large).await.contains("6:result2:ok"));
    let list = client.ask("c2 d7:command4:list5:limiti1000000ee").await;
    assert!(list.len() <= 65_507 && list.ends_with("6:result2:oke"));
    assert_eq!(bed.counters.shortened.load(Relaxed), 1);
}

#[tokio::test]
async fn shutdown_answers_what_is_in_flight() {
    let mut bed = Bed::start(config());
    let client = bed.client().await;
    client.send(offer("c1", "slow")).await;
    assert!(client.ask(offer("c2", "quick")).await.starts_with("c2 "));
    bed.stop.take().unwrap().send(()).unwrap();
    bed.script.gate.add_permits(1);
    assert!(client.receive().await.starts_with("c1 "));
    timeout(Duration::from_secs(20), bed.done)
        .await
        .unwrap()
        .unwrap();
    let again = UdpSocket::bind(bed.server).await;
    assert!(again.is_ok(), "the port is free again");
}

#[tokio::test]
async fn ipv6_and_several_addresses() {
    let both = Config {
        listen: vec!["127.0.0.1:0".parse().unwrap(), "[::1]:0".parse().unwrap()],
        ..Config::default()
    };
    let clock = Arc::new(|| Timestamp::from_secs(1_000));
    let Ok(server) = Server::bind(both, Script::default(), clock) else {
        // A host without IPv6 has nothing to test here.
        return;
    };
    let v6 = server.local_addrs()[1];
    tokio::spawn(server.run(std::future::pending()));
    let socket = UdpSocket::bind("[::1]:0").await.unwrap();
    socket.connect(v6).await.unwrap();
    let client = Client(socket);
    assert_eq!(
        client.ask("p d7:command4:pinge").await,
        "p d6:result4:ponge"
    );
}

#[tokio::test]
async fn wildcards_and_taken_ports_are_refused() {
    let clock = || Arc::new(|| Timestamp::from_secs(1_000));
    for wildcard in ["0.0.0.0:0", "[::]:0", "[::ffff:0.0.0.0]:0"] {
        let config = Config {
            listen: vec![wildcard.parse().unwrap()],
            ..Config::default()
        };
        let refused = Server::bind(config, Script::default(), clock());
        assert!(matches!(refused, Err(BindError::Wildcard(_))), "{wildcard}");
    }
    let bed = Bed::start(config());
    let taken = Config {
        listen: vec![bed.server],
        ..Config::default()
    };
    let refused = Server::bind(taken, Script::default(), clock());
    assert!(
        refused
            .unwrap_err()
            .to_string()
            .contains(&bed.server.to_string())
    );
}
