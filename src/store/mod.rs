//! The embedded SQLite database: migration registry, recordings index.

pub mod index;
