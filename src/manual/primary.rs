//! # The primary's side of migration: users, profiles, marks
//!
//! A primary MC system knows which of its users may migrate, and where (TS 23.280 5.2.9.1): each
//! user profile lists partner systems, with access data for service authentication there. After a
//! migration the primary marks the user as migrated, and keeps the partner system and the MC
//! service ID that the partner issued. `homeward logger` keeps this half; relays of partner systems
//! tell it what happens.
//!
//! It is on when the logger's [configuration](super::configuration) has a section `[users]` or a
//! `[[partner]]`, and then `relay.system` names the primary itself:
//!
//! ```toml
//! [relay]
//! system = "primary.example"
//! [http]
//! listen = "192.0.2.9:8081"
//! token_file = "operator.token"
//! [users]
//! key_file = "users.key"             # openssl rand -base64 32 > users.key; chmod 600 users.key
//! [[partner]]
//! system = "partner.example"
//! kind = "bilateral"
//! services = ["mcptt", "mcvideo"]
//! interconnected = true
//! token_file = "partner.token"
//! ```
//!
//! The partner's relay names the door in its agreement:
//!
//! ```toml
//! [[agreement]]
//! primary = "primary.example"
//! tell = "http://192.0.2.9:8081"
//! tell_token_file = "primary.token"  # what the primary has in partner.token
//! ```
//!
//! There is no TLS in this version: `tell` goes to loopback or into `relay.plain_networks` only.
//!
//! Partners, what is agreed with them, and all tokens can change while the logger runs
//! ([`operations`](super::operations)): they count from the next request on, and one that is taken
//! away is a stranger from then on. What it has told stays.
//!
//! ## Users
//!
//! With the token of `[http]`:
//!
//! | request | meaning |
//! | --- | --- |
//! | `PUT /v1/users/{name}` | stores a user in place of what was there: 201 or 200 |
//! | `GET /v1/users/{name}` | the user, with its migrations that have not ended |
//! | `DELETE /v1/users/{name}` | the user, its profiles and access data; 204 |
//! | `GET /v1/users?after=NAME&limit=N` | a page by name, 100 unless told, at most 1,000; `next` is what to give as `after` |
//!
//! ```json
//! { "ids": { "mcptt": "sip:alice@primary.example" },
//!   "profiles": [ { "index": 1, "partners": [
//!       { "system": "partner.example", "access": "what authenticates the user there" } ] } ] }
//! ```
//!
//! `access` goes in and never comes out: every answer shows `[redacted]`, and giving that back keeps
//! what is stored. No door exports it in this version. An ID belongs to one user of a service. A
//! user who is migrated keeps its IDs and cannot be deleted: end the migration first. A profile may
//! change at any time; migrations that were accepted stay until they are told again.
//!
//! ## Migrations
//!
//! With the token of a partner, which speaks for that partner alone:
//!
//! | request | meaning |
//! | --- | --- |
//! | `POST /v1/migrations` | tells a migration, new, changed or ended; 201 for a new mark, 200 for a known one |
//! | `PATCH /v1/migrations/{id}` | `partner_id`, `profile_index`, `trigger`, `until` (nanoseconds) change |
//! | `DELETE /v1/migrations/{id}` | it is over now |
//! | `GET /v1/migrations`, `GET /v1/migrations/{id}` | what this partner has told, and what of it was refused |
//!
//! The operator's token reads the same for all partners (`user=`, `partner_system=`, `all=true`,
//! `after=`, `limit=`), and its `DELETE` ends a migration against the partner's word: further
//! tellings of it are refused as `ended-by-primary`.
//!
//! A telling is the whole of a migration as the partner knows it:
//!
//! ```json
//! { "record": 7, "sequence": 1795381200000000000, "service": "mcptt",
//!   "primary_system": "primary.example", "primary_id": "sip:alice@primary.example",
//!   "partner_system": "partner.example", "partner_id": "sip:guest7@partner.example",
//!   "profile_index": 1, "trigger": "client", "since": 1795381200000000000, "until": null }
//! ```
//!
//! `record` is the partner's number of it; with partner system, service and primary ID it says which
//! migration is meant. `sequence` rises with each telling: the last one counts, an earlier one that
//! comes late is answered by 409 with the `last` that was heard. Times are nanoseconds since 1970.
//! The same telling once more is answered as the first time. The answer is the mark: `user`,
//! `migrated`, `state` (`pending`, `migrated`, `ended`), `partner_system`, `partner_id`, `trigger`,
//! `profile_index`, `since`, `until`, `ended_by`.
//!
//! A user is migrated to one system at a time. The migration that begins last counts, by its
//! `since`; it ends the former one (`ended_by: later-migration`), whichever is told first.
//!
//! ## Refusals
//!
//! 403 with the member `reason`:
//!
//! | reason | why |
//! | --- | --- |
//! | `wrong-system` | the token is another system's, or the user's primary is not this system |
//! | `no-agreement` | `kind` lets none of our users migrate there |
//! | `no-interconnection` | the systems are not interconnected (TS 23.280 5.2.9.1) |
//! | `service-not-allowed` | the agreement does not cover the service |
//! | `user-unknown` | no user has this ID for this service |
//! | `profile-unknown` | the user has no profile with this index |
//! | `partner-not-in-profile` | the profile, or without an index every one, does not list the system |
//! | `partner-id-in-use` | another user has this ID at the partner |
//! | `already-migrated-elsewhere` | a later migration has ended this one |
//! | `ended-by-primary` | the operator has ended it |
//! | `too-many-pending` | more than 16 migrations of the user are still to begin |
//!
//! A change of an accepted migration that is refused ends it. Refusals are kept as history, one row
//! a migration with its last reason and how often (the latest 100,000, as for ended marks); the
//! first page of `GET /v1/migrations` lists the latest.
//!
//! ## The partner's relay
//!
//! It tells each record that is added, changed or ended, one at a time, from a queue in which each
//! record stands once. `GET /v1/migrations` of the relay shows for each record `told`: `pending`,
//! `accepted`, `refused` or `unreachable`, and `told_reason`; null where there is nothing to tell.
//! The primary's last word is kept with the record, and so is that it was about an earlier state of
//! it: then it is told again after a start, however long ago it has ended.
//!
//! - **Accepted**: nothing else happens.
//! - **Refused**: the record has failed from then on, with the primary's reason, and
//!   `on_failed_migration` of the agreement says what its user's calls get. It is told again only
//!   when the record says `authorised` again, or as a new migration.
//! - **Unreachable** (also: a wrong token, a full disk there): the record stays in force, and is
//!   told again with pauses of five seconds at most.
//!
//! A record's expiry by `until` needs no telling, since the primary knows it. After a start
//! everything open that has not failed is told again, and what has ended within the last seven days.
//! `trigger` is
//! recorded on both sides; the primary cannot ask a relay to begin a migration.
//!
//! ## The database
//!
//! `users.sqlite` in the logger's `dir`, mode 0600. Access data is encrypted with
//! XChaCha20-Poly1305, bound to its user, profile and partner; the rest is plain. The key is 32
//! octets as base64 or in hexadecimal, in a file that only its owner may read. The logger does not
//! start if there is access data and its key is missing or wrong, or if some was altered. To change
//! the key, name the new one as `key_file` and the former one in `previous_key_files`: at the next
//! start all is encrypted anew, and the former key can go.
//!
//! A damaged file, or one of a later version, stops the start with a message that says what to do.
//! A change that cannot be stored is refused (503) and leaves everything as it was. Tellings that
//! arrive while others are being written are stored together with one wait for the disk, at most
//! 256 at a time; each is answered when it is durable.
//!
//! ## Metrics
//!
//! The logger's `/metrics`, behind its token: `homeward_users`, `homeward_marks`,
//! `homeward_migrations_told_total{result}`, `homeward_migrations_refused_total{reason}`. The
//! relay's: `homeward_tellings_waiting{primary}`, `homeward_tellings_total{primary,result}`.
