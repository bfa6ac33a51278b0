//! Owns the reads of a loan's past. Each is cut at a version, so its statements agree without a transaction.

use async_trait::async_trait;
use chrono::NaiveDate;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::connect::PostgresStore;
use super::intake_rows::Prepared;
use super::post::{late_fee, loans_with_late_fees, read_late_fees};
use super::read::{record, record_columns, record_joins, record_of};
use super::rows::{self, Columns, broken, event_columns, key_column, loan_columns, posting_columns};
use crate::core::event::{AcceptedEvent, EventKind, NewEvent, NewGroup};
use crate::core::ids::{EventId, LoanKey, Seq, TenantId};
use crate::core::ledger::{AccountCode, DaySum, Layer, Posting};
use crate::core::loan::{Balances, LoanDay, LoanHistory};
use crate::core::money::Minor;
use crate::core::time::Timestamp;
use crate::store::{
    EventRecord, HistoryCut, KindTotals, LateFeesPage, LoanAhead, LoanDays, LoanReads, LoanRecord, LoanSpan, LoanSums,
    LoansFilter, LoansPage, PayoffFacts, PayoffSince, StatementPage, StatementRecord, StoreError, Undoing,
};

/// A tenant's loans of one borrower: a walk of `(tenant, borrower_id, loan_key)`.
const LOANS_OF_BORROWER: &str = concat!(
    "SELECT ",
    loan_columns!(),
    ", loan_number FROM loans WHERE tenant = $1 AND borrower_id = $2 AND loan_key > $3 AND version > 0 \
     ORDER BY loan_key LIMIT $4"
);

/// All of a tenant's loans: the same walk. Loans of our own have no borrower.
const LOANS_OF_TENANT: &str = concat!(
    "SELECT ",
    loan_columns!(),
    ", loan_number FROM loans WHERE tenant = $1 AND (borrower_id, loan_key) > ($2, $3) \
     AND borrower_id > '00000000-0000-0000-0000-000000000000' AND version > 0 ORDER BY borrower_id, loan_key LIMIT $4"
);

/// The loan of a number: one step of `loans_number_once`.
const LOANS_OF_NUMBER: &str = concat!(
    "SELECT ",
    loan_columns!(),
    ", loan_number FROM loans WHERE tenant = $1 AND loan_number_comparable = $2 AND loan_key > $3 AND version > 0 \
     LIMIT $4"
);

/// What one posting `p` moved: debits of receivables and credits of suspense are positive, and so is interest accrued.
macro_rules! moved {
    () => {
        " CROSS JOIN LATERAL (SELECT coalesce(sum(line.amount) FILTER (WHERE line.account = $4), 0) AS fees, \
         coalesce(sum(line.amount) FILTER (WHERE line.account = $5), 0) AS interest, \
         coalesce(sum(line.amount) FILTER (WHERE line.account = $6), 0) AS principal, \
         -coalesce(sum(line.amount) FILTER (WHERE line.account = $7), 0) AS suspense, \
         -coalesce(sum(line.amount) FILTER (WHERE line.account = $8), 0) AS accrued \
         FROM unnest(p.accounts, p.amounts) AS line (account, amount)) AS moved"
    };
}

/// What moved by day. 2 microseconds a posting.
const READ_DAYS: &str = concat!(
    "SELECT p.effective_date, sum(moved.fees)::bigint, sum(moved.interest)::bigint, sum(moved.principal)::bigint, \
     sum(moved.suspense)::bigint, sum(moved.accrued)::bigint FROM loans l JOIN postings p ON p.loan_key = l.loan_key \
     AND p.loan_version BETWEEN 1 AND $3",
    moved!(),
    " WHERE l.tenant = $1 AND l.loan_key = $2 AND p.layer = $9 AND ($10::timestamptz IS NULL OR p.posted_at <= $10) \
     AND cardinality(p.amounts) > 0 GROUP BY p.effective_date ORDER BY p.effective_date"
);

/// What moved by day, told apart by the first of the versions that has it, and whether memo accounts were among it. $10 has
/// for each version but the last the next one, which is where `width_bucket` begins to count further.
const READ_SUMS: &str = concat!(
    "SELECT width_bucket(p.loan_version, $10::bigint[]), p.effective_date, sum(moved.fees)::text, \
     sum(moved.interest)::text, sum(moved.principal)::text, sum(moved.suspense)::text, bool_or($11 = ANY(p.accounts)) \
     FROM loans l JOIN postings p ON p.loan_key = l.loan_key AND p.loan_version BETWEEN 1 AND $3",
    moved!(),
    " WHERE l.tenant = $1 AND l.loan_key = $2 AND p.layer = $9 AND cardinality(p.amounts) > 0 \
     GROUP BY 1, 2 ORDER BY 1, 2"
);

/// What stands in the books of the days of a span. The rows are chosen from the postings alone, so that events are looked up
/// for these only.
const READ_SPAN: &str = concat!(
    "SELECT ",
    event_columns!(),
    ", ",
    posting_columns!(),
    " FROM (SELECT within.event_seq FROM postings within WHERE within.loan_key = $2 \
     AND within.loan_version BETWEEN 1 AND $3 AND within.effective_date BETWEEN $4 AND $5 \
     AND within.outcome = 'posted') AS within JOIN postings p ON p.event_seq = within.event_seq \
     JOIN events e ON e.seq = p.event_seq WHERE e.tenant = $1 ORDER BY p.loan_version"
);

/// What moved by kind on the days of a span.
const READ_KINDS: &str = concat!(
    "SELECT e.kind, fixed.kind, count(*), coalesce(sum(e.amount), 0)::text, sum(moved.fees)::text, \
     sum(moved.interest)::text, sum(moved.principal)::text, sum(moved.suspense)::text \
     FROM loans l JOIN postings p ON p.loan_key = l.loan_key AND p.loan_version BETWEEN 1 AND $3 \
     JOIN events e ON e.seq = p.event_seq LEFT JOIN events fixed ON fixed.seq = coalesce(p.undoes_seq, p.restates_seq)",
    moved!(),
    " WHERE l.tenant = $1 AND l.loan_key = $2 AND p.layer = $9 AND p.effective_date BETWEEN $10 AND $11 \
     AND cardinality(p.amounts) > 0 GROUP BY e.kind, fixed.kind ORDER BY e.kind, fixed.kind"
);

/// A page of a statement. The page is chosen from the postings alone, so that what is looked up for a row is looked up
/// for the page's rows only.
const READ_STATEMENT: &str = concat!(
    "SELECT ",
    record_columns!(),
    ", fixed.id, fixed.kind FROM (SELECT page.event_seq FROM postings page WHERE page.loan_key = $2 \
     AND page.loan_version BETWEEN 1 AND $3 AND page.effective_date BETWEEN $4 AND $5 \
     AND (page.effective_date, page.loan_version) > ($6, $7) AND cardinality(page.amounts) > 0 \
     ORDER BY page.effective_date, page.loan_version LIMIT $8) AS page JOIN events e ON e.seq = page.event_seq",
    record_joins!(),
    " LEFT JOIN events fixed ON fixed.seq = coalesce(p.undoes_seq, p.restates_seq) WHERE e.tenant = $1 \
     ORDER BY p.effective_date, p.loan_version"
);

/// Payments by ACH that stand, and returns, of the days asked for.
const READ_PAYOFF_FACTS: &str = "SELECT \
     count(*) FILTER (WHERE e.kind = 'payment_received'), \
     coalesce(sum(e.amount) FILTER (WHERE e.kind = 'payment_received'), 0)::text, \
     max(e.effective_date) FILTER (WHERE e.kind = 'payment_received'), \
     count(*) FILTER (WHERE e.kind = 'payment_returned') \
     FROM postings p JOIN events e ON e.seq = p.event_seq WHERE e.tenant = $1 AND p.loan_key = $2 \
     AND p.loan_version > 0 AND p.outcome = 'posted' AND ((e.kind = 'payment_returned' AND e.effective_date >= $4) \
     OR (e.kind = 'payment_received' AND e.source_method = 'ach' AND p.effective_date >= $3 \
     AND NOT EXISTS (SELECT FROM postings u WHERE u.undoes_seq = p.event_seq)))";

/// What divides a payment's money anew: a step of `postings_restates` and one event each.
const READ_RESTATEMENTS: &str = concat!(
    "SELECT ",
    record_columns!(),
    " FROM (SELECT s.event_seq FROM postings s WHERE s.restates_seq = $2 ORDER BY s.event_seq + 0) AS later \
     JOIN events e ON e.seq = later.event_seq",
    record_joins!(),
    " WHERE e.tenant = $1 ORDER BY e.seq"
);

/// What an event has brought about: its loan's events behind it. The first of them has the next version, so that of an event
/// without any nothing is walked.
const READ_CONSEQUENCES: &str = concat!(
    "SELECT ",
    record_columns!(),
    " FROM (SELECT c.seq, c.loan_key FROM events c JOIN postings o ON o.event_seq = c.seq \
     JOIN postings n ON n.loan_key = o.loan_key AND n.loan_version = o.loan_version + 1 AND n.loan_version > 0 \
     JOIN events f ON f.seq = n.event_seq AND f.cause_seq = c.seq WHERE c.id = $2 AND c.tenant = $1) AS cause \
     JOIN events e ON e.loan_key = cause.loan_key AND e.seq > cause.seq AND e.cause_seq = cause.seq",
    record_joins!(),
    " WHERE e.tenant = $1 ORDER BY e.seq"
);

/// The next version is that of the first event that was brought about, as in [`READ_CONSEQUENCES`]. Money can show late fees
/// to be wrong that were posted in front of it for a later day, and what goes back those of any day.
const WITH_MORE_TO_TELL: &str = concat!(
    "SELECT c.id FROM unnest($2::uuid[]) AS asked (id) JOIN events c ON c.id = asked.id \
     JOIN postings o ON o.event_seq = c.seq WHERE c.tenant = $1 AND (EXISTS (SELECT FROM postings n \
     JOIN events b ON b.seq = n.event_seq WHERE n.loan_key = o.loan_key AND n.loan_version = o.loan_version + 1 \
     AND n.loan_version > 0 AND b.cause_seq = c.seq OFFSET 0) OR EXISTS (SELECT FROM events f \
     JOIN postings charged ON charged.event_seq = f.seq WHERE f.tenant = $1 AND f.loan_key = c.loan_key \
     AND (f.effective_date > o.effective_date OR c.kind IN ('payment_returned', 'reversal')) \
     AND charged.loan_version < o.loan_version AND ",
    late_fee!(),
    " OFFSET 0))"
);

/// The event at a place.
const READ_EVENT_AT: &str =
    concat!("SELECT ", record_columns!(), " FROM events e", record_joins!(), " WHERE e.tenant = $1 AND e.seq = $2");

/// The statements of this module.
pub(super) const STATEMENTS: [(&str, &str); 13] = [
    ("loans_of_borrower", LOANS_OF_BORROWER),
    ("loans_of_tenant", LOANS_OF_TENANT),
    ("loans_of_number", LOANS_OF_NUMBER),
    ("read_days", READ_DAYS),
    ("read_sums", READ_SUMS),
    ("read_span", READ_SPAN),
    ("read_kinds", READ_KINDS),
    ("read_statement", READ_STATEMENT),
    ("read_payoff_facts", READ_PAYOFF_FACTS),
    ("read_restatements", READ_RESTATEMENTS),
    ("read_consequences", READ_CONSEQUENCES),
    ("with_more_to_tell", WITH_MORE_TO_TELL),
    ("read_event_at", READ_EVENT_AT),
];

#[async_trait]
impl LoanReads for PostgresStore {
    async fn loans(&self, tenant: TenantId, page: LoansPage) -> Result<Vec<LoanRecord>, StoreError> {
        self.owned(move |store| async move {
            let limit = page.limit.saturating_add(1);
            let query = match page.filter {
                LoansFilter::OfNumber(number) => sqlx::query(LOANS_OF_NUMBER).bind(tenant.0).bind(number),
                LoansFilter::OfBorrower(borrower) => sqlx::query(LOANS_OF_BORROWER).bind(tenant.0).bind(borrower.0),
                LoansFilter::All => sqlx::query(LOANS_OF_TENANT).bind(tenant.0).bind(page.after.borrower),
            };
            store.many(query.bind(page.after.loan).bind(limit), loan_record).await
        })
        .await
    }

    async fn loan_days(
        &self,
        tenant: TenantId,
        loan: LoanKey,
        cut: HistoryCut,
    ) -> Result<Option<LoanDays>, StoreError> {
        self.owned(move |store| async move {
            let Some(record) = store.read_loan(tenant, loan).await? else { return Ok(None) };
            // No later than the row, so that row and days agree.
            let version = cut.version.min(record.state.version);
            let query = with_accounts(sqlx::query(READ_DAYS).bind(tenant.0).bind(key_column(loan)).bind(version));
            let query = query.bind(cut.known_at.map(Timestamp::utc));
            let days = store.many(query, day).await?;
            let history = LoanHistory::new(days).map_err(|error| StoreError::Broken(error.to_string()))?;
            Ok(Some(LoanDays { record, history }))
        })
        .await
    }

    async fn loan_sums(
        &self,
        tenant: TenantId,
        loan: LoanKey,
        versions: Vec<i64>,
    ) -> Result<Option<LoanSums>, StoreError> {
        self.owned(move |store| async move {
            let Some(record) = store.read_loan(tenant, loan).await? else { return Ok(None) };
            let (last, earlier) = versions.split_last().map_or((0, [].as_slice()), |(last, rest)| (*last, rest));
            let next: Vec<i64> = earlier.iter().map(|version| version.saturating_add(1)).collect();
            let query = with_accounts(sqlx::query(READ_SUMS).bind(tenant.0).bind(key_column(loan)).bind(last));
            let query = query.bind(next).bind(AccountCode::CHARGED_OFF_MEMO.number());
            Ok(Some(LoanSums { record, days: store.many(query, day_sum).await? }))
        })
        .await
    }

    async fn loan_postings(
        &self,
        tenant: TenantId,
        loan: LoanKey,
        span: LoanSpan,
    ) -> Result<Vec<(AcceptedEvent, Posting)>, StoreError> {
        self.owned(move |store| async move {
            let query = sqlx::query(READ_SPAN).bind(tenant.0).bind(key_column(loan)).bind(span.version);
            let rows = store.many(query.bind(span.from).bind(span.to), posted).await?;
            Ok(rows.into_iter().flatten().collect())
        })
        .await
    }

    async fn loan_totals(
        &self,
        tenant: TenantId,
        loan: LoanKey,
        span: LoanSpan,
    ) -> Result<Vec<KindTotals>, StoreError> {
        self.owned(move |store| async move {
            let query = sqlx::query(READ_KINDS).bind(tenant.0).bind(key_column(loan)).bind(span.version);
            store.many(with_accounts(query).bind(span.from).bind(span.to), kind_totals).await
        })
        .await
    }

    async fn statement_rows(
        &self,
        tenant: TenantId,
        loan: LoanKey,
        StatementPage { span, after, limit }: StatementPage,
    ) -> Result<Vec<StatementRecord>, StoreError> {
        self.owned(move |store| async move {
            let query = sqlx::query(READ_STATEMENT)
                .bind(tenant.0)
                .bind(key_column(loan))
                .bind(span.version)
                .bind(span.from)
                .bind(span.to)
                .bind(after.0)
                .bind(after.1)
                .bind(limit.saturating_add(1));
            store.many(query, statement_record).await
        })
        .await
    }

    async fn payoff_facts(
        &self,
        tenant: TenantId,
        loan: LoanKey,
        since: PayoffSince,
    ) -> Result<PayoffFacts, StoreError> {
        self.owned(move |store| async move {
            let queued = store.count_before(tenant, loan, Seq(i64::MAX)).await?;
            let query = sqlx::query(READ_PAYOFF_FACTS).bind(tenant.0).bind(key_column(loan));
            let facts = store.many(query.bind(since.payments).bind(since.returns), payoff_facts).await?;
            Ok(facts.into_iter().next().map(|facts| PayoffFacts { queued, ..facts }).unwrap_or_default())
        })
        .await
    }

    async fn restatements(&self, tenant: TenantId, payment: Seq) -> Result<Vec<EventRecord>, StoreError> {
        self.owned(move |store| async move {
            store.many(sqlx::query(READ_RESTATEMENTS).bind(tenant.0).bind(payment.0), record).await
        })
        .await
    }

    async fn consequences(&self, tenant: TenantId, cause: EventId) -> Result<Vec<EventRecord>, StoreError> {
        self.owned(move |store| async move {
            store.many(sqlx::query(READ_CONSEQUENCES).bind(tenant.0).bind(cause.0), record).await
        })
        .await
    }

    async fn late_fees(
        &self,
        tenant: TenantId,
        loans: Vec<LoanKey>,
        from: NaiveDate,
    ) -> Result<Vec<(AcceptedEvent, Posting)>, StoreError> {
        self.owned(
            move |store| async move { read_late_fees(&mut *store.connection().await?, tenant, (&loans, from)).await },
        )
        .await
    }

    async fn loans_with_late_fees(&self, tenant: TenantId, page: LateFeesPage) -> Result<Vec<LoanKey>, StoreError> {
        self.owned(
            move |store| async move { loans_with_late_fees(&mut *store.connection().await?, tenant, &page).await },
        )
        .await
    }

    async fn with_more_to_tell(&self, tenant: TenantId, events: Vec<EventId>) -> Result<Vec<EventId>, StoreError> {
        let ids: Vec<Uuid> = events.into_iter().map(|id| id.0).collect();
        self.owned(move |store| async move {
            let query = sqlx::query(WITH_MORE_TO_TELL).bind(tenant.0).bind(ids);
            store.many(query, |row: &PgRow| Ok(EventId(Columns::of(row).take()?))).await
        })
        .await
    }

    async fn event_at(&self, tenant: TenantId, seq: Seq) -> Result<Option<EventRecord>, StoreError> {
        self.owned(move |store| async move {
            let found = store.many(sqlx::query(READ_EVENT_AT).bind(tenant.0).bind(seq.0), record).await;
            found.map(|found| found.into_iter().next())
        })
        .await
    }

    async fn loan_ahead(&self, event: NewEvent, limit: i64) -> Result<LoanAhead, StoreError> {
        self.owned(move |store| async move { store.read_ahead(event, limit).await }).await
    }

    async fn group_ahead(&self, group: NewGroup, limit: i64) -> Result<Vec<LoanAhead>, StoreError> {
        self.owned(move |store| async move { store.read_group_ahead(group, limit).await }).await
    }
}

/// Binds $4 to $9: the accounts of what moved, and the layer that counts.
fn with_accounts(query: Prepared<'_>) -> Prepared<'_> {
    query
        .bind(AccountCode::FEES_RECEIVABLE.number())
        .bind(AccountCode::INTEREST_RECEIVABLE.number())
        .bind(AccountCode::PRINCIPAL_RECEIVABLE.number())
        .bind(AccountCode::BORROWER_SUSPENSE.number())
        .bind(AccountCode::INTEREST_INCOME.number())
        .bind(Layer::Settled.as_str())
}

fn loan_record(row: &PgRow) -> Result<LoanRecord, StoreError> {
    let mut columns = Columns::of(row);
    let loan = rows::loan(&mut columns)?;
    Ok(LoanRecord { state: loan.state, on_hold: loan.on_hold, loan_number: columns.take()? })
}

fn day(row: &PgRow) -> Result<LoanDay, StoreError> {
    let mut columns = Columns::of(row);
    let date: NaiveDate = columns.take()?;
    let movement = Balances {
        fees: Minor::new(columns.take()?),
        interest: Minor::new(columns.take()?),
        principal: Minor::new(columns.take()?),
        suspense: Minor::new(columns.take()?),
    };
    Ok(LoanDay { date, movement, accrued: Minor::new(columns.take()?) })
}

fn day_sum(row: &PgRow) -> Result<DaySum, StoreError> {
    let mut columns = Columns::of(row);
    let (cut, date): (i32, NaiveDate) = (columns.take()?, columns.take()?);
    let cut = usize::try_from(cut).map_err(|_| broken("cut", "a number below nothing"))?;
    let moved = [wide(&mut columns)?, wide(&mut columns)?, wide(&mut columns)?, wide(&mut columns)?];
    Ok(DaySum { cut, date, moved, has_memo: columns.take()? })
}

fn posted(row: &PgRow) -> Result<Option<(AcceptedEvent, Posting)>, StoreError> {
    let mut columns = Columns::of(row);
    let event = rows::event(&mut columns)?;
    let posting = rows::posting(&mut columns, event.event.id)?;
    Ok(posting.map(|posting| (event, posting)))
}

fn wide(columns: &mut Columns<'_>) -> Result<i128, StoreError> {
    let text: &str = columns.take()?;
    text.parse().map_err(|_| broken("sum", text))
}

fn kind_totals(row: &PgRow) -> Result<KindTotals, StoreError> {
    let mut columns = Columns::of(row);
    let kind: EventKind = columns.word("kind")?;
    let corrects = columns.take::<Option<&str>>()?;
    let corrects = corrects.map(|word| word.parse().map_err(|_| broken("kind", word))).transpose()?;
    let (count, amount) = (columns.take()?, wide(&mut columns)?);
    let moved = [wide(&mut columns)?, wide(&mut columns)?, wide(&mut columns)?, wide(&mut columns)?];
    Ok(KindTotals { kind, corrects, count, amount, moved })
}

fn payoff_facts(row: &PgRow) -> Result<PayoffFacts, StoreError> {
    let mut columns = Columns::of(row);
    Ok(PayoffFacts {
        unsettled_payments: columns.take()?,
        unsettled_amount: wide(&mut columns)?,
        unsettled_last: columns.take()?,
        returns: columns.take()?,
        queued: 0,
    })
}

fn statement_record(row: &PgRow) -> Result<StatementRecord, StoreError> {
    let mut columns = Columns::of(row);
    let record = record_of(&mut columns)?;
    let corrects: (Option<Uuid>, Option<&str>) = (columns.take()?, columns.take()?);
    let corrects = corrects.0.zip(corrects.1).map(|(id, kind)| {
        let kind = kind.parse().map_err(|_| broken("kind", kind))?;
        Ok(Undoing { id: EventId(id), kind })
    });
    Ok(StatementRecord { record, corrects: corrects.transpose()? })
}
