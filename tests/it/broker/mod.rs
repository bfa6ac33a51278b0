//! The conformance suite of `Broker`: each law is one function, run against every implementation.

mod laws;
mod rabbitmq;
mod world;

/// Makes each law a test of each implementation; a macro, because tests cannot be listed any other way.
macro_rules! laws {
    ($($law:ident),* $(,)?) => {
        mod in_process {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $law() {
                super::world::holds(super::world::World::in_process(), super::laws::$law).await;
            })*
        }
        mod on_rabbitmq {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $law() {
                super::world::holds(super::world::World::rabbitmq().await, super::laws::$law).await;
            })*
        }
    };
}

laws! {
    messages_come_in_order,
    payloads_of_any_size_arrive_whole,
    unsettled_messages_come_again_in_order_and_marked,
    ack_through_settles_all_before,
    rejected_goes_to_dead_letters,
    one_subscriber_is_active_and_the_next_takes_over,
    prefetch_bounds_what_is_unsettled,
    publish_to_a_missing_queue_is_told,
    each_message_gets_its_own_result,
    subscribing_to_a_missing_queue_is_told,
    a_full_queue_refuses,
    a_dropped_publish_future_still_publishes,
    a_dropped_next_loses_nothing,
    replies_reach_only_their_publisher,
    delivery_count_rises,
    depth_counts_what_waits,
    missing_queues_are_named_and_not_made,
    shutdown_gives_back_what_is_unsettled,
}
