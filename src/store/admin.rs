//! Owns the rows that operators make, and the report of `verify`.

use crate::core::ids::{ProgramId, TenantId};
use crate::core::loan::LossAccount;
use crate::core::money::{Currency, Minor};
use crate::core::time::Timestamp;

/// Whether a database fits this release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaState {
    /// Every migration of this release is applied.
    Current,
    /// Migrations are missing.
    Behind,
    /// A later release migrated it further; its migrations keep old code working.
    Ahead,
    /// A migration differs from ours.
    Foreign,
}

/// A tenant's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantRecord {
    /// Its id.
    pub id: TenantId,
    /// For operators.
    pub name: String,
    /// IANA name of the zone its business day is a day in.
    pub time_zone: String,
    /// Currency where a request names none.
    pub base_currency: Currency,
    /// How many days after the business date a payment may be dated.
    pub future_days: i32,
    /// The most one payment may be.
    pub payment_limit: Option<Minor>,
    /// Who bears what is charged off.
    pub loss_account: LossAccount,
}

/// A program: the terms that loans share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramRecord {
    /// Whose.
    pub tenant: TenantId,
    /// The lender's id of it.
    pub id: ProgramId,
    /// JSON of its terms.
    pub settings: String,
}

/// An API client.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientRecord {
    /// Its id.
    pub client_id: String,
    /// Whose.
    pub tenant: TenantId,
    /// Argon2id hash of its secret, PHC form.
    pub secret_hash: String,
    /// The scopes it may ask for.
    pub scopes: Vec<String>,
    /// When it was shut out.
    pub disabled_at: Option<Timestamp>,
}

impl std::fmt::Debug for ClientRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientRecord")
            .field("client_id", &self.client_id)
            .field("tenant", &self.tenant)
            .finish_non_exhaustive()
    }
}

/// A signing key of the built-in issuer.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKeyRecord {
    /// Its key id.
    pub kid: String,
    /// PKCS#8 of the private key (P-256), sealed where a key file is configured.
    pub private_key: Vec<u8>,
    /// The public key as an uncompressed P-256 point, 65 bytes.
    pub public_key: Vec<u8>,
    /// When it was made.
    pub created_at: Timestamp,
}

impl std::fmt::Debug for SigningKeyRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKeyRecord").field("kid", &self.kid).finish_non_exhaustive()
    }
}

/// One thing that is wrong with the books.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyProblem {
    /// Which check: `entry_balance`, `loan_balance`, `loan_version`, `chain`, `event_without_posting`,
    /// `posting_without_event`, `account_totals`, `trial_balance`, `undo_link`, `system_event`, `conservation`.
    pub check: &'static str,
    /// What it found, naming ids.
    pub detail: String,
}

/// The proof of the books.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Events looked at.
    pub events: i64,
    /// Of them posted.
    pub posted: i64,
    /// Of them rejected.
    pub rejected: i64,
    /// Of them parked.
    pub parked: i64,
    /// Of them waiting for a loan on hold.
    pub held: i64,
    /// Of them still in flight.
    pub in_flight: i64,
    /// Loans looked at.
    pub loans: i64,
    /// The first hundred problems of each check.
    pub problems: Vec<VerifyProblem>,
}
