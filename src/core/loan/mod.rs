//! Owns the loan: what it owes, in which order a payment pays it, what it owed on past days, and the interest it bears.
//!
//! Invariants: fees, interest, principal and suspense are never negative, on any date; a payment's parts add up to
//! the payment.

mod accrual;
mod accruing;
mod allocation;
mod balances;
mod charge_off;
mod day_count;
mod explanation;
mod history;
mod interest;
mod late_fee_policy;
mod payoff;
mod program;
mod rate;
mod replay;
mod return_policy;
mod rounding;
mod state;
mod timeline;
mod waterfall;
mod waterfalls;

pub use accrual::{AccrualBook, AccrualMark};
pub use accruing::Accruing;
pub use allocation::{Allocation, allocate};
pub use balances::Balances;
pub use charge_off::{ChargedOff, LossAccount, Memo, UnknownLossAccount};
pub use day_count::{DayCount, DayCountError, DaySpan, YEAR_PARTS};
pub use explanation::{BucketStep, Limit, explain};
pub use history::{LoanDay, LoanHistory};
pub use interest::{Carried, InterestError, InterestRule, InterestTerms, Segment, segments};
pub use late_fee_policy::{GRACE_DAYS_MAX, LateFeePolicy, LateFeeSetting, is_fee_code};
pub use payoff::{Payoff, PayoffDay};
pub use program::{Program, ProgramFault, ProgramSettings};
pub use rate::{AnnualRate, AnnualRateError};
pub use replay::{Change, ChargeOffMade, CreditOrder, Deed, Effect, Fact, Life, Place, Position, ReplayTerms, Turn};
pub use return_policy::{ReturnFeeSetting, ReturnManner, ReturnPolicy, return_code_number};
pub use rounding::{Rounding, RoundingError, RoundingMode, RoundingTime};
pub use state::{LoanState, LoanStatus, LoanTerms, Standing, SuspenseRelease, UnknownSuspenseRelease};
pub use timeline::{DayMovement, Timeline};
pub use waterfall::{Bucket, Waterfall, WaterfallError};
pub use waterfalls::{PaymentKind, WATERFALL_RULES_MAX, WaterfallRuleSetting, Waterfalls, WaterfallsError};
