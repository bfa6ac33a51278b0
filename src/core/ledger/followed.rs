//! Owns what is told of all that followed from an event: one pure function of the events that it brought about, and of the
//! late fees it has shown to be wrong. None of these rows changes, so what is told never does.

use serde::Serialize;

use crate::core::event::{Command, EventKind, NewEvent};
use crate::core::ids::EventId;
use crate::core::ledger::answer::Answer;
use crate::core::ledger::late_fee_view::FeeToReviewView;
use crate::core::ledger::late_fees::FeeToReview;
use crate::core::ledger::posting::Posting;
use crate::core::ledger::restated::RestatedView;

/// A fee that the loan's program asks for with a return, and that a rule refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RefusedFee {
    /// The fee, an event that is rejected.
    pub fee_event_id: EventId,
    /// The rule.
    pub code: &'static str,
}

/// What followed from an event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Followed {
    /// The earlier events that do something else now, in their order.
    pub restated: Vec<RestatedView>,
    /// The late fees that it has shown to be for payments on time.
    pub fees_to_review: Vec<FeeToReviewView>,
    /// The fee that it was charged with, if it is a return.
    pub fee: Option<EventId>,
    /// The fee that it was not charged with, though its program asks for it.
    pub fee_refused: Option<RefusedFee>,
}

impl Followed {
    /// What these consequences and these fees say.
    #[must_use]
    pub fn of<'c>(
        consequences: impl IntoIterator<Item = (&'c NewEvent, &'c Posting)>,
        fees_to_review: &[FeeToReview],
    ) -> Self {
        let fees_to_review = fees_to_review.iter().map(FeeToReviewView::from).collect();
        let mut followed = Self { fees_to_review, ..Self::default() };
        for (event, posting) in consequences {
            followed.restated.extend(RestatedView::of(event, posting));
            if matches!(event.command, Command::Fee(_)) {
                match posting.outcome.rejection() {
                    None => followed.fee = Some(event.id),
                    Some(code) => {
                        followed.fee_refused = Some(RefusedFee { fee_event_id: event.id, code: code.as_str() });
                    }
                }
            }
        }
        followed
    }

    /// Takes in what followed on another loan of the same event.
    pub fn extend(&mut self, other: Self) {
        let Self { restated, fees_to_review, fee, fee_refused } = other;
        self.restated.extend(restated);
        self.fees_to_review.extend(fees_to_review);
        (self.fee, self.fee_refused) = (self.fee.or(fee), self.fee_refused.or(fee_refused));
    }
}

impl Answer {
    /// The answer with what followed from its event. The fee of a return is named where it was charged.
    #[must_use]
    pub fn followed_by(self, followed: Followed) -> Self {
        let Followed { restated, fees_to_review, fee, fee_refused } = followed;
        let is_return = self.event.is_some_and(|event| event.kind == EventKind::PaymentReturned);
        let fee_event_id = if is_return { fee } else { self.fee_event_id };
        Self { fee_event_id, fee_refused, restated, fees_to_review, ..self }
    }
}
