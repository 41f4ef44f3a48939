//! Sockets as the workers want them.

use std::io;
use std::net::{SocketAddr, UdpSocket};

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::sys::sockopt;

/// A non-blocking UDP socket bound to `address`, for [`super::command::Command::Open`].
///
/// `tos` is the octet that carries the DSCP (IPv4 TOS, IPv6 traffic class). `receive_buffer` is
/// in octets; the kernel doubles it for its own needs, and limits it to its `rmem_max` unless the
/// process may go beyond; [`receive_buffer`] tells what came of it. An IPv6 socket takes IPv6
/// only.
///
/// # Errors
///
/// Those of the system calls: `AddrInUse`, `AddrNotAvailable`, no descriptors left. Receive time
/// stamps and the kernel's drop counter are done without if they are refused.
pub fn bind(
    address: SocketAddr,
    tos: Option<u8>,
    receive_buffer: Option<u32>,
) -> io::Result<UdpSocket> {
    let kind = Type::DGRAM.nonblocking().cloexec();
    let socket = Socket::new(Domain::for_address(address), kind, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    match (tos, address) {
        (None, _) => {}
        (Some(tos), SocketAddr::V4(_)) => socket.set_tos_v4(tos.into())?,
        (Some(tos), SocketAddr::V6(_)) => socket.set_tclass_v6(tos.into())?,
    }
    if let Some(octets) = receive_buffer {
        sockopt::force_receive_buffer(&socket, octets)?;
    }
    // Refused means less to tell, not less to carry.
    let _ = sockopt::set_receive_timestamps(&socket);
    let _ = sockopt::set_drop_counter(&socket);
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// The size of the receive buffer in octets, as the kernel counts it (with its own overhead).
pub fn receive_buffer(socket: &UdpSocket) -> io::Result<usize> {
    SockRef::from(socket).recv_buffer_size()
}

/// A socket that mirrors are sent from: any address, any port, a large send buffer.
pub(super) fn mirror(any: SocketAddr) -> io::Result<UdpSocket> {
    let kind = Type::DGRAM.nonblocking().cloexec();
    let socket = Socket::new(Domain::for_address(any), kind, Some(Protocol::UDP))?;
    if any.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    sockopt::force_send_buffer(&socket, MIRROR_BUFFER)?;
    // The kernel begins to stamp datagrams on arrival only a while after the first socket asked
    // for it. This one asks early, and stays, so that no packet of a call comes before that.
    let _ = sockopt::set_receive_timestamps(&socket);
    // Ports for media usually lie below; an older kernel may take one of them.
    let _ = sockopt::set_lowest_ephemeral_port(&socket, MIRROR_PORTS);
    socket.bind(&any.into())?;
    Ok(socket.into())
}

const MIRROR_BUFFER: u32 = 4 << 20;
const MIRROR_PORTS: u16 = 60_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_take_effect() {
        let socket = bind("127.0.0.1:0".parse().unwrap(), Some(0xb8), Some(65_536)).unwrap();
        assert_eq!(SockRef::from(&socket).tos_v4().unwrap(), 0xb8);
        assert!(receive_buffer(&socket).unwrap() >= 65_536);
        let error = socket.recv(&mut [0; 1]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);

        let socket = bind("[::1]:0".parse().unwrap(), Some(0xb8), None).unwrap();
        assert_eq!(SockRef::from(&socket).tclass_v6().unwrap(), 0xb8);
        assert!(SockRef::from(&socket).only_v6().unwrap());
    }

    #[test]
    fn both_families_can_have_one_port() {
        let v6 = bind("[::]:0".parse().unwrap(), None, None).unwrap();
        let port = v6.local_addr().unwrap().port();
        bind(SocketAddr::from(([127, 0, 0, 1], port)), None, None).unwrap();
    }

    #[test]
    fn mirrors_leave_the_ports_for_media_alone() {
        for any in ["0.0.0.0:0", "[::]:0"] {
            let socket = mirror(any.parse().unwrap()).unwrap();
            assert_ne!(socket.local_addr().unwrap().port(), 0);
            let probe = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
            if sockopt::set_lowest_ephemeral_port(&probe, MIRROR_PORTS).is_ok() {
                assert!(socket.local_addr().unwrap().port() >= MIRROR_PORTS);
            }
        }
    }

    #[test]
    fn a_taken_port_is_refused() {
        let first = bind("127.0.0.1:0".parse().unwrap(), None, None).unwrap();
        let error = bind(first.local_addr().unwrap(), None, None).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        let error = bind("192.0.2.1:0".parse().unwrap(), None, None).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
    }
}
