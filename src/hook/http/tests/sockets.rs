//! The server on real sockets.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::super::server::{Limits, serve};
use super::*;

struct Server {
    address: std::net::SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

async fn start(limits: Limits) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let app = app_of(&Fake::default(), &Settings::default());
    let task = tokio::spawn(serve(listener, app, limits, async {
        let _ = stopped.await;
    }));
    Server {
        address,
        stop,
        task,
    }
}

async fn talk(socket: &mut TcpStream, text: &[u8]) -> String {
    socket.write_all(text).await.unwrap();
    let mut buffer = [0_u8; 4_096];
    let read = socket.read(&mut buffer).await.unwrap_or(0);
    String::from_utf8_lossy(&buffer[..read]).into_owned()
}

#[tokio::test]
async fn serves_and_stops_in_good_order() {
    let server = start(Limits::default()).await;
    let mut socket = TcpStream::connect(server.address).await.unwrap();
    let get = b"GET /v1/calls HTTP/1.1\r\nHost: x\r\n\r\n";
    for _ in 0..2 {
        let answer = talk(&mut socket, get).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answer.contains("\"call_id\":\"c/1\""), "{answer}");
    }
    server.stop.send(()).unwrap();
    // The idle connection is closed, and the server returns.
    let mut rest = Vec::new();
    socket.read_to_end(&mut rest).await.unwrap();
    server.task.await.unwrap();
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn nonsense_is_answered_or_cut_off() {
    let server = start(Limits::default()).await;
    let long = "a".repeat(40_000);
    let inputs: [&[u8]; 4] = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello TLS\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /v1/migrations HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        long.as_bytes(),
    ];
    for input in inputs {
        let mut socket = TcpStream::connect(server.address).await.unwrap();
        let answer = talk(&mut socket, input).await;
        assert!(answer.is_empty() || answer.contains(" 4"), "{answer}");
    }
    let mut socket = TcpStream::connect(server.address).await.unwrap();
    let answer = talk(&mut socket, b"GET /open HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(answer.ends_with("open"), "{answer}");
}

#[tokio::test]
async fn slow_headers_end_the_connection() {
    let limits = Limits {
        headers: Duration::from_millis(50),
        ..Limits::default()
    };
    let server = start(limits).await;
    let mut socket = TcpStream::connect(server.address).await.unwrap();
    socket.write_all(b"GET /open HT").await.unwrap();
    let mut rest = Vec::new();
    // Whatever it says (408 or nothing), it closes.
    socket.read_to_end(&mut rest).await.unwrap();
    assert!(!String::from_utf8_lossy(&rest).contains(" 200 "));
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_their_turn() {
    let limits = Limits {
        connections: 1,
        ..Limits::default()
    };
    let server = start(limits).await;
    let get = b"GET /open HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut first = TcpStream::connect(server.address).await.unwrap();
    assert!(talk(&mut first, get).await.ends_with("open"));
    let mut second = TcpStream::connect(server.address).await.unwrap();
    second.write_all(get).await.unwrap();
    let mut buffer = [0_u8; 1_024];
    let early = tokio::time::timeout(Duration::from_millis(100), second.read(&mut buffer)).await;
    assert!(early.is_err(), "it was not its turn");
    drop(first);
    let read = second.read(&mut buffer).await.unwrap();
    assert!(buffer[..read].ends_with(b"open"));
}
