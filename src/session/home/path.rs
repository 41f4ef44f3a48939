//! Which relays media has come through, so that no two of them send it to each other in turn.
//!
//! A relay writes its identity, after those that it has found, into the SDP with which it asks a
//! media anchor to take media: `a=homeward-path:<identity> <identity> ...`, at session level. The
//! attribute passes through the rewriting of SDP as any that is not known does. What carries our
//! own identity has come back to us, and is refused.

use super::super::call::Call;
use super::super::rewrite;
use crate::wire::sdp::Session;

/// Whether the media of this description has come through us already, or through so many relays
/// that it must go in a circle.
pub(in super::super) fn is_cycle(session: &Session<'_>, own: &str) -> bool {
    let mut count = 0;
    identities(session).any(|identity| {
        count += 1;
        identity == own || count > MAX_HOPS
    })
}

/// The relays that the media of a call has come through, ourselves last.
pub(super) fn of(call: &Call, own: String) -> Vec<String> {
    let mut path: Vec<String> = Vec::new();
    let bodies = call.parties.iter().filter_map(|p| p.sdp.as_deref());
    for session in bodies.filter_map(|body| rewrite::parse(body).ok()) {
        for identity in identities(&session).take(MAX_HOPS) {
            if path.len() < MAX_HOPS && path.iter().all(|known| known != identity) {
                path.push(identity.to_owned());
            }
        }
    }
    path.push(own);
    path
}

fn identities<'a>(session: &'a Session<'_>) -> impl Iterator<Item = &'a str> {
    let values = session.attributes.iter().filter_map(|attribute| {
        let rest = attribute.raw().strip_prefix(NAME)?;
        std::str::from_utf8(rest).ok()
    });
    values.flat_map(str::split_ascii_whitespace)
}

const NAME: &[u8] = b"homeward-path:";
/// More relays than any real path has.
const MAX_HOPS: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn cycle(lines: &str) -> bool {
        let body = format!(
            "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n{lines}\
             m=audio 4000 RTP/AVP 0\r\na=homeward-path:own\r\n"
        );
        is_cycle(&rewrite::parse(body.as_bytes()).unwrap(), "own")
    }

    #[test]
    fn only_our_own_identity_at_session_level_is_a_cycle() {
        assert!(!cycle(""), "that of a media means nothing");
        assert!(!cycle("a=homeward-path:other owner ownown\r\n"));
        assert!(!cycle("a=homeward-path\r\na=homeward-pathology:own\r\n"));
        assert!(cycle("a=homeward-path:other  own\r\n"));
        assert!(cycle("a=homeward-path:other\r\na=homeward-path:own\r\n"));
        assert!(!cycle("a=homeward-path:\u{e9}t\u{e9}\r\n"));
    }

    #[test]
    fn a_path_without_end_is_a_cycle() {
        let long = format!("a=homeward-path:{}\r\n", "r ".repeat(MAX_HOPS));
        assert!(!cycle(&long));
        let longer = format!("a=homeward-path:{}\r\n", "r ".repeat(MAX_HOPS + 1));
        assert!(cycle(&longer));
    }
}
