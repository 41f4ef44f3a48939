//! Any bytes decode to a value or an error; what was decoded is written again and read the same.
#![no_main]

use homeward::wire::bencode::decode;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(value) = decode(data) else { return };
    let mut encoded = Vec::new();
    value.encode_into(&mut encoded);
    assert_eq!(decode(&encoded).as_ref(), Ok(&value));
    assert_eq!(value.clone().into_owned(), value);
});
