//! Owns the two forms of what is streamed as rows: NDJSON, and CSV whose cells no spreadsheet takes for formulas.

use axum::http::HeaderMap;
use axum::http::header::HeaderValue;
use serde::Serialize;

use crate::api::error::ApiError;
use crate::api::http::headers::prefers;

/// Something that is one JSON object and one or more lines of CSV.
pub(crate) trait Tabular: Serialize {
    /// Hands each line's cells to `write`.
    fn lines(&self, write: &mut dyn FnMut(Vec<String>));
}

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RowsForm {
    /// A JSON object a line.
    Ndjson,
    /// With a header.
    Csv,
}

impl RowsForm {
    /// What the caller prefers; NDJSON unless it is CSV.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        if prefers(headers, "text/csv") { Self::Csv } else { Self::Ndjson }
    }

    /// For `Content-Type`.
    pub(crate) const fn media_type(self) -> HeaderValue {
        match self {
            Self::Ndjson => HeaderValue::from_static("application/x-ndjson"),
            Self::Csv => HeaderValue::from_static("text/csv; charset=utf-8"),
        }
    }

    /// Rows as bytes.
    pub(crate) fn write<R: Tabular>(self, rows: &[R]) -> Result<Vec<u8>, ApiError> {
        const BROKEN: ApiError = ApiError::Broken("a row could not be written");
        match self {
            Self::Ndjson => {
                let mut bytes = Vec::with_capacity(rows.len().saturating_mul(512));
                for row in rows {
                    serde_json::to_writer(&mut bytes, row).map_err(|_| BROKEN)?;
                    bytes.push(b'\n');
                }
                Ok(bytes)
            }
            Self::Csv => {
                let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
                let mut written = Ok(());
                for row in rows {
                    row.lines(&mut |cells| {
                        if written.is_ok() {
                            written = writer.write_record(cells);
                        }
                    });
                }
                written.map_err(|_| BROKEN)?;
                writer.into_inner().map_err(|_| BROKEN)
            }
        }
    }
}

/// A cell that no spreadsheet takes for a formula.
pub(crate) fn guarded(cell: &str) -> String {
    if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{cell}") } else { cell.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_are_guarded() {
        assert_eq!(guarded("=HYPERLINK()"), "'=HYPERLINK()");
        assert_eq!(guarded("@x"), "'@x");
        assert_eq!(guarded("88849"), "88849");
    }
}
