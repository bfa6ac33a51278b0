//! Owns the loan before an imagined event, or those of an imagined group: what posting would be given, read in one
//! snapshot, without a lock and without a trace.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::{Connection, PgConnection};

use super::lock::unopened;
use super::read::READ_UNPOSTED_EVENTS;
use super::{earlier, fees, history, late_fees};
use crate::core::event::{AcceptedEvent, NewEvent, NewGroup};
use crate::core::ids::{LoanKey, Seq, TenantId};
use crate::core::ledger::{LoanWork, Past, RejectionCode};
use crate::core::loan::LoanState;
use crate::store::calendars::CalendarCache;
use crate::store::past::ImaginedRule;
use crate::store::postgres::connect::{PostgresStore, finish};
use crate::store::postgres::error::classify;
use crate::store::postgres::periods;
use crate::store::postgres::rows::{self, Columns, key_column, loan_columns};
use crate::store::{IMAGINED, LoanAhead, StoreError, imagined, imagined_rule};

const SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// The clock, whether a loan waits for a person, and whether its hold refuses; it may wait before it exists.
const CLOCK_AND_HOLD: &str = "SELECT clock_timestamp(), \
     EXISTS (SELECT FROM holds h WHERE h.tenant = $1 AND h.loan_key = $2), \
     EXISTS (SELECT FROM refusing_holds r WHERE r.tenant = $1 AND r.loan_key = $2)";

/// The loan as it stands.
const LOAN_OF_KEY: &str = concat!("SELECT ", loan_columns!(), " FROM loans WHERE tenant = $1 AND loan_key = $2");

/// Whether a number belongs to a loan.
const NUMBER_IS_TAKEN: &str =
    "SELECT EXISTS (SELECT FROM loans l WHERE l.tenant = $1 AND l.loan_number_comparable = $2)";

/// The statements of this module.
pub(in crate::store::postgres) const STATEMENTS: [(&str, &str); 3] =
    [("clock_and_hold", CLOCK_AND_HOLD), ("loan_of_key", LOAN_OF_KEY), ("number_is_taken", NUMBER_IS_TAKEN)];

impl PostgresStore {
    pub(in crate::store::postgres) async fn read_ahead(
        &self,
        event: NewEvent,
        limit: i64,
    ) -> Result<LoanAhead, StoreError> {
        let mut connection = self.connection().await?;
        let mut transaction = connection.begin_with(SNAPSHOT).await.map_err(classify)?;
        let ahead = look_ahead(&mut transaction, event, (limit, None)).await;
        finish(transaction, ahead).await
    }

    pub(in crate::store::postgres) async fn read_group_ahead(
        &self,
        group: NewGroup,
        limit: i64,
    ) -> Result<Vec<LoanAhead>, StoreError> {
        let mut connection = self.connection().await?;
        let mut transaction = connection.begin_with(SNAPSHOT).await.map_err(classify)?;
        let ahead = look_ahead_group(&mut transaction, &group, limit).await;
        finish(transaction, ahead).await
    }
}

async fn look_ahead_group(
    connection: &mut PgConnection,
    group: &NewGroup,
    limit: i64,
) -> Result<Vec<LoanAhead>, StoreError> {
    let rule = imagined_rule(&group.parent);
    let mut loans = Vec::with_capacity(group.legs.len());
    for leg in group.legs_at(IMAGINED) {
        loans.push(look_ahead(connection, leg, (limit, rule)).await?);
    }
    Ok(loans)
}

async fn look_ahead(
    connection: &mut PgConnection,
    event: NewEvent,
    (limit, rule): (i64, ImaginedRule),
) -> Result<LoanAhead, StoreError> {
    let (tenant, key) = (event.tenant, event.loan_key);
    let query = sqlx::query(CLOCK_AND_HOLD).bind(tenant.0).bind(key_column(key));
    let row = query.fetch_one(&mut *connection).await.map_err(classify)?;
    let mut columns = Columns::of(&row);
    let (now, waits, refuses): (_, bool, bool) = (columns.instant()?, columns.take()?, columns.take()?);
    let query = sqlx::query(LOAN_OF_KEY).bind(tenant.0).bind(key_column(key));
    let row = query.fetch_optional(&mut *connection).await.map_err(classify)?;
    let state = row.map(|row| rows::loan(&mut Columns::of(&row))).transpose()?.map(|loan| loan.state);
    let (mut events, is_cut) = waiting(connection, key, state.as_ref(), limit).await?;
    events.retain(|waiting| waiting.event.tenant == tenant);
    events.push(imagined(event, now));
    let mut by_loan = BTreeMap::from([(key, events)]);
    let earlier_events = earlier::read(connection, &mut by_loan).await?.remove(&key).unwrap_or_default();
    let mut events = by_loan.remove(&key).unwrap_or_default();
    events.sort_unstable_by_key(|event| event.seq);
    let (state, number_taken) = match state {
        Some(state) => (Some(state), false),
        None => opening(connection, tenant, &events).await?,
    };
    // Read anew: what lanes remember belongs to a number that only a posting transaction holds still.
    let calendars = periods::calendars(connection, &CalendarCache::default(), 0, &BTreeSet::from([tenant])).await?;
    let calendar = calendars.get(&tenant).cloned().unwrap_or_default();
    let refusal = (refuses && !waits).then_some(RejectionCode::LoanOnHold);
    let past = Past { earlier: earlier_events, calendar, refusal, ..Past::default() };
    let mut loans = [LoanWork { key, state, number_taken, past, events }];
    history::add_histories(connection, &mut loans, rule).await?;
    history::add_whole_accruals(connection, &mut loans).await?;
    fees::add_fees(connection, &mut loans).await?;
    history::add_receipts(connection, &mut loans).await?;
    let [mut work] = loans;
    late_fees::add_late_fees(connection, tenant, &mut work).await?;
    Ok(LoanAhead { now, work, on_hold: waits || refuses, is_cut })
}

/// The events that wait, oldest first, and whether there are more.
async fn waiting(
    connection: &mut PgConnection,
    key: LoanKey,
    state: Option<&LoanState>,
    limit: i64,
) -> Result<(Vec<AcceptedEvent>, bool), StoreError> {
    let mark = state.map_or(Seq(0), |state| state.last_posted_seq);
    let query = sqlx::query(READ_UNPOSTED_EVENTS)
        .bind(vec![key_column(key)])
        .bind(vec![mark.0])
        .bind(limit.saturating_add(1))
        .bind(Vec::<i64>::new());
    let rows = query.fetch_all(connection).await.map_err(classify)?;
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let events = rows.iter().take(most).map(|row| rows::event(&mut Columns::of(row)));
    Ok((events.collect::<Result<_, _>>()?, rows.len() > most))
}

/// A loan that is not there as the first waiting event that opens it would make it, and whether its number belongs to
/// another.
async fn opening(
    connection: &mut PgConnection,
    tenant: TenantId,
    events: &[AcceptedEvent],
) -> Result<(Option<LoanState>, bool), StoreError> {
    let Some(first) = events.iter().find(|event| event.event.command.opens_loan()) else {
        return Ok((None, false));
    };
    if let Some(number) = first.event.command.loan_number() {
        let query = sqlx::query(NUMBER_IS_TAKEN).bind(tenant.0).bind(number.comparable().to_owned());
        let row = query.fetch_one(connection).await.map_err(classify)?;
        if Columns::of(&row).take()? {
            return Ok((None, true));
        }
    }
    Ok((Some(unopened(first)), false))
}
