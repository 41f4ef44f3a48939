//! The sockets of SIP: drives an [`Agent`] over UDP.

use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::ReadBuf;
use tokio::net::UdpSocket;
use tokio::time::{sleep, timeout};
use tracing::debug;

use crate::sys::clock::Clock;
use crate::wire::sip::{Agent, Hop, MAX_MESSAGE};

/// UDP sockets with a buffer for what arrives.
#[derive(Debug)]
pub(super) struct Sockets {
    sockets: Vec<(SocketAddr, UdpSocket)>,
    buffer: Vec<u8>,
    /// Where to look first, so that no socket starves the others.
    turn: usize,
}

impl Sockets {
    /// Bound to these addresses. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// The first address that cannot be bound.
    pub(super) fn bind(addresses: &[SocketAddr]) -> io::Result<Self> {
        let mut sockets = Vec::with_capacity(addresses.len());
        for address in addresses {
            let socket = std::net::UdpSocket::bind(address)?;
            socket.set_nonblocking(true)?;
            sockets.push((socket.local_addr()?, UdpSocket::from_std(socket)?));
        }
        Ok(Self {
            sockets,
            // One more, to tell a datagram that is too long.
            buffer: vec![0; MAX_MESSAGE + 1],
            turn: 0,
        })
    }

    /// A socket to send to `peer` from: bound to `local`, or else to the address that the system
    /// would choose, and any port.
    ///
    /// # Errors
    /// The address cannot be bound, or there is no way to the peer.
    pub(super) fn towards(peer: SocketAddr, local: Option<SocketAddr>) -> io::Result<Self> {
        if let Some(local) = local {
            return Self::bind(&[local]);
        }
        let any = match peer {
            SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        };
        let probe = std::net::UdpSocket::bind(any)?;
        probe.connect(peer)?;
        Self::bind(&[SocketAddr::new(probe.local_addr()?.ip(), 0)])
    }

    /// The local addresses.
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        self.sockets.iter().map(|(address, _)| *address).collect()
    }

    /// The way to a peer.
    pub(super) fn hop(&self, peer: SocketAddr) -> Hop {
        let local = self.sockets.first().map_or(peer, |(local, _)| *local);
        Hop { local, peer }
    }

    /// The next datagram; it stands in the buffer. Cancel safe.
    async fn receive(&mut self) -> (Hop, usize) {
        poll_fn(|context| self.poll(context)).await
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<(Hop, usize)> {
        self.turn = self.turn.wrapping_add(1);
        let count = self.sockets.len();
        for place in 0..count {
            let (local, socket) = &self.sockets[(self.turn + place) % count];
            loop {
                let mut buffer = ReadBuf::new(&mut self.buffer);
                match socket.poll_recv_from(context, &mut buffer) {
                    Poll::Ready(Ok(peer)) => {
                        let hop = Hop {
                            local: *local,
                            peer,
                        };
                        return Poll::Ready((hop, buffer.filled().len()));
                    }
                    // An error of a datagram that was sent before: the other side is not there.
                    Poll::Ready(Err(error)) => debug!(%error, "SIP"),
                    Poll::Pending => break,
                }
            }
        }
        Poll::Pending
    }

    /// Sends all that an agent has to say. What the socket does not take is lost, as in any
    /// network: the agent says it again.
    pub(super) fn flush(&self, agent: &mut impl Agent) {
        while let Some(transmit) = agent.poll_transmit() {
            let local = transmit.hop.local;
            let socket = self.sockets.iter().find(|(address, _)| *address == local);
            if let Some((_, socket)) = socket
                && let Err(error) = socket.try_send_to(&transmit.bytes, transmit.hop.peer)
            {
                debug!(%error, to = %transmit.hop.peer, "SIP cannot be sent");
            }
        }
    }

    /// Waits for a datagram or for the agent's time, whichever comes first, and hands it over.
    /// Cancel safe.
    pub(super) async fn step(&mut self, agent: &mut impl Agent, clock: Clock) {
        let wait = agent.poll_timeout().map(|at| at.since(clock.now()));
        tokio::select! {
            (hop, length) = self.receive() => {
                agent.receive(hop, &self.buffer[..length], clock.now());
            }
            () = sleep(wait.unwrap_or(IDLE)) => agent.handle_timeout(clock.now()),
        }
        self.flush(agent);
    }

    /// Ends all dialogs, and waits a moment for the other sides to confirm it.
    pub(super) async fn finish(&mut self, agent: &mut impl Agent, clock: Clock) {
        agent.shutdown(clock.now());
        self.flush(agent);
        let all = async {
            while !agent.is_idle() {
                self.step(agent, clock).await;
            }
        };
        let _ = timeout(LAST_WAIT, all).await;
    }
}

/// Longest wait without a reason.
const IDLE: Duration = Duration::from_secs(60);
/// How long the other sides may take to confirm the end.
const LAST_WAIT: Duration = Duration::from_secs(2);
