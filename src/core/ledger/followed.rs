//! Owns what is told of all that followed from an event: one pure function of the events that it brought about, and of the
//! late fees it has shown to be wrong. None of these rows changes, so what is told never does.

use crate::core::event::NewEvent;
use crate::core::ledger::answer::Answer;
use crate::core::ledger::late_fee_view::FeeToReviewView;
use crate::core::ledger::late_fees::FeeToReview;
use crate::core::ledger::posting::Posting;
use crate::core::ledger::restated::RestatedView;

/// What followed from an event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Followed {
    /// The earlier events that do something else now, in their order.
    pub restated: Vec<RestatedView>,
    /// The late fees that it has shown to be for payments on time.
    pub fees_to_review: Vec<FeeToReviewView>,
}

impl Followed {
    /// What these consequences and these fees say.
    #[must_use]
    pub fn of<'c>(
        consequences: impl IntoIterator<Item = (&'c NewEvent, &'c Posting)>,
        fees_to_review: &[FeeToReview],
    ) -> Self {
        Self {
            restated: consequences
                .into_iter()
                .filter_map(|(event, posting)| RestatedView::of(event, posting))
                .collect(),
            fees_to_review: fees_to_review.iter().map(FeeToReviewView::from).collect(),
        }
    }
}

impl Answer {
    /// The answer with what followed from its event.
    #[must_use]
    pub fn followed_by(self, followed: Followed) -> Self {
        let Followed { restated, fees_to_review } = followed;
        Self { restated, fees_to_review, ..self }
    }
}
