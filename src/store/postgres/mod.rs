//! Owns the PostgreSQL store (15 or later): the only place, with `sqlite`, that names sqlx.
//!
//! Invariants: every method runs its SQL in an owned task, so that a caller who leaves never stops a statement half
//! way; every transaction names its isolation level in its BEGIN; locks are taken in the order loans (by key), the lock on
//! accounting periods (shared), `account_totals`, `batch_totals`.
//!
//! Round trips, hot paths first:
//!
//! | method | statements |
//! | --- | --- |
//! | `accept` | one; from 512 events on BEGIN, draw numbers, COPY, COMMIT; two more when a key was known |
//! | `post_batch` | BEGIN, lock, read, write, COMMIT; a COPY before the write from 512 postings on; three more when a loan opens, one when an item is backdated, when an event names an earlier one, when fees are waived, when a loan's terms change, when a message came twice, and after a period was closed |
//! | reads | one or two |

mod accept;
mod ach;
mod admin;
mod bank;
pub mod bench;
mod connect;
mod conservation;
mod copy;
mod error;
mod fresh;
mod general_ledger;
mod groups;
mod holds;
mod intake_rows;
mod ledger_reads;
mod loan_check;
mod loan_reads;
mod migrate;
mod parking;
mod payments;
mod periods;
mod poller_reads;
mod post;
mod processes;
mod programs;
mod read;
mod read_loans;
mod reconcile;
mod reconciliation;
mod review;
mod rows;
mod servicing;
mod statements;
mod status;
mod store;
mod sweep;
mod uploads;
mod verify;
mod webhooks;

pub use connect::PostgresStore;
pub use post::PreparedBatch;
pub use statements::{copies, statements};
