//! The store's laws, each run against every implementation, and what is special about one of them.

mod accruals;
mod ach;
mod at_once;
mod bank;
mod changes;
mod groups;
mod groups_between;
mod groups_order;
mod holds;
mod intake;
mod late;
mod late_fees;
mod ledger;
mod loan_reads;
mod operations;
mod periods;
mod postgres;
mod postgres_changes;
mod postgres_known;
mod postgres_periods;
mod postgres_role;
mod postgres_sweep;
mod posting;
mod reads;
mod reconciliation;
mod returns;
mod reviews;
mod servicing;
mod sqlite;
mod uploads;
mod verify;
mod webhooks;

use std::sync::Arc;

use hpts::core::ids::Seq;
use hpts::store::Store;
use sqlx::{AssertSqlSafe, Executor, Row};

use crate::support::postgres::PostgresDatabase;
use crate::support::sqlite::SqliteDatabase;

/// A store of a test's own.
pub(crate) trait Fixture: Sized {
    /// A migrated store on an empty database.
    async fn open() -> Self;
    /// The store.
    fn store(&self) -> Arc<dyn Store>;
    /// Runs a statement as the owner of the database.
    async fn execute(&self, sql: &str) -> Result<(), String>;
    /// Runs a statement with the guards of `events` and `postings` switched off.
    async fn tamper(&self, sql: &str);
    /// Makes an event older.
    async fn age(&self, seq: Seq, seconds: i64);
    /// Counts the rows of a table.
    async fn count(&self, table: &str) -> i64;
    /// Makes inserts of certain rows into a table fail, as a crash at that statement would.
    async fn break_inserts(&self, table: &str, rows: &str);
    /// Lets inserts into a table through again.
    async fn mend_inserts(&self, table: &str);
}

/// A macro, because the databases have the same methods and share no type; only their words for a span of time differ.
macro_rules! fixture {
    ($database:ty, |$seconds:ident| $older:literal, |$table:ident, $rows:ident| $broken:literal, $mended:literal) => {
        impl Fixture for $database {
            async fn open() -> Self {
                Self::open().await
            }

            fn store(&self) -> Arc<dyn Store> {
                self.store()
            }

            async fn execute(&self, sql: &str) -> Result<(), String> {
                self.execute(sql).await
            }

            async fn tamper(&self, sql: &str) {
                self.tamper(sql).await;
            }

            async fn age(&self, seq: Seq, $seconds: i64) {
                let older = format!($older);
                self.tamper(&format!("UPDATE events SET accepted_at = {older} WHERE seq = {seq}")).await;
            }

            async fn break_inserts(&self, $table: &str, $rows: &str) {
                self.execute(&format!($broken)).await.unwrap();
            }

            async fn mend_inserts(&self, $table: &str) {
                self.execute(&format!($mended)).await.unwrap();
            }

            async fn count(&self, table: &str) -> i64 {
                let sql = AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
                self.connection().await.fetch_one(sql).await.unwrap().get(0)
            }
        }
    };
}

fixture!(
    PostgresDatabase,
    |seconds| "accepted_at - interval '{seconds} seconds'",
    |table, rows| "CREATE OR REPLACE FUNCTION crash() RETURNS trigger LANGUAGE plpgsql AS \
        'BEGIN RAISE EXCEPTION ''crash''; END'; CREATE TRIGGER crash BEFORE INSERT ON {table} FOR EACH ROW \
        WHEN ({rows}) EXECUTE FUNCTION crash()",
    "DROP TRIGGER crash ON {table}"
);
fixture!(
    SqliteDatabase,
    |seconds| "accepted_at - 1000000 * {seconds}",
    |table, rows| "CREATE TRIGGER crash_{table} BEFORE INSERT ON {table} WHEN {rows} \
        BEGIN SELECT RAISE(ABORT, 'crash'); END",
    "DROP TRIGGER crash_{table}"
);

/// After every law the books must prove clean, and every loan must be what its postings say.
async fn prove(store: &Arc<dyn Store>) {
    let report = store.verify().await.unwrap();
    assert_eq!(report.problems, [], "{report:?}");
    let mut after = None;
    loop {
        let checked = store.check_loans(after).await.unwrap();
        assert_eq!((checked.faults, checked.found), (0, Vec::new()));
        after = checked.next;
        if after.is_none() {
            return;
        }
    }
}

/// A macro, because a test is an item: one per law and implementation.
macro_rules! laws {
    ($fixture:ty; $($area:ident: $($law:ident),* $(,)?;)*) => {
        $($(
            #[tokio::test]
            async fn $law() {
                let fixture = <$fixture as $crate::store::Fixture>::open().await;
                Box::pin($crate::store::$area::$law(&fixture)).await;
            }
        )*)*
    };
}

/// A macro, because the list of laws stands once and every implementation keeps all of them.
macro_rules! conformance {
    ($implementation:ident, $fixture:ty) => {
        mod $implementation {
            laws! {
                $fixture;
                accruals:
                    interest_adds_up_however_its_days_are_cut,
                    a_mark_is_left_where_something_came_late,
                    days_of_an_accrual_taken_back_are_caught_up_with,
                    a_late_payment_mends_the_interest_behind_it,
                    a_return_reaches_across_marks,
                    a_late_item_that_moves_no_principal_mends_nothing,
                    any_order_of_arrival_ends_with_the_same_interest,
                    a_long_life_is_mended_in_one_pass,
                    nothing_accrues_while_a_charge_off_stands,
                    a_callers_interest_covers_its_days,
                    a_programs_rate_is_that_of_its_loans,
                    an_accrual_is_foreseen_behind_what_waits;
                at_once:
                    what_was_just_accepted_is_posted_in_order,
                    what_waits_before_it_is_posted_with_it,
                    two_batches_behind_it_post_nothing_twice,
                    on_a_loan_on_hold_it_waits_and_holds_up_no_other,
                    without_a_loan_it_is_rejected_beside_what_is_posted,
                    what_was_posted_long_ago_is_not_posted_again,
                    what_takes_back_a_neighbour_finds_it;
                intake:
                    arrival_order_is_kept_inside_one_commit,
                    same_key_is_known,
                    taken_key_among_many_stops_no_other,
                    what_is_told_early_is_what_is_answered,
                    repeat_of_unknown_commit_answers_new,
                    refused_row_writes_nothing;
                posting:
                    lower_seq_committed_later_is_posted,
                    two_tenants_same_loan_id_and_key,
                    two_lanes_open_one_loan,
                    system_event_does_not_move_the_mark,
                    held_loan_is_left_out,
                    rejected_without_loan_has_no_version,
                    events_of_no_loan_are_finished_by_name,
                    a_named_opening_is_found_behind_later_events,
                    loan_held_before_it_opens_stays_on_hold,
                    backdated_payment_never_makes_a_bucket_negative,
                    backdated_payment_does_not_pay_what_came_later,
                    redelivered_event_posts_once,
                    unknown_and_misnamed_events_are_told,
                    limits_cut_to_a_fair_prefix,
                    taken_loan_number_is_refused_and_the_loan_can_open_later,
                    refused_opening_leaves_no_terms_behind,
                    failed_event_leaves_the_rest_with_the_lane,
                    panicking_fold_writes_nothing,
                    a_dropped_future_leaves_the_pool_healthy;
                groups:
                    all_legs_are_posted_with_their_parent,
                    one_bad_leg_refuses_all,
                    principal_is_that_of_the_day,
                    a_leg_is_never_passed,
                    what_stands_in_front_is_told,
                    groups_in_opposite_order_never_deadlock,
                    redelivered_leg_posts_nothing_twice,
                    a_groups_key_is_its_callers,
                    a_group_never_waits_for_a_person,
                    a_group_that_cannot_be_posted_is_refused,
                    a_crash_loses_nothing_of_a_group,
                    a_lost_hint_of_a_group_is_found,
                    verify_finds_a_broken_group;
                groups_between:
                    suspense_goes_to_another_loan_of_the_borrower,
                    suspense_stays_with_its_borrower,
                    accrued_interest_is_paid_out_of_suspense,
                    a_group_keeps_out_of_closed_periods,
                    a_receipt_is_assigned_once_and_counts_from_its_day,
                    a_refinance_moves_all_that_is_owed_and_opens_the_loan,
                    a_restructure_sets_up_anew_what_is_owed,
                    a_restructure_stays_until_its_fees_are_not_forgiven,
                    an_accrual_is_taken_back_on_all_its_loans_or_none;
                groups_order:
                    legs_committed_late_keep_the_order_of_their_parents,
                    any_interleaving_ends_as_the_order_of_acceptance_does;
                reads:
                    another_tenant_reads_nothing,
                    payments_are_listed_by_every_path,
                    pages_of_payments_meet_each_once,
                    a_status_says_what_the_record_does,
                    entries_and_balances_follow_the_postings,
                    position_counts_what_stands_before,
                    finished_names_only_what_is_finished;
                loan_reads:
                    balances_are_told_as_they_were_known,
                    days_of_a_loan_add_up_to_its_balances,
                    days_of_a_loan_are_cut_at_versions,
                    loans_are_listed_by_number_and_by_borrower,
                    a_statement_is_cut_at_a_version,
                    totals_are_told_by_kind,
                    a_payoff_hears_what_may_change_it,
                    restatements_are_told_with_their_payment,
                    a_preview_says_what_posting_does,
                    a_preview_sees_a_loan_that_is_about_to_open,
                    a_preview_of_a_backlog_is_cut,
                    another_tenant_reads_no_past;
                late:
                    a_late_payment_divides_later_ones_anew,
                    a_late_item_without_effect_writes_nothing_more,
                    any_order_of_arrival_ends_the_same,
                    a_refund_of_money_that_went_back_is_owed,
                    a_long_replay_has_a_transaction_of_its_own,
                    a_late_fee_of_a_long_loan_has_a_transaction_of_its_own,
                    a_late_item_is_posted_once,
                    a_charge_off_behind_a_return_in_the_batch_is_left_for_the_next;
                late_fees:
                    a_late_fee_is_judged_by_what_came_in,
                    late_fees_are_found_by_loan_and_tenant,
                    events_with_more_to_tell_are_found;
                returns:
                    returned_payment_is_taken_back_on_its_own_day,
                    fees_put_back_behind_a_charge_off_are_charged_off,
                    returns_are_listed_where_they_belong,
                    payment_and_return_in_one_batch_are_posted_in_order,
                    second_return_is_an_outcome_without_effect,
                    rejected_payment_cannot_be_returned,
                    redelivered_return_posts_once,
                    return_takes_its_late_payment_along,
                    restated_payment_is_returned_as_it_stands,
                    backdated_payment_sees_the_return,
                    returns_are_accepted_in_bulk,
                    second_undo_is_refused,
                    verify_finds_broken_links,
                    another_tenant_reads_no_return;
                servicing:
                    every_act_is_posted_by_its_rule,
                    what_a_hand_forgave_and_took_back_is_not_waived,
                    a_late_adjustment_forgives_no_fee_that_is_waived,
                    a_charge_off_is_kept_with_its_loan,
                    fees_are_read_by_item,
                    a_waiver_sees_the_fees_of_its_batch,
                    a_settlement_is_known_when_it_is_repeated,
                    a_reversal_sees_the_entry_of_its_batch,
                    the_party_of_a_loan_is_known_before_it_opens,
                    verify_finds_what_servicing_broke;
                changes:
                    nothing_is_skipped_or_doubled_while_writers_run,
                    pages_of_changes_split_anywhere,
                    changes_tell_what_became_of_events,
                    a_restore_begins_an_epoch,
                    tenants_with_changes_are_told,
                    payments_are_found_by_thousands;
                operations:
                    parked_event_holds_its_loan_until_released,
                    what_is_posted_is_counted,
                    only_the_first_unposted_event_is_parked,
                    healed_attempts_are_forgotten,
                    sweep_finds_the_overtaken_and_the_orphaned,
                    sweep_leaves_a_backlog_alone,
                    a_backlog_does_not_hide_what_is_lost,
                    a_slot_overtakes_after_two_seconds,
                    what_a_batch_took_along_overtakes_nobody,
                    a_round_says_how_far_it_looked,
                    while_the_front_moves_on_nothing_is_judged,
                    a_round_ends_where_it_is_told_to,
                    the_mark_moves_window_after_window,
                    sweep_runs_in_one_place,
                    worker_views_share_lane_slots,
                    schema_and_partitions_stand_after_migrating_twice,
                    tenants_clients_and_keys_read_back,
                    a_client_is_shut_out_and_let_in_again,
                    a_key_that_does_not_sign_is_removed,
                    programs_read_back_and_ids_are_a_tenants_own;
                reconciliation:
                    every_check_finds_what_is_injected,
                    a_loan_that_is_not_what_its_postings_say_is_named,
                    loans_are_checked_window_by_window,
                    runs_are_kept_by_tenant_and_day,
                    what_is_booked_later_is_no_mismatch,
                    accepted_events_are_all_somewhere,
                    lost_events_are_named,
                    one_process_reconciles;
                ledger:
                    charts_read_back_by_tenant,
                    the_trial_balance_goes_by_booking_date_and_tenant,
                    the_journal_is_walked_in_stretches;
                holds:
                    a_refusing_hold_rejects_what_waits_and_what_comes,
                    a_refusing_hold_refuses_no_return,
                    a_parked_event_waits_even_where_its_loan_refuses,
                    holds_and_what_waits_are_listed_in_order,
                    a_parked_event_is_discarded_and_its_loan_goes_on,
                    a_hold_is_done_once_under_its_key;
                periods:
                    a_closed_period_takes_no_new_booking_date,
                    consequences_keep_out_of_closed_periods,
                    restatements_keep_out_of_closed_periods,
                    periods_read_back_with_who_changed_them;
                uploads:
                    an_upload_is_received_once,
                    payments_and_uploads_share_keys,
                    control_totals_add_up,
                    a_whole_upload_is_taken_or_left,
                    rows_are_read_in_order_and_by_their_tenant;
                ach:
                    feeds_read_back_and_names_are_unique_in_a_tenant,
                    a_file_is_kept_once_and_its_identity_is_its_own,
                    a_refused_file_gives_way_but_not_past_another,
                    a_file_that_took_nothing_gives_its_identity_up,
                    of_two_files_of_one_identity_one_begins,
                    a_loan_of_a_number_says_what_it_takes,
                    loans_are_found_by_number_without_leading_zeros,
                    receipts_without_a_loan_are_booked,
                    returns_find_the_newest_payment_that_stands,
                    returns_find_no_payment_that_is_charged_back_in_full,
                    an_entry_of_another_file_is_told_and_stays_told,
                    of_two_files_at_once_one_is_the_first,
                    of_two_keys_with_the_same_bytes_one_begins;
                bank:
                    references_name_events_by_id_by_key_and_by_upload,
                    a_statement_moves_clearing_to_cash,
                    a_statement_is_kept_once,
                    of_two_statements_with_one_event_one_has_it,
                    an_open_line_ends_once,
                    an_upload_and_its_rows_are_one_cash,
                    a_row_after_its_uploads_line_has_its_own,
                    what_is_taken_back_counts_in_the_comparison,
                    another_tenant_reads_no_statement;
                reviews:
                    rejected_rows_are_listed_over_all_files,
                    a_rejected_row_is_ended_once_and_stays_rejected,
                    a_file_tells_the_first_hundred_of_its_rejected_rows,
                    a_posted_exception_is_a_row_of_its_file,
                    a_discarded_exception_stays_one,
                    of_several_who_decide_at_once_one_does,
                    open_exceptions_are_listed_over_all_files;
                webhooks:
                    an_endpoint_is_made_once_and_answers_again,
                    operations_change_the_tenants_own_endpoint_only,
                    a_turn_is_had_by_one_worker_where_there_is_something_to_tell,
                    a_delivery_has_a_row_from_its_first_failure,
                    an_endpoint_that_is_gone_gets_no_turn,
                    a_place_in_the_feed_is_found_by_time;
                verify:
                    events_and_postings_cannot_be_changed,
                    verify_is_clean_and_finds_a_tampered_row,
                    a_changed_line_or_hash_is_named;
            }
        }
    };
}

conformance!(on_postgres, crate::support::postgres::PostgresDatabase);
conformance!(on_sqlite, crate::support::sqlite::SqliteDatabase);
