//! # Home legs by SIP, and the media anchor
//!
//! How a relay asks a primary system's media anchor to take the media of a redirected call, and the
//! reference anchor that `homeward logger` contains. What happens to the packets is told in
//! [`redirect`](super::redirect).
//!
//! ## The relay's side
//!
//! ```toml
//! [[anchor]]
//! name = "hq"
//! transport = "sip"
//! address = "192.0.2.9:5070"
//! sip_local = "192.0.2.5:5071"    # absent: the address that the system chooses, and any port
//! ```
//!
//! One INVITE sets a home leg up (RFC 3261, over UDP). Its offer (RFC 3264) has one m-line a lane,
//! that is: for each direction of each media. What the relay sends there is expected back from
//! there. `a=label` (RFC 4574) names the lane for the life of the leg. Beside what any anchor
//! understands, the description says:
//!
//! | attribute | where | what |
//! | --- | --- | --- |
//! | `homeward-path` | session | identities of the relays that the media has come through, separated by blanks, the sender's last |
//! | `homeward-call` | session | what is known of the call: JSON in base64, with the members of `CallInfo` (call-id, systems, parties with their IDs, group, session type, emergency) |
//! | `homeward-lane` | media | number of the stream, `from-user`, `to-user` or `both`, place of the m-line in the call, tag of the sender in base64 |
//!
//! `Call-ID` and tags are the relay's own; `Subject` names the call and its system for people.
//!
//! - A lane that the anchor answers with port 0, or with anything but `sendrecv`, is refused: its
//!   media goes straight. An answer with other m-lines than the offer, another address family, a
//!   label that is not the lane's, or no SDP at all, ends the leg with the reason.
//! - A change is a re-INVITE with all lanes; one that has gone leaves its m-line with port 0 to a
//!   later one. If the anchor refuses the change, the leg goes on as it was. After 491 it is asked
//!   again.
//! - A leg that is closed before its answer is cancelled; if the answer comes all the same, it is
//!   acknowledged and ended with BYE.
//! - Without any answer within 10 s the next anchor of the agreement is tried, as after 3xx to 6xx.
//!   Redirection by 3xx is not followed, proxies on the way are (`Record-Route`).
//! - Only datagrams from the anchor's address are looked at. The anchor may end a leg with BYE, and
//!   ask OPTIONS; it cannot change a leg (488).
//!
//! An INVITE with many lanes is longer than a packet of the network and travels in IP fragments;
//! SIP over TCP is not spoken.
//!
//! ## The reference anchor
//!
//! ```toml
//! [media_anchor]
//! sip = ["127.0.0.1:5070"]        # UDP; each address by itself
//! bind = ["127.0.0.1"]            # for media, one of each family; absent: as in sip
//! ports = [42000, 42999]          # not those of [archive]
//! relays = ["127.0.0.0/8"]        # who may call; needed beyond loopback
//! max_calls = 1000
//! media_timeout = "10m"
//! ```
//!
//! The section makes `homeward logger` an anchor, and `homeward run` with an embedded logger too.
//! Each lane gets a pair of ports. A packet from the address that the relay has offered is recorded
//! and sent back there, octet for octet; packets from elsewhere are counted and dropped. The
//! recording is that of a mirrored call, with the relay's word for direction, codecs and parties.
//! Calls of relays that say nothing of it have the SIP `Call-ID` as their name.
//!
//! | answer | when |
//! | --- | --- |
//! | none | SIP from an address that `relays` does not name; counted as `stranger` |
//! | 400, 415, 420, 483, 488 | there is no offer in SDP that could be taken; the reason phrase says why |
//! | 481 | the dialog is not known, or not the sender's |
//! | 482 | an identity stands twice in the path, or the same call is here already |
//! | 491 | the answer before is not acknowledged yet |
//! | 503 | `max_calls` is reached |
//!
//! A call without a packet for `media_timeout`, or whose answer is never acknowledged, is ended with
//! BYE. So are all calls when the logger stops.
//!
//! ## Metrics
//!
//! `home_sip_legs`, `home_sip_answers`, `home_sip_failures` (reasons `refused`, `timeout`,
//! `no-answer`, `bad-answer`, `ended`, `lost`, `full`) and `home_sip_datagrams` at the relay;
//! `anchor_calls`, `anchor_calls_taken`, `anchor_failures` (reasons `loop`, `bad-offer`, `full`,
//! `unacknowledged`, `silent`), `anchor_packets` and `anchor_datagrams` where `homeward run` has an
//! anchor.
