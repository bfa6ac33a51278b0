//! Owns the writes of a batch. Every statement's rows are counted: fewer than given means that somebody else posted.

use std::collections::{BTreeMap, HashMap, HashSet};

use sqlx::SqliteConnection;

use crate::core::event::AcceptedEvent;
use crate::core::ids::{EventId, LoanKey, Seq, TenantId};
use crate::core::ledger::{FoldOutput, Posting};
use crate::core::time::Timestamp;
use crate::store::StoreError;
use crate::store::sqlite::accept::insert_events;
use crate::store::sqlite::error::store_error;
use crate::store::sqlite::params::{ChangeRow, EventRow, LoanChange, PostingRow, json, loan_keys, seqs};
use crate::store::sqlite::post::loans::{DELETE_UNOPENED, LockedLoan};
use crate::store::sqlite::post::totals::Totals;
use crate::store::sqlite::post::{event_of, greatest_seqs};
use crate::store::sqlite::rows::{broken, get, id};

/// The key of `postings` is the inbox: an event is posted once. `OR ROLLBACK` as at the intake.
pub(in crate::store::sqlite) const INSERT_POSTINGS: &str = "
    INSERT OR ROLLBACK INTO postings (event_seq, loan_key, loan_version, outcome, rejection_code, accounts, amounts, layer,
        alloc_fees, alloc_interest, alloc_principal, alloc_suspense, undoes_seq, restates_seq,
        effective_date, booking_date, posted_at, chain_hash)
    SELECT value ->> 'event_seq', unhex(value ->> 'loan_key'), value ->> 'loan_version', value ->> 'outcome',
        value ->> 'rejection_code', value ->> 'accounts', value ->> 'amounts', value ->> 'layer',
        value ->> 'alloc_fees', value ->> 'alloc_interest', value ->> 'alloc_principal',
        value ->> 'alloc_suspense', value ->> 'undoes_seq', value ->> 'restates_seq',
        value ->> 'effective_date', value ->> 'booking_date', value ->> 'posted_at', unhex(value ->> 'chain_hash')
    FROM jsonb_each(?1) WHERE true
    ON CONFLICT (event_seq) DO NOTHING";

/// Consequences: events of our own, born finished.
pub(in crate::store::sqlite) const APPEND_SYSTEM_EVENTS: &str = concat!(insert_events!(), " RETURNING seq, id");

pub(in crate::store::sqlite) const UPDATE_LOANS: &str = "
    UPDATE OR ROLLBACK loans SET program_id = unhex(change.value ->> 'program_id'), status = change.value ->> 'status',
        fees = change.value ->> 'fees', interest = change.value ->> 'interest',
        principal = change.value ->> 'principal', suspense = change.value ->> 'suspense',
        waterfall = change.value ->> 'waterfall', version = change.value ->> 'version',
        last_posted_seq = change.value ->> 'last_posted_seq',
        greatest_effective_date = change.value ->> 'greatest_effective_date',
        last_posted_at = change.value ->> 'last_posted_at', chain_head = unhex(change.value ->> 'chain_head')
    FROM jsonb_each(?1) AS change
    WHERE loans.loan_key = unhex(change.value ->> 'loan_key')";

pub(in crate::store::sqlite) const INSERT_CHANGES: &str = "
    INSERT INTO changes (tenant, epoch, seqs)
    SELECT unhex(value ->> 'tenant'), (SELECT number FROM epoch), value ->> 'seqs' FROM jsonb_each(?1)";

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
    let system = append_system_events(db, output, now).await?;
    let mut rows = Vec::with_capacity(output.postings.len());
    let mut totals = Totals::default();
    let mut changes: BTreeMap<TenantId, Vec<Seq>> = BTreeMap::new();
    let mut posted = Vec::with_capacity(output.postings.len());
    for done in &output.postings {
        let event = event_of(events, done.seq)?;
        rows.push(PostingRow::new(done.seq, &done.posting));
        totals.add(&event.event, &done.posting)?;
        changes.entry(event.event.tenant).or_default().push(done.seq);
        posted.push((event.clone(), done.posting.clone()));
    }
    for done in &output.system {
        let seq = *system.get(&done.event.id).ok_or_else(|| broken("a system event got no number"))?;
        rows.push(PostingRow::new(seq, &done.posting));
        totals.add(&done.event, &done.posting)?;
        changes.entry(done.event.tenant).or_default().push(seq);
    }
    if !rows.is_empty() {
        expect_rows(db, INSERT_POSTINGS, json(&rows)?, rows.len()).await?;
    }
    update_loans(db, output, loans).await?;
    totals.write(db, lane_slot).await?;
    let changes: Vec<ChangeRow> =
        changes.iter().map(|(tenant, seqs)| ChangeRow::new(*tenant, seqs)).collect::<Result<_, _>>()?;
    if !changes.is_empty() {
        expect_rows(db, INSERT_CHANGES, json(&changes)?, changes.len()).await?;
    }
    Ok(posted)
}

/// Forgets the failures of events that are posted now.
pub(super) async fn unpark(
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
    output: &FoldOutput,
    now: Timestamp,
) -> Result<HashMap<EventId, Seq>, StoreError> {
    if output.system.is_empty() {
        return Ok(HashMap::new());
    }
    let rows: Vec<EventRow> = output.system.iter().map(|done| EventRow::from(&done.event)).collect();
    let insert = sqlx::query(APPEND_SYSTEM_EVENTS).bind(json(&rows)?).bind(now.micros());
    let rows = insert.fetch_all(db).await.map_err(store_error)?;
    rows.iter().map(|row| Ok((EventId(id(row, "id")?), Seq(get(row, "seq")?)))).collect()
}

async fn update_loans(
    db: &mut SqliteConnection,
    output: &FoldOutput,
    loans: &BTreeMap<LoanKey, LockedLoan>,
) -> Result<(), StoreError> {
    let greatest = greatest_seqs(output);
    let changes: Vec<LoanChange> = output
        .states
        .iter()
        .map(|state| {
            let before = loans.get(&state.key).and_then(|loan| loan.state.as_ref());
            let before = before.map_or(Seq(0), |before| before.last_posted_seq);
            let now = greatest.get(&state.key).copied().unwrap_or_default();
            LoanChange::new(state, before.max(now))
        })
        .collect();
    if !changes.is_empty() {
        expect_rows(db, UPDATE_LOANS, json(&changes)?, changes.len()).await?;
    }
    let opened: HashSet<LoanKey> = output.states.iter().map(|state| state.key).collect();
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

async fn expect_rows(
    db: &mut SqliteConnection,
    statement: &'static str,
    rows: String,
    expected: usize,
) -> Result<(), StoreError> {
    let written = sqlx::query(statement).bind(rows).execute(db).await.map_err(store_error)?.rows_affected();
    if u64::try_from(expected).is_ok_and(|expected| expected == written) {
        return Ok(());
    }
    Err(StoreError::Retry(format!("{written} rows written, {expected} expected").into()))
}
