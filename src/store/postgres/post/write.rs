//! Owns the fourth phase: everything a batch writes. A small batch takes one statement; a large one copies its postings
//! in before.

use std::collections::HashMap;

use sqlx::PgConnection;

use super::lock::Locked;
use super::terms;
use super::write_columns::{PostingColumns, Sums, bind_loans, copied};
use crate::core::event::{AcceptedEvent, NewEvent};
use crate::core::ids::{EventId, Seq};
use crate::core::ledger::{FoldOutput, GroupOutput, PostedEvent, Posting, SystemPosting};
use crate::core::loan::LoanState;
use crate::store::postgres::copy::COPIED_FROM;
use crate::store::postgres::error::{classify, overtaken};
use crate::store::postgres::intake_rows::{EventColumns, new_event_columns, new_events};
use crate::store::postgres::rows::Columns;
use crate::store::{PostedBatch, StoreError, restating};

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

/// The loans as they stand afterwards ($1 to $10). Not their terms: those hardly ever change, see [`terms`].
macro_rules! moved {
    () => {
        "moved AS (UPDATE loans SET version = n.version, last_posted_seq = n.last_posted_seq, \
         last_posted_at = n.last_posted_at, fees = n.fees, interest = n.interest, principal = n.principal, \
         suspense = n.suspense, greatest_effective_date = n.greatest_effective_date, chain_head = n.chain_head \
         FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::timestamptz[], $5::bigint[], $6::bigint[], \
         $7::bigint[], $8::bigint[], $9::date[], $10::bytea[]) \
         AS n (loan_key, version, last_posted_seq, last_posted_at, fees, interest, principal, suspense, \
         greatest_effective_date, chain_head) WHERE loans.loan_key = n.loan_key RETURNING 1)"
    };
}

/// The totals and the feed ($11 to $27). The ORDER BYs are load-bearing: rows are locked in key order.
macro_rules! summed {
    () => {
        "totalled AS (INSERT INTO account_totals (tenant, account, currency, layer, booking_date, lane_slot, debits, \
         credits) SELECT tenant, account, currency, layer, booking_date, $18, debits::numeric, credits::numeric \
         FROM unnest($11::uuid[], $12::smallint[], $13::text[], $14::text[], $15::date[], $16::text[], $17::text[]) \
         AS n (tenant, account, currency, layer, booking_date, debits, credits) \
         ORDER BY tenant, account, currency, layer, booking_date \
         ON CONFLICT (tenant, account, currency, layer, booking_date, lane_slot) \
         DO UPDATE SET debits = account_totals.debits + excluded.debits, \
         credits = account_totals.credits + excluded.credits RETURNING 1), \
         counted AS (INSERT INTO batch_totals (batch_id, outcome, currency, lane_slot, count, amount, last_posted_at) \
         SELECT batch_id, outcome, currency, $18, count, amount::numeric, clock_timestamp() \
         FROM unnest($19::uuid[], $20::text[], $27::text[], $21::bigint[], $22::text[]) \
         AS n (batch_id, outcome, currency, count, amount) \
         ORDER BY batch_id, outcome, currency ON CONFLICT (batch_id, outcome, currency, lane_slot) \
         DO UPDATE SET count = batch_totals.count + excluded.count, amount = batch_totals.amount + excluded.amount, \
         last_posted_at = excluded.last_posted_at RETURNING 1), \
         changed AS (INSERT INTO changes (tenant, epoch, seqs) \
         SELECT tenant, (SELECT number FROM epoch), ($26::bigint[])[first:last] \
         FROM unnest($23::uuid[], $24::integer[], $25::integer[]) AS n (tenant, first, last) RETURNING 1)"
    };
}

/// The columns of a posting, in the order of [`PostingColumns::bind`] and [`copied`].
macro_rules! posting_columns {
    () => {
        "event_seq, loan_key, loan_version, outcome, rejection_code, accounts, amounts, layer, alloc_fees, \
         alloc_interest, alloc_principal, alloc_suspense, undoes_seq, restates_seq, effective_date, booking_date, \
         posted_at, chain_hash"
    };
}

/// Writes a small batch in one statement. The counts at the end are taken in the order in which they stand, which makes
/// the lock order: loans (locked before), `account_totals`, `batch_totals`.
const WRITE_BATCH: &str = concat!(
    "WITH posted AS (INSERT INTO postings (",
    posting_columns!(),
    ") SELECT event_seq, loan_key, loan_version, outcome, rejection_code, ($46::smallint[])[first:last], \
     ($47::bigint[])[first:last], layer, alloc_fees, alloc_interest, alloc_principal, alloc_suspense, undoes_seq, \
     restates_seq, effective_date, booking_date, posted_at, chain_hash \
     FROM unnest($28::bigint[], $29::uuid[], $30::bigint[], $31::text[], $32::text[], $33::integer[], \
     $34::integer[], $35::text[], $36::bigint[], $37::bigint[], $38::bigint[], $39::bigint[], $40::bigint[], \
     $41::bigint[], $42::date[], $43::date[], $44::timestamptz[], $45::bytea[]) AS n (event_seq, loan_key, \
     loan_version, outcome, rejection_code, first, last, layer, alloc_fees, alloc_interest, alloc_principal, \
     alloc_suspense, undoes_seq, restates_seq, effective_date, booking_date, posted_at, chain_hash) RETURNING 1), ",
    moved!(),
    ", ",
    summed!(),
    " SELECT (SELECT count(*) FROM posted), (SELECT count(*) FROM moved), (SELECT count(*) FROM totalled), \
     (SELECT count(*) FROM counted), (SELECT count(*) FROM changed)"
);

/// Writes many postings; [`WRITE_REST`] follows.
pub(in crate::store::postgres) const COPY_POSTINGS: &str =
    concat!("COPY postings (", posting_columns!(), ") FROM STDIN (FORMAT binary)");

/// Writes what a large batch has besides its postings.
const WRITE_REST: &str = concat!(
    "WITH ",
    moved!(),
    ", ",
    summed!(),
    " SELECT $28::bigint, (SELECT count(*) FROM moved), (SELECT count(*) FROM totalled), \
     (SELECT count(*) FROM counted), (SELECT count(*) FROM changed)"
);

/// The statements of this phase.
pub(in crate::store::postgres) const STATEMENTS: [(&str, &str); 3] =
    [("insert_system_events", INSERT_SYSTEM_EVENTS), ("write_batch", WRITE_BATCH), ("write_rest", WRITE_REST)];

/// Writes what the fold made of the locked loans and puts the finished events into `batch`.
pub(super) async fn write(
    connection: &mut PgConnection,
    (lane_slot, locked): (i16, &Locked),
    mut events: HashMap<Seq, AcceptedEvent>,
    output: FoldOutput,
    batch: &mut PostedBatch,
) -> Result<(), StoreError> {
    batch.restating = restating(&output);
    batch.failures = output.failures;
    if output.postings.is_empty() && output.system.is_empty() {
        return Ok(());
    }
    let seqs = insert_system_events(connection, &output.system).await?;
    let mut rows = Rows::of(&events, &output.postings)?;
    rows.add_system(&seqs, &output.system)?;
    terms::write(connection, &locked.loans, &output.states).await?;
    rows.write(connection, &output.states, lane_slot).await?;
    put(batch, &mut events, output.postings);
    Ok(())
}

/// Writes the legs of a group and puts them into `batch`; of the parent, that it has come to its end.
pub(in crate::store::postgres) async fn write_legs(
    connection: &mut PgConnection,
    (lane_slot, locked): (i16, &Locked),
    (parent, mut events): (&AcceptedEvent, HashMap<Seq, AcceptedEvent>),
    output: GroupOutput,
    batch: &mut PostedBatch,
) -> Result<(), StoreError> {
    let seqs = insert_system_events(connection, &output.system).await?;
    let mut rows = Rows::of(&events, &output.legs)?;
    rows.sums.push(parent.seq, &parent.event, &output.parent);
    rows.add_system(&seqs, &output.system)?;
    terms::write(connection, &locked.loans, &output.states).await?;
    rows.write(connection, &output.states, lane_slot).await?;
    put(batch, &mut events, output.legs);
    Ok(())
}

/// Hands finished events with what came of them to `batch`.
fn put(batch: &mut PostedBatch, events: &mut HashMap<Seq, AcceptedEvent>, posted: Vec<PostedEvent>) {
    let finished = posted.into_iter().filter_map(|posted| Some((events.remove(&posted.seq)?, posted.posting)));
    batch.posted.extend(finished);
}

/// Postings to write, and what they add to the totals.
#[derive(Default)]
struct Rows<'p> {
    postings: Vec<(Seq, &'p Posting)>,
    sums: Sums,
}

impl<'p> Rows<'p> {
    /// The postings of events that were read.
    fn of(events: &HashMap<Seq, AcceptedEvent>, posted: &'p [PostedEvent]) -> Result<Self, StoreError> {
        let mut rows = Self::default();
        rows.postings.reserve(posted.len());
        for PostedEvent { seq, posting } in posted {
            let event = events.get(seq);
            let event = event.ok_or_else(|| StoreError::Broken(format!("the fold posted {seq}, unasked")))?;
            rows.sums.push(*seq, &event.event, posting);
            rows.postings.push((*seq, posting));
        }
        Ok(rows)
    }

    fn add_system(&mut self, seqs: &HashMap<EventId, Seq>, system: &'p [SystemPosting]) -> Result<(), StoreError> {
        for SystemPosting { event, posting } in system {
            let seq = seqs.get(&event.id).ok_or_else(|| overtaken("a consequence was there already"))?;
            self.sums.push(*seq, event, posting);
            self.postings.push((*seq, posting));
        }
        Ok(())
    }

    /// Writes the rows; fewer than given means that somebody else was here.
    async fn write(
        self,
        connection: &mut PgConnection,
        states: &[LoanState],
        lane_slot: i16,
    ) -> Result<(), StoreError> {
        let Self { postings, sums } = self;
        let expected = (postings.len(), states.len());
        let row = if postings.len() < COPIED_FROM {
            let query = sums.bind(bind_loans(sqlx::query(WRITE_BATCH), states), lane_slot)?;
            let query = PostingColumns::of(&postings)?.bind(query);
            query.fetch_one(connection).await.map_err(classify).map_err(finished_before)?
        } else {
            copied(&postings).send(connection, COPY_POSTINGS).await.map_err(finished_before)?;
            let query = sums.bind(bind_loans(sqlx::query(WRITE_REST), states), lane_slot)?;
            let count = i64::try_from(postings.len()).unwrap_or(i64::MAX);
            query.bind(count).fetch_one(connection).await.map_err(classify)?
        };
        let mut counts = Columns::of(&row);
        let written: (i64, i64) = (counts.take()?, counts.take()?);
        let is_whole = usize::try_from(written.0) == Ok(expected.0) && usize::try_from(written.1) == Ok(expected.1);
        if is_whole { Ok(()) } else { Err(overtaken("fewer rows were written than given")) }
    }
}

/// A posting that is there already was made by somebody else after we looked: look again.
fn finished_before(error: StoreError) -> StoreError {
    match error {
        StoreError::Data { constraint, source } if constraint == POSTINGS_KEY => StoreError::Retry(source),
        other @ (StoreError::Data { .. }
        | StoreError::Unavailable(_)
        | StoreError::Retry(_)
        | StoreError::OutOfTime(_)
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
