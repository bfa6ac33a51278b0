//! Owns the double-entry side: accounts, lines, entries, and the fold that turns accepted events into postings.
//!
//! Invariants: a [`JournalEntry`] balances, because its constructor is the only way to make one; lines never change;
//! the postings of a loan are numbered 1, 2, 3, … and each carries a hash over the one before it; an entry is taken
//! back at most once, as a whole and on its own day.

mod account;
mod ahead;
mod answer;
mod chain;
mod chart;
mod entry;
mod fees;
mod fold;
#[cfg(test)]
mod fold_tests;
mod followed;
mod group;
mod late;
mod late_fee_view;
mod late_fees;
mod past;
mod period;
mod posting;
mod restated;
mod results;
mod rules;

pub use account::{Account, AccountCode, AccountCodeError, CHART, NormalBalance, account_of};
pub use ahead::{GroupOutlook, LegAhead, Outlook, look_ahead, look_ahead_group};
pub use answer::{AllocationView, Answer, answer};
pub use chain::chain_hash;
pub use chart::{ADDED_FIRST, ADDED_LAST, AccountSetting, Chart, ChartFault, ShownAccount, is_added};
pub use entry::{Direction, EntryError, JournalEntry, LINES_MAX, Layer, Line};
pub use fees::{FeeBook, FeeItem, FeeSort, Waiver};
pub use fold::{EventFailure, FoldInput, FoldOutput, LoanWork, Step, must_wait, post_event};
pub use followed::{Followed, RefusedFee};
pub use group::{GroupInput, GroupOutput, LegWork, post_group};
pub use late::{
    ChargeBack, DaySum, Found, History, MoneyIn, SplitExplained, View as LateView, earliest_late, reaches_back_to,
    reads_long, rests_on_state,
};
pub use late_fee_view::{FeeToReviewView, LateForView};
pub use late_fees::{FeeToReview, LateFeeBook, Receipts, late_for_of, needs_receipts, received_before, shown_by};
pub use past::{Booked, Earlier, EarlierState, Past, computing_group, needs_fees};
pub use period::{Calendar, ClosedPeriodRule, NotAPeriod, Period, PeriodStatus, UnknownPeriodWord};
pub use posting::{
    Finished, Outcome, PostedEvent, Posting, PostingSummary, REFUSED_LOANS_MAX, RejectionCode, SystemPosting,
};
pub use restated::RestatedView;
pub use results::{RESULTS_MAX, Results};
pub use rules::{Refusal, Verdict, judge};
