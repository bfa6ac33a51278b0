//! Owns the statements of accounting periods, and the lock that keeps postings out of a month while it is closed.
//!
//! Every posting transaction holds the lock of `periods_lock!` shared, taken when it locks or looks at its loans, and reads the calendar in
//! the statement after: under READ COMMITTED that one sees every change committed before the lock was got. A change holds
//! the lock alone. So a posting transaction sees a period closed, or its close waits for the transaction's commit.

use std::collections::BTreeSet;

use sqlx::postgres::PgRow;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use super::connect::{PostgresStore, finish};
use super::error::classify;
use super::rows::{Columns, broken};
use super::uploads::{end_upload, open};
use crate::core::ids::TenantId;
use crate::core::ledger::{Calendar, ClosedPeriodRule, Period, PeriodStatus};
use crate::store::calendars::{CalendarCache, Calendars};
use crate::store::{
    OperationDone, PeriodChange, PeriodRecord, RowCounts, StoreError, UploadBegun, UploadEnd, UploadHold,
};

/// The number of the lock. A macro, because it stands in statements.
macro_rules! periods_lock {
    () => {
        "7521418800001"
    };
}

/// Takes the lock shared, once a statement, whatever the number of its rows; costs under a microsecond. A statement
/// without a row does not take it: then there is nothing to book.
macro_rules! share_periods {
    () => {
        concat!("(SELECT pg_advisory_xact_lock_shared(", $crate::store::postgres::periods::periods_lock!(), "))")
    };
}

/// The number of the last change of any calendar.
macro_rules! calendar_version {
    () => {
        "(SELECT version FROM calendar_version WHERE only_row)"
    };
}

pub(super) use {calendar_version, periods_lock, share_periods};

const LOCK_PERIODS: &str = concat!("SELECT pg_advisory_xact_lock(", periods_lock!(), ")");

const SET_PERIOD: &str = "INSERT INTO periods (tenant, month, status, reason, actor, changed_at) \
     VALUES ($1, $2, $3, $4, $5, clock_timestamp()) ON CONFLICT (tenant, month) DO UPDATE \
     SET status = excluded.status, reason = excluded.reason, actor = excluded.actor, changed_at = excluded.changed_at";

const RAISE_VERSION: &str = "UPDATE calendar_version SET version = version + 1 WHERE only_row";

const SET_RULE: &str = "UPDATE tenants SET closed_periods = $2 WHERE id = $1";

const READ_RULE: &str = "SELECT closed_periods FROM tenants WHERE id = $1";

const READ_PERIODS: &str =
    "SELECT month, status, reason, actor, changed_at FROM periods WHERE tenant = $1 ORDER BY month";

/// The closed months of some tenants, with what becomes of events dated in them.
const READ_CALENDARS: &str = "SELECT t.id, t.closed_periods, array_agg(p.month) \
     FROM unnest($1::uuid[]) AS asked (tenant) JOIN tenants t ON t.id = asked.tenant \
     JOIN periods p ON p.tenant = asked.tenant AND p.status = 'closed' GROUP BY t.id, t.closed_periods";

/// The statements of this module.
pub(super) const STATEMENTS: [(&str, &str); 7] = [
    ("lock_periods", LOCK_PERIODS),
    ("set_period", SET_PERIOD),
    ("raise_calendar_version", RAISE_VERSION),
    ("set_closed_period_rule", SET_RULE),
    ("read_closed_period_rule", READ_RULE),
    ("read_periods", READ_PERIODS),
    ("read_calendars", READ_CALENDARS),
];

impl PostgresStore {
    pub(super) async fn set_period(&self, change: PeriodChange) -> Result<OperationDone, StoreError> {
        let mut connection = self.connection().await?;
        let mut transaction = connection.begin_with(super::connect::BEGIN).await.map_err(classify)?;
        match set_period(&mut transaction, &change).await {
            Ok(done @ OperationDone::Done(_)) => finish(transaction, Ok(done)).await,
            Ok(known) => transaction.rollback().await.map_err(classify).map(|()| known),
            Err(error) => finish(transaction, Err(error)).await,
        }
    }

    pub(super) async fn read_periods(
        &self,
        tenant: TenantId,
    ) -> Result<(ClosedPeriodRule, Vec<PeriodRecord>), StoreError> {
        let mut connection = self.connection().await?;
        let rule = sqlx::query(READ_RULE).bind(tenant.0).fetch_optional(&mut *connection).await.map_err(classify)?;
        let rule = rule.as_ref().map(|row| rule_of(&mut Columns::of(row))).transpose()?.unwrap_or_default();
        let rows = sqlx::query(READ_PERIODS).bind(tenant.0).fetch_all(&mut *connection).await.map_err(classify)?;
        Ok((rule, rows.iter().map(period).collect::<Result<_, _>>()?))
    }

    pub(super) async fn set_rule(&self, tenant: TenantId, rule: ClosedPeriodRule) -> Result<bool, StoreError> {
        let mut connection = self.connection().await?;
        let mut transaction = connection.begin_with(super::connect::BEGIN).await.map_err(classify)?;
        let done = set_rule(&mut transaction, tenant, rule).await;
        finish(transaction, done).await
    }
}

async fn set_period(connection: &mut PgConnection, change: &PeriodChange) -> Result<OperationDone, StoreError> {
    // First of all, so that nothing else is held while the postings under way are waited for.
    sqlx::query(LOCK_PERIODS).execute(&mut *connection).await.map_err(classify)?;
    let record = match open(connection, &change.operation).await? {
        UploadBegun::New(record) | UploadBegun::Resumed(record) => record,
        known @ (UploadBegun::Busy(_) | UploadBegun::Complete(_) | UploadBegun::Taken(_)) => {
            return Ok(OperationDone::Known(known));
        }
        UploadBegun::FileTaken(_) | UploadBegun::OtherFile(_) => {
            return Err(StoreError::Broken("a period was taken for a file".to_owned()));
        }
    };
    let event = &change.operation.event;
    let query = sqlx::query(SET_PERIOD)
        .bind(event.tenant.0)
        .bind(change.period.first_day())
        .bind(change.status.as_str())
        .bind(change.reason.as_str())
        .bind(event.actor.as_str());
    query.execute(&mut *connection).await.map_err(classify)?;
    sqlx::query(RAISE_VERSION).execute(&mut *connection).await.map_err(classify)?;
    let end = UploadEnd { rows: RowCounts::default(), fingerprint: [0; 32], answer: change.answer.clone() };
    let hold = UploadHold { id: record.id, holder: change.operation.holder };
    if end_upload(connection, hold, &end).await? {
        Ok(OperationDone::Done(record.id))
    } else {
        Err(StoreError::Broken(format!("operation {} could not be ended", record.id)))
    }
}

async fn set_rule(connection: &mut PgConnection, tenant: TenantId, rule: ClosedPeriodRule) -> Result<bool, StoreError> {
    sqlx::query(LOCK_PERIODS).execute(&mut *connection).await.map_err(classify)?;
    let query = sqlx::query(SET_RULE).bind(tenant.0).bind(rule.as_str());
    let is_set = query.execute(&mut *connection).await.map_err(classify)?.rows_affected() == 1;
    sqlx::query(RAISE_VERSION).execute(connection).await.map_err(classify)?;
    Ok(is_set)
}

/// The calendars of these tenants under the number that the transaction has read: no statement where they are known.
pub(super) async fn calendars(
    connection: &mut PgConnection,
    cache: &CalendarCache,
    version: i64,
    tenants: &BTreeSet<TenantId>,
) -> Result<Calendars, StoreError> {
    let (mut calendars, unknown) = cache.known(version, tenants);
    if unknown.is_empty() {
        return Ok(calendars);
    }
    let ids: Vec<Uuid> = unknown.iter().map(|tenant| tenant.0).collect();
    let rows = sqlx::query(READ_CALENDARS).bind(ids).fetch_all(connection).await.map_err(classify)?;
    for row in &rows {
        let mut columns = Columns::of(row);
        let tenant = TenantId(columns.take()?);
        let rule = rule_of(&mut columns)?;
        let months: Vec<chrono::NaiveDate> = columns.take()?;
        calendars.insert(tenant, Calendar::new(rule, months.into_iter().map(Period::of)));
    }
    cache.learn(version, &unknown, &calendars);
    Ok(calendars)
}

fn rule_of(columns: &mut Columns<'_>) -> Result<ClosedPeriodRule, StoreError> {
    let word: &str = columns.take()?;
    word.parse().map_err(|_| broken("closed_periods", word))
}

fn period(row: &PgRow) -> Result<PeriodRecord, StoreError> {
    let mut columns = Columns::of(row);
    let period = Period::of(columns.take()?);
    let word: &str = columns.take()?;
    let status: PeriodStatus = word.parse().map_err(|_| broken("status", word))?;
    Ok(PeriodRecord { period, status, reason: columns.take()?, actor: columns.take()?, changed_at: columns.instant()? })
}
