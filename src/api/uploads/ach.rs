//! Owns the step from the entries of a file to rows of an upload: loans found by their numbers, returns matched with
//! the payments they name, everything else an exception that says why.
//!
//! | the entry | the row |
//! | --- | --- |
//! | a payment that another file had already | exception `soft_duplicate`, or as below with a mark, as the feed says |
//! | a payment of a known loan | a payment of that loan and its borrower |
//! | a payment of no known loan | an unidentified receipt, assigned later |
//! | a payment that its loan cannot take | an unidentified receipt that names the loan, and why |
//! | a return that names one payment not yet undone | its return, with the feed's fee where the code has one |
//! | a return that names none, or several | exception `return_unmatched`, `return_ambiguous` |
//! | a return that names one that was taken back before | exception `return_already_undone` |
//! | a return that names a receipt which is assigned | exception `return_of_unidentified_receipt` |
//! | a notification of change | exception `notification_of_change`, with the corrected data |
//! | anything else | an exception with the reason |
//!
//! A chunk costs three statements besides its acceptance: marks for later returns, which also tell what another file
//! had; loans by number; and the match of the returns in it. Its returns are taken after its payments, so a payment and
//! its return may come in one file.
//!
//! Inside one file nothing is a duplicate: two entries alike, even with one trace number, are two payments.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::NaiveDate;

use crate::api::error::ApiError;
use crate::api::problem::FieldError;
use crate::api::state::ApiState;
use crate::api::uploads::named_payment::{Named, ReturnDays};
use crate::api::uploads::rows::{Row, RowFault};
use crate::api::write::programs::return_policies;
use crate::core::ach::{
    ChangeEntry, ExceptionReason, Feed, FileEntry, FileHash, Meaning, PaymentEntry, ReturnEntry, SoftDuplicates,
};
use crate::core::event::{
    AcceptedEvent, Command, IdempotencyKey, LoanNumber, Metadata, MetadataValue, Payment, PaymentReturn,
    PaymentReturnError, Receipt, ReturnCode, ReturnTerms, SourceMethod,
};
use crate::core::ids::{LoanKey, TenantId};
use crate::core::ledger::{Calendar, PeriodStatus, RejectionCode};
use crate::core::loan::ReturnPolicy;
use crate::core::money::Money;
use crate::store::{EntryMark, FileRow, MarkedPayment, MarkedRow, NumberedLoan, SeenRow};

/// The exception of a payment that another file had already.
pub(crate) const SOFT_DUPLICATE: &str = "soft_duplicate";
/// The exception of a return that names no payment: it may have come before it.
pub(crate) const RETURN_UNMATCHED: &str = "return_unmatched";
/// The exception of a return that names several payments.
pub(crate) const RETURN_AMBIGUOUS: &str = "return_ambiguous";
/// The exception of a return whose payment was taken back before: the bank sent it twice, or a person was faster.
pub(crate) const RETURN_ALREADY_UNDONE: &str = "return_already_undone";
/// The exception of a return of money that was received for no known loan and is assigned to one since.
pub(crate) const RETURN_OF_RECEIPT: &str = "return_of_unidentified_receipt";
/// The exception of a return that would count from a day before its payment.
pub(crate) const RETURN_BEFORE_PAYMENT: &str = "return_before_payment";

/// Whether a person may have the entry of an exception with this code posted. What comes of it is judged again.
pub(crate) fn may_be_posted(code: &str) -> bool {
    let reasons = [
        SOFT_DUPLICATE,
        RETURN_UNMATCHED,
        RETURN_AMBIGUOUS,
        RETURN_ALREADY_UNDONE,
        RETURN_OF_RECEIPT,
        RETURN_BEFORE_PAYMENT,
    ];
    reasons.contains(&code) || ExceptionReason::parse(code).is_some_and(ExceptionReason::may_be_overruled)
}

/// The closed periods of a tenant.
pub(crate) async fn calendar(state: &ApiState, tenant: TenantId) -> Result<Calendar, ApiError> {
    let (rule, periods) = state.store().periods(tenant).await?;
    let closed = periods.into_iter().filter(|record| record.status == PeriodStatus::Closed);
    Ok(Calendar::new(rule, closed.map(|record| record.period)))
}

/// What the rows of a file are made with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FileRows<'f> {
    pub(crate) feed: &'f Feed,
    pub(crate) tenant: TenantId,
    pub(crate) hash: FileHash,
    /// For returns whose file does not say when they settled.
    pub(crate) business_date: NaiveDate,
    /// The day the file came, for those that do not say when they were made.
    pub(crate) came_on: NaiveDate,
    /// Whether a person wants the rows posted.
    pub(crate) is_reviewed: bool,
    /// The closed periods, as they are when the file is read.
    pub(crate) calendar: &'f Calendar,
}

/// An entry on its way to a row.
#[derive(Debug)]
pub(crate) struct EntryRow {
    row_no: i64,
    key: IdempotencyKey,
    amount: Money,
    meaning: Meaning,
}

impl EntryRow {
    pub(crate) fn is_return(&self) -> bool {
        matches!(self.meaning, Meaning::Return(_))
    }

    pub(crate) const fn row_no(&self) -> i64 {
        self.row_no
    }

    pub(crate) const fn key(&self) -> &IdempotencyKey {
        &self.key
    }

    fn row(self, command: Command) -> Row {
        Row::of_command(self.row_no, self.key, command)
    }

    fn exception(self, code: &'static str, message: String) -> Row {
        let errors = vec![FieldError::new("", code, message)];
        let fault = RowFault { code, errors, money: Some(self.amount), first: None };
        Row::of_fault(self.row_no, Some(self.key), fault)
    }

    /// Held for review, because `first` is the same entry.
    fn soft_duplicate(self, first: FileRow) -> Row {
        let message = format!("was seen as row {} of file {}", first.row_no, first.batch);
        let errors = vec![FieldError::new("", SOFT_DUPLICATE, message)];
        let fault = RowFault { code: SOFT_DUPLICATE, errors, money: Some(self.amount), first: Some(first) };
        Row::of_fault(self.row_no, Some(self.key), fault)
    }
}

impl FileRows<'_> {
    /// An entry with what it means.
    pub(crate) fn entry(&self, row_no: i64, at: &FileEntry<'_>, meaning: Meaning) -> EntryRow {
        let amount = Money::new(at.entry.amount, self.feed.currency());
        EntryRow { row_no, key: self.hash.row_key(at.position), amount, meaning }
    }

    /// What later returns will name of these payments, and what tells whether another file had them.
    pub(crate) fn marks(entries: &[EntryRow]) -> Vec<MarkedRow> {
        let mark = |entry: &EntryRow| match &entry.meaning {
            Meaning::Payment(payment) => Some(MarkedRow {
                row_no: entry.row_no,
                mark: mark_of_payment(payment),
                individual_id: payment.individual_id.trimmed().to_owned(),
                effective_entry_date: payment.effective_entry_date,
            }),
            Meaning::Return(_) | Meaning::Change(_) | Meaning::Exception(_) => None,
        };
        entries.iter().filter_map(mark).collect()
    }

    /// The rows of entries that are no returns; `seen` are those that another file had.
    pub(crate) async fn rows(
        &self,
        state: &ApiState,
        entries: Vec<EntryRow>,
        seen: Vec<SeenRow>,
    ) -> Result<Vec<Row>, ApiError> {
        let seen: HashMap<i64, FileRow> = seen.into_iter().map(|seen| (seen.row_no, seen.first)).collect();
        let numbers: BTreeSet<String> = entries.iter().flat_map(loan_numbers).map(comparable).collect();
        let mut loans: HashMap<String, NumberedLoan> = HashMap::new();
        if !numbers.is_empty() {
            let found = state.store().loans_of_numbers(self.tenant, numbers.into_iter().collect()).await?;
            loans.extend(found.into_iter().map(|loan| (loan.number.clone(), loan)));
        }
        let row = |entry: EntryRow| {
            let first = seen.get(&entry.row_no).copied();
            self.row(entry, &loans, first)
        };
        Ok(entries.into_iter().map(row).collect())
    }

    /// The rows of entries that are returns.
    pub(crate) async fn returns(&self, state: &ApiState, entries: Vec<EntryRow>) -> Result<Vec<Row>, ApiError> {
        let marks: Vec<EntryMark> = entries
            .iter()
            .filter_map(|entry| match &entry.meaning {
                Meaning::Return(returned) => Some(mark_of_return(returned)),
                Meaning::Payment(_) | Meaning::Change(_) | Meaning::Exception(_) => None,
            })
            .collect();
        let found = state.store().match_entries(self.tenant, marks).await?;
        let loans: BTreeSet<LoanKey> = found.iter().flatten().map(|payment| payment.event.event.loan_key).collect();
        let policies = return_policies(state, self.tenant, loans.into_iter().collect()).await?;
        let mut rows = Vec::with_capacity(entries.len());
        for (entry, found) in entries.into_iter().zip(found) {
            rows.push(match entry.meaning.clone() {
                Meaning::Return(returned) => self.return_row(entry, &returned, (&found, &policies))?,
                Meaning::Payment(_) | Meaning::Change(_) | Meaning::Exception(_) => {
                    return Err(ApiError::Broken("an entry that is no return was matched as one"));
                }
            });
        }
        Ok(rows)
    }

    fn row(&self, entry: EntryRow, loans: &HashMap<String, NumberedLoan>, first: Option<FileRow>) -> Row {
        match entry.meaning.clone() {
            Meaning::Payment(payment) => match (first, self.feed.soft_duplicates()) {
                (Some(first), SoftDuplicates::Hold) => entry.soft_duplicate(first),
                (Some(_), SoftDuplicates::Post) | (None, _) => entry.row(self.command(&payment, loans, first)),
            },
            Meaning::Change(change) => entry.exception("notification_of_change", change_text(&change)),
            Meaning::Exception(reason) => entry.exception(reason.name(), reason.name().replace('_', " ")),
            Meaning::Return(_) => entry.exception(RETURN_UNMATCHED, "the return was not matched".to_owned()),
        }
    }

    /// A payment of the first loan that the entry may name, or an unidentified receipt.
    fn command(
        &self,
        payment: &PaymentEntry,
        loans: &HashMap<String, NumberedLoan>,
        first: Option<FileRow>,
    ) -> Command {
        let of_number = |number: &LoanNumber| loans.get(number.comparable());
        let mut known = payment.loan_numbers.iter().filter_map(of_number);
        let loan = known.find(|loan| loan.currency == payment.amount.currency);
        let seen = first.into_iter().flat_map(seen_before);
        let Some(loan) = loan else { return self.receipt(payment, None, seen) };
        if let Some(refusal) = self.refusal(loan, payment.effective_date) {
            return self.receipt(payment, Some((loan, refusal)), seen);
        }
        Command::Payment(Payment {
            loan_id: loan.loan_id,
            borrower_id: loan.borrower_id,
            amount: payment.amount,
            effective_date: payment.effective_date,
            source_method: SourceMethod::Ach,
            external_ref: Some(payment.trace.to_string()),
            metadata: metadata(seen),
        })
    }

    /// Why a payment of a loan would be rejected: the bank has moved the money, so it is booked where it can be.
    fn refusal(&self, loan: &NumberedLoan, effective_date: NaiveDate) -> Option<RejectionCode> {
        let is_closed = self.calendar.refuses(effective_date);
        loan.refusal(effective_date).or_else(|| is_closed.then_some(RejectionCode::PeriodClosed))
    }

    /// Money of no loan that is known, or of one that does not take it, which is then named with its reason.
    fn receipt(
        &self,
        payment: &PaymentEntry,
        refused_by: Option<(&NumberedLoan, RejectionCode)>,
        seen: impl Iterator<Item = (&'static str, String)>,
    ) -> Command {
        let number = payment.loan_numbers.first().map(LoanNumber::as_str).unwrap_or_default();
        let known = [
            ("individual_id", payment.individual_id.trimmed()),
            ("account", payment.account.trimmed()),
            ("company_id", payment.company_id.trimmed()),
            ("loan_number", number),
        ];
        let known = known.into_iter().filter(|(_, text)| !text.is_empty()).map(|(name, text)| (name, text.to_owned()));
        let refused_by = refused_by.into_iter().flat_map(|(loan, code)| {
            [("loan_id", loan.loan_id.to_string()), ("rejection_code", code.as_str().to_owned())]
        });
        let known = known.chain(refused_by);
        Command::Receipt(Receipt {
            loan_id: Receipt::loan_of(self.tenant, self.feed.name().as_str(), payment.amount.currency),
            amount: payment.amount,
            effective_date: payment.effective_date,
            source_method: SourceMethod::Ach,
            external_ref: Some(payment.trace.to_string()),
            metadata: metadata(known.chain(seen)),
        })
    }

    fn return_row(
        &self,
        entry: EntryRow,
        returned: &ReturnEntry,
        (found, policies): (&[MarkedPayment], &HashMap<LoanKey, ReturnPolicy>),
    ) -> Result<Row, ApiError> {
        let days = ReturnDays {
            effective_entry_date: returned.effective_entry_date,
            made_on: returned.made_on.unwrap_or(self.came_on),
            is_reviewed: self.is_reviewed,
        };
        let payment = match found_or_why_not(returned, days.named(found)) {
            Ok(payment) => payment,
            Err((code, message)) => return Ok(entry.exception(code, message)),
        };
        let code = ReturnCode::parse(&returned.code.to_string()).map_err(|_| ApiError::Broken("a return code"))?;
        let effective_date = returned.booked_on.unwrap_or(self.business_date);
        // All of the payment: a return entry of part of its money is not of its amount, and matches no payment.
        let terms = ReturnTerms { code, effective_date, amount: None, fee: None, metadata: None };
        let policy = policies.get(&payment.event.loan_key).cloned().unwrap_or_default();
        let policy = returned.fee.into_iter().fold(policy, |policy, fee| policy.with_fee(code.number(), fee));
        Ok(match PaymentReturn::by_program(payment, terms, &policy) {
            Ok(returned) => entry.row(Command::PaymentReturn(returned)),
            Err(
                PaymentReturnError::NotAPayment | PaymentReturnError::NotWhole | PaymentReturnError::NotOfPayment(_),
            ) => return Err(ApiError::Broken("a return of a whole payment")),
            Err(error @ PaymentReturnError::BeforePayment(_)) => {
                entry.exception(RETURN_BEFORE_PAYMENT, error.to_string())
            }
        })
    }
}

/// The payment that a return names, or the exception that it is.
fn found_or_why_not<'p>(returned: &ReturnEntry, named: Named<'p>) -> Result<&'p AcceptedEvent, (&'static str, String)> {
    let said = format!("{} of trace {} names", returned.code, returned.original_trace);
    Err(match named {
        Named::One(payment) if payment.is_assigned => {
            let id = payment.event.event.id;
            let message =
                format!("{said} receipt {id}, which is assigned to a loan: reverse that, then have this posted");
            (RETURN_OF_RECEIPT, message)
        }
        Named::One(payment) => return Ok(&payment.event),
        Named::Undone(payment) => {
            let id = payment.event.event.id;
            (RETURN_ALREADY_UNDONE, format!("{said} payment {id}, which was taken back before"))
        }
        Named::Several(number) => (RETURN_AMBIGUOUS, format!("{said} {number} payments")),
        Named::OfOtherDay(payment) => {
            let day = returned.effective_entry_date.map(|day| format!(" of {day}")).unwrap_or_default();
            let other = payment.effective_entry_date.map(|day| format!(" of {day}")).unwrap_or_default();
            let id = payment.event.event.id;
            (RETURN_UNMATCHED, format!("{said} no payment{day}; payment {id}{other} is alike but for the day"))
        }
        Named::Nothing => (RETURN_UNMATCHED, format!("{said} no payment")),
    })
}

/// What a payment says that another file had already.
fn seen_before(first: FileRow) -> [(&'static str, String); 2] {
    [("first_batch_id", first.batch.to_string()), ("first_row", first.row_no.to_string())]
}

/// Printable ASCII, less than 200 characters: always metadata.
fn metadata(known: impl Iterator<Item = (&'static str, String)>) -> Option<Metadata> {
    let known: BTreeMap<String, MetadataValue> =
        known.map(|(name, text)| (name.to_owned(), MetadataValue::String(text))).collect();
    if known.is_empty() { None } else { Metadata::new(&MetadataValue::Object(known)).ok() }
}

fn loan_numbers(entry: &EntryRow) -> &[LoanNumber] {
    match &entry.meaning {
        Meaning::Payment(payment) => &payment.loan_numbers,
        Meaning::Return(_) | Meaning::Change(_) | Meaning::Exception(_) => &[],
    }
}

fn comparable(number: &LoanNumber) -> String {
    number.comparable().to_owned()
}

fn mark_of_payment(payment: &PaymentEntry) -> EntryMark {
    EntryMark {
        trace: payment.trace.to_string(),
        amount: payment.amount.minor,
        account: payment.account.trimmed().to_owned(),
        company_id: payment.company_id.trimmed().to_owned(),
    }
}

fn mark_of_return(returned: &ReturnEntry) -> EntryMark {
    EntryMark {
        trace: returned.original_trace.to_string(),
        amount: returned.amount.minor,
        account: returned.account.trimmed().to_owned(),
        company_id: returned.company_id.trimmed().to_owned(),
    }
}

fn change_text(change: &ChangeEntry) -> String {
    format!("{} of trace {}: {}", change.code, change.original_trace, change.corrected.trimmed())
}
