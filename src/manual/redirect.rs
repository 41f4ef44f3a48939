//! # Redirect
//!
//! With `mode = "redirect"` the media of migrated users goes through a media anchor of their
//! primary system, and comes back from there before it goes on.
