//! # Redirect
//!
//! With `mode = "redirect"` the media of migrated users goes through a media anchor of their
//! primary system, and comes back from there before it goes on: as received, octet by octet.
//!
//! ```toml
//! [[anchor]]
//! name = "gate"
//! transport = "static"
//! address = "203.0.113.9"
//! ports = [50000, 50999]
//! allow_plaintext = true
//! [[agreement]]
//! primary = "primary.example"
//! mode = "redirect"
//! anchors = ["gate"]
//! loggers = ["hq"]
//! ```
//!
//! ## What goes through home
//!
//! - For each primary system of a call whose agreement says redirect there is one *home leg*, with
//!   one *lane* for each direction of each media in scope: what the migrated user sends, and what
//!   is forwarded to that user. Each lane has an even and an odd port of its own on the interface
//!   that the anchor names; media that is not RTP uses the even one only.
//! - A stream between two migrated users of one primary goes home once. One between users of two
//!   primaries goes through that of its sender; the other gets a copy at its loggers, and `explain`
//!   says so.
//! - Hold changes nothing. Media that is added or removed, and parties that come and go, add and
//!   remove lanes; the others go on undisturbed. Ports that are renewed keep their lane.
//! - Where signalling may stop or pause what goes home, and does so, the call goes straight.
//!
//! ## The call comes first
//!
//! No SDP answer waits for an anchor. As soon as both ends of a media are known the anchor is
//! asked; until it has answered the media goes straight, and is copied to the agreement's loggers.
//! The same holds for lanes that the anchor refuses, for those that no local port was free for, and
//! while no anchor takes the home leg. `loggers = []` is allowed: then what goes straight is not
//! recorded, and `explain` says so. The recording at the logger stays open as long as the call is
//! redirected; it has just what went straight, and may be empty.
//!
//! Anchors are asked in the order of the agreement, also when one gives a home leg up in mid-call.
//! If none is left, all are tried again after 1 s, and then after pauses that double up to 60 s.
//! Interface, `unreachable_after` and `return_after` are those of the preferred anchor, whoever
//! takes the home leg.
//!
//! ## Bypass and return
//!
//! If packets were sent home on a lane for `unreachable_after` and none came back, the lane is
//! bypassed: packets go straight, and are copied to the loggers from the moment at which this is
//! noticed. Those that went home before and did not come back are counted (`unanswered`, `lost`);
//! they are the price of the switch. Silence is no reason: nothing is expected back that was not
//! sent. A copy of each packet goes on going home; when such copies have come back for
//! `return_after`, packets go through home again. What comes back of packets that went straight is
//! dropped (`late-home`), as is what comes twice (`home-duplicate`) or is not what was sent there
//! (`home-altered`).
//!
//! While something is bypassed, the anchor is asked every 10 s whether it still has the home leg: by
//! a re-INVITE with the same description. One that was started anew says that it knows nothing of it
//! (481), and is asked for a new home leg; one that says nothing for 10 s has given it up.
//!
//! ## Static anchors
//!
//! A static anchor sends each datagram back to where it came from, out of the port it came to. Each
//! lane has a pair of its ports, even for RTP and datagrams, odd for RTCP; the relay alone gives
//! them out. If they run out the next anchor is tried.
//!
//! ## No circles
//!
//! An SDP with which the relay asks an anchor carries `a=homeward-path:` at session level: the
//! identities of the relays that the media has come through, our own last. An offer or answer that
//! carries our own identity is refused, as is one with more than 32 of them, with the text
//! `Media comes through this relay already: the redirect is a cycle`. Relays that point at each
//! other by static addresses cannot see that; each then gets packets that it never sent, drops
//! them, and bypasses the other.
//!
//! ## What can be seen
//!
//! - `explain` and the view of a call: `homes`, with the state (`idle`, `pending`, `up`, `failed`
//!   with reason and next try), each lane (`through`, `pending`, `refused`, `bypassed`, `no-port`,
//!   `failed`), its addresses, packets sent, returned and lost, and drops by reason.
//! - Metrics: `homeward_homes{state}`, `homeward_home_failures_total`,
//!   `homeward_home_bypasses_total`, `homeward_home_returns_total`,
//!   `homeward_home_packets_sent_total`, `homeward_home_packets_returned_total`, and
//!   `homeward_home_packets_lost`, which falls again if one comes late. What returns is not among
//!   `homeward_packets_received_total` and `homeward_packets_forwarded_total`: it was counted when
//!   the party sent it. What home sends amiss is among `homeward_packets_dropped_total`.
//! - The log names primaries that fail, are lost, and come back; at debug level each call.
