//! What only a broker behind a network can get wrong.

use std::sync::Arc;
use std::time::Duration;

use hpts::broker::rabbitmq::{DeclareMode, RabbitBroker, RabbitOptions};
use hpts::broker::{Broker, BrokerError, Reply};
use hpts::core::ids::PublisherId;
use hpts::runtime::lifecycle::Lifecycle;
use tokio::time::Instant;
use uuid::Uuid;

use super::world::{GENERATION, MISSING, QUEUE, SOON, World, ends, eventually, holds, message, next, take_numbers};
use crate::support::amqp;
use crate::support::proxy::{Mode, Proxy};

/// A world whose broker reaches the server through a proxy.
async fn behind_a_proxy(declare: DeclareMode) -> (World, Arc<Proxy>) {
    let (server, template) = amqp::host_and_template().await;
    let proxy = Proxy::start(server).await;
    let url = template.replace("{}", &proxy.address().to_string());
    (World::rabbitmq_at(url, declare).await, Arc::new(proxy))
}

async fn publishes_again(world: &World) {
    eventually("publishing works again", async || {
        let results = world.broker.publish(GENERATION, vec![message(QUEUE, 100)]).await;
        matches!(results.as_slice(), [Ok(())])
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_queue_is_declared_again() {
    let world = World::rabbitmq_at(amqp::url(), DeclareMode::Auto).await;
    holds(world, async |world: Arc<World>| {
        // Nothing is declared: publishing makes what it needs, subscribing too.
        let results = world.broker.publish(GENERATION, vec![message(QUEUE, 1), message(MISSING, 2)]).await;
        assert!(matches!(results.as_slice(), [Ok(()), Ok(())]), "{results:?}");
        let mut subscription = world.subscribe().await;
        assert_eq!(take_numbers(&mut subscription, 1).await, [1]);
        world.raw().delete(&[world.name(QUEUE)]).await;
        ends(&mut subscription).await;
        let mut subscription = world.subscribe().await;
        world.publish(5..6).await;
        assert_eq!(take_numbers(&mut subscription, 1).await, [5]);
        // Exactly as recorded: declaring again finds nothing to object to.
        world.declared().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reconnects_after_the_connection_was_cut() {
    let (world, proxy) = behind_a_proxy(DeclareMode::Never).await;
    holds(world, async |world: Arc<World>| {
        world.declared().await;
        world.publish(0..3).await;
        let publisher = PublisherId(Uuid::new_v4());
        let mut replies = world.broker.replies(publisher).await.unwrap();
        let mut subscription = world.subscribe().await;
        let delivery = next(&mut subscription).await;

        proxy.set(Mode::Refuse);
        proxy.cut();
        ends(&mut subscription).await;
        assert!(!subscription.ack_through(delivery.tag).await);
        drop(subscription);
        eventually("it says so", async || !world.broker.health().connected).await;
        let asked = Instant::now();
        let results = world.broker.publish(GENERATION, vec![message(QUEUE, 9)]).await;
        assert!(matches!(results.as_slice(), [Err(BrokerError::Unavailable(_))]), "{results:?}");
        let subscribed = world.broker.subscribe(GENERATION, QUEUE).await;
        assert!(matches!(subscribed, Err(BrokerError::Unavailable(_))), "{subscribed:?}");
        assert!(asked.elapsed() < Duration::from_secs(1), "it says so quickly");

        proxy.set(Mode::Forward);
        eventually("it is back", async || world.broker.health().connected).await;
        publishes_again(&world).await;
        let mut subscription = world.subscribe().await;
        assert_eq!(take_numbers(&mut subscription, 4).await, [0, 1, 2, 100]);
        let received = async {
            loop {
                let reply = Reply { publisher, payload: vec![7] };
                world.broker.reply(vec![reply]).await.unwrap();
                if let Ok(reply) = tokio::time::timeout(Duration::from_millis(100), replies.recv()).await {
                    return reply;
                }
            }
        };
        assert_eq!(tokio::time::timeout(SOON, received).await.unwrap(), Some(vec![7]));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_in_mid_publish_answers_every_call() {
    let (world, proxy) = behind_a_proxy(DeclareMode::Never).await;
    holds(world, async |world: Arc<World>| {
        world.declared().await;
        let calls = (0..50_u32).map(|call| {
            let broker = Arc::clone(&world.broker);
            async move {
                for number in 0..20 {
                    let results = broker.publish(GENERATION, vec![message(QUEUE, call * 100 + number); 3]).await;
                    assert!(results.iter().all(|result| matches!(result, Ok(()) | Err(BrokerError::Unavailable(_)))));
                }
            }
        });
        let cuts = async {
            for _ in 0..5 {
                tokio::time::sleep(Duration::from_millis(30)).await;
                proxy.cut();
            }
        };
        let both = futures::future::join(futures::future::join_all(calls), cuts);
        tokio::time::timeout(SOON * 2, both).await.expect("every call is answered");
        publishes_again(&world).await;
        assert_eq!(world.broker.health().confirms_pending, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_server_is_unavailable_after_the_deadline() {
    let (world, proxy) = behind_a_proxy(DeclareMode::Never).await;
    holds(world, async |world: Arc<World>| {
        world.declared().await;
        proxy.set(Mode::BlackHole);
        let publish = world.broker.publish(GENERATION, vec![message(QUEUE, 1)]);
        let results = tokio::time::timeout(Duration::from_secs(12), publish).await.expect("within the deadline");
        assert!(matches!(results.as_slice(), [Err(BrokerError::Unavailable(_))]), "{results:?}");
        assert_eq!(world.broker.health().confirms_pending, 1, "the confirm is still held");
        proxy.set(Mode::Forward);
        eventually("the late confirm is looked at", async || world.broker.health().confirms_pending == 0).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blocked_connection_takes_nothing_and_goes_on_when_unblocked() {
    // A method frame on channel 0, class 10: `blocked` (60) with a reason, `unblocked` (61).
    const BLOCKED: &[u8] = b"\x01\0\0\0\0\0\x0b\0\x0a\0\x3c\x06memory\xce";
    const UNBLOCKED: &[u8] = b"\x01\0\0\0\0\0\x04\0\x0a\0\x3d\xce";
    let (world, proxy) = behind_a_proxy(DeclareMode::Never).await;
    holds(world, async |world: Arc<World>| {
        world.declared().await;
        world.publish(0..1).await;
        proxy.inject(BLOCKED);
        eventually("it says so", async || world.broker.health().blocked).await;
        let asked = Instant::now();
        let results = world.broker.publish(GENERATION, vec![message(QUEUE, 1)]).await;
        assert!(matches!(results.as_slice(), [Err(BrokerError::Unavailable(_))]), "{results:?}");
        assert!(asked.elapsed() < Duration::from_secs(1), "it says so quickly");
        assert!(world.broker.health().connected);
        proxy.inject(UNBLOCKED);
        publishes_again(&world).await;
        assert!(!world.broker.health().blocked);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_broker_ends_its_tasks() {
    let lifecycle = Lifecycle::new();
    let prefix = format!("test-{}", Uuid::new_v4().simple());
    let options = RabbitOptions { url: amqp::url(), prefix, declare: DeclareMode::Never, name: "hpts test".to_owned() };
    let broker = RabbitBroker::connect(options, lifecycle.clone()).await.unwrap();
    let _replies = broker.replies(PublisherId(Uuid::new_v4())).await.unwrap();
    drop(broker);
    assert!(lifecycle.finished(SOON).await, "every task has ended");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_ends_when_its_queue_is_deleted() {
    holds(World::rabbitmq().await, async |world: Arc<World>| {
        world.declared().await;
        let mut subscription = world.subscribe().await;
        world.raw().delete(&[world.name(QUEUE)]).await;
        ends(&mut subscription).await;
        assert!(!subscription.ack_through(1).await);
        assert!(!subscription.reject(1).await);
        assert!(subscription.next().await.is_none(), "it stays ended");
        assert!(world.broker.health().connected, "only the channel is lost");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_arguments_are_a_topology_error() {
    holds(World::rabbitmq().await, async |world: Arc<World>| {
        world.raw().declare(&world.name(QUEUE), &[]).await;
        let declared = world.broker.declare(&world.map).await;
        assert!(matches!(declared, Err(BrokerError::Topology(_))), "{declared:?}");
        assert!(world.broker.health().connected, "only the channel is lost");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_away_is_told_at_the_start() {
    let lifecycle = Lifecycle::new();
    let options = |url: &str| RabbitOptions {
        url: url.to_owned(),
        prefix: "test".to_owned(),
        declare: DeclareMode::Never,
        name: "hpts test".to_owned(),
    };
    // Port 1 refuses.
    let away = RabbitBroker::connect(options("amqp://guest:guest@127.0.0.1:1/%2f"), lifecycle.clone()).await;
    assert!(matches!(away, Err(BrokerError::Unavailable(_))), "{away:?}");
    let unreadable = RabbitBroker::connect(options("http://user:secret@host"), lifecycle.clone()).await;
    assert!(matches!(&unreadable, Err(BrokerError::Unavailable(text)) if !text.contains("secret")), "{unreadable:?}");
    assert!(!format!("{:?}", options("amqp://user:secret@host")).contains("secret"));
    lifecycle.stop();
    assert!(lifecycle.finished(SOON).await, "every task has ended");
}
