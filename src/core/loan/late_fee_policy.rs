//! Owns what a program says of late fees: which fees are late fees, and how many days of grace a payment has.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// The longest time of grace, in days.
pub const GRACE_DAYS_MAX: u16 = 365;

/// The same in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LateFeeSetting {
    /// The codes of fees that are late fees.
    pub fee_codes: Vec<String>,
    /// How many days after its due day a payment is still on time, where nobody says so for the fee itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_days: Option<u16>,
}

/// What a program says of late fees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LateFeePolicy {
    codes: BTreeSet<String>,
    /// How many days after its due day a payment is still on time.
    pub grace_days: Option<u16>,
}

impl LateFeePolicy {
    /// A policy of its words.
    ///
    /// # Errors
    /// Why, for people.
    pub fn new(setting: &LateFeeSetting) -> Result<Self, &'static str> {
        if setting.fee_codes.is_empty() {
            return Err("must name a fee code");
        }
        if !setting.fee_codes.iter().all(|code| is_fee_code(code)) {
            return Err("must name fee codes of 1 to 64 lower-case letters, digits and underscores");
        }
        let codes: BTreeSet<String> = setting.fee_codes.iter().cloned().collect();
        if codes.len() != setting.fee_codes.len() {
            return Err("must name a fee code once");
        }
        if setting.grace_days.is_some_and(|days| days > GRACE_DAYS_MAX) {
            return Err("must have at most 365 days of grace");
        }
        Ok(Self { codes, grace_days: setting.grace_days })
    }

    /// Whether a fee of this code is a late fee: it then says which payment it is for.
    #[must_use]
    pub fn is_late_fee(&self, code: &str) -> bool {
        self.codes.contains(code)
    }

    /// The words again; `None` where nothing is said.
    #[must_use]
    pub fn setting(&self) -> Option<LateFeeSetting> {
        let fee_codes: Vec<String> = self.codes.iter().cloned().collect();
        (!fee_codes.is_empty()).then_some(LateFeeSetting { fee_codes, grace_days: self.grace_days })
    }
}

/// Whether a text is a fee code: `^[a-z0-9_]{1,64}$`.
#[must_use]
pub fn is_fee_code(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    (1..=64).contains(&text.len()) && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(codes: &[&str], grace_days: Option<u16>) -> LateFeeSetting {
        LateFeeSetting { fee_codes: codes.iter().map(|code| (*code).to_owned()).collect(), grace_days }
    }

    #[test]
    fn a_policy_reads_back_and_knows_its_codes() {
        let said = setting(&["late", "late_2"], Some(15));
        let policy = LateFeePolicy::new(&said).unwrap();
        assert_eq!((policy.setting(), LateFeePolicy::default().setting()), (Some(said), None));
        assert_eq!(["late", "late_2", "lat", "nsf"].map(|code| policy.is_late_fee(code)), [true, true, false, false]);
    }

    #[test]
    fn bad_policies_are_told() {
        for (codes, grace) in
            [(&[][..], None), (&["Late"], None), (&["late", "late"], None), (&["late"], Some(366)), (&[""], None)]
        {
            assert!(LateFeePolicy::new(&setting(codes, grace)).is_err(), "{codes:?} {grace:?}");
        }
    }
}
