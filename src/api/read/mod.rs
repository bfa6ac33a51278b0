//! Owns the reads: each asks the store one thing for the caller's tenant and shapes the answer.

pub(crate) mod accounts;
pub(crate) mod ach_exceptions;
pub(crate) mod ach_files;
pub(crate) mod allocation;
pub(crate) mod batch_results;
pub(crate) mod batches;
pub(crate) mod changes;
pub(crate) mod changes_stream;
mod description;
pub(crate) mod entries;
pub(crate) mod events;
pub(crate) mod fees;
pub(crate) mod health;
pub(crate) mod journal;
pub(crate) mod loans;
pub(crate) mod lookup;
mod page_token;
pub(crate) mod payments;
pub(crate) mod payoff;
pub(crate) mod periods;
pub(crate) mod preview;
pub(crate) mod reconciliation;
pub(crate) mod result_row;
mod rows_form;
pub(crate) mod statement;
pub(crate) mod status;
pub(crate) mod trial_balance;
