//! Who has migrated to us: records, keyed by (service, partner ID) and (service, primary ID).

/// The registry of migrated users.
#[derive(Debug, Default)]
pub struct Registry {}
