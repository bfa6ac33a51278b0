//! Owns the reads that operations on one loan need at acceptance, and a loan's fees. Tenant first.

use sqlx::PgConnection;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::connect::PostgresStore;
use super::error::classify;
use super::post::read_fees;
use super::rows::{Columns, key_column};
use crate::core::ids::{BorrowerId, LoanKey, ProgramId, TenantId};
use crate::core::ledger::{FeeBook, FeeItem};
use crate::store::{LoanParty, StoreError};

const READ_PARTY: &str =
    "SELECT borrower_id, currency, program_id FROM loans WHERE tenant = $1 AND loan_key = $2 AND version > 0";

/// Of a loan that is about to open. Looks at its newest 10,000 events, as the worker does.
const READ_OPENING_PARTY: &str = "SELECT o.borrower_id, o.currency, CASE o.kind WHEN 'loan_opened' THEN \
     (o.details::json ->> 'program_id')::uuid END FROM (SELECT e.seq, e.tenant, e.kind, e.slot, e.borrower_id, \
     e.currency, e.details FROM events e WHERE e.loan_key = $2 ORDER BY e.seq DESC LIMIT 10000) AS o \
     WHERE o.tenant = $1 AND o.kind IN ('disbursement', 'loan_opened') AND o.slot IS NOT NULL \
     AND NOT EXISTS (SELECT FROM postings p WHERE p.event_seq = o.seq OFFSET 0) ORDER BY o.seq LIMIT 1";

/// The statements of this module.
pub(super) const STATEMENTS: [(&str, &str); 2] =
    [("read_party", READ_PARTY), ("read_opening_party", READ_OPENING_PARTY)];

impl PostgresStore {
    pub(super) async fn read_party(&self, tenant: TenantId, loan: LoanKey) -> Result<Option<LoanParty>, StoreError> {
        let mut connection = self.connection().await?;
        let known = party(&mut connection, READ_PARTY, (tenant, loan)).await?;
        if known.is_some() { Ok(known) } else { party(&mut connection, READ_OPENING_PARTY, (tenant, loan)).await }
    }

    pub(super) async fn read_fee_items(
        &self,
        tenant: TenantId,
        loan: LoanKey,
    ) -> Result<Option<Vec<FeeItem>>, StoreError> {
        if self.read_loan(tenant, loan).await?.is_none() {
            return Ok(None);
        }
        let mut connection = self.connection().await?;
        let books = read_fees(&mut connection, &[loan]).await?;
        Ok(Some(books.get(&loan).map(FeeBook::items).unwrap_or_default()))
    }
}

async fn party(
    connection: &mut PgConnection,
    statement: &'static str,
    (tenant, loan): (TenantId, LoanKey),
) -> Result<Option<LoanParty>, StoreError> {
    let query = sqlx::query(statement).bind(tenant.0).bind(key_column(loan));
    let row: Option<PgRow> = query.fetch_optional(connection).await.map_err(classify)?;
    let party = row.map(|row| {
        let mut columns = Columns::of(&row);
        let (borrower_id, currency) = (BorrowerId(columns.take()?), columns.word("currency")?);
        Ok(LoanParty { borrower_id, currency, program_id: columns.take::<Option<Uuid>>()?.map(ProgramId) })
    });
    party.transpose()
}
