//! A client of an HTTP door: one connection, one request after the other, bounded in time and in
//! what is read.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, anyhow};
use axum::body::Body;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Request as HttpRequest, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A connection to a door.
#[derive(Debug)]
pub struct Client {
    sender: SendRequest<Body>,
    /// What the header `Host` says.
    host: String,
    token: Option<String>,
    max_answer: usize,
}

/// What a door has answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// All of its body.
    pub body: Vec<u8>,
}

impl Client {
    /// Connects within five seconds. Requests show this token, if any; longer answers than
    /// `max_answer` octets are errors.
    ///
    /// # Errors
    /// Nobody listens there, or the system refuses.
    pub async fn connect(
        address: SocketAddr,
        token: Option<String>,
        max_answer: usize,
    ) -> io::Result<Self> {
        let connecting = timeout(PATIENCE, TcpStream::connect(address));
        let stream = connecting.await.map_err(|_| late())??;
        stream.set_nodelay(true)?;
        let shaken = http1::handshake(TokioIo::new(stream)).await;
        let (sender, connection) = shaken.map_err(io::Error::other)?;
        // What goes wrong shows at the request that waits for it.
        tokio::spawn(async { drop(connection.await) });
        Ok(Self {
            sender,
            host: address.to_string(),
            token,
            max_answer,
        })
    }

    /// One request; a body that is not empty is JSON. The answer must have come within `patience`.
    ///
    /// # Errors
    /// The path is none, the connection broke, or no answer came in time.
    pub async fn ask(
        &mut self,
        method: &str,
        path: &str,
        body: String,
        patience: Duration,
    ) -> Result<Answer> {
        let mut builder = HttpRequest::builder()
            .method(method)
            .uri(path)
            .header(HOST, &self.host);
        if !body.is_empty() {
            builder = builder.header(CONTENT_TYPE, "application/json");
        }
        if let Some(token) = &self.token {
            builder = builder.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = builder.body(Body::from(body))?;
        let asking = async {
            self.sender.ready().await?;
            let response = self.sender.send_request(request).await?;
            let (head, body) = response.into_parts();
            let body = axum::body::to_bytes(Body::new(body), self.max_answer).await?;
            anyhow::Ok(Answer {
                status: head.status,
                body: body.to_vec(),
            })
        };
        timeout(patience, asking)
            .await
            .map_err(|_| anyhow!(late()))?
    }
}

fn late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "no answer in time")
}

/// For connecting, and good for most answers.
pub const PATIENCE: Duration = Duration::from_secs(5);
