//! Home legs by SIP: the relay's client against the reference media anchor, message by message in
//! virtual time, with media over real sockets; and the client against anchors that misbehave.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a helper of a test fails its test; sockets live in real time"
)]

mod calls;
mod hostile;
mod world;
