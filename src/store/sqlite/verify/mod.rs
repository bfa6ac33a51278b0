//! Owns the proof of the books: every sum, number and hash that the store keeps is made anew from events and lines,
//! in one snapshot, and compared. Memory does not grow with the postings: they are walked loan by loan.

mod findings;
mod links;
mod sums;
mod walk;

use sqlx::SqliteConnection;

use crate::store::sqlite::error::store_error;
use crate::store::sqlite::rows::get;
use crate::store::{StoreError, VerifyReport};

pub(super) use links::{WRONG_SYSTEM_EVENTS, WRONG_UNDOS};
pub(super) use sums::ALL_ACCOUNT_TOTALS;
pub(super) use walk::POSTINGS_BY_LOAN;

use findings::Findings;

/// Events by how far they have come; uploads are not in the books.
pub(super) const EVENTS_BY_STAGE: &str = "
    SELECT coalesce(p.outcome, CASE WHEN k.parked_at IS NOT NULL THEN 'parked' WHEN h.loan_key IS NOT NULL THEN 'held'
            ELSE 'in_flight' END) AS stage, count(*) AS events
    FROM events AS e
    LEFT JOIN postings AS p ON p.event_seq = e.seq
    LEFT JOIN parked AS k ON k.event_seq = e.seq
    LEFT JOIN holds AS h ON h.loan_key = e.loan_key
    WHERE e.kind <> 'upload'
    GROUP BY 1";

/// Events that nobody would ever post: born finished without a posting, or in flight below the sweeper's mark.
pub(super) const LOST_EVENTS: &str = "
    SELECT e.seq, e.slot IS NULL AS born_finished
    FROM events AS e
    LEFT JOIN parked AS k ON k.event_seq = e.seq AND k.parked_at IS NOT NULL
    LEFT JOIN holds AS h ON h.loan_key = e.loan_key
    WHERE NOT EXISTS (SELECT 1 FROM postings AS p WHERE p.event_seq = e.seq)
        AND e.kind <> 'upload'
        AND (e.slot IS NULL
            OR (e.seq <= (SELECT mark FROM sweeper) AND k.event_seq IS NULL AND h.loan_key IS NULL))
    ORDER BY e.seq LIMIT 100";

/// Loans without any numbered posting. None may be left by a committed transaction.
pub(super) const EMPTY_LOANS: &str = "
    SELECT hex(l.loan_key) AS loan FROM loans AS l
    WHERE NOT EXISTS (SELECT 1 FROM postings AS p WHERE p.loan_key = l.loan_key AND p.loan_version > 0)
    LIMIT 100";

/// What the intake counted in its own rows against the events that it took.
pub(super) const WRONG_ACCEPTED: &str = "
    SELECT hex(tenant) AS tenant, sum(accepted) AS accepted, sum(events) AS events FROM (
        SELECT tenant, accepted, 0 AS events FROM publisher_totals
        UNION ALL SELECT tenant, 0, count(*) FROM events WHERE slot IS NOT NULL GROUP BY tenant)
    GROUP BY tenant HAVING sum(accepted) <> sum(events) LIMIT 100";

pub(super) const COUNT_LOANS: &str = "SELECT count(*) AS loans FROM loans";

/// Proves the books; see [`VerifyReport`].
pub(super) async fn verify(db: &mut SqliteConnection) -> Result<VerifyReport, StoreError> {
    let mut report = VerifyReport::default();
    count_stages(db, &mut report).await?;
    let mut findings = Findings::default();
    for row in sqlx::query(LOST_EVENTS).fetch_all(&mut *db).await.map_err(store_error)? {
        let (seq, born_finished): (i64, bool) = (get(&row, "seq")?, get(&row, "born_finished")?);
        let why = if born_finished { "has no slot and no posting" } else { "is in flight below the sweeper's mark" };
        findings.add("event_without_posting", || format!("event {seq} {why}"));
    }
    for row in sqlx::query(EMPTY_LOANS).fetch_all(&mut *db).await.map_err(store_error)? {
        let loan: String = get(&row, "loan")?;
        findings.add("loan_version", || format!("loan {loan} has no posting"));
    }
    for row in sqlx::query(WRONG_ACCEPTED).fetch_all(&mut *db).await.map_err(store_error)? {
        let (tenant, accepted): (String, i64) = (get(&row, "tenant")?, get(&row, "accepted")?);
        let events: i64 = get(&row, "events")?;
        findings.add("conservation", || {
            format!("tenant {tenant} has {events} events where the intake accepted {accepted}")
        });
    }
    links::check_links(db, &mut findings).await?;
    let made = walk::walk_postings(db, &mut findings).await?;
    sums::compare_totals(db, made, &mut findings).await?;
    report.loans = get(&sqlx::query(COUNT_LOANS).fetch_one(db).await.map_err(store_error)?, "loans")?;
    report.problems = findings.into_problems();
    Ok(report)
}

async fn count_stages(db: &mut SqliteConnection, report: &mut VerifyReport) -> Result<(), StoreError> {
    for row in sqlx::query(EVENTS_BY_STAGE).fetch_all(db).await.map_err(store_error)? {
        let events: i64 = get(&row, "events")?;
        report.events = report.events.saturating_add(events);
        match get::<&str>(&row, "stage")? {
            "posted" => report.posted = events,
            "rejected" => report.rejected = events,
            "parked" => report.parked = events,
            "held" => report.held = events,
            "in_flight" => report.in_flight = events,
            _ => {}
        }
    }
    Ok(())
}
