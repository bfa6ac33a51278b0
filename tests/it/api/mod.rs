//! The API in front of a real embedded deployment: `SQLite`, in-process broker, worker.

mod accruals;
mod ach;
mod answers;
mod bad_inputs;
mod bank;
mod batches;
mod changes;
mod fees;
mod ledger;
mod loan_reads;
mod lookup;
mod outside_issuer;
mod periods;
mod previews;
mod programs;
mod reconciliation;
mod returns;
mod tls;
mod tokens;
mod uploads_cut;
mod uploads_rules;
mod webhooks;
mod wire;
mod world;
