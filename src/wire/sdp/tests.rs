//! Rules and hostile input.
