//! Owns what was accepted: commands as callers gave them, the events they become, their idempotency, and the form in
//! which they travel.
//!
//! Invariants: a [`Command`] has passed every check that needs no ledger; two commands have the same
//! [`Fingerprint`] exactly when they are the same request; an accepted event never changes.

mod accepted;
mod bank_settlement;
mod columns;
mod command;
mod decision;
mod fee;
mod fingerprint;
mod group;
mod hold;
mod key;
mod kind;
mod metadata;
mod payment_kind;
mod payment_return;
mod receipt;
mod reversal;
mod review;
mod servicing;
mod upload;
mod wire;

pub use accepted::{AcceptedEvent, EventNames, GroupLeg, NewEvent, Origin};
pub use bank_settlement::{BankSettlement, CashFlow, UnknownCashFlow};
pub use columns::{ColumnsError, CommandColumns};
pub use command::{
    Command, Disbursement, LoanNumber, LoanNumberError, LoanOpening, OpeningBalances, Payment, ProgramDefaults,
    SourceMethod,
};
pub use decision::{Decision, Stage, decide};
pub use fee::{Fee, FeeCode, FeeCodeError, LateFor};
pub use fingerprint::Fingerprint;
pub use group::{
    Group, GroupOperation, LEGS_MAX, LEGS_TOLD_MAX, Leg, LegRequest, LegTerms, LegsHash, Move, MovedBucket, NewGroup,
    NewLoanTerms, Rearrangement, UnknownMovedBucket,
};
pub use hold::{HoldMode, HoldOperation, UnknownHoldMode};
pub use key::{IdempotencyKey, IdempotencyKeyError};
pub use kind::{EventKind, NamedId, UnknownEventKind};
pub use metadata::{METADATA_BYTES_MAX, METADATA_KEYS_MAX, Metadata, MetadataError, MetadataValue};
pub use payment_return::{
    PaymentReturn, PaymentReturnError, ReturnCode, ReturnCodeError, ReturnTerms, ReturnedPayment,
};
pub use receipt::Receipt;
pub use reversal::{ReversalReason, ReversedEntry, UnknownReversalReason};
pub use review::{Resolution, Review, UnknownResolution};
pub use servicing::{AdjustmentLine, Collectibility, EarlierEvent, Party, Servicing, ServicingAct, WaivedFee};
pub use upload::{NO_BORROWER, Upload, UploadMode, UploadOperation};
pub use wire::{ENVELOPE_BYTES_MAX, ENVELOPE_EVENTS_MAX, ENVELOPE_VERSION, Envelope, EventRef, WireError};
