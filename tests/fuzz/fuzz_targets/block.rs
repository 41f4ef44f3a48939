//! Any bytes are a block or an error; a body behind a right checksum is read to its end or to an
//! error, and what its frames hold lies in it.
#![no_main]

use homeward::wire::block::{Block, Frame, Header, MAGIC, VERSION};
use libfuzzer_sys::fuzz_target;
use xxhash_rust::xxh3::Xxh3Default;

fuzz_target!(|data: &[u8]| {
    read(data);
    if let Some(block) = repaired(data) {
        assert!(Block::parse(&block).is_ok());
        read(&block);
    }
});

fn read(data: &[u8]) {
    let Ok(block) = Block::parse(data) else {
        return;
    };
    assert!(block.bytes().len() <= data.len());
    let mut octets = 0;
    for frame in block.frames().map_while(Result::ok) {
        match frame {
            Frame::Packet(packet) => octets += packet.bytes.len(),
            Frame::Event(event) => {
                octets += event.json.len();
                let _ = event.decode();
            }
        }
    }
    assert!(octets <= data.len());
}

/// The input with the fields made right that a mutation can hardly get right by chance.
fn repaired(data: &[u8]) -> Option<Vec<u8>> {
    let body = u32::try_from(data.len().checked_sub(Header::LEN)?).ok()?;
    let mut block = data.to_vec();
    block[..4].copy_from_slice(&MAGIC);
    block[4..6].copy_from_slice(&VERSION.to_le_bytes());
    block[28..32].copy_from_slice(&body.to_le_bytes());
    let mut checksum = Xxh3Default::new();
    checksum.update(&block[..88]);
    checksum.update(&block[Header::LEN..]);
    let checksum = checksum.digest();
    block[88..96].copy_from_slice(&checksum.to_le_bytes());
    Some(block)
}
