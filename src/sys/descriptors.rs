//! Passing open descriptors to another process over a Unix socket (`SCM_RIGHTS`, unix(7)).
//!
//! A message is a few bytes and at most [`AT_ONCE`] descriptors; what the bytes say about them is
//! the caller's matter. A message never mixes with the next one as long as both sides use whole
//! messages of the same length.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

/// Descriptors that one message can carry; the kernel takes 253.
pub const AT_ONCE: usize = 128;

/// Sends `bytes` and copies of `descriptors`.
///
/// # Errors
///
/// Those of sendmsg(2); `InvalidInput` for too many descriptors, or no bytes: descriptors travel
/// with bytes only.
pub fn send(to: &UnixStream, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    if descriptors.len() > AT_ONCE || bytes.is_empty() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(AT_ONCE))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let parts = [IoSlice::new(bytes)];
    let sent = sendmsg(to.as_fd(), &parts, &mut control, SendFlags::NOSIGNAL)?;
    match bytes.get(sent..) {
        None | Some([]) => Ok(()),
        // The descriptors have gone with the first byte.
        Some(rest) => io::Write::write_all(&mut &*to, rest),
    }
}

/// Fills `bytes`, and gives the descriptors that came along. They are closed in programs that
/// this process starts.
///
/// # Errors
///
/// Those of recvmsg(2); `UnexpectedEof` if the other side closed before.
pub fn receive(from: &UnixStream, bytes: &mut [u8]) -> io::Result<Vec<OwnedFd>> {
    let mut descriptors = Vec::new();
    let mut filled = 0;
    while let Some(room) = bytes.get_mut(filled..).filter(|room| !room.is_empty()) {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(AT_ONCE))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut parts = [IoSliceMut::new(room)];
        let flags = RecvFlags::CMSG_CLOEXEC;
        let received = recvmsg(from.as_fd(), &mut parts, &mut control, flags)?;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                descriptors.extend(rights);
            }
        }
        if received.bytes == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        filled += received.bytes;
    }
    Ok(descriptors)
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn sockets_arrive_with_what_waits_in_them() {
        let (left, right) = UnixStream::pair().unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        peer.send_to(b"before", address).unwrap();
        send(&left, b"one", &[socket.as_fd()]).unwrap();
        drop(socket);
        peer.send_to(b"between", address).unwrap();
        let mut bytes = [0; 3];
        let mut arrived = receive(&right, &mut bytes).unwrap();
        assert_eq!((&bytes, arrived.len()), (b"one", 1));
        let socket = UdpSocket::from(arrived.remove(0));
        let mut buffer = [0; 16];
        for expected in [&b"before"[..], b"between"] {
            let length = socket.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], expected);
        }
    }

    #[test]
    fn messages_keep_apart_and_an_end_is_told() {
        let (left, right) = UnixStream::pair().unwrap();
        let null = std::fs::File::open("/dev/null").unwrap();
        send(&left, b"a1", &vec![null.as_fd(); AT_ONCE]).unwrap();
        send(&left, b"b2", &[]).unwrap();
        let too_many = send(&left, b"c3", &vec![null.as_fd(); AT_ONCE + 1]);
        assert_eq!(too_many.unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert!(send(&left, b"", &[null.as_fd()]).is_err());
        drop(left);
        let mut bytes = [0; 2];
        assert_eq!(receive(&right, &mut bytes).unwrap().len(), AT_ONCE);
        assert_eq!(&bytes, b"a1");
        assert!(receive(&right, &mut bytes).unwrap().is_empty());
        assert_eq!(&bytes, b"b2");
        let end = receive(&right, &mut bytes).unwrap_err();
        assert_eq!(end.kind(), io::ErrorKind::UnexpectedEof);
    }
}
