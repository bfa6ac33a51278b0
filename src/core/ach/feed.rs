//! Owns the settings of a feed: whose view its files have, what it takes, where the loan number stands, and what it
//! forgives.
//!
//! Direction depends on the view and is never guessed from a sign: in an originator's file a borrower's payment is a
//! debit, in a receiver's a credit.

use std::fmt;

use chrono::NaiveDate;

use crate::core::ach::check::Expected;
use crate::core::ach::code::{Direction, SecCode};
use crate::core::ach::customers::Customers;
use crate::core::ach::feed_settings::{FeedFault, FeedSettings, Findings};
use crate::core::ach::loan_number::LoanNumberRule;
use crate::core::ach::reading::{File, Refusal, read_expecting};
use crate::core::ach::tolerance::Tolerances;
use crate::core::money::{Currency, Minor};

/// Whose file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum View {
    /// Our bank or processor reports what was collected: payments are debits, and returns come back.
    Originator,
    /// A bank, bill payer or lockbox sends us money: payments are credits.
    Receiver,
}

impl View {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Originator, Self::Receiver];

    /// Its name in settings.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Originator => "originator",
            Self::Receiver => "receiver",
        }
    }

    /// The entry classes in which payments usually come: collected from borrowers' accounts, or sent by their banks.
    #[must_use]
    pub const fn usual_sec_codes(self) -> &'static [SecCode] {
        match self {
            Self::Originator => &[SecCode::Ccd, SecCode::Ppd, SecCode::Tel, SecCode::Web],
            Self::Receiver => &[SecCode::Ccd, SecCode::Cie, SecCode::Ctx, SecCode::Ppd],
        }
    }

    /// The direction of a borrower's payment.
    #[must_use]
    pub const fn payment_direction(self) -> Direction {
        match self {
            Self::Originator => Direction::Debit,
            Self::Receiver => Direction::Credit,
        }
    }
}

/// The day a payment counts from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DateRule {
    /// The settlement date if the operator has written one, else the effective entry date.
    #[default]
    Settlement,
    /// The effective entry date, as some contracts of originators say.
    EffectiveEntry,
}

impl DateRule {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Settlement, Self::EffectiveEntry];

    /// Its name in settings.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Settlement => "settlement",
            Self::EffectiveEntry => "effective_entry",
        }
    }
}

/// What becomes of a payment that another file has had already: same trace, amount, account, payer and day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SoftDuplicates {
    /// It is an exception until a person decides.
    #[default]
    Hold,
    /// It is posted, with the other file and row in its metadata.
    Post,
}

impl SoftDuplicates {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Hold, Self::Post];

    /// Its name in settings.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Post => "post",
        }
    }
}

/// The name of a feed: 1 to 63 of `a-z`, `0-9`, `_`, `-`, beginning with a letter or digit.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FeedName(String);

/// A text is not the name of a feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to 63 of a-z, 0-9, '_' and '-', beginning with a letter or digit")]
pub struct FeedNameError;

impl FeedName {
    /// Reads a name.
    ///
    /// # Errors
    /// [`FeedNameError`] for any other text.
    pub fn parse(text: &str) -> Result<Self, FeedNameError> {
        let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let well_formed = text.len() <= 63
            && text.bytes().next().is_some_and(letter)
            && text.bytes().all(|byte| letter(byte) || byte == b'_' || byte == b'-');
        well_formed.then(|| Self(text.to_owned())).ok_or(FeedNameError)
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for FeedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for FeedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where files come from and how they are read. Made from [`FeedSettings`] only, which it gives back unchanged in
/// meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feed {
    pub(super) name: FeedName,
    pub(super) view: View,
    pub(super) expected: Expected,
    pub(super) sec_codes: Vec<SecCode>,
    pub(super) loan_number: Vec<LoanNumberRule>,
    pub(super) customers: Customers,
    pub(super) company_ids: Vec<String>,
    pub(super) date_rule: DateRule,
    pub(super) holidays: Vec<NaiveDate>,
    pub(super) soft_duplicates: SoftDuplicates,
    pub(super) tolerances: Tolerances,
    pub(super) currency: Currency,
    pub(super) return_fee: Option<Minor>,
}

impl Feed {
    /// Checks settings and makes the feed.
    ///
    /// # Errors
    /// Every field that is wrong, by name.
    pub fn new(settings: &FeedSettings) -> Result<Self, Vec<FeedFault>> {
        let mut findings = Findings::default();
        let name = findings.parsed("name", &settings.name, FeedName::parse);
        let view = findings.one_of("view", &settings.view, View::ALL.map(|view| (view.name(), view)));
        let destination = findings.address("destination", settings.destination.as_deref());
        let origin = findings.address("origin", settings.origin.as_deref());
        let sec_codes = findings.sec_codes(&settings.sec_codes, view);
        let customers = Customers::new(findings.customers(&settings.customers));
        let loan_number = findings.loan_number(&settings.loan_number, &settings.customers);
        let company_ids = findings.company_ids(&settings.company_ids);
        let rules = DateRule::ALL.map(|rule| (rule.name(), rule));
        let date_rule = findings.one_of_or_default("date_rule", settings.date_rule.as_deref(), rules);
        let holidays = findings.holidays(&settings.holidays);
        let choices = SoftDuplicates::ALL.map(|choice| (choice.name(), choice));
        let soft_duplicates =
            findings.one_of_or_default("soft_duplicates", settings.soft_duplicates.as_deref(), choices);
        let tolerances = findings.tolerances(&settings.tolerances);
        let currency = findings.currency(settings.currency.as_deref());
        let return_fee = findings.return_fee(settings.return_fee);
        if let (Some(name), Some(view), Some(date_rule), Some(soft_duplicates), Some(currency), true) =
            (name, view, date_rule, soft_duplicates, currency, findings.is_empty())
        {
            let expected = Expected { destination, origin };
            return Ok(Self {
                name,
                view,
                expected,
                sec_codes,
                loan_number,
                customers,
                company_ids,
                date_rule,
                holidays,
                soft_duplicates,
                tolerances,
                currency,
                return_fee,
            });
        }
        Err(findings.into_list())
    }

    /// The settings it was made from, with defaults filled in: what is stored, and what a caller is shown.
    #[must_use]
    pub fn settings(&self) -> FeedSettings {
        FeedSettings {
            name: self.name.as_str().to_owned(),
            view: self.view.name().to_owned(),
            destination: self.expected.destination.clone(),
            origin: self.expected.origin.clone(),
            sec_codes: self.sec_codes.iter().map(|sec| sec.name().to_owned()).collect(),
            loan_number: self.loan_number.iter().map(ToString::to_string).collect(),
            customers: self.customers.settings().to_vec(),
            company_ids: self.company_ids.clone(),
            date_rule: Some(self.date_rule.name().to_owned()),
            holidays: self.holidays.iter().map(ToString::to_string).collect(),
            soft_duplicates: Some(self.soft_duplicates.name().to_owned()),
            tolerances: self.tolerances.iter().map(|tolerance| tolerance.name().to_owned()).collect(),
            currency: Some(self.currency.code().to_owned()),
            return_fee: self.return_fee,
        }
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &FeedName {
        &self.name
    }

    /// Whose view its files have.
    #[must_use]
    pub const fn view(&self) -> View {
        self.view
    }

    /// What its amounts are in.
    #[must_use]
    pub const fn currency(&self) -> Currency {
        self.currency
    }

    /// What becomes of payments that another file has had.
    #[must_use]
    pub const fn soft_duplicates(&self) -> SoftDuplicates {
        self.soft_duplicates
    }

    /// What it forgives.
    #[must_use]
    pub const fn tolerances(&self) -> Tolerances {
        self.tolerances
    }

    /// Reads and checks a whole file of this feed.
    ///
    /// # Errors
    /// [`Refusal`] with every fault that the feed does not forgive, a wrong address included.
    pub fn read<'a>(&self, bytes: &'a [u8]) -> Result<File<'a>, Box<Refusal<'a>>> {
        read_expecting(bytes, self.tolerances, &self.expected)
    }
}
