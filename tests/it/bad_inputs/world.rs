//! Owns the system a table is run against, and what its rows need to know of it.

use std::net::SocketAddr;
use std::sync::Arc;

use hpts::api::auth::new_signing_key;
use hpts::core::ids::{LoanId, LoanKey, TenantId};
use hpts::runtime::clock::Clock;
use hpts::store::postgres::PostgresStore;
use hpts::store::sqlite::SqliteStore;
use hpts::store::{SigningKeyRecord, Store};
use serde_json::{Value, json};

use super::raw::{Answer, PATIENCE, exchange};
use super::tokens::Forge;
use crate::processes::client::{BORROWER, LOAN};
use crate::processes::{Process, System};

/// The demo tenant and one beside it.
pub(super) const DEMO_TENANT: &str = "00000000-0000-7000-8000-00000000de30";
pub(super) const OTHER_TENANT: &str = "00000000-0000-7000-8000-0000000000b1";
const AHEAD_TENANT: &str = "00000000-0000-7000-8000-0000000000b2";
const BEHIND_TENANT: &str = "00000000-0000-7000-8000-0000000000b3";
/// The other tenant's loan; nobody else may see that it exists.
pub(super) const OTHER_LOAN: &str = "0bad0bad-0bad-4bad-8bad-0bad0bad0bad";
/// One loan in each tenant whose calendar differs from UTC.
pub(super) const ZONED_LOAN: &str = "20000000-0000-4000-8000-000000000001";
/// A loan of the demo tenant that nobody pays: what is read of it stays the same.
pub(super) const QUIET_LOAN: &str = "30000000-0000-4000-8000-000000000001";
/// The most one payment may be in the tenant that is ahead of UTC.
pub(super) const PAYMENT_LIMIT: &str = "100000";
/// Feeds of the demo tenant beside the demo's own.
pub(super) const STRICT_FEED: &str = "strict";
pub(super) const LENIENT_FEED: &str = "lenient";
/// Time zones that, between them, differ from UTC's date at every hour.
pub(super) const ZONE_AHEAD: chrono_tz::Tz = chrono_tz::Pacific::Kiritimati;
pub(super) const ZONE_BEHIND: chrono_tz::Tz = chrono_tz::Etc::GMTPlus12;

/// What rows are made of: no servers are needed to list them.
#[derive(Debug)]
pub(super) struct Facts {
    /// Tokens by client.
    pub(super) demo: String,
    pub(super) other: String,
    pub(super) ahead: String,
    pub(super) behind: String,
    pub(super) narrow: String,
    pub(super) narrow_secret: String,
    /// Makes tokens, with the system's own key and with others.
    pub(super) forge: Forge,
    pub(super) clock: Clock,
    /// A payment of the demo tenant of 1 May that nobody returns, one of the other tenant, and a loan's opening.
    pub(super) paid: String,
    pub(super) paid_by_other: String,
    pub(super) opened: String,
}

impl Facts {
    /// Facts of no system, for looking through the rows.
    pub(super) fn made_up() -> Self {
        let clock = Clock::system();
        let key = new_signing_key(None, clock.now()).unwrap();
        let token = || "a.b.c".to_owned();
        let forge = Forge::new(key, clock.now());
        let (demo, other, ahead, behind, narrow) = (token(), token(), token(), token(), token());
        let (paid, paid_by_other, opened) = (String::new(), String::new(), String::new());
        let narrow_secret = token();
        Self { demo, other, ahead, behind, narrow, narrow_secret, forge, clock, paid, paid_by_other, opened }
    }
}

/// A payment of the demo loan with some members changed; null takes one out.
pub(super) fn payment(changes: &[(&str, Value)]) -> Value {
    let mut body = json!({
        "loan_id": LOAN, "borrower_id": BORROWER, "amount_minor": "100", "currency": "USD",
        "effective_at": "2026-05-01", "source_method": "ach",
    });
    for (name, value) in changes {
        body[*name] = value.clone();
    }
    body
}

/// The same with one member as literal text.
pub(super) fn payment_with(name: &str, text: &str) -> String {
    let mut body = payment(&[]);
    body.as_object_mut().unwrap().remove(name);
    let rest = body.to_string();
    format!("{{\"{name}\":{text},{}", rest.trim_start_matches('{'))
}

/// A loan to be opened.
pub(super) fn opening(loan: &str, changes: &[(&str, Value)]) -> Value {
    let mut body = json!({
        "loan_id": loan, "borrower_id": BORROWER, "currency": "USD", "opened_on": "2026-01-01",
        "opening_balances": { "fees_minor": "100", "interest_minor": "200", "principal_minor": "1000000" },
    });
    for (name, value) in changes {
        body[*name] = value.clone();
    }
    body
}

/// A running system with more tenants and clients than the demo's.
#[derive(Debug)]
pub(super) struct World {
    // Dropped in this order: processes end before what they stand on is cleared away.
    processes: Vec<Process>,
    pub(super) store: Arc<dyn Store>,
    pub(super) system: System,
    pub(super) facts: Facts,
    pub(super) address: SocketAddr,
}

impl World {
    /// An api and a worker on PostgreSQL and RabbitMQ.
    pub(super) async fn distributed() -> Self {
        let system = System::distributed().await;
        let processes = vec![system.start(&["api"]).await, system.start(&["worker"]).await];
        let store = Arc::new(PostgresStore::connect(&system.database_url(), 4).await.unwrap());
        Self::furnished(system, processes, store).await
    }

    /// One process on `SQLite`.
    pub(super) async fn embedded() -> Self {
        let system = System::embedded();
        let processes = vec![system.start(&["serve", "--demo"]).await];
        let file = system.data_dir().unwrap().join("hpts.sqlite3");
        let store = Arc::new(SqliteStore::open(&file, Clock::system()).await.unwrap());
        Self::furnished(system, processes, store).await
    }

    async fn furnished(system: System, processes: Vec<Process>, store: Arc<dyn Store>) -> Self {
        for (id, zone, limit) in [
            (OTHER_TENANT, "UTC", None),
            (AHEAD_TENANT, ZONE_AHEAD.name(), Some(PAYMENT_LIMIT)),
            (BEHIND_TENANT, ZONE_BEHIND.name(), None),
        ] {
            let limit = limit.map_or_else(Vec::new, |limit| vec!["--payment-limit", limit]);
            let arguments = ["tenant", "create", "--name", "Other", "--id", id, "--time-zone", zone];
            system.run(&[&arguments[..], &limit].concat());
        }
        let feed = ["feed", "create", "--tenant", DEMO_TENANT, "--view", "originator", "--name"];
        system.run(&[&feed[..], &[STRICT_FEED, "--destination", "231380104"]].concat());
        system.run(&[&feed[..], &[LENIENT_FEED, "--tolerance", "trace_order"]].concat());
        let address: SocketAddr = ([127, 0, 0, 1], processes[0].port).into();
        let client = |id: &'static str, tenant: &'static str, scope: Option<&'static str>| {
            let scope = scope.map_or_else(Vec::new, |scope| vec!["--scope", scope]);
            let arguments = ["client", "create", "--json", "--id", id, "--tenant", tenant];
            let made: Value = serde_json::from_str(&system.run(&[&arguments[..], &scope].concat())).unwrap();
            made["client_secret"].as_str().unwrap().to_owned()
        };
        let narrow_secret = client("narrow", DEMO_TENANT, Some("hpts:balances:read"));
        let key: SigningKeyRecord = store.signing_keys().await.unwrap().remove(0);
        let clock = Clock::system();
        let facts = Facts {
            demo: token(address, "demo", "demo-secret").await,
            other: token(address, "other", &client("other", OTHER_TENANT, None)).await,
            ahead: token(address, "ahead", &client("ahead", AHEAD_TENANT, None)).await,
            behind: token(address, "behind", &client("behind", BEHIND_TENANT, None)).await,
            narrow: token(address, "narrow", &narrow_secret).await,
            narrow_secret,
            forge: Forge::new(key, clock.now()),
            clock,
            paid: String::new(),
            paid_by_other: String::new(),
            opened: String::new(),
        };
        let mut world = Self { processes, store, system, facts, address };
        world.facts.opened = world.open(&world.facts.demo, QUIET_LOAN, &[]).await;
        world.open(&world.facts.other, OTHER_LOAN, &[]).await;
        world.open(&world.facts.ahead, ZONED_LOAN, &[]).await;
        world.open(&world.facts.behind, ZONED_LOAN, &[]).await;
        let loan = world.fresh_loan().await;
        world.facts.paid = world.paid(&world.facts.demo, &loan).await;
        world.facts.paid_by_other = world.paid(&world.facts.other, OTHER_LOAN).await;
        world
    }

    /// Pays a loan; answers the payment's id.
    async fn paid(&self, token: &str, loan: &str) -> String {
        let body = payment(&[("loan_id", json!(loan))]).to_string();
        let answer = self.post("/v1/payments", token, &format!("paid:{loan}"), "Prefer: wait=30\r\n", &body).await;
        assert_eq!(answer.status, 201, "{}", String::from_utf8_lossy(&answer.body));
        answer.json()["payment_event_id"].as_str().unwrap().to_owned()
    }

    /// What no answer to the demo tenant's clients may show.
    pub(super) fn secrets() -> Vec<String> {
        [OTHER_TENANT, AHEAD_TENANT, BEHIND_TENANT, OTHER_LOAN].map(str::to_owned).to_vec()
    }

    /// Where the worker tells its metrics.
    pub(super) fn worker_metrics(&self) -> String {
        format!("http://127.0.0.1:{}/metrics", self.processes[self.processes.len() - 1].monitor)
    }

    /// A POST with a key; more headers as they are.
    pub(super) async fn post(&self, path: &str, token: &str, key: &str, more: &str, body: &str) -> Answer {
        let bytes = format!(
            "POST {path} HTTP/1.1\r\nHost: hpts.test\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
             Idempotency-Key: {key}\r\nContent-Type: application/json\r\n{more}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        exchange(self.address, bytes.as_bytes(), PATIENCE).await
    }

    /// A payment of the demo tenant.
    pub(super) async fn pay(&self, key: &str, more: &str, body: &Value) -> Answer {
        self.post("/v1/payments", &self.facts.demo, key, more, &body.to_string()).await
    }

    pub(super) async fn get(&self, path: &str, token: &str) -> Answer {
        let bytes = format!(
            "GET {path} HTTP/1.1\r\nHost: hpts.test\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n"
        );
        exchange(self.address, bytes.as_bytes(), PATIENCE).await
    }

    /// Opens a loan: one event, whose id it answers.
    pub(super) async fn open(&self, token: &str, loan: &str, changes: &[(&str, Value)]) -> String {
        let body = opening(loan, changes).to_string();
        let answer = self.post("/v1/loans", token, &format!("open:{loan}"), "Prefer: wait=30\r\n", &body).await;
        assert_eq!(answer.status, 201, "{}", String::from_utf8_lossy(&answer.body));
        answer.json()["loan_event_id"].as_str().unwrap().to_owned()
    }

    /// Makes a demo loan stand still: what comes waits.
    pub(super) async fn hold_loan(&self, loan: &str) {
        self.change_hold(loan, "hold").await;
    }

    /// Lets a demo loan go on.
    pub(super) async fn release_loan(&self, loan: &str) {
        self.change_hold(loan, "release").await;
    }

    async fn change_hold(&self, loan: &str, act: &str) {
        let (path, key) = (format!("/v1/loans/{loan}/{act}"), format!("{act}:{}", uuid::Uuid::new_v4()));
        let answer = self.post(&path, &self.facts.demo, &key, "", r#"{"reason": "a person looks"}"#).await;
        assert_eq!(answer.status, 201, "{}", String::from_utf8_lossy(&answer.body));
    }

    /// Opens a fresh loan of the demo tenant; answers its id.
    pub(super) async fn fresh_loan(&self) -> String {
        let loan = uuid::Uuid::new_v4().to_string();
        self.open(&self.facts.demo, &loan, &[]).await;
        loan
    }

    /// Shuts a client out, as an operator would.
    pub(super) fn disable(&self, client: &str) {
        self.system.run(&["client", "disable", "--tenant", DEMO_TENANT, "--id", client]);
    }
}

/// The key of a demo loan.
pub(super) fn demo_loan_key(loan: &str) -> LoanKey {
    LoanKey::of_loan(TenantId::parse(DEMO_TENANT).unwrap(), LoanId::parse(loan).unwrap())
}

/// The token endpoint's answer to a form.
pub(super) async fn token_answer(address: SocketAddr, form: &str) -> Answer {
    let bytes = format!(
        "POST /oauth2/token HTTP/1.1\r\nHost: hpts.test\r\nConnection: close\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
        form.len()
    );
    exchange(address, bytes.as_bytes(), PATIENCE).await
}

/// A client's token.
pub(super) async fn token(address: SocketAddr, client: &str, secret: &str) -> String {
    let form = format!("grant_type=client_credentials&client_id={client}&client_secret={secret}");
    let answer = token_answer(address, &form).await;
    answer.json()["access_token"].as_str().unwrap_or_else(|| panic!("no token for {client}: {answer:?}")).to_owned()
}
