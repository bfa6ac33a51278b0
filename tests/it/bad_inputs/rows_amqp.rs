//! Owns the rows of messages: what a worker does with each, and that the books do not care.
//!
//! They run one after the other, so that the dead letters and counts of each can be told apart; only the message of a
//! later release, which is kept for half a minute, waits beside them.

use std::time::Duration;

use hpts::broker::{QueueClass, QueueId};
use hpts::core::event::{Command, EventRef, IdempotencyKey, NewEvent, Payment, SourceMethod};
use hpts::core::ids::{BorrowerId, EventId, LoanId, LoanKey, PublisherId, Seq, TenantId};
use hpts::core::money::{Currency, Minor, Money};
use hpts::core::slot::{Partition, PartitionMap};
use hpts::core::time::parse_date;
use hpts::store::Acceptance;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use serde_json::{Value, json};
use uuid::Uuid;

use super::stories::{Story, Told, eventually};
use super::world::{DEMO_TENANT, World, demo_loan_key};
use crate::processes::amqp_url;
use crate::processes::client::BORROWER;

/// Copies of one message in the storm; the list's 100 000 would only take longer.
const STORM: usize = 5_000;

/// The messages, told by one story of several numbers, because they share the dead letters.
pub(super) const STORIES: &[Story] =
    &[Story { number: "107", name: "messages", stores: 14, run: |world| Box::pin(messages(world)) }];

/// A way to the queues, and a loan of its own.
struct Post<'a> {
    world: &'a World,
    channel: Channel,
    map: PartitionMap,
    loan: String,
}

async fn messages(world: &World) -> Told {
    let connection = Connection::connect(&amqp_url(), ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    let map = world.store.partition_map().await.unwrap();
    let post = Post { world, channel, map, loan: world.fresh_loan().await };
    post.future().await?;
    post.unreadable().await?;
    post.lists().await?;
    post.disagreeing().await?;
    post.elsewhere().await?;
    post.suspects().await?;
    post.properties().await?;
    post.storm().await?;
    post.nothing_came_again().await
}

impl Post<'_> {
    fn queue(&self, partition: Partition, class: &str) -> String {
        format!("{}.events.1.p{:02}{class}", self.world.system.prefix, partition.0)
    }

    fn own_queue(&self) -> QueueId {
        QueueId { partition: self.map.partition(demo_loan_key(&self.loan).slot()), class: QueueClass::Single }
    }

    async fn send(&self, queue: &str, payload: &[u8], properties: BasicProperties) {
        let options = BasicPublishOptions::default();
        let published = self.channel.basic_publish("".into(), queue.into(), options, payload, properties).await;
        published.unwrap().await.unwrap();
    }

    /// Sends to the queue of the story's loan.
    async fn tell(&self, payload: &[u8]) {
        self.send(&self.queue(self.own_queue().partition, ""), payload, BasicProperties::default()).await;
    }

    async fn depth(&self, queue: &str) -> u32 {
        let options = QueueDeclareOptions::default().passive();
        let found = self.channel.queue_declare(queue.into(), options, FieldTable::default()).await;
        found.unwrap().message_count()
    }

    async fn dead(&self) -> u32 {
        self.depth(&format!("{}.dead", self.world.system.prefix)).await
    }

    /// A counter of the worker's metrics, summed over lines that hold `part`.
    async fn counted(&self, part: &str) -> f64 {
        let text = reqwest::get(self.world.worker_metrics()).await.unwrap().text().await.unwrap();
        let lines = text.lines().filter(|line| !line.starts_with('#') && line.contains(part));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).fold(0.0, f64::max)
    }

    async fn waits_for_dead(&self, number: u32) -> Told {
        eventually(&format!("{number} dead letters"), || async { self.dead().await >= number }).await
    }

    /// Accepts a payment without a hint; the message is the row's to send.
    async fn accepted(&self, publisher: Uuid) -> EventRef {
        let command = Command::Payment(Payment {
            loan_id: LoanId::parse(&self.loan).unwrap(),
            borrower_id: BorrowerId::parse(BORROWER).unwrap(),
            amount: Money::new(Minor::new(1), Currency::USD),
            effective_date: parse_date("2026-05-01").unwrap(),
            source_method: SourceMethod::Ach,
            external_ref: None,
            metadata: None,
        });
        let id = EventId(Uuid::from_u128(Uuid::new_v4().as_u128() & !1));
        let tenant = TenantId::parse(DEMO_TENANT).unwrap();
        let key = IdempotencyKey::parse(&format!("amqp:{}", id.0)).unwrap();
        let event = NewEvent::of_caller(id, tenant, key, command, PublisherId(publisher), "test".to_owned());
        let accepted = self.world.store.accept(event.publisher, vec![event.clone()]).await.unwrap();
        let [Acceptance::New { seq, .. }] = accepted[..] else { panic!("{accepted:?}") };
        EventRef { seq, id, tenant, loan_key: event.loan_key }
    }

    async fn until_posted(&self, event: EventRef) -> Told {
        eventually("the event is posted", || async {
            let record = self.world.store.event(event.tenant, event.id).await.unwrap();
            record.is_some_and(|record| record.posting.is_some())
        })
        .await
    }

    /// 108: kept for half a minute, then a dead letter. In a queue of its own: it keeps those behind it unsettled.
    async fn future(&self) -> Told {
        let queue = self.queue(Partition((self.own_queue().partition.0 + 2) % 4), ".bulk");
        // What is rejected before it must not end the subscription, or it would be handed out again.
        self.send(&queue, b"{", BasicProperties::default()).await;
        self.send(&queue, br#"{"v":2,"news":[1]}"#, BasicProperties::default()).await;
        eventually("the message of a later release is seen", || async {
            self.counted("reason=\"future_version\"").await >= 1.0
        })
        .await?;
        self.waits_for_dead(1).await?;
        if self.dead().await == 1 { Ok(()) } else { Err("a later release's message was not kept".to_owned()) }
    }

    /// 107.
    async fn unreadable(&self) -> Told {
        let huge = vec![b' '; 20 * 1024 * 1024];
        let bodies: [&[u8]; 9] = [
            b"",
            b"\x00\xff\xfe",
            b"null",
            b"[]",
            b"{}",
            br#"{"v":0,"events":[]}"#,
            br#"{"v":"1","events":[]}"#,
            br#"{"v":1,"events":[{"seq":"x"}]}"#,
            &huge,
        ];
        for (number, body) in (2..).zip(bodies) {
            self.tell(body).await;
            self.waits_for_dead(number).await?;
        }
        let counted = (self.counted("reason=\"malformed\"").await, self.counted("reason=\"too_large\"").await);
        if counted == (9.0, 1.0) { Ok(()) } else { Err(format!("bad messages are counted as {counted:?}")) }
    }

    /// 110 and 111.
    async fn lists(&self) -> Told {
        let event = self.accepted(Uuid::new_v4()).await;
        let other = self.accepted(Uuid::new_v4()).await;
        self.tell(br#"{"v":1,"events":[]}"#).await;
        self.tell(&envelope(&[event, other, event, event])).await;
        self.until_posted(event).await?;
        self.until_posted(other).await?;
        self.tell(&envelope(&vec![event; 257])).await;
        self.waits_for_dead(11).await?;
        let unknown = EventRef { seq: Seq(1 << 40), id: EventId(Uuid::from_u128(2)), ..event };
        self.tell(&envelope(&[unknown])).await;
        eventually("an unknown event is counted", || async { self.counted("reason=\"unknown_event\"").await >= 1.0 })
            .await
    }

    /// 112: the row wins, and the message is settled.
    async fn disagreeing(&self) -> Told {
        let stranger = LoanKey::from_bytes([7; 16]);
        for number in 0..2 {
            let event = self.accepted(Uuid::new_v4()).await;
            let wrong = match number {
                0 => EventRef { loan_key: stranger, ..event },
                _ => EventRef { tenant: TenantId(Uuid::from_u128(9)), ..event },
            };
            self.tell(&envelope(&[wrong])).await;
            self.until_posted(event).await?;
            let late = self.accepted(Uuid::new_v4()).await;
            self.tell(&envelope(&[EventRef { seq: event.seq, ..late }])).await;
            self.until_posted(late).await?;
            self.tell(&envelope(&[EventRef { loan_key: stranger, ..late }])).await;
        }
        eventually("what disagrees is counted", || async { self.counted("reason=\"misnamed\"").await >= 1.0 }).await
    }

    /// 113.
    async fn elsewhere(&self) -> Told {
        let event = self.accepted(Uuid::new_v4()).await;
        let other = Partition((self.own_queue().partition.0 + 1) % 4);
        self.send(&self.queue(other, ".bulk"), &envelope(&[event]), BasicProperties::default()).await;
        self.until_posted(event).await?;
        if self.counted("reason=\"wrong_partition\"").await >= 1.0 { Ok(()) } else { Err("not counted".to_owned()) }
    }

    /// 115: handled one by one; a suspect that is finished harms nobody, however often it comes.
    async fn suspects(&self) -> Told {
        let mut headers = FieldTable::default();
        headers.insert("x-delivery-count".into(), AMQPValue::LongLongInt(7));
        let properties = BasicProperties::default().with_headers(headers);
        let queue = self.queue(self.own_queue().partition, "");
        let event = self.accepted(Uuid::new_v4()).await;
        self.send(&queue, &envelope(&[event]), properties.clone()).await;
        self.until_posted(event).await?;
        // From another partition's lane, which does not remember what this one has posted.
        let other = self.queue(Partition((self.own_queue().partition.0 + 1) % 4), "");
        for _ in 0..10 {
            self.send(&other, &envelope(&[event]), properties.clone()).await;
        }
        let after = self.accepted(Uuid::new_v4()).await;
        self.send(&other, &envelope(&[after]), BasicProperties::default()).await;
        self.until_posted(after).await?;
        let loan = self.world.store.loan(event.tenant, event.loan_key).await.unwrap().unwrap();
        if loan.on_hold { Err("a finished suspect put its loan on hold".to_owned()) } else { Ok(()) }
    }

    /// 116 and 117.
    async fn properties(&self) -> Told {
        let event = self.accepted(Uuid::new_v4()).await;
        let unknown = json!({"v": 1, "events": [event], "publisher": Uuid::new_v4(), "trace": "x", "later": {}});
        self.tell(unknown.to_string().as_bytes()).await;
        self.until_posted(event).await?;
        let mut table = FieldTable::default();
        table.insert("filler".into(), AMQPValue::LongString("x".repeat(50_000).into()));
        let nested = (0..50).fold(table, |inside, _| {
            let mut outside = FieldTable::default();
            outside.insert("inside".into(), AMQPValue::FieldTable(inside));
            outside
        });
        let event = self.accepted(Uuid::new_v4()).await;
        let odd = BasicProperties::default()
            .with_headers(nested)
            .with_content_type("image/png".into())
            .with_content_encoding("gzip".into())
            .with_expiration("60000".into())
            .with_reply_to("elsewhere".into())
            .with_priority(255);
        self.send(&self.queue(self.own_queue().partition, ""), &envelope(&[event]), odd).await;
        self.until_posted(event).await?;
        Ok(())
    }

    /// 118.
    async fn storm(&self) -> Told {
        let event = self.accepted(Uuid::new_v4()).await;
        let (queue, payload) = (self.queue(self.own_queue().partition, ""), envelope(&[event]));
        let options = BasicPublishOptions::default();
        for _ in 0..STORM {
            let published = self.channel.basic_publish(
                "".into(),
                queue.as_str().into(),
                options,
                &payload,
                BasicProperties::default(),
            );
            drop(published.await.unwrap());
        }
        self.until_posted(event).await?;
        let after = self.accepted(Uuid::new_v4()).await;
        self.tell(&envelope(&[after])).await;
        self.until_posted(after).await?;
        Ok(())
    }

    /// No bad message cost the worker a subscription: nothing was handed out twice. The later release's message has
    /// waited long enough to be dead by now, or soon is.
    async fn nothing_came_again(&self) -> Told {
        if self.waits_for_dead(12).await.is_err() {
            self.waits_for_dead(12).await?;
        }
        eventually("every message is settled", || async {
            self.depth(&self.queue(self.own_queue().partition, "")).await == 0
        })
        .await?;
        tokio::time::sleep(Duration::from_millis(200)).await;
        let again = self.counted("hpts_redeliveries_total").await;
        if again == 0.0 { Ok(()) } else { Err(format!("{again} messages were handed out again")) }
    }
}

fn envelope(events: &[EventRef]) -> Vec<u8> {
    let envelope: Value = json!({"v": 1, "events": events});
    envelope.to_string().into_bytes()
}
