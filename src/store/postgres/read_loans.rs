//! Owns the reads of loans and totals, tenant first.

use std::collections::HashMap;

use chrono::{DateTime, NaiveDate, Utc};
use uuid::Uuid;

use super::connect::PostgresStore;
use super::error::classify;
use super::rows::{self, Columns, broken, key_column, loan_columns};
use crate::core::ids::{BorrowerId, LoanKey, ProgramId, TenantId};
use crate::core::ledger::{AccountCode, Layer};
use crate::core::loan::Balances;
use crate::core::money::{Currency, Minor};
use crate::core::time::Timestamp;
use crate::store::{AccountTotals, BalanceTime, LoanBalances, LoanParty, LoanRecord, StoreError};

const READ_LOAN: &str =
    concat!("SELECT ", loan_columns!(), ", loan_number FROM loans WHERE tenant = $1 AND loan_key = $2 AND version > 0");

/// A loan's balances on a day: walks the loan's postings by `(loan_key, loan_version)`. Debits of receivables and
/// credits of suspense are positive.
const READ_BALANCES: &str = "SELECT l.currency, \
     coalesce(sum(line.amount) FILTER (WHERE line.account = $4), 0)::bigint, \
     coalesce(sum(line.amount) FILTER (WHERE line.account = $5), 0)::bigint, \
     coalesce(sum(line.amount) FILTER (WHERE line.account = $6), 0)::bigint, \
     (-coalesce(sum(line.amount) FILTER (WHERE line.account = $7), 0))::bigint, max(p.posted_at) \
     FROM loans l LEFT JOIN postings p ON p.loan_key = l.loan_key AND p.loan_version > 0 \
     AND p.effective_date <= $3 AND ($9::timestamptz IS NULL OR p.posted_at <= $9) AND p.layer = $8 \
     AND cardinality(p.amounts) > 0 \
     LEFT JOIN LATERAL unnest(p.accounts, p.amounts) AS line (account, amount) ON true \
     WHERE l.tenant = $1 AND l.loan_key = $2 AND l.version > 0 GROUP BY l.loan_key, l.currency";

/// Sums one row per day and lane slot of an account.
const READ_TOTALS: &str = "SELECT coalesce(sum(debits), 0)::text, coalesce(sum(credits), 0)::text \
     FROM account_totals WHERE tenant = $1 AND account = $2 AND currency = $3 AND layer = $4 AND booking_date <= $5";

/// One look into the key a loan.
const READ_PARTIES: &str = "SELECT l.loan_key, l.borrower_id, l.currency, l.program_id FROM unnest($2::uuid[]) AS k (wanted) \
     CROSS JOIN LATERAL (SELECT l.loan_key, l.borrower_id, l.currency, l.program_id FROM loans l WHERE l.tenant = $1 \
     AND l.loan_key = k.wanted AND l.version > 0 OFFSET 0) AS l";

/// The statements of this module.
pub(super) const STATEMENTS: [(&str, &str); 4] = [
    ("read_loan", READ_LOAN),
    ("read_balances", READ_BALANCES),
    ("read_totals", READ_TOTALS),
    ("read_parties", READ_PARTIES),
];

impl PostgresStore {
    pub(super) async fn read_loan(&self, tenant: TenantId, loan: LoanKey) -> Result<Option<LoanRecord>, StoreError> {
        let mut connection = self.connection().await?;
        let query = sqlx::query(READ_LOAN).bind(tenant.0).bind(key_column(loan));
        let row = query.fetch_optional(&mut *connection).await.map_err(classify)?;
        let loan = row.map(|row| {
            let mut columns = Columns::of(&row);
            let loan = rows::loan(&mut columns)?;
            Ok(LoanRecord { state: loan.state, on_hold: loan.on_hold, loan_number: columns.take()? })
        });
        loan.transpose()
    }

    pub(super) async fn read_parties(
        &self,
        tenant: TenantId,
        loans: Vec<LoanKey>,
    ) -> Result<HashMap<LoanKey, LoanParty>, StoreError> {
        let mut connection = self.connection().await?;
        let keys: Vec<Uuid> = loans.into_iter().map(key_column).collect();
        let query = sqlx::query(READ_PARTIES).bind(tenant.0).bind(keys);
        let rows = query.fetch_all(&mut *connection).await.map_err(classify)?;
        let party = |row| {
            let mut columns = Columns::of(row);
            let (key, borrower_id) = (columns.loan_key()?, BorrowerId(columns.take()?));
            let currency = columns.word("currency")?;
            let program_id = columns.take::<Option<Uuid>>()?.map(ProgramId);
            Ok((key, LoanParty { borrower_id, currency, program_id }))
        };
        rows.iter().map(party).collect()
    }

    pub(super) async fn read_balances(
        &self,
        tenant: TenantId,
        loan: LoanKey,
        at: BalanceTime,
    ) -> Result<Option<LoanBalances>, StoreError> {
        let mut connection = self.connection().await?;
        let query = sqlx::query(READ_BALANCES)
            .bind(tenant.0)
            .bind(key_column(loan))
            .bind(at.as_of)
            .bind(AccountCode::FEES_RECEIVABLE.number())
            .bind(AccountCode::INTEREST_RECEIVABLE.number())
            .bind(AccountCode::PRINCIPAL_RECEIVABLE.number())
            .bind(AccountCode::BORROWER_SUSPENSE.number())
            .bind(Layer::Settled.as_str())
            .bind(at.known_at.map(Timestamp::utc));
        let row = query.fetch_optional(&mut *connection).await.map_err(classify)?;
        let balances = row.map(|row| {
            let mut columns = Columns::of(&row);
            let currency: &str = columns.take()?;
            let currency: Currency = currency.parse().map_err(|_| broken("currency", currency))?;
            let balances = Balances {
                fees: Minor::new(columns.take()?),
                interest: Minor::new(columns.take()?),
                principal: Minor::new(columns.take()?),
                suspense: Minor::new(columns.take()?),
            };
            let last_activity_at = columns.take::<Option<DateTime<Utc>>>()?.map(Timestamp::new);
            Ok(LoanBalances { balances, currency, last_activity_at })
        });
        balances.transpose()
    }

    pub(super) async fn read_totals(
        &self,
        tenant: TenantId,
        (account, currency, layer): (AccountCode, Currency, Layer),
        as_of: NaiveDate,
    ) -> Result<AccountTotals, StoreError> {
        let mut connection = self.connection().await?;
        let query = sqlx::query(READ_TOTALS)
            .bind(tenant.0)
            .bind(account.number())
            .bind(currency.code())
            .bind(layer.as_str())
            .bind(as_of);
        let row = query.fetch_one(&mut *connection).await.map_err(classify)?;
        let mut columns = Columns::of(&row);
        let mut sum = || -> Result<i128, StoreError> {
            let text: &str = columns.take()?;
            text.parse().map_err(|_| broken("total", text))
        };
        Ok(AccountTotals { debits: sum()?, credits: sum()? })
    }
}
