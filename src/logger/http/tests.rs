use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::Request;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;
use crate::logger::service::Service;
use crate::sys::clock::Clock;

/// A logger that stands alone with two pairs of ports, and its routes.
struct Alone {
    _dir: tempfile::TempDir,
    service: Service,
    router: Router,
    relays: Relays,
    port: u16,
}

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

impl Alone {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::start();
        // Others take ports at the same time.
        let (service, settings) = (0..100)
            .find_map(|_| {
                let settings = settings(dir.path().join("archive"));
                let service = Service::start(settings.clone(), clock).ok()?;
                Some((service, settings))
            })
            .unwrap();
        let relays = Relays::new(clock);
        Self {
            router: routes(service.handle(), &settings, relays.clone()),
            port: settings.ports.0,
            _dir: dir,
            service,
            relays,
        }
    }

    async fn ask(&self, method: &str, path: &str, body: impl Into<Body>) -> (u16, Value) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", "application/json")
            .body(body.into())
            .unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        if status.is_client_error() || status.is_server_error() {
            let kind = &response.headers()["content-type"];
            assert_eq!(kind, "application/problem+json");
        }
        let bytes = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        let body: Value = match bytes.is_empty() {
            true => Value::Null,
            false => serde_json::from_slice(&bytes).unwrap(),
        };
        if status.is_client_error() {
            assert_eq!(body["status"], status.as_u16());
            assert!(!body["detail"].as_str().unwrap().is_empty());
        }
        (status.as_u16(), body)
    }

    async fn put(&self, path: &str, body: Value) -> u16 {
        self.ask("PUT", path, body.to_string()).await.0
    }

    async fn delete(&self, path: &str) -> u16 {
        self.ask("DELETE", path, Body::empty()).await.0
    }

    /// Waits for so many recordings.
    async fn recordings(&self, count: usize) -> Vec<Value> {
        for _ in 0..3_000 {
            let (status, body) = self.ask("GET", "/v1/recordings", Body::empty()).await;
            assert_eq!(status, 200, "{body}");
            let found = body["recordings"].as_array().unwrap();
            if found.len() >= count {
                return found.clone();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("waited in vain for {count} recordings");
    }
}

fn settings(dir: PathBuf) -> Settings {
    let port = UdpSocket::bind((HERE, 0)).unwrap().local_addr().unwrap();
    let first = (port.port() & !1).min(65_000);
    Settings {
        dir,
        bind: HERE,
        ports: (first, first + 3),
        relays: vec![HERE],
        bind_all: true,
        close_grace: Duration::from_millis(100),
        block_bytes: 64 << 10,
        block_age: Duration::from_millis(20),
        segment_bytes: 1 << 20,
    }
}

fn call(call_id: &str) -> Value {
    json!({
        "call_id": call_id, "started": 1_795_369_080_000_000_000_u64,
        "relay_system": "partner.example", "primary_system": "primary.example",
        "parties": [{ "tag": "a", "primary_id": "sip:alice@primary.example", "migrated": true }],
    })
}

fn stream(number: u64, port: u16) -> Value {
    json!({ "port": port, "info": {
        "stream": number, "from_tag": "a", "direction": "from-user", "media_index": 1,
        "media": "audio", "kind": "rtp", "local": "192.0.2.5:30000",
    }})
}

fn rtp(sequence: u16) -> Vec<u8> {
    let [high, low] = sequence.to_be_bytes();
    let mut packet = vec![0x80, 0, high, low, 0, 0, high, low, 1, 1, 1, 1];
    packet.extend([7; 160]);
    packet
}

#[tokio::test]
async fn a_restarted_relay_ends_what_does_not_go_on() {
    let door = Alone::start();
    for mirror in [1, 2, 3, 9] {
        let path = format!("/v1/mirrors/r/{mirror}");
        assert_eq!(door.put(&path, call("c")).await, 204);
    }
    assert_eq!(door.put("/v1/mirrors/other/1", call("c")).await, 204);
    let only =
        |first: u64, last: u64, open: &[u64]| json!({ "first": first, "last": last, "open": open });
    let path = "/v1/relays/r/mirrors";
    assert_eq!(door.put(path, only(0, 3, &[2])).await, 204);
    assert_eq!(
        door.service.handle().open_mirrors(),
        3,
        "2 and 9, and the other relay's"
    );
    assert_eq!(door.put(path, only(4, u64::MAX, &[])).await, 204);
    assert_eq!(door.service.handle().open_mirrors(), 2);
    for bad in [
        json!({}),
        json!({ "first": -1, "last": 2, "open": [] }),
        json!([1]),
    ] {
        assert!((400..500).contains(&door.put(path, bad).await));
    }
}

#[tokio::test]
async fn packets_belong_to_the_announced_call_from_the_first_one_on() {
    let alone = Alone::start();
    let sender = UdpSocket::bind((HERE, 0)).unwrap();
    let send = |sequence| assert!(sender.send_to(&rtp(sequence), (HERE, alone.port)).is_ok());
    // They overtake the announcement.
    (0..5).for_each(send);
    let path = "/v1/mirrors/relay-1/7";
    let at = "/v1/mirrors/relay-1/7/streams/3";
    for _ in 0..2 {
        assert_eq!(alone.put(path, call("c1")).await, 204);
        assert_eq!(alone.put(at, stream(3, alone.port)).await, 204);
    }
    (5..9).for_each(send);
    while alone.service.stats().received < 9 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for _ in 0..2 {
        assert_eq!(alone.delete(at).await, 204);
        assert_eq!(alone.delete(path).await, 204);
    }
    let found = alone.recordings(1).await;
    assert_eq!(found.len(), 1, "{found:?}");
    let found = &found[0];
    assert_eq!(found["call_id"], "c1");
    assert_eq!(found["primary_system"], "primary.example");
    assert_eq!(
        found["parties"][0]["primary_id"],
        "sip:alice@primary.example"
    );
    assert_eq!((&found["packets"], &found["lost"]), (&json!(9), &json!(0)));
    assert!(std::path::Path::new(found["path"].as_str().unwrap()).exists());
    let wrong = alone.ask("GET", "/v1/recordings?limit=0", "").await;
    assert_eq!(wrong.0, 422);
    let wrong = alone.ask("GET", "/v1/recordings?limit=x", "").await;
    assert_eq!(wrong.0, 400);
}

#[tokio::test]
async fn packets_that_nobody_announces_are_kept_all_the_same() {
    let alone = Alone::start();
    let sender = UdpSocket::bind((HERE, 0)).unwrap();
    for sequence in 0..3 {
        sender.send_to(&rtp(sequence), (HERE, alone.port)).unwrap();
    }
    while alone.service.stats().received < 3 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Now they are nobody's; the call that is announced too late has what comes from then on.
    let path = "/v1/mirrors/relay-1/1";
    assert_eq!(alone.put(path, call("late")).await, 204);
    let at = format!("{path}/streams/1");
    assert_eq!(alone.put(&at, stream(1, alone.port)).await, 204);
    sender.send_to(&rtp(3), (HERE, alone.port)).unwrap();
    while alone.service.stats().received < 4 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(alone.delete(path).await, 204);
    let found = alone.recordings(2).await;
    let packets = |call: &str| {
        let mut rows = found.iter();
        let row = rows.find(|row| row["call_id"].as_str().unwrap().starts_with(call));
        row.unwrap()["packets"].as_u64()
    };
    assert_eq!(packets("late"), Some(1));
    assert_eq!(packets("unattributed-"), Some(3));
}

#[tokio::test]
async fn hostile_requests_are_refused_and_change_nothing() {
    let alone = Alone::start();
    let path = "/v1/mirrors/relay-1/1";
    let long = "r".repeat(65);
    for (method, path, body, status) in [
        ("PUT", path, String::new(), 400),
        ("PUT", path, "[".repeat(60_000), 422),
        ("PUT", path, "[]".into(), 422),
        ("PUT", path, json!({ "call_id": "c" }).to_string(), 422),
        ("PUT", path, call("").to_string(), 422),
        (
            "PUT",
            path,
            format!("{{\"a\":\"{}\"}}", "x".repeat(70_000)),
            413,
        ),
        ("PUT", "/v1/mirrors/relay-1/-1", call("c").to_string(), 404),
        ("PUT", "/v1/mirrors/a%2Fb/1", call("c").to_string(), 422),
        ("PUT", "/v1/mirrors/%FF/1", call("c").to_string(), 404),
        ("DELETE", "/v1/mirrors/..%2F/1", String::new(), 422),
        ("PUT", &format!("/v1/relays/{long}"), String::new(), 422),
        (
            "PUT",
            &format!("{path}/streams/3"),
            stream(3, alone.port).to_string(),
            404,
        ),
    ] {
        let (found, body) = alone.ask(method, path, body).await;
        assert_eq!(found, status, "{method} {path}: {body}");
    }
    assert_eq!(alone.service.handle().open_mirrors(), 0);

    assert_eq!(alone.put(path, call("c")).await, 204);
    let at = format!("{path}/streams/3");
    for (body, status) in [
        (stream(4, alone.port), 422),
        (stream(3, alone.port - 1), 422),
        (stream(3, alone.port + 4), 422),
        (stream(3, 0), 422),
        (json!({ "port": 70_000, "info": {} }), 422),
        (json!({ "port": alone.port }), 422),
        (json!({ "port": alone.port, "info": 1, "more": 2 }), 422),
    ] {
        assert_eq!(alone.put(&at, body.clone()).await, status, "{body}");
    }
    let key = MirrorKey {
        relay: "relay-1".into(),
        mirror: 1,
    };
    assert_eq!(alone.service.handle().streams(&key), Some(0));
}

#[tokio::test]
async fn a_mirror_has_so_many_streams_and_no_more() {
    let alone = Alone::start();
    assert_eq!(alone.put("/v1/mirrors/r/1", call("c")).await, 204);
    for number in 0..=MAX_STREAMS as u64 {
        let at = format!("/v1/mirrors/r/1/streams/{number}");
        let expected = if number < MAX_STREAMS as u64 {
            204
        } else {
            503
        };
        assert_eq!(alone.put(&at, stream(number, alone.port)).await, expected);
    }
}

#[tokio::test]
async fn the_calls_of_a_relay_that_falls_silent_are_closed() {
    let alone = Alone::start();
    let (status, body) = alone.ask("PUT", "/v1/relays/r1", "").await;
    assert_eq!(status, 200);
    assert_eq!(body["run"], alone.service.handle().run_name());
    for path in ["/v1/mirrors/r1/1", "/v1/mirrors/r1/2", "/v1/mirrors/r2/1"] {
        assert_eq!(alone.put(path, call("c")).await, 204);
    }
    let handle = alone.service.handle();
    assert_eq!(alone.relays.close_silent(&handle, SILENCE), 0);
    assert_eq!(alone.relays.close_silent(&handle, Duration::ZERO), 3);
    assert_eq!(handle.open_mirrors(), 0);
    alone.recordings(3).await;
}
