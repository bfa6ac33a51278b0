//! Owns the fold as a lane runs it: the domain's posting of one event after the other, each behind a wall that a panic
//! cannot cross.
//!
//! The loan's state goes in by value and the state before the event is kept, so a panic leaves nothing half changed:
//! the loan keeps what was posted before, and stops at the event that failed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use crate::core::event::{AcceptedEvent, EventKind, EventNames};
use crate::core::ledger::{
    EventFailure, FoldInput, FoldOutput, GroupInput, History, LoanWork, Past, Step, must_wait, post_event, post_group,
};
use crate::core::loan::LoanState;
use crate::core::time::Timestamp;
use crate::store::{Fold, GroupFold};

/// How one event is judged: [`post_event`], or a stand-in that fails on purpose in a test.
type Judge =
    dyn Fn(Option<LoanState>, bool, &mut Past, &AcceptedEvent, Timestamp) -> Result<Step, String> + Send + Sync;

/// Which events a fold was shown: tells a lane whom to blame when the transaction fails afterwards.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen(Arc<Mutex<Vec<EventNames>>>);

impl Seen {
    fn note(&self, event: &AcceptedEvent) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(EventNames::of(event));
    }

    /// The events, in the order they were judged.
    pub(super) fn events(&self) -> Vec<EventNames> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The domain's fold as a lane runs it, for who posts without one.
#[must_use]
pub fn lane_fold() -> Fold {
    guarded(&Seen::default())
}

/// The domain's fold, noting in `seen` what it judged.
pub(super) fn guarded(seen: &Seen) -> Fold {
    guarded_with(seen, Arc::new(post_event))
}

fn guarded_with(seen: &Seen, judge: Arc<Judge>) -> Fold {
    let seen = seen.clone();
    Arc::new(move |input: FoldInput| {
        let mut output = FoldOutput::default();
        for loan in input.loans {
            fold_loan(loan, input.now, &seen, judge.as_ref(), &mut output);
        }
        output
    })
}

fn fold_loan(loan: LoanWork, now: Timestamp, seen: &Seen, judge: &Judge, output: &mut FoldOutput) {
    let LoanWork { mut state, number_taken, mut past, events, .. } = loan;
    let version_before = state.map_or(0, |state| state.version);
    for event in &events {
        if state.is_some_and(|state| must_wait(&state, &past, event)) {
            break;
        }
        seen.note(event);
        let step = catch_unwind(AssertUnwindSafe(|| judge(state, number_taken, &mut past, event, now)));
        match step.unwrap_or_else(|panic| Err(panic_text(panic.as_ref()))) {
            Ok(step) => {
                state = step.state;
                // What a reversal gives back, a waiver say, may put a fee of any day up for review, and so may money that
                // goes back and had paid what a waiver gave back.
                let goes_back = matches!(event.event.kind, EventKind::Reversal | EventKind::PaymentReturned);
                if goes_back || past.history.as_ref().is_some_and(History::has_late_fees) {
                    output.reviewing.insert(event.seq);
                }
                output.postings.push(step.posting);
                output.system.extend(step.system);
            }
            Err(reason) => {
                output.failures.push(EventFailure { event: EventNames::of(event), reason });
                break;
            }
        }
    }
    output.states.extend(state.filter(|state| state.version > version_before));
}

/// The domain's fold of a group; a panic in it is a failure of the group.
#[must_use]
pub fn lane_group_fold() -> GroupFold {
    Arc::new(|input: GroupInput| {
        let folded = catch_unwind(AssertUnwindSafe(|| post_group(input)));
        folded.unwrap_or_else(|panic| Err(panic_text(panic.as_ref())))
    })
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("panic: {}", text.unwrap_or("without a text"))
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDate;
    use uuid::Uuid;

    use super::*;
    use crate::core::event::{Command, Disbursement, IdempotencyKey, NewEvent, Payment, SourceMethod};
    use crate::core::ids::{BorrowerId, EventId, LoanId, PublisherId, Seq, TenantId};
    use crate::core::money::{Currency, Minor, Money};

    fn event(number: i64, command: Command) -> AcceptedEvent {
        let key = IdempotencyKey::parse(&format!("event:{number:08}")).unwrap();
        let (id, tenant) = (EventId(Uuid::from_u128(u128::from(number.unsigned_abs()) << 1)), TenantId(Uuid::nil()));
        let event = NewEvent::of_caller(id, tenant, key, command, PublisherId(Uuid::nil()), "test".to_owned());
        AcceptedEvent::new(Seq(number), Timestamp::EPOCH, event)
    }

    fn payment(number: i64, amount: i64) -> AcceptedEvent {
        event(
            number,
            Command::Payment(Payment {
                loan_id: LoanId(Uuid::nil()),
                borrower_id: BorrowerId(Uuid::nil()),
                amount: Money::new(Minor::new(amount), Currency::USD),
                effective_date: NaiveDate::from_ymd_opt(2026, 5, 1).unwrap(),
                source_method: SourceMethod::Ach,
                external_ref: None,
                metadata: None,
            }),
        )
    }

    fn lent(number: i64, amount: i64) -> AcceptedEvent {
        event(
            number,
            Command::Disbursement(Disbursement {
                loan_id: LoanId(Uuid::nil()),
                borrower_id: BorrowerId(Uuid::nil()),
                amount: Money::new(Minor::new(amount), Currency::USD),
                effective_date: NaiveDate::from_ymd_opt(2026, 5, 1).unwrap(),
                method: SourceMethod::Wire,
                destination_ref: None,
                metadata: None,
            }),
        )
    }

    #[test]
    fn a_panic_stops_its_loan_at_its_event_and_keeps_what_went_before() {
        let events = vec![lent(1, 100), payment(2, 10), payment(3, 13), payment(4, 10)];
        let first = &events[0].event;
        let unopened = LoanState::unopened(
            (first.loan_key, first.tenant),
            (first.command.loan_id(), first.command.borrower_id()),
            Currency::USD,
            first.command.effective_date(),
        );
        let (key, past) = (first.loan_key, Past::default());
        let work = LoanWork { key, state: Some(unopened), number_taken: false, past, events };
        let seen = Seen::default();
        let fold = guarded_with(
            &seen,
            Arc::new(|state, taken, past: &mut Past, event: &AcceptedEvent, now| {
                assert!(event.event.command.amount() != Some(Minor::new(13)), "unlucky");
                post_event(state, taken, past, event, now)
            }),
        );
        let output = fold(FoldInput { now: Timestamp::EPOCH, loans: vec![work] });
        assert_eq!(output.postings.len(), 2);
        assert_eq!(output.states[0].version, 2);
        assert_eq!(output.states[0].balances.principal, Minor::new(90));
        assert_eq!(output.failures[0].event.seq, Seq(3));
        assert!(output.failures[0].reason.contains("unlucky"), "{:?}", output.failures);
        assert_eq!(seen.events().last().unwrap().seq, Seq(3));
    }
}
