//! Owns what became of the payments that rows of a file repeat: a row whose payment came before is as good as that one.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use serde::Deserialize;
use tokio::time::Instant;
use uuid::Uuid;

use crate::cli::api_client::{ApiClient, ClientError};
use crate::cli::import::ImportError;
use crate::cli::import::results::ResultsFormat;

/// The status of a row whose payment came before.
const DUPLICATE: &str = "duplicate";
/// As many as one call looks up.
const ASKED_MAX: usize = 10_000;
/// How long payments of other uploads are waited for that are still in flight.
const WAITED_MAX: Duration = Duration::from_mins(1);
/// The pause between two looks at them.
const PAUSE: Duration = Duration::from_millis(500);

/// A row of the results, as far as it matters here; the other columns of the CSV form are skipped.
#[derive(Debug, Deserialize)]
struct ResultRow {
    status: String,
    #[serde(default)]
    payment_event_id: Option<Uuid>,
}

#[derive(Deserialize)]
struct Found {
    items: Vec<Payment>,
}

#[derive(Deserialize)]
struct Payment {
    payment_event_id: Uuid,
    status: String,
}

/// The payments that rows of a result file repeat, with how many rows repeat each.
///
/// # Errors
/// The file cannot be read.
pub(super) fn repeated(path: &Path, format: ResultsFormat) -> std::io::Result<HashMap<Uuid, i64>> {
    let mut repeated = HashMap::new();
    let mut count = |row: ResultRow| {
        if let Some(id) = row.payment_event_id.filter(|_| row.status == DUPLICATE) {
            let rows: &mut i64 = repeated.entry(id).or_default();
            *rows = rows.saturating_add(1);
        }
    };
    let file = BufReader::new(File::open(path)?);
    match format {
        ResultsFormat::Ndjson => {
            for line in file.lines() {
                let line = line?;
                // Most rows repeat nothing, and are not read for it.
                if line.contains(DUPLICATE) {
                    count(serde_json::from_str(&line)?);
                }
            }
        }
        ResultsFormat::Csv => {
            for row in csv::Reader::from_reader(file).into_deserialize() {
                count(row?);
            }
        }
    }
    Ok(repeated)
}

/// How many rows repeat a payment that is not posted. One that is on its way is waited for.
///
/// # Errors
/// The API does not say.
pub(super) async fn not_posted(client: &ApiClient, repeated: HashMap<Uuid, i64>) -> Result<i64, ImportError> {
    let (mut open, until) = (repeated, Instant::now().checked_add(WAITED_MAX));
    let mut rows = 0_i64;
    loop {
        let mut in_flight = HashMap::new();
        let ids: Vec<Uuid> = open.keys().copied().collect();
        for ids in ids.chunks(ASKED_MAX) {
            for Payment { payment_event_id, status } in look_up(client, ids).await? {
                let repeats = open.get(&payment_event_id).copied().unwrap_or(0);
                match status.as_str() {
                    "accepted" => drop(in_flight.insert(payment_event_id, repeats)),
                    "rejected" | "parked" | "held" => rows = rows.saturating_add(repeats),
                    // Posted, whatever has become of it since.
                    _ => {}
                }
            }
        }
        open = in_flight;
        if open.is_empty() || until.is_none_or(|until| Instant::now() >= until) {
            return Ok(open.into_values().fold(rows, i64::saturating_add));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn look_up(client: &ApiClient, ids: &[Uuid]) -> Result<Vec<Payment>, ImportError> {
    let body = serde_json::to_vec(&serde_json::json!({ "ids": ids })).map_err(ClientError::NotUnderstood)?;
    let answer = client.send(|http, base| {
        let request = http.post(format!("{base}/v1/payments/lookup")).header(CONTENT_TYPE, "application/json");
        Ok::<_, ImportError>(request.body(body.clone()))
    });
    let found: Found = serde_json::from_value(client.json(answer.await?).await?).map_err(ClientError::NotUnderstood)?;
    Ok(found.items)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_payments_that_rows_repeat_are_found_in_both_forms() {
        let [one, two] = [1_u128, 2].map(Uuid::from_u128);
        let ndjson = format!(
            "{{\"row\":1,\"status\":\"posted\",\"payment_event_id\":\"{one}\",\"external_ref\":\"duplicate\"}}\n\
             {{\"row\":2,\"status\":\"duplicate\",\"code\":\"duplicate\",\"payment_event_id\":\"{two}\"}}\n\
             {{\"row\":3,\"status\":\"invalid\",\"code\":\"validation_failed\"}}\n\
             {{\"row\":4,\"status\":\"duplicate\",\"code\":\"duplicate\",\"payment_event_id\":\"{two}\"}}\n"
        );
        let csv = format!(
            "row,status,code,payment_event_id,detail\n1,posted,,{one},duplicate\n2,duplicate,duplicate,{two},\n\
             3,invalid,validation_failed,,\"a, \"\"b\"\"\"\n4,duplicate,duplicate,{two},\n"
        );
        for (text, format) in [(ndjson, ResultsFormat::Ndjson), (csv, ResultsFormat::Csv)] {
            let path = std::env::temp_dir().join(format!("hpts-{}", Uuid::new_v4()));
            std::fs::write(&path, text).unwrap();
            let found = repeated(&path, format);
            std::fs::remove_file(&path).unwrap();
            assert_eq!(found.unwrap(), HashMap::from([(two, 2)]));
        }
    }
}
