//! The manual: long-form documentation, one page a topic.

pub mod load;
