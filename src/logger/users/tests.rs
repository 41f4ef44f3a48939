use axum::body::{Body, to_bytes};
use axum::http::Request;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;
use crate::migration::agreement::Kind;
use crate::migration::identity::Service;
use crate::store::users::{Key, Keyring};

const SECRET: &str = "correct-horse-battery-staple";
const OPERATOR: &str = "token-of-the-operator";
const Q: &str = "token-of-q.example";
const R: &str = "token-of-r.example";

struct Site {
    dir: tempfile::TempDir,
    primary: Primary,
    router: Router,
}

impl Site {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::start();
        let keys = Keyring {
            current: Key::parse(&"07".repeat(32)),
            previous: Vec::new(),
        };
        let users = Users::open(dir.path(), keys, clock.now()).unwrap();
        let partner = |system: &str, interconnected| Partner {
            system: system.parse().unwrap(),
            kind: Kind::Bilateral,
            services: vec![Service::Mcptt],
            interconnected,
        };
        let tokens = [("q.example", Q), ("r.example", R)];
        let tokens = tokens.map(|(system, token)| (system.parse().unwrap(), token.to_owned()));
        let access = Access::new(Some(OPERATOR), &tokens).unwrap();
        let partners = vec![partner("q.example", true), partner("r.example", false)];
        let primary = Primary::new(users, "p.example".parse().unwrap(), partners, access, clock);
        let (protected, open) = primary.routes();
        Self {
            dir,
            primary,
            router: protected.merge(open),
        }
    }

    async fn ask(&self, token: &str, method: &str, path: &str, body: &str) -> (u16, Value) {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", "application/json");
        if !token.is_empty() {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let problem = status >= 400;
        if problem {
            let kind = &response.headers()["content-type"];
            assert_eq!(kind, "application/problem+json", "{method} {path}");
        }
        let bytes = to_bytes(response.into_body(), 1 << 22).await.unwrap();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        assert!(!text.contains(SECRET), "{method} {path}: {text}");
        let body = match text.is_empty() {
            true => Value::Null,
            false => serde_json::from_str(&text).unwrap(),
        };
        if problem {
            assert_eq!(body["status"], status);
            assert!(!body["detail"].as_str().unwrap().is_empty());
        }
        (status, body)
    }

    async fn user(&self, name: &str) {
        let body = json!({
            "ids": { "mcptt": format!("sip:{name}@p.example") },
            "profiles": [{ "index": 1, "partners": [
                { "system": "q.example", "access": SECRET },
                { "system": "r.example" },
            ] }],
        });
        let path = format!("/v1/users/{name}");
        let (status, shown) = self.ask(OPERATOR, "PUT", &path, &body.to_string()).await;
        assert_eq!(status, 201, "{shown}");
        let partners = &shown["profiles"][0]["partners"];
        assert_eq!(partners[0]["access"], "[redacted]");
        assert_eq!(partners[1]["access"], Value::Null);
    }

    fn telling(&self, name: &str, system: &str) -> Value {
        json!({
            "record": 3,
            "sequence": 1,
            "service": "mcptt",
            "primary_system": "p.example",
            "primary_id": format!("sip:{name}@p.example"),
            "partner_system": system,
            "partner_id": format!("sip:{name}@{system}"),
            "profile_index": 1,
            "trigger": "primary-system",
            "since": self.primary.clock.now().nanos(),
        })
    }

    async fn tell(&self, token: &str, telling: &Value) -> (u16, Value) {
        let body = telling.to_string();
        self.ask(token, "POST", "/v1/migrations", &body).await
    }
}

#[tokio::test]
async fn a_partner_tells_and_the_user_is_marked() {
    let site = Site::start();
    site.user("alice").await;
    let telling = site.telling("alice", "q.example");
    let (status, mark) = site.tell(Q, &telling).await;
    assert_eq!(status, 201, "{mark}");
    assert_eq!(mark["user"], "alice");
    assert_eq!(mark["migrated"], true);
    assert_eq!(mark["partner_id"], "sip:alice@q.example");
    assert_eq!(mark["trigger"], "primary-system");
    assert_eq!(site.tell(Q, &telling).await, (200, mark.clone()));

    let path = format!("/v1/migrations/{}", mark["id"]);
    let change = json!({ "partner_id": "sip:guest@q.example" }).to_string();
    let (status, changed) = site.ask(Q, "PATCH", &path, &change).await;
    assert_eq!((status, &changed["id"]), (200, &mark["id"]), "{changed}");
    assert_eq!(changed["partner_id"], "sip:guest@q.example");
    // The first telling comes late.
    let (status, stale) = site.tell(Q, &telling).await;
    assert_eq!(status, 409, "{stale}");
    assert!(stale["last"].as_u64().unwrap() > 1);

    let (status, user) = site.ask(OPERATOR, "GET", "/v1/users/alice", "").await;
    assert_eq!(
        (status, &user["migrations"][0]["migrated"]),
        (200, &json!(true)),
        "{user}"
    );
    let (status, problem) = site.ask(OPERATOR, "DELETE", "/v1/users/alice", "").await;
    assert_eq!(
        (status, &problem["type"]),
        (409, &json!("urn:homeward:problem:user-is-migrated"))
    );
    let (status, ended) = site.ask(Q, "DELETE", &path, "").await;
    assert_eq!((status, &ended["state"]), (200, &json!("ended")), "{ended}");
    let (status, page) = site.ask(OPERATOR, "GET", "/v1/migrations", "").await;
    assert_eq!((status, &page["migrations"]), (200, &json!([])));
    let (_, page) = site
        .ask(OPERATOR, "GET", "/v1/migrations?all=true&user=alice", "")
        .await;
    assert_eq!(page["migrations"].as_array().unwrap().len(), 1);
    let (status, _) = site.ask(OPERATOR, "DELETE", "/v1/users/alice", "").await;
    assert_eq!(status, 204);
    let counts = site.primary.counts();
    assert_eq!((counts.accepted(), counts.stale()), (4, 1));
}

#[tokio::test]
async fn refusals_have_a_reason_and_are_kept() {
    let site = Site::start();
    site.user("alice").await;
    let mut other_profile = site.telling("alice", "q.example");
    other_profile["profile_index"] = json!(2);
    let mut other_service = site.telling("alice", "q.example");
    other_service["service"] = json!("mcvideo");
    for (token, telling, reason) in [
        (Q, site.telling("mallory", "q.example"), "user-unknown"),
        (Q, other_profile, "profile-unknown"),
        (Q, other_service, "service-not-allowed"),
        (R, site.telling("alice", "r.example"), "no-interconnection"),
    ] {
        let (status, problem) = site.tell(token, &telling).await;
        assert_eq!(
            (status, &problem["reason"]),
            (403, &json!(reason)),
            "{problem}"
        );
    }
    let (_, page) = site.ask(OPERATOR, "GET", "/v1/migrations", "").await;
    assert_eq!(page["refusals"].as_array().unwrap().len(), 4, "{page}");
    assert_eq!(page["refusals"][0]["reason"], "no-interconnection");
    let (_, page) = site.ask(R, "GET", "/v1/migrations", "").await;
    assert_eq!(page["refusals"].as_array().unwrap().len(), 1, "{page}");
}

#[tokio::test]
async fn a_partner_speaks_for_itself_alone() {
    let site = Site::start();
    site.user("alice").await;
    let (_, mark) = site.tell(Q, &site.telling("alice", "q.example")).await;
    // To another system than its own, and of users of another one.
    let mut foreign = site.telling("alice", "r.example");
    foreign["primary_system"] = json!("s.example");
    for liar in [site.telling("alice", "q.example"), foreign] {
        let (status, problem) = site.tell(R, &liar).await;
        assert_eq!(
            (status, &problem["reason"]),
            (403, &json!("wrong-system")),
            "{problem}"
        );
    }
    let wrong = site.primary.counts().refused().next();
    assert_eq!(wrong, Some(("wrong-system", 2)));
    // It does not see what others have told, and cannot change it.
    let path = format!("/v1/migrations/{}", mark["id"]);
    for method in ["GET", "PATCH", "DELETE"] {
        assert_eq!(site.ask(R, method, &path, "{}").await.0, 404, "{method}");
    }
    let (_, page) = site
        .ask(R, "GET", "/v1/migrations?partner_system=q.example", "")
        .await;
    assert_eq!(page["migrations"], json!([]));
    // The operator does not tell, but may end; then the partner cannot begin it again.
    let (status, _) = site
        .tell(OPERATOR, &site.telling("alice", "q.example"))
        .await;
    assert_eq!(status, 403);
    let (status, ended) = site.ask(OPERATOR, "DELETE", &path, "").await;
    assert_eq!(
        (status, &ended["ended_by"]),
        (200, &json!("primary")),
        "{ended}"
    );
    let (status, problem) = site.tell(Q, &site.telling("alice", "q.example")).await;
    assert_eq!(
        (status, &problem["reason"]),
        (403, &json!("ended-by-primary")),
        "{problem}"
    );
}

#[tokio::test]
async fn strangers_and_nonsense_change_nothing() {
    let site = Site::start();
    site.user("alice").await;
    let telling = site.telling("alice", "q.example");
    for token in ["", "nobody's", "token-of-q.exampl", "token-of-q.example2"] {
        assert_eq!(site.tell(token, &telling).await.0, 401, "{token}");
        assert_eq!(site.ask(token, "GET", "/v1/migrations", "").await.0, 401);
        assert_eq!(
            site.ask(token, "DELETE", "/v1/migrations/1", "").await.0,
            401
        );
    }
    let with = |member: &str, value: Value| {
        let mut telling = telling.clone();
        telling[member] = value;
        telling.to_string()
    };
    for (body, status) in [
        (String::new(), 400),
        ("{".into(), 400),
        ("[".repeat(10_000), 422),
        ("[]".into(), 422),
        ("{}".into(), 422),
        (with("record", json!(-1)), 422),
        (with("service", json!("mcfax")), 422),
        (with("primary_id", json!("a b")), 422),
        (with("partner_id", json!("x".repeat(300))), 422),
        (with("more", json!(1)), 422),
        (with("since", json!("2026-01-01T00:00:00Z")), 422),
        (with("partner_id", json!("x".repeat(20_000))), 413),
    ] {
        let (found, problem) = site.ask(Q, "POST", "/v1/migrations", &body).await;
        let shown: String = body.chars().take(80).collect();
        assert_eq!(found, status, "{shown}: {problem}");
    }
    for path in ["/v1/migrations/x", "/v1/migrations/99", "/v1/migrations/-1"] {
        assert_eq!(site.ask(OPERATOR, "GET", path, "").await.0, 404, "{path}");
    }
    let bad = "/v1/migrations?limit=x";
    assert_eq!(site.ask(OPERATOR, "GET", bad, "").await.0, 400);
    let (_, page) = site
        .ask(OPERATOR, "GET", "/v1/migrations?all=true", "")
        .await;
    assert_eq!(
        (&page["migrations"], &page["refusals"]),
        (&json!([]), &json!([]))
    );
}

#[tokio::test]
async fn access_data_in_a_wrong_place_is_not_repeated() {
    let site = Site::start();
    site.user("alice").await;
    let path = "/v1/users/alice";
    let ids = json!({ "mcptt": "sip:alice@p.example" });
    let profile = |profile: Value| json!({ "ids": ids, "profiles": [profile] }).to_string();
    for (body, status) in [
        (format!("\"{SECRET}\""), 422),
        (format!("{{\"{SECRET}\": 1}}"), 422),
        (SECRET.to_owned(), 400),
        (
            json!({ "ids": { "mcptt": format!("{SECRET} {SECRET}") } }).to_string(),
            422,
        ),
        (json!({ "ids": { SECRET: "sip:a@b" } }).to_string(), 422),
        (profile(json!({ "index": SECRET })), 422),
        (profile(json!({ "index": 1, SECRET: 1 })), 422),
        (
            profile(json!({ "index": 1, "partners": [{ "system": SECRET.repeat(20) }] })),
            422,
        ),
        (
            profile(json!({ "index": 1, "partners": [
                { "system": "q.example", "access": SECRET.repeat(200) }
            ] })),
            422,
        ),
        (
            profile(json!({ "index": 1, "partners": [
                { "system": "q.example", "access": "" }
            ] })),
            422,
        ),
        (json!({ "ids": {} }).to_string(), 422),
        (format!("{{\"ids\": \"{}\"}}", SECRET.repeat(50_000)), 413),
    ] {
        let (found, problem) = site.ask(OPERATOR, "PUT", path, &body).await;
        let shown: String = body.chars().take(80).collect();
        assert_eq!(found, status, "{shown}: {problem}");
    }
    assert_eq!(
        site.ask(OPERATOR, "PUT", "/v1/users/a%2Fb", "{}").await.0,
        422
    );
    assert_eq!(
        site.ask(OPERATOR, "PUT", "/v1/users/%FF", "{}").await.0,
        404
    );
    assert_eq!(
        site.ask(OPERATOR, "GET", "/v1/users/nobody", "").await.0,
        404
    );
    let (status, page) = site.ask(OPERATOR, "GET", "/v1/users?limit=1", "").await;
    assert_eq!((status, &page["next"]), (200, &json!("alice")), "{page}");
    let (_, page) = site.ask(OPERATOR, "GET", "/v1/users?after=alice", "").await;
    assert_eq!((&page["users"], &page["next"]), (&json!([]), &Value::Null));
    let files = std::fs::read_dir(site.dir.path()).unwrap();
    for file in files {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        let secret = SECRET.as_bytes();
        assert!(!bytes.windows(secret.len()).any(|window| window == secret));
    }
}

#[tokio::test]
async fn without_a_token_the_operator_is_whoever_reaches_the_door() {
    let tokens = [("q.example".parse().unwrap(), Q.to_owned())];
    let access = Access::new(None, &tokens).unwrap();
    let mut headers = HeaderMap::new();
    assert_eq!(access.caller(&headers).unwrap(), Caller::Operator);
    headers.insert("authorization", "Bearer nobody's".parse().unwrap());
    assert!(access.caller(&headers).is_err());
    headers.insert("authorization", format!("bearer {Q}").parse().unwrap());
    let caller = access.caller(&headers).unwrap();
    assert_eq!(caller, Caller::Partner("q.example".parse().unwrap()));
    headers.append("authorization", "Bearer x".parse().unwrap());
    assert!(access.caller(&headers).is_err());
    // One token, one system.
    let twice = ["q.example", "r.example"].map(|name| (name.parse().unwrap(), Q.to_owned()));
    assert!(
        Access::new(None, &twice)
            .unwrap_err()
            .contains("same token")
    );
    assert!(
        Access::new(Some(Q), &tokens)
            .unwrap_err()
            .contains("http.token_file")
    );
}
