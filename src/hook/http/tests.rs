use axum::body::{Body, to_bytes};
use axum::http::{Method, Request as HttpRequest, StatusCode};
use serde_json::{Value, json};
use tower::ServiceExt;

use self::fake::{Fake, alice};
use super::*;
use crate::migration::decision::Reason;
use crate::session::ids::CallId;
use crate::session::request::Request as CoreRequest;

mod fake;
mod sockets;

struct Answer {
    status: StatusCode,
    headers: axum::http::HeaderMap,
    body: Value,
}

async fn send(fake: &Fake, request: HttpRequest<Body>) -> Answer {
    send_to(app_of(fake, &Settings::default()), request).await
}

fn app_of(fake: &Fake, settings: &Settings) -> Router {
    let protected = Router::new().route("/secret", get(async || "secret"));
    let open = Router::new().route("/open", get(async || "open"));
    app(fake.clone(), settings, protected, open)
}

async fn send_to(app: Router, request: HttpRequest<Body>) -> Answer {
    let response = app.oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, 1 << 20).await.unwrap();
    let body = match bytes.is_empty() {
        true => Value::Null,
        false => serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| Value::from(String::from_utf8_lossy(&bytes).into_owned())),
    };
    if parts.status.is_client_error() || parts.status.is_server_error() {
        assert_eq!(parts.headers["content-type"], "application/problem+json");
        assert_eq!(body["status"], parts.status.as_u16());
        for member in ["type", "title", "detail"] {
            assert!(body[member].as_str().is_some_and(|text| !text.is_empty()));
        }
    }
    Answer {
        status: parts.status,
        headers: parts.headers,
        body,
    }
}

fn request(method: Method, path: &str, body: Option<Value>) -> HttpRequest<Body> {
    let builder = HttpRequest::builder().method(method).uri(path);
    match body {
        Some(body) => builder
            .header("content-type", "application/json; charset=utf-8")
            .body(Body::from(body.to_string()))
            .unwrap(),
        None => builder.body(Body::empty()).unwrap(),
    }
}

async fn call(fake: &Fake, method: Method, path: &str, body: Option<Value>) -> Answer {
    send(fake, request(method, path, body)).await
}

fn fields(answer: &Answer) -> Vec<&str> {
    let errors = answer.body["errors"].as_array().unwrap();
    errors
        .iter()
        .map(|error| error["field"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn a_migration_lives_its_life() {
    let fake = Fake::default();
    let path = "/v1/migrations";
    let mut body = alice();
    body["functional_aliases"] = json!(["chief@partner.example"]);
    body["trigger"] = json!("primary-system");
    body["profile_index"] = json!(3);
    body["since"] = json!("2026-01-01T01:00:00+01:00");
    body["until"] = Value::Null;
    let added = call(&fake, Method::POST, path, Some(body)).await;
    assert_eq!(added.status, StatusCode::CREATED, "{}", added.body);
    assert_eq!(added.headers["location"], "/v1/migrations/1");
    assert_eq!(added.body["since"], "2026-01-01T00:00:00.000Z");
    assert_eq!(
        added.body["functional_aliases"],
        json!(["sip:chief@partner.example"])
    );
    let one = "/v1/migrations/1";
    assert_eq!(call(&fake, Method::GET, one, None).await.body, added.body);
    let update = json!({ "until": 1_800_000_000, "functional_aliases": [] });
    let updated = call(&fake, Method::PATCH, one, Some(update)).await;
    assert_eq!(updated.body["until"], "2027-01-15T08:00:00.000Z");
    assert_eq!(updated.body["profile_index"], 3);
    let ended = call(&fake, Method::DELETE, one, None).await;
    assert_eq!(ended.status, StatusCode::OK);
    assert_eq!(ended.body["until"], "2026-01-01T00:00:00.000Z");
    let again = call(&fake, Method::DELETE, one, None).await;
    assert_eq!(again.status, StatusCode::CONFLICT);
    let listed = call(&fake, Method::GET, path, None).await;
    assert_eq!(listed.body, json!({ "migrations": [], "next": null }));
    let listed = call(&fake, Method::GET, "/v1/migrations?all=true", None).await;
    assert_eq!(listed.body["migrations"][0], ended.body);
}

#[tokio::test]
async fn lists_have_filters_and_pages() {
    let fake = Fake::default();
    for n in 0..5 {
        let mut body = alice();
        body["primary_id"] = json!(format!("u{n}@primary.example"));
        body["partner_id"] = json!(format!("p{n}@partner.example"));
        call(&fake, Method::POST, "/v1/migrations", Some(body)).await;
    }
    let get = async |query: &str| {
        call(&fake, Method::GET, &format!("/v1/migrations?{query}"), None).await
    };
    let page = get("limit=2").await.body;
    assert_eq!(page["migrations"].as_array().unwrap().len(), 2);
    assert_eq!(page["next"], 2);
    let page = get("limit=2&after=4").await.body;
    assert_eq!(
        (&page["migrations"][0]["id"], &page["next"]),
        (&json!(5), &Value::Null)
    );
    let page = get("primary_id=sip%3Au3%40primary.example&service=mcptt")
        .await
        .body;
    assert_eq!(page["migrations"][0]["id"], 4);
    assert_eq!(
        get("primary_system=other.example").await.body["migrations"],
        json!([])
    );
    let bad = get("limit=1001&after=x&service=fax&all=maybe&colour=red").await;
    assert_eq!(bad.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(fields(&bad), ["limit", "service", "all", "after", "colour"]);
    assert_eq!(fields(&get("all=true&all=false").await), ["all"]);
    assert_eq!(get("all=%ff%fe").await.status.as_u16() / 100, 4);
}

#[tokio::test]
async fn every_wrong_member_is_named_and_nothing_changes() {
    let fake = Fake::default();
    let body = json!({
        "service": "mcfax",
        "primary_id": 7,
        "partner_id": "two words@partner.example",
        "functional_aliases": ["ok@x", 5],
        "trigger": "moon",
        "profile_index": -1,
        "since": "yesterday",
        "until": 1.5,
        "color": "red",
    });
    let answer = call(&fake, Method::POST, "/v1/migrations", Some(body)).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    let named = [
        "service",
        "primary_id",
        "partner_id",
        "primary_system",
        "functional_aliases",
        "trigger",
        "profile_index",
        "since",
        "until",
        "color",
    ];
    assert_eq!(fields(&answer), named, "{}", answer.body);
    let null = json!({ "until": null, "functional_aliases": null });
    let answer = call(&fake, Method::PATCH, "/v1/migrations/1", Some(null)).await;
    assert_eq!(fields(&answer), ["functional_aliases", "until"]);
    assert_eq!(fake.registry.lock().unwrap().open_count(), 0);
}

#[tokio::test]
async fn refusals_of_the_registry_keep_their_reasons() {
    let fake = Fake::default();
    let post = async |body: Value| call(&fake, Method::POST, "/v1/migrations", Some(body)).await;
    assert_eq!(post(alice()).await.status, StatusCode::CREATED);
    let mut bob = alice();
    bob["primary_id"] = json!("bob@primary.example");
    let answer = post(bob).await;
    assert_eq!(answer.status, StatusCode::CONFLICT);
    assert_eq!(fields(&answer), ["partner_id"]);
    assert!(
        answer.body["detail"]
            .as_str()
            .unwrap()
            .contains("migration 1")
    );
    let mut late = alice();
    late["until"] = json!(5);
    let answer = post(late).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(fields(&answer), ["until"]);
    let unknown = call(&fake, Method::PATCH, "/v1/migrations/99", Some(json!({}))).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    let broken = Fake {
        broken: true,
        ..Fake::default()
    };
    let answer = call(&broken, Method::POST, "/v1/migrations", Some(alice())).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(
        answer.body["detail"]
            .as_str()
            .unwrap()
            .contains("the disk is full")
    );
    assert_eq!(broken.registry.lock().unwrap().open_count(), 0);
}

#[tokio::test]
async fn hostile_bodies_are_refused() {
    let fake = Fake::default();
    let raw = async |kind: Option<&str>, body: String| {
        let builder = HttpRequest::builder()
            .method(Method::POST)
            .uri("/v1/migrations");
        let builder = match kind {
            Some(kind) => builder.header("content-type", kind),
            None => builder,
        };
        send(&fake, builder.body(Body::from(body)).unwrap())
            .await
            .status
            .as_u16()
    };
    let json = Some("application/json");
    assert_eq!(raw(None, alice().to_string()).await, 415);
    assert_eq!(raw(Some("text/plain"), alice().to_string()).await, 415);
    assert_eq!(
        raw(Some("application/jsonx"), alice().to_string()).await,
        415
    );
    assert_eq!(raw(json, " ".repeat(65_537)).await, 413);
    assert_eq!(raw(json, "{\"a\":".repeat(10_000)).await, 400);
    assert_eq!(raw(json, "[".repeat(60_000)).await, 400);
    for body in [
        "",
        "null",
        "[]",
        "\"x\"",
        "{",
        "{}x",
        "{\"service\":\"\u{0}\"}",
        "\u{feff}{}",
    ] {
        assert_eq!(raw(json, body.to_owned()).await, 400, "{body:?}");
    }
    assert_eq!(raw(json, "{}".to_owned()).await, 422);
    let long = format!("{{\"{}\": 1}}", "k".repeat(60_000));
    assert_eq!(raw(json, long).await, 422);
}

#[tokio::test]
async fn paths_and_methods_that_do_not_exist_are_problems_too() {
    let fake = Fake::default();
    for path in [
        "/",
        "/v1",
        "/v2/calls",
        "/v1/migrations/",
        "/v1/calls/c%2f1/nothing",
    ] {
        let answer = call(&fake, Method::GET, path, None).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
    }
    let long = "9".repeat(40);
    for id in ["0", "x", "-1", "+1", "1.0", "%ff", long.as_str()] {
        let path = format!("/v1/migrations/{id}");
        let answer = call(&fake, Method::GET, &path, None).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
    }
    let path = format!("/v1/calls/{}", "c".repeat(2_000));
    let answer = call(&fake, Method::GET, &path, None).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    let answer = call(&fake, Method::PUT, "/v1/migrations", Some(alice())).await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(answer.headers["allow"], "GET,HEAD,POST");
}

#[tokio::test]
async fn calls_are_shown_and_explained() {
    let fake = Fake::default();
    let listed = call(&fake, Method::GET, "/v1/calls?limit=5", None).await;
    assert_eq!(listed.body["next"], 7);
    let first = &listed.body["calls"][0];
    assert_eq!(
        (&first["call_id"], &first["state"]),
        (&json!("c/1"), &json!("early"))
    );
    assert_eq!(
        first["packets"],
        json!({ "from_calling": 12, "from_called": 0 })
    );
    assert_eq!(first["mirrors"][0]["logger"], "hq");
    let last = call(&fake, Method::GET, "/v1/calls?after=7&limit=0", None).await;
    assert_eq!(last.body["calls"], json!([]));
    assert_eq!(last.body["next"], Value::Null);
    let bad = call(
        &fake,
        Method::GET,
        "/v1/calls?after=-1&limit=501&all=1",
        None,
    )
    .await;
    assert_eq!(fields(&bad), ["limit", "after", "all"]);
    let shown = call(&fake, Method::GET, "/v1/calls/c%2F1", None).await.body;
    assert_eq!(shown["created"], "2026-01-01T00:00:00.000Z");
    let stream = &shown["parties"][0]["medias"][0]["streams"][0];
    assert_eq!(stream["in"]["drops"], json!({ "stranger": 3 }));
    assert_eq!(stream["in"]["ssrc"], "00000abc");
    let unknown = call(&fake, Method::GET, "/v1/calls/other", None).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    let explained = call(&fake, Method::GET, "/v1/calls/c%2F1/explain", None)
        .await
        .body;
    assert_eq!(
        explained["summary"],
        "through primary.example (anchor gate): 500 packets sent there, 390 came back, 100 did \
         not; 1 of 2 lanes; mirrored to primary.example (logger hq): 11 packets copied, 1 copies \
         could not be sent"
    );
    assert_eq!(
        explained["legs"][0]["why"],
        "sip:a1@partner.example is sip:alice@primary.example of primary.example, migrated to here \
         as sip:a1@partner.example (migration 1, mcptt); the agreement sends its media to hq, \
         else spare"
    );
    let why = format!(
        "sip:bob@partner.example is not mirrored: {}",
        Reason::NotMigrated.text()
    );
    assert_eq!(explained["legs"][1]["why"], why);
    let home = &explained["homes"][0];
    assert_eq!(
        (&home["state"], &home["bypasses"]),
        (&json!("up"), &json!(1))
    );
    assert_eq!(home["packets"]["dropped"], 2);
    assert_eq!(shown["homes"], json!([]));
    assert_eq!(
        explained["legs"][1]["decision"]["outcome"]["reason"],
        "not-migrated"
    );
    assert_eq!(
        explained["legs"][0]["media"],
        "12 packets taken, dropped: 2 stranger; 500 sent after a late decision; 7 given up before a \
         decision"
    );
    let preroll = json!({ "kept": 0, "sent": 500, "evicted": 7 });
    assert_eq!(explained["legs"][0]["preroll"], preroll);
}

#[tokio::test]
async fn a_context_can_be_added_later() {
    let fake = Fake::default();
    let body = json!({ "calling_id": "a1@partner.example", "emergency": true });
    let path = "/v1/calls/c%2F1/context";
    let answer = call(&fake, Method::PUT, path, Some(body)).await;
    assert_eq!(
        (answer.status, answer.body),
        (StatusCode::NO_CONTENT, Value::Null)
    );
    let requests = fake.requests();
    let [CoreRequest::Context { call_id, context }] = &requests[..] else {
        panic!("{requests:?}");
    };
    assert_eq!(*call_id, CallId::from("c/1"));
    assert!(context.emergency && context.called_id.is_none());
    let bad = json!({ "session_type": "party", "emergency": "very", "mood": 1 });
    let answer = call(&fake, Method::PUT, path, Some(bad)).await;
    assert_eq!(fields(&answer), ["session_type", "emergency", "mood"]);
    let unknown = call(&fake, Method::PUT, "/v1/calls/x/context", Some(json!({}))).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_token_guards_all_but_the_open_routes() {
    let fake = Fake::default();
    let settings = Settings {
        gate: Gate::new(Some(Token::new("0123456789abcdef"))),
        ..Settings::default()
    };
    let ask = async |path: &str, header: Option<&str>| {
        let builder = HttpRequest::builder().uri(path);
        let builder = match header {
            Some(value) => builder.header("authorization", value),
            None => builder,
        };
        send_to(
            app_of(&fake, &settings),
            builder.body(Body::empty()).unwrap(),
        )
        .await
    };
    assert_eq!(ask("/open", None).await.status, StatusCode::OK);
    for path in ["/secret", "/v1/calls", "/v1/migrations", "/v1/calls/c%2F1"] {
        let answer = ask(path, None).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path}");
        assert_eq!(answer.headers["www-authenticate"], "Bearer");
        for bad in [
            "Bearer",
            "Bearer ",
            "Bearer 0123456789abcdeF",
            "Basic 0123456789abcdef",
        ] {
            let answer = ask(path, Some(bad)).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path} {bad}");
        }
        let answer = ask(path, Some("bearer 0123456789abcdef")).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
    }
    assert!(
        !format!("{settings:?}").contains("0123456789"),
        "{settings:?}"
    );
    // Another token holds from the next request on.
    assert!(settings.gate.set(Some(Token::new("another-good-token"))));
    assert!(!settings.gate.set(Some(Token::new("another-good-token"))));
    for (token, status) in [("0123456789abcdef", 401), ("another-good-token", 200)] {
        let answer = ask("/secret", Some(&format!("Bearer {token}"))).await;
        assert_eq!(answer.status.as_u16(), status, "{token}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_relay_that_hangs_is_answered_for() {
    let fake = Fake {
        slow: true,
        ..Fake::default()
    };
    let answer = call(&fake, Method::GET, "/v1/calls", None).await;
    assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(answer.headers["retry-after"], "1");
}
