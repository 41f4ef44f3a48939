//! Logs and metrics. Knows nothing of calls or packets: it is given plain numbers and names.
//!
//! Every metric is defined once, in [`metrics`], with its unit and meaning. Call-ids and user IDs
//! never become labels.

pub mod log;
pub mod metrics;
