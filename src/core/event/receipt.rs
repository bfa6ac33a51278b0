//! Owns receipts: money that came for a loan nobody could name. The bank has moved it already, so it is booked, to
//! account 2200, and assigned to its loan later.
//!
//! The receipts of a tenant, feed and currency stand on one loan of our own: it has no borrower and is not listed, and
//! gives them an order, a version and a hash chain like any other event's.

use chrono::NaiveDate;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::core::event::command::SourceMethod;
use crate::core::event::metadata::Metadata;
use crate::core::ids::{LoanId, TenantId};
use crate::core::money::{Currency, Money};

/// Money received for no known loan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The loan of our own that it stands on.
    pub loan_id: LoanId,
    /// How much; more than nothing.
    pub amount: Money,
    /// The day it counts from.
    pub effective_date: NaiveDate,
    /// How it came.
    pub source_method: SourceMethod,
    /// The sender's reference.
    pub external_ref: Option<String>,
    /// What helps to find its loan.
    pub metadata: Option<Metadata>,
}

impl Receipt {
    /// The loan of our own on which the receipts of a feed stand.
    #[must_use]
    pub fn loan_of(tenant: TenantId, feed: &str, currency: Currency) -> LoanId {
        let hash = Sha256::new().chain_update(b"hpts.receipts\0").chain_update(tenant.0);
        let hash = hash.chain_update(currency.code()).chain_update(feed);
        let digest: [u8; 32] = hash.finalize().into();
        LoanId(Uuid::from_bytes(digest.first_chunk::<16>().copied().unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_tenant_feed_and_currency_has_a_loan_of_its_own() {
        let (one, two) = (TenantId(Uuid::from_u128(1)), TenantId(Uuid::from_u128(2)));
        let eur: Currency = "EUR".parse().unwrap();
        let loans = [
            Receipt::loan_of(one, "bank", Currency::USD),
            Receipt::loan_of(two, "bank", Currency::USD),
            Receipt::loan_of(one, "lockbox", Currency::USD),
            Receipt::loan_of(one, "bank", eur),
        ];
        for (at, loan) in loans.iter().enumerate() {
            assert!(!loans[..at].contains(loan));
        }
        assert_eq!(loans[0], Receipt::loan_of(one, "bank", Currency::USD));
    }
}
