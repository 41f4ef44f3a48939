//! Figures of the call journal.

use std::fmt;

use super::Snapshot;
use super::write::Writer;

/// Figures of the call journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Journal {
    /// Calls whose latest state could not be written yet.
    pub behind: u64,
    /// Attempts to write that failed.
    pub errors: u64,
    /// Rows written and taken away.
    pub written: u64,
    /// Calls of an earlier process that go on.
    pub restored: u64,
    /// Calls of an earlier process that do not.
    pub lost: u64,
}

impl Snapshot {
    pub(super) fn journal(&self, w: &mut Writer<'_>) -> fmt::Result {
        let Some(journal) = self.journal else {
            return Ok(());
        };
        w.gauge(
            "journal_behind",
            "Calls whose latest state could not be written to the journal yet",
            journal.behind,
        )?;
        w.counter(
            "journal_errors",
            "Attempts to write the call journal that failed",
            journal.errors,
        )?;
        w.counter(
            "journal_rows",
            "Rows of the call journal written or taken away",
            journal.written,
        )?;
        w.counter(
            "calls_restored",
            "Calls of an earlier process that go on",
            journal.restored,
        )?;
        w.counter(
            "calls_not_restored",
            "Calls of an earlier process that do not go on",
            journal.lost,
        )
    }
}
