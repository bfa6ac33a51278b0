//! Owns the payoff quote: what closes a loan on a day.
//!
//! Principal, interest up to and not counting the day, unpaid fees, less suspense (domain rule 56). Interest is what is
//! booked, plus what the loan's program makes of the days since the last accrual, up to the day before the quote's; an
//! accrual that is booked for the quote's own day is not owed by somebody who pays on it.
//!
//! From the day of a charge-off on the quote is what the borrower still owes of it: it stands on the memo accounts, as far
//! as recoveries have not paid it by now, and bears no interest (domain rules 32 and 68).

use chrono::NaiveDate;

use crate::core::loan::balances::Balances;
use crate::core::loan::charge_off::ChargedOff;
use crate::core::loan::day_count::DaySpan;
use crate::core::loan::history::LoanHistory;
use crate::core::loan::interest::{InterestError, InterestRule};
use crate::core::money::Minor;

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

/// What the quotes of a loan are made from.
#[derive(Clone, Copy, Debug)]
pub struct Payoff<'l> {
    /// What moved on it.
    pub history: &'l LoanHistory,
    /// How it bears interest; `None` where only what is booked is known.
    pub rule: Option<&'l InterestRule>,
    /// Its charge-off, while that stands.
    pub charged_off: Option<&'l ChargedOff>,
}

impl Payoff<'_> {
    /// What closes the loan on a day, by the entries that are effective by then.
    ///
    /// # Errors
    /// See [`InterestError`].
    pub fn on(&self, date: NaiveDate) -> Result<PayoffDay, InterestError> {
        let Balances { fees, interest, principal, suspense } = self.history.balances_on(date)?;
        let memo = self.charge_off_by(date).map(|off| off.memo).unwrap_or_default();
        let booked = interest.minus(self.history.accrued_on(date))?.max(Minor::ZERO);
        let (fees, principal) = (fees.plus(memo.fees)?, principal.plus(memo.principal)?);
        let interest_booked = booked.plus(memo.interest)?;
        let interest_unbooked = self.unbooked(date)?;
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
    pub fn days(&self, date: NaiveDate, days: usize) -> Result<Vec<PayoffDay>, InterestError> {
        date.iter_days().take(days).map(|day| self.on(day)).collect()
    }

    /// One day's interest on what is outstanding on a day; `None` where the loan has no rate.
    ///
    /// # Errors
    /// See [`InterestError`].
    pub fn per_diem(&self, date: NaiveDate) -> Result<Option<Minor>, InterestError> {
        let Some(rule) = self.rule else { return Ok(None) };
        let principal = self.history.balances_on(date)?.principal;
        let bears = if self.charge_off_by(date).is_some() { Minor::ZERO } else { principal };
        rule.terms.per_diem(bears, rule.rate, date).map(Some)
    }

    /// The charge-off, where it stands by a day.
    #[must_use]
    pub fn charge_off_by(&self, date: NaiveDate) -> Option<&ChargedOff> {
        self.charged_off.filter(|off| off.on <= date)
    }

    /// The interest of the days after the last accrual before `date`, up to the day before it.
    fn unbooked(&self, date: NaiveDate) -> Result<Minor, InterestError> {
        let Some(rule) = self.rule.filter(|_| self.charge_off_by(date).is_none()) else { return Ok(Minor::ZERO) };
        let after_accrual = self.history.accrued_through(date).and_then(|day| day.succ_opt());
        let first_day = self.history.days().first().map(|day| day.date);
        let Some(days) = after_accrual.or(first_day).and_then(|from| DaySpan::new(from, date)) else {
            return Ok(Minor::ZERO);
        };
        rule.terms.accrued(&self.history.segments(rule.rate, date)?, days)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::loan::charge_off::{LossAccount, Memo};
    use crate::core::loan::history::LoanDay;
    use crate::core::loan::interest::InterestTerms;

    fn day(month: u32, day: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, month, day).unwrap()
    }

    /// Fees, interest, principal, suspense, and of the interest what was accrued.
    fn moved(date: NaiveDate, [fees, interest, principal, suspense]: [i64; 4], accrued: i64) -> LoanDay {
        let [fees, interest, principal, suspense] = [fees, interest, principal, suspense].map(Minor::new);
        let movement = Balances { fees, interest, principal, suspense };
        LoanDay { date, movement, accrued: Minor::new(accrued) }
    }

    fn payoff<'l>(history: &'l LoanHistory, rule: Option<&'l InterestRule>) -> Payoff<'l> {
        Payoff { history, rule, charged_off: None }
    }

    fn rule(rate: &str) -> InterestRule {
        InterestRule { rate: rate.parse().unwrap(), terms: InterestTerms::default() }
    }

    #[test]
    fn a_quote_has_the_interest_up_to_its_day_and_no_further() {
        // 3,650.00 at 10 % are 1.00 a day.
        let lent = moved(day(1, 1), [0, 0, 365_000, 0], 0);
        let history = LoanHistory::new([lent]).unwrap();
        let of = |history: &LoanHistory, date| payoff(history, Some(&rule("10"))).on(date).unwrap();
        assert_eq!(of(&history, day(1, 1)).payoff.units(), 365_000, "the first day counts, its own quote does not");
        assert_eq!(of(&history, day(1, 11)).interest_unbooked.units(), 1_000);
        assert_eq!(payoff(&history, Some(&rule("10"))).per_diem(day(1, 11)).unwrap(), Some(Minor::new(100)));
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
        let quote = payoff(&LoanHistory::new(days).unwrap(), None).on(day(3, 1)).unwrap();
        assert_eq!((quote.payoff.units(), quote.interest_unbooked.units()), (10_570, 0));
    }

    #[test]
    fn suspense_counts_against_what_is_owed() {
        let quote = |suspense| {
            let days = [moved(day(1, 1), [500, 0, 1_000, suspense], 0)];
            let quote = payoff(&LoanHistory::new(days).unwrap(), None).on(day(1, 2)).unwrap();
            [quote.payoff.units(), quote.surplus.units()]
        };
        assert_eq!(quote(400), [1_100, 0]);
        assert_eq!(quote(1_500), [0, 0]);
        assert_eq!(quote(1_600), [0, 100]);
    }

    #[test]
    fn days_of_a_list_rise_by_the_per_diem() {
        let history = LoanHistory::new([moved(day(1, 1), [0, 0, 365_000, 0], 0)]).unwrap();
        let days = payoff(&history, Some(&rule("10"))).days(day(2, 1), 10).unwrap();
        assert_eq!(days.len(), 10);
        assert!(days.windows(2).all(|pair| pair[1].payoff.minus(pair[0].payoff) == Ok(Minor::new(100))));
        assert_eq!(days[9].date, day(2, 10));
    }

    #[test]
    fn what_was_charged_off_is_owed_without_interest() {
        let gone = [moved(day(1, 1), [500, 70, 365_000, 0], 0), moved(day(2, 1), [-500, -70, -365_000, 20], 0)];
        let history = LoanHistory::new(gone).unwrap();
        let memo = Memo { fees: Minor::new(500), interest: Minor::new(70), principal: Minor::new(300_000) };
        let off = ChargedOff { on: day(2, 1), loss: LossAccount::Expense, memo };
        let rule = rule("10");
        let payoff = Payoff { charged_off: Some(&off), ..payoff(&history, Some(&rule)) };
        let quote = payoff.on(day(3, 1)).unwrap();
        assert_eq!((quote.payoff.units(), quote.interest_unbooked.units()), (300_550, 0), "less what is in suspense");
        assert_eq!(payoff.per_diem(day(3, 1)).unwrap(), Some(Minor::ZERO));
        assert_eq!(payoff.on(day(1, 11)).unwrap().payoff.units(), 366_570, "before the charge-off as it was then");
        assert_eq!(payoff.per_diem(day(1, 31)).unwrap(), Some(Minor::new(100)));
    }
}
