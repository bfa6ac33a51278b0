//! Owns the lists of all statements, which tests prepare or run against a migrated database.

use super::{
    accept, ach, admin, bank, bench, conservation, fresh, groups, holds, ledger_reads, loan_check, loan_reads, migrate,
    parking, payments, periods, poller_reads, post, processes, programs, read, read_loans, reconcile, review,
    servicing, sweep, uploads, verify, webhooks,
};

/// Every statement that copies rows in, in binary form: none of them can be prepared.
#[must_use]
pub const fn copies() -> [&'static str; 3] {
    [fresh::COPY_EVENTS, post::COPY_POSTINGS, ach::COPY_ENTRIES]
}

/// Every other statement by the name of what it does.
#[must_use]
pub fn statements() -> Vec<(&'static str, &'static str)> {
    let single = [
        ("accept_fresh", fresh::ACCEPT_FRESH),
        ("draw_numbers", fresh::DRAW_NUMBERS),
        ("raise_totals", fresh::RAISE_TOTALS),
        ("accept_events", accept::ACCEPT_EVENTS),
        ("accept_rows", accept::ACCEPT_ROWS),
        ("read_known", accept::READ_KNOWN),
        ("read_events", post::READ_EVENTS),
        ("read_unposted_events", post::READ_UNPOSTED_EVENTS),
        ("read_named", post::READ_NAMED),
        ("read_earlier", post::READ_EARLIER),
        ("read_fee_postings", post::READ_FEE_POSTINGS),
        ("write_terms", post::WRITE_TERMS),
        ("read_history", post::READ_HISTORY),
        ("insert_parent_posting", groups::INSERT_PARENT_POSTING),
    ];
    let lists: &[&[(&'static str, &'static str)]] = &[
        &single,
        &groups::ACCEPT_STATEMENTS,
        &groups::LOOK_STATEMENTS,
        &post::ACCRUAL_STATEMENTS,
        &post::LATE_FEE_STATEMENTS,
        &post::LOCK_STATEMENTS,
        &post::LOOK_STATEMENTS,
        &post::WRITE_STATEMENTS,
        &read::STATEMENTS,
        &payments::STATEMENTS,
        &read_loans::STATEMENTS,
        &servicing::STATEMENTS,
        &loan_reads::STATEMENTS,
        &post::AHEAD_STATEMENTS,
        &programs::STATEMENTS,
        &poller_reads::STATEMENTS,
        &admin::STATEMENTS,
        &parking::STATEMENTS,
        &holds::STATEMENTS,
        &processes::STATEMENTS,
        &sweep::STATEMENTS,
        &uploads::STATEMENTS,
        &ach::STATEMENTS,
        &ach::MARK_STATEMENTS,
        &review::STATEMENTS,
        &periods::STATEMENTS,
        &ledger_reads::STATEMENTS,
        &conservation::STATEMENTS,
        &reconcile::STATEMENTS,
        &loan_check::STATEMENTS,
        &verify::STATEMENTS,
        &bench::STATEMENTS,
        &webhooks::STATEMENTS,
    ];
    let mut all = lists.concat();
    all.extend(migrate::STATEMENTS);
    all.extend(bank::statements());
    all
}
