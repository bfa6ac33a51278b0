//! Owns the reads of what followed from an event, which its answer, its status and its webhook tell alike.

use chrono::NaiveDate;

use crate::core::event::{Command, EventKind, Leg, LegTerms, NewEvent};
use crate::core::ledger::{
    Followed, LateForView, Outcome, Posting, RejectionCode, late_for_of, received_before, shown_by,
};
use crate::store::{Store, StoreError};

/// What followed from an event: nothing, where it is not in the books. Two short reads, of which one for money alone; of a
/// small group three for each of its loans.
///
/// # Errors
/// The store is away.
pub async fn what_followed(store: &dyn Store, event: &NewEvent, posting: &Posting) -> Result<Followed, StoreError> {
    match (posting.outcome, &event.command) {
        (Outcome::Posted, _) => followed_on_loan(store, event, posting).await,
        (Outcome::Done, Command::Group(group)) if group.tells_of_legs() => {
            let mut followed = Followed::default();
            for number in (1..=group.legs).filter_map(|number| i32::try_from(number).ok()) {
                let leg = store.event(event.tenant, event.id.leg(number)).await?;
                if let Some((leg, posting)) = leg.and_then(|leg| Some((leg.event.event, leg.posting?))) {
                    followed.extend(followed_on_loan(store, &leg, &posting).await?);
                }
            }
            Ok(followed)
        }
        (Outcome::Done | Outcome::Rejected(_), _) => Ok(Followed::default()),
    }
}

/// What followed on the loan of an event that is in the books.
async fn followed_on_loan(store: &dyn Store, event: &NewEvent, posting: &Posting) -> Result<Followed, StoreError> {
    let consequences = store.consequences(event.tenant, event.id).await?;
    let told = consequences.iter().filter_map(|it| Some((&*it.event.event, it.posting.as_ref()?)));
    let fees = match shows_fees_from(event, posting) {
        Some(from) => shown_by(&store.late_fees(event.tenant, vec![event.loan_key], from).await?, event.id),
        None => Vec::new(),
    };
    Ok(Followed::of(told, &fees))
}

/// The first day of the late fees that an event can show to be wrong; `None` where it can show none.
fn shows_fees_from(event: &NewEvent, posting: &Posting) -> Option<NaiveDate> {
    match (&event.command, event.kind) {
        // A fee that money can show to be wrong is of a later day.
        (Command::Leg(Leg { terms: LegTerms::ReceiptIn { .. } | LegTerms::SuspenseIn, .. }), _)
        | (_, EventKind::PaymentReceived | EventKind::Recovery) => Some(posting.effective_date),
        // What is taken back may have taken money back on a later day, and money that goes back may have been what a
        // waiver gave back: the fee is owed again.
        (_, EventKind::Reversal | EventKind::PaymentReturned) => Some(NaiveDate::MIN),
        (
            _,
            EventKind::Disbursement
            | EventKind::DisbursementSettled
            | EventKind::Accrual
            | EventKind::PaymentAllocated
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
            | EventKind::Upload,
        ) => None,
    }
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
