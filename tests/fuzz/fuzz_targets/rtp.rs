//! Any datagram is an RTP packet or not; the parts of one lie in it, one after the other.
#![no_main]

use homeward::wire::mux::{Protocol, classify};
use homeward::wire::rtp::RtpView;
use homeward::wire::stun::is_stun;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let protocol = classify(data);
    // STUN message types above 0x03FF would be taken for others (RFC 7983 section 7).
    assert!(!is_stun(data) || data[0] > 3 || protocol == Protocol::Stun);
    let Ok(protected) = RtpView::parse_protected(data) else {
        assert!(RtpView::parse(data).is_err());
        return;
    };
    look(&protected, data);
    if let Ok(view) = RtpView::parse(data) {
        look(&view, data);
        assert!(view.payload().len() <= protected.payload().len());
    }
});

fn look(view: &RtpView<'_>, data: &[u8]) {
    let _ = (
        view.marker(),
        view.payload_type(),
        view.sequence(),
        view.timestamp(),
        view.ssrc(),
    );
    let extension = view
        .extension()
        .map_or(0, |extension| 4 + extension.data.len());
    let head = 12 + 4 * view.csrcs().count() + extension;
    assert!(head + view.payload().len() <= data.len());
    assert_eq!(view.as_bytes(), data);
}
