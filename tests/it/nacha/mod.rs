//! Owns the NACHA samples of `tests/data/nacha`: each behaves as its index says.

mod feeds;
mod index;
mod strictness;

use std::io::Read as _;
use std::path::Path;

use flate2::read::GzDecoder;
use serde::Deserialize;

pub(crate) use feeds::{COUNTS, Counts};
pub(crate) use strictness::REFUSED;

/// `index.json`.
#[derive(Deserialize)]
struct Index {
    files: Vec<Sample>,
}

/// What the index says of one file.
#[derive(Deserialize)]
pub(crate) struct Sample {
    pub(crate) file: String,
    pub(crate) valid: bool,
    sha256: String,
    sha256_unpacked: Option<String>,
    batches: u64,
    pub(crate) entries: u64,
    addenda: u64,
    sec_codes: Vec<String>,
    total_debit_cents: i64,
    total_credit_cents: i64,
    is_return_file: bool,
    #[serde(default)]
    return_codes: Vec<String>,
    is_notification_of_change: bool,
    #[serde(default)]
    change_codes: Vec<String>,
    duplicate_trace_numbers: usize,
    #[serde(default)]
    file_header: Option<IndexHeader>,
    #[serde(default)]
    file_control: Option<IndexControl>,
    #[serde(default)]
    batch_detail: Option<Vec<IndexBatch>>,
}

/// A file header.
#[derive(Deserialize)]
struct IndexHeader {
    immediate_destination: String,
    immediate_origin: String,
    created: String,
    file_id_modifier: String,
}

/// A batch or file control.
#[derive(Deserialize)]
struct IndexControl {
    entry_addenda_count: u64,
    entry_hash: String,
    debit_cents: i64,
    credit_cents: i64,
}

/// A batch.
#[derive(Deserialize)]
struct IndexBatch {
    number: String,
    service_class: String,
    sec: String,
    company_name: String,
    company_id: String,
    entry_description: String,
    effective_entry_date: String,
    odfi: String,
    entries: u64,
    addenda: u64,
    debit_cents: i64,
    credit_cents: i64,
    transaction_codes: Vec<String>,
    control: Option<IndexControl>,
}

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/nacha")
}

/// Every sample, in the order of the index.
pub(crate) fn samples() -> Vec<Sample> {
    let index = std::fs::read(folder().join("index.json")).unwrap();
    serde_json::from_slice::<Index>(&index).unwrap().files
}

/// The bytes of a sample as they are kept.
fn packed(name: &str) -> Vec<u8> {
    std::fs::read(folder().join(name)).unwrap()
}

/// The bytes of a sample, unpacked where they are packed.
pub(crate) fn bytes(name: &str) -> Vec<u8> {
    let packed = packed(name);
    if Path::new(name).extension().is_none_or(|extension| extension != "gz") {
        return packed;
    }
    let mut unpacked = Vec::new();
    GzDecoder::new(packed.as_slice()).read_to_end(&mut unpacked).unwrap();
    unpacked
}
