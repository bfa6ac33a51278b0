//! Owns the fourth phase: everything a batch writes. A small batch takes one statement; a large one copies its postings
//! in behind it. The loans come first: whoever did not lock them waits here, and has written nothing yet where somebody
//! else was faster.

use std::collections::HashMap;

use sqlx::PgConnection;
use sqlx::postgres::PgRow;

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

/// The constraint that says a loan has such a version already.
const VERSIONS_KEY: &str = "postings_loan_version";

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

/// The loans as they stand afterwards, where they still stand as they were read ($1 to $17). Nobody but a posting changes
/// a loan, and it goes on with the chain; balances are compared all the same, so that none is written over unread. A hold,
/// which the chain does not tell of, matters where they are not locked. Not their terms: those hardly ever change, see
/// [`terms`].
macro_rules! moved {
    () => {
        "moved AS (UPDATE loans SET version = n.version, last_posted_seq = n.last_posted_seq, \
         last_posted_at = n.last_posted_at, fees = n.fees, interest = n.interest, principal = n.principal, \
         suspense = n.suspense, greatest_effective_date = n.greatest_effective_date, chain_head = n.chain_head \
         FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::timestamptz[], $5::bigint[], $6::bigint[], \
         $7::bigint[], $8::bigint[], $9::date[], $10::bytea[], $11::bytea[], $12::bigint[], \
         $13::bigint[], $14::bigint[], $15::bigint[], $16::bigint[]) AS n (loan_key, version, last_posted_seq, \
         last_posted_at, fees, interest, principal, suspense, greatest_effective_date, chain_head, head_before, \
         seq_before, fees_before, interest_before, principal_before, suspense_before) WHERE loans.loan_key = n.loan_key \
         AND loans.chain_head = n.head_before AND loans.last_posted_seq = n.seq_before \
         AND loans.fees = n.fees_before AND loans.interest = n.interest_before \
         AND loans.principal = n.principal_before AND loans.suspense = n.suspense_before \
         AND (NOT loans.on_hold OR $17) RETURNING 1)"
    };
}

/// Nothing else is written where a loan was not: whoever did not hold it must not keep its holder waiting. And so the loans
/// come first, whatever the order of the parts.
macro_rules! where_all_moved {
    () => {
        " WHERE (SELECT count(*) FROM moved) = cardinality($1)"
    };
}

/// The totals and the feed ($18 to $34). The ORDER BYs are load-bearing: rows are locked in key order.
macro_rules! summed {
    () => {
        concat!(
            "totalled AS (INSERT INTO account_totals (tenant, account, currency, layer, booking_date, lane_slot, debits, \
             credits) SELECT tenant, account, currency, layer, booking_date, $25, debits::numeric, credits::numeric \
             FROM unnest($18::uuid[], $19::smallint[], $20::text[], $21::text[], $22::date[], $23::text[], $24::text[]) \
             AS n (tenant, account, currency, layer, booking_date, debits, credits)",
            where_all_moved!(),
            " ORDER BY tenant, account, currency, layer, booking_date \
             ON CONFLICT (tenant, account, currency, layer, booking_date, lane_slot) \
             DO UPDATE SET debits = account_totals.debits + excluded.debits, \
             credits = account_totals.credits + excluded.credits RETURNING 1), \
             counted AS (INSERT INTO batch_totals (batch_id, outcome, currency, lane_slot, count, amount, \
             last_posted_at) SELECT batch_id, outcome, currency, $25, count, amount::numeric, clock_timestamp() \
             FROM unnest($26::uuid[], $27::text[], $34::text[], $28::bigint[], $29::text[]) \
             AS n (batch_id, outcome, currency, count, amount)",
            where_all_moved!(),
            " ORDER BY batch_id, outcome, currency ON CONFLICT (batch_id, outcome, currency, lane_slot) \
             DO UPDATE SET count = batch_totals.count + excluded.count, amount = batch_totals.amount + excluded.amount, \
             last_posted_at = excluded.last_posted_at RETURNING 1), \
             changed AS (INSERT INTO changes (tenant, epoch, seqs) \
             SELECT tenant, (SELECT number FROM epoch), ($33::bigint[])[first:last] \
             FROM unnest($30::uuid[], $31::integer[], $32::integer[]) AS n (tenant, first, last)",
            where_all_moved!(),
            " RETURNING 1)"
        )
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
/// the lock order: loans (where they are not locked yet), `account_totals`, `batch_totals`, postings.
const WRITE_BATCH: &str = concat!(
    "WITH ",
    moved!(),
    ", ",
    summed!(),
    ", posted AS (INSERT INTO postings (",
    posting_columns!(),
    ") SELECT event_seq, loan_key, loan_version, outcome, rejection_code, ($53::smallint[])[first:last], \
     ($54::bigint[])[first:last], layer, alloc_fees, alloc_interest, alloc_principal, alloc_suspense, undoes_seq, \
     restates_seq, effective_date, booking_date, posted_at, chain_hash \
     FROM unnest($35::bigint[], $36::uuid[], $37::bigint[], $38::text[], $39::text[], $40::integer[], \
     $41::integer[], $42::text[], $43::bigint[], $44::bigint[], $45::bigint[], $46::bigint[], $47::bigint[], \
     $48::bigint[], $49::date[], $50::date[], $51::timestamptz[], $52::bytea[]) AS n (event_seq, loan_key, \
     loan_version, outcome, rejection_code, first, last, layer, alloc_fees, alloc_interest, alloc_principal, \
     alloc_suspense, undoes_seq, restates_seq, effective_date, booking_date, posted_at, chain_hash)",
    where_all_moved!(),
    " RETURNING 1) SELECT (SELECT count(*) FROM moved), (SELECT count(*) FROM totalled), (SELECT count(*) FROM counted), \
     (SELECT count(*) FROM changed), (SELECT count(*) FROM posted)"
);

/// Writes many postings, behind [`WRITE_REST`].
pub(in crate::store::postgres) const COPY_POSTINGS: &str =
    concat!("COPY postings (", posting_columns!(), ") FROM STDIN (FORMAT binary)");

/// Writes what a large batch has besides its postings.
const WRITE_REST: &str = concat!(
    "WITH ",
    moved!(),
    ", ",
    summed!(),
    " SELECT (SELECT count(*) FROM moved), (SELECT count(*) FROM totalled), (SELECT count(*) FROM counted), \
     (SELECT count(*) FROM changed)"
);

/// The statements of this phase.
pub(in crate::store::postgres) const STATEMENTS: [(&str, &str); 3] =
    [("insert_system_events", INSERT_SYSTEM_EVENTS), ("write_batch", WRITE_BATCH), ("write_rest", WRITE_REST)];

/// Writes what the fold made of the loans and puts the finished events into `batch`. Answers how the loans stand then.
pub(super) async fn write(
    connection: &mut PgConnection,
    (lane_slot, locked): (i16, &Locked),
    mut events: HashMap<Seq, AcceptedEvent>,
    output: FoldOutput,
    batch: &mut PostedBatch,
) -> Result<Vec<LoanState>, StoreError> {
    batch.restating = restating(&output);
    batch.failures = output.failures;
    if output.postings.is_empty() && output.system.is_empty() {
        return Ok(Vec::new());
    }
    if locked.is_by_sight && !output.system.is_empty() {
        return Err(overtaken("consequences follow on loans that are not locked"));
    }
    let seqs = insert_system_events(connection, &output.system).await?;
    let mut rows = Rows::of(&events, &output.postings)?;
    rows.add_system(&seqs, &output.system)?;
    terms::write(connection, locked, &output.states).await?;
    rows.write(connection, (locked, &output.states), lane_slot).await?;
    put(batch, &mut events, output.postings);
    Ok(output.states)
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
    terms::write(connection, locked, &output.states).await?;
    rows.write(connection, (locked, &output.states), lane_slot).await?;
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
        (locked, states): (&Locked, &[LoanState]),
        lane_slot: i16,
    ) -> Result<(), StoreError> {
        let Self { postings, sums } = self;
        if postings.len() < COPIED_FROM {
            let query = sums.bind(bind_loans(sqlx::query(WRITE_BATCH), locked, states), lane_slot)?;
            let query = PostingColumns::of(&postings)?.bind(query);
            let row = query.fetch_one(connection).await.map_err(|error| posted_before(classify(error), locked))?;
            return are_written(&row, [(0, states.len()), (4, postings.len())]);
        }
        let query = sums.bind(bind_loans(sqlx::query(WRITE_REST), locked, states), lane_slot)?;
        let row = query.fetch_one(&mut *connection).await.map_err(classify)?;
        are_written(&row, [(0, states.len())])?;
        copied(&postings).send(connection, COPY_POSTINGS).await.map_err(|error| posted_before(error, locked))
    }
}

/// Whether a statement wrote as many rows as it was given, by its counts in some columns.
fn are_written<const N: usize>(row: &PgRow, given: [(usize, usize); N]) -> Result<(), StoreError> {
    for (column, given) in given {
        let mut counts = Columns::of(row);
        counts.skip(column);
        if usize::try_from(counts.take::<i64>()?) != Ok(given) {
            return Err(overtaken("fewer rows were written than given"));
        }
    }
    Ok(())
}

/// A posting that is there already was made by somebody else after we looked: look again. A version that is there already
/// says so where the loans are not locked; of a locked loan it would be a fault.
fn posted_before(error: StoreError, locked: &Locked) -> StoreError {
    let says_so = |constraint: &str| match constraint {
        POSTINGS_KEY => true,
        VERSIONS_KEY => locked.is_by_sight,
        _ => false,
    };
    match error {
        StoreError::Data { constraint, source } if says_so(&constraint) => StoreError::Retry(source),
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
