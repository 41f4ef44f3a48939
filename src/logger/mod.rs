//! The primary's side: receives mirrored media, keeps it in the archive, and makes a recording
//! of each call when it has ended.
//!
//! [`service::Service`] is the whole of it; `homeward run` embeds one, `homeward logger` is one.

pub mod service;
