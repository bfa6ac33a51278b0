//! Owns the reads of a loan's past; see [`LoanReads`].

use std::collections::BTreeMap;

use async_trait::async_trait;
use chrono::NaiveDate;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use crate::core::event::{AcceptedEvent, EventKind, NewEvent, NewGroup};
use crate::core::ids::{EventId, LoanKey, Seq, TenantId};
use crate::core::ledger::{DaySum, Posting};
use crate::core::loan::{LoanDay, LoanHistory};
use crate::core::time::Timestamp;
use crate::store::sqlite::error::store_error;
use crate::store::sqlite::loans::{loan, loan_record};
use crate::store::sqlite::params::{Hex, json};
use crate::store::sqlite::post::late_fee;
use crate::store::sqlite::records::{decode_records, position, select_records, stage};
use crate::store::sqlite::rows::{
    broken, date, decode_accrual, decode_moved, decode_posted, decode_record, event_columns, get, id, loan_columns,
    on_hold, optional_bytes, posting_columns, word,
};
use crate::store::sqlite::{SqliteStore, post};
use crate::store::{
    EventRecord, HistoryCut, KindTotals, LateFeesPage, LoanAhead, LoanDays, LoanReads, LoanRecord, LoanSpan, LoanSums,
    LoansFilter, LoansPage, PayoffFacts, PayoffSince, StatementPage, StatementRecord, StoreError, Undoing,
};

/// The loan of a number: one step of `loans_number_once`.
pub(super) const LOANS_OF_NUMBER: &str = concat!(
    "SELECT ",
    loan_columns!(),
    ", ",
    on_hold!(),
    " FROM loans AS l LEFT JOIN holds AS h ON h.loan_key = l.loan_key
    WHERE l.tenant = ?1 AND l.loan_number_comparable = ?2 AND l.loan_key > ?3 AND l.version > 0 LIMIT ?4"
);

/// A walk of `loans_borrower`.
pub(super) const LOANS_OF_BORROWER: &str = concat!(
    "SELECT ",
    loan_columns!(),
    ", ",
    on_hold!(),
    " FROM loans AS l INDEXED BY loans_borrower LEFT JOIN holds AS h ON h.loan_key = l.loan_key
    WHERE l.tenant = ?1 AND l.borrower_id = ?2 AND l.loan_key > ?3 AND l.version > 0 ORDER BY l.loan_key LIMIT ?4"
);

/// The same walk over all borrowers. Loans of our own have none.
pub(super) const LOANS_OF_TENANT: &str = concat!(
    "SELECT ",
    loan_columns!(),
    ", ",
    on_hold!(),
    " FROM loans AS l INDEXED BY loans_borrower LEFT JOIN holds AS h ON h.loan_key = l.loan_key
    WHERE l.tenant = ?1 AND (l.borrower_id, l.loan_key) > (?2, ?3) AND l.borrower_id > zeroblob(16) AND l.version > 0
    ORDER BY l.borrower_id, l.loan_key LIMIT ?4"
);

/// What each posting moved.
pub(super) const LINES_BY_DAY: &str = "
    SELECT effective_date, accounts, amounts, layer FROM postings
    WHERE loan_key = ?1 AND loan_version BETWEEN 1 AND ?2 AND posted_at <= ?3 AND amounts <> '[]'";

/// What each posting up to a version moved, and on which accounts.
pub(super) const LINES_BY_VERSION: &str = "
    SELECT loan_version, effective_date, accounts, amounts, layer FROM postings
    WHERE loan_key = ?1 AND loan_version BETWEEN 1 AND ?2 AND amounts <> '[]'";

/// What stands in the books of the days of a span.
pub(super) const POSTINGS_OF_SPAN: &str = concat!(
    "SELECT ",
    event_columns!(),
    ", ",
    posting_columns!(),
    " FROM postings AS p INDEXED BY postings_loan_version JOIN events AS e ON e.seq = p.event_seq
    WHERE e.tenant = ?1 AND p.loan_key = ?2 AND p.loan_version BETWEEN 1 AND ?3
        AND p.effective_date BETWEEN ?4 AND ?5 AND p.outcome = 'posted'
    ORDER BY p.loan_version"
);

/// What each posting of a span moved, with its kind.
pub(super) const LINES_BY_KIND: &str = "
    SELECT e.kind, fixed.kind AS fixed_kind, e.amount, p.effective_date, p.accounts, p.amounts, p.layer
    FROM postings AS p INDEXED BY postings_loan_version JOIN events AS e ON e.seq = p.event_seq
    LEFT JOIN events AS fixed ON fixed.seq = coalesce(p.undoes_seq, p.restates_seq)
    WHERE e.tenant = ?1 AND p.loan_key = ?2 AND p.loan_version BETWEEN 1 AND ?3
        AND p.effective_date BETWEEN ?4 AND ?5 AND p.amounts <> '[]' AND p.layer = 'SETTLED'";

/// A page of a statement, chosen from the postings alone.
pub(super) const STATEMENT_ROWS: &str = concat!(
    select_records!(
        "(SELECT event_seq FROM postings INDEXED BY postings_loan_version
            WHERE loan_key = ?2 AND loan_version BETWEEN 1 AND ?3 AND effective_date BETWEEN ?4 AND ?5
                AND (effective_date, loan_version) > (?6, ?7) AND amounts <> '[]'
            ORDER BY effective_date, loan_version LIMIT ?8) AS page
        JOIN postings AS p ON p.event_seq = page.event_seq JOIN events AS e ON e.seq = p.event_seq
        LEFT JOIN events AS fixed ON fixed.seq = coalesce(p.undoes_seq, p.restates_seq)",
        "fixed.id AS fixed_id, fixed.kind AS fixed_kind"
    ),
    " WHERE e.tenant = ?1 ORDER BY p.effective_date, p.loan_version"
);

/// How many returns a loan has had since a day.
pub(super) const PAYOFF_FACTS: &str = "
    SELECT count(*) AS returns
    FROM postings AS p INDEXED BY postings_loan_version JOIN events AS e ON e.seq = p.event_seq
    WHERE e.tenant = ?1 AND p.loan_key = ?2 AND p.loan_version > 0 AND p.outcome = 'posted'
        AND e.kind = 'payment_returned' AND e.effective_date >= ?3";

/// Payments by ACH since a day that stand.
pub(super) const PAYOFF_PAYMENTS: &str = "
    SELECT e.amount, e.effective_date
    FROM postings AS p INDEXED BY postings_loan_version JOIN events AS e ON e.seq = p.event_seq
    WHERE e.tenant = ?1 AND p.loan_key = ?2 AND p.loan_version > 0 AND p.outcome = 'posted'
        AND e.kind = 'payment_received' AND e.source_method = 'ach' AND p.effective_date >= ?3
        AND NOT EXISTS (SELECT 1 FROM postings AS u WHERE u.undoes_seq = p.event_seq)";

/// What divides a payment's money anew.
pub(super) const RESTATEMENTS: &str = concat!(
    select_records!("postings AS p INDEXED BY postings_restates JOIN events AS e ON e.seq = p.event_seq"),
    " WHERE e.tenant = ?1 AND p.restates_seq = ?2 ORDER BY p.event_seq"
);

/// What an event has brought about: its loan's events behind it. The first of them has the next version, so that of an event
/// without any nothing is walked.
pub(super) const CONSEQUENCES: &str = concat!(
    select_records!(
        "events AS cause JOIN postings AS o ON o.event_seq = cause.seq
            JOIN postings AS n ON n.loan_key = o.loan_key AND n.loan_version = o.loan_version + 1 AND n.loan_version > 0
            JOIN events AS f ON f.seq = n.event_seq AND f.cause_seq = cause.seq
            JOIN events AS e ON e.loan_key = cause.loan_key AND e.seq > cause.seq
            AND e.cause_seq = cause.seq JOIN postings AS p ON p.event_seq = e.seq"
    ),
    " WHERE e.tenant = ?1 AND cause.tenant = ?1 AND cause.id = ?2 ORDER BY e.seq"
);

/// The next version is that of the first event that was brought about, as in [`CONSEQUENCES`].
pub(super) const WITH_MORE_TO_TELL: &str = concat!(
    "SELECT c.id FROM jsonb_each(?2) AS asked JOIN events AS c ON c.id = unhex(asked.value)
    JOIN postings AS o ON o.event_seq = c.seq
    WHERE c.tenant = ?1 AND (
        EXISTS (SELECT 1 FROM postings AS n JOIN events AS b ON b.seq = n.event_seq
            WHERE n.loan_key = o.loan_key AND n.loan_version = o.loan_version + 1 AND n.loan_version > 0
                AND b.cause_seq = c.seq)
        OR EXISTS (SELECT 1 FROM events AS f INDEXED BY events_late_fees
            JOIN postings AS charged ON charged.event_seq = f.seq
            WHERE f.tenant = ?1 AND f.loan_key = c.loan_key AND charged.loan_version < o.loan_version
                AND (f.effective_date > o.effective_date OR c.kind IN ('payment_returned', 'reversal')) AND ",
    late_fee!(),
    "))"
);

/// The event at a place.
pub(super) const EVENT_AT: &str = concat!(
    select_records!("events AS e LEFT JOIN postings AS p ON p.event_seq = e.seq"),
    " WHERE e.tenant = ?1 AND e.seq = ?2"
);

#[async_trait]
impl LoanReads for SqliteStore {
    async fn loans(&self, tenant: TenantId, page: LoansPage) -> Result<Vec<LoanRecord>, StoreError> {
        self.read(move |db| Box::pin(loans(db, tenant, page))).await
    }

    async fn loan_days(
        &self,
        tenant: TenantId,
        loan: LoanKey,
        cut: HistoryCut,
    ) -> Result<Option<LoanDays>, StoreError> {
        self.read(move |db| Box::pin(days(db, tenant, loan, cut))).await
    }

    async fn loan_sums(
        &self,
        tenant: TenantId,
        loan: LoanKey,
        versions: Vec<i64>,
    ) -> Result<Option<LoanSums>, StoreError> {
        self.read(move |db| Box::pin(sums(db, tenant, loan, versions))).await
    }

    async fn loan_postings(
        &self,
        tenant: TenantId,
        loan: LoanKey,
        span: LoanSpan,
    ) -> Result<Vec<(AcceptedEvent, Posting)>, StoreError> {
        self.read(move |db| Box::pin(postings(db, tenant, loan, span))).await
    }

    async fn loan_totals(
        &self,
        tenant: TenantId,
        loan: LoanKey,
        span: LoanSpan,
    ) -> Result<Vec<KindTotals>, StoreError> {
        self.read(move |db| Box::pin(totals(db, tenant, loan, span))).await
    }

    async fn statement_rows(
        &self,
        tenant: TenantId,
        loan: LoanKey,
        page: StatementPage,
    ) -> Result<Vec<StatementRecord>, StoreError> {
        self.read(move |db| Box::pin(statement_rows(db, tenant, loan, page))).await
    }

    async fn payoff_facts(
        &self,
        tenant: TenantId,
        loan: LoanKey,
        since: PayoffSince,
    ) -> Result<PayoffFacts, StoreError> {
        self.read(move |db| Box::pin(payoff_facts(db, tenant, loan, since))).await
    }

    async fn restatements(&self, tenant: TenantId, payment: Seq) -> Result<Vec<EventRecord>, StoreError> {
        self.read(move |db| {
            Box::pin(async move {
                let rows = sqlx::query(RESTATEMENTS).bind(tenant.0).bind(payment.0).fetch_all(db).await;
                decode_records(&rows.map_err(store_error)?)
            })
        })
        .await
    }

    async fn consequences(&self, tenant: TenantId, cause: EventId) -> Result<Vec<EventRecord>, StoreError> {
        self.read(move |db| {
            Box::pin(async move {
                let rows = sqlx::query(CONSEQUENCES).bind(tenant.0).bind(cause.0).fetch_all(db).await;
                decode_records(&rows.map_err(store_error)?)
            })
        })
        .await
    }

    async fn late_fees(
        &self,
        tenant: TenantId,
        loans: Vec<LoanKey>,
        from: NaiveDate,
    ) -> Result<Vec<(AcceptedEvent, Posting)>, StoreError> {
        self.read(move |db| Box::pin(async move { post::read_late_fees(db, tenant, (&loans, from)).await })).await
    }

    async fn loans_with_late_fees(&self, tenant: TenantId, page: LateFeesPage) -> Result<Vec<LoanKey>, StoreError> {
        self.read(move |db| Box::pin(async move { post::loans_with_late_fees(db, tenant, &page).await })).await
    }

    async fn with_more_to_tell(&self, tenant: TenantId, events: Vec<EventId>) -> Result<Vec<EventId>, StoreError> {
        self.read(move |db| {
            Box::pin(async move {
                let wanted = json(&events.iter().map(|id| Hex(id.0.into_bytes())).collect::<Vec<_>>())?;
                let rows = sqlx::query(WITH_MORE_TO_TELL).bind(tenant.0).bind(wanted).fetch_all(db).await;
                rows.map_err(store_error)?.iter().map(|row| Ok(EventId(id(row, "id")?))).collect()
            })
        })
        .await
    }

    async fn event_at(&self, tenant: TenantId, seq: Seq) -> Result<Option<EventRecord>, StoreError> {
        self.read(move |db| {
            Box::pin(async move {
                let rows = sqlx::query(EVENT_AT).bind(tenant.0).bind(seq.0).fetch_all(db).await;
                Ok(decode_records(&rows.map_err(store_error)?)?.into_iter().next())
            })
        })
        .await
    }

    async fn loan_ahead(&self, event: NewEvent, limit: i64) -> Result<LoanAhead, StoreError> {
        let now = self.clock.now();
        self.read(move |db| Box::pin(post::look_ahead(db, event, limit, now))).await
    }

    async fn group_ahead(&self, group: NewGroup, limit: i64) -> Result<Vec<LoanAhead>, StoreError> {
        let now = self.clock.now();
        self.read(move |db| Box::pin(async move { post::look_ahead_group(db, &group, limit, now).await })).await
    }
}

async fn loans(db: &mut SqliteConnection, tenant: TenantId, page: LoansPage) -> Result<Vec<LoanRecord>, StoreError> {
    let query = match page.filter {
        LoansFilter::OfNumber(number) => sqlx::query(LOANS_OF_NUMBER).bind(tenant.0).bind(number),
        LoansFilter::OfBorrower(borrower) => sqlx::query(LOANS_OF_BORROWER).bind(tenant.0).bind(borrower.0),
        LoansFilter::All => sqlx::query(LOANS_OF_TENANT).bind(tenant.0).bind(page.after.borrower),
    };
    let query = query.bind(page.after.loan).bind(page.limit.saturating_add(1));
    query.fetch_all(db).await.map_err(store_error)?.iter().map(loan_record).collect()
}

async fn days(
    db: &mut SqliteConnection,
    tenant: TenantId,
    key: LoanKey,
    cut: HistoryCut,
) -> Result<Option<LoanDays>, StoreError> {
    let Some(record) = loan(db, tenant, key).await? else {
        return Ok(None);
    };
    let query = sqlx::query(LINES_BY_DAY)
        .bind(key.bytes().to_vec())
        .bind(cut.version)
        .bind(cut.known_at.map_or(i64::MAX, Timestamp::micros));
    let rows = query.fetch_all(db).await.map_err(store_error)?;
    let days = rows.iter().map(day).collect::<Result<Vec<LoanDay>, _>>()?;
    let history = LoanHistory::new(days).map_err(|error| StoreError::Broken(error.to_string()))?;
    Ok(Some(LoanDays { record, history }))
}

fn day(row: &SqliteRow) -> Result<LoanDay, StoreError> {
    let (movement, accrued) = decode_accrual(row)?;
    Ok(LoanDay { date: date(row, "effective_date")?, movement, accrued })
}

async fn sums(
    db: &mut SqliteConnection,
    tenant: TenantId,
    key: LoanKey,
    versions: Vec<i64>,
) -> Result<Option<LoanSums>, StoreError> {
    let Some(record) = loan(db, tenant, key).await? else {
        return Ok(None);
    };
    let last = versions.last().copied().unwrap_or(0);
    let rows = sqlx::query(LINES_BY_VERSION).bind(key.bytes().to_vec()).bind(last).fetch_all(db).await;
    let mut days: BTreeMap<(usize, NaiveDate), DaySum> = BTreeMap::new();
    for row in &rows.map_err(store_error)? {
        let (version, date): (i64, _) = (get(row, "loan_version")?, date(row, "effective_date")?);
        let cut = versions.partition_point(|cut| *cut < version);
        let day = days.entry((cut, date)).or_insert(DaySum { cut, date, moved: [0; 4], has_memo: false });
        let (moved, has_memo) = decode_moved(row)?;
        for (sum, part) in day.moved.iter_mut().zip([moved.fees, moved.interest, moved.principal, moved.suspense]) {
            // 2^63 amounts of 64 bits cannot leave 128 bits.
            *sum = sum.saturating_add(part.units().into());
        }
        day.has_memo |= has_memo;
    }
    Ok(Some(LoanSums { record, days: days.into_values().collect() }))
}

async fn postings(
    db: &mut SqliteConnection,
    tenant: TenantId,
    key: LoanKey,
    span: LoanSpan,
) -> Result<Vec<(AcceptedEvent, Posting)>, StoreError> {
    let query = sqlx::query(POSTINGS_OF_SPAN).bind(tenant.0).bind(key.bytes().to_vec()).bind(span.version);
    let query = query.bind(span.from.to_string()).bind(span.to.to_string());
    let rows = query.fetch_all(db).await.map_err(store_error)?;
    rows.iter().filter_map(|row| decode_posted(row).transpose()).collect()
}

async fn totals(
    db: &mut SqliteConnection,
    tenant: TenantId,
    loan: LoanKey,
    span: LoanSpan,
) -> Result<Vec<KindTotals>, StoreError> {
    let rows = sqlx::query(LINES_BY_KIND)
        .bind(tenant.0)
        .bind(loan.bytes().to_vec())
        .bind(span.version)
        .bind(span.from.to_string())
        .bind(span.to.to_string());
    let mut kinds: BTreeMap<(EventKind, Option<EventKind>), KindTotals> = BTreeMap::new();
    for row in &rows.fetch_all(db).await.map_err(store_error)? {
        let (kind, corrects): (EventKind, _) = (word(row, "kind")?, fixed_kind(row)?);
        let moved = decode_accrual(row)?.0;
        let start = KindTotals { kind, corrects, count: 0, amount: 0, moved: [0; 4] };
        let totals = kinds.entry((kind, corrects)).or_insert(start);
        // 2^63 amounts of 64 bits cannot leave 128 bits.
        totals.count = totals.count.saturating_add(1);
        totals.amount = totals.amount.saturating_add(get::<Option<i64>>(row, "amount")?.unwrap_or(0).into());
        for (sum, part) in totals.moved.iter_mut().zip([moved.fees, moved.interest, moved.principal, moved.suspense]) {
            *sum = sum.saturating_add(part.units().into());
        }
    }
    Ok(kinds.into_values().collect())
}

fn fixed_kind(row: &SqliteRow) -> Result<Option<EventKind>, StoreError> {
    let kind: Option<&str> = get(row, "fixed_kind")?;
    kind.map(|kind| kind.parse().map_err(|_| broken("fixed_kind"))).transpose()
}

async fn statement_rows(
    db: &mut SqliteConnection,
    tenant: TenantId,
    loan: LoanKey,
    StatementPage { span, after, limit }: StatementPage,
) -> Result<Vec<StatementRecord>, StoreError> {
    let rows = sqlx::query(STATEMENT_ROWS)
        .bind(tenant.0)
        .bind(loan.bytes().to_vec())
        .bind(span.version)
        .bind(span.from.to_string())
        .bind(span.to.to_string())
        .bind(after.0.to_string())
        .bind(after.1)
        .bind(limit.saturating_add(1));
    let rows = rows.fetch_all(db).await.map_err(store_error)?;
    rows.iter().map(statement_record).collect()
}

fn statement_record(row: &SqliteRow) -> Result<StatementRecord, StoreError> {
    let fixed: Option<[u8; 16]> = optional_bytes(row, "fixed_id")?;
    let fixed = fixed.map(|id| EventId(Uuid::from_bytes(id))).zip(fixed_kind(row)?);
    Ok(StatementRecord { record: decode_record(row)?, corrects: fixed.map(|(id, kind)| Undoing { id, kind }) })
}

async fn payoff_facts(
    db: &mut SqliteConnection,
    tenant: TenantId,
    loan: LoanKey,
    since: PayoffSince,
) -> Result<PayoffFacts, StoreError> {
    let queued = position(db, tenant, loan, Seq(i64::MAX)).await?;
    let of = |statement: &'static str, day: NaiveDate| {
        sqlx::query(statement).bind(tenant.0).bind(loan.bytes().to_vec()).bind(day.to_string())
    };
    let row = of(PAYOFF_FACTS, since.returns).fetch_one(&mut *db).await.map_err(store_error)?;
    let mut facts = PayoffFacts { queued, returns: get(&row, "returns")?, ..PayoffFacts::default() };
    for row in &of(PAYOFF_PAYMENTS, since.payments).fetch_all(db).await.map_err(store_error)? {
        facts.unsettled_payments = facts.unsettled_payments.saturating_add(1);
        facts.unsettled_amount = facts.unsettled_amount.saturating_add(get::<i64>(row, "amount")?.into());
        facts.unsettled_last = facts.unsettled_last.max(Some(date(row, "effective_date")?));
    }
    Ok(facts)
}
