//! # Configuration
//!
//! TOML. Every key has a default; without a file the relay runs on loopback. Unknown keys are
//! mistakes. `homeward check FILE` lists every mistake at once, each with its line and key.
//! Durations are seconds as a number, or texts: `"250ms"`, `"30s"`, `"5m"`, `"1h"`.
//!
//! ```toml
//! [relay]
//! system = "partner.example"          # our MC system
//! data_dir = "/var/lib/homeward"
//! [[interface]]
//! name = "core"
//! addresses = ["192.0.2.5", "2001:db8::5"]
//! ports = [30000, 40000]
//! [[interface]]
//! name = "edge"
//! addresses = ["10.1.0.5!203.0.113.7"] # bound to, and written into SDP
//! [ng]
//! udp = ["127.0.0.1:2223", "10.1.0.5:2223"]
//! allow = ["127.0.0.1", "10.1.0.0/24"]
//! [http]
//! listen = "127.0.0.1:8080"
//! [[logger]]
//! name = "hq"
//! transport = "rtp"
//! address = ["203.0.113.9", "2001:db8:9::9"]
//! ports = [50000, 59999]
//! announce = "http://203.0.113.9:8080"
//! announce_token_file = "/etc/homeward/hq.token"
//! allow_plaintext = true
//! [[logger]]
//! name = "here"
//! transport = "rtp"
//! embedded = true
//! [[agreement]]
//! primary = "primary.example"
//! kind = "bilateral"
//! services = ["mcptt", "mcvideo"]
//! media = ["audio", "video", "floor"]
//! deny_session_types = ["ambient-listening"]
//! loggers = ["hq", "here"]
//! mandatory = true
//! on_logger_loss = "continue"
//! [archive]
//! segment_bytes = 268435456
//! [log]
//! filter = "info,homeward::hook=debug"
//! format = "json"
//! ```
//!
//! ## `[relay]`
//!
//! | key | default | meaning |
//! | --- | --- | --- |
//! | `system` | `"localhost"` | name of our MC system; must be given if there are agreements |
//! | `data_dir` | `"homeward-data"` | where everything durable lies |
//! | `workers` | `0` | data plane threads; 0: cores minus one, at least one |
//! | `max_calls` | `20000` | further offers are refused |
//! | `ended_calls` | `1000` | ended calls kept for `explain` |
//! | `media_timeout` | `"60s"` | an answered call without a packet for so long is ended |
//! | `silent_timeout` | `"1h"` | the same for a call on hold |
//! | `offer_timeout` | `"1h"` | an offer without an answer for so long is given up |
//! | `final_timeout` | none | longest life of a call |
//! | `delete_delay` | `"30s"` | from `delete` to removal |
//! | `port_linger` | `"30s"` | how long a retired port stays open for late packets |
//! | `learning` | `"heuristic"` | how a peer's real address is found: `off`, `immediate`, `delayed`, `heuristic` |
//! | `strict_source` | `true` | packets from elsewhere are dropped once the address is known |
//! | `journal` | `true` | calls are written down in `data_dir`, and a restarted relay goes on with them |
//! | `preroll` | `"10s"` | how long packets of a call without any context are kept in memory, for a late decision; 0: not at all ([`migration`](super::migration)) |
//! | `preroll_call_bytes` | `1048576` | at most so many octets of one call are kept |
//! | `preroll_bytes` | `67108864` | at most so many octets are kept in all; each worker has its equal part |
//! | `plain_networks` | `[]` | networks in which mirrored media may travel unprotected |
//!
//! ## `[[interface]]`
//!
//! At least one; without any: `default`, 127.0.0.1, ports 30000 to 40000. The first is the default
//! of NG `direction`. No two may use the same ports of the same address.
//!
//! | key | default | meaning |
//! | --- | --- | --- |
//! | `name` | required | its name in NG `direction` |
//! | `addresses` | required | local addresses; `"A!B"` binds to A and writes B into SDP |
//! | `ports` | `[30000, 40000]` | first and last media port |
//!
//! ## `[ng]`
//!
//! | key | default | meaning |
//! | --- | --- | --- |
//! | `udp` | `["127.0.0.1:2223"]` | sockets for NG requests; `[]` turns NG off |
//! | `allow` | loopback | networks that requests are taken from; required beyond loopback |
//!
//! ## `[http]`
//!
//! Of the relay, and of `homeward logger`.
//!
//! | key | default | meaning |
//! | --- | --- | --- |
//! | `listen` | `["127.0.0.1:8080"]` | sockets; `[]` turns HTTP off |
//! | `token_file` | none | file with the bearer token, 16 to 512 characters; required beyond loopback |
//! | `max_connections` | `256` | further connections wait |
//!
//! There is no TLS in this version: beyond loopback put the server behind a proxy that speaks it,
//! or the token travels in clear.
//!
//! ## `[[logger]]`
//!
//! Without any there is one, `embedded`: the logger in the same process.
//!
//! | key | default | meaning |
//! | --- | --- | --- |
//! | `name` | required | its name in agreements |
//! | `transport` | required | `"rtp"`; `"trunk"` and `"siprec"` are not supported in this version |
//! | `embedded` | `false` | the logger in this process (at most one); the other keys are then in `[archive]` |
//! | `address` | required unless embedded | its IP address, or one of each family |
//! | `ports` | required unless embedded | first and last UDP port that it listens on |
//! | `allow_plaintext` | `false` | media and announcements may leave loopback and `plain_networks` unprotected |
//! | `announce` | none | door of a `homeward logger`, as `"http://192.0.2.9:8080"`: it is told which call each port belongs to ([`logger`](super::logger)) |
//! | `announce_token_file` | none | file with the token that the door wants to see |
//!
//! ## `[[anchor]]`
//!
//! Where a primary system takes media that is redirected through it
//! ([`redirect`](super::redirect)).
//!
//! | key | default | meaning |
//! | --- | --- | --- |
//! | `name` | required | its name in agreements |
//! | `transport` | required | `"static"`: each direction of a media has a port of its own there; `"sip"`: it is asked by INVITE |
//! | `address` | required | its IP address; for `sip` address and port, as `"192.0.2.9:5060"` |
//! | `ports` | required for `static` | first and last UDP port that it listens on; this relay alone gives them out |
//! | `sip_local` | chosen by the system | for `sip`: our own SIP address and port towards it |
//! | `interface` | the first one | the interface that faces it; it must have an address of the anchor's family |
//! | `unreachable_after` | `"2s"` | packets were sent there for so long and none came back: it is bypassed |
//! | `return_after` | `"5s"` | it has answered without a pause for so long: media goes through it again |
//! | `allow_plaintext` | `false` | media may go there unprotected, beyond loopback and `plain_networks` |
//!
//! ## `[[agreement]]`
//!
//! At most one for each primary system ([`migration`](super::migration)).
//!
//! | key | default | meaning |
//! | --- | --- | --- |
//! | `primary` | required | name of the other MC system |
//! | `kind` | `"bilateral"` | or `"unilateral-in"` (its users to us), `"unilateral-out"` (ours to it) |
//! | `services` | all | `mcptt`, `mcvideo`, `mcdata` |
//! | `mode` | `"duplicate"` | a copy goes home; `"redirect"`: the call goes through home ([`redirect`](super::redirect)) |
//! | `anchors` | required for `redirect` | names, the preferred one first |
//! | `media` | `["audio", "video", "floor"]` | what goes home; also `"other"` |
//! | `deny_session_types` | `[]` | `private`, `prearranged`, `chat`, `first-to-answer`, `ambient-listening`, `adhoc` |
//! | `loggers` | all, as in the file | names, the preferred one first; with `redirect` they get what does not go through home, and `[]` is allowed |
//! | `mandatory` | `false` | signalling cannot stop the mirror; in this version it cannot in any case, since the verbs that stop one are refused |
//! | `on_logger_loss` | `"continue"` | the call goes on unmirrored; `"refuse"`: a new call is refused unless a logger has room for all of its media; `"spool"` needs a trunk logger |
//! | `on_failed_migration` | `"reject"` | or `"serve"`; read and checked, without effect in this version: only migrations that succeeded are told to it |
//! | `tell` | none | door of the primary's `homeward logger`, as `"http://192.0.2.9:8081"`: it is told who has migrated ([`primary`](super::primary)); on loopback or in `plain_networks` |
//! | `tell_token_file` | required with `tell` | file with the token that the primary has given to our system |
//!
//! ## `[users]`
//!
//! Of `homeward logger`: users of this system, who may migrate elsewhere
//! ([`primary`](super::primary)). They are kept if this section or a `[[partner]]` is there.
//!
//! | key | default | meaning |
//! | --- | --- | --- |
//! | `key_file` | none | file with the key of access data, mode 0600; without it there can be none |
//! | `previous_key_files` | `[]` | former keys: what they have encrypted is encrypted anew at the start |
//!
//! ## `[[partner]]`
//!
//! Of `homeward logger`: a system that our users may migrate to.
//!
//! | key | default | meaning |
//! | --- | --- | --- |
//! | `system` | required | its name |
//! | `token_file` | required | file with the token of its relays; no two partners may have the same |
//! | `kind` | `"bilateral"` | or `"unilateral-out"` (ours to it), `"unilateral-in"` (its users to us only) |
//! | `services` | all | `mcptt`, `mcvideo`, `mcdata` |
//! | `interconnected` | `false` | the systems are interconnected; without it no migration is accepted |
//!
//! ## `[archive]`
//!
//! The embedded logger, and `homeward logger`.
//!
//! | key | default | meaning |
//! | --- | --- | --- |
//! | `dir` | `data_dir`/archive | archive, index and recordings |
//! | `bind` | `"127.0.0.1"` | address that media arrives on |
//! | `ports` | `[41000, 60999]` | first and last UDP port for media |
//! | `relays` | `[]` | addresses that media is taken from; required beyond loopback; `[]`: `bind` itself |
//! | `close_grace` | `"2s"` | from the end of a call to the closing of its recording |
//! | `block_bytes` | `65536` | a block is sealed at so many octets |
//! | `block_age` | `"100ms"` | or at this age |
//! | `segment_bytes` | `268435456` | a segment file is closed at so many octets |
//!
//! ## `[media_anchor]`
//!
//! Makes the logger a media anchor for redirected calls ([`media_anchor`](super::media_anchor)).
//!
//! | key | default | meaning |
//! | --- | --- | --- |
//! | `sip` | required | UDP addresses that INVITEs come in on |
//! | `bind` | as in `sip` | addresses for media, one of each family |
//! | `ports` | required | first and last UDP port for media; not those of `[archive]` |
//! | `relays` | loopback | who may call; required beyond loopback |
//! | `max_calls` | `1000` | further calls are refused |
//! | `media_timeout` | `"10m"` | a call without a packet for so long is ended |
//!
//! ## `[log]`
//!
//! | key | default | meaning |
//! | --- | --- | --- |
//! | `filter` | `"info"` | a level, or directives: `"info,homeward::hook=debug"` |
//! | `format` | `"text"` | or `"json"` |
//!
//! ## Reading it again
//!
//! SIGHUP or `POST /v1/reload` ([`operations`](super::operations)). In force at once:
//!
//! | section | keys |
//! | --- | --- |
//! | `[relay]` | `max_calls`, `ended_calls`, all time-outs, `delete_delay`, `port_linger`; `learning` and `strict_source` for what signalling sets up from then on; `plain_networks` |
//! | `[ng]` | `allow` |
//! | `[http]` | `token_file`, and what is in the file; it cannot be taken away while a socket beyond loopback is open |
//! | `[[logger]]` | all keys, and what is in `announce_token_file`; but an embedded logger can only be taken away |
//! | `[[agreement]]` | all keys but `tell` and `tell_token_file` |
//! | `[[partner]]` | all keys, and what is in `token_file`; if the logger was started with users or partners |
//! | `[archive]` of `homeward logger` | `relays` |
//! | `[log]` | `filter`, unless `--log` was given |
//!
//! All other keys take effect at the next start, and a change of them is told as a warning until
//! then.
