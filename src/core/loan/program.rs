//! Owns programs: the terms that a lender's loans of one kind share.
//!
//! Invariant: a [`Program`] is made by [`Program::new`] only, so its terms can be relied on.

use serde::{Deserialize, Serialize};

use crate::core::ids::ProgramId;
use crate::core::loan::day_count::DayCount;
use crate::core::loan::interest::{InterestRule, InterestTerms};
use crate::core::loan::rate::AnnualRate;
use crate::core::loan::rounding::Rounding;
use crate::core::loan::state::SuspenseRelease;
use crate::core::loan::waterfall::Waterfall;
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
    /// What becomes of suspense when new debt arises.
    pub suspense_release: String,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// The order in which payments pay, where a loan's opening names none.
    pub waterfall: Waterfall,
    /// What becomes of suspense when new debt arises.
    pub suspense_release: SuspenseRelease,
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
        let suspense_release = read(&mut faults, "suspense_release", settings.suspense_release.parse());
        match (currency, day_count, rounding, waterfall, suspense_release) {
            (Some(currency), Some(day_count), Some(rounding), Some(waterfall), Some(suspense_release))
                if faults.is_empty() =>
            {
                let annual_rate = annual_rate.flatten();
                let id = settings.program_id;
                Ok(Self { id, currency, annual_rate, day_count, rounding, waterfall, suspense_release })
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
            waterfall: self.waterfall.order().map(|bucket| bucket.as_str().to_owned()).to_vec(),
            suspense_release: self.suspense_release.as_str().to_owned(),
        }
    }
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
            waterfall: ["interest", "fees", "principal"].map(str::to_owned).to_vec(),
            suspense_release: "automatic".to_owned(),
        }
    }

    #[test]
    fn a_program_reads_back_from_its_words() {
        let program = Program::new(&settings()).unwrap();
        assert_eq!(program.settings().annual_rate.as_deref(), Some("7.25"), "one form of a rate");
        assert_eq!(Program::new(&program.settings()), Ok(program));
        let free = Program::new(&ProgramSettings { annual_rate: None, ..settings() }).unwrap();
        assert_eq!((free.annual_rate, free.suspense_release), (None, SuspenseRelease::Automatic));
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
