//! Dying between two exact lines: what a kill at random hits rarely is done here on purpose, with the library's own
//! parts.

use std::sync::Arc;
use std::time::Duration;

use hpts::broker::rabbitmq::{DeclareMode, RabbitBroker, RabbitOptions};
use hpts::broker::{Broker, Outgoing, QueueClass, QueueId};
use hpts::core::event::{
    Command, Envelope, EventRef, IdempotencyKey, NewEvent, Payment, PaymentReturn, ReturnCode, ReturnTerms,
    SourceMethod,
};
use hpts::core::ids::{BorrowerId, EventId, LoanId, PublisherId, TenantId};
use hpts::core::money::{Currency, Minor, Money};
use hpts::core::slot::PartitionMap;
use hpts::core::time::parse_date;
use hpts::runtime::clock::Clock;
use hpts::runtime::lifecycle::Lifecycle;
use hpts::store::postgres::PostgresStore;
use hpts::store::{Acceptance, Store};
use hpts::worker::{Worker, WorkerParts, post_directly};
use tokio::time::Instant;
use uuid::Uuid;

use crate::processes::client::{BORROWER, LOAN};
use crate::processes::{System, amqp_url, wait_until};

struct Parts {
    system: System,
    store: Arc<dyn Store>,
    broker: Arc<dyn Broker>,
    lifecycle: Lifecycle,
    base: Lifecycle,
}

impl Parts {
    async fn new() -> Self {
        let system = System::distributed().await;
        let (lifecycle, base) = (Lifecycle::new(), Lifecycle::new());
        let store = Arc::new(PostgresStore::connect(&system.database_url(), 6).await.unwrap());
        let options = RabbitOptions {
            url: amqp_url(),
            prefix: system.prefix.clone(),
            declare: DeclareMode::Auto,
            name: "crash test".to_owned(),
        };
        let broker = Arc::new(RabbitBroker::connect(options, base.clone()).await.unwrap());
        Self { system, store, broker, lifecycle, base }
    }

    async fn start_worker(&self) -> Worker {
        let parts = WorkerParts {
            store: Arc::clone(&self.store),
            broker: Arc::clone(&self.broker),
            map: self.store.partition_map().await.unwrap(),
            lanes: 2,
            batch_max: 100,
            clock: Clock::system(),
        };
        Worker::start(&parts, &self.lifecycle)
    }

    async fn tenant(&self) -> TenantId {
        self.store.tenants().await.unwrap()[0].id
    }

    async fn payment(&self, key: &str) -> NewEvent {
        let command = Command::Payment(Payment {
            loan_id: LoanId::parse(LOAN).unwrap(),
            borrower_id: BorrowerId::parse(BORROWER).unwrap(),
            amount: Money::new(Minor::new(100), Currency::USD),
            effective_date: parse_date("2026-05-01").unwrap(),
            source_method: SourceMethod::Ach,
            external_ref: None,
            metadata: None,
        });
        let id = EventId(Uuid::from_u128(Uuid::new_v4().as_u128() & !1));
        let key = IdempotencyKey::parse(key).unwrap();
        NewEvent::of_caller(id, self.tenant().await, key, command, PublisherId(Uuid::new_v4()), "test".to_owned())
    }

    async fn is_posted(&self, event: &NewEvent) -> bool {
        let record = self.store.event(event.tenant, event.id).await.unwrap();
        record.is_some_and(|record| record.posting.is_some())
    }

    /// Accepts an event and publishes its hint.
    async fn bring(&self, event: &NewEvent, map: &PartitionMap) -> QueueId {
        let accepted = self.store.accept(event.publisher, vec![event.clone()]).await.unwrap();
        let [Acceptance::New { seq, .. }] = accepted[..] else { panic!("{accepted:?}") };
        let queue = QueueId { partition: map.partition(event.loan_key.slot()), class: QueueClass::Single };
        let reference = EventRef { seq, id: event.id, tenant: event.tenant, loan_key: event.loan_key };
        let payload = Envelope::new(vec![reference], None, None).to_bytes();
        let published = self.broker.publish(map.generation, vec![Outgoing { queue, payload }]).await;
        assert!(published[0].is_ok(), "{published:?}");
        queue
    }

    /// Takes the hint, commits, and dies before the acknowledgement; another worker gets the hint again.
    async fn die_after_commit(&self, event: &NewEvent) {
        let map = self.store.partition_map().await.unwrap();
        let queue = self.bring(event, &map).await;
        let mut subscription = self.broker.subscribe(map.generation, queue).await.unwrap();
        subscription.next().await.unwrap();
        post_directly(&self.store, &self.lifecycle, event.clone()).await.unwrap();
        assert!(self.is_posted(event).await, "committed");
        drop(subscription);

        let _worker = self.start_worker().await;
        wait_until("the message that came again is settled", || async {
            self.broker.depth(map.generation, queue).await.is_ok_and(|depth| depth == 0)
        })
        .await;
    }

    async fn end(self, posted: u64) {
        self.lifecycle.stop();
        assert!(self.lifecycle.finished(Duration::from_secs(20)).await);
        self.broker.close(Duration::from_secs(5)).await;
        assert!(self.base.finished(Duration::from_secs(20)).await);
        self.store.close().await;
        let report = self.system.verified().await;
        assert_eq!(report["posted"], posted, "{report}");
    }
}

#[tokio::test]
async fn dying_between_commit_and_acknowledgement_posts_once() {
    let parts = Parts::new().await;
    let event = parts.payment("crash:commit-ack").await;
    parts.die_after_commit(&event).await;
    // The demo loan and one payment.
    parts.end(2).await;
}

#[tokio::test]
async fn dying_between_commit_and_acknowledgement_returns_once() {
    let parts = Parts::new().await;
    let payment = parts.payment("crash:returned").await;
    post_directly(&parts.store, &parts.lifecycle, payment.clone()).await.unwrap();
    let paid = parts.store.event(payment.tenant, payment.id).await.unwrap().unwrap().event;
    let terms = ReturnTerms {
        code: ReturnCode::parse("R01").unwrap(),
        effective_date: parse_date("2026-05-04").unwrap(),
        amount: None,
        fee: Some(Minor::new(25)),
        metadata: None,
    };
    let command = Command::PaymentReturn(PaymentReturn::of(&paid, terms).unwrap());
    let id = EventId(Uuid::from_u128(Uuid::new_v4().as_u128() & !1));
    let key = IdempotencyKey::parse("crash:return-ack").unwrap();
    let publisher = PublisherId(Uuid::new_v4());
    let returned = NewEvent::of_caller(id, payment.tenant, key, command, publisher, "test".to_owned());
    parts.die_after_commit(&returned).await;
    // The demo loan, the payment, its return and one fee.
    parts.end(4).await;
}

#[tokio::test]
async fn dying_between_commit_and_publish_is_swept_up_within_five_seconds() {
    let parts = Parts::new().await;
    let event = parts.payment("crash:commit-publish").await;
    parts.store.accept(event.publisher, vec![event.clone()]).await.unwrap();
    let since = Instant::now();
    let _worker = parts.start_worker().await;
    wait_until("the event is posted", || parts.is_posted(&event)).await;
    assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
    parts.end(2).await;
}
