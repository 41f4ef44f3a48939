//! Many tellings with one wait for the disk: what comes while another is being written is stored
//! together with what else came.

use super::{Users, UsersError};
use crate::migration::mark::Outcome;
use crate::migration::profile::Partner;
use crate::migration::telling::Telling;
use crate::wire::time::Timestamp;

impl Users {
    /// Takes these tellings in their order, as [`Users::tell`] takes each. What is said of one is
    /// durable when this returns; if they cannot be stored together, each is tried alone, so that
    /// one that fails spoils no other.
    pub fn tell_all(
        &mut self,
        tellings: &[(Option<Partner>, Telling)],
        now: Timestamp,
    ) -> Vec<Result<Outcome, UsersError>> {
        if tellings.len() > 1
            && let Some(outcomes) = self.together(tellings, now)
        {
            return outcomes.into_iter().map(Ok).collect();
        }
        let each = tellings.iter();
        each.map(|(partner, telling)| self.tell(partner.as_ref(), telling, now))
            .collect()
    }

    /// All in one transaction; `None`: nothing was changed.
    fn together(
        &mut self,
        tellings: &[(Option<Partner>, Telling)],
        now: Timestamp,
    ) -> Option<Vec<Outcome>> {
        let settled = self.settled;
        self.db.execute_batch("BEGIN IMMEDIATE").ok()?;
        self.grouped = true;
        let mut outcomes = Vec::with_capacity(tellings.len());
        for (partner, telling) in tellings {
            let told = self.tell(partner.as_ref(), telling, now);
            match told {
                // A full disk can end the transaction under our feet (SQLite, "Response To Errors
                // Within A Transaction").
                Ok(outcome) if !self.db.is_autocommit() => outcomes.push(outcome),
                Ok(_) | Err(_) => break,
            }
        }
        self.grouped = false;
        let whole = outcomes.len() == tellings.len();
        if whole && self.db.execute_batch("COMMIT").is_ok() {
            return Some(outcomes);
        }
        if !self.db.is_autocommit() {
            // If not even this works the next BEGIN fails, and says so.
            let _ = self.db.execute_batch("ROLLBACK");
        }
        self.settled = settled;
        None
    }
}
