//! Owns the payoff quote: what closes a loan on a day.
//!
//! Principal, interest up to and not counting the day, unpaid fees, less suspense (domain rule 56). Interest is what is
//! booked, plus what the loan's program makes of the days since the last accrual, up to the day before the quote's; an
//! accrual that is booked for the quote's own day is not owed by somebody who pays on it.

use chrono::NaiveDate;

use crate::core::loan::balances::Balances;
use crate::core::loan::day_count::DaySpan;
use crate::core::loan::history::LoanHistory;
use crate::core::loan::interest::{InterestError, InterestTerms};
use crate::core::loan::rate::AnnualRate;
use crate::core::money::Minor;

/// How a loan bears interest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InterestRule {
    /// The rate.
    pub rate: AnnualRate,
    /// Day count and rounding.
    pub terms: InterestTerms,
}

/// What closes a loan on one day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PayoffDay {
    /// The day.
    pub date: NaiveDate,
    /// Principal outstanding.
    pub principal: Minor,
    /// Interest booked and unpaid.
    pub interest_booked: Minor,
    /// Interest of the days that no accrual covers yet.
    pub interest_unbooked: Minor,
    /// Unpaid fees.
    pub fees: Minor,
    /// Money received and not yet applied, which counts against them.
    pub suspense: Minor,
    /// What is to be paid; nothing where suspense covers it.
    pub payoff: Minor,
    /// What of suspense would be left.
    pub surplus: Minor,
}

/// What closes a loan on a day, by the entries that are effective by then.
///
/// # Errors
/// See [`InterestError`].
pub fn payoff_on(
    history: &LoanHistory,
    rule: Option<&InterestRule>,
    date: NaiveDate,
) -> Result<PayoffDay, InterestError> {
    let Balances { fees, interest, principal, suspense } = history.balances_on(date)?;
    let interest_booked = interest.minus(history.accrued_on(date))?.max(Minor::ZERO);
    let interest_unbooked = rule.map_or(Ok(Minor::ZERO), |rule| unbooked(history, rule, date))?;
    let owed = Minor::sum([principal, interest_booked, interest_unbooked, fees])?;
    let due = owed.minus(suspense)?;
    Ok(PayoffDay {
        date,
        principal,
        interest_booked,
        interest_unbooked,
        fees,
        suspense,
        payoff: due.max(Minor::ZERO),
        surplus: due.mirrored()?.max(Minor::ZERO),
    })
}

/// The quotes of so many days, the first on `date`.
///
/// # Errors
/// See [`InterestError`].
pub fn payoff_days(
    history: &LoanHistory,
    rule: Option<&InterestRule>,
    date: NaiveDate,
    days: usize,
) -> Result<Vec<PayoffDay>, InterestError> {
    date.iter_days().take(days).map(|day| payoff_on(history, rule, day)).collect()
}

/// One day's interest on what is outstanding on a day.
///
/// # Errors
/// See [`InterestError`].
pub fn per_diem(history: &LoanHistory, rule: &InterestRule, date: NaiveDate) -> Result<Minor, InterestError> {
    let principal = history.balances_on(date)?.principal;
    rule.terms.per_diem(principal, rule.rate, date)
}

/// The interest of the days after the last accrual before `date`, up to the day before it.
fn unbooked(history: &LoanHistory, rule: &InterestRule, date: NaiveDate) -> Result<Minor, InterestError> {
    let after_accrual = history.accrued_through(date).and_then(|day| day.succ_opt());
    let first_day = history.days().first().map(|day| day.date);
    let Some(days) = after_accrual.or(first_day).and_then(|from| DaySpan::new(from, date)) else {
        return Ok(Minor::ZERO);
    };
    rule.terms.interest(&history.segments(rule.rate, date)?, days)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::loan::history::LoanDay;

    fn day(month: u32, day: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, month, day).unwrap()
    }

    /// Fees, interest, principal, suspense, and of the interest what was accrued.
    fn moved(date: NaiveDate, [fees, interest, principal, suspense]: [i64; 4], accrued: i64) -> LoanDay {
        let [fees, interest, principal, suspense] = [fees, interest, principal, suspense].map(Minor::new);
        let movement = Balances { fees, interest, principal, suspense };
        LoanDay { date, movement, accrued: Minor::new(accrued) }
    }

    fn rule(rate: &str) -> InterestRule {
        InterestRule { rate: rate.parse().unwrap(), terms: InterestTerms::default() }
    }

    #[test]
    fn a_quote_has_the_interest_up_to_its_day_and_no_further() {
        // 3,650.00 at 10 % are 1.00 a day.
        let lent = moved(day(1, 1), [0, 0, 365_000, 0], 0);
        let history = LoanHistory::new([lent]).unwrap();
        let of = |history: &LoanHistory, date| payoff_on(history, Some(&rule("10")), date).unwrap();
        assert_eq!(of(&history, day(1, 1)).payoff.units(), 365_000, "the first day counts, its own quote does not");
        assert_eq!(of(&history, day(1, 11)).interest_unbooked.units(), 1_000);
        assert_eq!(per_diem(&history, &rule("10"), day(1, 11)).unwrap().units(), 100);
        // Ten days booked day by day, the eleventh as well.
        let accrued = (1..=11).map(|number| moved(day(1, number), [0, 100, 0, 0], 100));
        let history = LoanHistory::new([lent].into_iter().chain(accrued)).unwrap();
        let quote = of(&history, day(1, 11));
        assert_eq!((quote.interest_booked.units(), quote.interest_unbooked.units()), (1_000, 0));
        assert_eq!(of(&history, day(1, 12)).payoff.units(), 366_100);
        assert_eq!(of(&history, day(1, 13)).interest_unbooked.units(), 100);
    }

    #[test]
    fn a_loan_without_a_rate_owes_what_is_booked() {
        let days = [moved(day(1, 1), [500, 0, 10_000, 0], 0), moved(day(1, 5), [0, 70, 0, 0], 70)];
        let quote = payoff_on(&LoanHistory::new(days).unwrap(), None, day(3, 1)).unwrap();
        assert_eq!((quote.payoff.units(), quote.interest_unbooked.units()), (10_570, 0));
    }

    #[test]
    fn suspense_counts_against_what_is_owed() {
        let quote = |suspense| {
            let days = [moved(day(1, 1), [500, 0, 1_000, suspense], 0)];
            let quote = payoff_on(&LoanHistory::new(days).unwrap(), None, day(1, 2)).unwrap();
            [quote.payoff.units(), quote.surplus.units()]
        };
        assert_eq!(quote(400), [1_100, 0]);
        assert_eq!(quote(1_500), [0, 0]);
        assert_eq!(quote(1_600), [0, 100]);
    }

    #[test]
    fn days_of_a_list_rise_by_the_per_diem() {
        let history = LoanHistory::new([moved(day(1, 1), [0, 0, 365_000, 0], 0)]).unwrap();
        let days = payoff_days(&history, Some(&rule("10")), day(2, 1), 10).unwrap();
        assert_eq!(days.len(), 10);
        assert!(days.windows(2).all(|pair| pair[1].payoff.minus(pair[0].payoff) == Ok(Minor::new(100))));
        assert_eq!(days[9].date, day(2, 10));
    }
}
