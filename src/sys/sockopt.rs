//! Socket options that socket2 lacks.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use super::{check, socklen_of};

/// Asks for the kernel's receive time with every datagram (`SO_TIMESTAMPNS`).
pub fn set_receive_timestamps(socket: &impl AsFd) -> io::Result<()> {
    set(socket, libc::SO_TIMESTAMPNS, 1)
}

/// Asks for the number of datagrams that the kernel dropped at this socket (`SO_RXQ_OVFL`).
pub fn set_drop_counter(socket: &impl AsFd) -> io::Result<()> {
    set(socket, libc::SO_RXQ_OVFL, 1)
}

/// Sets the send buffer beyond the system's limit where the process may, else up to it. Octets;
/// the kernel doubles what it is given.
pub fn force_send_buffer(socket: &impl AsFd, octets: u32) -> io::Result<()> {
    let octets = i32::try_from(octets).unwrap_or(i32::MAX);
    set(socket, libc::SO_SNDBUFFORCE, octets).or_else(|_| set(socket, libc::SO_SNDBUF, octets))
}

/// Sets the receive buffer beyond the system's limit where the process may, else up to it.
/// Octets; the kernel doubles what it is given.
pub fn force_receive_buffer(socket: &impl AsFd, octets: u32) -> io::Result<()> {
    let octets = i32::try_from(octets).unwrap_or(i32::MAX);
    set(socket, libc::SO_RCVBUFFORCE, octets).or_else(|_| set(socket, libc::SO_RCVBUF, octets))
}

/// Lets the kernel choose the port of this socket from `low` up only, as far as its own range of
/// ephemeral ports has such (`IP_LOCAL_PORT_RANGE`, Linux 6.3).
pub fn set_lowest_ephemeral_port(socket: &impl AsFd, low: u16) -> io::Result<()> {
    let range = (u32::from(u16::MAX) << 16 | u32::from(low)).cast_signed();
    set_at(socket, libc::SOL_IP, IP_LOCAL_PORT_RANGE, range)
}

fn set(socket: &impl AsFd, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    set_at(socket, libc::SOL_SOCKET, option, value)
}

fn set_at(
    socket: &impl AsFd,
    level: libc::c_int,
    option: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: `value` is readable for the length given.
    check(unsafe {
        libc::setsockopt(
            fd,
            level,
            option,
            (&raw const value).cast(),
            socklen_of::<libc::c_int>(),
        )
    })?;
    Ok(())
}

/// From linux/in.h; not in libc yet.
const IP_LOCAL_PORT_RANGE: libc::c_int = 51;

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    #[test]
    fn options_are_taken() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        set_receive_timestamps(&socket).unwrap();
        set_drop_counter(&socket).unwrap();
        force_send_buffer(&socket, 100_000).unwrap();
        force_receive_buffer(&socket, 100_000).unwrap();
        assert!(socket2::SockRef::from(&socket).recv_buffer_size().unwrap() >= 100_000);
    }

    #[test]
    fn a_pipe_has_none() {
        let file = std::fs::File::open("/dev/null").unwrap();
        assert!(set_receive_timestamps(&file).is_err());
    }
}
