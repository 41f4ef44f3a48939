//! Reads the anchor's answer (RFC 3264 6).

use super::{Lane, Remote};
use crate::wire::sdp;

/// A lane of an answer: its label, and where it goes unless it was refused.
pub type Taken = (String, Option<Remote>);

/// What an answer says about the lanes of an offer.
///
/// A lane is refused by port 0, and by anything but `sendrecv`: an anchor that does not send back
/// would swallow the call.
///
/// # Errors
/// Why the answer cannot be used at all: it is no session description, has other m-lines than the
/// offer, or an address that the lane's socket cannot reach.
pub fn read(body: &[u8], slots: &[(Lane, bool)]) -> Result<Vec<Taken>, String> {
    let session = sdp::parse(body).map_err(|error| format!("the answer's SDP: {error}"))?;
    if session.medias.len() != slots.len() {
        let (has, wants) = (session.medias.len(), slots.len());
        return Err(format!("the answer has {has} m-lines, the offer {wants}"));
    }
    let mut taken = Vec::with_capacity(slots.len());
    for ((lane, live), media) in slots.iter().zip(&session.medias) {
        if !live {
            continue;
        }
        taken.push((lane.label.clone(), remote(lane, media, &session)?));
    }
    Ok(taken)
}

fn remote(
    lane: &Lane,
    media: &sdp::Media<'_>,
    session: &sdp::Session<'_>,
) -> Result<Option<Remote>, String> {
    let label = &lane.label;
    if media.media_kind() != lane.info.media || media.is_rtp() != is_rtp(lane) {
        return Err(format!("lane {label}: the answer is about another media"));
    }
    if media.label().is_some_and(|given| given != label) {
        return Err(format!("lane {label}: the answer has another label"));
    }
    if media.direction(session) != sdp::Direction::SendRecv {
        return Ok(None);
    }
    let Some(rtp) = media.endpoint(session) else {
        return Ok(None);
    };
    let rtcp = match lane.rtcp {
        Some(_) if media.rtcp_mux() => return Err(format!("lane {label}: rtcp-mux not offered")),
        Some(_) => media.rtcp_endpoint(session),
        None => None,
    };
    for address in [Some(rtp), rtcp].into_iter().flatten() {
        if address.is_ipv4() != lane.rtp.is_ipv4() {
            return Err(format!("lane {label}: an address of the other family"));
        }
        if address.ip().is_unspecified() || address.ip().is_multicast() {
            return Err(format!("lane {label}: {} is no host", address.ip()));
        }
    }
    Ok(Some(Remote { rtp, rtcp }))
}

fn is_rtp(lane: &Lane) -> bool {
    sdp::Profile::of(&lane.protocol) != sdp::Profile::Other
}
