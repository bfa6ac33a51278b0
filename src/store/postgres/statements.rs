//! Owns the list of every statement, which a test prepares against a migrated database.

use super::{
    accept, ach, admin, bench, fresh, hold, migrate, periods, poller_reads, post, processes, programs, read,
    read_loans, servicing, sweep, uploads, verify,
};

/// Every statement by the name of what it does.
#[must_use]
pub fn statements() -> Vec<(&'static str, &'static str)> {
    let single = [
        ("accept_fresh", fresh::ACCEPT_FRESH),
        ("draw_numbers", fresh::DRAW_NUMBERS),
        ("accept_events", accept::ACCEPT_EVENTS),
        ("accept_rows", accept::ACCEPT_ROWS),
        ("read_known", accept::READ_KNOWN),
        ("read_events", post::READ_EVENTS),
        ("read_unposted_events", post::READ_UNPOSTED_EVENTS),
        ("read_named", post::READ_NAMED),
        ("read_earlier", post::READ_EARLIER),
        ("read_fee_postings", post::READ_FEE_POSTINGS),
        ("write_terms", post::WRITE_TERMS),
        ("read_movements", post::READ_MOVEMENTS),
    ];
    let lists: &[&[(&'static str, &'static str)]] = &[
        &single,
        &post::LOCK_STATEMENTS,
        &post::WRITE_STATEMENTS,
        &read::STATEMENTS,
        &read_loans::STATEMENTS,
        &servicing::STATEMENTS,
        &programs::STATEMENTS,
        &poller_reads::STATEMENTS,
        &admin::STATEMENTS,
        &hold::STATEMENTS,
        &processes::STATEMENTS,
        &sweep::STATEMENTS,
        &uploads::STATEMENTS,
        &ach::STATEMENTS,
        &periods::STATEMENTS,
        &verify::STATEMENTS,
        &bench::STATEMENTS,
    ];
    let mut all = lists.concat();
    all.extend(migrate::STATEMENTS);
    all
}
