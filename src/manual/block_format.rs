//! # The block format, version 1
//!
//! Packets and events of mirrored calls are packed into *blocks*. The same octets lie in the
//! logger's archive, and are made for a connection between relay and logger and for a spool file
//! as well. `wire::block` is the implementation; a test keeps the example below true.
//!
//! Numbers of fixed length are little-endian. `varint` is a number of seven bits an octet, lowest
//! first, with the top bit set in all octets but the last; at most ten octets, 64 bits. `signed` is
//! a varint of the number's zigzag form: 0, -1, 1, -2, ... are written as 0, 1, 2, 3, ...
//!
//! ## Header: 96 octets
//!
//! | octets | field |
//! | --- | --- |
//! | 0-3 | `48 57 42 4B` ("HWBK") |
//! | 4-5 | version: 1 |
//! | 6-7 | zero |
//! | 8-23 | epoch: random for each start of the process that made the block |
//! | 24-27 | stripe: which of the sequences of that process |
//! | 28-31 | length of the body in octets; header and body are at most 16 MiB |
//! | 32-39 | sequence: 0, 1, 2, ... within epoch and stripe |
//! | 40-47 | earliest time of a frame, nanoseconds since the Unix epoch |
//! | 48-55 | latest time of a frame |
//! | 56-87 | BLAKE3 hash of the whole block before it; zeros for sequence 0 |
//! | 88-95 | XXH3 (64 bits, seed 0) of octets 0-87 and the body |
//!
//! (Epoch, stripe, sequence) is the identity of a block. A block with a known identity and another
//! hash is never a duplicate. The checksum finds accidents; the chain of hashes shows a block that
//! was exchanged or left out, as long as the last hash is known from elsewhere.
//!
//! ## Body: frames
//!
//! Frames follow each other without padding. Each begins with a varint `head`; its low three bits
//! are the form, the rest is the value `v`:
//!
//! | form | meaning | then |
//! | --- | --- | --- |
//! | 0 | packet of slot `v`, with the stream's next index | signed time, varint length, octets |
//! | 1 | packet of slot `v`, with another index | signed skip, signed time, varint length, octets |
//! | 2 | declares the next slot; `v` is 0 | varint stream, varint next index |
//! | 3 | event of kind `v` | signed time, varint length, JSON |
//! | 4-7 | of a later version: skip it | varint length, octets |
//!
//! - *Slots* are numbered from 0 in the order of their declarations, anew in each block, so that a
//!   block can be read alone. There are at most 65,536.
//! - *Index*: packets of a stream are numbered from 0. The next index is that of the declaration,
//!   afterwards that of the packet before plus one. A skip is added to it.
//! - *Time*: nanoseconds since the frame before; for the first one since the Unix epoch.
//! - *Octets* of a packet are the datagram's payload, at most 65,535.
//!
//! All additions are modulo 2^64. A reader stops at a frame that does not follow these rules; it
//! never trusts a length beyond the end of the block. A packet of a known stream costs 8 octets at
//! the usual pace, and always less than 12 with up to 2,048 streams in a block.
//!
//! ## Events
//!
//! JSON objects; the member `event` repeats the kind in words. Members that are not known are
//! ignored, kinds that are not known are skipped. Calls (`call`) and streams (`id`) are numbered
//! within the epoch.
//!
//! | kind | `event` | members |
//! | --- | --- | --- |
//! | 1 | `call-open` | `call`, `relay`, `mirror`, `info` |
//! | 2 | `call-update` | `call`, `info` |
//! | 3 | `call-close` | `call` |
//! | 4 | `stream-open` | `call`, `id`, `info` |
//! | 5 | `stream-update` | `id`, `info` |
//! | 6 | `stream-close` | `id`, `packets`: how many were given an index |
//! | 7 | `gap` | `id`, `first`, `count`, `reason`: `overflow` or `kernel` |
//! | 8 | `recorded` | `epoch` (hexadecimal), `call`, `path`, `packets`, `lost`, `incomplete` |
//!
//! `info` is a `CallInfo` or `StreamInfo` (`wire::block::event`). A gap of reason `overflow` has
//! indexes that no packet has; one of reason `kernel` happened before `first` and took no index.
//!
//! ## Example
//!
//! One second after the epoch call 5 is closed; 64 ns later stream 300 has its first packet, `ab`.
//! Its second one, `c`, is from 64 ns before that. Packets 2 and 3 are missing; packet 4 is empty.
//!
//! | octets | meaning |
//! | --- | --- |
//! | `48 57 42 4b 01 00 00 00` | a block of version 1 |
//! | `10 0f 0e 0d 0c 0b 0a 09 08 07 06 05 04 03 02 01` | epoch |
//! | `02 00 00 00` | stripe 2 |
//! | `38 00 00 00` | body of 56 octets |
//! | `00 00 00 00 00 00 00 00` | sequence 0 |
//! | `00 ca 9a 3b 00 00 00 00` | earliest time: 1,000,000,000 |
//! | `40 ca 9a 3b 00 00 00 00` | latest time: 1,000,000,064 |
//! | `00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00` | no block before |
//! | `00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00` | |
//! | `68 48 30 52 af 52 aa f3` | checksum |
//! | `1b` | event of kind 3 |
//! | `80 a8 d6 b9 07` | time: 0 plus 1,000,000,000 |
//! | `1f` | 31 octets of JSON |
//! | `7b 22 65 76 65 6e 74 22 3a 22 63 61 6c 6c 2d 63` | `{"event":"call-c` |
//! | `6c 6f 73 65 22 2c 22 63 61 6c 6c 22 3a 35 7d` | `lose","call":5}` |
//! | `02 ac 02 00` | slot 0 is stream 300, next index 0 |
//! | `00 80 01 02 61 62` | slot 0, index 0, time plus 64, 2 octets |
//! | `00 7f 01 63` | slot 0, index 1, time minus 64, 1 octet |
//! | `01 04 00 00` | slot 0, index 2 plus 2, the same time, no octets |
