//! Architecture: what the parts are, who owns what, and what happens to a packet.
//!
//! # The problem
//!
//! A user of one mission-critical (MC) system, the *primary*, may migrate to another, the
//! *partner*, and is then served there (3GPP TS 23.280 5.2.9.1). The primary still wants the calls
//! of its user logged at home. Homeward runs beside the partner's MC server, carries the media of
//! its calls, and copies what belongs to migrated users to the primary's loggers.
//!
//! # Words
//!
//! | word | meaning |
//! | --- | --- |
//! | migration | the record that says a user of one service is served here: its ID at home, its ID here, its primary system, its functional aliases, since when and until when |
//! | agreement | what was settled with one primary system: services, media kinds, session types, loggers, what to do when no logger takes a call |
//! | call | all that shares a call-id: its legs and what signalling has told about it (the *context*) |
//! | leg | one party of a call, with its description (SDP), its sockets, and the addresses learned from its packets |
//! | stream | one direction of one media of one leg: what arrives on one local socket |
//! | mirror | the copy of a migrated leg's media for one logger |
//!
//! # The parts
//!
//! ```text
//!  proxy, MC server                                   the primary's logger
//!     | NG       | HTTP                                      ^
//!     v          v                                           | plain RTP
//!  +-----------------------+   attach, detach    +-----------+-----------+
//!  | hook -> session core  | ------------------> | mirror                |
//!  |         migration     |                     +-----------------------+
//!  +-----------------------+                                 ^
//!     | commands ^ events                                    | copies
//!     v          |                                           |
//!  +-------------------------------------------------------------------+
//!  | plane: one thread a core; receive, check, learn, count, send on   |
//!  +-------------------------------------------------------------------+
//! ```
//!
//! - [`crate::wire`]: formats. Views over bytes that were received; nothing is serialised again
//!   on its way through.
//! - [`crate::migration`]: who has migrated, what was agreed, and the decision that follows. Pure:
//!   the same arguments give the same decision, with its reason.
//! - [`crate::session`]: the truth about calls. Pure as well: requests and events in, replies and
//!   commands out, time as an argument.
//! - [`crate::plane`]: sockets, packet buffers, and all state that changes with each packet. Each
//!   worker owns its flows; it takes no lock, allocates nothing and logs nothing per packet.
//! - [`crate::sys`]: system calls, the one place with `unsafe` and the one place with a clock.
//! - [`crate::hook`]: NG and HTTP. Translates and validates, holds no state of calls.
//! - [`crate::mirror`] and [`crate::logger`]: the two ends of the way home.
//! - [`crate::store`]: SQLite. [`crate::config`], [`crate::telemetry`], [`crate::admin`],
//!   [`crate::cli`]: the surface for operators. [`crate::traffic`]: plays and checks calls.
//! - [`crate::runtime`]: threads and queues that tie the parts together.
//!
//! Who may use whom is held by `tests/layering.rs`.
//!
//! # A call, step by step
//!
//! 1. The proxy sends `offer`: the core makes a call and a leg, takes ports for each media, and
//!    gives back the description with the relay's addresses in it. `answer` does the same for the
//!    other leg ([`super::control`]).
//! 2. With the call's context the core looks each party up among the migrations, and decides for
//!    each leg whether its media goes home ([`crate::migration::decision`]). The decision and its
//!    reason stay with the call; `explain` shows them.
//! 3. A worker receives a packet. It checks that it came from where the leg's media is expected,
//!    learns the address once if the leg is behind a translation of addresses, counts, and sends
//!    the same octets to the other leg. If the leg goes home, the same octets go to the logger too.
//! 4. The logger appends what it receives to its archive, and closes a recording when the call has
//!    ended: one pcapng file, which Wireshark opens.
//!
//! # Promises
//!
//! - **The call comes first.** A logger that is slow, dead or hostile delays no packet of a call.
//! - **Octets are not touched.** What is sent on and what is copied is what was received, so media
//!   that is protected end to end stays readable for those who hold the keys.
//! - **Deny by default.** Media is copied only where a migration and an agreement say so. Legs of
//!   users who have not migrated are never copied on their own account: a recording holds what the
//!   migrated user sent and what was sent on to that user.
//! - **Everything is bounded**: queues, buffers, parsers. What does not fit is dropped and counted
//!   by reason.
