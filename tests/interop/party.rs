//! What an agent sends and what reaches it.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::process::wait_for;
use crate::speech::{FRAME, Speech};

/// The RTP packets (RFC 3550 5.1) of a speech, from frame 0 on. `pauses` holds, for a frame before
/// which the party was silent, how many frames it was silent for: the time stamp goes on
/// meanwhile, the sequence number does not, and the marker says that speech begins again
/// (RFC 3551 4.1).
pub(crate) fn packets(speech: &Speech, ssrc: u32, pauses: &[(usize, u32)]) -> Vec<Vec<u8>> {
    let mut time = ssrc.rotate_left(7);
    let mut packets = Vec::new();
    for (number, frame) in speech.frames().enumerate() {
        let pause = pauses.iter().find(|(before, _)| *before == number);
        time = time.wrapping_add(pause.map_or(0, |(_, frames)| frames * 160));
        let begins = number == 0 || pause.is_some();
        let sequence = u16::try_from(number).unwrap().wrapping_add(0xFFF0);
        let mut packet = vec![0x80, if begins { 0x80 } else { 0 }];
        packet.extend_from_slice(&sequence.to_be_bytes());
        packet.extend_from_slice(&time.to_be_bytes());
        packet.extend_from_slice(&ssrc.to_be_bytes());
        packet.extend_from_slice(frame);
        packets.push(packet);
        time = time.wrapping_add(u32::try_from(FRAME).unwrap());
    }
    packets
}

/// Writes packets as a capture that SIPp plays: it takes from it the octets and the pace, the
/// addresses are its own. The pace is that of the RTP time stamps at 8 kHz.
pub(crate) fn write_pcap(file: &Path, packets: &[Vec<u8>]) {
    let mut out = Vec::new();
    let header: [u32; 6] = [0xA1B2_C3D4, 0x0004_0002, 0, 0, 65_535, 1];
    header
        .iter()
        .for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
    let first = packets.first().map_or(0, |packet| time_stamp(packet));
    for packet in packets {
        let micros = time_stamp(packet).wrapping_sub(first) * 125;
        let length = u32::try_from(ETHERNET + IPV4 + UDP + packet.len()).unwrap();
        let record = [1 + micros / 1_000_000, micros % 1_000_000, length, length];
        record
            .iter()
            .for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
        out.extend_from_slice(&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0]);
        let udp = u16::try_from(UDP + packet.len()).unwrap();
        let total = udp + u16::try_from(IPV4).unwrap();
        out.extend_from_slice(&[0x45, 0]);
        out.extend_from_slice(&total.to_be_bytes());
        out.extend_from_slice(&[0, 0, 0x40, 0, 64, 17, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1]);
        for field in [6000, 6002, udp, 0] {
            out.extend_from_slice(&field.to_be_bytes());
        }
        out.extend_from_slice(packet);
    }
    std::fs::write(file, out).unwrap();
}

const ETHERNET: usize = 14;
const IPV4: usize = 20;
const UDP: usize = 8;

fn time_stamp(packet: &[u8]) -> u32 {
    u32::from_be_bytes(packet[4..8].try_into().unwrap())
}

/// A datagram that reached a party.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    /// Who sent it.
    pub(crate) from: SocketAddr,
    /// What it held.
    pub(crate) bytes: Vec<u8>,
}

/// Takes down all that reaches a party's media port.
#[derive(Debug)]
pub(crate) struct Ear {
    stop: Arc<AtomicBool>,
    heard: Arc<Mutex<Vec<Heard>>>,
    thread: Option<JoinHandle<()>>,
}

impl Ear {
    /// Listens from now on.
    pub(crate) fn open(address: IpAddr, port: u16) -> Self {
        let socket = UdpSocket::bind((address, port)).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(50)))
            .unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (stopped, all) = (Arc::clone(&stop), Arc::clone(&heard));
        let thread = std::thread::spawn(move || {
            let mut buffer = vec![0; 65_536];
            // What has arrived is read to its end even when it is time to stop.
            loop {
                match socket.recv_from(&mut buffer) {
                    Ok((length, from)) => all.lock().unwrap().push(Heard {
                        from,
                        bytes: buffer[..length].to_vec(),
                    }),
                    Err(_) if stopped.load(Ordering::Relaxed) => return,
                    Err(_) => {}
                }
            }
        });
        Self {
            stop,
            heard,
            thread: Some(thread),
        }
    }

    /// How many datagrams have arrived by now.
    pub(crate) fn count(&self) -> usize {
        self.heard.lock().unwrap().len()
    }

    /// Waits until so many datagrams have arrived since the call began.
    ///
    /// # Panics
    /// If they do not within twenty seconds.
    pub(crate) fn wait_for(&self, count: usize) {
        let what = format!("packet {count}");
        wait_for(&what, Duration::from_secs(20), || {
            (self.count() >= count).then_some(())
        });
    }

    /// All that has arrived.
    pub(crate) fn close(mut self) -> Vec<Heard> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
        std::mem::take(&mut *self.heard.lock().unwrap())
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Checks that a party heard exactly these packets, once each, in order, from one relay port.
pub(crate) fn assert_heard(who: &str, heard: &[Heard], said: &[Vec<u8>], relay: Range<u16>) {
    let same = heard.len() == said.len()
        && heard
            .iter()
            .zip(said)
            .all(|(heard, said)| heard.bytes == *said);
    let wrong = heard
        .iter()
        .zip(said)
        .position(|(heard, said)| heard.bytes != *said);
    let (got, sent) = (heard.len(), said.len());
    assert!(
        same,
        "{who} heard {got} packets of {sent}; the first difference is at {wrong:?}"
    );
    let from = heard[0].from;
    assert!(
        heard.iter().all(|heard| heard.from == from),
        "{who} heard several senders"
    );
    assert!(
        relay.contains(&from.port()),
        "{who} heard {from}, which is not the relay"
    );
}
