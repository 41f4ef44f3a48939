//! # Migrated users: records, agreements, decisions
//!
//! A user of another MC system, the *primary*, who is served here has two MC service IDs for each
//! service: the primary's, and the one that our system, the *partner*, issued (TS 23.280 10.16.5).
//! Calls here carry the partner ID; the primary's loggers know the primary ID. A **migration
//! record** joins the two. It comes from the MC server or the operator at *migration authorised*,
//! *updated* and *ended* (see [`http`](super::http)), and survives a restart of the relay.
//!
//! ## What a record says
//!
//! | member | meaning |
//! | --- | --- |
//! | `service` | `mcptt`, `mcvideo` or `mcdata`; one record for each service of a user |
//! | `primary_id` | the user's MC service ID at home |
//! | `partner_id` | the MC service ID issued here |
//! | `primary_system` | the name of the primary system; joins the record to its agreement |
//! | `functional_aliases` | aliases that the user holds here (TS 23.280 10.16.3), 32 at most |
//! | `trigger` | who set the migration off: `client` or `primary-system` |
//! | `profile_index` | the user profile in use (TS 23.280 Table 10.6.3.2.1-1) |
//! | `result` | `authorised` (the default) or `failed` |
//! | `reason` | with `failed`, and with nothing else: why, in at most 200 octets on one line |
//! | `since`, `until` | in force from `since` on and before `until` |
//!
//! `since` defaults to now; it may lie in the past (the report was late: media is copied from now
//! on) or in the future (a planned migration). `until` may be left open.
//!
//! ## What is accepted, and what is not
//!
//! - **The same user again** (service and primary ID) has moved on: the former record ends when the
//!   new one begins. The very same record again, as a repeated request, changes nothing.
//! - **An identity has one holder.** Within a service, an ID or alias in any role that another
//!   user's record holds at the same time is refused, and the refusal names that record. End the
//!   other one first. Functional aliases shared by several users at once are therefore not
//!   supported: a shared alias could not say whose home a call belongs to.
//! - **Times must make sense**: `until` after `since`, and not in the past.
//! - **Domains.** If an ID lies in the domain of a known system (ours, or one with an agreement)
//!   other than the one it must be of, the record is refused: swapped IDs would send calls to the
//!   wrong home. A domain that is no known system's says nothing, since one MC system may serve
//!   users of many domains, and so does an ID that is not a SIP URI. Users of our own system cannot
//!   migrate to us. A functional alias is ours or the primary's, and of no other known system. The
//!   same holds for every change of a record.
//! - **A record is in force only after it is on disk.** A refusal, a full disk or a crash leaves
//!   everything as it was.
//!
//! ## A migration that failed
//!
//! TS 23.280 5.2.9.1 leaves it to the systems whether a user whose migration failed is served. The
//! record says that it failed, and why; `on_failed_migration` of the agreement says what follows:
//!
//! - `serve`: calls are served and mirrored as the agreement says, and the reason that goes to the
//!   logger says that the migration failed.
//! - `reject`, the default: an offer that makes a leg of this user, calling or called, is refused
//!   with `Migration failed: <reason>` and counted. No emergency is excepted. A call that is there
//!   when the record comes, or when its context comes, is not cut; it is not mirrored, and
//!   `explain` says `migration-failed`.
//! - With no agreement, the failure of a migration is treated as `reject`: nobody has said that
//!   such users are served.
//!
//! A record may turn from `authorised` to `failed` and back by `PATCH`. A new report about the same
//! user with another result is a new record, which takes the place of the former one. A failed
//! record counts while it is in force, like any other: give it an `until`, or end it.
//!
//! Return home is never guessed from silence. A record ends by an explicit end, by `until`, or
//! when the user's next record begins. Ended records are kept, so that `explain` can say "no more"
//! rather than "never".
//!
//! At most 500,000 records are open at once.
//!
//! ## Agreements
//!
//! An `[[agreement]]` of the [configuration](super::configuration) belongs to one primary system
//! and says what of its users' media goes home: services, kinds of media, denied session types,
//! loggers in order of preference. `kind` gives its direction: under `unilateral-out` only our
//! users may migrate, so the other system's users are not served as migrated.
//!
//! ## The decision
//!
//! Made for each leg, whenever the call's context, the records or the agreements change:
//!
//! 1. **No context at all**: undecided. Signalling may still tell (see below, *late knowledge*).
//! 2. **The party.** The calling leg is looked up by `calling_id`, the called leg by `called_id`;
//!    each may be a partner ID, a primary ID or a functional alias, tried in this order. The
//!    calling leg is also looked up by the `functional_alias` that it uses, the called leg by the
//!    `called_functional_alias` that it is addressed by, if the ID leads to no record in force.
//!    Without any of them: `party-unknown`. Which of several legs an ID means is told below.
//! 3. **The record** must be in force: otherwise `migration-not-in-force`, or `not-migrated` if there
//!    is none. If the context names no service, the record's own counts; if users of different
//!    homes go by the same name in different services, the answer is `service-ambiguous`, and
//!    signalling has to name the service.
//!    If the migration failed, and no agreement has such users served: `migration-failed`.
//! 4. **The agreement** with the record's primary: `no-agreement`, `agreement-one-way`,
//!    `service-not-covered`, `session-type-denied`. A session type that signalling did not tell is
//!    not denied: an agreement that denies types needs signalling that names them.
//! 5. Otherwise the leg is **mirrored**: what its user sends, and what is forwarded to its user.
//!    Legs of others are never copied.
//!
//! The decision and its reason stay with the call: `GET /v1/calls/{call-id}/explain`.
//!
//! ## Calls of many legs
//!
//! The IDs of an offer or answer mean the two legs that it is about. As long as the call has one
//! leg at each end, they are the IDs of the call. Further legs have names of their own:
//!
//! - A focus that offers to each member of a group, under branches or tags of their own, names the
//!   member in the `mc-called-id` of that offer. Each leg is decided for itself; five legs with two
//!   users of two primaries make two mirrors, each with the streams of its own user. The focus may
//!   give each member another address.
//! - A leg that no message has named goes by the IDs of the call, as another branch to the called
//!   user does; in a group session, or beside a leg with a name of its own, it is `party-unknown`.
//! - In offers of the called party `mc-calling-id` may be who offers, or still who called first:
//!   the ID that is already known for a leg stays with it.
//! - `PUT .../context` says the IDs of the call; a leg that is alone at its end takes them.
//!
//! The legs may as well be calls of their own with the same `mc-group-id`.
//!
//! ## What signalling may do with a mirror
//!
//! `start`, `stop` and `pause recording` ([`control`](super::control)), and the same over HTTP, act
//! within the agreements. A pause stops the copies and leaves the recording open; a stop closes it,
//! and a later start begins another. What is copied by nobody's agreement is not started, and what
//! an agreement makes `mandatory` is neither paused nor stopped: the answer is good and says so in
//! a `warning`, and the wish is logged and counted. A wish is for the mirrors that are agreed on at
//! that moment; it outlives re-offers and changes of records.
//!
//! ## Late knowledge
//!
//! A call without any context is undecided. Its accepted packets are kept in the **pre-roll**, in
//! memory only: the last `preroll` seconds, `preroll_call_bytes` of each call, `preroll_bytes` in
//! all, counted in chunks of 4 KiB. When there is no room the oldest goes first. What is given up
//! before a decision is a gap: `explain` shows it for each leg as `evicted`, beside what is `kept`
//! now and what was `sent`. What is kept when the call, or a socket of it, ends undecided counts as
//! evicted too, and so does what belongs to a primary whose loggers have no room. A restart of the
//! relay keeps none of it. Without any agreement nothing is kept: it could never belong to anybody.
//! Metrics: `homeward_preroll_packets` (now), `homeward_preroll_packets_sent_total`,
//! `homeward_preroll_packets_evicted_total`.
//!
//! - **A context that comes late**, by `PUT /v1/calls/{call-id}/context` or with a new offer, is the
//!   decision. What the mirror's scope then covers is sent to its logger first, in order, over up to
//!   half a second or so, and live copies follow; these packets count as `mirrored` too. The call
//!   waits for none of it. Over plain RTP such a packet carries no receive time of its own: the
//!   recording shows when it came to the logger, and its RTP time stamp when it was spoken.
//! - **A context without a match is a decision**: what was kept is forgotten at once, and so is
//!   what is kept of streams outside of the scope. A record that comes later still mirrors from then
//!   on.
//! - What was kept is judged by the scope at the moment of the decision: of a call on hold then,
//!   what was sent to the held user before does not count.
//! - **Loggers that are named while a call is undecided** (a recording that was asked for) get what
//!   comes from then on, nothing of the past; the pre-roll stays for the decision.
//! - **Of two contexts** the later one counts, name by name; the mirror changes over between two
//!   packets. A mirror of the same primary and loggers goes on as it is.
//! - **After the end** neither context nor record changes anything; `explain` says what held at the
//!   end.
//!
//! ## The database
//!
//! `registry.sqlite` in `data_dir`, mode 0600, in WAL mode: readable with `sqlite3` while the relay
//! runs. A damaged file, one of another program or one of a later version stops the start with a
//! message that says which file it is and what to do; nothing is overwritten. For a backup use
//! `sqlite3 registry.sqlite ".backup FILE"`, not a copy of the file alone.
