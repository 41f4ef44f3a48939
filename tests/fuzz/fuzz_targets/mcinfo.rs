//! Any text is an MC info document or an error; nothing that was read is longer than the text.
#![no_main]

use homeward::wire::mcinfo::parse;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(info) = parse(data) else { return };
    let texts = [
        info.session_type,
        info.request_uri,
        info.calling_user_id,
        info.called_party_id,
    ];
    assert!(
        texts
            .into_iter()
            .flatten()
            .map(|text| text.len())
            .sum::<usize>()
            <= data.len()
    );
});
