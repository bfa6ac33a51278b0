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

/// The row's own payment came before a cut, and stands there at another number.
pub(crate) const MOVED: &str = "moved";

/// Whether an earlier row of a sending had an event of the upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Met {
    /// None had it.
    First,
    /// One had.
    Before,
    /// Nobody kept count: this is the first sending, whose events have their own rows' numbers.
    Unknown,
}

/// What the event that has a row's key is to the row.
#[derive(Debug)]
pub(super) enum Taken {
    /// The event of this very row, accepted before a cut.
    Own,
    /// The event of this row, accepted before a cut as another row.
    Moved(UploadException),
    /// Something else's.
    Others(UploadException),
}

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

    /// What the event that has this row's key is to it. `meet` is asked about an event of this upload: of the rows of a
    /// sending that ask for it, the first has it.
    pub(super) fn taken_by(&self, known: &KnownEvent, meet: impl FnOnce() -> Met) -> Taken {
        let first = &known.event.event;
        let row_no = first.origin.batch.filter(|(batch, _)| Some(*batch) == self.batch).map(|(_, row_no)| row_no);
        let holder = Holder { fingerprint: first.fingerprint, event_id: Some(first.id), row_no };
        let stands_here = row_no == Some(self.row_no);
        let is_same = first.fingerprint == self.fingerprint || (stands_here && self.stands_by_place);
        if row_no.is_none() || !is_same {
            return Taken::Others(self.repeats(&holder));
        }
        match (meet(), stands_here) {
            (Met::First | Met::Unknown, true) => Taken::Own,
            (Met::First, false) => Taken::Moved(UploadException { event_id: Some(first.id), ..self.exception(MOVED) }),
            (Met::Before, _) | (Met::Unknown, false) => Taken::Others(self.repeats(&holder)),
        }
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
            first_batch_id: None,
            amount: self.amount,
            currency: Some(self.currency.clone()),
            errors: None,
            resolved: None,
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
        first_row_no: fault.first.map(|first| first.row_no),
        first_batch_id: fault.first.map(|first| first.batch),
        amount: fault.money.map(|money| money.minor),
        currency: fault.money.map(|money| money.currency.code().to_owned()),
        errors: serde_json::to_string(&fault.errors).ok(),
        resolved: None,
    }
}

/// Adds exceptions to the counts.
pub(super) fn count(counts: &mut RowCounts, exceptions: &[UploadException]) {
    for exception in exceptions {
        let count = match exception.code.as_str() {
            DUPLICATE => &mut counts.duplicates,
            MISMATCHED => &mut counts.mismatched,
            // It is an event of the upload, and counted as that.
            MOVED => continue,
            _ => &mut counts.invalid,
        };
        *count = count.saturating_add(1);
    }
}
