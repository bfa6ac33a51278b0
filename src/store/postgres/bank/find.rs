//! Owns the statements that find what stands under the references of lines.

use std::collections::HashMap;

use sqlx::PgConnection;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use crate::core::bank::Found;
use crate::core::event::EventKind;
use crate::core::ids::{EventId, TenantId};
use crate::core::ledger::AccountCode;
use crate::core::money::Currency;
use crate::store::postgres::error::classify;
use crate::store::postgres::rows::{Columns, broken};
use crate::store::{FoundRow, Moved, Reference, StoreError};

/// Whether a line has an event `e`, the upload it is a row of, or a row of it: three looks into indexes. A macro, because
/// it stands in statements.
///
/// The line of an upload has the rows there were when it was matched: an exception may be posted later, and its cash comes
/// with a line of its own. Those rows were accepted before what the match wrote: the line's settlement, or where its cash
/// was booked the statement itself. A person's match of booked cash writes neither; it has every row.
macro_rules! is_matched {
    () => {
        "(EXISTS (SELECT FROM bank_statement_lines l WHERE l.matched_event = e.id) \
         OR EXISTS (SELECT FROM bank_statement_lines l WHERE l.matched_event = e.batch_id \
         AND e.seq < coalesce((SELECT s.seq FROM events s WHERE s.id = coalesce(l.settlement_event, \
         CASE WHEN l.resolved_at IS NULL THEN l.batch_id END)), 9223372036854775807)) \
         OR EXISTS (SELECT FROM bank_statement_lines l WHERE l.matched_upload = e.id))"
    };
}

pub(super) use is_matched;

/// One look into an index per reference, whatever the planner knows of the table.
macro_rules! found {
    ($numbered:literal, $by:literal) => {
        concat!(
            "SELECT n.place, e.id, e.batch_id, e.kind, e.currency, p.outcome, p.accounts, p.amounts, ",
            is_matched!(),
            " FROM ",
            $numbered,
            " AS n (place, wanted) CROSS JOIN LATERAL (SELECT e.seq, e.id, e.batch_id, e.kind, e.currency \
             FROM events e WHERE e.",
            $by,
            " = n.wanted AND e.tenant = $1 OFFSET 0) AS e LEFT JOIN LATERAL (SELECT p.outcome, p.accounts, p.amounts \
             FROM postings p WHERE p.event_seq = e.seq OFFSET 0) AS p ON true"
        )
    };
}

const FIND_EVENTS: &str = concat!(
    found!("unnest($2::bigint[], $3::uuid[])", "id"),
    " UNION ALL ",
    found!("unnest($4::bigint[], $5::uuid[])", "key_hash")
);

/// What the rows of an upload have put on Payment Clearing and on Cash, and how many of them are unfinished.
const SUM_UPLOAD: &str = "SELECT count(*) FILTER (WHERE p.event_seq IS NULL), coalesce(sum(s.clearing), 0)::text, \
     coalesce(sum(s.cash), 0)::text FROM events e LEFT JOIN postings p ON p.event_seq = e.seq \
     LEFT JOIN LATERAL (SELECT sum(line.amount) FILTER (WHERE line.account = $4) AS clearing, \
     sum(line.amount) FILTER (WHERE line.account = $5) AS cash \
     FROM unnest(p.accounts, p.amounts) AS line (account, amount)) AS s ON true \
     WHERE e.tenant = $1 AND e.batch_id = $2 AND e.currency = $3 AND e.kind <> 'bank_settled'";

/// The statements of this module.
pub(super) const STATEMENTS: [(&str, &str); 2] = [("find_events", FIND_EVENTS), ("sum_upload", SUM_UPLOAD)];

/// What stands under references.
pub(super) async fn events(
    connection: &mut PgConnection,
    (tenant, currency): (TenantId, Currency),
    references: &[Reference],
) -> Result<Vec<(String, Found)>, StoreError> {
    let places = || (0_i64..).zip(references);
    let (id_places, ids): (Vec<i64>, Vec<Uuid>) =
        places().filter_map(|(place, reference)| Some((place, reference.id?.0))).unzip();
    let (key_places, keys): (Vec<i64>, Vec<Uuid>) =
        places().filter_map(|(place, reference)| Some((place, Uuid::from_bytes(reference.key?.bytes())))).unzip();
    let query = sqlx::query(FIND_EVENTS).bind(tenant.0).bind(id_places).bind(ids).bind(key_places).bind(keys);
    let mut found = Vec::new();
    let mut uploads: HashMap<EventId, Option<Moved>> = HashMap::new();
    for row in query.fetch_all(&mut *connection).await.map_err(classify)? {
        let (place, event) = found_row(&row)?;
        let reference = references.get(usize::try_from(place).unwrap_or(usize::MAX));
        let reference = reference.ok_or_else(|| broken("a place", &place.to_string()))?;
        let mut rows = None;
        if event.kind == EventKind::Upload && event.is_posted.is_some() {
            rows = match uploads.get(&event.event) {
                Some(known) => *known,
                None => upload(connection, (tenant, currency), event.event).await?,
            };
            uploads.insert(event.event, rows);
        }
        found.push((reference.text.clone(), event.found(currency, rows)));
    }
    Ok(found)
}

fn found_row(row: &PgRow) -> Result<(i64, FoundRow), StoreError> {
    let mut columns = Columns::of(row);
    let (place, event) = (columns.take()?, EventId(columns.take()?));
    let upload = columns.take::<Option<Uuid>>()?.map(EventId);
    let (kind, currency) = (columns.word("kind")?, columns.word("currency")?);
    let outcome: Option<&str> = columns.take()?;
    let accounts: Vec<i16> = columns.take::<Option<_>>()?.unwrap_or_default();
    let amounts: Vec<i64> = columns.take::<Option<_>>()?.unwrap_or_default();
    let mut moved = Moved::default();
    for (account, amount) in accounts.iter().zip(&amounts) {
        let account = AccountCode::from_number(*account).ok_or_else(|| broken("account", &account.to_string()))?;
        moved.add(account, *amount);
    }
    let is_posted = outcome.map(|outcome| outcome != "rejected");
    Ok((place, FoundRow { event, upload, kind, currency, is_posted, moved, is_matched: columns.take()? }))
}

/// What an upload has moved; `None` where a row of it is unfinished.
async fn upload(
    connection: &mut PgConnection,
    (tenant, currency): (TenantId, Currency),
    upload: EventId,
) -> Result<Option<Moved>, StoreError> {
    let query = sqlx::query(SUM_UPLOAD)
        .bind(tenant.0)
        .bind(upload.0)
        .bind(currency.code().to_owned())
        .bind(AccountCode::PAYMENT_CLEARING.number())
        .bind(AccountCode::CASH.number());
    let row = query.fetch_one(connection).await.map_err(classify)?;
    let mut columns = Columns::of(&row);
    let unfinished: i64 = columns.take()?;
    let moved = Moved { clearing: columns.word("a sum")?, cash: columns.word("a sum")? };
    Ok((unfinished == 0).then_some(moved))
}
