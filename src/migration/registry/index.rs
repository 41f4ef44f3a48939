//! One index of the registry: identity to records.

use std::collections::HashMap;

use smallvec::SmallVec;

use super::super::identity::{McId, Service};
use super::super::record::RecordId;

/// Records by an identity. Keyed by the identity alone, so that a look-up without a service is as
/// cheap as one with it. The standard hasher is keyed: peers choose these names.
#[derive(Debug, Default)]
pub(super) struct Index(HashMap<McId, SmallVec<[(Service, RecordId); 1]>>);

impl Index {
    /// What is known under the identity, in the order it was added.
    pub(super) fn get(&self, id: &McId) -> &[(Service, RecordId)] {
        self.0.get(id).map_or(&[], SmallVec::as_slice)
    }

    pub(super) fn add(&mut self, id: &McId, service: Service, record: RecordId) {
        let entry = (service, record);
        match self.0.get_mut(id) {
            Some(found) if found.contains(&entry) => {}
            Some(found) => found.push(entry),
            None => {
                self.0.insert(id.clone(), SmallVec::from_iter([entry]));
            }
        }
    }

    pub(super) fn remove(&mut self, id: &McId, record: RecordId) {
        let Some(found) = self.0.get_mut(id) else {
            return;
        };
        found.retain(|(_, other)| *other != record);
        if found.is_empty() {
            self.0.remove(id);
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
