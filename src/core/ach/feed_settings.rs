//! Owns the plain form of a feed's settings, as callers write and stores keep them, and the check of each field.

use std::fmt::Display;

use serde::{Deserialize, Serialize};

use crate::core::ach::code::SecCode;
use crate::core::ach::feed::View;
use crate::core::ach::loan_number::LoanNumberRule;
use crate::core::ach::text::Text;
use crate::core::ach::tolerance::{Tolerance, Tolerances};
use crate::core::money::{Currency, Minor};

/// How many companies a feed may name: more than any sender bundles in one file, and still a quick look-up per entry.
pub const COMPANY_IDS_MAX: usize = 100;
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
    /// Where the loan number stands, tried in order: `individual_id`, `account_number` (of entries with code 52),
    /// `addenda:PREFIX`. The first two where empty.
    pub loan_number: Vec<String>,
    /// Company identifications whose batches are taken; all where empty.
    pub company_ids: Vec<String>,
    /// `settlement` (default) or `effective_entry`: the day a payment counts from.
    pub date_rule: Option<String>,
    /// Names of tolerances; strict where empty.
    pub tolerances: Vec<String>,
    /// `USD`, the only currency of the format; also where absent.
    pub currency: Option<String>,
    /// What the borrower is charged for a payment returned with R01 or R09; nothing where absent.
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

    /// Ten characters of a file header.
    pub(super) fn address(&mut self, field: &str, text: Option<&str>) -> Option<String> {
        let text = text?;
        let fits = !text.is_empty() && text.trim() == text && Text::<10>::left(text).is_some();
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

    pub(super) fn loan_number(&mut self, rules: &[String]) -> Vec<LoanNumberRule> {
        if rules.is_empty() {
            return vec![LoanNumberRule::IndividualId, LoanNumberRule::AccountNumber];
        }
        self.each("loan_number", rules, LoanNumberRule::parse, || LoanNumberRule::FORM.to_owned())
    }

    pub(super) fn company_ids(&mut self, ids: &[String]) -> Vec<String> {
        if ids.len() > COMPANY_IDS_MAX {
            self.fail("company_ids", "too_many", format!("must be at most {COMPANY_IDS_MAX}"));
            return Vec::new();
        }
        let parse = |id: &str| {
            let fits = !id.is_empty() && id.trim() == id && Text::<10>::left(id).is_some();
            fits.then(|| id.to_owned())
        };
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::ach::Feed;

    fn plain() -> FeedSettings {
        FeedSettings { name: "collections".to_owned(), view: "originator".to_owned(), ..FeedSettings::default() }
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
        assert!(settings.tolerances.is_empty() && settings.company_ids.is_empty());
    }

    #[test]
    fn settings_go_in_and_come_out() {
        let settings = FeedSettings {
            destination: Some("231380104".to_owned()),
            origin: Some("121042882".to_owned()),
            sec_codes: vec!["PPD".to_owned(), "WEB".to_owned()],
            loan_number: vec!["addenda:LOAN".to_owned(), "individual_id".to_owned()],
            company_ids: vec!["1234567890".to_owned()],
            date_rule: Some("effective_entry".to_owned()),
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
            date_rule: Some("today".to_owned()),
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
            ("loan_number.1", "invalid"),
            ("loan_number.2", "invalid"),
            ("company_ids.0", "invalid"),
            ("date_rule", "invalid"),
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
