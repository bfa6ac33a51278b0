//! Owns the loan before an imagined event, or those of an imagined group: what posting would be given, read in one
//! snapshot and without a trace.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::SqliteConnection;

use crate::core::event::{AcceptedEvent, NewEvent, NewGroup};
use crate::core::ids::{Seq, TenantId};
use crate::core::ledger::LoanWork;
use crate::core::time::Timestamp;
use crate::store::calendars::CalendarCache;
use crate::store::past::{ImaginedRule, read_histories, read_receipts, read_whole_accruals};
use crate::store::sqlite::error::store_error;
use crate::store::sqlite::params::json;
use crate::store::sqlite::periods;
use crate::store::sqlite::post::loans::{LockedLoan, locked, unopened};
use crate::store::sqlite::post::read::{self, BatchEvents, Pasts, Queue, UNPOSTED_EVENTS, packed_events};
use crate::store::sqlite::post::{earlier, fees, late_fees};
use crate::store::sqlite::rows::{broken, get};
use crate::store::{IMAGINED, LoanAhead, StoreError, imagined, imagined_rule};

/// Whether a loan waits for a person; it may wait before it exists.
pub(in crate::store::sqlite) const LOAN_HELD: &str =
    "SELECT EXISTS (SELECT 1 FROM holds WHERE tenant = ?1 AND loan_key = ?2) AS held";

/// Whether a number belongs to a loan.
pub(in crate::store::sqlite) const NUMBER_TAKEN: &str =
    "SELECT EXISTS (SELECT 1 FROM loans WHERE tenant = ?1 AND loan_number_comparable = ?2) AS taken";

/// The loan of an event that is not accepted, with the events that wait before it.
pub(in crate::store::sqlite) async fn look_ahead(
    db: &mut SqliteConnection,
    event: NewEvent,
    limit: i64,
    now: Timestamp,
) -> Result<LoanAhead, StoreError> {
    of_loan(db, event, (limit, None), now).await
}

/// The same for the legs of a group, by number.
pub(in crate::store::sqlite) async fn look_ahead_group(
    db: &mut SqliteConnection,
    group: &NewGroup,
    limit: i64,
    now: Timestamp,
) -> Result<Vec<LoanAhead>, StoreError> {
    let rule = imagined_rule(&group.parent);
    let mut loans = Vec::with_capacity(group.legs.len());
    for leg in group.legs_at(IMAGINED) {
        loans.push(of_loan(db, leg, (limit, rule), now).await?);
    }
    Ok(loans)
}

async fn of_loan(
    db: &mut SqliteConnection,
    event: NewEvent,
    (limit, rule): (i64, ImaginedRule),
    now: Timestamp,
) -> Result<LoanAhead, StoreError> {
    let (tenant, key) = (event.tenant, event.loan_key);
    let query = sqlx::query(LOAN_HELD).bind(tenant.0).bind(key.bytes().to_vec());
    let waits: bool = get(&query.fetch_one(&mut *db).await.map_err(store_error)?, "held")?;
    let loan = locked(db, [key]).await?.pop();
    let is_ours = |loan: &LockedLoan| loan.state.as_ref().is_some_and(|state| state.tenant == tenant);
    let mut loan = loan.filter(is_ours).unwrap_or_default();
    let refuses = loan.refuses;
    loan.refuses = refuses && !waits;
    let mark = loan.state.map_or(Seq(0), |state| state.last_posted_seq);
    let (mut batch, is_cut) = waiting(db, Queue::new(key, mark), limit).await?;
    batch.events.entry(key).or_default().retain(|waiting| waiting.event.tenant == tenant);
    batch.events.entry(key).or_default().push(imagined(event, now));
    let mut earlier = earlier::read(db, &mut batch).await?;
    // A payment that is taken back brings nobody else's loan: its key is the event's.
    earlier.retain(|loan, _| *loan == key);
    batch.events.retain(|loan, _| *loan == key);
    for events in batch.events.values_mut() {
        events.sort_unstable_by_key(|event| event.seq);
    }
    if loan.state.is_none() {
        loan = opening(db, tenant, batch.events.get(&key).map_or(&[], Vec::as_slice)).await?;
    }
    let loans = BTreeMap::from([(key, loan)]);
    let histories = read_histories(db, batch.asking(&loans), rule).await?;
    let accruals = read_whole_accruals(db, batch.asking(&loans)).await?.remove(&key);
    // Read anew: what lanes remember belongs to a number that only a posting transaction holds still.
    let calendars = periods::calendars(db, &CalendarCache::default(), 0, &BTreeSet::from([tenant])).await?;
    let fees = fees::of_batch(db, &batch, &earlier).await?;
    let receipts = read_receipts(db, batch.asking(&loans)).await?;
    let pasts = Pasts { histories, earlier, fees, receipts, calendars };
    let works = read::loan_works(batch.events, pasts, &loans);
    let mut work: LoanWork = works.into_iter().next().ok_or_else(|| broken("an event without its loan"))?;
    work.past.accruals = accruals;
    work.past.late_fees = Some(late_fees::late_fee_book(db, tenant, key).await?);
    Ok(LoanAhead { now, work, on_hold: waits || refuses, is_cut })
}

/// The events that wait, oldest first, and whether there are more.
async fn waiting(db: &mut SqliteConnection, queue: Queue, limit: i64) -> Result<(BatchEvents, bool), StoreError> {
    let query = sqlx::query(UNPOSTED_EVENTS).bind(json(&[queue])?).bind(limit.saturating_add(1));
    let packed = packed_events(db, query).await?;
    let rows = packed.rows()?;
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut batch = BatchEvents::default();
    for row in rows.iter().take(most) {
        batch.take(row)?;
    }
    Ok((batch, rows.len() > most))
}

/// A loan that is not there as the first waiting event that opens it would make it.
async fn opening(
    db: &mut SqliteConnection,
    tenant: TenantId,
    events: &[AcceptedEvent],
) -> Result<LockedLoan, StoreError> {
    let Some(first) = events.iter().find(|event| event.event.command.opens_loan()) else {
        return Ok(LockedLoan::default());
    };
    let number_taken = match first.event.command.loan_number() {
        None => false,
        Some(number) => {
            let query = sqlx::query(NUMBER_TAKEN).bind(tenant.0).bind(number.comparable().to_owned());
            get(&query.fetch_one(db).await.map_err(store_error)?, "taken")?
        }
    };
    let state = (!number_taken).then(|| unopened(first));
    Ok(LockedLoan { state, opening: Some(first.clone()), number_taken, refuses: false })
}
