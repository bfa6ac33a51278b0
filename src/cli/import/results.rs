//! Owns the result file: what became of each row, as the API streams it.
//!
//! It is written beside its place and moved there when it is whole, so that a file of that name is never half a result.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueEnum;
use reqwest::header::ACCEPT;
use tokio::fs::File;
use tokio::io::AsyncWriteExt;
use uuid::Uuid;

use crate::cli::api_client::ApiClient;
use crate::cli::import::ImportError;
use crate::cli::import::course::{Course, Stage};
use crate::cli::import::duplicates;

/// How long the API may fall silent between two pieces.
const SILENT_MAX: Duration = Duration::from_mins(1);

/// How results are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum ResultsFormat {
    /// One row in JSON a line.
    Ndjson,
    /// A header, then one row a record.
    Csv,
}

impl ResultsFormat {
    const fn media_type(self) -> &'static str {
        match self {
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv",
        }
    }

    const fn header_rows(self) -> u64 {
        match self {
            Self::Ndjson => 0,
            Self::Csv => 1,
        }
    }

    const fn extension(self) -> &'static str {
        match self {
            Self::Ndjson => "ndjson",
            Self::Csv => "csv",
        }
    }
}

/// A result file that is not whole yet. Dropped before, it is taken away.
#[derive(Debug)]
pub(super) struct ResultFile {
    part: PathBuf,
    path: PathBuf,
    is_whole: bool,
}

impl ResultFile {
    /// Makes the file, so that a place where none can be written is known before anything is sent.
    ///
    /// # Errors
    /// It cannot be made, or would take the place of what is imported.
    pub(super) async fn create(
        source: &Path,
        asked: Option<PathBuf>,
        format: ResultsFormat,
    ) -> Result<Self, ImportError> {
        let path = asked.unwrap_or_else(|| with_suffix(source, &format!(".results.{}", format.extension())));
        let same = |path: &Path| std::fs::canonicalize(path).ok();
        if same(&path).is_some_and(|path| Some(path) == same(source)) {
            return Err(ImportError::NotUnderstood("the results would take the place of the file".to_owned()));
        }
        let part = with_suffix(&path, ".part");
        let file = Self { part, path, is_whole: false };
        file.begin().await?;
        Ok(file)
    }

    /// Fetches all rows, from the first.
    ///
    /// # Errors
    /// The API does not give them to the end, or they cannot be written.
    pub(super) async fn fetch(
        &self,
        client: &ApiClient,
        batch_id: Uuid,
        format: ResultsFormat,
        course: &Course,
    ) -> Result<(), ImportError> {
        course.begin(Stage::Results);
        let mut file = self.begin().await?;
        let path = format!("/v1/batches/{batch_id}/results");
        let mut answer = client
            .send(|http, base| {
                Ok::<_, ImportError>(http.get(format!("{base}{path}")).header(ACCEPT, format.media_type()))
            })
            .await?;
        // Neither form has line ends inside a row: texts are printable.
        let mut rows_and_header = 0_u64;
        loop {
            let piece = tokio::time::timeout(SILENT_MAX, answer.chunk()).await;
            let piece = piece.map_err(|_| client.silent())?.map_err(|error| client.broken(error))?;
            let Some(piece) = piece else { break };
            file.write_all(&piece).await.map_err(|source| self.fault(source))?;
            let ends = u64::try_from(memchr::memchr_iter(b'\n', &piece).count()).unwrap_or(u64::MAX);
            rows_and_header = rows_and_header.saturating_add(ends);
            course.note(|stand| stand.rows = rows_and_header.saturating_sub(format.header_rows()));
        }
        file.flush().await.map_err(|source| self.fault(source))?;
        file.sync_all().await.map_err(|source| self.fault(source))
    }

    /// The payments that its rows repeat, with how many rows repeat each.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) async fn repeated(&self, format: ResultsFormat) -> Result<HashMap<Uuid, i64>, ImportError> {
        let part = self.part.clone();
        let found = tokio::task::spawn_blocking(move || duplicates::repeated(&part, format)).await?;
        found.map_err(|source| ImportError::Io { what: format!("cannot read {}", self.part.display()), source })
    }

    /// Puts the whole file in its place.
    ///
    /// # Errors
    /// It cannot be moved.
    pub(super) async fn keep(mut self) -> Result<PathBuf, ImportError> {
        tokio::fs::rename(&self.part, &self.path).await.map_err(|source| self.fault(source))?;
        self.is_whole = true;
        Ok(self.path.clone())
    }

    /// The file, empty.
    async fn begin(&self) -> Result<File, ImportError> {
        File::create(&self.part).await.map_err(|source| self.fault(source))
    }

    fn fault(&self, source: std::io::Error) -> ImportError {
        ImportError::Io { what: format!("cannot write {}", self.path.display()), source }
    }
}

impl Drop for ResultFile {
    fn drop(&mut self) {
        if !self.is_whole {
            // It holds nothing that could not be fetched again.
            let _removed = std::fs::remove_file(&self.part);
        }
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_result_file_appears_whole_or_not_at_all() {
        let source = std::env::temp_dir().join(format!("hpts-{}.csv", Uuid::new_v4()));
        std::fs::write(&source, "x").unwrap();
        let refused = ResultFile::create(&source, Some(source.clone()), ResultsFormat::Csv).await;
        assert!(matches!(refused, Err(ImportError::NotUnderstood(_))));
        let place = with_suffix(&source, ".results.ndjson");
        let file = ResultFile::create(&source, None, ResultsFormat::Ndjson).await.unwrap();
        let part = file.part.clone();
        assert!(part.exists() && !place.exists());
        drop(file);
        assert!(!part.exists());
        let file = ResultFile::create(&source, None, ResultsFormat::Ndjson).await.unwrap();
        assert_eq!(file.keep().await.unwrap(), place);
        assert!(place.exists() && !part.exists());
        for path in [source, place] {
            std::fs::remove_file(path).unwrap();
        }
    }
}
