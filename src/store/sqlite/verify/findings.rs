//! Owns the list of what is wrong: the first hundred of each check, so that one broken table does not fill memory.

use std::collections::BTreeMap;

use crate::store::VerifyProblem;

/// Problems kept of each check.
const KEPT_PER_CHECK: usize = 100;

/// What is wrong so far.
#[derive(Debug, Default)]
pub(super) struct Findings {
    by_check: BTreeMap<&'static str, Vec<String>>,
}

impl Findings {
    /// Notes a problem; `detail` is only made where it is kept.
    pub(super) fn add(&mut self, check: &'static str, detail: impl FnOnce() -> String) {
        let found = self.by_check.entry(check).or_default();
        if found.len() < KEPT_PER_CHECK {
            found.push(detail());
        }
    }

    pub(super) fn into_problems(self) -> Vec<VerifyProblem> {
        let of_check = |(check, details): (&'static str, Vec<String>)| {
            details.into_iter().map(move |detail| VerifyProblem { check, detail })
        };
        self.by_check.into_iter().flat_map(of_check).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_of_each_check_are_kept() {
        let mut findings = Findings::default();
        for number in 0..150 {
            findings.add("chain", || number.to_string());
        }
        findings.add("loan_version", || "one".to_owned());
        assert_eq!(findings.into_problems().len(), 101);
    }
}
