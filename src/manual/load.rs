//! # Playing and checking calls: `homeward-load`
//!
//! `homeward-load calls` places calls through a media relay, plays both parties of each, and
//! checks that every packet arrives at the other party unchanged and once. It speaks the NG
//! protocol over UDP as a SIP proxy does, so it works with any daemon that understands that
//! protocol, not only with Homeward. The engine behind it is [`crate::traffic`]; `homeward demo`
//! uses the same.
//!
//! ```text
//! homeward-load calls --ng 127.0.0.1:2223 --calls 20 --seconds 5
//! homeward-load calls --ng 127.0.0.1:2223 --ptt --codec amr-wb --rtcp \
//!     --context 'sip:user-<n>@partner.example' --recordings homeward-data/recordings
//! ```
//!
//! It exits with 0 if all was good, 1 if the run or one of its checks failed, 2 for bad usage.
//! With `--json` it prints one object instead of a text; its members are those of
//! [`crate::traffic::Report`], with `passed`, and `recordings` if they were compared.
//!
//! ## What is played
//!
//! - Each party sends 50 RTP packets a second for the time given, by a fixed timetable; all
//!   parties are spread evenly over the 20 ms. What comes back does not change the timetable.
//! - `pcmu`: 160 octets a packet. `amr-wb`: 34 octets, the shape of AMR-WB at 12.65 kbit/s in the
//!   octet-aligned payload format (RFC 4867); the frames hold noise, not speech. `wav:FILE`: a
//!   file of 8 kHz, mono, 16 bit, encoded as G.711 µ-law and repeated; any other format is
//!   refused, since nothing here resamples. At most an hour of a file is used.
//! - `--ptt`: the parties talk in turn, in bursts of two seconds (shorter if the call is shorter
//!   than four). Floor control (TS 24.380) runs over a media of its own, `m=application ... udp
//!   MCPTT`: the caller is a participant (Floor Request, Floor Release), the called party stands
//!   for the MC server (Floor Granted, Floor Taken, Floor Idle).
//! - `--rtcp`: each party sends a sender report with its CNAME after half a second and then every
//!   five seconds.
//! - SSRCs, sequence numbers, timestamps and payloads follow from `--seed`, the number of the
//!   call, the party and the number of the packet. The receiving side recomputes them.
//!
//! ## Signalling
//!
//! For each call: `offer`, `answer`, at the end `delete` with `delete delay` 0. A request is
//! repeated with the same cookie after one second, five times in all. `--direction A,B` names the
//! relay's interfaces towards callers and called parties. Parties of different families
//! (`--caller-ip`, `--callee-ip`) make the tool ask for bridging with `address family`.
//! `--key KEY=VALUE` and `--flag FLAG` add to each offer and answer; `<n>` in a value is the
//! number of the call, from 1. `--context ID` is short for `mc-service=mcptt`,
//! `mc-session-type=private` and `mc-calling-id=ID`.
//!
//! If the daemon refuses a request, the run ends with the daemon's text and the call that hit it;
//! the calls that stand are deleted first.
//!
//! ## What is checked
//!
//! | word | meaning |
//! | --- | --- |
//! | lost | sent, and never arrived |
//! | altered | arrived with other octets, header included |
//! | duplicate | arrived again |
//! | reordered | arrived after a later one; told, but no failure |
//! | foreign | not of the call's stream, or not from the address that the relay had stated |
//!
//! After the end of a call the tool waits for what is missing until nothing has come for a
//! second. RTCP that a relay makes itself counts as foreign there and is no failure.
//!
//! - **latency** runs from the moment a packet is handed to the kernel to the kernel's receive
//!   time stamp at the other party; it holds two passages of the kernel and the relay between.
//! - **from due** runs from the moment the packet was due. When the sending thread is held up,
//!   every packet that waited shows it, so that an overloaded host cannot pass for a fast relay.
//! - **first** runs from the sending of a stream's first packet to the first arrival of any.
//! - **jitter** is the interarrival jitter of RFC 3550 6.4.1 at the end of each stream.
//! - **set-up** runs from the offer to the reply to the answer.
//!
//! With `--recordings DIR` the tool then reads every `*.pcapng` file below the directory and
//! compares packet by packet, until all are found or `--recordings-wait` is over. A packet is
//! known by its SSRC; so a directory with recordings of earlier runs gives *unexpected* ones.
//!
//! ## Bounds
//!
//! One thread sends, one receives, one signals. Each party takes one socket, and one more each for
//! `--rtcp` and `--ptt`; the descriptor limit is raised as far as the process may. Local ports come from
//! `--ports`, 41000 to 65535 by default, above the usual range of relays. When `from due` grows
//! far beyond `latency`, the host cannot play that many calls: believe the counts, not the times.
//!
//! Unless `--allow-remote` is given, nothing is sent to an address that is neither loopback nor
//! of this host; that holds for the daemon and for the media addresses that it states.
