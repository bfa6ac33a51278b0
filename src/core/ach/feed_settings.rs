//! Owns the plain form of a feed's settings, as callers write and stores keep them, and the check of each field.

use std::collections::HashSet;
use std::fmt::Display;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use crate::core::ach::code::SecCode;
use crate::core::ach::customers::{CUSTOMERS_MAX, Customer, CustomerSetting, comparable};
use crate::core::ach::feed::{SoftDuplicates, View};
use crate::core::ach::loan_number::LoanNumberRule;
use crate::core::ach::text::Text;
use crate::core::ach::tolerance::{Tolerance, Tolerances};
use crate::core::event::LoanNumber;
use crate::core::money::{Currency, Minor};
use crate::core::time::parse_date;

/// How many companies a feed may name: more than any sender bundles in one file, and still a quick look-up per entry.
pub const COMPANY_IDS_MAX: usize = 100;
/// How many holidays a feed may name: those of the Federal Reserve for eighteen years.
pub const HOLIDAYS_MAX: usize = 200;

/// The settings of a feed in plain texts. Absent lists and options stand for the defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedSettings {
    /// Its name: 1 to 63 of `a-z`, `0-9`, `_`, `-`.
    pub name: String,
    /// `originator` or `receiver`.
    pub view: String,
    /// The immediate destination its files must be addressed to; any where absent.
    pub destination: Option<String>,
    /// The immediate origin its files must come from; any where absent.
    pub origin: Option<String>,
    /// Entry classes whose payments are taken; where empty, those usual for the view ([`View::usual_sec_codes`]). Returns
    /// and changes are taken of any class.
    pub sec_codes: Vec<String>,
    /// Where the loan number stands: `individual_id`, `account_number` (of entries with code 52), `addenda:PREFIX`,
    /// `customer_map`. The first number in this order that is a loan's counts. Where empty, the first two, and the map
    /// where there is one.
    pub loan_number: Vec<String>,
    /// Loans of payers whom a company knows by a name of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub customers: Vec<CustomerSetting>,
    /// Company identifications whose batches are taken; all where empty.
    pub company_ids: Vec<String>,
    /// `settlement` (default) or `effective_entry`: the day a payment counts from.
    pub date_rule: Option<String>,
    /// Days besides Saturdays and Sundays on which nothing settles, `YYYY-MM-DD`: an effective entry date that falls on
    /// one and has not settled is an exception.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holidays: Vec<String>,
    /// `hold` (default) or `post`: what becomes of a payment that another file has had already.
    #[serde(default, skip_serializing_if = "is_usual_choice")]
    pub soft_duplicates: Option<String>,
    /// Names of tolerances; strict where empty.
    pub tolerances: Vec<String>,
    /// `USD`, the only currency of the format; also where absent.
    pub currency: Option<String>,
    /// What the borrower is charged for a payment returned with R01 or R09, once; where absent, what the loan's program says.
    pub return_fee: Option<Minor>,
}

/// One field of the settings that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedFault {
    /// The field, as a dotted path: `sec_codes.2`.
    pub field: String,
    /// `required`, `invalid`, `repeated` or `too_many`.
    pub code: &'static str,
    /// The same for people.
    pub message: String,
}

/// What is found while settings are checked.
#[derive(Debug, Default)]
pub(super) struct Findings(Vec<FeedFault>);

impl Findings {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn into_list(self) -> Vec<FeedFault> {
        self.0
    }

    fn fail(&mut self, field: impl Into<String>, code: &'static str, message: impl Into<String>) {
        self.0.push(FeedFault { field: field.into(), code, message: message.into() });
    }

    /// A text that must be there, as `parse` reads it.
    pub(super) fn parsed<T, E: Display>(
        &mut self,
        field: &str,
        text: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        if text.is_empty() {
            self.fail(field, "required", "is required");
            return None;
        }
        parse(text).map_err(|error| self.fail(field, "invalid", error.to_string())).ok()
    }

    /// One of a few words.
    pub(super) fn one_of<T, const N: usize>(&mut self, field: &str, word: &str, words: [(&str, T); N]) -> Option<T> {
        let known = words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
        let found = words.into_iter().find(|(known, _)| *known == word).map(|(_, value)| value);
        self.parsed(field, word, |_| found.ok_or_else(|| format!("must be one of {known}")))
    }

    /// One of a few words; what stands for none where there is none.
    pub(super) fn one_of_or_default<T: Default, const N: usize>(
        &mut self,
        field: &str,
        word: Option<&str>,
        words: [(&str, T); N],
    ) -> Option<T> {
        word.map_or_else(|| Some(T::default()), |word| self.one_of(field, word, words))
    }

    /// Ten characters of a file header.
    pub(super) fn address(&mut self, field: &str, text: Option<&str>) -> Option<String> {
        let text = text?;
        let fits = is_field::<10>(text);
        if !fits {
            self.fail(field, "invalid", "must be 1 to 10 printable ASCII characters, no blank at either end");
        }
        fits.then(|| text.to_owned())
    }

    pub(super) fn sec_codes(&mut self, names: &[String], view: Option<View>) -> Vec<SecCode> {
        if names.is_empty() {
            return view.map(View::usual_sec_codes).unwrap_or_default().to_vec();
        }
        let parse = |name: &str| SecCode::parse(name).filter(|sec| sec.pays());
        let mut codes = self.each("sec_codes", names, parse, || {
            let known: Vec<_> = SecCode::ALL.iter().filter(|sec| sec.pays()).map(|sec| sec.name()).collect();
            format!("must be one of {}", known.join(", "))
        });
        codes.sort_unstable();
        codes
    }

    pub(super) fn loan_number(&mut self, rules: &[String], customers: &[CustomerSetting]) -> Vec<LoanNumberRule> {
        if rules.is_empty() {
            let usual = [LoanNumberRule::IndividualId, LoanNumberRule::AccountNumber];
            let map = (!customers.is_empty()).then_some(LoanNumberRule::CustomerMap);
            return usual.into_iter().chain(map).collect();
        }
        let found = self.each("loan_number", rules, LoanNumberRule::parse, || LoanNumberRule::FORM.to_owned());
        match (found.contains(&LoanNumberRule::CustomerMap), customers.is_empty()) {
            (true, true) => self.fail("customers", "required", "is required where loan_number has customer_map"),
            (false, false) => self.fail("customers", "invalid", "is not used: loan_number has no customer_map"),
            (true, false) | (false, true) => {}
        }
        found
    }

    pub(super) fn customers(&mut self, settings: &[CustomerSetting]) -> Vec<Customer> {
        if settings.len() > CUSTOMERS_MAX {
            self.fail("customers", "too_many", format!("must be at most {CUSTOMERS_MAX}"));
            return Vec::new();
        }
        let mut customers: Vec<Customer> = Vec::new();
        let mut taken = HashSet::new();
        for (index, setting) in settings.iter().enumerate() {
            let individual_id = setting.individual_id.strip_suffix('*').unwrap_or(&setting.individual_id);
            let checks = [
                ("company_id", is_field::<10>(&setting.company_id), "must be 1 to 10 printable ASCII characters"),
                (
                    "individual_id",
                    !setting.individual_id.is_empty()
                        && (individual_id.is_empty() || is_field::<22>(individual_id))
                        && !individual_id.contains('*'),
                    "must be 1 to 22 printable ASCII characters, and may end with '*'",
                ),
            ];
            for (field, _, message) in checks.into_iter().filter(|(_, fits, _)| !fits) {
                self.fail(format!("customers.{index}.{field}"), "invalid", message);
            }
            if !taken.insert((&setting.company_id, comparable(&setting.individual_id))) {
                self.fail(format!("customers.{index}"), "repeated", "must not be given twice");
            }
            match LoanNumber::parse(&setting.loan_number) {
                Ok(loan_number) => customers.push(Customer { setting: setting.clone(), loan_number }),
                Err(error) => self.fail(format!("customers.{index}.loan_number"), "invalid", error.to_string()),
            }
        }
        customers
    }

    pub(super) fn holidays(&mut self, days: &[String]) -> Vec<NaiveDate> {
        if days.len() > HOLIDAYS_MAX {
            self.fail("holidays", "too_many", format!("must be at most {HOLIDAYS_MAX}"));
            return Vec::new();
        }
        let mut days =
            self.each("holidays", days, |day| parse_date(day).ok(), || "must be a date, YYYY-MM-DD".to_owned());
        days.sort_unstable();
        days
    }

    pub(super) fn company_ids(&mut self, ids: &[String]) -> Vec<String> {
        if ids.len() > COMPANY_IDS_MAX {
            self.fail("company_ids", "too_many", format!("must be at most {COMPANY_IDS_MAX}"));
            return Vec::new();
        }
        let parse = |id: &str| is_field::<10>(id).then(|| id.to_owned());
        self.each("company_ids", ids, parse, || {
            "must be 1 to 10 printable ASCII characters, no blank at either end".to_owned()
        })
    }

    pub(super) fn tolerances(&mut self, names: &[String]) -> Tolerances {
        let found = self.each("tolerances", names, Tolerance::parse, || {
            format!("must be one of {}", Tolerance::ALL.map(Tolerance::name).join(", "))
        });
        found.into_iter().collect()
    }

    pub(super) fn currency(&mut self, code: Option<&str>) -> Option<Currency> {
        let Some(code) = code else { return Some(Currency::USD) };
        self.one_of("currency", code, [(Currency::USD.code(), Currency::USD)])
    }

    pub(super) fn return_fee(&mut self, fee: Option<Minor>) -> Option<Minor> {
        let fee = fee?;
        let is_fee = !fee.is_zero() && !fee.is_negative();
        if !is_fee {
            self.fail("return_fee", "invalid", "must be more than 0");
        }
        is_fee.then_some(fee)
    }

    /// Every item of a list, once each.
    fn each<T: PartialEq>(
        &mut self,
        field: &str,
        texts: &[String],
        parse: impl Fn(&str) -> Option<T>,
        form: impl Fn() -> String,
    ) -> Vec<T> {
        let mut items = Vec::new();
        for (index, text) in texts.iter().enumerate() {
            match parse(text) {
                None => self.fail(format!("{field}.{index}"), "invalid", form()),
                Some(item) if items.contains(&item) => {
                    self.fail(format!("{field}.{index}"), "repeated", "must not be given twice");
                }
                Some(item) => items.push(item),
            }
        }
        items
    }
}

/// What was settled before there was a choice reads as it did: a feed that is made again under its key is the same.
#[expect(clippy::ref_option, reason = "the form that serde calls")]
fn is_usual_choice(choice: &Option<String>) -> bool {
    choice.as_deref().is_none_or(|choice| choice == SoftDuplicates::default().name())
}

/// Whether a text can stand in a field of `N` columns as it is.
fn is_field<const N: usize>(text: &str) -> bool {
    !text.is_empty() && text.trim() == text && Text::<N>::left(text).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::ach::Feed;

    fn plain() -> FeedSettings {
        FeedSettings { name: "collections".to_owned(), view: "originator".to_owned(), ..FeedSettings::default() }
    }

    fn customer(company_id: &str, individual_id: &str, loan_number: &str) -> CustomerSetting {
        let [company_id, individual_id, loan_number] = [company_id, individual_id, loan_number].map(str::to_owned);
        CustomerSetting { company_id, individual_id, loan_number }
    }

    fn faults(settings: &FeedSettings) -> Vec<(String, &'static str)> {
        let faults = Feed::new(settings).unwrap_err();
        faults.into_iter().map(|fault| (fault.field, fault.code)).collect()
    }

    #[test]
    fn what_is_left_out_is_strict_and_usual() {
        let settings = Feed::new(&plain()).unwrap().settings();
        assert_eq!(settings.sec_codes, ["CCD", "PPD", "TEL", "WEB"]);
        let receiver = FeedSettings { view: "receiver".to_owned(), ..plain() };
        assert_eq!(Feed::new(&receiver).unwrap().settings().sec_codes, ["CCD", "CIE", "CTX", "PPD"]);
        assert_eq!(settings.loan_number, ["individual_id", "account_number"]);
        assert_eq!((settings.date_rule.as_deref(), settings.currency.as_deref()), (Some("settlement"), Some("USD")));
        assert!(settings.tolerances.is_empty() && settings.company_ids.is_empty() && settings.holidays.is_empty());
        assert_eq!(settings.soft_duplicates.as_deref(), Some("hold"));
        let mapped = FeedSettings { customers: vec![customer("ACME", "*", "1")], ..plain() };
        let rules = Feed::new(&mapped).unwrap().settings().loan_number;
        assert_eq!(rules, ["individual_id", "account_number", "customer_map"]);
    }

    #[test]
    fn settings_of_an_earlier_release_are_read() {
        let stored = r#"{"name":"a","view":"receiver","destination":null,"origin":null,"sec_codes":[],"loan_number":[],
            "company_ids":[],"date_rule":null,"tolerances":[],"currency":null,"return_fee":null}"#;
        let settings: FeedSettings = serde_json::from_str(stored).unwrap();
        assert_eq!(Feed::new(&settings).unwrap().settings().soft_duplicates.as_deref(), Some("hold"));
    }

    #[test]
    fn settings_go_in_and_come_out() {
        let settings = FeedSettings {
            destination: Some("231380104".to_owned()),
            origin: Some("121042882".to_owned()),
            sec_codes: vec!["PPD".to_owned(), "WEB".to_owned()],
            loan_number: vec!["addenda:LOAN".to_owned(), "customer_map".to_owned()],
            customers: vec![customer("1234567890", "EMP-7*", "420"), customer("1234567890", "EMP-77", "421")],
            company_ids: vec!["1234567890".to_owned()],
            date_rule: Some("effective_entry".to_owned()),
            holidays: vec!["2026-05-25".to_owned(), "2026-07-03".to_owned()],
            soft_duplicates: Some("post".to_owned()),
            tolerances: vec!["missing_padding".to_owned(), "trailing_spaces".to_owned()],
            currency: Some("USD".to_owned()),
            return_fee: Some(Minor::new(2500)),
            ..plain()
        };
        let feed = Feed::new(&settings).unwrap();
        assert_eq!(feed.settings(), settings);
        assert_eq!(Feed::new(&feed.settings()), Ok(feed));
    }

    #[test]
    fn every_wrong_field_is_named() {
        let wrong = FeedSettings {
            name: "My Feed".to_owned(),
            view: "sender".to_owned(),
            destination: Some(" 231380104".to_owned()),
            origin: Some("12104288212".to_owned()),
            sec_codes: ["PPD", "COR", "ppd", "PPD"].map(str::to_owned).to_vec(),
            loan_number: ["individual_id", "name", "addenda:"].map(str::to_owned).to_vec(),
            company_ids: vec![String::new()],
            customers: vec![customer("", "A*B", " 1"), customer("ACME", "1", "1"), customer("ACME", "01", "2")],
            date_rule: Some("today".to_owned()),
            holidays: vec!["2026-02-30".to_owned()],
            soft_duplicates: Some("drop".to_owned()),
            tolerances: vec!["everything".to_owned()],
            currency: Some("EUR".to_owned()),
            return_fee: Some(Minor::ZERO),
        };
        let expected = [
            ("name", "invalid"),
            ("view", "invalid"),
            ("destination", "invalid"),
            ("origin", "invalid"),
            ("sec_codes.1", "invalid"),
            ("sec_codes.2", "invalid"),
            ("sec_codes.3", "repeated"),
            ("customers.0.company_id", "invalid"),
            ("customers.0.individual_id", "invalid"),
            ("customers.0.loan_number", "invalid"),
            ("customers.2", "repeated"),
            ("loan_number.1", "invalid"),
            ("loan_number.2", "invalid"),
            ("customers", "invalid"),
            ("company_ids.0", "invalid"),
            ("date_rule", "invalid"),
            ("holidays.0", "invalid"),
            ("soft_duplicates", "invalid"),
            ("tolerances.0", "invalid"),
            ("currency", "invalid"),
            ("return_fee", "invalid"),
        ];
        assert_eq!(faults(&wrong), expected.map(|(field, code)| (field.to_owned(), code)));
        let empty = FeedSettings { company_ids: vec!["1".to_owned(); 101], ..FeedSettings::default() };
        let expected = [("name", "required"), ("view", "required"), ("company_ids", "too_many")];
        assert_eq!(faults(&empty), expected.map(|(field, code)| (field.to_owned(), code)));
    }
}
