//! An outside client of the API, as a careful caller would write it: one key per payment, retries until it knows.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::Uuid;

/// The demo loan and its borrower.
pub(crate) const LOAN: &str = "11111111-1111-1111-1111-111111111111";
pub(crate) const BORROWER: &str = "22222222-2222-2222-2222-222222222222";

/// A client with a token, talking to one or more apis.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    bases: Vec<String>,
    token: String,
}

impl Client {
    /// Gets a token at the first of the apis that answers.
    pub(crate) async fn demo(ports: &[u16]) -> Self {
        let http = reqwest::Client::builder().timeout(Duration::from_secs(30)).build().unwrap();
        let bases: Vec<String> = ports.iter().map(|port| format!("http://127.0.0.1:{port}")).collect();
        let form = "grant_type=client_credentials&client_id=demo&client_secret=demo-secret";
        let request = http
            .post(format!("{}/oauth2/token", bases[0]))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form);
        let answer: Value = serde_json::from_str(&request.send().await.unwrap().text().await.unwrap()).unwrap();
        let token = answer["access_token"].as_str().unwrap().to_owned();
        Self { http, bases, token }
    }

    /// Comes with a token of another issuer.
    pub(crate) fn with_token(port: u16, token: &str) -> Self {
        let http = reqwest::Client::builder().timeout(Duration::from_secs(30)).build().unwrap();
        Self { http, bases: vec![format!("http://127.0.0.1:{port}")], token: token.to_owned() }
    }

    /// What it shows the api.
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// One POST with a key; the answer's status and body, or `None` when the connection failed.
    pub(crate) async fn post(
        &self,
        api: usize,
        path: &str,
        key: &str,
        body: &Value,
        prefer: Option<&str>,
    ) -> Option<(u16, Value)> {
        let base = &self.bases[api % self.bases.len()];
        let mut request = self
            .http
            .post(format!("{base}{path}"))
            .bearer_auth(&self.token)
            .header("content-type", "application/json")
            .header("idempotency-key", key)
            .body(body.to_string());
        if let Some(prefer) = prefer {
            request = request.header("prefer", prefer);
        }
        let answer = request.send().await.ok()?;
        let status = answer.status().as_u16();
        let text = answer.text().await.ok()?;
        Some((status, serde_json::from_str(&text).unwrap_or(Value::Null)))
    }

    /// One POST of CSV; status and body.
    pub(crate) async fn post_csv(&self, path: &str, key: &str, csv: &str) -> (u16, Value) {
        self.post_text(path, key, ("text/csv", csv)).await
    }

    /// One POST of a text of a media type; status and body.
    pub(crate) async fn post_text(&self, path: &str, key: &str, (media_type, text): (&str, &str)) -> (u16, Value) {
        let request = self.http.post(format!("{}{path}", self.bases[0])).bearer_auth(&self.token);
        let request = request.header("content-type", media_type).header("idempotency-key", key).body(text.to_owned());
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap_or(Value::Null))
    }

    /// An upload of NDJSON to the api of a port.
    pub(crate) fn upload_to(&self, port: u16, key: &str, body: reqwest::Body) -> reqwest::RequestBuilder {
        self.http
            .post(format!("http://127.0.0.1:{port}/v1/payments/batch"))
            .bearer_auth(&self.token)
            .header("content-type", "application/x-ndjson")
            .header("idempotency-key", key)
            .body(body)
    }

    /// One GET; status and body.
    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        let request = self.http.get(format!("{}{path}", self.bases[0])).bearer_auth(&self.token);
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap_or(Value::Null))
    }

    /// Looks payments up; status and body.
    pub(crate) async fn lookup(&self, body: &Value) -> (u16, Value) {
        let request = self.http.post(format!("{}/v1/payments/lookup", self.bases[0])).bearer_auth(&self.token);
        let request = request.header("content-type", "application/json").body(body.to_string());
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap_or(Value::Null))
    }

    /// Opens a stream of events, which has no time limit.
    pub(crate) async fn stream(&self, path: &str, last_id: Option<&str>) -> reqwest::Response {
        let request = self.http.get(format!("{}{path}", self.bases[0])).bearer_auth(&self.token);
        let request = request.header("accept", "text/event-stream").timeout(Duration::from_mins(5));
        let request = last_id.into_iter().fold(request, |request, id| request.header("last-event-id", id));
        request.send().await.unwrap()
    }

    /// Posts until the answer is final: retries lost connections, 409 and 503 with the same key.
    pub(crate) async fn post_until_final(&self, path: &str, key: &str, body: &Value) -> (u16, Value) {
        let deadline = Instant::now() + Duration::from_mins(1);
        for turn in 0.. {
            match self.post(turn, path, key, body, None).await {
                Some((status, answer)) if ![202, 409, 503].contains(&status) => return (status, answer),
                _ => assert!(Instant::now() < deadline, "no final answer for {key}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        unreachable!("the loop ends by returning")
    }

    /// Opens loans through the API; answers their ids.
    pub(crate) async fn open_loans(&self, count: usize) -> Vec<Uuid> {
        let mut loans = Vec::new();
        for _ in 0..count {
            let loan = Uuid::new_v4();
            let body = json!({
                "loan_id": loan, "borrower_id": BORROWER, "currency": "USD", "opened_on": "2026-01-01",
                "opening_balances": { "fees_minor": "100", "interest_minor": "200", "principal_minor": "1000000" },
            });
            let (status, answer) = self.post_until_final("/v1/loans", &format!("loan:{loan}"), &body).await;
            assert!([200, 201].contains(&status), "{answer}");
            loans.push(loan);
        }
        loans
    }
}

/// A payment of some cents.
pub(crate) fn payment(loan: impl std::fmt::Display, cents: usize) -> Value {
    json!({
        "loan_id": loan.to_string(), "borrower_id": BORROWER, "amount_minor": cents.to_string(), "currency": "USD",
        "effective_at": "2026-05-01", "source_method": "ach",
    })
}
