//! Owns the map of a feed from senders' customers to loans: for senders that know a payer by a name of their own.
//!
//! A line names a company, the payer's identification there, and a loan number. A `*` at the end of an identification
//! stands for any rest, so that `*` alone is everything a company sends. The most exact line decides.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::core::event::LoanNumber;

/// How many customers a feed may name: what fits into one request. More of them are a lender's loan numbers.
pub const CUSTOMERS_MAX: usize = 500;

/// One line of the map, in plain texts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomerSetting {
    /// The company that sends the batch.
    pub company_id: String,
    /// How it knows the payer; a `*` at the end stands for any rest.
    pub individual_id: String,
    /// The loan.
    pub loan_number: String,
}

/// A line that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Customer {
    pub(super) setting: CustomerSetting,
    pub(super) loan_number: LoanNumber,
}

impl Customer {
    /// What stands before the `*`; `None` where the whole identification must be the same.
    fn prefix(&self) -> Option<&str> {
        self.setting.individual_id.strip_suffix('*').map(comparable)
    }
}

/// The customers of one company.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Known {
    whole: HashMap<String, LoanNumber>,
    /// The longest first.
    prefixes: Vec<(String, LoanNumber)>,
}

/// The map.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Customers {
    settings: Vec<CustomerSetting>,
    companies: HashMap<String, Known>,
}

impl Customers {
    pub(super) fn new(customers: Vec<Customer>) -> Self {
        let mut map = Self::default();
        for customer in customers {
            let known = map.companies.entry(customer.setting.company_id.clone()).or_default();
            let number = customer.loan_number.clone();
            match customer.prefix() {
                Some(prefix) => known.prefixes.push((prefix.to_owned(), number)),
                None => drop(known.whole.insert(comparable(&customer.setting.individual_id).to_owned(), number)),
            }
            map.settings.push(customer.setting);
        }
        for known in map.companies.values_mut() {
            known.prefixes.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        }
        map
    }

    /// The lines as they were given.
    pub(super) fn settings(&self) -> &[CustomerSetting] {
        &self.settings
    }

    /// The loan of a payer whom a company knows as `individual_id`.
    pub(super) fn find(&self, company_id: &str, individual_id: &str) -> Option<LoanNumber> {
        let known = self.companies.get(company_id)?;
        let wanted = comparable(individual_id);
        let whole = known.whole.get(wanted);
        let number =
            whole.or_else(|| known.prefixes.iter().find(|(it, _)| wanted.starts_with(it.as_str())).map(|(_, it)| it));
        number.cloned()
    }
}

/// An identification without its padding: banks fill the field with blanks or zeros and cut it again.
pub(super) fn comparable(individual_id: &str) -> &str {
    individual_id.trim().trim_start_matches('0')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn customer(company: &str, individual: &str, loan: &str) -> Customer {
        let setting = CustomerSetting {
            company_id: company.to_owned(),
            individual_id: individual.to_owned(),
            loan_number: loan.to_owned(),
        };
        Customer { setting, loan_number: LoanNumber::parse(loan).unwrap() }
    }

    #[test]
    fn the_most_exact_line_decides() {
        let map = Customers::new(vec![
            customer("ACME", "*", "1"),
            customer("ACME", "EMP*", "2"),
            customer("ACME", "EMP-7*", "3"),
            customer("ACME", "EMP-77", "4"),
            customer("OTHER", "000815", "5"),
        ]);
        let found = |company, individual| map.find(company, individual).map(|number| number.as_str().to_owned());
        for (company, individual, loan) in [
            ("ACME", "", Some("1")),
            ("ACME", "X", Some("1")),
            ("ACME", "EMP-8", Some("2")),
            ("ACME", "EMP-78", Some("3")),
            ("ACME", "EMP-77", Some("4")),
            ("ACME", "00EMP-77 ", Some("4")),
            ("OTHER", "815", Some("5")),
            ("OTHER", "0000815", Some("5")),
            ("OTHER", "816", None),
            ("NOBODY", "EMP-77", None),
        ] {
            assert_eq!(found(company, individual).as_deref(), loan, "{company} {individual}");
        }
    }
}
