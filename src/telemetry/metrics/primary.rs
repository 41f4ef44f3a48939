//! Figures of the primary's half of migration, in `homeward logger`.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::write::{Labels, Writer};

/// What a scrape of the primary shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Primary {
    /// Users of the system.
    pub users: u64,
    /// Migrations that have not ended.
    pub marks: u64,
    /// Tellings of partners since the start, by what became of them.
    pub tellings: Vec<(&'static str, u64)>,
    /// Those that were refused, by reason.
    pub refused: Vec<(&'static str, u64)>,
}

impl Primary {
    /// The metrics as OpenMetrics text.
    ///
    /// # Errors
    /// None in practice: texts are written to memory.
    pub fn render(self) -> Result<String, fmt::Error> {
        let mut registry = prometheus_client::registry::Registry::with_prefix("homeward");
        registry.register_collector(Box::new(self));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry)?;
        Ok(text)
    }
}

impl Collector for Primary {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut w = Writer::new(encoder);
        w.gauge("users", "Users of this system", self.users)?;
        w.gauge("marks", "Migrations that have not ended", self.marks)?;
        let rows = |rows: &[(&'static str, u64)], label: &'static str| {
            let rows = rows.iter();
            let rows = rows.map(move |(word, count)| (Labels::one(label, *word), *count));
            rows.collect::<Vec<_>>()
        };
        w.counters(
            "migrations_told",
            "Tellings of partners' relays, by what became of them",
            rows(&self.tellings, "result"),
        )?;
        w.counters(
            "migrations_refused",
            "Tellings that were refused, by reason",
            rows(&self.refused, "reason"),
        )
    }
}
