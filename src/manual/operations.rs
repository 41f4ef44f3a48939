//! Operations: what to look at when something is wrong.
//!
//! # Commands for a running relay
//!
//! ```text
//! homeward calls                     what it carries: state, age, packets each way, where it is mirrored to
//! homeward explain CALL              why a call is, or is not, mirrored and heard
//! homeward migrations [list|show|add|end]
//! homeward drain [--wait] [--exit]   no new calls; --undo takes them again, --status only shows
//! ```
//!
//! They ask the HTTP door: that of `--url`, or the first `http.listen` of `--config FILE`, or
//! `http://127.0.0.1:8080`; with the token of `--token-file`, or of the file's `http.token_file`.
//! `--json` prints what the relay answers ([`super::http`]). Exit status: 0 good, 1 the relay could
//! not be asked or refused, 2 bad usage.
//!
//! # Reading the configuration again
//!
//! SIGHUP, or `POST /v1/reload`, makes `homeward run` and `homeward logger` read their file again.
//! A file with a mistake, or one that names a token file which cannot be used, changes nothing, and
//! every mistake is in the log and in the answer. A good one is in force at once; what had to wait
//! for the next start is named in a warning. [`super::configuration`] says which key does what.
//!
//! Calls are not touched: no socket closes, no SDP changes, no packet is lost. Their mirrors follow
//! the agreements at once, by the same decision as ever:
//!
//! - A mirror whose agreement is withdrawn stops, and nothing more leaves for that primary. One
//!   that is agreed on later begins.
//! - A mirror stays with its logger as long as that is on the agreement's list; that another one
//!   is preferred now counts for new mirrors. When its logger is taken away, or is to be reached
//!   at another address or other ports, the mirror begins anew at the first logger of the list that has
//!   room: no packet is left out in between, but there are two recordings. If none has room the
//!   call goes on, and `explain` says so.
//! - Another `announce` or another token only changes who is told, not where media goes.
//!
//! Files that the configuration refers to (tokens) are read again. There are no certificates in this
//! version.
//!
//! # Ending a relay in peace
//!
//! `homeward drain` refuses new calls with `Parallel session limit reached`, the text that makes
//! proxies try the next node. Calls that are up, also those that are not answered yet, go on with
//! all that belongs to them: answers, re-offers, deletes, mirrors. NG `ping` is still answered, or
//! proxies would take the node away from calls that are up. `/readyz` says 503 `draining`,
//! `homeward_draining` is 1.
//!
//! `--wait` returns when the last call has ended; `--exit` lets the relay end itself then, with its
//! recordings closed. Draining is kept in memory only: a relay that is started again takes calls.
//!
//! # A call is silent, or one-way
//!
//! `homeward explain CALL` (`GET /v1/calls/<call-id>/explain`) shows for each leg the packets that were taken and those that
//! were dropped, by reason; NG `query` shows the addresses of each stream. Look at the leg of the
//! party who is **not heard**:
//!
//! | what you see | what it means | what to do |
//! | --- | --- | --- |
//! | no packets, no drops | nothing arrives: the party sends nothing, a firewall is between, or the party was told the wrong address | compare the address in the description that the party got with the relay's interface; check `direction` and `address-family` in the proxy's script |
//! | drops as `stranger` | packets come from another address than the description says, and were not learned | the party changed its address in mid-call, or somebody else sends to the port. A party behind address translation needs a relay that may learn: the key `learning`, the flag `SIP-source-address`, or `media-handover` |
//! | drops as `malformed` | what arrives is no RTP | the media is described as RTP and is something else |
//! | drops as `no-destination` | the other leg's address is not known yet | normal before the answer; if it lasts, the answer never came |
//! | drops as `blocked` | the flow is blocked by signalling; this version has no verb that does it | tell its makers |
//! | drops as `loop` | the same packet came again and again | two relays send to each other: look at the descriptions, use `loop-protect` |
//! | drops as `send-failed` | the kernel refused to send | routes and firewall of this machine |
//! | drops as `socket-full` | the worker did not keep up, or the socket's buffer is too small | the kernel's limit `net.core.rmem_max`; more workers |
//! | drops as `too-large` | a datagram longer than a packet buffer | no real media; look at who sends it |
//! | packets are taken, and the other party hears nothing | they were sent on: the fault lies behind the relay | capture at the other leg's port |
//!
//! # A call is not recorded
//!
//! `explain` gives the decision for each leg with its reason. The usual ones:
//!
//! | reason | what to do |
//! | --- | --- |
//! | the call is undecided | signalling told nothing about the call: the proxy's script lacks the `mc-` keys ([`super::control`]) |
//! | `party-unknown` | it told something, but not who this party is: `mc-calling-id`, `mc-called-id` |
//! | `not-migrated` | no migration is known for the ID: compare it with `GET /v1/migrations`, letter by letter |
//! | `migration-not-in-force` | the migration has ended, or has not begun |
//! | `no-agreement`, `service-not-covered`, `session-type-denied`, `agreement-one-way` | the agreement does not permit it: see the section `agreement` of the configuration |
//! | `service-ambiguous` | several migrations fit: let the script say `mc-service` |
//!
//! If the decision is to mirror, the same answer shows the mirror: which logger it goes to, how
//! many packets were copied of each stream, and how many copies could not be sent.
//!
//! # A recording is not whole
//!
//! A recording over plain RTP is best effort: a packet that is lost between relay and logger is
//! not sent again. Compare three counts: packets taken by the leg, packets copied by the mirror,
//! packets in the recording. If the first two differ, the relay could not send; if the last two
//! differ, they were lost on the way, or at the logger's socket.
//!
//! # The relay is restarted
//!
//! With `journal = true` (the default) every call is written to `journal.sqlite` in `data_dir`,
//! at most 50 ms after it has changed, by a thread of its own. SIGTERM and SIGINT end the process
//! without ending a call. The next start binds the same ports, sends where the peers were heard
//! last, and takes packets from nobody else; mirrors go to the same ports of the same logger if
//! that is possible. Decisions are made anew. Media that stayed away get one `media_timeout` more;
//! calls that were to be removed meanwhile are. What is lost is what arrives while there is no
//! process, and after `kill -9` the changes of the last moments; a loss of power may take those of
//! the last minutes. Counters of open calls are written with the next change of the call.
//!
//! The log says how many calls go on, and of those that do not, why: another program has taken a
//! port, an address is not configured any more, a record cannot be read. `homeward_calls_restored_total`
//! and `homeward_calls_not_restored_total` count them.
//!
//! A disk that is full or read-only never holds up a call: one warning says so,
//! `homeward_journal_behind` says how many calls are on disk as they were before, and the journal
//! catches up by itself. A damaged file is moved aside to `journal.sqlite.broken-*`, and its calls
//! are lost. A file of a later version is left alone, and the relay does not start: run that
//! version, or move the file away. Two processes cannot have the same `data_dir`.
//!
//! The embedded logger closes its recordings when it stops, and makes another one of the rest of
//! each call after the restart. A logger elsewhere goes on with the recording that it has, if it
//! hears of the relay again within a minute.
//!
//! # The relay is replaced without losing a packet
//!
//! Start the new process beside the old one, on the same configuration and data directory:
//!
//! ```sh
//! homeward run --config site.toml --take-over
//! ```
//!
//! It asks the old one at `handover.sock` in `data_dir` (open to its own user and root only). The old
//! one answers the requests that have begun, writes its journal, passes the sockets of media, NG
//! and HTTP, closes its files and ends with status 0; the new one goes on with the calls. What
//! arrives meanwhile waits in the sockets, so that packets of calls come late, and none is lost.
//! If nobody is there to take over from, the new one just starts. If the old one dies on the way,
//! the journal tells the rest. An embedded logger changes hands too: a call has a recording from
//! each process, the first one marked incomplete, and together they hold what was carried. Home
//! legs of redirected calls are set up anew; until then their media goes straight, and what was at
//! home in that moment does not come back.
//!
//! A service manager that watches the old process sees it end: it must neither count that as a
//! failure nor start another one.
//!
//! # The relay does not start
//!
//! `homeward check FILE` names every mistake in a configuration at once, each with its key, and
//! starts nothing. Exit status 2 means bad usage or configuration, 1 that the run itself failed.
//!
//! # Counters
//!
//! `GET /metrics` gives sums over all calls, each with its meaning in its `HELP` line; per call there
//! are `explain` and NG `query`. `/healthz` says that the process answers, `/readyz` that it takes
//! calls. Worth an alarm when they rise:
//!
//! | metric | meaning |
//! | --- | --- |
//! | `homeward_packets_mirror_dropped_total` | copies that could not be sent to a logger: recordings are not whole |
//! | `homeward_packets_dropped_total{reason="socket-full"}` | the relay does not keep up |
//! | `homeward_packets_dropped_total{reason="stranger"}` | wrong addresses in descriptions, or somebody tries ports |
//! | `homeward_calls_one_way_total`, `homeward_calls_without_media_total` | calls in which one party, or both, were never heard |
//! | `homeward_offers_rejected_total` | offers that were refused: out of ports, too many, a failed migration |
//! | `homeward_offers_migration_failed_total` | of them, those because the migration of a party failed |
//! | `homeward_recordings_not_obeyed_total` | requests to stop or pause a mandatory mirror |
//! | `homeward_ports_used` beside `homeward_ports_size` | how near the ports are to their end |
//! | `homeward_draining` | 1 while no new calls are taken |
//! | `homeward_worker_commands_failed_total`, `homeward_worker_events_dropped_total` | should stay at zero |
//!
//! `homeward_latency_seconds` is a histogram over all packets since the start.
//!
//! # Limits of the machine
//!
//! Each media of each leg takes two sockets, so that the limit of open files bounds the number of
//! calls, as does the range of ports of an interface. When either is used up, new calls are
//! refused with `Ran out of ports`, a text that makes a proxy try another relay, and calls that
//! are up go on.
