//! # The logger
//!
//! The logger is the primary's side: it takes what relays mirror, keeps it, and makes a recording
//! of each call. `homeward run` has one embedded, `homeward logger` is one on its own.
//!
//! ## Four threads
//!
//! ```text
//!  sockets --> receiver --> writer --> catalog --> recorder --> recordings/<day>/*.pcapng
//!              numbers     blocks,     index.sqlite   |
//!              packets     fdatasync                  +--> "recorded", back to the writer
//! ```
//!
//! The queues between them are bounded, and the receiver waits for nobody. When the writer falls
//! behind by 256 batches (of at most 128 kB), packets are numbered and dropped, and the hole is
//! written down as a gap with its first index and its length. So is what the kernel drops at a
//! socket, as far as it says so. Events (calls and streams that begin and end) are never dropped.
//!
//! - **Receiver**: one epoll over all ports, `recvmmsg`, the kernel's receive times. Packets from
//!   addresses that are not configured as relays are counted and dropped. A port belongs to one
//!   stream at a time; it may pass to the next call at once, and packets that were received before
//!   that moment still go to the call before.
//! - **Writer**: packs packets and events into blocks ([`super::block_format`]) and appends them to
//!   a segment. A block is closed when it is full or old enough; everything that came within
//!   50 ms shares one fdatasync. A full disk stops the writer, not the receiver; it tries again
//!   until there is room.
//! - **Catalog**: hears only of durable blocks. It keeps the index, in transactions of half a
//!   second, and knows which calls are at their end.
//! - **Recorder**: reads the blocks of calls that ended, up to 64 calls in one reading, and writes
//!   their recordings under a temporary name, makes them durable and gives them their name. What
//!   fails is tried five times, and again at the next start.
//!
//! ## Files
//!
//! ```text
//! VERSION                  of the arrangement of files: 1
//! lock                     held by the running logger
//! archive/00000001.seg     blocks one after the other, nothing else
//! index.sqlite             calls, parties, aliases, streams, extents, recordings
//! recordings/<day>/<call-id>-<mirror>.pcapng
//! ```
//!
//! Directories have mode 0700, segments and recordings 0600. A segment is closed at the configured
//! size and by every start.
//!
//! **On start** the archive is read on from where the index stands. What follows the last whole
//! block of the last segment is cut off, counted and reported, never guessed at; damage in the
//! middle is reported, stepped over and left as it is. An index that is absent, damaged or ahead
//! of the archive is moved aside and made anew from the segments. Calls that were open when the
//! process died get their recording, marked incomplete; a recording that exists is not made twice.
//!
//! ## Recordings
//!
//! pcapng, link type 101, nanoseconds. Each stream is an interface named after direction, media
//! and party (`from-user audio sip:alice@primary.example`); its packets have the real addresses:
//! from the party to the relay's socket. The packet id is the packet's index at the logger. The
//! first comment of the section is JSON with all that is known of the call, the second one says it
//! in words; each interface has its stream's description as a comment. Packets are in order of
//! time, and those of a stream in the order in which its socket gave them.
//!
//! RTP has no port of its own, so an analyser would take it for plain UDP. Therefore a recording
//! begins with one announcement a stream (SAP, RFC 2974, with the stream's SDP): Wireshark then
//! decodes RTP, the codec, RTCP and MCPTT floor control without any setting, and *Telephony, RTP,
//! RTP Streams* lists and plays the streams. The announcements were not received: they have no
//! packet id, and a comment says so.
//!
//! The day is that of the call's begin in UTC. Call-ids are shown as far as they are harmless in
//! a file name; if anything was replaced or cut off, `~` and a hash of the call-id follow.
//!
//! `lost` counts what is missing by RTP sequence number, each SSRC on its own; a sender that
//! begins anew (RFC 3550 A.1) is no loss.
//!
//! ## The door: a logger elsewhere learns of calls
//!
//! A relay that has `announce` for a logger ([`super::configuration`]) tells it over HTTP which
//! call each port belongs to, at the moment in which it begins to copy. The door is what `[http]`
//! of the logger's own configuration says; beyond loopback a token is needed.
//!
//! | request | body | meaning |
//! | --- | --- | --- |
//! | `PUT /v1/relays/{relay}` | none | the relay is there; answers `{"run": ...}`, which changes when the logger restarts |
//! | `PUT /v1/relays/{relay}/mirrors` | `{"first": ..., "last": ..., "open": [...]}` | of the mirrors with these numbers the others have ended: a relay that was restarted says so of calls that did not go on |
//! | `PUT /v1/mirrors/{relay}/{mirror}` | what is known of the call | a mirror is open, or its call has changed |
//! | `PUT /v1/mirrors/{relay}/{mirror}/streams/{stream}` | `{"port": N, "info": {...}}` | a stream is copied to this port, or has changed |
//! | `DELETE` of either | none | the stream or the mirror has ended; what is on its way is taken for `close_grace` |
//! | `GET /v1/recordings?limit=N` | | the latest recordings, newest first, 100 unless told (at most 1,000): call-id, parties, systems, times, path, packets, lost |
//! | `GET /healthz`, `GET /readyz` | | open to everybody who can connect |
//!
//! `relay` names one start of a relay's process; call and stream are written as in the archive
//! ([`super::block_format`]). All of it can be said twice. A port outside of the logger's range, a
//! body over 64 kB and whatever else is wrong is refused with a problem document (RFC 9457), and
//! nothing changes.
//!
//! Calls never wait for the door. The relay keeps up to 65,536 announcements for each logger (then
//! they are dropped and counted), says them in order over one connection, and tries again every
//! two seconds at the latest while the logger does not answer; `homeward_announcements_total`
//! counts. A logger that has restarted is told anew of all that is open, and makes a second
//! recording of each such call; the first one is marked as incomplete if it was killed. Calls that
//! ended in the meantime are not told. A relay that says nothing for 60 seconds has died: its
//! recordings are closed.
//!
//! A packet may overtake its announcement. Packets at a port that belongs to nobody wait for two to
//! three seconds (at most 1,024 at a port, 32 MB in all) and are the announced call's if the
//! announcement comes by then. What comes still earlier is in a recording of its own, as follows.
//!
//! ## Calls that nobody announces
//!
//! A logger that stands alone binds all its ports at start. Packets at a port that no mirror was
//! announced for make a recording `unattributed-<port>-<n>`; RTP and RTCP of a port pair are one
//! call, and 30 seconds of silence end it. The embedded logger drops and counts such packets.
//!
//! ## The index by hand
//!
//! ```text
//! sqlite3 index.sqlite "SELECT call_id, path FROM calls JOIN recordings ON call = calls.id
//!     JOIN parties ON parties.call = calls.id WHERE primary_id = 'sip:alice@primary.example'"
//! ```
