//! Any file is read to its end or to an error; packets are taken apart without a panic.
#![no_main]

use homeward::wire::pcapng::read::{Block, Reader};
use homeward::wire::pcapng::udp;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = udp::parse(data);
    let mut reader = Reader::new(data);
    let mut blocks = 0;
    while let Ok(Some(block)) = reader.next_block() {
        blocks += 1;
        match block {
            Block::Section(options) => {
                let _ = options.comments();
            }
            Block::Interface(interface) => {
                let _ = (
                    interface.name(),
                    interface.description(),
                    interface.options.count(),
                );
            }
            Block::Packet(packet) => {
                let _ = (packet.id(), packet.options.comments());
                let _ = udp::parse(packet.data);
            }
            _ => {}
        }
    }
    // Each block states its length twice and its type once.
    assert!(blocks <= data.len() / 12);
});
