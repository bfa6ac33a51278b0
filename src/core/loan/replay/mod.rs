//! Owns the replay of a loan's life: what every fact did, as if all had come in the order in which they count.
//!
//! # Facts and what is derived
//! A **fact** is what was asked of the loan and does not change any more: so much was lent, charged or paid, or interest
//! accrued, on that day. What it *did* is **derived**: how a payment was divided, how much a charge-off took, what the days
//! of an accrual came to, how much suspense was left to pay a new debt. An [`Effect`] says what a fact did, and it depends
//! on everything in front of the fact.
//!
//! # Order
//! Facts stand by [`Place`]: the day they count from, then their [`Turn`] in it, then the order of acceptance (domain rules
//! 7 and 11, decisions D2 and D3). Interest that is computed for a day stands behind everything else of it: it is that of
//! the principal at the day's end, and a payment of the day does not bear it. When a fact became known does not matter, so
//! every order of arrival of the same facts comes to the same effects. A fact that was taken back is left out (rule 8).
//!
//! # Never below nothing
//! What was once right may find less in a replay: a refund finds less suspense, because the payment it came from has
//! gone back; a waiver finds less of the fee, because an earlier payment now pays it. The fact stands all the same,
//! money that left has left. So what it cannot take from suspense is owed as principal (rule 24), and what it cannot
//! take from a debt is the borrower's, in suspense. Interest alone may be gone without anybody having paid it, because it
//! was corrected: an adjustment takes of it what is there, and asks for the rest of nobody. No bucket is negative after any
//! fact, hence on no date.
//!
//! From a charge-off on a loan has no debt on the balance sheet: whatever is owed after it is owed on the memo accounts.
//!
//! # Starting late
//! A [`Life`] keeps the effects as they stand and, every so many facts, the [`Position`] of the loan. A late fact is
//! put at its place; the position there is found from the checkpoint before it by adding up what stands, and only from
//! there on is anything judged anew. As soon as the position is again what it was, the rest stands as well: its balances,
//! and to the last fraction the interest that is not booked yet.
//!
//! A fee is payable from the day it counts from. Whoever makes the fact decides that day; the default of rule 9 is the
//! earlier of its due date and the day it was added.

mod effect;
mod fact;
mod life;
mod position;
#[cfg(test)]
mod replay_tests;

pub use effect::{Change, ChargeOffMade, Effect};
pub use fact::{CreditOrder, Deed, Fact, Place, Turn};
pub use life::{Life, ReplayTerms};
pub use position::Position;
