//! The primary's users and their migrations on disk: `users.sqlite` in the logger's directory.
//!
//! [`Users`] holds the database and answers at once: whoever calls must be allowed to wait for the
//! disk. Each change is one transaction, durable when the call returns; one that fails has changed
//! nothing. Access data is encrypted ([`cipher`]) and never read back, except to encrypt it anew.

pub mod cipher;
mod group;
mod marks;
mod profiles;
mod rows;

use std::path::{Path, PathBuf};

use rusqlite::{Connection, TransactionBehavior};
use thiserror::Error;

pub use self::cipher::{Key, Keyring};
pub use self::marks::{MarkFilter, Refused, Totals};
pub use super::sqlite::StoreError;

use self::cipher::{Opened, Place};
use super::sqlite::{self, Schema, classify};
use crate::migration::identity::{McId, Service, SystemName};
use crate::migration::profile::UserId;
use crate::wire::time::Timestamp;

/// The database of users.
#[derive(Debug)]
pub struct Users {
    db: Connection,
    path: PathBuf,
    keys: Keyring,
    /// Migrations that began by then have ended earlier ones of their users.
    settled: Timestamp,
    writes: u64,
    /// A transaction around several changes is open.
    grouped: bool,
}

/// Why something was not done; nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum UsersError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The keys do not fit what is stored.
    #[error("{0}")]
    Key(String),
    /// Access data cannot be kept without a key.
    #[error("access data cannot be kept: this logger has no users.key_file")]
    NoKey,
    /// There is no such user.
    #[error("there is no user with this name")]
    UnknownUser,
    /// There is no such migration.
    #[error("there is no migration with this number")]
    UnknownMark,
    /// Another user has this ID.
    #[error("{id} is the {service} ID of user {holder} already")]
    IdInUse {
        /// The service.
        service: Service,
        /// The ID.
        id: McId,
        /// Who has it.
        holder: UserId,
    },
    /// The user is migrated, and its IDs are needed.
    #[error("{0} is migrated: end its migrations before it loses an ID")]
    Migrated(UserId),
    /// There is no access data that could stay.
    #[error("profile {profile} has no access data for {system} that could stay as it is")]
    NothingToKeep {
        /// Index of the profile.
        profile: u32,
        /// The partner system.
        system: SystemName,
    },
}

impl Users {
    /// Opens or makes `users.sqlite` in this folder. What former keys have encrypted is encrypted
    /// with the current one.
    ///
    /// # Errors
    /// The file cannot be used, or access data is there and its key is missing or wrong.
    pub fn open(dir: &Path, keys: Keyring, now: Timestamp) -> Result<Self, UsersError> {
        let path = dir.join(FILE_NAME);
        let db = sqlite::open(&path, SCHEMA)?;
        let mut users = Self {
            db,
            path,
            keys,
            settled: Timestamp::default(),
            writes: 0,
            grouped: false,
        };
        // What is deleted is overwritten, so that no former ciphertext stays behind.
        users.set("secure_delete", "ON")?;
        users.set("foreign_keys", "ON")?;
        users.renew()?;
        users.settle(now)?;
        users.prune()?;
        Ok(users)
    }

    fn set(&self, pragma: &str, value: &str) -> Result<(), UsersError> {
        let set = self.db.pragma_update(None, pragma, value);
        set.map_err(|error| self.failed(&error))
    }

    /// Checks all access data, and encrypts with the current key what a former one has encrypted.
    fn renew(&mut self) -> Result<(), UsersError> {
        let found = rows::access(&self.db).map_err(|error| self.failed(&error))?;
        let mut renewed = Vec::new();
        for row in found {
            let row = row.map_err(|reason| self.damaged(reason))?;
            let place = Place {
                user: &row.user,
                profile: row.profile,
                partner: &row.partner,
            };
            let whose = || format!("of {} in profile {}", row.user, row.profile);
            match self.keys.open(&row.sealed, &place) {
                Opened::Current => {}
                Opened::Former(secret) => {
                    let key = self.keys.current.as_ref().ok_or_else(|| self.missing())?;
                    let sealed = key.seal(&secret, &place).ok_or(UsersError::NoKey)?;
                    renewed.push((row, sealed));
                }
                Opened::OtherKey if self.keys.current.is_none() => return Err(self.missing()),
                Opened::OtherKey => {
                    return Err(UsersError::Key(format!(
                        "users.key_file is not the key of the access data in {}: name that key \
                         there, or in users.previous_key_files to encrypt everything anew",
                        self.path.display()
                    )));
                }
                Opened::Damaged => {
                    return Err(self.damaged(format!("access data {} was altered", whose())));
                }
            }
        }
        if renewed.is_empty() {
            return Ok(());
        }
        self.transaction(|transaction| {
            for (row, sealed) in &renewed {
                rows::set_access(transaction, row, sealed)?;
            }
            Ok(())
        })?;
        // The log still holds pages of before.
        let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)";
        let done = self.db.query_row(checkpoint, [], |_| Ok(()));
        done.map_err(|error| self.failed(&error))
    }

    fn missing(&self) -> UsersError {
        UsersError::Key(format!(
            "{} holds access data: users.key_file must name the key that encrypted it",
            self.path.display()
        ))
    }

    /// All or nothing; durable at once, or within a group (`Users::tell_all`) with all of it.
    fn transaction<T>(
        &mut self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, UsersError> {
        let path = self.path.clone();
        let whole = || {
            if self.grouped {
                let part = self.db.savepoint()?;
                let result = work(&part)?;
                part.commit()?;
                return Ok(result);
            }
            let transaction = self
                .db
                .transaction_with_behavior(TransactionBehavior::Immediate)?;
            let result = work(&transaction)?;
            transaction.commit()?;
            Ok(result)
        };
        whole().map_err(|error| classify(&path, &error).into())
    }

    fn failed(&self, error: &rusqlite::Error) -> UsersError {
        classify(&self.path, error).into()
    }

    fn damaged(&self, reason: String) -> UsersError {
        let path = self.path.clone();
        StoreError::Damaged { path, reason }.into()
    }
}

const FILE_NAME: &str = "users.sqlite";

const SCHEMA: Schema = Schema {
    application: 0x4857_5553, // "HWUS"
    steps: &["CREATE TABLE user (id TEXT PRIMARY KEY) STRICT;
        CREATE TABLE user_id (
            user TEXT NOT NULL REFERENCES user ON DELETE CASCADE,
            service TEXT NOT NULL,
            mc_id TEXT NOT NULL,
            PRIMARY KEY (service, mc_id),
            UNIQUE (user, service)
        ) STRICT;
        CREATE TABLE profile (
            user TEXT NOT NULL REFERENCES user ON DELETE CASCADE,
            number INTEGER NOT NULL,
            PRIMARY KEY (user, number)
        ) STRICT;
        CREATE TABLE profile_partner (
            user TEXT NOT NULL,
            number INTEGER NOT NULL,
            system TEXT NOT NULL,
            access BLOB,                      -- encrypted; null: none
            PRIMARY KEY (user, number, system),
            FOREIGN KEY (user, number) REFERENCES profile ON DELETE CASCADE
        ) STRICT;
        CREATE TABLE mark (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            user TEXT NOT NULL,
            service TEXT NOT NULL,
            primary_id TEXT NOT NULL,
            primary_system TEXT NOT NULL,
            partner_system TEXT NOT NULL,
            partner_id TEXT NOT NULL,
            record INTEGER NOT NULL,
            sequence INTEGER NOT NULL,
            profile_index INTEGER,
            trigger_by TEXT NOT NULL,
            since INTEGER NOT NULL,           -- nanoseconds since 1970
            told_until INTEGER,               -- the same; as the partner told it
            until INTEGER,                    -- the same; null: not ended
            ended_by TEXT,
            accepted INTEGER NOT NULL,
            UNIQUE (partner_system, service, primary_id, record)
        ) STRICT;
        CREATE INDEX mark_user ON mark (service, primary_id, since);
        CREATE INDEX mark_name ON mark (user);
        CREATE INDEX mark_partner ON mark (partner_system, service, partner_id);
        CREATE INDEX mark_since ON mark (since);
        CREATE INDEX mark_until ON mark (until);
        CREATE TABLE refusal (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            told_by TEXT NOT NULL,
            service TEXT NOT NULL,
            primary_id TEXT NOT NULL,
            primary_system TEXT NOT NULL,
            partner_system TEXT NOT NULL,
            partner_id TEXT NOT NULL,
            record INTEGER NOT NULL,
            sequence INTEGER NOT NULL,
            profile_index INTEGER,
            trigger_by TEXT NOT NULL,
            since INTEGER NOT NULL,
            told_until INTEGER,
            reason TEXT NOT NULL,
            times INTEGER NOT NULL,
            first INTEGER NOT NULL,
            last INTEGER NOT NULL,
            UNIQUE (told_by, partner_system, service, primary_id, record)
        ) STRICT;
        CREATE INDEX refusal_last ON refusal (last);"],
};

#[cfg(test)]
mod tests;
