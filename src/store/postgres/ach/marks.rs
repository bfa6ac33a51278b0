//! Owns the marks of a file's entries: what a return will name, and whether another file had the entry.
//!
//! A chunk of a file that was not marked before, which is what chunks mostly are, is looked for and then copied in: 9
//! microseconds an entry less than the careful statement, which a chunk takes that comes again after a cut.

use std::collections::HashMap;

use sqlx::PgConnection;
use sqlx::postgres::PgRow;

use crate::core::ids::PaymentBatchId;
use crate::store::postgres::connect::{PostgresStore, begin, finish};
use crate::store::postgres::copy::{COPIED_FROM, CopiedRows};
use crate::store::postgres::error::classify;
use crate::store::postgres::intake_rows::Prepared;
use crate::store::postgres::rows::Columns;
use crate::store::{FileRow, MarkedRow, SeenRow, StoreError, UploadRef};

/// One file of a tenant is marked at a time, for as long as a chunk takes (some tens of milliseconds for a thousand entries,
/// most of them round trips of a copy): a statement does not see what another one has written and
/// not committed. The pair of numbers is a key space of its own.
const LOCK_MARKS: &str = "SELECT pg_advisory_xact_lock($1, hashtext(($2::uuid)::text))";

/// Says which of the lock's key spaces is that of marks.
const MARKS_LOCK: i32 = 0x0061_6368;

/// Whether a chunk was here before.
const CHUNK_IS_MARKED: &str =
    "SELECT EXISTS (SELECT FROM ach_entries m WHERE m.batch_id = $1 AND m.row_no BETWEEN $2 AND $3)";

/// The entries `n` ($1 to $9), each with the same one `f` of another file: one walk of `(tenant, trace)` an entry. Ids of
/// uploads rise with time, so the oldest is found. A macro, because `concat!` joins literals only.
macro_rules! entries {
    ($join:literal) => {
        concat!(
            " FROM unnest($3::bigint[], $4::text[], $5::bigint[], $6::text[], $7::text[], $8::text[], $9::date[]) \
             AS n (row_no, trace, amount, account, company_id, individual_id, effective_entry_date) ",
            $join,
            " JOIN LATERAL (SELECT a.batch_id, a.row_no FROM ach_entries a WHERE a.tenant = $1 AND a.trace = n.trace \
             AND a.amount = n.amount AND a.account = n.account AND a.individual_id = n.individual_id \
             AND a.effective_entry_date IS NOT DISTINCT FROM n.effective_entry_date AND a.batch_id <> $2 \
             ORDER BY a.batch_id, a.row_no LIMIT 1) AS f ON true"
        )
    };
}

/// Which entries another file had.
const FIND_SEEN: &str = concat!("SELECT n.row_no, f.batch_id, f.row_no", entries!("INNER"));

/// Writes a chunk; [`FIND_SEEN`] goes before.
pub(in crate::store::postgres) const COPY_ENTRIES: &str = "COPY ach_entries (tenant, batch_id, row_no, trace, amount, account, company_id, individual_id, \
     effective_entry_date, first_batch_id, first_row_no) FROM STDIN (FORMAT binary)";

/// The columns of [`COPY_ENTRIES`].
const ENTRY_COLUMNS: i16 = 11;

/// Bytes of a row on its way, to begin with.
const ROW_BYTES: usize = 200;

/// Finds and writes in one statement. A row that is there already keeps what was found then; writing it is what makes it
/// tell.
const INSERT_ENTRIES: &str = concat!(
    "WITH marked AS (INSERT INTO ach_entries AS m (tenant, batch_id, row_no, trace, amount, account, company_id, \
     individual_id, effective_entry_date, first_batch_id, first_row_no) SELECT $1, $2, n.row_no, n.trace, n.amount, \
     n.account, n.company_id, n.individual_id, n.effective_entry_date, f.batch_id, f.row_no",
    entries!("LEFT"),
    " ON CONFLICT (batch_id, row_no) DO UPDATE SET row_no = m.row_no \
     RETURNING m.row_no, m.first_batch_id, m.first_row_no) \
     SELECT row_no, first_batch_id, first_row_no FROM marked WHERE first_batch_id IS NOT NULL"
);

/// The statements of this module.
pub(in crate::store::postgres) const STATEMENTS: [(&str, &str); 4] = [
    ("lock_marks", LOCK_MARKS),
    ("chunk_is_marked", CHUNK_IS_MARKED),
    ("find_seen", FIND_SEEN),
    ("insert_entries", INSERT_ENTRIES),
];

impl PostgresStore {
    pub(in crate::store::postgres) async fn insert_entries(
        &self,
        upload: UploadRef,
        entries: Vec<MarkedRow>,
    ) -> Result<Vec<SeenRow>, StoreError> {
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        let mut connection = self.connection().await?;
        let mut transaction = begin(&mut connection).await?;
        let done = mark(&mut transaction, upload, &entries).await;
        finish(transaction, done).await
    }
}

async fn mark(
    connection: &mut PgConnection,
    upload: UploadRef,
    entries: &[MarkedRow],
) -> Result<Vec<SeenRow>, StoreError> {
    let lock = sqlx::query(LOCK_MARKS).bind(MARKS_LOCK).bind(upload.tenant.0);
    lock.execute(&mut *connection).await.map_err(classify)?;
    if entries.len() < COPIED_FROM || is_marked(connection, upload, entries).await? {
        return seen(connection, INSERT_ENTRIES, upload, entries).await;
    }
    let seen = seen(connection, FIND_SEEN, upload, entries).await?;
    copied(upload, entries, &seen).send(connection, COPY_ENTRIES).await?;
    Ok(seen)
}

/// Whether any row between the first and the last is marked.
async fn is_marked(
    connection: &mut PgConnection,
    upload: UploadRef,
    entries: &[MarkedRow],
) -> Result<bool, StoreError> {
    let rows = || entries.iter().map(|entry| entry.row_no);
    let query = sqlx::query_scalar(CHUNK_IS_MARKED).bind(upload.id.0).bind(rows().min()).bind(rows().max());
    query.fetch_one(connection).await.map_err(classify)
}

/// What [`FIND_SEEN`] or [`INSERT_ENTRIES`] tells.
async fn seen(
    connection: &mut PgConnection,
    statement: &'static str,
    upload: UploadRef,
    entries: &[MarkedRow],
) -> Result<Vec<SeenRow>, StoreError> {
    let row = |row: &PgRow| {
        let mut columns = Columns::of(row);
        let row_no = columns.take()?;
        Ok(SeenRow { row_no, first: FileRow { batch: PaymentBatchId(columns.take()?), row_no: columns.take()? } })
    };
    let query = bind_entries(sqlx::query(statement), upload, entries);
    query.fetch_all(connection).await.map_err(classify)?.iter().map(row).collect()
}

/// Binds $1 to $9.
fn bind_entries<'q>(query: Prepared<'q>, upload: UploadRef, entries: &'q [MarkedRow]) -> Prepared<'q> {
    query
        .bind(upload.tenant.0)
        .bind(upload.id.0)
        .bind(entries.iter().map(|entry| entry.row_no).collect::<Vec<_>>())
        .bind(entries.iter().map(|entry| entry.mark.trace.as_str()).collect::<Vec<_>>())
        .bind(entries.iter().map(|entry| entry.mark.amount.units()).collect::<Vec<_>>())
        .bind(entries.iter().map(|entry| entry.mark.account.as_str()).collect::<Vec<_>>())
        .bind(entries.iter().map(|entry| entry.mark.company_id.as_str()).collect::<Vec<_>>())
        .bind(entries.iter().map(|entry| entry.individual_id.as_str()).collect::<Vec<_>>())
        .bind(entries.iter().map(|entry| entry.effective_entry_date).collect::<Vec<_>>())
}

fn copied(upload: UploadRef, entries: &[MarkedRow], seen: &[SeenRow]) -> CopiedRows {
    let firsts: HashMap<i64, FileRow> = seen.iter().map(|seen| (seen.row_no, seen.first)).collect();
    let mut rows = CopiedRows::of_columns(ENTRY_COLUMNS, entries.len().saturating_mul(ROW_BYTES));
    for entry in entries {
        let MarkedRow { row_no, mark, individual_id, effective_entry_date } = entry;
        let first = firsts.get(row_no);
        rows.row()
            .uuid(upload.tenant.0)
            .uuid(upload.id.0)
            .bigint(*row_no)
            .text(&mark.trace)
            .bigint(mark.amount.units())
            .text(&mark.account)
            .text(&mark.company_id)
            .text(individual_id)
            .optional(*effective_entry_date, CopiedRows::date)
            .optional(first.map(|first| first.batch.0), CopiedRows::uuid)
            .optional(first.map(|first| first.row_no), CopiedRows::bigint);
    }
    rows
}
