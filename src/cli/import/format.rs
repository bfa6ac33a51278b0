//! Owns which format a file has: what the caller says, else what its name says, else how it begins.

use clap::ValueEnum;
use serde::Serialize;

/// How a gzip member begins.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// How a NACHA file begins: record type 1, priority code 01.
const NACHA_BEGINS: &[u8] = b"101";
/// A byte order mark, which some editors put first.
const BOM: &[u8] = "\u{feff}".as_bytes();

/// How payments are written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(super) enum Format {
    /// One payment in JSON a line.
    Ndjson,
    /// A header, then one payment a record.
    Csv,
    /// An ACH file.
    Nacha,
}

impl Format {
    /// The word it is asked for by.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Ndjson => "ndjson",
            Self::Csv => "csv",
            Self::Nacha => "nacha",
        }
    }

    /// What the name of a file, any `.gz` taken off, says of it.
    fn of_name(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        let name = name.strip_suffix(".gz").unwrap_or(&name);
        let (_, extension) = name.rsplit_once('.')?;
        match extension {
            "ndjson" | "jsonl" => Some(Self::Ndjson),
            "csv" => Some(Self::Csv),
            _ => None,
        }
    }

    /// What the beginning of a file says of it. Nothing tells CSV from any other text.
    fn of_beginning(beginning: &[u8]) -> Option<Self> {
        if beginning.starts_with(NACHA_BEGINS) {
            return Some(Self::Nacha);
        }
        let text = beginning.strip_prefix(BOM).unwrap_or(beginning).trim_ascii_start();
        text.starts_with(b"{").then_some(Self::Ndjson)
    }

    /// The format of a file of this name that begins, unpacked, with these bytes.
    pub(super) fn of(name: &str, beginning: &[u8]) -> Option<Self> {
        Self::of_name(name).or_else(|| Self::of_beginning(beginning))
    }
}

/// Whether a file's bytes are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    /// They are as they are.
    Plain,
    /// By gzip.
    Gzip,
}

impl Packing {
    /// What the beginning of a file says of it, whatever its name.
    pub(super) fn of(beginning: &[u8]) -> Self {
        if beginning.starts_with(&GZIP_MAGIC) { Self::Gzip } else { Self::Plain }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_decides_before_the_beginning_does() {
        let cases = [
            ("a.ndjson", "", Some(Format::Ndjson)),
            ("a.JSONL", "loan_id,", Some(Format::Ndjson)),
            ("a.csv", "{", Some(Format::Csv)),
            ("a.csv.gz", "", Some(Format::Csv)),
            ("a.ndjson.GZ", "", Some(Format::Ndjson)),
            ("returns.ach", "101 091000019", Some(Format::Nacha)),
            ("returns.txt", "101 091000019", Some(Format::Nacha)),
            ("returns.txt", "{\"loan_id\"", Some(Format::Ndjson)),
            ("payments", "\u{feff}\n {", Some(Format::Ndjson)),
            ("20260501", "101 ", Some(Format::Nacha)),
            ("returns.ach", "5200", None),
            ("returns.txt", "loan_id,amount", None),
            ("a.json", "[{", None),
            ("a.gz", "", None),
            ("csv", "a,b", None),
        ];
        for (name, beginning, format) in cases {
            assert_eq!(Format::of(name, beginning.as_bytes()), format, "{name} {beginning:?}");
        }
    }

    #[test]
    fn gzip_shows_in_the_first_bytes() {
        assert_eq!(Packing::of(b"\x1f\x8b\x08"), Packing::Gzip);
        assert_eq!(Packing::of(b"\x1f"), Packing::Plain);
        assert_eq!(Packing::of(b"PK\x03\x04"), Packing::Plain);
    }
}
