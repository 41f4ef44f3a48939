//! What operators look at: health, metrics, state of calls.
