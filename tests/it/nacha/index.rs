//! Owns the comparison of every sample with its index: header, batches, entries, codes, totals, controls.

use std::collections::{BTreeMap, BTreeSet};

use hpts::core::ach::{Addenda, BatchHeader, Contents, Direction, FileEntry, FileHash, Tolerances, Trace, read};
use hpts::core::money::Minor;

use super::{IndexBatch, IndexControl, Sample, bytes, packed, samples};

/// What the entries of a batch come to, added up here and nowhere else.
#[derive(Default)]
struct Sums {
    entries: u64,
    addenda: u64,
    hash: u64,
    debit: i64,
    credit: i64,
    codes: BTreeSet<u64>,
}

impl Sums {
    fn add(&mut self, at: &FileEntry<'_>) {
        self.entries += 1;
        self.addenda += u64::try_from(at.addenda().count()).unwrap();
        self.hash += u64::from(at.entry.rdfi.number());
        match at.entry.code.direction {
            Direction::Debit => self.debit += at.entry.amount.units(),
            Direction::Credit => self.credit += at.entry.amount.units(),
        }
        self.codes.insert(at.entry.code.number().unwrap());
    }

    fn agrees(&self, control: &IndexControl) {
        assert_eq!(self.entries + self.addenda, control.entry_addenda_count);
        assert_eq!(format!("{:010}", self.hash % 10_000_000_000), control.entry_hash);
        assert_eq!((self.debit, self.credit), (control.debit_cents, control.credit_cents));
    }
}

#[test]
fn every_sample_holds_what_its_index_says() {
    let samples = samples();
    assert_eq!(samples.len(), 22);
    for sample in &samples {
        println!("{}", sample.file);
        let bytes = bytes(&sample.file);
        assert_eq!(FileHash::of(&packed(&sample.file)).to_string(), sample.sha256);
        if let Some(sha256) = &sample.sha256_unpacked {
            assert_eq!(&FileHash::of(&bytes).to_string(), sha256);
        }
        match read(&bytes, Tolerances::USUAL) {
            Ok(file) => {
                assert!(sample.valid);
                everything_agrees(sample, file.contents());
            }
            Err(refusal) => {
                assert!(!sample.valid, "{:?}", refusal.faults);
                what_is_readable_agrees(sample, &refusal.readable);
            }
        }
    }
}

fn everything_agrees(sample: &Sample, contents: &Contents<'_>) {
    header_agrees(sample, contents);
    what_is_readable_agrees(sample, contents);
    let mut all = Sums::default();
    let mut batches: BTreeMap<u32, (BatchHeader, Sums)> = BTreeMap::new();
    let mut sec_codes = BTreeSet::new();
    for at in contents.entries() {
        all.add(&at);
        sec_codes.insert(at.sec().name());
        batches.entry(at.position.batch).or_insert_with(|| (at.batch, Sums::default())).1.add(&at);
    }
    assert_eq!((all.entries, all.addenda), (sample.entries, sample.addenda));
    assert_eq!((all.debit, all.credit), (sample.total_debit_cents, sample.total_credit_cents));
    assert_eq!(u64::try_from(batches.len()).unwrap(), sample.batches);
    assert_eq!(sec_codes.into_iter().collect::<Vec<_>>(), sample.sec_codes);
    if let Some(control) = &sample.file_control {
        all.agrees(control);
    }
    if let Some(detail) = &sample.batch_detail {
        assert_eq!(detail.len(), batches.len());
        for (expected, (header, sums)) in detail.iter().zip(batches.values()) {
            batch_agrees(expected, header, sums);
        }
    }
}

fn header_agrees(sample: &Sample, contents: &Contents<'_>) {
    let Some(expected) = &sample.file_header else { return };
    let identity = contents.identity().unwrap();
    let created = format!("{}{}", identity.created_on.format("%y%m%d"), identity.created_at);
    assert_eq!(identity.destination, expected.immediate_destination);
    assert_eq!(identity.origin, expected.immediate_origin);
    assert_eq!(created, expected.created);
    assert_eq!(identity.modifier, expected.file_id_modifier);
}

fn batch_agrees(expected: &IndexBatch, header: &BatchHeader, sums: &Sums) {
    assert_eq!(format!("{:07}", header.number), expected.number);
    assert_eq!(header.service_class.number().to_string(), expected.service_class);
    assert_eq!(header.sec.name(), expected.sec);
    assert_eq!(header.company_name.trimmed(), expected.company_name);
    assert_eq!(header.company_id.trimmed(), expected.company_id);
    assert_eq!(header.description.trimmed(), expected.entry_description);
    let effective =
        header.effective_entry_date.map_or_else(|| "000000".to_owned(), |day| day.format("%y%m%d").to_string());
    assert_eq!(effective, expected.effective_entry_date);
    assert_eq!(header.odfi.to_string(), expected.odfi);
    assert_eq!((sums.entries, sums.addenda), (expected.entries, expected.addenda));
    assert_eq!((sums.debit, sums.credit), (expected.debit_cents, expected.credit_cents));
    let codes: BTreeSet<u64> = expected.transaction_codes.iter().map(|code| code.parse().unwrap()).collect();
    assert_eq!(sums.codes, codes);
    sums.agrees(expected.control.as_ref().unwrap());
}

/// What holds for refused files, too: counts and totals by the walk, and the reasons inside.
fn what_is_readable_agrees(sample: &Sample, contents: &Contents<'_>) {
    let summary = contents.summary();
    assert_eq!((summary.batches, summary.entries, summary.addenda), (sample.batches, sample.entries, sample.addenda));
    let totals = (Minor::new(sample.total_debit_cents), Minor::new(sample.total_credit_cents));
    assert_eq!((summary.debit, summary.credit), totals);
    let mut returns = BTreeSet::new();
    let mut changes = BTreeSet::new();
    let mut traces: Vec<Trace> = Vec::new();
    for at in contents.entries() {
        traces.push(at.entry.trace);
        for addenda in at.addenda() {
            match addenda {
                Addenda::Return(returned) => _ = returns.insert(returned.reason.as_str().to_owned()),
                Addenda::Change(change) => _ = changes.insert(change.reason.as_str().to_owned()),
                Addenda::Remittance(_) | Addenda::Other(_) => {}
            }
        }
    }
    assert_eq!(!returns.is_empty(), sample.is_return_file);
    assert_eq!(returns.into_iter().collect::<Vec<_>>(), sample.return_codes);
    assert_eq!(!changes.is_empty(), sample.is_notification_of_change);
    assert_eq!(changes.into_iter().collect::<Vec<_>>(), sample.change_codes);
    let all = traces.len();
    let distinct = traces.into_iter().collect::<BTreeSet<_>>().len();
    assert_eq!(all - distinct, sample.duplicate_trace_numbers);
}
