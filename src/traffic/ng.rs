//! A client of the NG control protocol over UDP, one request at a time: what a SIP proxy does.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use super::plan::NG_TRIES;
use crate::sys::clock::Clock;
use crate::wire::bencode::{self, Dict, Value};

/// A client with a socket of its own.
#[derive(Debug)]
pub struct NgClient {
    socket: UdpSocket,
    daemon: SocketAddr,
    timeout: Duration,
    prefix: u32,
    count: u64,
    buffer: Vec<u8>,
    /// Repeats of requests that were needed so far.
    pub repeats: u64,
}

/// Why a request came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum NgError {
    /// The daemon said no, with this text.
    #[error("{0}")]
    Refused(String),
    /// No reply, however often asked.
    #[error("no answer from {0} after {NG_TRIES} tries")]
    Silent(SocketAddr),
    /// The reply is not what the protocol says.
    #[error("the reply cannot be read: {0}")]
    BadReply(String),
    /// The socket failed.
    #[error("socket: {0}")]
    Io(#[from] io::Error),
}

impl NgClient {
    /// A client of the daemon at this address; a request is repeated after `timeout`.
    ///
    /// # Errors
    ///
    /// The socket cannot be made.
    pub fn new(daemon: SocketAddr, timeout: Duration) -> io::Result<Self> {
        let any: IpAddr = match daemon {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect(daemon)?;
        Ok(Self {
            socket,
            daemon,
            timeout: timeout.max(Duration::from_millis(1)),
            prefix: rand::random(),
            count: 0,
            buffer: vec![0; 65_536],
            repeats: 0,
        })
    }

    /// Sends a request and gives the reply to it, whose `result` is `ok` or `pong`.
    ///
    /// The same octets, cookie included, are sent again when no reply came in time, as proxies
    /// do (NG reference 3).
    ///
    /// # Errors
    ///
    /// [`NgError`].
    pub fn request(&mut self, request: &Dict<'_>) -> Result<Dict<'static>, NgError> {
        self.count += 1;
        let mut message = format!("{:08x}_{} ", self.prefix, self.count).into_bytes();
        let cookie = message.len();
        request.encode_into(&mut message);
        for attempt in 0..NG_TRIES {
            self.repeats += u64::from(attempt > 0);
            match self.socket.send(&message) {
                // The daemon may be about to start: the report of a closed port counts as
                // silence.
                Err(error) if error.kind() != io::ErrorKind::ConnectionRefused => {
                    return Err(error.into());
                }
                Ok(_) | Err(_) => {}
            }
            if let Some(len) = self.receive(&message[..cookie])? {
                return read_reply(&self.buffer[cookie..len]);
            }
        }
        Err(NgError::Silent(self.daemon))
    }

    /// Waits for the reply with this cookie; replies to earlier requests are passed over.
    fn receive(&mut self, cookie: &[u8]) -> io::Result<Option<usize>> {
        let end = Clock::monotonic() + self.timeout;
        loop {
            let left = end.saturating_sub(Clock::monotonic());
            if left.is_zero() {
                return Ok(None);
            }
            self.socket.set_read_timeout(Some(left))?;
            match self.socket.recv(&mut self.buffer) {
                Ok(len) if self.buffer[..len].starts_with(cookie) => return Ok(Some(len)),
                Ok(_) => {}
                Err(error) if is_timeout(&error) => return Ok(None),
                // Nobody listens, yet: the time of this try runs on.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

fn read_reply(payload: &[u8]) -> Result<Dict<'static>, NgError> {
    let (value, _) = bencode::decode(payload).map_err(|e| NgError::BadReply(e.to_string()))?;
    let Value::Dict(reply) = value else {
        return Err(NgError::BadReply("not a dictionary".to_owned()));
    };
    let text = |key: &str| reply.get(key).and_then(Value::as_text);
    match text("result") {
        Some("ok" | "pong") => Ok(reply.into_owned()),
        Some("load limit") => Err(NgError::Refused(
            text("message").unwrap_or("load limit").to_owned(),
        )),
        Some(_) => Err(NgError::Refused(
            text("error-reason").unwrap_or("no reason given").to_owned(),
        )),
        None => Err(NgError::BadReply("no result in it".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_judged_by_their_result() {
        assert!(read_reply(b"d6:result4:ponge").is_ok());
        let refused = |payload| read_reply(payload).unwrap_err().to_string();
        assert_eq!(
            refused(b"d12:error-reason15:Unknown call-id6:result5:errore"),
            "Unknown call-id"
        );
        assert_eq!(
            refused(b"d7:message30:Parallel session limit reached6:result10:load limite"),
            "Parallel session limit reached"
        );
        for payload in [&b"i5e"[..], b"de", b"d6:resulti1ee", b"", b"d6:result"] {
            assert!(matches!(read_reply(payload), Err(NgError::BadReply(_))));
        }
    }

    #[test]
    fn silence_is_told_after_five_tries() {
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        let daemon = silent.local_addr().unwrap();
        let mut client = NgClient::new(daemon, Duration::from_millis(5)).unwrap();
        let error = client.request(&Dict::new().with("command", "ping"));
        assert!(matches!(error, Err(NgError::Silent(at)) if at == daemon));
        let mut copies = Vec::new();
        silent.set_nonblocking(true).unwrap();
        let mut buffer = [0; 100];
        while let Ok(len) = silent.recv(&mut buffer) {
            copies.push(buffer[..len].to_vec());
        }
        assert_eq!(copies.len(), 5);
        assert!(copies.iter().all(|copy| *copy == copies[0]));
        assert!(copies[0].ends_with(b" d7:command4:pinge"));
    }
}
