//! Owns a tenant's chart of accounts: the edge at which its own codes and names stand for those of the books.
//!
//! The books know the codes of [`CHART`] and, for accounts that a tenant adds for its own adjustments, codes from
//! [`ADDED_FIRST`] to [`ADDED_LAST`], which stand for nothing else. A tenant shows each under a code and a name of its
//! own; the two are one to one, so that whatever is read can be asked for again.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::core::ledger::account::{Account, AccountCode, CHART, NormalBalance, account_of};

/// The first number in the books of an account that a tenant has added.
pub const ADDED_FIRST: i16 = 8000;
/// The last one.
pub const ADDED_LAST: i16 = 8999;
/// The longest name of an account, in characters.
const NAME_CHARS_MAX: usize = 100;

/// An account as a tenant knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownAccount {
    /// As the books know it.
    pub account: AccountCode,
    /// The tenant's code.
    pub code: AccountCode,
    /// The tenant's name.
    pub name: String,
    /// The side on which it grows.
    pub normal: NormalBalance,
}

impl From<&Account> for ShownAccount {
    fn from(account: &Account) -> Self {
        Self { account: account.code, code: account.code, name: account.name.to_owned(), normal: account.normal }
    }
}

/// One account of a chart, as an operator writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountSetting {
    /// The account of the books that it shows; absent for one that the tenant adds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The tenant's code, four digits.
    pub code: String,
    /// The tenant's name.
    pub name: String,
    /// `DR` or `CR`; only of one that the tenant adds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub normal_balance: Option<String>,
}

/// Why settings are no chart.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChartFault {
    /// Not four digits.
    #[error("{0} is not a code of four digits")]
    Code(String),
    /// The books have no such account.
    #[error("the books have no account {0}")]
    NoAccount(String),
    /// A name is empty, too long, or not printable.
    #[error("the name of account {0} must be 1 to {NAME_CHARS_MAX} printable characters")]
    Name(String),
    /// A side that is none, that an added account lacks, or that an account of the books has anyway.
    #[error("normal_balance of account {0} must be DR or CR for an account that is added, and absent for any other")]
    Side(String),
    /// Two accounts are shown under one code.
    #[error("two accounts have the code {0}")]
    CodeTwice(String),
    /// One account of the books is shown under two codes.
    #[error("account {0} is shown twice")]
    AccountTwice(String),
    /// An account that was added would be gone, with what is booked on it.
    #[error("account {0} was added before and cannot be taken out")]
    Gone(String),
    /// No number is left.
    #[error("a tenant adds at most 1000 accounts")]
    Full,
}

/// A tenant's chart of accounts. By default that of the books.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chart {
    by_account: BTreeMap<AccountCode, ShownAccount>,
    by_code: BTreeMap<AccountCode, AccountCode>,
}

impl Default for Chart {
    fn default() -> Self {
        Self::new([])
    }
}

impl Chart {
    /// The chart of the books with these accounts shown otherwise, or added.
    #[must_use]
    pub fn new(shown: impl IntoIterator<Item = ShownAccount>) -> Self {
        let books = CHART.iter().map(ShownAccount::from);
        let by_account: BTreeMap<_, _> = books.chain(shown).map(|shown| (shown.account, shown)).collect();
        let by_code = by_account.values().map(|shown| (shown.code, shown.account)).collect();
        Self { by_account, by_code }
    }

    /// An account of the books as the tenant knows it; `None` for a number that stands for nothing.
    #[must_use]
    pub fn shown(&self, account: AccountCode) -> Option<&ShownAccount> {
        self.by_account.get(&account)
    }

    /// The tenant's code of an account of the books.
    #[must_use]
    pub fn code(&self, account: AccountCode) -> AccountCode {
        self.shown(account).map_or(account, |shown| shown.code)
    }

    /// The account that the tenant knows by this code.
    #[must_use]
    pub fn of_code(&self, code: AccountCode) -> Option<&ShownAccount> {
        self.shown(*self.by_code.get(&code)?)
    }

    /// Every account, in the order of the tenant's codes.
    pub fn accounts(&self) -> impl Iterator<Item = &ShownAccount> {
        self.by_code.values().filter_map(|account| self.shown(*account))
    }

    /// What differs from the books: what a store keeps.
    pub fn settings(&self) -> impl Iterator<Item = &ShownAccount> {
        self.by_account.values().filter(|shown| account_of(shown.account).is_none_or(|own| **shown != own.into()))
    }

    /// The chart that an operator wants instead of this one. Accounts that were added stay, under their codes.
    ///
    /// # Errors
    /// See [`ChartFault`]; the first one found.
    pub fn revised(&self, settings: &[AccountSetting]) -> Result<Self, ChartFault> {
        let added: BTreeMap<AccountCode, AccountCode> =
            self.by_account.keys().filter(|account| is_added(**account)).map(|own| (self.code(*own), *own)).collect();
        let mut numbers = (ADDED_FIRST..=ADDED_LAST)
            .filter_map(AccountCode::from_number)
            .filter(|number| !self.by_account.contains_key(number));
        let mut shown: Vec<ShownAccount> = Vec::with_capacity(settings.len());
        for setting in settings {
            let code = parse(&setting.code)?;
            let account = if let Some(own) = &setting.account {
                if setting.normal_balance.is_some() {
                    return Err(ChartFault::Side(setting.code.clone()));
                }
                known(own)?
            } else {
                let side = setting.normal_balance.as_deref().and_then(NormalBalance::parse);
                let normal = side.ok_or_else(|| ChartFault::Side(setting.code.clone()))?;
                let code = added.get(&code).copied().or_else(|| numbers.next()).ok_or(ChartFault::Full)?;
                Account { code, name: "", normal }
            };
            let name = named(&setting.name).ok_or_else(|| ChartFault::Name(setting.code.clone()))?;
            if shown.iter().any(|other| other.account == account.code) {
                return Err(ChartFault::AccountTwice(setting.account.clone().unwrap_or_else(|| setting.code.clone())));
            }
            shown.push(ShownAccount { account: account.code, code, name, normal: account.normal });
        }
        if let Some((gone, _)) = added.iter().find(|(_, own)| shown.iter().all(|shown| shown.account != **own)) {
            return Err(ChartFault::Gone(gone.to_string()));
        }
        let chart = Self::new(shown);
        let mut codes = BTreeSet::new();
        match chart.by_account.values().find(|shown| !codes.insert(shown.code)) {
            Some(twice) => Err(ChartFault::CodeTwice(twice.code.to_string())),
            None => Ok(chart),
        }
    }
}

/// Whether a number of the books is that of an account that a tenant has added.
#[must_use]
pub fn is_added(account: AccountCode) -> bool {
    (ADDED_FIRST..=ADDED_LAST).contains(&account.number())
}

fn parse(text: &str) -> Result<AccountCode, ChartFault> {
    AccountCode::parse(text).map_err(|_| ChartFault::Code(text.to_owned()))
}

fn known(text: &str) -> Result<Account, ChartFault> {
    account_of(parse(text)?).copied().ok_or_else(|| ChartFault::NoAccount(text.to_owned()))
}

fn named(name: &str) -> Option<String> {
    let is_short = (1..=NAME_CHARS_MAX).contains(&name.chars().count());
    (is_short && !name.chars().any(char::is_control) && name.trim() == name).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(account: Option<&str>, code: &str, name: &str, side: Option<&str>) -> AccountSetting {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let (account, normal_balance) = (owned(account), owned(side));
        AccountSetting { account, code: code.to_owned(), name: name.to_owned(), normal_balance }
    }

    fn code(text: &str) -> AccountCode {
        AccountCode::parse(text).unwrap()
    }

    #[test]
    fn the_chart_of_the_books_shows_itself() {
        let chart = Chart::default();
        assert_eq!(chart.accounts().count(), CHART.len());
        assert_eq!(chart.settings().count(), 0);
        assert_eq!(chart.of_code(code("1100")).unwrap().name, "Principal Receivable");
    }

    #[test]
    fn codes_may_change_places_and_accounts_may_be_added() {
        let settings = [
            setting(Some("1100"), "1200", "Loans", None),
            setting(Some("1200"), "1100", "Interest due", None),
            setting(None, "6100", "Rounding", Some("DR")),
        ];
        let chart = Chart::default().revised(&settings).unwrap();
        assert_eq!(chart.code(AccountCode::PRINCIPAL_RECEIVABLE), code("1200"));
        assert_eq!(chart.of_code(code("1100")).unwrap().account, AccountCode::INTEREST_RECEIVABLE);
        let added = chart.of_code(code("6100")).unwrap();
        assert_eq!((added.account.number(), added.normal), (ADDED_FIRST, NormalBalance::Debit));
        assert_eq!(Chart::new(chart.settings().cloned()), chart, "as a store keeps it");

        let more = [setting(None, "6000", "Fraud", Some("DR")), setting(None, "6100", "Cents", Some("DR"))];
        let revised = chart.revised(&more).unwrap();
        assert_eq!(revised.of_code(code("6100")).unwrap().account.number(), ADDED_FIRST, "it stays what it was");
        assert_eq!(revised.of_code(code("6000")).unwrap().account.number(), ADDED_FIRST + 1);
        assert_eq!(revised.code(AccountCode::PRINCIPAL_RECEIVABLE), code("1100"), "shown as it is again");
        assert_eq!(revised.revised(&more[..1]), Err(ChartFault::Gone("6100".to_owned())));
    }

    #[test]
    fn what_is_no_chart_is_told() {
        let told = |settings: &[AccountSetting]| Chart::default().revised(settings).unwrap_err();
        let owned = |text: &str| text.to_owned();
        for (settings, fault) in [
            (vec![setting(Some("1100"), "12", "x", None)], ChartFault::Code(owned("12"))),
            (vec![setting(Some("1101"), "1101", "x", None)], ChartFault::NoAccount(owned("1101"))),
            (vec![setting(Some("1100"), "1100", "", None)], ChartFault::Name(owned("1100"))),
            (vec![setting(Some("1100"), "1100", "x", Some("DR"))], ChartFault::Side(owned("1100"))),
            (vec![setting(None, "6100", "x", None)], ChartFault::Side(owned("6100"))),
            (vec![setting(None, "6100", "x", Some("up"))], ChartFault::Side(owned("6100"))),
            (vec![setting(None, "1100", "x", Some("DR"))], ChartFault::CodeTwice(owned("1100"))),
            (vec![setting(Some("1100"), "1200", "x", None)], ChartFault::CodeTwice(owned("1200"))),
            (
                vec![setting(Some("1100"), "6100", "x", None), setting(Some("1100"), "6200", "x", None)],
                ChartFault::AccountTwice(owned("1100")),
            ),
        ] {
            assert_eq!(told(&settings), fault);
        }
    }
}
