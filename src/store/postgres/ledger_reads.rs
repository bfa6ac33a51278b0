//! Owns the statements of the general ledger's reads: a tenant's chart of accounts, the trial balance, the journal.

use sqlx::postgres::PgRow;
use sqlx::{Connection, PgConnection};

use super::connect::{PostgresStore, finish};
use super::error::classify;
use super::read::{record, record_columns, record_tables};
use super::rows::{Columns, broken, event_columns, posting_columns};
use crate::core::ids::{EventId, Seq, TenantId};
use crate::core::ledger::{AccountCode, Chart, NormalBalance, ShownAccount};
use crate::store::{AccountTotals, EventRecord, JournalSpan, StoreError, TrialBalanceQuestion};

const READ_CHART: &str = "SELECT account, code, name, normal_balance FROM tenant_accounts WHERE tenant = $1";

const FORGET_CHART: &str = "DELETE FROM tenant_accounts WHERE tenant = $1";

const ADD_ACCOUNTS: &str = "INSERT INTO tenant_accounts (tenant, account, code, name, normal_balance) \
     SELECT $1, account, code, name, normal_balance \
     FROM unnest($2::smallint[], $3::smallint[], $4::text[], $5::text[]) AS n (account, code, name, normal_balance)";

/// A walk along the tenant's totals: accounts times days times lane slots.
const TRIAL_BALANCE: &str = "SELECT account, sum(debits)::text, sum(credits)::text FROM account_totals \
     WHERE tenant = $1 AND currency = $2 AND layer = $3 AND booking_date <= $4 GROUP BY account ORDER BY account";

/// The entries of a stretch of events that are booked in a span. Both sides of the join are bounded by the stretch.
const READ_JOURNAL: &str = concat!(
    "SELECT ",
    record_columns!(),
    " FROM ",
    record_tables!(),
    " WHERE e.seq > $2 AND e.seq <= $3 AND p.event_seq > $2 AND p.event_seq <= $3 AND e.tenant = $1 \
     AND p.booking_date BETWEEN $4 AND $5 AND cardinality(p.amounts) > 0 ORDER BY e.seq"
);

/// Where events begin that were made at or after an instant, given as the least id of it. Ids are drawn before numbers,
/// so the first few are looked at: an id may be greater and its number less by as much as was under way at once.
const JOURNAL_BEGIN: &str = "SELECT coalesce((SELECT min(seq) - 1 FROM (SELECT e.seq FROM events e WHERE e.id >= $1 \
     ORDER BY e.id LIMIT 10000) AS first), (SELECT max(seq) FROM events), 0), \
     coalesce((SELECT max(seq) FROM events), 0)";

/// The statements of this module.
pub(super) const STATEMENTS: [(&str, &str); 6] = [
    ("read_chart", READ_CHART),
    ("forget_chart", FORGET_CHART),
    ("add_accounts", ADD_ACCOUNTS),
    ("read_trial_balance", TRIAL_BALANCE),
    ("read_journal", READ_JOURNAL),
    ("journal_begin", JOURNAL_BEGIN),
];

impl PostgresStore {
    pub(super) async fn read_chart(&self, tenant: TenantId) -> Result<Chart, StoreError> {
        let mut connection = self.connection().await?;
        let rows = sqlx::query(READ_CHART).bind(tenant.0).fetch_all(&mut *connection).await.map_err(classify)?;
        Ok(Chart::new(rows.iter().map(shown).collect::<Result<Vec<_>, _>>()?))
    }

    pub(super) async fn write_chart(&self, tenant: TenantId, chart: Chart) -> Result<(), StoreError> {
        let mut connection = self.connection().await?;
        let mut transaction = connection.begin_with(super::connect::BEGIN).await.map_err(classify)?;
        let done = write_chart(&mut transaction, tenant, &chart).await;
        finish(transaction, done).await
    }

    pub(super) async fn read_trial_balance(
        &self,
        tenant: TenantId,
        of: TrialBalanceQuestion,
    ) -> Result<Vec<(AccountCode, AccountTotals)>, StoreError> {
        let mut connection = self.connection().await?;
        let query =
            sqlx::query(TRIAL_BALANCE).bind(tenant.0).bind(of.currency.code()).bind(of.layer.as_str()).bind(of.as_of);
        query.fetch_all(&mut *connection).await.map_err(classify)?.iter().map(totals).collect()
    }

    pub(super) async fn find_journal_of(&self, since: EventId) -> Result<(Seq, Seq), StoreError> {
        let mut connection = self.connection().await?;
        let row = sqlx::query(JOURNAL_BEGIN).bind(since.0).fetch_one(&mut *connection).await.map_err(classify)?;
        let mut columns = Columns::of(&row);
        Ok((Seq(columns.take()?), Seq(columns.take()?)))
    }

    pub(super) async fn read_journal(
        &self,
        tenant: TenantId,
        span: JournalSpan,
    ) -> Result<Vec<EventRecord>, StoreError> {
        let mut connection = self.connection().await?;
        let query = sqlx::query(READ_JOURNAL)
            .bind(tenant.0)
            .bind(span.after.0)
            .bind(span.to.0)
            .bind(span.booked.0)
            .bind(span.booked.1);
        query.fetch_all(&mut *connection).await.map_err(classify)?.iter().map(record).collect()
    }
}

async fn write_chart(connection: &mut PgConnection, tenant: TenantId, chart: &Chart) -> Result<(), StoreError> {
    sqlx::query(FORGET_CHART).bind(tenant.0).execute(&mut *connection).await.map_err(classify)?;
    let query = sqlx::query(ADD_ACCOUNTS)
        .bind(tenant.0)
        .bind(chart.settings().map(|shown| shown.account.number()).collect::<Vec<_>>())
        .bind(chart.settings().map(|shown| shown.code.number()).collect::<Vec<_>>())
        .bind(chart.settings().map(|shown| shown.name.as_str()).collect::<Vec<_>>())
        .bind(chart.settings().map(|shown| shown.normal.as_str()).collect::<Vec<_>>());
    query.execute(connection).await.map_err(classify).map(drop)
}

fn account(columns: &mut Columns<'_>) -> Result<AccountCode, StoreError> {
    let number: i16 = columns.take()?;
    AccountCode::from_number(number).ok_or_else(|| broken("account", &number.to_string()))
}

fn shown(row: &PgRow) -> Result<ShownAccount, StoreError> {
    let mut columns = Columns::of(row);
    let (account, code, name) = (account(&mut columns)?, account(&mut columns)?, columns.take()?);
    let side: &str = columns.take()?;
    let normal = NormalBalance::parse(side).ok_or_else(|| broken("normal_balance", side))?;
    Ok(ShownAccount { account, code, name, normal })
}

fn totals(row: &PgRow) -> Result<(AccountCode, AccountTotals), StoreError> {
    let mut columns = Columns::of(row);
    let account = account(&mut columns)?;
    let mut sum = || {
        let text: &str = columns.take()?;
        text.parse().map_err(|_| broken("a total", text))
    };
    Ok((account, AccountTotals { debits: sum()?, credits: sum()? }))
}
