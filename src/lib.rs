//! HPTS posts loan payments: it accepts them, dedupes them by idempotency key, queues them by loan, allocates them,
//! and commits journal entries.
//!
//! One sentence holds the design: **the database holds the truth (what was accepted, what was posted, the answer); the
//! broker carries hints; every hint may be lost, doubled, late or out of order, and the books still come out right.**
//!
//! ```text
//!  caller ──POST──▶ api ──1 commit──▶ store (events)
//!                    │                   ▲   ▲
//!                    └──2 publish──▶ broker ──3 deliver──▶ worker ──4 lock, read, fold, write, commit──▶ store
//!                         (partition of the loan's slot)   └──5 result──▶ the waiting api, 6 acknowledge
//!                    sweeper: finds accepted, unposted events whose hint was lost, and publishes them again
//! ```
//!
//! # Floors
//!
//! Dependencies point down; `tests/it/tidy.rs` refuses any other.
//!
//! | floor | module | owns |
//! | --- | --- | --- |
//! | 2 | [`api`] | HTTP: requests, answers, tokens; the intake that shares commits; the room where callers wait |
//! | 2 | [`worker`] | posting: lanes, isolation of a bad event, the sweeper, who serves which partition; webhooks |
//! | 2 | [`cli`] | what operators type; puts processes together and ends them in order |
//! | 1 | [`store`] | where state lives: a contract, PostgreSQL and SQLite |
//! | 1 | [`broker`] | how work travels: a contract, RabbitMQ and a queue in memory |
//! | 1 | [`runtime`] | clock, configuration, telemetry, lifecycle |
//! | 0 | [`core`] | the domain, pure: money, events, loans, the ledger and its fold |
//!
//! # The way of a payment
//!
//! 1. `api::write` authenticates, reads strictly, and makes a [`core::event::NewEvent`].
//! 2. [`api::intake`] commits it with all that arrived meanwhile ([`store::Store::accept`]) and publishes its hint.
//! 3. [`worker`] takes the hint into a batch; [`store::Store::post_batch`] locks the loans, reads what is unposted in
//!    the order of acceptance, and hands it to the fold ([`core::ledger::post_event`]).
//! 4. The postings, balances and totals are committed; the result goes to the process whose caller waits
//!    ([`api::waiting_room`]), and the message is acknowledged.
//! 5. [`core::ledger::answer`] makes the body, the first time and every time after.
//! 6. [`worker`] tells whoever asked to be told (webhooks), behind the commits and out of the way of all this.
//!
//! Many payments in one request go the same way: `api::uploads` takes them row by row under a lease, hands them to the
//! intake a thousand at a time, and keeps what is no payment as an exception with its reason. An ACH file is read by
//! [`core::ach`] first. What reached an end is listed by the change feed, in the order of the commits.
//!
//! # Invariants
//!
//! - What was answered with 2xx is committed; what is acknowledged is posted. Nothing rests on the broker.
//! - A key makes one event, an event one posting: both are unique in the database, whatever the processes do.
//! - Inside a loan the order of acceptance is the order of posting; postings are numbered without a gap and chained by
//!   hash.
//! - Entries balance, by constructor and by CHECK. No balance is negative on any date.
//! - `events` and `postings` are insert-only. A correction is a new row, and an event is undone once.
//! - One bad event stops its own loan only, and waits for a person.

pub mod api;
pub mod broker;
pub mod cli;
pub mod core;
pub mod runtime;
pub mod store;
pub mod worker;
