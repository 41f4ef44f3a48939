//! Any text is a session or an error; what is written for the other side is a session again, with
//! as many medias.
#![no_main]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use homeward::session::options::Options;
use homeward::session::rewrite::{self, Action, MediaPlan, Memory, Plan};
use homeward::wire::sdp::{self, Session};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(session) = sdp::parse(data) else {
        return;
    };
    look(&session);
    let options = Options::default();
    for address in [
        IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::LOCALHOST),
    ] {
        let medias: Vec<MediaPlan<'_>> = session
            .medias
            .iter()
            .map(|media| MediaPlan {
                action: Action::of(media, &options),
                ..MediaPlan::relay(address, 30_000)
            })
            .collect();
        let plan = Plan {
            options: &options,
            instance: "fuzz",
            origin_address: address,
            session_id: 1,
            medias: &medias,
        };
        let Ok(written) = rewrite::write(&session, &plan, &mut Memory::default()) else {
            continue;
        };
        let again = sdp::parse(&written).expect("what was written can be read");
        assert_eq!(again.medias.len(), session.medias.len());
    }
});

fn look(session: &Session<'_>) {
    let _ = session.carries_instance("fuzz");
    for media in &session.medias {
        let _ = (
            media.codecs(),
            media.formats().count(),
            media.payload_types().count(),
        );
        let _ = (
            media.media_kind(),
            media.direction(session),
            media.endpoint(session),
        );
        let _ = (
            media.rtcp_endpoint(session),
            media.rtcp_mux(),
            media.is_held(session),
        );
        let _ = (media.mid(), media.label(), media.ptime());
    }
}
