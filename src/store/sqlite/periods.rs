//! Owns the statements of accounting periods. The one writer closes them between two posting transactions.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use crate::core::ids::TenantId;
use crate::core::ledger::{Calendar, ClosedPeriodRule, Period};
use crate::core::time::Timestamp;
use crate::store::calendars::{CalendarCache, Calendars};
use crate::store::sqlite::error::store_error;
use crate::store::sqlite::params::{hex_id, json};
use crate::store::sqlite::rows::{broken, date, get, instant, tenant as tenant_of, word};
use crate::store::sqlite::uploads;
use crate::store::{
    OperationDone, PeriodChange, PeriodRecord, RowCounts, StoreError, UploadBegun, UploadEnd, UploadHold,
};

/// The number of the last change of any calendar. A macro, because it stands in a statement.
macro_rules! calendar_version {
    () => {
        "(SELECT version FROM calendar_version) AS calendar_version"
    };
}

pub(super) use calendar_version;

pub(super) const SET_PERIOD: &str = "
    INSERT INTO periods (tenant, month, status, reason, actor, changed_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
    ON CONFLICT (tenant, month) DO UPDATE SET status = excluded.status, reason = excluded.reason,
        actor = excluded.actor, changed_at = excluded.changed_at";

pub(super) const RAISE_VERSION: &str = "UPDATE calendar_version SET version = version + 1";

pub(super) const SET_RULE: &str = "UPDATE tenants SET closed_periods = ?2 WHERE id = ?1";

pub(super) const RULE: &str = "SELECT closed_periods FROM tenants WHERE id = ?1";

pub(super) const PERIODS: &str =
    "SELECT month, status, reason, actor, changed_at FROM periods WHERE tenant = ?1 ORDER BY month";

/// The closed months of some tenants, with what becomes of events dated in them.
pub(super) const CALENDARS: &str = "
    SELECT p.tenant, t.closed_periods, p.month
    FROM jsonb_each(?1) AS asked
    JOIN tenants AS t ON t.id = unhex(asked.value)
    JOIN periods AS p ON p.tenant = t.id AND p.status = 'closed'";

/// Closes a period or opens it again.
pub(super) async fn change(
    db: &mut SqliteConnection,
    change: PeriodChange,
    now: Timestamp,
) -> Result<OperationDone, StoreError> {
    let PeriodChange { operation, period, status, reason, answer } = change;
    let (tenant, actor, holder) = (operation.event.tenant, operation.event.actor.clone(), operation.holder);
    let record = match uploads::begin(db, operation, now).await? {
        UploadBegun::New(record) | UploadBegun::Resumed(record) => record,
        known @ (UploadBegun::Busy(_) | UploadBegun::Complete(_) | UploadBegun::Taken(_)) => {
            return Ok(OperationDone::Known(known));
        }
    };
    let set = sqlx::query(SET_PERIOD).bind(tenant.0).bind(period.first_day().to_string()).bind(status.as_str());
    set.bind(reason).bind(actor).bind(now.micros()).execute(&mut *db).await.map_err(store_error)?;
    sqlx::query(RAISE_VERSION).execute(&mut *db).await.map_err(store_error)?;
    let end = UploadEnd { rows: RowCounts::default(), fingerprint: [0; 32], answer };
    if uploads::finish(db, UploadHold { id: record.id, holder }, end, now).await? {
        Ok(OperationDone::Done(record.id))
    } else {
        Err(broken("an operation could not be ended"))
    }
}

/// Says what becomes of events dated in a closed period.
pub(super) async fn set_rule(
    db: &mut SqliteConnection,
    tenant: TenantId,
    rule: ClosedPeriodRule,
) -> Result<bool, StoreError> {
    let set = sqlx::query(SET_RULE).bind(tenant.0).bind(rule.as_str());
    let is_set = set.execute(&mut *db).await.map_err(store_error)?.rows_affected() == 1;
    sqlx::query(RAISE_VERSION).execute(db).await.map_err(store_error)?;
    Ok(is_set)
}

/// A tenant's periods that were ever closed.
pub(super) async fn periods(
    db: &mut SqliteConnection,
    tenant: TenantId,
) -> Result<(ClosedPeriodRule, Vec<PeriodRecord>), StoreError> {
    let rule = sqlx::query(RULE).bind(tenant.0).fetch_optional(&mut *db).await.map_err(store_error)?;
    let rule = rule.as_ref().map(|row| word(row, "closed_periods")).transpose()?.unwrap_or_default();
    let rows = sqlx::query(PERIODS).bind(tenant.0).fetch_all(db).await.map_err(store_error)?;
    Ok((rule, rows.iter().map(period).collect::<Result<_, _>>()?))
}

fn period(row: &SqliteRow) -> Result<PeriodRecord, StoreError> {
    Ok(PeriodRecord {
        period: Period::of(date(row, "month")?),
        status: word(row, "status")?,
        reason: get(row, "reason")?,
        actor: get(row, "actor")?,
        changed_at: instant(row, "changed_at")?,
    })
}

/// The calendars of these tenants under the number that the transaction has read: no statement where they are known.
pub(super) async fn calendars(
    db: &mut SqliteConnection,
    cache: &CalendarCache,
    version: i64,
    tenants: &BTreeSet<TenantId>,
) -> Result<Calendars, StoreError> {
    let (mut calendars, unknown) = cache.known(version, tenants);
    if unknown.is_empty() {
        return Ok(calendars);
    }
    let ids: Vec<_> = unknown.iter().map(|tenant| hex_id(tenant.0)).collect();
    let rows = sqlx::query(CALENDARS).bind(json(&ids)?).fetch_all(db).await.map_err(store_error)?;
    let mut closed: BTreeMap<TenantId, (ClosedPeriodRule, Vec<Period>)> = BTreeMap::new();
    for row in &rows {
        let rule = word(row, "closed_periods")?;
        let months = &mut closed.entry(tenant_of(row)?).or_insert_with(|| (rule, Vec::new())).1;
        months.push(Period::of(date(row, "month")?));
    }
    calendars.extend(closed.into_iter().map(|(tenant, (rule, months))| (tenant, Calendar::new(rule, months))));
    cache.learn(version, &unknown, &calendars);
    Ok(calendars)
}
