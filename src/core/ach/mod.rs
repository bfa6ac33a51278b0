//! Owns NACHA files: what their records say, whether a file is sound, and what each entry means for a loan ledger.
//!
//! Three steps, each pure:
//!
//! 1. [`read`] (or [`Feed::read`]) walks over the bytes once and checks the whole file: a [`File`], or a [`Refusal`] with
//!    every fault by line, column and field. Nothing of a refused file is posted.
//! 2. [`File::entries`] goes over the entries again, in order, in constant memory.
//! 3. [`Feed::classifier`] says what each entry is: a payment, a return, a notification of change, or an exception. It is
//!    always exactly one of them, so parsed = payments + returns + changes + exceptions, in count and cents.
//!
//! Invariants: amounts are cents read from digits alone; a file that passed has exactly the entries and totals that its
//! controls say; no input panics; memory does not grow with the file. Must not know loans, stores, clocks.
//!
//! Source of columns, codes and controls: Nacha Operating Rules, appendix three (formats), four (returns), five
//! (notifications of change).

#[cfg(test)]
mod ach_tests;
mod check;
mod classify;
mod code;
mod customers;
mod dates;
mod exception_reason;
mod fault;
mod feed;
mod feed_settings;
mod identity;
mod lines;
mod loan_number;
mod reading;
mod reason;
mod record;
mod tally;
mod text;
mod tolerance;
mod writer;

pub use check::Summary;
pub use classify::{ChangeEntry, Classifier, Meaning, PaymentEntry, ReturnEntry};
pub use code::{AccountKind, Direction, Identification, Purpose, SecCode, ServiceClass, TransactionCode};
pub use customers::{CUSTOMERS_MAX, CustomerSetting};
pub use dates::weekday_from;
pub use exception_reason::ExceptionReason;
pub use fault::{FAULTS_MAX, Fault, FaultCode, Faults};
pub use feed::{DateRule, Feed, FeedName, FeedNameError, SoftDuplicates, View};
pub use feed_settings::{COMPANY_IDS_MAX, FeedFault, FeedSettings, HOLIDAYS_MAX};
pub use identity::{FileHash, FileIdentity, Position};
pub use loan_number::LoanNumberRule;
pub use reading::{Contents, Entries, File, FileEntry, Refusal, read};
pub use reason::{ChangeCode, LedgerEffect, ReturnCode, ReturnFee, ReturnGroup};
pub use record::{
    Addenda, BatchHeader, ChangeAddenda, Entry, FileHeader, RemittanceAddenda, ReturnAddenda, RoutingNumber,
    Settlement, Trace,
};
pub use tally::{Tally, Total};
pub use text::{RECORD_LEN, Text};
pub use tolerance::{Tolerance, Tolerances};
pub use writer::{AddendaSpec, BatchSpec, EntrySpec, FileSpec, WriteError, Writer};
