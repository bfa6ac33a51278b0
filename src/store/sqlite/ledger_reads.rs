//! Owns the statements of the general ledger's reads: a tenant's chart of accounts, the trial balance, the journal.

use std::collections::BTreeMap;

use serde::Serialize;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use crate::core::ids::{EventId, Seq, TenantId};
use crate::core::ledger::{AccountCode, Chart, NormalBalance, ShownAccount};
use crate::store::sqlite::error::store_error;
use crate::store::sqlite::params::json;
use crate::store::sqlite::records::{decode_records, select_records, stage};
use crate::store::sqlite::rows::{broken, event_columns, get, posting_columns, sum};
use crate::store::{AccountTotals, EventRecord, JournalSpan, StoreError, TrialBalanceQuestion};

pub(super) const CHART: &str = "SELECT account, code, name, normal_balance FROM tenant_accounts WHERE tenant = ?1";

pub(super) const FORGET_CHART: &str = "DELETE FROM tenant_accounts WHERE tenant = ?1";

pub(super) const ADD_ACCOUNTS: &str = "
    INSERT INTO tenant_accounts (tenant, account, code, name, normal_balance)
    SELECT ?1, value ->> 'account', value ->> 'code', value ->> 'name', value ->> 'normal_balance'
    FROM jsonb_each(?2)";

/// Added up in Rust: 128 bits.
pub(super) const TRIAL_BALANCE: &str = "
    SELECT account, debits, credits FROM account_totals
    WHERE tenant = ?1 AND currency = ?2 AND layer = ?3 AND booking_date <= ?4";

/// The entries of a stretch of events that are booked in a span.
pub(super) const JOURNAL: &str = concat!(
    select_records!("events AS e JOIN postings AS p ON p.event_seq = e.seq"),
    " WHERE e.seq > ?2 AND e.seq <= ?3 AND e.tenant = ?1 AND p.booking_date BETWEEN ?4 AND ?5 AND p.amounts <> '[]'
    ORDER BY e.seq"
);

/// Where events begin that were made at or after an instant, given as the least id of it. Ids are drawn before numbers,
/// so the first few are looked at.
pub(super) const JOURNAL_BEGIN: &str = "
    SELECT coalesce((SELECT min(seq) - 1 FROM (SELECT e.seq FROM events AS e INDEXED BY events_id WHERE e.id >= ?1
            ORDER BY e.id LIMIT 10000)), (SELECT max(seq) FROM events), 0) AS first,
        coalesce((SELECT max(seq) FROM events), 0) AS last";

#[derive(Serialize)]
struct AccountRow<'a> {
    account: i16,
    code: i16,
    name: &'a str,
    normal_balance: &'static str,
}

/// A tenant's chart of accounts.
pub(super) async fn chart(db: &mut SqliteConnection, tenant: TenantId) -> Result<Chart, StoreError> {
    let rows = sqlx::query(CHART).bind(tenant.0).fetch_all(db).await.map_err(store_error)?;
    Ok(Chart::new(rows.iter().map(shown).collect::<Result<Vec<_>, _>>()?))
}

/// Another chart for a tenant.
pub(super) async fn set_chart(db: &mut SqliteConnection, tenant: TenantId, chart: Chart) -> Result<(), StoreError> {
    sqlx::query(FORGET_CHART).bind(tenant.0).execute(&mut *db).await.map_err(store_error)?;
    let row = |shown: &'_ ShownAccount| (shown.account.number(), shown.code.number(), shown.normal.as_str());
    let rows: Vec<AccountRow<'_>> = chart
        .settings()
        .map(|shown| {
            let (account, code, normal_balance) = row(shown);
            AccountRow { account, code, name: &shown.name, normal_balance }
        })
        .collect();
    let query = sqlx::query(ADD_ACCOUNTS).bind(tenant.0).bind(json(&rows)?);
    query.execute(db).await.map_err(store_error).map(drop)
}

/// Debits and credits of every account that has any.
pub(super) async fn trial_balance(
    db: &mut SqliteConnection,
    tenant: TenantId,
    of: TrialBalanceQuestion,
) -> Result<Vec<(AccountCode, AccountTotals)>, StoreError> {
    let rows = sqlx::query(TRIAL_BALANCE)
        .bind(tenant.0)
        .bind(of.currency.code().to_owned())
        .bind(of.layer.as_str())
        .bind(of.as_of.to_string());
    let mut accounts: BTreeMap<AccountCode, AccountTotals> = BTreeMap::new();
    for row in &rows.fetch_all(db).await.map_err(store_error)? {
        let too_much = || broken("a total leaves 128 bits");
        let totals = accounts.entry(account(row, "account")?).or_default();
        totals.debits = totals.debits.checked_add(sum(row, "debits")?).ok_or_else(too_much)?;
        totals.credits = totals.credits.checked_add(sum(row, "credits")?).ok_or_else(too_much)?;
    }
    Ok(accounts.into_iter().collect())
}

/// After which event those begin that were made since an id, and the last event.
pub(super) async fn find_journal(db: &mut SqliteConnection, since: EventId) -> Result<(Seq, Seq), StoreError> {
    let row = sqlx::query(JOURNAL_BEGIN).bind(since.0).fetch_one(db).await.map_err(store_error)?;
    Ok((Seq(get(&row, "first")?), Seq(get(&row, "last")?)))
}

/// The entries of a stretch of events that are booked in a span.
pub(super) async fn journal(
    db: &mut SqliteConnection,
    tenant: TenantId,
    span: JournalSpan,
) -> Result<Vec<EventRecord>, StoreError> {
    let rows = sqlx::query(JOURNAL)
        .bind(tenant.0)
        .bind(span.after.0)
        .bind(span.to.0)
        .bind(span.booked.0.to_string())
        .bind(span.booked.1.to_string());
    decode_records(&rows.fetch_all(db).await.map_err(store_error)?)
}

fn account(row: &SqliteRow, column: &str) -> Result<AccountCode, StoreError> {
    AccountCode::from_number(get(row, column)?).ok_or_else(|| broken(column))
}

fn shown(row: &SqliteRow) -> Result<ShownAccount, StoreError> {
    let normal = NormalBalance::parse(get(row, "normal_balance")?).ok_or_else(|| broken("normal_balance"))?;
    Ok(ShownAccount { account: account(row, "account")?, code: account(row, "code")?, name: get(row, "name")?, normal })
}
