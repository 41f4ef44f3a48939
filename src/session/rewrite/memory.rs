//! What a leg remembers of the descriptions written to it, so that `o=` and `s=` stay as one
//! author would write them (RFC 3264 8, NG reference 12.2).

use std::io::Write as _;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::Plan;
use crate::session::options::{Family, Replace};
use crate::wire::sdp::Session;

/// Memory of one leg, as the receiver of descriptions. Empty at the start; texts are kept only
/// if an option asks for them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// Address written to `o=` first.
    address: Option<IpAddr>,
    /// What was written last.
    last: Option<Written>,
    fixed: Option<Box<Fixed>>,
}

/// The version that was written, and a hash of everything but it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Written {
    version: u64,
    digest: u64,
}

/// First values of what is fixed, each from the first message that asked for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Fixed {
    user: Option<Box<str>>,
    id: Option<Box<str>>,
    name: Option<Box<[u8]>>,
}

impl Memory {
    /// Writes `o=` but for the version, and returns the place where that belongs.
    pub(super) fn write_origin(
        &mut self,
        out: &mut Vec<u8>,
        session: &Session<'_>,
        plan: &Plan<'_>,
    ) -> usize {
        let replace = plan.options.replace;
        let origin = session.origin;
        let (mut user, id_text);
        let mut id = match origin {
            Some(origin) => {
                user = origin.user;
                origin.id
            }
            None => {
                user = "-";
                id_text = plan.session_id.to_string();
                &id_text
            }
        };
        let own_address = *self.address.get_or_insert(plan.origin_address);
        if replace.username || replace.origin_full {
            let fixed = self.fixed.get_or_insert_default();
            user = fixed.user.get_or_insert_with(|| user.into());
            if replace.origin_full {
                id = fixed.id.get_or_insert_with(|| id.into());
            }
        }
        out.extend_from_slice(b"o=");
        out.extend_from_slice(user.as_bytes());
        out.push(b' ');
        out.extend_from_slice(id.as_bytes());
        out.push(b' ');
        let hole = out.len();
        match origin.filter(|_| !replace.origin && !replace.origin_full) {
            Some(origin) => {
                out.extend_from_slice(b" IN ");
                out.extend_from_slice(origin.family.as_bytes());
                out.push(b' ');
                out.extend_from_slice(origin.address.as_bytes());
                out.extend_from_slice(b"\r\n");
            }
            None => {
                let family = Family::of(own_address).as_str();
                // Writing to a `Vec` cannot fail.
                let _ = write!(out, " IN {family} {own_address}\r\n");
            }
        }
        hole
    }

    /// The session name to write.
    pub(super) fn session_name<'m>(
        &'m mut self,
        session: &Session<'m>,
        replace: Replace,
    ) -> &'m [u8] {
        // A session without a meaningful name has "-" (RFC 8866 5.3).
        let name = session.name.unwrap_or(b"-");
        if !replace.session_name || name.len() > MAX_NAME {
            return name;
        }
        let fixed = self.fixed.get_or_insert_default();
        fixed.name.get_or_insert_with(|| name.into())
    }

    /// Puts the version into its place, once all else is written, and remembers both.
    pub(super) fn write_version(
        &mut self,
        out: &mut Vec<u8>,
        hole: usize,
        session: &Session<'_>,
        replace: Replace,
    ) {
        let digest = xxh3_64(out);
        let theirs = session.origin.map(|origin| origin.version);
        let number = theirs.and_then(|text| text.parse().ok()).unwrap_or(1);
        let ours = replace.sdp_version || replace.origin_full || replace.force_increment_sdp_ver;
        let changed = self.last.is_some_and(|last| last.digest != digest);
        let version = match self.last {
            Some(last) if ours || theirs.is_none() => {
                let step = u64::from(changed || replace.force_increment_sdp_ver);
                last.version.saturating_add(step)
            }
            Some(_) => number,
            None => number.saturating_add(u64::from(replace.force_increment_sdp_ver)),
        };
        self.last = Some(Written { version, digest });
        let text;
        let digits = match theirs.filter(|_| !ours) {
            Some(theirs) => theirs,
            None => {
                text = version.to_string();
                &text
            }
        };
        out.splice(hole..hole, digits.bytes());
    }
}

/// Longest session name that is remembered, in octets; a longer one goes through as it came.
const MAX_NAME: usize = 512;
