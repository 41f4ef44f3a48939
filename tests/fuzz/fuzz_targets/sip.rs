//! Any datagram is a SIP message or an error; whatever is asked is answered with messages that can
//! be read; and any body is an answer to an offer, or an error.
#![no_main]

use homeward::mirror::sip::read;
use homeward::wire::sip::{Event, Hop, Response, Timing, Transactions, parse};
use homeward::wire::time::Timestamp;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let hop = Hop {
        local: ([127, 0, 0, 1], 5_070).into(),
        peer: ([192, 0, 2, 7], 5_080).into(),
    };
    let mut transactions = Transactions::new([7; 32], Timing::default(), 8);
    let now = Timestamp::from_secs(1_000);
    if transactions.receive(hop, data, now).is_ok() {
        let message = parse(data).expect("it was read before");
        let _ = read(&message.body, &[]);
    }
    while let Some(event) = transactions.poll_event() {
        if let Event::Request { tx, .. } = event {
            let mut response = Response::new(200, "OK");
            response.tag = Some("t".to_owned());
            transactions.respond(tx, &response, now);
        }
    }
    while let Some(transmit) = transactions.poll_transmit() {
        parse(&transmit.bytes).expect("what was written can be read");
    }
});
