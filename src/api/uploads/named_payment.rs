//! Owns which payment a return names, of those that have its trace, amount, account and company.
//!
//! A trace number comes again, for a small sender every month with the same amount of the same account. What tells such
//! payments apart is the effective entry date: the batch of a return keeps that of the payment (Nacha Operating Rules,
//! appendix four). So a return of a known day takes a payment of that day back, and never another one, by itself: not
//! even the only one there is, for its own may not be loaded yet. Some banks write a day of their own all the same: a
//! person who has the return posted passes over the day. And a payment is taken back by itself only if no other of the
//! day, or where one of the two days is not known no other at all, has the mark.
//!
//! And no return is of a payment that comes after it, however much the rest is alike.

use chrono::{Days, NaiveDate};

use crate::store::MarkedPayment;

/// How many days before its own day a payment may be sent back: its debit reaches the payer's bank at most one banking day
/// ahead, and a long weekend makes four days of that.
const AHEAD_DAYS: u64 = 4;

/// What a return says of its payment's day.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReturnDays {
    /// The effective entry date of its batch.
    pub(crate) effective_entry_date: Option<NaiveDate>,
    /// The day its file was made.
    pub(crate) made_on: NaiveDate,
    /// Whether a person wants it posted.
    pub(crate) is_reviewed: bool,
}

/// The payment that a return names.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Named<'p> {
    /// It stands.
    One(&'p MarkedPayment),
    /// It was taken back before.
    Undone(&'p MarkedPayment),
    /// It may be one of so many.
    Several(usize),
    /// None of its day; this one of another day is alike.
    OfOtherDay(&'p MarkedPayment),
    /// None.
    Nothing,
}

impl ReturnDays {
    /// Which of the payments with its mark a return names.
    pub(crate) fn named<'p>(&self, found: &'p [MarkedPayment]) -> Named<'p> {
        let latest = self.made_on.checked_add_days(Days::new(AHEAD_DAYS)).unwrap_or(NaiveDate::MAX);
        let mut there: Vec<&MarkedPayment> = found.iter().filter(|payment| day_of(payment) <= latest).collect();
        let has = |there: &[&MarkedPayment], wanted| there.iter().any(|payment| self.is_of_day(payment) == wanted);
        let of_day = [Some(true), None, Some(false)].into_iter().find(|is_of_day| has(&there, *is_of_day));
        let Some(of_day) = of_day else { return Named::Nothing };
        there.retain(|payment| self.is_of_day(payment) == of_day);
        let standing: Vec<&MarkedPayment> = there.iter().copied().filter(|payment| payment.stands).collect();
        // Of twins of one day the return of the first may come again, in other bytes: it must not take the second back.
        let is_sure = self.is_reviewed || there.len() == 1;
        match (standing.as_slice(), of_day) {
            ([], Some(false)) => Named::Nothing,
            ([], Some(true) | None) => there.first().map_or(Named::Nothing, |undone| Named::Undone(undone)),
            ([other, ..], Some(false)) if !self.is_reviewed => Named::OfOtherDay(other),
            ([payment], Some(_) | None) if is_sure => Named::One(payment),
            ([_, ..], Some(_) | None) => Named::Several(there.len()),
        }
    }

    /// Whether a payment is of the day that the return says; `None` where nobody can tell.
    fn is_of_day(&self, payment: &MarkedPayment) -> Option<bool> {
        let days = self.effective_entry_date.zip(payment.effective_entry_date);
        days.map(|(named, of_payment)| named == of_payment)
    }
}

/// The day for which a payment was sent.
fn day_of(payment: &MarkedPayment) -> NaiveDate {
    payment.effective_entry_date.unwrap_or_else(|| payment.event.event.command.effective_date())
}
