//! Owns what an entry means under its feed: a payment, a return, a notification of change, or an exception that a person
//! looks at. Exactly one of them, always: nothing of a file is dropped.
//!
//! The first reason that applies decides. What needs loans or older payments (is the loan known, does the return fit a
//! payment) is decided by the caller.

use chrono::NaiveDate;

use crate::core::ach::code::{AccountKind, Direction, Purpose, SecCode};
use crate::core::ach::dates::{is_weekday, nearest};
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
    /// The loan it names by the feed's rule; `None` makes it an unidentified receipt.
    pub loan_number: Option<LoanNumber>,
    /// How much.
    pub amount: Money,
    /// The day it counts from.
    pub effective_date: NaiveDate,
    /// Its trace number, which a return will name.
    pub trace: Trace,
    /// How the sender knows the payer.
    pub individual_id: Text<22>,
    /// The account it was taken from, or with code 52 paid to.
    pub account: Text<17>,
    /// The company it was collected for, or that sent it.
    pub company_id: Text<10>,
}

/// A payment that came back: to be matched by original trace, amount, account and company, newest first.
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
    /// The day the return settles; `None` where the file does not say: the caller's business date then.
    pub booked_on: Option<NaiveDate>,
    /// What the borrower is charged for it, on the day of the return.
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

/// A macro, because the reasons are a closed list of which each needs its name beside its meaning.
macro_rules! exception_reasons {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)+) => {
        /// Why an entry waits for a person. The list is closed; a name never changes its meaning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum ExceptionReason {
            $($(#[$doc])* $variant,)+
        }

        impl ExceptionReason {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// Its name in answers and results.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// The reason of a name.
            #[must_use]
            pub fn parse(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }
    };
}

exception_reasons! {
    /// Money moves the other way than payments of this feed.
    AgainstDirection = "against_direction",
    /// A trial entry without money.
    Prenote = "prenote",
    /// An entry without money.
    ZeroAmount = "zero_amount",
    /// A prenote, zero-dollar entry or notification of change with an amount.
    NonzeroPrenote = "nonzero_prenote",
    /// A batch with the description REVERSAL, which takes entries back.
    ReversalBatch = "reversal_batch",
    /// An account in a bank's own books.
    GeneralLedgerAccount = "general_ledger_account",
    /// Code 55 or its return 56: a loan is debited only to take a credit back.
    LoanDebit = "loan_debit",
    /// An entry class that the feed does not take.
    SecNotAccepted = "sec_not_accepted",
    /// A company that the feed does not know.
    CompanyNotAccepted = "company_not_accepted",
    /// A CTX entry with addenda: it may pay several loans.
    ManyAddendaCtx = "many_addenda_ctx",
    /// The effective entry date is blank or no day of the calendar.
    EffectiveDateMissing = "effective_date_missing",
    /// The effective entry date lies before the day the file was made, and nothing says when it settled.
    EffectiveDatePast = "effective_date_past",
    /// The effective entry date is a Saturday or Sunday, and nothing says when it settled.
    EffectiveDateWeekend = "effective_date_weekend",
    /// The settlement date is no day of the year.
    SettlementDateWrong = "settlement_date_wrong",
    /// It counts from a day that has not come.
    FutureDated = "future_dated",
    /// A return in a feed of the receiver's view: we would be the one returning.
    ReturnNotExpected = "return_not_expected",
    /// A return code that the table does not know.
    UnknownReturnCode = "unknown_return_code",
    /// A credit of ours, a refund or disbursement, came back.
    RefusedCredit = "refused_credit",
    /// A refused enrolment.
    EnrolmentReturn = "enrolment_return",
    /// We disputed a return.
    DishonouredReturn = "dishonoured_return",
    /// Our dispute of a return was answered.
    ContestedReturn = "contested_return",
    /// A change code that does not exist.
    UnknownChangeCode = "unknown_change_code",
    /// A change that we asked for was refused.
    RefusedChange = "refused_change",
    /// A return or notification of change without the addenda that says why.
    ReasonMissing = "reason_missing",
}

/// Says what entries of one file mean.
#[derive(Clone, Copy, Debug)]
pub struct Classifier<'f> {
    feed: &'f Feed,
    created_on: Option<NaiveDate>,
    latest: NaiveDate,
}

impl Feed {
    /// A classifier for the entries of a file. `latest` is the last day an entry may count from: the tenant's business
    /// date, plus the days it allows.
    #[must_use]
    pub fn classifier(&self, header: Option<&FileHeader>, latest: NaiveDate) -> Classifier<'_> {
        Classifier { feed: self, created_on: header.map(|header| header.created_on), latest }
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
        if !companies.is_empty() && !companies.iter().any(|id| id == at.batch.company_id.trimmed()) {
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
        if !self.feed.sec_codes.contains(&at.sec()) {
            return Err(ExceptionReason::SecNotAccepted);
        }
        names_payer(entry.code.account, entry.code.direction)?;
        if entry.code.direction != self.feed.view.payment_direction() {
            return Err(ExceptionReason::AgainstDirection);
        }
        if at.sec() == SecCode::Ctx && said.has_remittance {
            return Err(ExceptionReason::ManyAddendaCtx);
        }
        let effective_date = self.effective_date(at)?;
        let mut rules = self.feed.loan_number.iter();
        Ok(PaymentEntry {
            loan_number: rules.find_map(|rule| rule.find(at)),
            amount: Money::new(entry.amount, self.feed.currency),
            effective_date,
            trace: entry.trace,
            individual_id: at.individual_id(),
            account: entry.account,
            company_id: at.batch.company_id,
        })
    }

    /// Settlement date if given, else effective entry date; never the day the file was made, never after `latest`.
    fn effective_date(&self, at: &FileEntry<'_>) -> Result<NaiveDate, ExceptionReason> {
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
        is_weekday(effective).then_some(effective).ok_or(ExceptionReason::EffectiveDateWeekend)
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
        let booked_on = near.map_or(Ok(None), |near| settled_on(at.batch.settlement, near))?;
        let booked_on = booked_on.map(|date| self.not_after_latest(date)).transpose()?;
        Ok(ReturnEntry {
            code,
            original_trace: said.original_trace,
            amount: Money::new(entry.amount, self.feed.currency),
            account: entry.account,
            company_id: at.batch.company_id,
            individual_id: at.individual_id(),
            trace: entry.trace,
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
