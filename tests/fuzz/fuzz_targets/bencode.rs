//! Any bytes decode to a value or an error; what was decoded is written again and read the same.
#![no_main]

use homeward::wire::bencode::decode;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok((value, taken)) = decode(data) else {
        return;
    };
    assert!(taken <= data.len());
    let mut encoded = Vec::new();
    value.encode_into(&mut encoded);
    let (again, length) = decode(&encoded).expect("what was written can be read");
    assert_eq!((&again, length), (&value, encoded.len()));
    assert_eq!(value.clone().into_owned(), value);
});
