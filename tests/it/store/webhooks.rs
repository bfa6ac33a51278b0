//! Laws of webhooks: keyed operations on endpoints, turns, and deliveries that failed.

use std::time::Duration;

use hpts::core::event::{IdempotencyKey, NewEvent, Upload, UploadOperation};
use hpts::core::ids::{EventId, TenantId, WebhookEndpointId, WorkerId};
use hpts::core::money::Currency;
use hpts::core::time::Timestamp;
use hpts::core::webhook::{WebhookOperation, WebhookType};
use hpts::store::{
    Attempt, AttemptFailure, ChangePlace, ClaimPlan, DisabledReason, EndpointHold, EndpointRecord, EndpointRef,
    NewEndpoint, NewOperation, Operated, Refusal, Told, Turned, WebhookEffect,
};
use uuid::Uuid;

use super::changes::shown;
use super::{Fixture, prove};
use crate::support::books::{Books, day};

const LEASE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

fn operation(books: &Books, key: &str, asked: WebhookOperation, effect: WebhookEffect) -> NewOperation {
    let operation = UploadOperation::Webhook(asked);
    let upload = Upload { operation, currency: Currency::USD, received_on: day(5, 1) };
    let (id, key) = (EventId(Uuid::new_v4()), IdempotencyKey::parse(key).unwrap());
    let event = NewEvent::of_upload(id, books.tenant, key, upload, books.publisher, "test".to_owned());
    NewOperation { event, effect, answer: format!("answer of {id}").into_bytes() }
}

/// The key that an endpoint of this address is made under.
fn key_of(url: &str) -> String {
    format!("create:{}", url.replace('/', "."))
}

async fn new_endpoint(books: &Books, url: &str, endpoints_max: i64) -> NewOperation {
    let asked = WebhookOperation::Create {
        url: url.to_owned(),
        event_types: vec![WebhookType::PaymentPosted],
        description: Some("servicing".to_owned()),
    };
    let endpoint = NewEndpoint {
        created_at: books.store.now().await.unwrap(),
        url: url.to_owned(),
        description: Some("servicing".to_owned()),
        event_types: vec![WebhookType::PaymentPosted],
        secret: b"first".to_vec(),
        place: ChangePlace::START,
        endpoints_max,
    };
    operation(books, &key_of(url), asked, WebhookEffect::Create(endpoint))
}

async fn make(books: &Books, url: &str) -> EndpointRef {
    let new = new_endpoint(books, url, 100).await;
    let id = WebhookEndpointId(new.event.id.0);
    let made = books.store.operate_webhook(new).await.unwrap();
    assert!(matches!(made, Operated::Done), "{made:?}");
    EndpointRef { tenant: books.tenant, id }
}

async fn operate(books: &Books, key: &str, asked: WebhookOperation, effect: WebhookEffect) -> Operated {
    books.store.operate_webhook(operation(books, key, asked, effect)).await.unwrap()
}

async fn read(books: &Books, of: EndpointRef) -> EndpointRecord {
    books.store.webhook_endpoint(of).await.unwrap().unwrap()
}

fn worker(n: u128) -> WorkerId {
    WorkerId(Uuid::from_u128(0x7000 + n))
}

async fn claim(books: &Books, n: u128, pending_max: i64) -> Vec<EndpointRecord> {
    let plan = ClaimPlan { worker: worker(n), lease: LEASE, limit: 10, pending_max };
    books.store.claim_endpoints(plan).await.unwrap()
}

fn told(event_id: EventId) -> Told {
    Told { event_id, event_type: WebhookType::PaymentPosted }
}

fn failed(told: Told, pause: Option<Duration>) -> Attempt {
    let failure = Some(AttemptFailure { error: "status", pause });
    Attempt { told, status: Some(500), duration: Duration::from_millis(7), failure }
}

fn delivered(told: Told) -> Attempt {
    Attempt { told, status: Some(204), duration: Duration::from_millis(3), failure: None }
}

fn turned(of: EndpointRef, n: u128, attempts: Vec<Attempt>) -> Turned {
    Turned {
        hold: EndpointHold { id: of.id, worker: worker(n) },
        lease: LEASE,
        from: ChangePlace::START,
        to: ChangePlace::START,
        attempts,
        failures: Some(0),
        pause: Duration::ZERO,
        disabled: None,
    }
}

async fn release(books: &Books, of: EndpointRef, n: u128, forget_after: Duration) {
    let hold = EndpointHold { id: of.id, worker: worker(n) };
    books.store.release_endpoint(hold, forget_after).await.unwrap();
}

pub(crate) async fn an_endpoint_is_made_once_and_answers_again(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let new = new_endpoint(&books, "https://a.example.com/", 2).await;
    let of = EndpointRef { tenant: books.tenant, id: WebhookEndpointId(new.event.id.0) };
    let made = books.store.operate_webhook(new.clone()).await.unwrap();
    assert!(matches!(made, Operated::Done), "{made:?}");
    let record = read(&books, of).await;
    assert_eq!((record.url.as_str(), record.secret.as_slice()), ("https://a.example.com/", &b"first"[..]));
    assert_eq!(
        (record.event_types, record.description.as_deref()),
        (vec![WebhookType::PaymentPosted], Some("servicing"))
    );
    assert_eq!((record.disabled, record.place, record.pending), (None, ChangePlace::START, 0));

    let again = NewOperation { answer: b"other".to_vec(), ..new_endpoint(&books, "https://a.example.com/", 2).await };
    let known = books.store.operate_webhook(again).await.unwrap();
    let Operated::Known(known, answer) = known else { panic!("{known:?}") };
    assert_eq!((known.event.event.id, answer), (new.event.id, Some(new.answer.clone())));

    let mut same_url = new_endpoint(&books, "https://a.example.com/", 9).await;
    same_url.event.key = Some(IdempotencyKey::parse("create:other").unwrap());
    same_url.event.key_hash = hpts::core::ids::KeyHash::of_caller_key(books.tenant, "create:other");
    for _ in 0..2 {
        let taken = books.store.operate_webhook(same_url.clone()).await.unwrap();
        assert!(matches!(taken, Operated::Refused(Refusal::Taken)), "{taken:?}");
    }
    make(&books, "https://b.example.com/").await;
    let third = books.store.operate_webhook(new_endpoint(&books, "https://c.example.com/", 2).await).await.unwrap();
    assert!(matches!(third, Operated::Refused(Refusal::TooMany)), "{third:?}");
    assert!(books.store.event_of_key(books.tenant, &key_of("https://c.example.com/")).await.unwrap().is_none());
    assert_eq!(fixture.count("webhook_endpoints").await, 2);
    assert_eq!(books.store.webhook_endpoints(books.tenant).await.unwrap().len(), 2);
    prove(&books.store).await;
}

pub(crate) async fn operations_change_the_tenants_own_endpoint_only(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let thief = Books::open(fixture.store(), 2).await;
    let of = make(&books, "https://a.example.com/").await;
    let endpoint = of.id;
    let place = ChangePlace { epoch: 1, xact: 5, taken: 1 };
    let all = [
        (
            WebhookOperation::RotateSecret { endpoint },
            WebhookEffect::Rotate { endpoint, secret: b"second".to_vec(), overlap: HOUR },
        ),
        (WebhookOperation::Disable { endpoint }, WebhookEffect::Disable { endpoint }),
        (WebhookOperation::Enable { endpoint }, WebhookEffect::Enable { endpoint }),
        (WebhookOperation::Test { endpoint }, WebhookEffect::Ping { endpoint }),
        (WebhookOperation::Replay { endpoint, since: Timestamp::EPOCH }, WebhookEffect::Rewind { endpoint, to: place }),
    ];
    let before = read(&books, of).await;
    for (number, (asked, effect)) in all.into_iter().enumerate() {
        let stolen = operate(&thief, &format!("steal:{number:04}"), asked, effect).await;
        assert!(matches!(stolen, Operated::Refused(Refusal::Missing)), "{stolen:?}");
    }
    assert_eq!(read(&books, of).await, before);
    let seen = EndpointRef { tenant: thief.tenant, id: of.id };
    assert_eq!(books.store.webhook_endpoint(seen).await.unwrap(), None);
    assert_eq!(books.store.webhook_deliveries(seen, 10).await.unwrap(), []);
    assert_eq!(books.store.webhook_endpoints(thief.tenant).await.unwrap(), []);

    let rotate = WebhookEffect::Rotate { endpoint, secret: b"second".to_vec(), overlap: HOUR };
    operate(&books, "rotate:0001", WebhookOperation::RotateSecret { endpoint }, rotate).await;
    let record = read(&books, of).await;
    let (previous, until) = record.previous_secret.unwrap();
    assert_eq!((record.secret.as_slice(), previous.as_slice()), (&b"second"[..], &b"first"[..]));
    assert!(until > books.store.now().await.unwrap());
    operate(&books, "disable:0001", WebhookOperation::Disable { endpoint }, WebhookEffect::Disable { endpoint }).await;
    let disabled = read(&books, of).await.disabled.unwrap();
    assert_eq!(disabled.reason, DisabledReason::Requested);
    operate(&books, "enable:0001", WebhookOperation::Enable { endpoint }, WebhookEffect::Enable { endpoint }).await;
    assert_eq!(read(&books, of).await.disabled, None);
    prove(&books.store).await;
}

pub(crate) async fn a_turn_is_had_by_one_worker_where_there_is_something_to_tell(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let other = Books::open(fixture.store(), 2).await;
    let of = make(&books, "https://a.example.com/").await;
    make(&other, "https://a.example.com/").await;
    assert_eq!(claim(&books, 1, 10).await, [], "nothing was posted");
    books.book(vec![books.opening(1, [0, 0, 500]), books.payment(1, 100)]).await;
    shown(&books.store).await;
    assert_eq!(claim(&books, 1, 0).await, [], "as many wait as may");
    let claimed = claim(&books, 1, 10).await;
    assert_eq!(claimed.iter().map(|endpoint| endpoint.id).collect::<Vec<_>>(), [of.id]);
    assert_eq!(claim(&books, 2, 10).await, [], "somebody has the turn");

    let end = books.store.changed(vec![(books.tenant, ChangePlace::START)]).await.unwrap()[0].1;
    let half = ChangePlace { taken: 1, ..end };
    let step = Turned { to: half, ..turned(of, 1, Vec::new()) };
    assert!(!books.store.record_turn(turned(of, 2, Vec::new())).await.unwrap(), "it is another's turn");
    assert!(books.store.record_turn(step).await.unwrap());
    release(&books, of, 1, HOUR).await;
    assert_eq!(claim(&books, 2, 10).await[0].place, half, "a row of the feed that is half told goes on");
    let wrong = Turned { from: ChangePlace::START, to: end, ..turned(of, 2, Vec::new()) };
    assert!(books.store.record_turn(wrong).await.unwrap());
    assert_eq!(read(&books, of).await.place, half, "the place moves from where it stands only");
    let rest = Turned { from: half, to: end, ..turned(of, 2, Vec::new()) };
    assert!(books.store.record_turn(rest).await.unwrap());
    release(&books, of, 2, HOUR).await;
    assert_eq!(claim(&books, 1, 10).await, [], "everything is told");

    let rewind = WebhookEffect::Rewind { endpoint: of.id, to: ChangePlace::START };
    let asked = WebhookOperation::Replay { endpoint: of.id, since: Timestamp::EPOCH };
    operate(&books, "replay:0001", asked, rewind).await;
    assert_eq!(claim(&books, 1, 10).await[0].place, ChangePlace::START);
    let pause = Turned { to: end, pause: HOUR, failures: Some(3), ..turned(of, 1, Vec::new()) };
    assert!(books.store.record_turn(pause).await.unwrap());
    release(&books, of, 1, HOUR).await;
    books.book(vec![books.payment(1, 100)]).await;
    shown(&books.store).await;
    assert_eq!(claim(&books, 1, 10).await, [], "it is paused");
    let record = read(&books, of).await;
    assert_eq!((record.failures, record.failing_since.is_some()), (3, true));
    operate(&books, "test:00001", WebhookOperation::Test { endpoint: of.id }, WebhookEffect::Ping { endpoint: of.id })
        .await;
    assert_eq!(claim(&books, 1, 10).await.len(), 1, "a ping ends the pause");
    prove(&books.store).await;
}

pub(crate) async fn a_delivery_has_a_row_from_its_first_failure(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let of = make(&books, "https://a.example.com/").await;
    let wanted = books.book(vec![books.opening(1, [0, 0, 500]), books.payment(1, 100), books.payment(1, 50)]).await;
    shown(&books.store).await;
    let (first, second) = (told(wanted[1].id), told(wanted[2].id));
    assert_eq!(claim(&books, 1, 10).await.len(), 1);
    let attempts = vec![failed(first, Some(Duration::ZERO)), delivered(second)];
    assert!(books.store.record_turn(turned(of, 1, attempts)).await.unwrap());
    assert_eq!(fixture.count("webhook_deliveries").await, 1, "what was delivered at once leaves no row");
    let due = books.store.due_deliveries(of.id, 10).await.unwrap();
    assert_eq!((due.len(), due[0].told, due[0].attempts), (1, first, 1));
    assert_eq!(read(&books, of).await.pending, 1);

    assert!(books.store.record_turn(turned(of, 1, vec![failed(first, Some(HOUR))])).await.unwrap());
    assert_eq!(books.store.due_deliveries(of.id, 10).await.unwrap(), [], "not before its time");
    assert!(books.store.record_turn(turned(of, 1, vec![delivered(first)])).await.unwrap());
    let log = books.store.webhook_deliveries(of, 10).await.unwrap();
    assert_eq!((log.len(), log[0].attempts, log[0].status, log[0].error.as_deref()), (1, 3, Some(204), None));
    assert!(log[0].delivered_at.is_some() && log[0].next_attempt_at.is_none(), "{log:?}");

    // Told again by a replay, it begins anew; given up, it stays so.
    assert!(books.store.record_turn(turned(of, 1, vec![failed(first, None)])).await.unwrap());
    let log = books.store.webhook_deliveries(of, 10).await.unwrap();
    assert_eq!((log[0].attempts, log[0].delivered_at, log[0].next_attempt_at), (1, None, None));
    assert_eq!((log[0].status, log[0].error.as_deref(), log[0].duration_ms), (Some(500), Some("status"), Some(7)));
    release(&books, of, 1, HOUR).await;
    assert_eq!(fixture.count("webhook_deliveries").await, 1);
    release(&books, of, 1, Duration::ZERO).await;
    assert_eq!(fixture.count("webhook_deliveries").await, 0, "what is settled is forgotten in time");
    prove(&books.store).await;
}

pub(crate) async fn an_endpoint_that_is_gone_gets_no_turn(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let of = make(&books, "https://a.example.com/").await;
    let wanted = books.book(vec![books.opening(1, [0, 0, 500]), books.payment(1, 100)]).await;
    shown(&books.store).await;
    assert_eq!(claim(&books, 1, 10).await.len(), 1);
    let gone = Turned {
        disabled: Some(DisabledReason::Gone),
        failures: Some(1),
        ..turned(of, 1, vec![failed(told(wanted[1].id), Some(Duration::ZERO))])
    };
    assert!(!books.store.record_turn(gone).await.unwrap(), "the turn ends");
    release(&books, of, 1, HOUR).await;
    assert_eq!(claim(&books, 1, 10).await, []);
    let record = read(&books, of).await;
    assert_eq!((record.disabled.unwrap().reason, record.pending), (DisabledReason::Gone, 1));
    let (asked, effect) = (WebhookOperation::Enable { endpoint: of.id }, WebhookEffect::Enable { endpoint: of.id });
    operate(&books, "enable:0001", asked, effect).await;
    let claimed = claim(&books, 1, 10).await;
    assert_eq!((claimed.len(), claimed[0].failures, claimed[0].failing_since), (1, 0, None));
    prove(&books.store).await;
}

pub(crate) async fn a_place_in_the_feed_is_found_by_time(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let nobody = TenantId(Uuid::from_u128(99));
    let beyond = ChangePlace { epoch: i32::MAX, xact: i64::MAX, taken: i32::MAX };
    assert_eq!(books.store.place_before(books.tenant, Timestamp::EPOCH).await.unwrap(), beyond);
    let mut events = Vec::new();
    for round in 0..3 {
        let event = if round == 0 { books.opening(1, [0, 0, 500]) } else { books.payment(1, round) };
        events.extend(books.book(vec![event]).await);
    }
    shown(&books.store).await;
    for (number, event) in events.iter().enumerate() {
        let posted_at = books.record(event).await.posting.unwrap().posted_at;
        let place = books.store.place_before(books.tenant, posted_at).await.unwrap();
        let changes = books.store.changes(books.tenant, place, 10).await.unwrap();
        let seen: Vec<EventId> = changes.iter().map(|change| change.event_id).collect();
        let expected: Vec<EventId> = events[number..].iter().map(|event| event.id).collect();
        assert_eq!(seen, expected);
    }
    assert_eq!(books.store.place_before(nobody, Timestamp::EPOCH).await.unwrap(), beyond);
    let later = books.store.now().await.unwrap();
    let later = Timestamp::from_micros(later.micros() + 1_000_000).unwrap();
    assert_eq!(books.store.place_before(books.tenant, later).await.unwrap(), beyond);
}
