//! Owns late items: what an event that counts from an earlier place than the loan has reached does to the books.
//!
//! # What is a fact, what is derived
//! A posted event is a **fact**; it stays, and so does its posting. What it did to the loan is **derived** from all facts
//! in front of it ([`Life`](crate::core::loan::Life)), so it can become different when one comes in between or goes. What an event does today is
//! its own posting and every posting that restates it, taken together: their lines add up to what the books say of it,
//! and the allocation of the last is the split that stands.
//!
//! # What is written
//! The late item is posted as it would have been in its place: the rules judge it by the loan as it stood there. What it
//! takes back, it takes back by the mirror of what stands of it. Then each later event that does something else now is
//! restated by an event of our own, in the same transaction: `payment_allocated`, caused by the late item, dated as the
//! event that it restates, its lines the difference. Interest that was computed is restated in the same way, its lines on
//! the interest receivable and interest income. Suspense that now pays a debt does so by an event of its own. What does
//! the same as before gets nothing. Versions, times and hashes go on as for any posting; booking dates are those of
//! the calendar, so a correction of a closed month is booked on the first open day.
//!
//! # What is late
//! What stands behind all that is posted is not late and costs nothing of this: see [`earliest_late`]. For the rest the store
//! reads the loan's postings from the late item's day on ([`History`]), and where the loan stood before is what it is
//! now without them: no history is ever read, nor lived, from its beginning. Where interest of these postings was
//! computed, its fractions are told from the last mark in front of them (`core/loan/accrual.rs`).
//!
//! Interest that is computed for a day is that of the day's end, so from then on an event of that very day is late.
//!
//! An event without a target is judged by the loan as it stood on its day, open or charged off; a second charge-off alone
//! is refused whatever its day.
//!
//! What is taken of a loan on its borrower's or the lender's word (a refund, a waiver, an adjustment, a charge-off) is
//! not taken where the loan on some later day did not have it: that is refused, as if in order it would have been later.

mod adjustment;
mod book;
mod difference;
mod explain;
mod history;
mod look;
mod settle;
mod sum;

pub(in crate::core::ledger) use adjustment::borne_by_hand;
pub use explain::{DaySum, Found, MoneyIn, SplitExplained};
pub use history::{History, earliest_late, reaches_back_to, reads_long, rests_on_state};
pub(in crate::core::ledger) use history::{is_late_on, reached_by};
pub use look::{ChargeBack, View};
pub(in crate::core::ledger) use look::{Looked, look};
pub(in crate::core::ledger) use settle::{Own, Settlement, Settling};
