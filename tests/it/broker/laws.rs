//! The laws of `Broker`, in the order of its contract.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::join_all;
use hpts::broker::{BrokerError, Outgoing, PREFETCH, Reply};
use hpts::core::ids::PublisherId;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::world::{
    A_MOMENT, GENERATION, Kind, MISSING, OTHER, QUEUE, SOON, World, ends, eventually, message, next, nothing_comes,
    number, take, take_numbers,
};

pub(super) async fn messages_come_in_order(world: Arc<World>) {
    world.declared().await;
    for hundred in 0..10 {
        world.publish(hundred * 100..(hundred + 1) * 100).await;
    }
    let mut subscription = world.subscribe().await;
    for expected in 0..1_000 {
        let delivery = next(&mut subscription).await;
        assert_eq!((number(&delivery), delivery.redelivered, delivery.queue), (expected, false, QUEUE));
        assert!(subscription.ack_through(delivery.tag).await);
    }
    nothing_comes(&mut subscription).await;
}

pub(super) async fn payloads_of_any_size_arrive_whole(world: Arc<World>) {
    world.declared().await;
    // Nothing, one AMQP frame and a byte more, and several frames.
    let payloads = [0, 131_072, 131_073, 400_000].map(|size: usize| vec![7; size]);
    let messages = payloads.iter().map(|payload| Outgoing { queue: QUEUE, payload: payload.clone() }).collect();
    let results = world.broker.publish(GENERATION, messages).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    let mut subscription = world.subscribe().await;
    for payload in payloads {
        let delivery = next(&mut subscription).await;
        assert!(delivery.payload == payload, "{} of {} bytes", delivery.payload.len(), payload.len());
    }
}

pub(super) async fn unsettled_messages_come_again_in_order_and_marked(world: Arc<World>) {
    world.declared().await;
    world.publish(0..10).await;
    let mut first = world.subscribe().await;
    let deliveries = take(&mut first, 5).await;
    assert!(deliveries.windows(2).all(|pair| pair[0].tag < pair[1].tag));
    assert!(first.ack_through(deliveries[1].tag).await);
    first.close().await;
    let mut second = world.subscribe().await;
    let again = take(&mut second, 8).await;
    assert_eq!(again.iter().map(number).collect::<Vec<_>>(), (2..10).collect::<Vec<_>>());
    assert!(again[..3].iter().all(|delivery| delivery.redelivered));
}

pub(super) async fn ack_through_settles_all_before(world: Arc<World>) {
    world.declared().await;
    world.publish(0..5).await;
    let mut first = world.subscribe().await;
    let deliveries = take(&mut first, 5).await;
    assert!(first.ack_through(deliveries[3].tag).await);
    first.close().await;
    let mut second = world.subscribe().await;
    assert_eq!(take_numbers(&mut second, 1).await, [4]);
    nothing_comes(&mut second).await;
}

pub(super) async fn rejected_goes_to_dead_letters(world: Arc<World>) {
    world.declared().await;
    world.publish(0..3).await;
    let mut subscription = world.subscribe().await;
    let deliveries = take(&mut subscription, 3).await;
    assert!(subscription.reject(deliveries[1].tag).await);
    assert!(subscription.ack_through(deliveries[2].tag).await);
    eventually("the dead letter is counted", async || world.broker.dead_depth().await.unwrap() == 1).await;
    eventually("the dead letter is there", async || world.dead_letter().await == Some(1_u32.to_be_bytes().to_vec()))
        .await;
    subscription.close().await;
    let mut second = world.subscribe().await;
    nothing_comes(&mut second).await;
}

pub(super) async fn one_subscriber_is_active_and_the_next_takes_over(world: Arc<World>) {
    world.declared().await;
    let other = world.another().await;
    let mut first = world.subscribe().await;
    let mut second = other.subscribe(GENERATION, QUEUE).await.unwrap();
    let mut third = world.subscribe().await;
    world.publish(0..4).await;
    assert_eq!(take_numbers(&mut first, 2).await, [0, 1]);
    nothing_comes(&mut second).await;
    first.close().await;
    assert_eq!(take_numbers(&mut second, 4).await, [0, 1, 2, 3]);
    nothing_comes(&mut third).await;
    drop(second);
    assert_eq!(take_numbers(&mut third, 4).await, [0, 1, 2, 3]);
}

pub(super) async fn prefetch_bounds_what_is_unsettled(world: Arc<World>) {
    world.declared().await;
    let more = u32::from(PREFETCH) + 10;
    world.publish(0..more).await;
    let mut subscription = world.subscribe().await;
    let deliveries = take(&mut subscription, usize::from(PREFETCH)).await;
    nothing_comes(&mut subscription).await;
    assert_eq!(world.broker.depth(GENERATION, QUEUE).await.unwrap(), 10);
    assert!(subscription.ack_through(deliveries[9].tag).await);
    let rest = take_numbers(&mut subscription, 10).await;
    assert_eq!(rest, (more - 10..more).collect::<Vec<_>>());
}

pub(super) async fn publish_to_a_missing_queue_is_told(world: Arc<World>) {
    world.declared().await;
    let messages = vec![message(MISSING, 0), message(QUEUE, 1), message(MISSING, 2), message(OTHER, 3)];
    let results = world.broker.publish(GENERATION, messages).await;
    assert!(
        matches!(results.as_slice(), [Err(BrokerError::Unroutable), Ok(()), Err(BrokerError::Unroutable), Ok(())]),
        "{results:?}"
    );
    let other_generation = world.broker.publish(GENERATION + 1, vec![message(QUEUE, 0)]).await;
    assert!(matches!(other_generation.as_slice(), [Err(BrokerError::Unroutable)]), "{other_generation:?}");
    assert!(world.broker.publish(GENERATION, Vec::new()).await.is_empty());
}

pub(super) async fn each_message_gets_its_own_result(world: Arc<World>) {
    world.declared().await;
    // Many concurrent calls, so that returns and confirms of different calls mix.
    let calls = (0..300_u32).map(|call| {
        let world = Arc::clone(&world);
        async move {
            let missing = |index: u32| (call + index).is_multiple_of(3);
            let queue = |index| if missing(index) { MISSING } else { QUEUE };
            let messages = (0..5).map(|index| message(queue(index), call)).collect();
            let results = world.broker.publish(GENERATION, messages).await;
            for (index, result) in (0..).zip(results) {
                let told = matches!(result, Err(BrokerError::Unroutable));
                assert_eq!(told, missing(index), "call {call}, message {index}: {result:?}");
            }
        }
    });
    join_all(calls).await;
    assert_eq!(world.broker.health().confirms_pending, 0);
}

pub(super) async fn subscribing_to_a_missing_queue_is_told(world: Arc<World>) {
    let subscribed = world.broker.subscribe(GENERATION, MISSING).await;
    assert!(matches!(subscribed, Err(BrokerError::Unroutable)), "{subscribed:?}");
    let depth = world.broker.depth(GENERATION, MISSING).await;
    assert!(matches!(depth, Err(BrokerError::Unroutable)), "{depth:?}");
}

pub(super) async fn a_full_queue_refuses(world: Arc<World>) {
    let too_many = world.small_queue().await;
    let mut taken = 0;
    let refused = loop {
        let results = world.broker.publish(GENERATION, vec![message(QUEUE, taken)]).await;
        match results.as_slice() {
            [Ok(())] => taken += 1,
            other => break format!("{other:?}"),
        }
        assert!(taken < too_many, "a full queue refuses");
    };
    assert_eq!(refused, "[Err(Refused)]");
    let mut subscription = world.subscribe().await;
    for expected in 0..taken {
        let delivery = next(&mut subscription).await;
        assert_eq!(number(&delivery), expected);
        assert!(subscription.ack_through(delivery.tag).await);
    }
    eventually("there is room again", async || {
        let results = world.broker.publish(GENERATION, vec![message(QUEUE, 0)]).await;
        matches!(results.as_slice(), [Ok(())])
    })
    .await;
}

pub(super) async fn a_dropped_publish_future_still_publishes(world: Arc<World>) {
    world.declared().await;
    for number in 0..20 {
        // Polled once, then dropped: what a client that disconnects does to its handler.
        drop(world.broker.publish(GENERATION, vec![message(QUEUE, number)]).now_or_never());
    }
    let mut subscription = world.subscribe().await;
    assert_eq!(take_numbers(&mut subscription, 20).await, (0..20).collect::<Vec<_>>());
    eventually("every confirm is looked at", async || world.broker.health().confirms_pending == 0).await;
}

pub(super) async fn a_dropped_next_loses_nothing(world: Arc<World>) {
    world.declared().await;
    let mut subscription = world.subscribe().await;
    let publish = async {
        for number in 0..50 {
            world.publish(number..number + 1).await;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let consume = async {
        let mut taken = Vec::new();
        while taken.len() < 50 {
            if let Ok(Some(delivery)) = tokio::time::timeout(Duration::from_micros(500), subscription.next()).await {
                taken.push(number(&delivery));
            }
        }
        taken
    };
    let both = tokio::time::timeout(SOON, futures::future::join(publish, consume)).await;
    assert_eq!(both.unwrap().1, (0..50).collect::<Vec<_>>());
}

pub(super) async fn replies_reach_only_their_publisher(world: Arc<World>) {
    let other = world.another().await;
    let publisher = || PublisherId(Uuid::new_v4());
    let (mine, theirs, nobody) = (publisher(), publisher(), publisher());
    let mut my_replies = world.broker.replies(mine).await.unwrap();
    let mut their_replies = other.replies(theirs).await.unwrap();
    let reply = |publisher, number: u8| Reply { publisher, payload: vec![number] };
    let replies = vec![reply(mine, 1), reply(theirs, 2), reply(nobody, 3), reply(mine, 4)];
    other.reply(replies).await.unwrap();
    let soon = async |replies: &mut mpsc::Receiver<Vec<u8>>| tokio::time::timeout(SOON, replies.recv()).await.unwrap();
    assert_eq!(soon(&mut my_replies).await, Some(vec![1]));
    assert_eq!(soon(&mut my_replies).await, Some(vec![4]));
    assert_eq!(soon(&mut their_replies).await, Some(vec![2]));
    let more = tokio::time::timeout(A_MOMENT, my_replies.recv()).await;
    assert!(more.is_err(), "{more:?}");
}

pub(super) async fn delivery_count_rises(world: Arc<World>) {
    world.declared().await;
    world.publish(0..1).await;
    for expected in 0..5 {
        let mut subscription = world.subscribe().await;
        let delivery = next(&mut subscription).await;
        assert_eq!((delivery.delivery_count, delivery.redelivered), (expected, expected > 0));
        subscription.close().await;
    }
}

pub(super) async fn depth_counts_what_waits(world: Arc<World>) {
    world.declared().await;
    let depth = async |queue| world.broker.depth(GENERATION, queue).await.unwrap();
    assert_eq!(depth(QUEUE).await, 0);
    world.publish(0..300).await;
    eventually("all wait", async || depth(QUEUE).await == 300).await;
    assert_eq!(depth(OTHER).await, 0);
    let mut subscription = world.subscribe().await;
    let deliveries = take(&mut subscription, usize::from(PREFETCH)).await;
    assert_eq!(deliveries.len(), 256);
    eventually("the unsettled do not count", async || depth(QUEUE).await == 44).await;
}

pub(super) async fn shutdown_gives_back_what_is_unsettled(world: Arc<World>) {
    world.declared().await;
    world.publish(0..6).await;
    let stopping = world.another().await;
    let mut held = stopping.subscribe(GENERATION, QUEUE).await.unwrap();
    let deliveries = take(&mut held, 4).await;
    assert!(held.ack_through(deliveries[0].tag).await);
    // A worker that is stopped while it holds messages drops its subscription ...
    drop(held);
    let mut held = stopping.subscribe(GENERATION, QUEUE).await.unwrap();
    assert_eq!(take_numbers(&mut held, 5).await, [1, 2, 3, 4, 5]);
    // ... or closes the broker under it.
    stopping.close(SOON).await;
    ends(&mut held).await;
    assert!(!held.ack_through(1).await);
    let late = stopping.publish(GENERATION, vec![message(QUEUE, 9)]).await;
    assert!(matches!(late.as_slice(), [Err(BrokerError::Unavailable(_))]), "{late:?}");
    assert!(!stopping.health().connected);
    match &world.kind {
        // The process was the broker.
        Kind::InProcess(_) => {}
        Kind::RabbitMq { .. } => {
            let mut next = world.subscribe().await;
            assert_eq!(take_numbers(&mut next, 5).await, [1, 2, 3, 4, 5]);
        }
    }
}

pub(super) async fn missing_queues_are_named_and_not_made(world: Arc<World>) {
    let missing = async || world.broker.missing(&world.map).await.unwrap();
    let all = missing().await;
    assert!(all.len() >= 2, "{all:?}");
    assert_eq!(missing().await, all, "asking makes none");
    world.declared().await;
    assert_eq!(missing().await, Vec::<String>::new());
    if let Kind::RabbitMq { raw, prefix } = &world.kind {
        assert_eq!(all, [format!("{prefix}.dead"), world.name(QUEUE), world.name(OTHER)]);
        raw.delete(&[world.name(OTHER)]).await;
        assert_eq!(missing().await, [world.name(OTHER)]);
    }
}
