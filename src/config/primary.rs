//! Both ends of telling a primary who has migrated: `[users]` and `[[partner]]` of its logger, and
//! the keys `tell` and `tell_token_file` of an agreement at the partner's relay.

use std::path::PathBuf;

use super::sections::{door, path, safe};
use super::walk::Table;
use super::{Announce, token};
use crate::migration::agreement::Kind;
use crate::migration::identity::{Service, SystemName};
use crate::migration::profile::Partner as Terms;
use crate::wire::network::Network;

/// Section `[users]`: the primary's half of migration, in `homeward logger`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Users {
    /// File with the key that encrypts access data; `None`: no access data.
    pub key_file: Option<PathBuf>,
    /// Files with former keys; what they have encrypted is encrypted anew.
    pub previous_key_files: Vec<PathBuf>,
}

/// One `[[partner]]`: a system that our users may migrate to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partner {
    /// What we have agreed with it.
    pub terms: Terms,
    /// File with the bearer token of its relays.
    pub token_file: PathBuf,
}

impl Partner {
    /// Reads the token file.
    ///
    /// # Errors
    /// As [`Http::token`](super::Http::token).
    pub fn token(&self) -> Result<String, String> {
        token(&self.token_file)
    }
}

/// Where the primary of an agreement is told of migrations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tell {
    /// The primary.
    pub primary: SystemName,
    /// Place of its agreement in the file.
    pub agreement: usize,
    /// Its door.
    pub door: Announce,
}

/// The section, which is there if it or a partner is.
pub(super) fn users(table: &Table<'_, '_>, partners: &[Partner]) -> Option<Users> {
    let key_file = path(table, "key_file");
    let previous = table.list("previous_key_files", |text| match text {
        "" => Err("expected paths".to_owned()),
        text if text.contains('\0') => Err("expected paths".to_owned()),
        text => Ok(PathBuf::from(text)),
    });
    let previous_key_files = previous.unwrap_or_default();
    if !previous_key_files.is_empty() && !table.has("key_file") {
        let text = "there is no key_file with the key to encrypt with from now on";
        table.mistake("previous_key_files", text);
    }
    if key_file
        .as_ref()
        .is_some_and(|key| previous_key_files.contains(key))
    {
        table.mistake(
            "previous_key_files",
            "names key_file, which is not a former key",
        );
    }
    let wanted = table.is_present() || !partners.is_empty();
    wanted.then_some(Users {
        key_file,
        previous_key_files,
    })
}

/// All `[[partner]]`s.
pub(super) fn partners(
    root: &Table<'_, '_>,
    relay: &Table<'_, '_>,
    own: &SystemName,
) -> Vec<Partner> {
    let tables = root.tables("partner");
    if !tables.is_empty() && !relay.has("system") {
        let text = "relay.system is missing: partners need the name of our own MC system";
        relay.mistake("system", text);
    }
    let mut partners: Vec<Partner> = Vec::new();
    for (place, table) in tables.into_iter().enumerate() {
        if place == MAX_PARTNERS {
            table.mistake("", format!("more than {MAX_PARTNERS} of them"));
        }
        if let Some(partner) = partner(&table, own) {
            let system = &partner.terms.system;
            if partners.iter().any(|former| former.terms.system == *system) {
                table.mistake("system", format!("{system} is a partner already"));
            }
            partners.push(partner);
        }
        table.finish();
    }
    partners
}

fn partner(table: &Table<'_, '_>, own: &SystemName) -> Option<Partner> {
    let system: Option<SystemName> = table.parse("system");
    if !table.has("system") {
        table.mistake("system", "missing: the name of the other MC system");
    }
    if system.as_ref() == Some(own) {
        table.mistake("system", "is this system itself");
    }
    let token_file = path(table, "token_file");
    if !table.has("token_file") {
        let text = "missing: by its token a partner's relay is known, and can speak for no other";
        table.mistake("token_file", text);
    }
    let kind = table.word("kind").unwrap_or(Kind::Bilateral);
    let services = table.words("services");
    if services.as_ref().is_some_and(Vec::is_empty) {
        table.mistake("services", "must name at least one service");
    }
    let all = || vec![Service::Mcptt, Service::Mcvideo, Service::Mcdata];
    let mut services = services.unwrap_or_else(all);
    services.sort_unstable();
    services.dedup();
    let interconnected = table.boolean("interconnected").unwrap_or(false);
    Some(Partner {
        terms: Terms {
            system: system?,
            kind,
            services,
            interconnected,
        },
        token_file: token_file?,
    })
}

/// Where the primary of an agreement is told; `None` if it is not.
pub(super) fn tell(
    table: &Table<'_, '_>,
    agreement: usize,
    primary: Option<&SystemName>,
    plain: &[Network],
) -> Option<Tell> {
    let text = table.string("tell");
    let token_file = path(table, "tell_token_file");
    match (table.has("tell"), table.has("tell_token_file")) {
        (true, false) => {
            let text = "tell_token_file is missing: the primary must know who tells it";
            table.mistake("tell", text);
        }
        (false, true) => {
            let text = "there is no tell = \"http://...\" that it could be for";
            table.mistake("tell_token_file", text);
        }
        (true, true) | (false, false) => {}
    }
    let address = door(text?).map_err(|error| table.mistake("tell", error));
    let address = address.ok()?;
    if !safe(address.ip(), plain) {
        let text = format!(
            "identities and the token would go to {} unprotected: name the network in \
             relay.plain_networks",
            address.ip()
        );
        table.mistake("tell", text);
    }
    Some(Tell {
        primary: primary?.clone(),
        agreement,
        door: Announce {
            address,
            token_file: Some(token_file?),
        },
    })
}

const MAX_PARTNERS: usize = 1_000;
