//! Owns the proof of the links between events: what undoes a payment, and what follows from an event.

use sqlx::SqliteConnection;

use crate::core::ledger::AccountCode;
use crate::store::StoreError;
use crate::store::sqlite::error::store_error;
use crate::store::sqlite::rows::get;
use crate::store::sqlite::verify::findings::Findings;

/// Undo links: what takes an entry back is a return or a reversal, a later posting of its loan, counts from its day, and
/// is alone in it; of money that came in it gives back all, of any other entry it is the mirror of all that stands; and a
/// posted return or reversal takes back what it names, unless it is charged back on its own day. A disbursement is settled
/// once. Lines that cannot be read are none here; the walk tells of them.
pub(in crate::store::sqlite) const WRONG_UNDOS: &str = "
    SELECT 'posting ' || u.event_seq || ' does not undo event ' || u.undoes_seq
        || ' as a whole, on its day and in its loan' AS detail
    FROM postings AS u
    LEFT JOIN postings AS p ON p.event_seq = u.undoes_seq
    LEFT JOIN events AS e ON e.seq = u.undoes_seq
    LEFT JOIN events AS ue ON ue.seq = u.event_seq
    WHERE u.undoes_seq IS NOT NULL AND NOT coalesce(
        ue.kind IN ('payment_returned', 'reversal')
            AND (e.kind NOT IN ('payment_returned', 'reversal') OR e.details ->> 'credit_order' IS NOT NULL)
            AND p.outcome = 'posted' AND p.loan_key = u.loan_key
            AND p.loan_version < u.loan_version AND p.effective_date = u.effective_date
            AND NOT EXISTS (
                SELECT 1 FROM (
                    SELECT account.value AS account, amount.value AS amount
                    FROM json_each(iif(json_valid(p.accounts), p.accounts, '[]')) AS account
                    JOIN json_each(iif(json_valid(p.amounts), p.amounts, '[]')) AS amount ON amount.key = account.key
                    UNION ALL
                    SELECT account.value, amount.value
                    FROM json_each(iif(json_valid(u.accounts), u.accounts, '[]')) AS account
                    JOIN json_each(iif(json_valid(u.amounts), u.amounts, '[]')) AS amount ON amount.key = account.key
                    UNION ALL
                    SELECT account.value, amount.value
                    FROM postings AS r
                    JOIN json_each(iif(json_valid(r.accounts), r.accounts, '[]')) AS account
                    JOIN json_each(iif(json_valid(r.amounts), r.amounts, '[]')) AS amount ON amount.key = account.key
                    WHERE r.restates_seq IN (u.undoes_seq, p.restates_seq) AND r.loan_key = u.loan_key
                        AND r.loan_version > p.loan_version AND r.loan_version < u.loan_version)
                WHERE e.kind NOT IN ('payment_received', 'recovery') OR account = ?1
                GROUP BY account HAVING sum(amount) <> 0),
        0)
    UNION ALL
    SELECT 'event ' || undoes_seq || ' is undone ' || count(*) || ' times' FROM postings
    WHERE undoes_seq IS NOT NULL GROUP BY undoes_seq HAVING count(*) > 1
    UNION ALL
    SELECT e.kind || ' ' || e.seq || ' does not undo what it names'
    FROM events AS e JOIN postings AS p ON p.event_seq = e.seq
    WHERE e.kind IN ('payment_returned', 'reversal') AND p.outcome = 'posted'
        AND p.undoes_seq IS NOT CASE WHEN e.details ->> 'credit_order' IS NULL THEN
            coalesce(e.details ->> 'payment_seq', e.details ->> 'event_seq',
                e.details ->> '$.leg.terms.reversal.leg.event_seq') END
    UNION ALL
    SELECT 'disbursement ' || (e.details ->> 'event_seq') || ' is settled ' || count(*) || ' times'
    FROM events AS e JOIN postings AS p ON p.event_seq = e.seq
    WHERE e.kind = 'disbursement_settled' AND p.outcome = 'posted'
        AND NOT EXISTS (SELECT 1 FROM postings AS u WHERE u.undoes_seq = e.seq)
    GROUP BY e.details ->> 'event_seq' HAVING count(*) > 1
    LIMIT 100";

/// Consequences: each follows a posted event of its loan and was never queued; and a posted return has the fee it
/// names, once, and no other; a fee that only the program names may have been refused, or charged with an earlier return.
pub(in crate::store::sqlite) const WRONG_SYSTEM_EVENTS: &str = "
    SELECT 'event ' || e.seq || ' follows no posted event of its loan' AS detail
    FROM events AS e
    LEFT JOIN events AS c ON c.seq = e.cause_seq
    LEFT JOIN postings AS p ON p.event_seq = e.cause_seq
    WHERE e.cause_seq IS NOT NULL AND NOT coalesce(
        c.loan_key = e.loan_key AND c.tenant = e.tenant AND c.seq < e.seq AND e.slot IS NULL
            AND p.outcome = 'posted',
        0)
    UNION ALL
    SELECT 'return ' || e.seq || ' has not the fee it names'
    FROM events AS e
    JOIN postings AS p ON p.event_seq = e.seq
    LEFT JOIN (SELECT cause_seq, count(*) AS fees, max(amount) AS amount FROM events
               WHERE cause_seq IS NOT NULL AND kind = 'fee_assessed' GROUP BY cause_seq) AS f ON f.cause_seq = e.seq
    WHERE e.kind = 'payment_returned' AND p.outcome = 'posted'
        AND (e.details ->> 'fee_minor' IS NOT NULL OR f.fees IS NOT NULL)
        AND (coalesce(e.details ->> 'fee_minor', e.details ->> 'program_fee_minor') IS NOT f.amount OR f.fees > 1)
    LIMIT 100";

/// Groups: the legs are numbered without a gap and are as many as their parent says, all of its tenant; they are posted
/// where it is done, refused for its reason where it is rejected, and wait where it waits; and what goes from loan to
/// loan leaves nothing on the way.
pub(in crate::store::sqlite) const WRONG_GROUPS: &str = "
    SELECT 'group ' || g.seq || ' and its legs do not go together' AS detail
    FROM (SELECT l.group_seq AS seq, count(*) AS legs, min(l.leg) AS first, max(l.leg) AS last,
              count(p.event_seq) AS finished, sum(p.outcome IS 'posted') AS posted,
              min(l.tenant = e.tenant) AS is_one_tenant, min(p.rejection_code IS q.rejection_code) AS is_one_reason
          FROM events AS l
          LEFT JOIN postings AS p ON p.event_seq = l.seq
          LEFT JOIN events AS e ON e.seq = l.group_seq
          LEFT JOIN postings AS q ON q.event_seq = l.group_seq
          WHERE l.group_seq IS NOT NULL GROUP BY l.group_seq) AS g
    LEFT JOIN events AS e ON e.seq = g.seq
    LEFT JOIN postings AS q ON q.event_seq = g.seq
    WHERE NOT coalesce(
        e.slot IS NULL AND e.details ->> '$.group.legs' = g.legs AND g.first = 1 AND g.last = g.legs
            AND g.is_one_tenant AND g.is_one_reason
            AND CASE q.outcome WHEN 'done' THEN g.posted = g.legs
                WHEN 'rejected' THEN g.finished = g.legs AND g.posted = 0 ELSE g.finished = 0 END,
        0)
    UNION ALL
    SELECT 'group ' || l.group_seq || ' leaves ' || sum(amount.value) || ' between its loans'
    FROM events AS l
    JOIN postings AS p ON p.event_seq = l.seq
    JOIN json_each(iif(json_valid(p.accounts), p.accounts, '[]')) AS account
    JOIN json_each(iif(json_valid(p.amounts), p.amounts, '[]')) AS amount ON amount.key = account.key
    WHERE l.group_seq IS NOT NULL AND account.value = ?1
    GROUP BY l.group_seq HAVING sum(amount.value) <> 0
    UNION ALL
    SELECT 'group ' || e.seq || ' has no legs' FROM events AS e
    WHERE e.slot IS NULL AND e.details LIKE '{\"group\":%'
        AND NOT EXISTS (SELECT 1 FROM events AS l WHERE l.group_seq = e.seq)
    LIMIT 100";

/// Notes every link that does not hold.
pub(super) async fn check_links(db: &mut SqliteConnection, findings: &mut Findings) -> Result<(), StoreError> {
    let undos = sqlx::query(WRONG_UNDOS).bind(AccountCode::PAYMENT_CLEARING.number());
    let groups = sqlx::query(WRONG_GROUPS).bind(AccountCode::LOAN_TRANSFER_CLEARING.number());
    let checks = [("undo_link", undos), ("system_event", sqlx::query(WRONG_SYSTEM_EVENTS)), ("group", groups)];
    for (check, query) in checks {
        for row in query.fetch_all(&mut *db).await.map_err(store_error)? {
            let detail: String = get(&row, "detail")?;
            findings.add(check, || detail);
        }
    }
    Ok(())
}
