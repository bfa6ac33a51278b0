//! Owns which order of payment money follows: the loan's usual one, or another for some kinds of payments or where the loan
//! stands (domain rule 13: an order is keyed by product, kind of payment and state of the loan).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::core::loan::state::LoanStatus;
use crate::core::loan::waterfall::{Waterfall, WaterfallError};

/// How money came to pay a loan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PaymentKind {
    /// A payment by automated clearing house.
    Ach,
    /// A payment by card.
    Card,
    /// A payment by paper check.
    Check,
    /// A payment by wire transfer.
    Wire,
    /// A payment in cash.
    Cash,
    /// A payment over the real-time payments network.
    Rtp,
    /// A `FedNow` instant payment.
    Fednow,
    /// A payment that came to a lockbox.
    Lockbox,
    /// A payment by a book transfer inside the lender.
    Internal,
    /// A receipt that was assigned to the loan.
    Receipt,
    /// A recovery that was booked as such.
    Recovery,
    /// Suspense that pays, by hand or by itself.
    Suspense,
}

impl PaymentKind {
    /// Every kind.
    pub const ALL: [Self; 12] = [
        Self::Ach,
        Self::Card,
        Self::Check,
        Self::Wire,
        Self::Cash,
        Self::Rtp,
        Self::Fednow,
        Self::Lockbox,
        Self::Internal,
        Self::Receipt,
        Self::Recovery,
        Self::Suspense,
    ];

    /// The word in requests and in the store; of payments that of their source method.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ach => "ach",
            Self::Card => "card",
            Self::Check => "check",
            Self::Wire => "wire",
            Self::Cash => "cash",
            Self::Rtp => "rtp",
            Self::Fednow => "fednow",
            Self::Lockbox => "lockbox",
            Self::Internal => "internal",
            Self::Receipt => "receipt",
            Self::Recovery => "recovery",
            Self::Suspense => "suspense",
        }
    }
}

/// The most rules of a program.
pub const WATERFALL_RULES_MAX: usize = 4;

/// A rule in words, as it is sent, stored and answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaterfallRuleSetting {
    /// Of these kinds of payments; of all where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub payment_kinds: Vec<String>,
    /// While the loan stands so; always where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub loan_statuses: Vec<String>,
    /// The order.
    pub waterfall: Vec<String>,
}

/// What is wrong with rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WaterfallsError {
    /// Too many.
    #[error("must be at most 4 rules")]
    Count,
    /// A rule that fits all money.
    #[error("must each name payment_kinds, loan_statuses or both: the order of all others is waterfall")]
    FitsAll,
    /// An unknown word, or one that stands twice.
    #[error("must name kinds of payments (a source method, receipt, recovery or suspense) once each")]
    Kind,
    /// An unknown word, or one that stands twice.
    #[error("must name statuses of loans (open, charged_off or written_off) once each")]
    Status,
    /// Not an order.
    #[error("must each have a waterfall that names fees, interest and principal once each")]
    Order,
}

/// Which words of a list are named, a bit each: a loan's state is copied often. Where none is, all are meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Named(u16);

/// The bit of a word.
fn bit_of(all: &[&str], word: &str) -> Option<u16> {
    let place = all.iter().position(|known| *known == word)?;
    1_u16.checked_shl(u32::try_from(place).ok()?)
}

impl Named {
    /// Reads words of `all`; `None` where one is unknown or stands twice.
    fn of<'w>(all: &[&str], words: impl IntoIterator<Item = &'w str>) -> Option<Self> {
        words.into_iter().try_fold(Self::default(), |named, word| {
            let bit = bit_of(all, word)?;
            (named.0 & bit == 0).then_some(Self(named.0 | bit))
        })
    }

    fn names(self, all: &[&str], word: &str) -> bool {
        bit_of(all, word).is_some_and(|bit| self.0 & bit != 0)
    }

    fn words(self, all: &[&'static str]) -> Vec<&'static str> {
        all.iter().copied().filter(|word| self.names(all, word)).collect()
    }

    /// Whether a word of `all` is meant.
    fn means(self, all: &[&str], word: &str) -> bool {
        self == Self::default() || self.names(all, word)
    }
}

fn kinds() -> [&'static str; PaymentKind::ALL.len()] {
    PaymentKind::ALL.map(PaymentKind::as_str)
}

fn statuses() -> [&'static str; LoanStatus::ALL.len()] {
    LoanStatus::ALL.map(LoanStatus::as_str)
}

/// An order for some money.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Rule {
    kinds: Named,
    statuses: Named,
    order: Waterfall,
}

impl Rule {
    fn new<'w>(
        kinds_named: impl IntoIterator<Item = &'w str>,
        statuses_named: impl IntoIterator<Item = &'w str>,
        order: Result<Waterfall, WaterfallError>,
    ) -> Result<Self, WaterfallsError> {
        let kinds = Named::of(&kinds(), kinds_named).ok_or(WaterfallsError::Kind)?;
        let statuses = Named::of(&statuses(), statuses_named).ok_or(WaterfallsError::Status)?;
        if (kinds, statuses) == Default::default() {
            return Err(WaterfallsError::FitsAll);
        }
        Ok(Self { kinds, statuses, order: order.map_err(|_| WaterfallsError::Order)? })
    }
}

/// A loan's orders of payment: the usual one, and rules of which the first that fits goes before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Waterfalls {
    usual: Waterfall,
    rules: [Option<Rule>; WATERFALL_RULES_MAX],
}

impl Waterfalls {
    /// The usual order, with rules.
    ///
    /// # Errors
    /// [`WaterfallsError`] for what is wrong with the rules.
    pub fn new(usual: Waterfall, settings: &[WaterfallRuleSetting]) -> Result<Self, WaterfallsError> {
        let rules = settings.iter().map(|setting| {
            let WaterfallRuleSetting { payment_kinds, loan_statuses, waterfall } = setting;
            let [kinds, statuses] = [payment_kinds, loan_statuses].map(|words| words.iter().map(String::as_str));
            Rule::new(kinds, statuses, Waterfall::from_words(waterfall.iter().map(String::as_str)))
        });
        Self::of(usual, rules)
    }

    fn of(
        usual: Waterfall,
        read: impl IntoIterator<Item = Result<Rule, WaterfallsError>>,
    ) -> Result<Self, WaterfallsError> {
        let mut rules = [None; WATERFALL_RULES_MAX];
        let mut free = rules.iter_mut();
        for rule in read {
            *free.next().ok_or(WaterfallsError::Count)? = Some(rule?);
        }
        Ok(Self { usual, rules })
    }

    /// The order of all money that no rule is for.
    #[must_use]
    pub const fn usual(&self) -> Waterfall {
        self.usual
    }

    /// The order that money of a kind follows on a loan that stands so.
    #[must_use]
    pub fn order(&self, kind: PaymentKind, status: LoanStatus) -> Waterfall {
        let fits = |rule: &&Rule| {
            rule.kinds.means(&kinds(), kind.as_str()) && rule.statuses.means(&statuses(), status.as_str())
        };
        self.rules.iter().flatten().find(fits).map_or(self.usual, |rule| rule.order)
    }

    /// The rules in words again, in one form.
    #[must_use]
    pub fn settings(&self) -> Vec<WaterfallRuleSetting> {
        let owned = |words: Vec<&str>| words.into_iter().map(str::to_owned).collect();
        let setting = |rule: &Rule| WaterfallRuleSetting {
            payment_kinds: owned(rule.kinds.words(&kinds())),
            loan_statuses: owned(rule.statuses.words(&statuses())),
            waterfall: rule.order.words(),
        };
        self.rules.iter().flatten().map(setting).collect()
    }
}

impl From<Waterfall> for Waterfalls {
    fn from(usual: Waterfall) -> Self {
        Self { usual, ..Self::default() }
    }
}

impl From<Waterfalls> for String {
    fn from(waterfalls: Waterfalls) -> Self {
        waterfalls.to_string()
    }
}

impl TryFrom<String> for Waterfalls {
    type Error = WaterfallsError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl fmt::Display for Waterfalls {
    /// The stored form: the usual order, and behind it each rule as `;kinds@statuses:order`, as in
    /// `fees,interest,principal;card+cash@:principal,interest,fees`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.usual)?;
        for Rule { kinds: of_kinds, statuses: of_statuses, order } in self.rules.iter().flatten() {
            write!(f, ";{}@{}:{order}", of_kinds.words(&kinds()).join("+"), of_statuses.words(&statuses()).join("+"))?;
        }
        Ok(())
    }
}

/// The words of a stored list.
fn listed(list: &str) -> impl Iterator<Item = &str> {
    list.split('+').filter(|word| !word.is_empty())
}

impl FromStr for Waterfalls {
    type Err = WaterfallsError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split(';');
        let usual = parts.next().unwrap_or_default().parse().map_err(|_| WaterfallsError::Order)?;
        let rule = |part: &str| {
            let (of, order) = part.split_once(':').ok_or(WaterfallsError::Order)?;
            let (of_kinds, of_statuses) = of.split_once('@').ok_or(WaterfallsError::Kind)?;
            Rule::new(listed(of_kinds), listed(of_statuses), order.parse())
        };
        Self::of(usual, parts.map(rule))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(words: &str) -> Waterfall {
        words.parse().unwrap()
    }

    fn setting(kinds: &[&str], statuses: &[&str], order: &str) -> WaterfallRuleSetting {
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        WaterfallRuleSetting {
            payment_kinds: owned(kinds),
            loan_statuses: owned(statuses),
            waterfall: order.split(',').map(str::to_owned).collect(),
        }
    }

    #[test]
    fn the_first_rule_that_fits_gives_the_order() {
        let (usual, other, third) = ("fees,interest,principal", "principal,interest,fees", "interest,fees,principal");
        let rules = [
            setting(&["card"], &["charged_off"], third),
            setting(&["card", "suspense"], &[], other),
            setting(&[], &["charged_off", "written_off"], other),
        ];
        let waterfalls = Waterfalls::new(order(usual), &rules).unwrap();
        for (kind, status, expected) in [
            (PaymentKind::Card, LoanStatus::ChargedOff, third),
            (PaymentKind::Card, LoanStatus::Open, other),
            (PaymentKind::Suspense, LoanStatus::ChargedOff, other),
            (PaymentKind::Ach, LoanStatus::WrittenOff, other),
            (PaymentKind::Ach, LoanStatus::Open, usual),
        ] {
            assert_eq!(waterfalls.order(kind, status), order(expected), "{kind:?} {status:?}");
        }
        let text = waterfalls.to_string();
        assert_eq!(
            text,
            "fees,interest,principal;card@charged_off:interest,fees,principal;\
             card+suspense@:principal,interest,fees;@charged_off+written_off:principal,interest,fees"
        );
        assert_eq!(text.parse(), Ok(waterfalls));
        assert_eq!(Waterfalls::new(order(usual), &waterfalls.settings()), Ok(waterfalls));
        assert_eq!(waterfalls.settings(), rules);
    }

    #[test]
    fn an_order_alone_is_stored_as_before() {
        let alone = Waterfalls::from(order("interest,fees,principal"));
        assert_eq!((alone.to_string().as_str(), alone.settings()), ("interest,fees,principal", vec![]));
        assert_eq!("interest,fees,principal".parse(), Ok(alone));
    }

    #[test]
    fn what_is_wrong_with_a_rule_is_said() {
        let usual = Waterfall::default();
        let fault = |kinds: &[&str], statuses: &[&str], order: &str| {
            Waterfalls::new(usual, &[setting(kinds, statuses, order)]).unwrap_err()
        };
        let good = "principal,interest,fees";
        assert_eq!(fault(&[], &[], good), WaterfallsError::FitsAll);
        assert_eq!(fault(&["ACH"], &[], good), WaterfallsError::Kind);
        assert_eq!(fault(&["ach", "ach"], &[], good), WaterfallsError::Kind);
        assert_eq!(fault(&[], &["closed"], good), WaterfallsError::Status);
        assert_eq!(fault(&["ach"], &[], "fees,fees,principal"), WaterfallsError::Order);
        let many = vec![setting(&["ach"], &[], good); WATERFALL_RULES_MAX + 1];
        assert_eq!(Waterfalls::new(usual, &many), Err(WaterfallsError::Count));
        for text in ["", "fees", "fees,interest,principal;", "fees,interest,principal;ach:fees,interest,principal"] {
            assert!(text.parse::<Waterfalls>().is_err(), "{text}");
        }
    }
}
