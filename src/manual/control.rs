//! Control: how a SIP proxy drives the relay, and tells it who is calling.
//!
//! Homeward speaks the NG control protocol, so that the `rtpengine` module of Kamailio and
//! OpenSIPS can use it as it is. NG has no authentication: on an address beyond loopback it answers
//! only to the networks that the configuration allows.
//!
//! # Kamailio
//!
//! ```text
//! loadmodule "rtpengine.so"
//! modparam("rtpengine", "rtpengine_sock", "udp:127.0.0.1:2223")
//!
//! route[OFFER] {
//!     rtpengine_offer("replace-origin mc-service=mcptt mc-calling-id=$fu mc-called-id=$tu");
//!     t_on_reply("ANSWER");
//! }
//! onreply_route[ANSWER] {
//!     if (status =~ "^2" && has_body("application/sdp")) {
//!         rtpengine_answer("replace-origin");
//!     }
//! }
//! ```
//!
//! and `rtpengine_delete()` for `BYE`, `CANCEL` and calls that fail. Words without `=` go to the
//! daemon as flags, words with `=` as keys; a misspelt word arrives as well, and is not refused.
//! A whole script, with record routing, stands in `tests/interop/data/kamailio.cfg`: the tests
//! place real calls with it.
//!
//! # The context of a call
//!
//! These keys, in an offer or an answer, tell the relay what it cannot see in a description. None
//! is required; what a later message tells is added to what is known.
//!
//! An empty value is as good as none; a value that cannot be read refuses the request, with the key
//! and the reason.
//!
//! | key | value |
//! | --- | --- |
//! | `mc-service` | `mcptt`, `mcvideo`, `mcdata` |
//! | `mc-calling-id` | MC service ID of the party that made the first offer |
//! | `mc-called-id` | MC service ID of the party that answers; with several legs, of the one that this message is about ([how](super::migration)) |
//! | `mc-group-id` | MC group ID |
//! | `mc-session-type` | as `session-type` of TS 24.379 F.1: `private`, `prearranged`, `chat`, `first-to-answer`, `ambient-listening`, `adhoc` |
//! | `mc-functional-alias` | functional alias that the calling party uses |
//! | `mc-called-functional-alias` | functional alias under which the called party is addressed |
//! | `mc-emergency` | `yes` or `1` for an emergency call or imminent peril |
//! | `mc-info64` | the MC info document of the message (TS 24.379 F.1), in base64; what the other keys say goes before it |
//!
//! A call with no context at all is undecided, and is not mirrored. A call with context is
//! decided for each leg; how is told in [`super::operations`].
//!
//! # Users whose migration failed
//!
//! An offer that makes a leg of such a user is refused where no agreement has them served:
//! `Migration failed: <reason>`. It is no matter of load; another relay would say the same.
//!
//! # Recording
//!
//! `start recording`, `stop recording` and `pause recording` act on the mirrors of the whole call,
//! within the agreements: see [`super::migration`]. `stop recording` with the flag `pause` or with
//! `pause=yes` is a pause. `discard recording` has no effect but a `warning`: what a logger has, it
//! keeps.
//!
//! # Between networks
//!
//! `direction=NAME` twice names the interface towards the sender of the description and the one
//! towards its receiver. `address-family=IP4` or `IP6` asks for the family that the receiver is
//! given: a call between an IPv4 and an IPv6 party needs it in the offer and, the other way round,
//! in the answer.
//!
//! # Migrations
//!
//! Who has migrated is told over HTTP:
//!
//! ```text
//! POST /v1/migrations
//! {"service": "mcptt", "primary_id": "sip:alice@primary.example",
//!  "partner_id": "sip:alice@partner.example", "primary_system": "primary.example"}
//! ```
