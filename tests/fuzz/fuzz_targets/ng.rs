//! Any datagram is an NG message or an error; whatever a message asks is understood or refused;
//! and what was read can be written and read again.
#![no_main]

use homeward::hook::ng::command::{is_ping, translate};
use homeward::hook::ng::message::Message;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(message) = Message::parse(data) else {
        return;
    };
    let _ = is_ping(&message.dict);
    let _ = translate(&message.dict);
    let written = message.encode();
    let again = Message::parse(&written).expect("what was written can be read");
    assert_eq!(again.cookie, message.cookie);
    assert_eq!(again.encode(), written);
});
