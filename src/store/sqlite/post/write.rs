//! Owns the writes of a batch. Every statement's rows are counted: fewer than given means that somebody else posted.

use std::collections::{BTreeMap, HashMap, HashSet};

use futures::TryStreamExt as _;
use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Executor, Sqlite, SqliteConnection};

use crate::core::event::AcceptedEvent;
use crate::core::ids::{EventId, LoanKey, Seq, TenantId};
use crate::core::ledger::{FoldOutput, GroupOutput, Posting, SystemPosting};
use crate::core::loan::LoanState;
use crate::core::time::Timestamp;
use crate::store::StoreError;
use crate::store::sqlite::accept::insert_events;
use crate::store::sqlite::error::store_error;
use crate::store::sqlite::params::{ChangeRow, EventRow, LoanChange, PostingRow, json, loan_keys, seqs};
use crate::store::sqlite::post::loans::{DELETE_UNOPENED, LockedLoan};
use crate::store::sqlite::post::totals::Totals;
use crate::store::sqlite::post::{event_of, greatest_seqs};
use crate::store::sqlite::rows::{broken, get, id};
use crate::store::sqlite::values::{ManyRows, ROWS_MAX, Values};

/// What every batch writes, in one crossing to SQLite's thread. Parameters without numbers, because sqlx hands them out
/// over the statements in turn. `OR ROLLBACK` as at the intake.
pub(in crate::store::sqlite) const WRITE_BATCH: &str = "
    -- The key of postings is the inbox: an event is posted once.
    INSERT OR ROLLBACK INTO postings (event_seq, loan_key, loan_version, outcome, rejection_code, accounts, amounts,
        layer, alloc_fees, alloc_interest, alloc_principal, alloc_suspense, undoes_seq, restates_seq, effective_date,
        booking_date, posted_at, chain_hash)
    SELECT * FROM (VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?))
    WHERE column1 IS NOT NULL
    ON CONFLICT (event_seq) DO NOTHING;

    UPDATE OR ROLLBACK loans SET program_id = change.column2, status = change.column3, fees = change.column4,
        interest = change.column5, principal = change.column6, suspense = change.column7, waterfall = change.column8,
        version = change.column9, last_posted_seq = change.column10, greatest_effective_date = change.column11,
        last_posted_at = change.column12, chain_head = change.column13
    FROM (VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)) AS change
    WHERE loans.loan_key = change.column1;

    INSERT OR ROLLBACK INTO changes (tenant, epoch, seqs)
    SELECT unhex(value ->> 'tenant'), (SELECT number FROM epoch), value ->> 'seqs' FROM jsonb_each(?);

    -- The sums come whole: 128 bits are added up in Rust, by the one writer.
    INSERT OR ROLLBACK INTO account_totals (tenant, account, currency, layer, booking_date, lane_slot, debits, credits)
    SELECT unhex(value ->> 'tenant'), value ->> 'account', value ->> 'currency', value ->> 'layer',
        value ->> 'booking_date', ?, value ->> 'debits', value ->> 'credits'
    FROM jsonb_each(?) WHERE true
    ON CONFLICT (tenant, account, currency, layer, booking_date, lane_slot)
    DO UPDATE SET debits = excluded.debits, credits = excluded.credits";
static WRITE_MANY: ManyRows = ManyRows::new(WRITE_BATCH);

/// Consequences: events of our own, born finished.
pub(in crate::store::sqlite) const APPEND_SYSTEM_EVENTS: &str = concat!(insert_events!(), " RETURNING seq, id");
static APPEND_MANY: ManyRows = ManyRows::new(APPEND_SYSTEM_EVENTS);

/// A failed event that was posted after all.
pub(in crate::store::sqlite) const UNPARK_POSTED: &str =
    "DELETE FROM parked WHERE event_seq IN (SELECT value FROM jsonb_each(?1))";

/// Writes what the fold made; answers the posted events in its order.
pub(super) async fn write(
    db: &mut SqliteConnection,
    output: &FoldOutput,
    events: &BTreeMap<Seq, AcceptedEvent>,
    loans: &BTreeMap<LoanKey, LockedLoan>,
    (lane_slot, now): (i16, Timestamp),
) -> Result<Vec<(AcceptedEvent, Posting)>, StoreError> {
    let system = append_system_events(db, &output.system, now).await?;
    let mut rows = Vec::with_capacity(output.postings.len());
    let mut totals = Totals::default();
    let mut changes: BTreeMap<TenantId, Vec<Seq>> = BTreeMap::new();
    let mut posted = Vec::with_capacity(output.postings.len());
    for done in &output.postings {
        let event = event_of(events, done.seq)?;
        rows.push(PostingRow(done.seq, &done.posting));
        totals.add(&event.event, &done.posting)?;
        changes.entry(event.event.tenant).or_default().push(done.seq);
        posted.push((event.clone(), done.posting.clone()));
    }
    add_system(&system, &output.system, &mut rows, &mut totals, &mut changes)?;
    if !rows.is_empty() {
        flush(db, &rows, &loan_changes(output, loans), &changes, (&mut totals, lane_slot)).await?;
    }
    totals.write_batch_totals(db, lane_slot).await?;
    delete_unopened(db, &output.states, loans).await?;
    Ok(posted)
}

fn add_system<'s>(
    seqs: &HashMap<EventId, Seq>,
    system: &'s [SystemPosting],
    rows: &mut Vec<PostingRow<'s>>,
    totals: &mut Totals,
    changes: &mut BTreeMap<TenantId, Vec<Seq>>,
) -> Result<(), StoreError> {
    for done in system {
        let seq = *seqs.get(&done.event.id).ok_or_else(|| broken("a system event got no number"))?;
        rows.push(PostingRow(seq, &done.posting));
        totals.add(&done.event, &done.posting)?;
        changes.entry(done.event.tenant).or_default().push(seq);
    }
    Ok(())
}

/// Writes the legs of a group, and of the parent that it has come to its end; answers the legs in order.
pub(in crate::store::sqlite) async fn write_legs(
    db: &mut SqliteConnection,
    (parent, events): (&AcceptedEvent, &BTreeMap<Seq, AcceptedEvent>),
    output: &GroupOutput,
    loans: &BTreeMap<LoanKey, LockedLoan>,
    (lane_slot, now): (i16, Timestamp),
) -> Result<Vec<(AcceptedEvent, Posting)>, StoreError> {
    let system = append_system_events(db, &output.system, now).await?;
    let mut rows = Vec::with_capacity(output.legs.len());
    let mut totals = Totals::default();
    let mut changes = BTreeMap::from([(parent.event.tenant, vec![parent.seq])]);
    let mut posted = Vec::with_capacity(output.legs.len());
    for done in &output.legs {
        let event = event_of(events, done.seq)?;
        rows.push(PostingRow(done.seq, &done.posting));
        totals.add(&event.event, &done.posting)?;
        changes.entry(event.event.tenant).or_default().push(done.seq);
        posted.push((event.clone(), done.posting.clone()));
    }
    add_system(&system, &output.system, &mut rows, &mut totals, &mut changes)?;
    let loans_after: Vec<LoanChange<'_>> =
        output.states.iter().map(|state| LoanChange { state, last_posted_seq: state.last_posted_seq }).collect();
    flush(db, &rows, &loans_after, &changes, (&mut totals, lane_slot)).await?;
    delete_unopened(db, &output.states, loans).await?;
    Ok(posted)
}

async fn flush(
    db: &mut SqliteConnection,
    rows: &[PostingRow<'_>],
    loans: &[LoanChange<'_>],
    changes: &BTreeMap<TenantId, Vec<Seq>>,
    (totals, lane_slot): (&mut Totals, i16),
) -> Result<(), StoreError> {
    let changes: Vec<ChangeRow> =
        changes.iter().map(|(tenant, seqs)| ChangeRow::new(*tenant, seqs)).collect::<Result<_, _>>()?;
    let account_totals = totals.account_totals(db, lane_slot).await?;
    let (mut rows, mut loans) = (rows.chunks(ROWS_MAX), loans.chunks(ROWS_MAX));
    // What comes once goes with the first rows.
    let mut once = Some((changes, account_totals));
    loop {
        let (rows, loans) = (rows.next().unwrap_or_default(), loans.next().unwrap_or_default());
        if rows.is_empty() && loans.is_empty() && once.is_none() {
            return Ok(());
        }
        let (changes, account_totals) = once.take().unwrap_or_else(|| (Vec::new(), "[]".to_owned()));
        let (text, size) = WRITE_MANY.text(rows.len().max(loans.len()));
        let mut values = Values::default();
        values.add_rows(rows.iter().copied(), size)?;
        values.add_rows(loans.iter().copied(), size)?;
        values.add(json(&changes)?)?;
        values.add(lane_slot)?;
        values.add(account_totals)?;
        let script = sqlx::query_with(text, values.into_arguments());
        expect_rows(db, script, &[rows.len(), loans.len(), changes.len()]).await?;
    }
}

/// Forgets the failures of events that are posted now.
pub(in crate::store::sqlite) async fn unpark(
    db: &mut SqliteConnection,
    failed_before: &[Seq],
    posted: &[(AcceptedEvent, Posting)],
) -> Result<(), StoreError> {
    if failed_before.is_empty() {
        return Ok(());
    }
    let posted: HashSet<Seq> = posted.iter().map(|(event, _)| event.seq).collect();
    let healed = seqs(failed_before.iter().copied().filter(|seq| posted.contains(seq)))?;
    sqlx::query(UNPARK_POSTED).bind(healed).execute(db).await.map_err(store_error)?;
    Ok(())
}

async fn append_system_events(
    db: &mut SqliteConnection,
    system: &[SystemPosting],
    now: Timestamp,
) -> Result<HashMap<EventId, Seq>, StoreError> {
    if system.is_empty() {
        return Ok(HashMap::new());
    }
    let mut seqs = HashMap::with_capacity(system.len());
    for system in system.chunks(ROWS_MAX) {
        let (text, size) = APPEND_MANY.text(system.len());
        let mut values = Values::default();
        values.add_rows(system.iter().map(|done| EventRow { event: &done.event, accepted_at: now }), size)?;
        let insert = sqlx::query_with(text, values.into_arguments());
        for row in &insert.fetch_all(&mut *db).await.map_err(store_error)? {
            seqs.insert(EventId(id(row, "id")?), Seq(get(row, "seq")?));
        }
    }
    Ok(seqs)
}

fn loan_changes<'o>(output: &'o FoldOutput, loans: &BTreeMap<LoanKey, LockedLoan>) -> Vec<LoanChange<'o>> {
    let greatest = greatest_seqs(output);
    output
        .states
        .iter()
        .map(|state| {
            let before = loans.get(&state.key).and_then(|loan| loan.state.as_ref());
            let before = before.map_or(Seq(0), |before| before.last_posted_seq);
            let now = greatest.get(&state.key).copied().unwrap_or_default();
            LoanChange { state, last_posted_seq: before.max(now) }
        })
        .collect()
}

/// Loans that this transaction inserted and nothing opened.
pub(in crate::store::sqlite) async fn delete_unopened(
    db: &mut SqliteConnection,
    states: &[LoanState],
    loans: &BTreeMap<LoanKey, LockedLoan>,
) -> Result<(), StoreError> {
    let opened: HashSet<LoanKey> = states.iter().map(|state| state.key).collect();
    let unopened: Vec<LoanKey> = loans
        .iter()
        .filter(|(key, loan)| loan.opening.is_some() && !loan.number_taken && !opened.contains(key))
        .map(|(key, _)| *key)
        .collect();
    if !unopened.is_empty() {
        sqlx::query(DELETE_UNOPENED).bind(loan_keys(unopened)?).execute(db).await.map_err(store_error)?;
    }
    Ok(())
}

/// Runs the script; its first statements must write as many rows as they were given.
async fn expect_rows(
    db: &mut SqliteConnection,
    script: Query<'_, Sqlite, SqliteArguments>,
    expected: &[usize],
) -> Result<(), StoreError> {
    let mut done = Executor::fetch_many(db, script);
    let mut expected = expected.iter();
    while let Some(step) = done.try_next().await.map_err(store_error)? {
        let (Some(result), Some(expected)) = (step.left(), expected.next()) else { continue };
        let written = result.rows_affected();
        if u64::try_from(*expected).is_ok_and(|expected| expected != written) {
            return Err(StoreError::Retry(format!("{written} rows written, {expected} expected").into()));
        }
    }
    Ok(())
}
