//! Owns a statement as CSV: the opening balances as its first row, the entries, the closing balances as its last.

use chrono::NaiveDate;

use super::view::{BalancesView, StatementRow};
use crate::api::error::ApiError;
use crate::api::read::rows_form::guarded;

/// The first line.
const HEADER: [&str; 24] = [
    "effective_at",
    "booking_date",
    "posted_at",
    "loan_version",
    "event_type",
    "event_id",
    "journal_entry_id",
    "description",
    "amount_minor",
    "fees_minor",
    "interest_minor",
    "principal_minor",
    "suspense_minor",
    "fees_receivable_minor",
    "interest_receivable_minor",
    "principal_outstanding_minor",
    "suspense_balance_minor",
    "source_method",
    "external_ref",
    "idempotency_key",
    "actor",
    "corrects_entry_id",
    "corrected_by_entry_id",
    "status",
];

/// Header and opening balances.
pub(super) fn head(from: NaiveDate, opening: &BalancesView) -> Result<Vec<u8>, ApiError> {
    write([HEADER.map(str::to_owned).to_vec(), balances_row(from, "opening_balance", opening)])
}

/// Entries.
pub(super) fn rows(rows: &[StatementRow]) -> Result<Vec<u8>, ApiError> {
    write(rows.iter().map(cells))
}

/// Closing balances.
pub(super) fn closing(to: NaiveDate, closing: &BalancesView) -> Result<Vec<u8>, ApiError> {
    write([balances_row(to, "closing_balance", closing)])
}

fn write(rows: impl IntoIterator<Item = Vec<String>>) -> Result<Vec<u8>, ApiError> {
    const BROKEN: ApiError = ApiError::Broken("a statement could not be written");
    let mut writer = ::csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
    for row in rows {
        writer.write_record(row).map_err(|_| BROKEN)?;
    }
    writer.into_inner().map_err(|_| BROKEN)
}

fn balances_row(day: NaiveDate, what: &str, balances: &BalancesView) -> Vec<String> {
    let mut cells = vec![day.to_string(), String::new(), String::new(), String::new(), what.to_owned()];
    cells.extend(std::iter::repeat_n(String::new(), 8));
    cells.extend(balance_cells(balances));
    cells.resize(HEADER.len(), String::new());
    cells
}

fn balance_cells(balances: &BalancesView) -> [String; 4] {
    [
        balances.fees_receivable_minor.clone(),
        balances.interest_receivable_minor.clone(),
        balances.principal_outstanding_minor.clone(),
        balances.suspense_minor.clone(),
    ]
}

/// Amounts may begin with a minus and stay numbers; texts of callers are guarded.
fn cells(row: &StatementRow) -> Vec<String> {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let guarded_text = |value: &Option<String>| guarded(value.as_deref().unwrap_or_default());
    let mut cells = vec![
        row.effective_at.clone(),
        row.booking_date.clone(),
        row.posted_at.clone(),
        row.loan_version.to_string(),
        row.event_type.to_owned(),
        row.event_id.clone(),
        row.journal_entry_id.clone(),
        guarded_text(&row.description),
        text(&row.amount_minor),
        row.moved.fees_minor.clone(),
        row.moved.interest_minor.clone(),
        row.moved.principal_minor.clone(),
        row.moved.suspense_minor.clone(),
    ];
    cells.extend(balance_cells(&row.balances));
    cells.extend([
        row.source_method.unwrap_or_default().to_owned(),
        guarded_text(&row.external_ref),
        text(&row.idempotency_key),
        guarded(&row.actor),
        text(&row.corrects_entry_id),
        text(&row.corrected_by_entry_id),
        row.status.unwrap_or_default().to_owned(),
    ]);
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_a_cell_for_each_column() {
        let balances = BalancesView {
            fees_receivable_minor: "1".to_owned(),
            interest_receivable_minor: "2".to_owned(),
            principal_outstanding_minor: "3".to_owned(),
            total_exposure_minor: "6".to_owned(),
            suspense_minor: "4".to_owned(),
        };
        let row = balances_row(NaiveDate::from_ymd_opt(2026, 5, 1).unwrap(), "opening_balance", &balances);
        assert_eq!(row.len(), HEADER.len());
        let at = |name: &str| &row[HEADER.iter().position(|column| *column == name).unwrap()];
        assert_eq!((at("event_type").as_str(), at("principal_outstanding_minor").as_str()), ("opening_balance", "3"));
        assert_eq!(at("suspense_balance_minor"), "4");
    }
}
