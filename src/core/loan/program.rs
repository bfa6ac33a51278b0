//! Owns programs: the terms that a lender's loans of one kind share.
//!
//! Invariant: a [`Program`] is made by [`Program::new`] only, so its terms can be relied on.

use serde::{Deserialize, Serialize};

use crate::core::ids::ProgramId;
use crate::core::loan::day_count::DayCount;
use crate::core::loan::interest::{InterestRule, InterestTerms};
use crate::core::loan::late_fee_policy::{LateFeePolicy, LateFeeSetting};
use crate::core::loan::rate::AnnualRate;
use crate::core::loan::return_policy::{ReturnFeeSetting, ReturnManner, ReturnPolicy};
use crate::core::loan::rounding::Rounding;
use crate::core::loan::state::SuspenseRelease;
use crate::core::loan::waterfall::Waterfall;
use crate::core::loan::waterfalls::{WaterfallRuleSetting, Waterfalls};
use crate::core::money::Currency;

/// A program in words, as it is sent, stored and answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramSettings {
    /// The lender's id of it.
    pub program_id: ProgramId,
    /// ISO 4217.
    pub currency: String,
    /// Percent a year, a decimal; `None` where interest is accrued by amounts that callers bring.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annual_rate: Option<String>,
    /// How days become a fraction of a year.
    pub day_count_convention: String,
    /// How interest is rounded.
    pub rounding: String,
    /// The order in which payments pay.
    pub waterfall: Vec<String>,
    /// Other orders for some kinds of payments, or for loans that stand so: the first that fits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waterfall_rules: Vec<WaterfallRuleSetting>,
    /// What becomes of suspense when new debt arises.
    pub suspense_release: String,
    /// How payments that go back are booked: `void` where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub returns: Option<String>,
    /// In which order a payment that is charged back is owed again; the order of payment where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credit_order: Option<Vec<String>>,
    /// What returns cost, by code.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub return_fees: Vec<ReturnFeeSetting>,
    /// Which fees are late fees; none where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late_fees: Option<LateFeeSetting>,
}

/// What is wrong with a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramFault {
    /// The setting.
    pub field: &'static str,
    /// Why, for people.
    pub message: String,
}

/// The terms that a program's loans share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// The lender's id of it.
    pub id: ProgramId,
    /// The currency of its loans.
    pub currency: Currency,
    /// The rate of interest, where it has one.
    pub annual_rate: Option<AnnualRate>,
    /// How days become a fraction of a year.
    pub day_count: DayCount,
    /// How interest is rounded.
    pub rounding: Rounding,
    /// The orders in which payments pay, where a loan's opening names none.
    pub waterfalls: Waterfalls,
    /// What becomes of suspense when new debt arises.
    pub suspense_release: SuspenseRelease,
    /// What becomes of payments that go back.
    pub returns: ReturnPolicy,
    /// Which fees are late fees.
    pub late_fees: LateFeePolicy,
}

impl Program {
    /// Reads the words.
    ///
    /// # Errors
    /// Every fault there is.
    pub fn new(settings: &ProgramSettings) -> Result<Self, Vec<ProgramFault>> {
        let mut faults = Vec::new();
        let currency = read(&mut faults, "currency", Currency::parse(&settings.currency));
        let annual_rate = settings.annual_rate.as_deref().map(AnnualRate::parse);
        let annual_rate = annual_rate.map(|rate| read(&mut faults, "annual_rate", rate));
        let day_count = read(&mut faults, "day_count_convention", settings.day_count_convention.parse());
        let rounding = read(&mut faults, "rounding", settings.rounding.parse());
        let words = settings.waterfall.iter().map(String::as_str);
        let waterfall = read(&mut faults, "waterfall", Waterfall::from_words(words));
        let rules = &settings.waterfall_rules;
        let waterfalls =
            waterfall.and_then(|usual| read(&mut faults, "waterfall_rules", Waterfalls::new(usual, rules)));
        let suspense_release = read(&mut faults, "suspense_release", settings.suspense_release.parse());
        let returns = waterfall.and_then(|waterfall| read_returns(&mut faults, settings, waterfall));
        let late_fees = settings.late_fees.as_ref().map_or(Ok(LateFeePolicy::default()), LateFeePolicy::new);
        let late_fees = read(&mut faults, "late_fees", late_fees).unwrap_or_default();
        match (currency, day_count, rounding, waterfalls, suspense_release, returns) {
            (
                Some(currency),
                Some(day_count),
                Some(rounding),
                Some(waterfalls),
                Some(suspense_release),
                Some(returns),
            ) if faults.is_empty() => {
                let annual_rate = annual_rate.flatten();
                let id = settings.program_id;
                Ok(Self {
                    id,
                    currency,
                    annual_rate,
                    day_count,
                    rounding,
                    waterfalls,
                    suspense_release,
                    returns,
                    late_fees,
                })
            }
            _ => Err(faults),
        }
    }

    /// How its loans bear interest; `None` where it has no rate.
    #[must_use]
    pub fn interest_rule(&self) -> Option<InterestRule> {
        let terms = InterestTerms { day_count: self.day_count, rounding: self.rounding };
        self.annual_rate.map(|rate| InterestRule { rate, terms })
    }

    /// The words again, in one form.
    #[must_use]
    pub fn settings(&self) -> ProgramSettings {
        ProgramSettings {
            program_id: self.id,
            currency: self.currency.code().to_owned(),
            annual_rate: self.annual_rate.map(|rate| rate.to_string()),
            day_count_convention: self.day_count.as_str().to_owned(),
            rounding: self.rounding.to_string(),
            waterfall: self.waterfalls.usual().words(),
            waterfall_rules: self.waterfalls.settings(),
            suspense_release: self.suspense_release.as_str().to_owned(),
            returns: (self.returns.manner != ReturnManner::Void).then(|| self.returns.manner.as_str().to_owned()),
            credit_order: match self.returns.manner {
                ReturnManner::Void => None,
                ReturnManner::Chargeback(order) => Some(order.words()),
            },
            return_fees: self.returns.fee_settings(),
            late_fees: self.late_fees.setting(),
        }
    }
}

fn read_returns(
    faults: &mut Vec<ProgramFault>,
    settings: &ProgramSettings,
    waterfall: Waterfall,
) -> Option<ReturnPolicy> {
    let words = |order: &Vec<String>| Waterfall::from_words(order.iter().map(String::as_str));
    let order = settings.credit_order.as_ref().map(|order| read(faults, "credit_order", words(order)));
    let manner = match settings.returns.as_deref() {
        None | Some("void") if settings.credit_order.is_none() => Ok(ReturnManner::Void),
        None | Some("void") => {
            let message = "is for programs whose returns are charged back".to_owned();
            faults.push(ProgramFault { field: "credit_order", message });
            return None;
        }
        Some("chargeback") => Ok(ReturnManner::Chargeback(order.flatten().unwrap_or(waterfall))),
        Some(_) => Err("must be void or chargeback"),
    };
    let manner = read(faults, "returns", manner)?;
    read(faults, "return_fees", ReturnPolicy::new(manner, &settings.return_fees))
}

fn read<T, E: std::fmt::Display>(
    faults: &mut Vec<ProgramFault>,
    field: &'static str,
    value: Result<T, E>,
) -> Option<T> {
    value.map_err(|error| faults.push(ProgramFault { field, message: error.to_string() })).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> ProgramSettings {
        ProgramSettings {
            program_id: ProgramId(uuid::Uuid::from_u128(7)),
            currency: "USD".to_owned(),
            annual_rate: Some("7.250".to_owned()),
            day_count_convention: "30_360".to_owned(),
            rounding: "half_even,daily".to_owned(),
            waterfall: words(["interest", "fees", "principal"]),
            waterfall_rules: Vec::new(),
            suspense_release: "automatic".to_owned(),
            returns: None,
            credit_order: None,
            return_fees: Vec::new(),
            late_fees: None,
        }
    }

    fn words(words: [&str; 3]) -> Vec<String> {
        words.map(str::to_owned).to_vec()
    }

    #[test]
    fn a_program_reads_back_from_its_words() {
        let program = Program::new(&settings()).unwrap();
        assert_eq!(program.settings().annual_rate.as_deref(), Some("7.25"), "one form of a rate");
        assert_eq!(Program::new(&program.settings()).as_ref(), Ok(&program));
        let free = Program::new(&ProgramSettings { annual_rate: None, ..settings() }).unwrap();
        assert_eq!((free.annual_rate, free.suspense_release), (None, SuspenseRelease::Automatic));
    }

    #[test]
    fn returns_are_taken_back_or_charged_back_in_an_order() {
        let of = |settings: &ProgramSettings| Program::new(settings).map(|program| program.returns.manner);
        let with = |returns: Option<&str>, order: Option<[&str; 3]>| ProgramSettings {
            returns: returns.map(str::to_owned),
            credit_order: order.map(words),
            ..settings()
        };
        let chargeback = |order: [&str; 3]| ReturnManner::Chargeback(Waterfall::from_words(order).unwrap());
        let order = ["principal", "interest", "fees"];
        assert_eq!(of(&settings()), Ok(ReturnManner::Void));
        assert_eq!(of(&with(Some("void"), None)), Ok(ReturnManner::Void));
        assert_eq!(of(&with(Some("chargeback"), Some(order))), Ok(chargeback(order)));
        assert_eq!(of(&with(Some("chargeback"), None)), Ok(chargeback(["interest", "fees", "principal"])));
        let program = Program::new(&with(Some("chargeback"), Some(order))).unwrap();
        assert_eq!(Program::new(&program.settings()), Ok(program));
        let faults = |settings: &ProgramSettings| -> Vec<&str> {
            Program::new(settings).unwrap_err().into_iter().map(|fault| fault.field).collect()
        };
        assert_eq!(faults(&with(None, Some(order))), ["credit_order"]);
        assert_eq!(faults(&with(Some("reversal"), None)), ["returns"]);
        assert_eq!(faults(&with(Some("chargeback"), Some(["fees", "fees", "principal"]))), ["credit_order"]);
        let fee = ReturnFeeSetting { return_codes: vec!["R1".to_owned()], fee_minor: "25".to_owned() };
        assert_eq!(faults(&ProgramSettings { return_fees: vec![fee], ..settings() }), ["return_fees"]);
    }

    #[test]
    fn a_program_may_have_other_orders_for_some_payments() {
        let rule = |waterfall| WaterfallRuleSetting {
            payment_kinds: vec!["card".to_owned()],
            loan_statuses: Vec::new(),
            waterfall: words(waterfall),
        };
        let with = |rule| ProgramSettings { waterfall_rules: vec![rule], ..settings() };
        let program = Program::new(&with(rule(["principal", "interest", "fees"]))).unwrap();
        assert_eq!(program.settings().waterfall_rules, [rule(["principal", "interest", "fees"])]);
        assert_eq!(Program::new(&program.settings()).as_ref(), Ok(&program));
        let faults = Program::new(&with(rule(["fees", "fees", "fees"]))).unwrap_err();
        assert_eq!(faults.into_iter().map(|fault| fault.field).collect::<Vec<_>>(), ["waterfall_rules"]);
    }

    #[test]
    fn every_fault_is_named() {
        let bad = ProgramSettings {
            currency: "usd".to_owned(),
            annual_rate: Some("-1".to_owned()),
            day_count_convention: "ACT".to_owned(),
            rounding: "up".to_owned(),
            waterfall: vec!["fees".to_owned()],
            suspense_release: "sometimes".to_owned(),
            ..settings()
        };
        let fields: Vec<_> = Program::new(&bad).unwrap_err().into_iter().map(|fault| fault.field).collect();
        let all = ["currency", "annual_rate", "day_count_convention", "rounding", "waterfall", "suspense_release"];
        assert_eq!(fields, all);
    }
}
