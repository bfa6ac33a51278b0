//! Owns the fourth phase: everything a batch writes, in one statement.

use std::collections::HashMap;

use sqlx::PgConnection;

use super::write_columns::{PostingColumns, Sums, bind_loans};
use crate::core::event::{AcceptedEvent, NewEvent};
use crate::core::ids::{EventId, Seq};
use crate::core::ledger::{FoldOutput, GroupOutput, SystemPosting};
use crate::core::loan::LoanState;
use crate::store::postgres::error::{classify, overtaken};
use crate::store::postgres::intake_rows::{EventColumns, new_event_columns, new_events};
use crate::store::postgres::rows::Columns;
use crate::store::{PostedBatch, StoreError};

/// The constraint that says an event is finished already.
const POSTINGS_KEY: &str = "postings_pkey";

/// Appends consequences as events of their own, numbered in the order given. A key that exists already means that
/// somebody else has posted the cause.
const INSERT_SYSTEM_EVENTS: &str = concat!(
    "INSERT INTO events (seq, accepted_at, ",
    new_event_columns!(),
    ") SELECT nextval('events_seq'), (SELECT clock_timestamp()), ",
    new_event_columns!(),
    " FROM (SELECT ",
    new_event_columns!(),
    " FROM ",
    new_events!(),
    " ORDER BY place) AS arrived ON CONFLICT (key_hash) DO NOTHING RETURNING id, seq"
);

/// Writes a batch: about 3 microseconds a posting and 5 a loan, the rest per batch. The counts at the end are taken
/// in the order in which they stand, which makes the lock order: loans (locked before), `account_totals`,
/// `batch_totals`; the ORDER BYs of these two are load-bearing for the same reason.
const WRITE_BATCH: &str = "WITH posted AS (INSERT INTO postings (event_seq, loan_key, loan_version, outcome, \
     rejection_code, accounts, amounts, layer, alloc_fees, alloc_interest, alloc_principal, alloc_suspense, \
     undoes_seq, restates_seq, effective_date, booking_date, posted_at, chain_hash) \
     SELECT event_seq, loan_key, loan_version, outcome, rejection_code, ($19::smallint[])[first:last], \
     ($20::bigint[])[first:last], layer, alloc_fees, alloc_interest, alloc_principal, alloc_suspense, undoes_seq, \
     restates_seq, effective_date, booking_date, posted_at, chain_hash \
     FROM unnest($1::bigint[], $2::uuid[], $3::bigint[], $4::text[], $5::text[], $6::integer[], $7::integer[], \
     $8::text[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[], \
     $15::date[], $16::date[], $17::timestamptz[], $18::bytea[]) AS n (event_seq, loan_key, loan_version, outcome, \
     rejection_code, first, last, layer, alloc_fees, alloc_interest, alloc_principal, alloc_suspense, undoes_seq, \
     restates_seq, effective_date, booking_date, posted_at, chain_hash) RETURNING 1), \
     moved AS (UPDATE loans SET version = n.version, last_posted_seq = n.last_posted_seq, \
     last_posted_at = n.last_posted_at, fees = n.fees, interest = n.interest, principal = n.principal, \
     suspense = n.suspense, greatest_effective_date = n.greatest_effective_date, program_id = n.program_id, \
     status = n.status, waterfall = n.waterfall, chain_head = n.chain_head \
     FROM unnest($21::uuid[], $22::bigint[], $23::bigint[], $24::timestamptz[], $25::bigint[], $26::bigint[], \
     $27::bigint[], $28::bigint[], $29::date[], $30::uuid[], $31::text[], $32::text[], $33::bytea[]) \
     AS n (loan_key, version, last_posted_seq, last_posted_at, fees, interest, principal, suspense, \
     greatest_effective_date, program_id, status, waterfall, chain_head) \
     WHERE loans.loan_key = n.loan_key RETURNING 1), \
     totalled AS (INSERT INTO account_totals (tenant, account, currency, layer, booking_date, lane_slot, debits, \
     credits) SELECT tenant, account, currency, layer, booking_date, $41, debits::numeric, credits::numeric \
     FROM unnest($34::uuid[], $35::smallint[], $36::text[], $37::text[], $38::date[], $39::text[], $40::text[]) \
     AS n (tenant, account, currency, layer, booking_date, debits, credits) \
     ORDER BY tenant, account, currency, layer, booking_date \
     ON CONFLICT (tenant, account, currency, layer, booking_date, lane_slot) \
     DO UPDATE SET debits = account_totals.debits + excluded.debits, \
     credits = account_totals.credits + excluded.credits RETURNING 1), \
     counted AS (INSERT INTO batch_totals (batch_id, outcome, currency, lane_slot, count, amount, last_posted_at) \
     SELECT batch_id, outcome, currency, $41, count, amount::numeric, clock_timestamp() \
     FROM unnest($42::uuid[], $43::text[], $50::text[], $44::bigint[], $45::text[]) \
     AS n (batch_id, outcome, currency, count, amount) \
     ORDER BY batch_id, outcome, currency ON CONFLICT (batch_id, outcome, currency, lane_slot) \
     DO UPDATE SET count = batch_totals.count + excluded.count, amount = batch_totals.amount + excluded.amount, \
     last_posted_at = excluded.last_posted_at RETURNING 1), \
     changed AS (INSERT INTO changes (tenant, epoch, seqs) \
     SELECT tenant, (SELECT number FROM epoch), ($49::bigint[])[first:last] \
     FROM unnest($46::uuid[], $47::integer[], $48::integer[]) AS n (tenant, first, last) RETURNING 1) \
     SELECT (SELECT count(*) FROM posted), (SELECT count(*) FROM moved), (SELECT count(*) FROM totalled), \
     (SELECT count(*) FROM counted), (SELECT count(*) FROM changed)";

/// The statements of this phase.
pub(in crate::store::postgres) const STATEMENTS: [(&str, &str); 2] =
    [("insert_system_events", INSERT_SYSTEM_EVENTS), ("write_batch", WRITE_BATCH)];

/// Writes what the fold made and puts the finished events into `batch`.
pub(super) async fn write(
    connection: &mut PgConnection,
    lane_slot: i16,
    mut events: HashMap<Seq, AcceptedEvent>,
    output: FoldOutput,
    batch: &mut PostedBatch,
) -> Result<(), StoreError> {
    batch.failures = output.failures;
    if output.postings.is_empty() && output.system.is_empty() {
        return Ok(());
    }
    let mut columns = PostingColumns::default();
    let mut sums = Sums::default();
    for posted in output.postings {
        let event = events.remove(&posted.seq);
        let event = event.ok_or_else(|| StoreError::Broken(format!("the fold posted {}, unasked", posted.seq)))?;
        columns.push(posted.seq, &posted.posting)?;
        sums.push(posted.seq, &event.event, &posted.posting);
        batch.posted.push((event, posted.posting));
    }
    let seqs = insert_system_events(connection, &output.system).await?;
    add_system(&seqs, &output.system, &mut columns, &mut sums)?;
    flush(connection, lane_slot, (columns, sums), &output.states).await
}

fn add_system(
    seqs: &HashMap<EventId, Seq>,
    system: &[SystemPosting],
    columns: &mut PostingColumns,
    sums: &mut Sums,
) -> Result<(), StoreError> {
    for system in system {
        let seq = seqs.get(&system.event.id).ok_or_else(|| overtaken("a consequence was there already"))?;
        columns.push(*seq, &system.posting)?;
        sums.push(*seq, &system.event, &system.posting);
    }
    Ok(())
}

/// Writes the legs of a group and puts them into `batch`; of the parent, that it has come to its end.
pub(in crate::store::postgres) async fn write_legs(
    connection: &mut PgConnection,
    lane_slot: i16,
    (parent, mut events): (&AcceptedEvent, HashMap<Seq, AcceptedEvent>),
    output: GroupOutput,
    batch: &mut PostedBatch,
) -> Result<(), StoreError> {
    let mut columns = PostingColumns::default();
    let mut sums = Sums::default();
    sums.push(parent.seq, &parent.event, &output.parent);
    for posted in output.legs {
        let event = events.remove(&posted.seq);
        let event = event.ok_or_else(|| StoreError::Broken(format!("the fold posted {}, unasked", posted.seq)))?;
        columns.push(posted.seq, &posted.posting)?;
        sums.push(posted.seq, &event.event, &posted.posting);
        batch.posted.push((event, posted.posting));
    }
    let seqs = insert_system_events(connection, &output.system).await?;
    add_system(&seqs, &output.system, &mut columns, &mut sums)?;
    flush(connection, lane_slot, (columns, sums), &output.states).await
}

/// Writes the rows; fewer than given means that somebody else was here.
async fn flush(
    connection: &mut PgConnection,
    lane_slot: i16,
    (columns, sums): (PostingColumns, Sums),
    states: &[LoanState],
) -> Result<(), StoreError> {
    let expected = (columns.len(), states.len());
    let query = bind_loans(columns.bind(sqlx::query(WRITE_BATCH)), states);
    let row = sums.bind(query, lane_slot)?.fetch_one(connection).await.map_err(classify).map_err(finished_before)?;
    let mut counts = Columns::of(&row);
    let written: (i64, i64) = (counts.take()?, counts.take()?);
    let is_whole = usize::try_from(written.0) == Ok(expected.0) && usize::try_from(written.1) == Ok(expected.1);
    if is_whole { Ok(()) } else { Err(overtaken("fewer rows were written than given")) }
}

/// A posting that is there already was made by somebody else after we looked: look again.
fn finished_before(error: StoreError) -> StoreError {
    match error {
        StoreError::Data { constraint, source } if constraint == POSTINGS_KEY => StoreError::Retry(source),
        other @ (StoreError::Data { .. }
        | StoreError::Unavailable(_)
        | StoreError::Retry(_)
        | StoreError::Broken(_)
        | StoreError::WrongSchema) => other,
    }
}

async fn insert_system_events(
    connection: &mut PgConnection,
    system: &[SystemPosting],
) -> Result<HashMap<EventId, Seq>, StoreError> {
    if system.is_empty() {
        return Ok(HashMap::new());
    }
    let events = system.iter().map(|system| -> &NewEvent { &system.event });
    let query = EventColumns::of(events).bind(sqlx::query(INSERT_SYSTEM_EVENTS));
    let rows = query.fetch_all(connection).await.map_err(classify)?;
    let seqs = rows.iter().map(|row| {
        let mut columns = Columns::of(row);
        Ok((EventId(columns.take()?), Seq(columns.take()?)))
    });
    seqs.collect()
}
