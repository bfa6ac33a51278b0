//! Owns what an entry means under its feed: a payment, a return, a notification of change, or an exception that a person
//! looks at. Exactly one of them, always: nothing of a file is dropped.
//!
//! The first reason that applies decides. What needs loans or older payments (is the loan known, does the return fit a
//! payment) is decided by the caller.

use chrono::NaiveDate;

use crate::core::ach::code::{AccountKind, Direction, Purpose, SecCode};
use crate::core::ach::dates::{is_weekday, nearest};
use crate::core::ach::exception_reason::ExceptionReason;
use crate::core::ach::feed::{DateRule, Feed, View};
use crate::core::ach::reading::FileEntry;
use crate::core::ach::reason::{ChangeCode, ReturnCode, ReturnFee, ReturnGroup};
use crate::core::ach::record::{Addenda, ChangeAddenda, FileHeader, ReturnAddenda, Settlement, Trace};
use crate::core::ach::text::Text;
use crate::core::event::LoanNumber;
use crate::core::money::{Minor, Money};

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// A borrower's payment.
    Payment(PaymentEntry),
    /// A payment came back.
    Return(ReturnEntry),
    /// The borrower's bank asks for a change before the next entry. No money moves.
    Change(ChangeEntry),
    /// Something else: it waits for a person.
    Exception(ExceptionReason),
}

/// A borrower's payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentEntry {
    /// The loans it may name, by the feed's rules in their order: the first that there is counts. Where there is none, it
    /// is an unidentified receipt.
    pub loan_numbers: Vec<LoanNumber>,
    /// How much.
    pub amount: Money,
    /// The day it counts from.
    pub effective_date: NaiveDate,
    /// The day its sender asked for; `None` where that is blank or none.
    pub effective_entry_date: Option<NaiveDate>,
    /// Its trace number, which a return will name.
    pub trace: Trace,
    /// How the sender knows the payer.
    pub individual_id: Text<22>,
    /// The account it was taken from, or with code 52 paid to.
    pub account: Text<17>,
    /// The company it was collected for, or that sent it.
    pub company_id: Text<10>,
}

/// A payment that came back: to be matched by original trace, amount, account, company and day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnEntry {
    /// Why; always a code whose group undoes the payment.
    pub code: ReturnCode,
    /// The trace number of the payment.
    pub original_trace: Trace,
    /// How much came back.
    pub amount: Money,
    /// The account the payment was taken from.
    pub account: Text<17>,
    /// The company it was collected for.
    pub company_id: Text<10>,
    /// How the sender knew the payer.
    pub individual_id: Text<22>,
    /// The trace number of the return itself.
    pub trace: Trace,
    /// The day that the payment's sender asked for, which the batch of a return keeps; `None` where that is blank or none.
    pub effective_entry_date: Option<NaiveDate>,
    /// The day its file was made; `None` where the file has no header.
    pub made_on: Option<NaiveDate>,
    /// The day the return settles; `None` where the file does not say: the caller's business date then.
    pub booked_on: Option<NaiveDate>,
    /// What the feed charges the borrower for its payment, on the day of the first return.
    pub fee: Option<Minor>,
}

/// A change that the borrower's bank asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeEntry {
    /// What is to be changed.
    pub code: ChangeCode,
    /// The trace number of the entry it is about.
    pub original_trace: Trace,
    /// The right value, laid out as the code says.
    pub corrected: Text<29>,
    /// The account as the entry had it.
    pub account: Text<17>,
    /// The company of the entry.
    pub company_id: Text<10>,
    /// How the sender knew the payer.
    pub individual_id: Text<22>,
}

/// Says what entries of one file mean.
#[derive(Clone, Copy, Debug)]
pub struct Classifier<'f> {
    feed: &'f Feed,
    created_on: Option<NaiveDate>,
    latest: NaiveDate,
    overruled: Option<Overruled>,
}

/// What a person brings who wants an entry posted.
#[derive(Clone, Copy, Debug)]
struct Overruled {
    effective_date: Option<NaiveDate>,
}

impl Feed {
    /// A classifier for the entries of a file. `latest` is the last day an entry may count from: the tenant's business
    /// date, plus the days it allows.
    #[must_use]
    pub fn classifier(&self, header: Option<&FileHeader>, latest: NaiveDate) -> Classifier<'_> {
        Classifier { feed: self, created_on: header.map(|header| header.created_on), latest, overruled: None }
    }
}

/// What the addenda of an entry say.
#[derive(Default)]
struct Said {
    /// The last one counts: a dishonour follows the return, a contest the dishonour.
    returned: Option<ReturnAddenda>,
    change: Option<ChangeAddenda>,
    has_remittance: bool,
}

impl Said {
    fn by(at: &FileEntry<'_>) -> Self {
        let mut said = Self::default();
        for addenda in at.addenda() {
            match addenda {
                Addenda::Return(returned) => said.returned = Some(returned),
                Addenda::Change(change) => said.change = Some(change),
                Addenda::Remittance(_) => said.has_remittance = true,
                Addenda::Other(_) => {}
            }
        }
        said
    }
}

impl Classifier<'_> {
    /// The same for entries that a person wants posted: what [`ExceptionReason::may_be_overruled`] names is passed over,
    /// and `effective_date` is the day they count from, where there is one.
    #[must_use]
    pub fn overruled(self, effective_date: Option<NaiveDate>) -> Self {
        Self { overruled: Some(Overruled { effective_date }), ..self }
    }

    /// What an entry means.
    #[must_use]
    pub fn classify(&self, at: &FileEntry<'_>) -> Meaning {
        self.judge(at).unwrap_or_else(Meaning::Exception)
    }

    fn judge(&self, at: &FileEntry<'_>) -> Result<Meaning, ExceptionReason> {
        let said = Said::by(at);
        if at.sec() == SecCode::Cor || said.change.is_some() {
            return change(at, said.change).map(Meaning::Change);
        }
        if at.batch.is_reversal() {
            return Err(ExceptionReason::ReversalBatch);
        }
        let companies = &self.feed.company_ids;
        let is_listed = companies.is_empty() || companies.iter().any(|id| id == at.batch.company_id.trimmed());
        if !is_listed && self.overruled.is_none() {
            return Err(ExceptionReason::CompanyNotAccepted);
        }
        if said.returned.is_some() || at.entry.code.purpose == Purpose::Returned {
            return self.returned(at, said.returned).map(Meaning::Return);
        }
        self.payment(at, &said).map(Meaning::Payment)
    }

    fn payment(&self, at: &FileEntry<'_>, said: &Said) -> Result<PaymentEntry, ExceptionReason> {
        let entry = &at.entry;
        moves_money(entry.code.purpose, entry.amount)?;
        if !self.takes_class(at.sec()) {
            return Err(ExceptionReason::SecNotAccepted);
        }
        names_payer(entry.code.account, entry.code.direction)?;
        if entry.code.direction != self.feed.view.payment_direction() {
            return Err(ExceptionReason::AgainstDirection);
        }
        if at.sec() == SecCode::Ctx && said.has_remittance && self.overruled.is_none() {
            return Err(ExceptionReason::ManyAddendaCtx);
        }
        let effective_date = self.effective_date(at)?;
        let rules = self.feed.loan_number.iter();
        Ok(PaymentEntry {
            loan_numbers: rules.filter_map(|rule| rule.find(at, &self.feed.customers)).collect(),
            amount: Money::new(entry.amount, self.feed.currency),
            effective_date,
            effective_entry_date: at.batch.effective_entry_date,
            trace: entry.trace,
            individual_id: at.individual_id(),
            account: entry.account,
            company_id: at.batch.company_id,
        })
    }

    fn takes_class(&self, sec: SecCode) -> bool {
        self.feed.sec_codes.contains(&sec) || (self.overruled.is_some() && sec.pays())
    }

    /// Settlement date if given, else effective entry date; never the day the file was made, never after `latest`.
    fn effective_date(&self, at: &FileEntry<'_>) -> Result<NaiveDate, ExceptionReason> {
        if let Some(date) = self.overruled.and_then(|it| it.effective_date) {
            return self.not_after_latest(date);
        }
        let effective = at.batch.effective_entry_date.ok_or(ExceptionReason::EffectiveDateMissing)?;
        let settled = settled_on(at.batch.settlement, effective)?;
        let date = match (self.feed.date_rule, settled) {
            (DateRule::Settlement, Some(settled)) => settled,
            (DateRule::EffectiveEntry, Some(_)) => effective,
            (DateRule::Settlement | DateRule::EffectiveEntry, None) => self.unsettled(effective)?,
        };
        self.not_after_latest(date)
    }

    /// An effective entry date that the operator has not confirmed is only what the sender wished.
    fn unsettled(&self, effective: NaiveDate) -> Result<NaiveDate, ExceptionReason> {
        if self.created_on.is_some_and(|created| effective < created) {
            return Err(ExceptionReason::EffectiveDatePast);
        }
        if !is_weekday(effective) {
            return Err(ExceptionReason::EffectiveDateWeekend);
        }
        let is_holiday = self.feed.holidays.binary_search(&effective).is_ok();
        if is_holiday { Err(ExceptionReason::EffectiveDateHoliday) } else { Ok(effective) }
    }

    fn not_after_latest(&self, date: NaiveDate) -> Result<NaiveDate, ExceptionReason> {
        if date > self.latest { Err(ExceptionReason::FutureDated) } else { Ok(date) }
    }

    fn returned(&self, at: &FileEntry<'_>, said: Option<ReturnAddenda>) -> Result<ReturnEntry, ExceptionReason> {
        let said = said.ok_or(ExceptionReason::ReasonMissing)?;
        let code = said.code().ok_or(ExceptionReason::UnknownReturnCode)?;
        undoes_payment(code.group())?;
        // What is never taken as a payment cannot come back as one.
        if !at.sec().pays() {
            return Err(ExceptionReason::SecNotAccepted);
        }
        let entry = &at.entry;
        match self.feed.view {
            View::Receiver => return Err(ExceptionReason::ReturnNotExpected),
            View::Originator if entry.code.direction == Direction::Credit => {
                return Err(ExceptionReason::RefusedCredit);
            }
            View::Originator => {}
        }
        if entry.amount.is_zero() {
            return Err(ExceptionReason::ZeroAmount);
        }
        names_payer(entry.code.account, entry.code.direction)?;
        // A return keeps the effective entry date of the payment, so the year is that of the file around it.
        let near = self.created_on.or(at.batch.effective_entry_date);
        let booked_on = match self.overruled.and_then(|it| it.effective_date) {
            Some(date) => Some(date),
            None => near.map_or(Ok(None), |near| settled_on(at.batch.settlement, near))?,
        };
        let booked_on = booked_on.map(|date| self.not_after_latest(date)).transpose()?;
        Ok(ReturnEntry {
            code,
            original_trace: said.original_trace,
            amount: Money::new(entry.amount, self.feed.currency),
            account: entry.account,
            company_id: at.batch.company_id,
            individual_id: at.individual_id(),
            trace: entry.trace,
            effective_entry_date: at.batch.effective_entry_date,
            made_on: self.created_on,
            booked_on,
            fee: self.feed.return_fee.filter(|_| code.group().fee() == ReturnFee::Yes),
        })
    }
}

fn change(at: &FileEntry<'_>, said: Option<ChangeAddenda>) -> Result<ChangeEntry, ExceptionReason> {
    let said = said.ok_or(ExceptionReason::ReasonMissing)?;
    let code = said.code().ok_or(ExceptionReason::UnknownChangeCode)?;
    if code.is_refusal() {
        return Err(ExceptionReason::RefusedChange);
    }
    if !at.entry.amount.is_zero() {
        return Err(ExceptionReason::NonzeroPrenote);
    }
    Ok(ChangeEntry {
        code,
        original_trace: said.original_trace,
        corrected: said.corrected,
        account: at.entry.account,
        company_id: at.batch.company_id,
        individual_id: at.individual_id(),
    })
}

/// Whether an entry is one that moves money, and does.
fn moves_money(purpose: Purpose, amount: Minor) -> Result<(), ExceptionReason> {
    match (purpose, amount.is_zero()) {
        (Purpose::Live, false) => Ok(()),
        (Purpose::Live | Purpose::ZeroDollar, true) => Err(ExceptionReason::ZeroAmount),
        (Purpose::Prenote, true) => Err(ExceptionReason::Prenote),
        (Purpose::Prenote | Purpose::ZeroDollar, false) => Err(ExceptionReason::NonzeroPrenote),
        (Purpose::Returned, _) => Err(ExceptionReason::ReasonMissing),
    }
}

/// Whether the account can be a payer's.
fn names_payer(account: AccountKind, direction: Direction) -> Result<(), ExceptionReason> {
    match (account, direction) {
        (AccountKind::Checking | AccountKind::Savings, _) | (AccountKind::Loan, Direction::Credit) => Ok(()),
        (AccountKind::GeneralLedger, _) => Err(ExceptionReason::GeneralLedgerAccount),
        (AccountKind::Loan, Direction::Debit) => Err(ExceptionReason::LoanDebit),
    }
}

/// Whether returns of this group undo a payment.
fn undoes_payment(group: ReturnGroup) -> Result<(), ExceptionReason> {
    match group {
        ReturnGroup::NoFunds
        | ReturnGroup::AccountWrong
        | ReturnGroup::NotAuthorised
        | ReturnGroup::StopPayment
        | ReturnGroup::DeceasedOrFrozen
        | ReturnGroup::AskedFor
        | ReturnGroup::Duplicate
        | ReturnGroup::FormFault
        | ReturnGroup::ForeignOrSanctions => Ok(()),
        ReturnGroup::Enrolment => Err(ExceptionReason::EnrolmentReturn),
        ReturnGroup::RefusedCredit => Err(ExceptionReason::RefusedCredit),
        ReturnGroup::Dishonoured => Err(ExceptionReason::DishonouredReturn),
        ReturnGroup::Contested => Err(ExceptionReason::ContestedReturn),
    }
}

/// The settlement date with its year, if there is one.
fn settled_on(settlement: Settlement, near: NaiveDate) -> Result<Option<NaiveDate>, ExceptionReason> {
    match settlement {
        Settlement::NotGiven => Ok(None),
        Settlement::DayOfYear(day) => nearest(day, near).map(Some).ok_or(ExceptionReason::SettlementDateWrong),
        Settlement::Wrong => Err(ExceptionReason::SettlementDateWrong),
    }
}
