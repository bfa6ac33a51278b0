//! Owns what goes over the connection: the file piece by piece, CSV records as lines of JSON, never all of it at once.
//!
//! The next piece is read when the connection wants it, beside the runtime's own threads.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

use futures::stream::try_unfold;
use http_body_util::StreamBody;
use hyper::body::{Bytes, Frame};

use crate::cli::import::columns::Columns;
use crate::cli::import::course::Course;
use crate::cli::import::file::{Content, ImportFile, PIECE_BYTES, RowCounter};
use crate::cli::import::records::{RecordError, Records};

/// Why a feed ended early, for whoever sees only that the request failed.
#[derive(Clone, Debug, Default)]
pub(super) struct FeedFault(Arc<Mutex<Option<RecordError>>>);

impl FeedFault {
    /// The fault, once.
    pub(super) fn take(&self) -> Option<RecordError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn set(&self, error: RecordError) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }
}

/// A file on its way.
struct Feed {
    pieces: Pieces,
    course: Arc<Course>,
    fault: FeedFault,
}

enum Pieces {
    AsTheyAre { content: Content, counter: Option<RowCounter> },
    Lines { records: Box<Records<Content>>, columns: Arc<Columns>, made_key: String, row_no: u64 },
}

/// The body of a request that sends the whole file.
///
/// # Errors
/// The file cannot be opened any more.
pub(super) fn body(file: &ImportFile, course: &Arc<Course>, fault: &FeedFault) -> Result<reqwest::Body, RecordError> {
    let content = file.open(course)?;
    let pieces = match &file.columns {
        None => Pieces::AsTheyAre { content, counter: file.counts_rows().then(RowCounter::default) },
        Some(columns) => {
            let mut records = Box::new(Records::new(content));
            // The header; it was understood when the file was surveyed.
            records.next()?;
            let made_key = format!("csv:{}:", file.sha256);
            Pieces::Lines { records, columns: Arc::clone(columns), made_key, row_no: 0 }
        }
    };
    let feed = Feed { pieces, course: Arc::clone(course), fault: fault.clone() };
    let frames = try_unfold(feed, |mut feed| async move {
        let reading = tokio::task::spawn_blocking(move || (feed.next(), feed));
        let (piece, feed) = reading.await.map_err(io::Error::other)?;
        Ok::<_, io::Error>(piece?.map(|piece| (Frame::data(piece), feed)))
    });
    Ok(reqwest::Body::wrap(StreamBody::new(frames)))
}

impl Feed {
    /// The next piece; `None` at the end.
    fn next(&mut self) -> io::Result<Option<Bytes>> {
        let (read, rows) = match &mut self.pieces {
            Pieces::AsTheyAre { content, counter } => {
                (next_bytes(content, counter), counter.map(|counter| counter.rows))
            }
            Pieces::Lines { records, columns, made_key, row_no } => {
                let lines = next_lines(records, columns, made_key, row_no);
                (lines, Some(*row_no))
            }
        };
        let piece = read.map_err(|error| {
            self.fault.set(error);
            io::Error::other("the file cannot be read to its end")
        })?;
        self.course.note(|stand| {
            stand.rows = rows.unwrap_or_default();
            stand.is_sent = piece.is_empty();
            stand.pieces = stand.pieces.saturating_add(1);
        });
        Ok((!piece.is_empty()).then(|| piece.into()))
    }
}

fn next_bytes(content: &mut Content, counter: &mut Option<RowCounter>) -> Result<Vec<u8>, RecordError> {
    let mut piece = vec![0; PIECE_BYTES];
    let length = content.read(&mut piece)?;
    piece.truncate(length);
    if let Some(counter) = counter {
        counter.add(&piece);
    }
    Ok(piece)
}

fn next_lines(
    records: &mut Records<Content>,
    columns: &Columns,
    made_key: &str,
    row_no: &mut u64,
) -> Result<Vec<u8>, RecordError> {
    let mut lines = Vec::with_capacity(PIECE_BYTES);
    while lines.len() < PIECE_BYTES {
        let Some(record) = records.next()? else { break };
        *row_no = row_no.saturating_add(1);
        columns.write_line(record, &format!("{made_key}{row_no}"), &mut lines);
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;
    use crate::cli::import::columns::CsvArgs;
    use crate::cli::import::file::Asked;

    async fn sent(bytes: &[u8], name: &str) -> (String, Arc<Course>, String) {
        let path = std::env::temp_dir().join(format!("hpts-{}-{name}", uuid::Uuid::new_v4()));
        std::fs::write(&path, bytes).unwrap();
        let asked = Asked { path: path.clone(), format: None, csv: CsvArgs::default() };
        let course = Arc::new(Course::default());
        let file = ImportFile::survey(&asked, &course).unwrap();
        let body = body(&file, &course, &FeedFault::default()).unwrap();
        let bytes = body.collect().await.unwrap().to_bytes();
        std::fs::remove_file(path).unwrap();
        (String::from_utf8(bytes.to_vec()).unwrap(), course, file.sha256)
    }

    #[tokio::test]
    async fn lines_pass_as_they_are_and_are_counted() {
        let file = "{\"a\":1}\r\n\n".repeat(50_000);
        let (text, course, _) = sent(file.as_bytes(), "a.ndjson").await;
        assert!(text == file, "the bytes are the file's");
        let stand = course.look();
        assert_eq!((stand.rows, stand.bytes, stand.is_sent), (50_000, stand.bytes_all, true));
    }

    #[tokio::test]
    async fn records_become_lines_with_keys_of_the_file_where_they_have_none() {
        let header = "loan_id,borrower_id,amount_minor,currency,effective_at,source_method\n";
        let file = format!("{header}{}", "L,B,5,USD,2026-05-01,ach\n".repeat(10_000));
        let (text, course, sha256) = sent(file.as_bytes(), "a.csv").await;
        let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((lines.len(), course.look().rows), (10_000, 10_000));
        assert_eq!(lines[9_999]["idempotency_key"], format!("csv:{sha256}:10000"));

        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        io::Write::write_all(&mut encoder, file.as_bytes()).unwrap();
        let (unpacked, _, same) = sent(&encoder.finish().unwrap(), "a.csv.gz").await;
        assert!(unpacked == text && same == sha256, "packed or not, it is the same file");
    }
}
