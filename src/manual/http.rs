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
//! | `GET /v1/calls` | `{"calls": [call-id, ...]}`, `?limit=` at most (1,000) |
//! | `GET /v1/calls/{call-id}` | legs, sockets, counters |
//! | `GET /v1/calls/{call-id}/explain` | why it is, or is not, mirrored; also for calls ended lately |
//! | `POST /v1/calls/{call-id}/recording` | `{"action": "start", "stop", "pause" or "resume", "primary": system}`; without `primary` all mirrors of the call |
//! | `PUT /v1/calls/{call-id}/context` | 204; tells more about a call |
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
//! what came in; `decision`, `drops` and `mirrors` hold the same for programs.
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
