//! Owns what is said of a row that makes no event of its upload.

use crate::api::uploads::rows::RowFault;
use crate::core::event::{Fingerprint, IdempotencyKey, NewEvent};
use crate::core::ids::{EventId, PaymentBatchId};
use crate::core::money::Minor;
use crate::store::{KnownEvent, RowCounts, UploadException};

/// The key has the same payment.
const DUPLICATE: &str = "duplicate";
/// The key has another payment.
const MISMATCHED: &str = "mismatched";

/// A row as it was asked for, kept while its event is at the intake.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) row_no: i64,
    batch: Option<PaymentBatchId>,
    key: Option<IdempotencyKey>,
    fingerprint: Fingerprint,
    amount: Option<Minor>,
    currency: String,
    /// Whether the same place is the same row, whatever it became before a cut: a loan may have become known since.
    stands_by_place: bool,
}

/// What holds a row's key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Holder {
    pub(super) fingerprint: Fingerprint,
    pub(super) event_id: Option<EventId>,
    /// Its row, if it came in this upload.
    pub(super) row_no: Option<i64>,
}

impl Asked {
    pub(super) fn of(event: &NewEvent, stands_by_place: bool) -> Self {
        Self {
            row_no: event.origin.batch.map_or(0, |(_, row_no)| row_no),
            batch: event.origin.batch.map(|(batch, _)| batch),
            key: event.key.clone(),
            fingerprint: event.fingerprint,
            amount: event.command.amount(),
            currency: event.command.currency().code().to_owned(),
            stands_by_place,
        }
    }

    /// What holds this row's key, for a later row with the same.
    pub(super) fn as_holder(&self, event_id: Option<EventId>) -> Holder {
        Holder { fingerprint: self.fingerprint, event_id, row_no: Some(self.row_no) }
    }

    /// The exception of a row whose key is taken; `None` where it is this very row, from before a cut.
    pub(super) fn taken_by(&self, known: &KnownEvent) -> Option<UploadException> {
        let first = &known.event.event;
        let row_no = first.origin.batch.filter(|(batch, _)| Some(*batch) == self.batch).map(|(_, row_no)| row_no);
        let is_this_row =
            row_no == Some(self.row_no) && (self.stands_by_place || first.fingerprint == self.fingerprint);
        let holder = Holder { fingerprint: first.fingerprint, event_id: Some(first.id), row_no };
        (!is_this_row).then(|| self.repeats(&holder))
    }

    /// The exception of a row whose key `holder` has.
    pub(super) fn repeats(&self, holder: &Holder) -> UploadException {
        let code = if holder.fingerprint == self.fingerprint { DUPLICATE } else { MISMATCHED };
        UploadException { event_id: holder.event_id, first_row_no: holder.row_no, ..self.exception(code) }
    }

    /// The exception of a row for `code`.
    pub(super) fn exception(&self, code: &str) -> UploadException {
        UploadException {
            row_no: self.row_no,
            code: code.to_owned(),
            idempotency_key: self.key.as_ref().map(|key| key.as_str().to_owned()),
            event_id: None,
            first_row_no: None,
            amount: self.amount,
            currency: Some(self.currency.clone()),
            errors: None,
        }
    }
}

/// The exception of a row that is no payment.
pub(super) fn of_fault(row_no: i64, key: Option<&IdempotencyKey>, fault: &RowFault) -> UploadException {
    UploadException {
        row_no,
        code: fault.code.to_owned(),
        idempotency_key: key.map(|key| key.as_str().to_owned()),
        event_id: None,
        first_row_no: None,
        amount: fault.money.map(|money| money.minor),
        currency: fault.money.map(|money| money.currency.code().to_owned()),
        errors: serde_json::to_string(&fault.errors).ok(),
    }
}

/// Adds exceptions to the counts.
pub(super) fn count(counts: &mut RowCounts, exceptions: &[UploadException]) {
    for exception in exceptions {
        let count = match exception.code.as_str() {
            DUPLICATE => &mut counts.duplicates,
            MISMATCHED => &mut counts.mismatched,
            _ => &mut counts.invalid,
        };
        *count = count.saturating_add(1);
    }
}
