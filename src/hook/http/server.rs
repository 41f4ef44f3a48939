//! The server: bounded connections, bounded times.
//!
//! `axum::serve` has neither a limit of connections nor a time-out for headers, so this accepts
//! and drives the connections itself.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};
use tower::ServiceExt;

/// Bounds of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once; further ones wait in the kernel's queue.
    pub connections: usize,
    /// The headers of a request must have come by then; also how long a connection may be idle.
    pub headers: Duration,
    /// Longest life of a connection.
    pub connection: Duration,
    /// After the shutdown signal, how long open requests may take.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 256,
            headers: Duration::from_secs(10),
            connection: Duration::from_secs(3_600),
            drain: Duration::from_secs(5),
        }
    }
}

/// Serves until `shutdown` is ready; then answers what has begun, and returns.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
) {
    let seats = u32::try_from(limits.connections.clamp(1, MAX_CONNECTIONS)).unwrap_or(1);
    let permits = Arc::new(Semaphore::new(seats as usize));
    let (stop, stopped) = watch::channel(());
    tokio::pin!(shutdown);
    loop {
        let accepted = async {
            let permit = Arc::clone(&permits).acquire_owned().await;
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            () = &mut shutdown => break,
            accepted = accepted => accepted,
        };
        match accepted {
            Ok((socket, _)) => {
                let driven = drive(socket, router.clone(), limits, stopped.clone());
                tokio::spawn(async move {
                    driven.await;
                    drop(permit);
                });
            }
            Err(error) => rest(&error).await,
        }
    }
    drop(listener);
    let _ = stop.send(());
    let _ = timeout(limits.drain, permits.acquire_many(seats)).await;
}

async fn drive(
    socket: TcpStream,
    router: Router,
    limits: Limits,
    mut stopped: watch::Receiver<()>,
) {
    let _ = socket.set_nodelay(true);
    let service =
        router.map_request(|request: Request<Incoming>| request.map(axum::body::Body::new));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.headers)
        .max_buf_size(MAX_HEADERS)
        .serve_connection(TokioIo::new(socket), TowerToHyperService::new(service));
    tokio::pin!(connection);
    tokio::select! {
        // What a client does wrong is its own matter.
        _ = &mut connection => return,
        _ = stopped.changed() => {}
        () = sleep(limits.connection) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = timeout(limits.drain, connection).await;
}

/// Out of descriptors: the next accept would fail at once as well. Other errors are those of the
/// connection, which is gone.
async fn rest(error: &io::Error) {
    if !matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    ) {
        tracing::warn!(%error, "cannot accept HTTP connections");
        sleep(Duration::from_millis(200)).await;
    }
}

const MAX_CONNECTIONS: usize = 65_536;
const MAX_HEADERS: usize = 32_768;
