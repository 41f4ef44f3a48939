//! Users and their profiles.

use rusqlite::{Connection, OptionalExtension, params};

use super::cipher::Place;
use super::rows::{self, signed};
use super::{Users, UsersError};
use crate::migration::identity::{McId, Service};
use crate::migration::profile::{User, UserId};
use crate::migration::secret::REDACTED;
use crate::wire::time::Timestamp;

impl Users {
    /// Stores a user in place of what was stored by its name. Access data that reads `[redacted]`
    /// stays as it is. True if the user is new.
    ///
    /// # Errors
    /// The reason; nothing was changed.
    pub fn put_user(&mut self, user: &User, now: Timestamp) -> Result<bool, UsersError> {
        let former = self.user(&user.id)?;
        for (service, id) in &user.ids {
            if let Some(holder) = self
                .holder(*service, id)?
                .filter(|holder| *holder != user.id)
            {
                return Err(UsersError::IdInUse {
                    service: *service,
                    id: id.clone(),
                    holder,
                });
            }
        }
        for (service, id) in former.iter().flat_map(|former| &former.ids) {
            if user.ids.get(service) != Some(id) && self.is_migrated(*service, id, now)? {
                return Err(UsersError::Migrated(user.id.clone()));
            }
        }
        let access = self.sealed(user)?;
        self.transaction(|transaction| put(transaction, user, &access))?;
        Ok(former.is_none())
    }

    /// A user by its name; its access data is shown as `[redacted]`.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn user(&self, id: &UserId) -> Result<Option<User>, UsersError> {
        let user = rows::user(&self.db, id).map_err(|error| self.failed(&error))?;
        user.transpose().map_err(|reason| self.damaged(reason))
    }

    /// The user with this ID for this service.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn user_of(&self, service: Service, id: &McId) -> Result<Option<User>, UsersError> {
        match self.holder(service, id)? {
            Some(name) => self.user(&name),
            None => Ok(None),
        }
    }

    /// Users by name, those after `after`, at most so many.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn users(&self, after: Option<&UserId>, limit: u32) -> Result<Vec<User>, UsersError> {
        let names = || {
            let mut select = self
                .db
                .prepare_cached("SELECT id FROM user WHERE id > ?1 ORDER BY id LIMIT ?2")?;
            let after = after.map_or("", UserId::as_str);
            let names = select.query_map(params![after, limit], |row| row.get::<_, String>(0))?;
            names.collect::<rusqlite::Result<Vec<String>>>()
        };
        let names = names().map_err(|error| self.failed(&error))?;
        let mut users = Vec::with_capacity(names.len());
        for name in names {
            let name: UserId = name.parse().map_err(|reason| self.damaged(reason))?;
            users.extend(self.user(&name)?);
        }
        Ok(users)
    }

    /// Deletes a user with its profiles and access data. Ended migrations stay as history.
    ///
    /// # Errors
    /// The reason; nothing was changed.
    pub fn delete_user(&mut self, id: &UserId, now: Timestamp) -> Result<(), UsersError> {
        let user = self.user(id)?.ok_or(UsersError::UnknownUser)?;
        for (service, mc_id) in &user.ids {
            if self.is_migrated(*service, mc_id, now)? {
                return Err(UsersError::Migrated(user.id));
            }
        }
        self.transaction(|transaction| {
            let delete = "DELETE FROM user WHERE id = ?1";
            transaction.execute(delete, [id.as_str()]).map(|_| ())
        })
    }

    fn holder(&self, service: Service, id: &McId) -> Result<Option<UserId>, UsersError> {
        let select = "SELECT user FROM user_id WHERE service = ?1 AND mc_id = ?2";
        let key = params![service.as_str(), id.as_str()];
        let found: rusqlite::Result<Option<String>> =
            self.db.query_row(select, key, |row| row.get(0)).optional();
        let found = found.map_err(|error| self.failed(&error))?;
        let parsed = found.map(|name| name.parse()).transpose();
        parsed.map_err(|reason| self.damaged(reason))
    }

    /// Whether a migration with this ID is in force or will be.
    fn is_migrated(&self, service: Service, id: &McId, now: Timestamp) -> Result<bool, UsersError> {
        let select = "SELECT EXISTS (SELECT 1 FROM mark WHERE service = ?1 AND primary_id = ?2 \
                      AND (until IS NULL OR until > ?3))";
        let key = params![service.as_str(), id.as_str(), signed(now)];
        let found = self.db.query_row(select, key, |row| row.get(0));
        found.map_err(|error| self.failed(&error))
    }

    /// The access data of all profiles, encrypted, in their order.
    fn sealed(&self, user: &User) -> Result<Vec<Option<Vec<u8>>>, UsersError> {
        let mut all = Vec::new();
        for profile in &user.profiles {
            for partner in &profile.partners {
                let place = Place {
                    user: &user.id,
                    profile: profile.index,
                    partner: &partner.system,
                };
                all.push(match &partner.access {
                    None => None,
                    Some(stays) if stays.expose() == REDACTED => Some(self.kept(&place)?),
                    Some(secret) => {
                        let key = self.keys.current.as_ref().ok_or(UsersError::NoKey)?;
                        Some(key.seal(secret, &place).ok_or(UsersError::NoKey)?)
                    }
                });
            }
        }
        Ok(all)
    }

    fn kept(&self, place: &Place<'_>) -> Result<Vec<u8>, UsersError> {
        let found = rows::sealed(&self.db, place).map_err(|error| self.failed(&error))?;
        found.ok_or_else(|| UsersError::NothingToKeep {
            profile: place.profile,
            system: place.partner.clone(),
        })
    }
}

fn put(transaction: &Connection, user: &User, access: &[Option<Vec<u8>>]) -> rusqlite::Result<()> {
    let name = user.id.as_str();
    transaction.execute("DELETE FROM user WHERE id = ?1", [name])?;
    transaction.execute("INSERT INTO user VALUES (?1)", [name])?;
    for (service, id) in &user.ids {
        let insert = "INSERT INTO user_id VALUES (?1, ?2, ?3)";
        transaction.execute(insert, params![name, service.as_str(), id.as_str()])?;
    }
    let mut access = access.iter();
    for profile in &user.profiles {
        let insert = "INSERT INTO profile VALUES (?1, ?2)";
        transaction.execute(insert, params![name, profile.index])?;
        put_partners(transaction, name, profile, &mut access)?;
    }
    Ok(())
}

fn put_partners<'a>(
    db: &Connection,
    user: &str,
    profile: &crate::migration::profile::Profile,
    access: &mut impl Iterator<Item = &'a Option<Vec<u8>>>,
) -> rusqlite::Result<()> {
    for partner in &profile.partners {
        let sealed = access.next().and_then(Option::as_ref);
        let insert = "INSERT INTO profile_partner VALUES (?1, ?2, ?3, ?4)";
        db.execute(
            insert,
            params![user, profile.index, partner.system.as_str(), sealed],
        )?;
    }
    Ok(())
}
