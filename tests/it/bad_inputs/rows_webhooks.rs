//! Owns the rows of webhook endpoints: addresses that must not be taken, however they are written. What receivers do is
//! told in `tests/it/api/webhooks`.

use serde_json::{Value, json};
use uuid::Uuid;

use super::row::Row;
use super::stories::{Story, Told, hold};
use super::world::{Facts, World};

const PATH: &str = "/v1/webhook-endpoints";
/// An endpoint that nobody has.
const NOBODYS: &str = "11111111-1111-1111-1111-111111111111";

/// The stories of both deployments.
pub(super) const STORIES: &[Story] = &[Story {
    number: "124",
    name: "an address in another script, and twice",
    stores: 0,
    run: |world| Box::pin(homograph(world)),
}];

/// A name that looks like another is shown for what it is; the same address again is refused, under whatever key; what
/// was shown once is not shown twice.
async fn homograph(world: &World) -> Told {
    let body = json!({"url": "https://hooks.еxample.com/in"}).to_string();
    let made = world.post(PATH, &world.facts.demo, "webhook:homograph", "", &body).await;
    hold(made.status == 201, "it is made", &made)?;
    hold(made.json()["url"] == "https://hooks.xn--xample-2of.com/in", "it is shown for what it is", &made)?;
    hold(made.json()["secret"].as_str().is_some_and(|it| it.starts_with("whsec_")), "with its secret", &made)?;
    let again = world.post(PATH, &world.facts.demo, "webhook:homograph", "", &body).await;
    hold(again.status == 200 && again.json().get("secret").is_none(), "its repeat has no secret", &again)?;
    let twice = world.post(PATH, &world.facts.demo, "webhook:twice", "", &body).await;
    hold(twice.status == 422 && twice.json()["errors"][0]["code"] == "taken", "an address is told once", &twice)
}

/// The rows. An endpoint leaves no event in the books.
pub(super) fn rows(facts: &Facts) -> Vec<Row> {
    let mut rows = addresses(facts);
    rows.extend(settings(facts));
    rows.extend(actions(facts));
    rows
}

fn create(number: &'static str, name: impl Into<String>, facts: &Facts, body: &Value) -> Row {
    Row::post(number, name, PATH, &facts.demo, body.to_string())
}

fn of_url(number: &'static str, facts: &Facts, url: &str) -> Row {
    create(number, format!("webhook to {url}"), facts, &json!({ "url": url }))
}

fn addresses(facts: &Facts) -> Vec<Row> {
    let forms = [
        "http://hooks.example.com/",
        "ftp://hooks.example.com/",
        "file:///etc/passwd",
        "gopher://hooks.example.com/",
        "https://user:secret@hooks.example.com/",
        "https://hooks.example.com:22/",
        "https://hooks.example.com/#part",
        "hooks.example.com",
        "",
    ];
    let private = [
        "https://127.0.0.1/",
        "https://0.0.0.0/",
        "https://169.254.169.254/",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://017700000001/",
        "https://127.1/",
        "https://localhost/",
        "https://localhost./",
        "https://internal/",
        "https://metadata.google.internal/",
        "https://192.168.0.1:8443/",
        "https://100.64.0.1/",
        "https://[fd00::1]/",
        "https://[64:ff9b::7f00:1]/",
        "https://[2002:7f00:1::]/",
    ];
    let of_forms = forms.iter().map(|url| of_url("119", facts, url).invalid(&["url"]));
    of_forms.chain(private.iter().map(|url| of_url("120", facts, url).invalid(&["url"]))).collect()
}

fn settings(facts: &Facts) -> Vec<Row> {
    let good = "https://hooks.example.com/bad-inputs";
    let many: Vec<&str> = std::iter::repeat_n("payment.posted", 7).collect();
    vec![
        create("119", "no address", facts, &json!({})).invalid(&["url"]),
        create("119", "an address that is no text", facts, &json!({"url": 5})).invalid(&["url"]),
        create("119", "no types", facts, &json!({"url": good, "event_types": []})).invalid(&["event_types"]),
        create("119", "an unknown type", facts, &json!({"url": good, "event_types": ["loan.eaten"]}))
            .invalid(&["event_types.0"]),
        create("119", "a ping is not asked for", facts, &json!({"url": good, "event_types": ["ping"]}))
            .invalid(&["event_types.0"]),
        create("119", "too many types", facts, &json!({"url": good, "event_types": many})).invalid(&["event_types"]),
        create("119", "an own secret", facts, &json!({"url": good, "secret": "whsec_AAAA"})).invalid(&["secret"]),
        create("119", "a description of lines", facts, &json!({"url": good, "description": "a\nb"}))
            .invalid(&["description"]),
        create("119", "several faults", facts, &json!({"url": "http://x/", "event_types": "all", "colour": "red"}))
            .invalid(&["url", "event_types", "colour"]),
        create("119", "no key", facts, &json!({ "url": good }))
            .without("Idempotency-Key")
            .refused(400, &["idempotency_key_missing"]),
        Row::post("76", "webhooks without the scope", PATH, &facts.narrow, json!({ "url": good }).to_string())
            .refused(403, &["insufficient_scope"]),
    ]
}

fn actions(facts: &Facts) -> Vec<Row> {
    let of = |action: &str, id: &str, body: &Value| {
        let path = format!("{PATH}/{id}/{action}");
        Row::post("119", format!("{action} of {id}"), &path, &facts.demo, body.to_string())
    };
    let mut rows: Vec<Row> = ["rotate-secret", "disable", "enable", "test"]
        .into_iter()
        .flat_map(|action| [of(action, NOBODYS, &json!({})), of(action, "1%20OR%201=1", &json!({}))])
        .map(|row| row.refused(404, &["not_found"]))
        .collect();
    rows.push(of("replay", NOBODYS, &json!({"since": "2026-05-01T00:00:00Z"})).refused(404, &["not_found"]));
    for since in ["2026-05-01", "yesterday", "", "2026-13-01T00:00:00Z", "2026-05-01T00:00:00"] {
        rows.push(of("replay", NOBODYS, &json!({ "since": since })).invalid(&["since"]));
    }
    rows.push(of("replay", NOBODYS, &json!({})).invalid(&["since"]));
    for (path, status, code) in [
        (format!("{PATH}/{NOBODYS}"), 404, "not_found"),
        (format!("{PATH}/{NOBODYS}/deliveries"), 404, "not_found"),
        (format!("{PATH}/{}/deliveries?page_size=501", Uuid::nil()), 400, "invalid_parameter"),
        (format!("{PATH}?page=1"), 400, "invalid_parameter"),
    ] {
        let code: &'static [&'static str] = if code == "not_found" { &["not_found"] } else { &["invalid_parameter"] };
        rows.push(Row::get("119", path.clone(), &path, &facts.demo).refused(status, code));
    }
    rows.push(
        Row::new("119", "an endpoint is not deleted", "DELETE", PATH)
            .token(&facts.demo)
            .refused(405, &["method_not_allowed"]),
    );
    rows
}
