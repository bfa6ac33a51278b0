//! Owns the deployment under test, and the making of requests.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use hpts::api::auth::{ensure_signing_key, hash_secret};
use hpts::api::intake::{Intake, IntakeParts};
use hpts::api::waiting_room::WaitingRoom;
use hpts::api::{ApiParts, ApiSettings, ApiState, router};
use hpts::broker::Broker;
use hpts::broker::in_process::InProcessBroker;
use hpts::core::ids::{PublisherId, TenantId};
use hpts::core::money::{Currency, Minor};
use hpts::core::time::Timestamp;
use hpts::runtime::clock::Clock;
use hpts::runtime::lifecycle::Lifecycle;
use hpts::runtime::sealing::SealingKey;
use hpts::runtime::webhook_target::TargetPolicy;
use hpts::store::sqlite::SqliteStore;
use hpts::store::{ClientRecord, Store, TenantRecord};
use hpts::worker::{WebhooksParts, Worker, WorkerParts, start_webhooks};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, SqliteConnection};
use tower::ServiceExt;
use uuid::Uuid;

pub(super) const LOAN: &str = "11111111-1111-1111-1111-111111111111";
pub(super) const BORROWER: &str = "22222222-2222-2222-2222-222222222222";
pub(super) const SECRET: &str = "demo-secret";
/// 2026-05-02 12:00 UTC.
pub(super) const NOW_MICROS: i64 = 1_777_723_200_000_000;
/// How long a webhook endpoint may fail before it is disabled.
pub(super) const WEBHOOK_PATIENCE: Duration = Duration::from_hours(24 * 5);

/// What a test brings besides the defaults.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Workers {
    Running,
    /// Nothing is posted.
    None,
}

/// An api with its worker, in this process; on SQLite unless a test brings another store.
pub(super) struct World<S: Store + ?Sized = SqliteStore> {
    pub(super) router: Router,
    pub(super) store: Arc<S>,
    pub(super) clock: Clock,
    pub(super) lifecycle: Lifecycle,
    worker: WorkerParts,
    folder: PathBuf,
}

impl<S: Store + ?Sized> Drop for World<S> {
    fn drop(&mut self) {
        self.lifecycle.stop();
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

/// An answer, read to its end.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) bytes: Vec<u8>,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or(Value::Null)
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Status, code, and that it is a whole problem document.
    pub(super) fn problem(&self) -> (u16, String) {
        let json = self.json();
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        assert_eq!(json["request_id"].as_str(), self.header("x-request-id"));
        assert_eq!(json["status"], self.status);
        let code = json["code"].as_str().unwrap().to_owned();
        assert_eq!(json["type"], format!("/problems/{code}"));
        (self.status, code)
    }
}

/// What a world is set to: webhooks may go to receivers on this machine.
pub(super) fn settings() -> ApiSettings {
    let webhook_policy = TargetPolicy::allowing(["127.0.0.1".parse().unwrap()]);
    ApiSettings { webhook_policy, ..ApiSettings::default() }
}

impl World {
    pub(super) async fn new(workers: Workers) -> Self {
        Self::with_settings(workers, settings()).await
    }

    pub(super) async fn with_settings(workers: Workers, settings: ApiSettings) -> Self {
        let clock = Clock::manual(Timestamp::from_micros(NOW_MICROS).unwrap());
        let folder = own_folder();
        let store = Arc::new(SqliteStore::open(&folder.join("hpts.db"), clock.clone()).await.unwrap());
        store.migrate(2).await.unwrap();
        let same = Arc::clone(&store);
        Self::assemble((store, same), (clock, folder), workers, settings).await
    }

    /// A connection beside the store's.
    pub(super) async fn connection(&self) -> SqliteConnection {
        SqliteConnectOptions::new().filename(self.folder.join("hpts.db")).connect().await.unwrap()
    }
}

impl World<dyn Store> {
    /// The same on a migrated store.
    pub(super) async fn on(store: Arc<dyn Store>) -> Self {
        let clock = Clock::manual(Timestamp::from_micros(NOW_MICROS).unwrap());
        let same = Arc::clone(&store);
        Self::assemble((store, same), (clock, own_folder()), Workers::Running, ApiSettings::default()).await
    }
}

fn own_folder() -> PathBuf {
    let folder = std::env::temp_dir().join(format!("hpts-api-{}", Uuid::new_v4()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

impl<S: Store + ?Sized> World<S> {
    /// Puts the parts together; `shared` is the same store.
    async fn assemble(
        (store, shared): (Arc<S>, Arc<dyn Store>),
        (clock, folder): (Clock, PathBuf),
        workers: Workers,
        settings: ApiSettings,
    ) -> Self {
        let lifecycle = Lifecycle::new();
        let map = shared.partition_map().await.unwrap();
        let broker: Arc<dyn Broker> = Arc::new(InProcessBroker::new(&map));
        let publisher = PublisherId(Uuid::new_v4());
        let intake = Intake::start(
            IntakeParts {
                store: Arc::clone(&shared),
                broker: Arc::clone(&broker),
                map: map.clone(),
                publisher,
                clock: clock.clone(),
            },
            &lifecycle,
        );
        let waiting_room = WaitingRoom::default();
        let sealing_key = Some(Arc::new(Self::sealing_key()));
        waiting_room.run(&lifecycle, Arc::clone(&shared), broker.replies(publisher).await.unwrap());
        let worker = WorkerParts {
            store: Arc::clone(&shared),
            broker: Arc::clone(&broker),
            map,
            lanes: 1,
            batch_max: 100,
            clock: clock.clone(),
        };
        if workers == Workers::Running {
            let webhooks = WebhooksParts {
                store: Arc::clone(&shared),
                clock: clock.clone(),
                sealing_key: sealing_key.clone(),
                policy: settings.webhook_policy.clone(),
                patience: WEBHOOK_PATIENCE,
            };
            start_webhooks(webhooks, &lifecycle).unwrap();
        }
        ensure_signing_key(shared.as_ref(), sealing_key.as_deref(), clock.now()).await.unwrap();
        let state = ApiState::new(ApiParts {
            store: shared,
            intake,
            waiting_room,
            clock: clock.clone(),
            lifecycle: lifecycle.clone(),
            publisher,
            broker,
            settings,
            sealing_key,
        });
        let world = Self { router: router(state.unwrap()), store, clock, lifecycle, worker, folder };
        if workers == Workers::Running {
            world.work();
        }
        world.tenant(1, "demo").await;
        world
    }

    /// What its key file holds.
    pub(super) fn sealing_key() -> SealingKey {
        SealingKey::parse(&"5a".repeat(32)).unwrap()
    }

    /// Begins to post.
    pub(super) fn work(&self) {
        drop(Worker::start(&self.worker, &self.lifecycle));
    }

    /// Changes what the first tenant allows, as an operator would, and lets the time pass until every api knows it.
    pub(super) async fn allow(&self, change: impl FnOnce(&mut TenantRecord)) {
        let id = TenantId(Uuid::from_u128(1));
        let mut record = self.store.tenant(id).await.unwrap().unwrap();
        change(&mut record);
        assert!(self.store.set_tenant(record).await.unwrap());
        self.clock.advance(Duration::from_secs(11));
    }

    /// Makes a tenant with one client that may do everything.
    pub(super) async fn tenant(&self, number: u128, client_id: &str) {
        let id = TenantId(Uuid::from_u128(number));
        let tenant = TenantRecord {
            id,
            name: client_id.to_owned(),
            time_zone: "America/New_York".to_owned(),
            base_currency: Currency::USD,
            future_days: 0,
            payment_limit: Some(Minor::new(10_000_000)),
            loss_account: hpts::core::loan::LossAccount::Expense,
        };
        assert!(self.store.create_tenant(tenant).await.unwrap());
        let words = [
            "hpts:payments:write",
            "hpts:disbursements:write",
            "hpts:accruals:write",
            "hpts:loans:write",
            "hpts:balances:read",
            "hpts:ledger:read",
            "hpts:adjustments:write",
            "hpts:reversals:write",
            "hpts:reconciliation:read",
            "hpts:reconciliation:write",
            "hpts:webhooks:write",
        ];
        let client = ClientRecord {
            client_id: client_id.to_owned(),
            tenant: id,
            secret_hash: hash_secret(SECRET).unwrap(),
            scopes: words.map(str::to_owned).to_vec(),
            disabled_at: None,
        };
        assert!(self.store.create_client(client).await.unwrap());
    }

    /// A folder of the world's own, gone with it.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) async fn call(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes().to_vec();
        Answer { status: parts.status.as_u16(), headers: parts.headers, bytes }
    }

    pub(super) async fn token(&self, client_id: &str, scope: &str) -> String {
        let form = format!("grant_type=client_credentials&client_id={client_id}&client_secret={SECRET}&scope={scope}");
        let answer = self.form(&form).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        answer.json()["access_token"].as_str().unwrap().to_owned()
    }

    pub(super) async fn form(&self, form: &str) -> Answer {
        let request = Request::post("/oauth2/token")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Body::from(form.to_owned()));
        self.call(request.unwrap()).await
    }

    pub(super) async fn post(&self, path: &str, token: &str, key: &str, body: &Value) -> Answer {
        self.call(post(path, token, key, body)).await
    }

    pub(super) async fn get(&self, path: &str, token: &str) -> Answer {
        let request = Request::get(path).header("authorization", format!("Bearer {token}"));
        self.call(request.body(Body::empty()).unwrap()).await
    }

    /// Shuts a client out, as an operator would.
    pub(super) async fn disable(&self, client_id: &str) {
        self.set_disabled(client_id, Some(self.clock.now())).await;
    }

    /// Lets it in again.
    pub(super) async fn enable(&self, client_id: &str) {
        self.set_disabled(client_id, None).await;
    }

    async fn set_disabled(&self, client_id: &str, at: Option<Timestamp>) {
        let tenant = self.store.client(client_id).await.unwrap().unwrap().tenant;
        assert!(self.store.set_client_disabled(tenant, client_id, at).await.unwrap());
    }

    /// Registers the loan of the quickstart.
    pub(super) async fn open_loan(&self, token: &str, key: &str) -> Answer {
        let body = json!({"loan_id": LOAN, "borrower_id": BORROWER, "currency": "USD", "opened_on": "2026-01-01",
            "opening_balances": {"fees_minor": "500", "interest_minor": "10000", "principal_minor": "1000000"}});
        self.post("/v1/loans", token, key, &body).await
    }
}

pub(super) fn post(path: &str, token: &str, key: &str, body: &Value) -> Request<Body> {
    Request::post(path)
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/json")
        .header("idempotency-key", key)
        .body(Body::from(body.to_string()))
        .unwrap()
}

pub(super) fn payment() -> Value {
    json!({"loan_id": LOAN, "borrower_id": BORROWER, "amount_minor": "88849", "currency": "USD",
        "effective_at": "2026-05-01", "source_method": "ach", "external_ref": "stripe_ch_xyz123"})
}

/// Long enough for anything that ends at all.
pub(super) const DEADLINE: Duration = Duration::from_secs(20);
