//! Any datagram splits into floor control messages that lie in it, and every getter is total.
#![no_main]

use homeward::wire::floor::messages;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut octets = 0;
    for message in messages(data).map_while(Result::ok) {
        octets += message.as_bytes().len();
        let _ = (
            message.name(),
            message.subtype(),
            message.ssrc(),
            message.label(),
        );
        let _ = (message.floor(), message.wants_ack(), message.check_fields());
        let _ = (
            message.granted_party(),
            message.user_id(),
            message.functional_alias(),
        );
        let _ = (
            message.audio_ssrc(),
            message.priority(),
            message.duration_secs(),
        );
        let _ = (
            message.sequence(),
            message.indicator(),
            message.reject_cause(),
        );
        assert!(message.fields().count() <= message.as_bytes().len());
    }
    assert!(octets <= data.len());
});
