//! Owns the reads of what followed from an event, which its answer, its status and its webhook tell alike.

use chrono::NaiveDate;

use crate::core::event::{EventKind, NewEvent};
use crate::core::ledger::{
    Followed, LateForView, Outcome, Posting, RejectionCode, late_for_of, received_before, shown_by,
};
use crate::store::{Store, StoreError};

/// What followed from an event: nothing, where it is not in the books. Two short reads, of which one for money alone.
///
/// # Errors
/// The store is away.
pub async fn what_followed(store: &dyn Store, event: &NewEvent, posting: &Posting) -> Result<Followed, StoreError> {
    if posting.outcome != Outcome::Posted {
        return Ok(Followed::default());
    }
    let consequences = store.consequences(event.tenant, event.id).await?;
    let told = consequences.iter().filter_map(|it| Some((&it.event.event, it.posting.as_ref()?)));
    let shown = match event.kind {
        // A fee that it can show to be wrong is of a later day.
        EventKind::PaymentReceived | EventKind::Recovery => Some(posting.effective_date),
        // What it takes back may have taken money back on a later day.
        EventKind::Reversal => Some(NaiveDate::MIN),
        EventKind::Disbursement
        | EventKind::DisbursementSettled
        | EventKind::Accrual
        | EventKind::PaymentAllocated
        | EventKind::PaymentReturned
        | EventKind::FeeAssessed
        | EventKind::FeeWaived
        | EventKind::Chargeoff
        | EventKind::Refinance
        | EventKind::Restructure
        | EventKind::ManualAdjustment
        | EventKind::LoanOpened
        | EventKind::SuspenseApplied
        | EventKind::SuspenseRefunded
        | EventKind::SuspenseTransferred
        | EventKind::ReceiptAssigned
        | EventKind::UnidentifiedReceipt
        | EventKind::BankSettled
        | EventKind::Upload => None,
    };
    let fees = match shown {
        Some(from) => shown_by(&store.late_fees(event.tenant, vec![event.loan_key], from).await?, event.id),
        None => Vec::new(),
    };
    Ok(Followed::of(told, &fees))
}

/// The payment that a refused late fee was for, with what had come in for it; `None` for any other event.
///
/// # Errors
/// The store is away.
pub async fn paid_on_time(
    store: &dyn Store,
    event: &NewEvent,
    posting: &Posting,
) -> Result<Option<LateForView>, StoreError> {
    let refused = posting.outcome == Outcome::Rejected(RejectionCode::PaidOnTime);
    let (Some(late_for), Some(version)) = (late_for_of(&event.command).filter(|_| refused), posting.loan_version)
    else {
        return Ok(None);
    };
    let rows = store.late_fees(event.tenant, vec![event.loan_key], posting.effective_date).await?;
    Ok(received_before(&rows, event, version).map(|received| LateForView::of(late_for, received)))
}
