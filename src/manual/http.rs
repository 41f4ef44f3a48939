//! # HTTP
//!
//! JSON under `/v1`, beside health and metrics, on the sockets of `[http]`. Beyond loopback every
//! request but those for health needs `Authorization: Bearer TOKEN`. Bodies are JSON objects of at
//! most 64 KiB with `Content-Type: application/json`.
//!
//! | request | answer |
//! | --- | --- |
//! | `POST /v1/migrations` | 201 and the record, when it is on disk |
//! | `GET /v1/migrations` | a page: `{"migrations": [...], "next": 117}` |
//! | `GET /v1/migrations/{id}` | the record |
//! | `PATCH /v1/migrations/{id}` | changes `partner_id`, `functional_aliases`, `profile_index`, `result` and `reason`, `until` |
//! | `DELETE /v1/migrations/{id}` | ends it now; the record as it is then |
//! | `GET /v1/calls` | a page: `{"as_of": ..., "calls": [...], "next": 117}` |
//! | `GET /v1/calls/{call-id}` | legs, sockets, counters |
//! | `GET /v1/calls/{call-id}/explain` | why it is, or is not, mirrored; also for calls ended lately |
//! | `POST /v1/calls/{call-id}/recording` | `{"action": "start", "stop", "pause" or "resume", "primary": system}`; without `primary` all mirrors of the call |
//! | `PUT /v1/calls/{call-id}/context` | 204; tells more about a call |
//! | `POST /v1/drain` | no new calls from now on; `{"exit_when_empty": true}` ends the process with the last one |
//! | `GET /v1/drain` | `{"draining": true, "since": ..., "exit_when_empty": false, "calls": 12}` |
//! | `DELETE /v1/drain` | calls are taken again |
//! | `POST /v1/reload` | reads the configuration file again: `{"applied": [...], "at_next_start": [...]}`; also at `homeward logger` |
//! | `GET /healthz` | 200 while the process answers |
//! | `GET /readyz` | 200 when calls are taken, else 503 and the reason |
//! | `GET /metrics` | OpenMetrics |
//!
//! A call-id is percent-encoded in a path, slashes as `%2F`. Times are given in RFC 3339 in UTC,
//! and taken in RFC 3339 or as whole seconds since 1970.
//!
//! ## A user migrates, and returns
//!
//! ```text
//! curl -s localhost:8080/v1/migrations -H 'Content-Type: application/json' -d '{
//!   "service": "mcptt",
//!   "primary_id": "sip:alice@primary.example",
//!   "partner_id": "sip:alice.visiting@partner.example",
//!   "primary_system": "primary.example",
//!   "functional_aliases": ["sip:incident-commander@partner.example"]
//! }'
//! curl -s -X DELETE localhost:8080/v1/migrations/1
//! ```
//!
//! [`migration`](super::migration) tells what is accepted. Repeating a request does no harm.
//! Optional members may be null, except in `PATCH`, where null would mean to take away what cannot
//! be.
//!
//! Filters of the list: `service`, `primary_id`, `partner_id`, `primary_system`; `all=true` shows
//! ended records too; `limit` (100, at most 1,000) and `after=NUMBER` page through it: give the
//! `next` of one page as the `after` of the following one until it is null.
//!
//! ## Calls
//!
//! A line for each call: `call_id`, `created`, `answered`, `state` (`early`, `answered`, `held`,
//! `ending`: deleted, and waiting for the end of its delay), `one_way`, what signalling told of it,
//! `legs`, `packets` taken `from_calling` and `from_called` legs, `dropped`, and `mirrors` with the
//! logger of each, or null if none takes it. `limit` (100, at most 500) and `after=NUMBER` page
//! through them as with migrations; a call that is up all the while is on exactly one page.
//!
//! ## Context of a call
//!
//! `service`, `session_type`, `calling_id`, `called_id`, `group_id`, `functional_alias`,
//! `called_functional_alias`, `emergency`. What is left out stays as it was; `emergency` can be raised, not lowered.
//!
//! ## Recording
//!
//! The answer lists the primaries that an agreement sends the call to: `switch` (`on`, `paused`,
//! `stopped`), `mandatory`, and a `warning` if not all was done that was asked
//! ([`migration`](super::migration)).
//!
//! ## Explain
//!
//! `summary` is the call in one sentence, `why` and `media` of each leg say what was decided and
//! what came in; `decision`, `drops` and `mirrors` hold the same for programs. `packets_out` and
//! `lost` of a leg count its present sockets only. `as_of` is the time of the relay's clock, and
//! `end` says why a call has ended.
//!
//! ## Drain and reload
//!
//! [`operations`](super::operations) tells what they do. Neither needs a body. A file that is not good is a
//! problem `configuration` (422) whose `errors` name every key; without a file to read it is
//! `no-file` (409).
//!
//! ## Refusals
//!
//! Problem documents (RFC 9457), `application/problem+json`. Nothing was changed.
//!
//! ```text
//! {"type": "urn:homeward:problem:identity-in-use", "title": "Conflict", "status": 409,
//!  "detail": "sip:a1@partner.example is in use by migration 1: end it first",
//!  "errors": [{"field": "partner_id", "reason": "..."}]}
//! ```
//!
//! | status | when |
//! | --- | --- |
//! | 400 | the body is no JSON object, or the query cannot be read |
//! | 401 | the token is absent or wrong |
//! | 404, 405 | no such path, call or migration; not with this method |
//! | 409 | the migration has ended; an identity is in use; a change of it is under way |
//! | 413, 415 | the body is too large; it is not declared as JSON |
//! | 422 | members are wrong, unknown or missing: `errors` names each of them |
//! | 503, 504 | too busy, not stored, no answer in time: try again (`Retry-After`) |
//!
//! ## Bounds
//!
//! Headers must come within 10 seconds, an answer within 10; `max_connections` at once, further
//! ones wait.
