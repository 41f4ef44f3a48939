//! Any datagram splits into RTCP packets that lie in it, one after the other.
#![no_main]

use homeward::wire::rtcp::{check_compound, packets};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut octets = 0;
    for packet in packets(data).map_while(Result::ok) {
        let _ = (
            packet.packet_type(),
            packet.count(),
            packet.is_padded(),
            packet.ssrc(),
        );
        assert!(packet.body().len() < packet.as_bytes().len());
        octets += packet.as_bytes().len();
    }
    assert!(octets <= data.len());
    if check_compound(data).is_ok() {
        assert_eq!(octets, data.len());
    }
});
