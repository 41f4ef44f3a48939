//! Handing the sockets of a running relay to the process that replaces it, so that no packet of a
//! call is lost in between: what arrives meanwhile waits in the sockets.
//!
//! The old process listens on a Unix socket in its data directory, open to its own user only. The
//! new one (`homeward run --take-over`) connects and says hello; the old one then stops serving,
//! writes its journal, passes every socket, closes its files and says that it is done. Only then
//! does the new one open the data directory. If the old process dies on the way, the new one goes
//! on with what it was given: the journal tells the rest.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustc_hash::FxHashMap;
use thiserror::Error;

use crate::sys::descriptors::{self, AT_ONCE};

/// The sockets of a relay.
#[derive(Debug, Default)]
pub(super) struct Parcel {
    /// Media sockets, by local address.
    pub(super) media: FxHashMap<SocketAddr, UdpSocket>,
    /// Sockets that NG requests come in on.
    pub(super) ng: Vec<UdpSocket>,
    /// Sockets that HTTP connections come in on.
    pub(super) http: Vec<TcpListener>,
}

/// Why a running relay could not be replaced.
#[derive(Debug, Error)]
pub(super) enum TakeOverError {
    /// Nobody is there.
    #[error("no relay listens at {}", .0.display())]
    Nobody(PathBuf),
    /// It is there, and something went wrong before it gave up its sockets: it goes on.
    #[error("the running relay did not hand over: {0}")]
    Refused(io::Error),
}

/// Where the old process listens.
pub(super) fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("handover.sock")
}

/// Opens the socket in the data directory; one that a dead process has left is replaced.
///
/// # Errors
///
/// The socket cannot be made: calls are not touched by that, but sockets cannot be handed over.
pub(super) fn listen(data_dir: &Path) -> io::Result<tokio::net::UnixListener> {
    let path = path(data_dir);
    if path.exists() {
        std::fs::remove_file(&path)?;
    }
    let listener = tokio::net::UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Waits for a successor that says hello; others are sent away.
pub(super) async fn wait(listener: &tokio::net::UnixListener) -> UnixStream {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let Ok(stream) = stream.into_std() else {
            continue;
        };
        match tokio::task::spawn_blocking(move || greet(stream)).await {
            Ok(Ok(stream)) => return stream,
            Ok(Err(error)) => {
                tracing::warn!(%error, "somebody asked for the relay's sockets, and was sent away")
            }
            Err(_) => {}
        }
    }
}

/// The old side of the greeting.
fn greet(stream: UnixStream) -> io::Result<UnixStream> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let peer = rustix::net::sockopt::socket_peercred(&stream)?;
    let own =
        std::fs::metadata("/proc/self").map(|meta| std::os::unix::fs::MetadataExt::uid(&meta))?;
    if peer.uid.as_raw() != own && peer.uid.as_raw() != 0 {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let mut hello = [0; HELLO.len()];
    (&stream).read_exact(&mut hello)?;
    match hello == *HELLO {
        true => Ok(stream),
        false => {
            (&stream).write_all(&[REFUSED, 0])?;
            Err(io::Error::other("it speaks another version"))
        }
    }
}

/// Passes the sockets on; they are closed here afterwards.
///
/// # Errors
///
/// The successor is gone: the sockets are closed all the same.
pub(super) fn pass(stream: &UnixStream, parcel: Parcel) -> io::Result<()> {
    let media: Vec<UdpSocket> = parcel.media.into_values().collect();
    pass_kind(stream, MEDIA, media.iter().map(AsFd::as_fd))?;
    pass_kind(stream, NG, parcel.ng.iter().map(AsFd::as_fd))?;
    pass_kind(stream, HTTP, parcel.http.iter().map(AsFd::as_fd))
}

fn pass_kind<'a>(
    stream: &UnixStream,
    kind: u8,
    sockets: impl Iterator<Item = BorrowedFd<'a>>,
) -> io::Result<()> {
    let sockets: Vec<BorrowedFd<'_>> = sockets.collect();
    for chunk in sockets.chunks(AT_ONCE) {
        let count = u8::try_from(chunk.len()).unwrap_or(u8::MAX);
        descriptors::send(stream, &[kind, count], chunk)?;
    }
    Ok(())
}

/// Says that the data directory is free.
///
/// # Errors
///
/// The successor is gone.
pub(super) fn done(stream: &UnixStream) -> io::Result<()> {
    (&*stream).write_all(&[DONE, 0])
}

/// The new side: asks the relay of this data directory for its sockets, and returns when it has
/// closed its files.
///
/// # Errors
///
/// There is none, or it goes on.
pub(super) fn take_over(data_dir: &Path) -> Result<Parcel, TakeOverError> {
    let path = path(data_dir);
    let Ok(stream) = UnixStream::connect(&path) else {
        return Err(TakeOverError::Nobody(path));
    };
    let ready = stream
        .set_read_timeout(Some(PATIENCE))
        .and_then(|()| (&stream).write_all(HELLO));
    ready.map_err(TakeOverError::Refused)?;
    let mut parcel = Parcel::default();
    let mut any = false;
    loop {
        let mut header = [0; 2];
        let arrived = match descriptors::receive(&stream, &mut header) {
            Ok(arrived) => arrived,
            Err(error) if !any => return Err(TakeOverError::Refused(error)),
            Err(error) => {
                tracing::warn!(%error, "the former relay died while it handed over");
                return Ok(parcel);
            }
        };
        match header[0] {
            REFUSED if !any => {
                let reason = io::Error::other("it is of another version");
                return Err(TakeOverError::Refused(reason));
            }
            DONE => return Ok(parcel),
            kind => {
                any = true;
                parcel.add(kind, arrived);
            }
        }
    }
}

impl Parcel {
    fn add(&mut self, kind: u8, arrived: Vec<OwnedFd>) {
        for descriptor in arrived {
            match kind {
                HTTP => self.http.push(descriptor.into()),
                NG => self.ng.push(descriptor.into()),
                _ => {
                    let socket = UdpSocket::from(descriptor);
                    if let Ok(address) = socket.local_addr() {
                        self.media.insert(address, socket);
                    }
                }
            }
        }
    }
}

/// The first words of the successor, with the version of what follows.
const HELLO: &[u8; 10] = b"homeward 1";
const MEDIA: u8 = 1;
const NG: u8 = 2;
const HTTP: u8 = 3;
const DONE: u8 = 9;
const REFUSED: u8 = 10;
/// How long either side may be silent. The old one closes its recordings in this time.
const PATIENCE: Duration = Duration::from_secs(30);
/// After a connection that could not be accepted.
const PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    /// An old process that hands `parcel` over.
    fn old(dir: &Path, parcel: Parcel) -> std::thread::JoinHandle<()> {
        let (tell, listening) = std::sync::mpsc::channel();
        let dir = dir.to_owned();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.unwrap().block_on(async {
                let listener = listen(&dir).unwrap();
                tell.send(()).unwrap();
                let stream = wait(&listener).await;
                pass(&stream, parcel).unwrap();
                done(&stream).unwrap();
            });
        });
        listening.recv().unwrap();
        thread
    }

    fn udp() -> UdpSocket {
        UdpSocket::bind("127.0.0.1:0").unwrap()
    }

    #[test]
    fn every_socket_arrives_where_it_belongs() {
        let dir = tempfile::tempdir().unwrap();
        let mut parcel = Parcel::default();
        for _ in 0..300 {
            let socket = udp();
            parcel.media.insert(socket.local_addr().unwrap(), socket);
        }
        parcel.ng.push(udp());
        parcel.http.push(TcpListener::bind("127.0.0.1:0").unwrap());
        let mut media: Vec<SocketAddr> = parcel.media.keys().copied().collect();
        let (ng, http) = (
            parcel.ng[0].local_addr().unwrap(),
            parcel.http[0].local_addr().unwrap(),
        );
        let old = old(dir.path(), parcel);
        let taken = take_over(dir.path()).unwrap();
        old.join().unwrap();
        let mut arrived: Vec<SocketAddr> = taken.media.keys().copied().collect();
        arrived.sort_unstable();
        media.sort_unstable();
        assert_eq!(arrived, media);
        assert_eq!(taken.ng[0].local_addr().unwrap(), ng);
        assert_eq!(taken.http[0].local_addr().unwrap(), http);
    }

    #[test]
    fn strangers_and_silence_disturb_nothing() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(
            take_over(dir.path()),
            Err(TakeOverError::Nobody(_))
        ));
        let old = old(dir.path(), Parcel::default());
        let stranger = UnixStream::connect(path(dir.path())).unwrap();
        (&stranger).write_all(b"GET / HTTP").unwrap();
        let mut answer = [0; 2];
        (&stranger).read_exact(&mut answer).unwrap();
        assert_eq!(answer[0], REFUSED);
        drop(UnixStream::connect(path(dir.path())).unwrap());
        take_over(dir.path()).unwrap();
        old.join().unwrap();
    }

    #[test]
    fn only_the_owner_may_ask() {
        let dir = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(async {
            drop(std::fs::write(path(dir.path()), "left by a dead process"));
            let _listener = listen(dir.path()).unwrap();
            let mode = std::fs::metadata(path(dir.path()))
                .unwrap()
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o600);
        });
    }
}
