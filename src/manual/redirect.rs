//! # Redirect
//!
//! With `mode = "redirect"` the media of migrated users goes through a media anchor of their
//! primary system, and comes back from there before it goes on.
//!
//! ## What passes
//!
//! A packet of a party goes out of the socket that faces home, as it came in. It goes on to the
//! other party when the anchor sends it back, octet for octet, and only then:
//!
//! - another packet than one that was sent there is dropped as `home-altered`, RTP with a known
//!   SSRC and sequence number but other contents too;
//! - one that has come back before is dropped as `home-duplicate`;
//! - one that went straight meanwhile (see below) is dropped as `late-home`;
//! - whatever comes from elsewhere than the anchor is dropped as `stranger`.
//!
//! The relay remembers the last 1,024 packets of an audio stream, 4,096 of a video stream, 256 of
//! RTCP or floor control, which is some seconds of each. What comes back later than that is
//! `home-altered`. A relay that was started anew does not know what its predecessor sent home, so
//! that what was on its way then is lost.
//!
//! Loggers get what the parties send, never what comes back.
//!
//! ## When home does not answer
//!
//! Home is unreachable when at least three packets were sent there for longer than
//! `unreachable_after`, and none came back. Silence of the parties does not count: after a pause
//! longer than `unreachable_after` the time starts anew. Only of a stream that sends less often
//! than that (RTCP, floor control) three packets in a row without an answer are enough. What was
//! altered or came twice is no answer.
//!
//! Then packets go straight to the other party, and a copy of each goes home to see whether it
//! comes back. When copies have come back for `return_after`, packets go through home again. Each
//! answer stands for the time since the one before, but for no more than `unreachable_after`, so
//! that pauses of the parties prove nothing; copies sent for longer than that without an answer
//! start the proof anew. No packet reaches a party twice in either switch, and none gets lost in
//! the switch back. What got lost before home was bypassed is counted; if some of it turns up
//! later, it goes on to the other party late, and is not lost any more.
//!
//! Each direction of each stream is watched by itself, RTCP on a port of its own too.
