//! Owns what the entries of each sample mean under a feed of either view, and that the file total adds up.

use chrono::NaiveDate;
use hpts::core::ach::{ExceptionReason, Feed, FeedSettings, Meaning, Tally, Tolerance, View};

use super::{bytes, samples};

/// A feed that takes every class that pays.
fn feed(view: View, tolerances: &[Tolerance]) -> Feed {
    let classes = ["CCD", "CIE", "CTX", "POS", "PPD", "TEL", "WEB"];
    let usual = hpts::core::ach::Tolerances::USUAL.iter();
    Feed::new(&FeedSettings {
        name: "samples".to_owned(),
        view: view.name().to_owned(),
        sec_codes: classes.map(str::to_owned).to_vec(),
        tolerances: usual.chain(tolerances.iter().copied()).map(|tolerance| tolerance.name().to_owned()).collect(),
        ..FeedSettings::default()
    })
    .unwrap()
}

/// Payments, returns, changes, exceptions.
pub(crate) type Counts = (u64, u64, u64, u64);

/// What each valid sample comes to in the originator's view and in the receiver's.
pub(crate) const COUNTS: [(&str, Counts, Counts); 15] = [
    ("ppd-debit.ach", (1, 0, 0, 0), (0, 0, 0, 1)),
    ("ccd-debit.ach", (2, 0, 0, 0), (0, 0, 0, 2)),
    ("ctx-debit.ach", (0, 0, 0, 1), (0, 0, 0, 1)),
    ("web-debit.ach", (1, 0, 0, 5), (5, 0, 0, 1)),
    ("ppd-mixed-debit-credit.ach", (1, 0, 0, 2), (2, 0, 0, 1)),
    ("same-day-ppd-credit.ach", (0, 0, 0, 1), (1, 0, 0, 0)),
    ("loan-credit.ach", (0, 0, 0, 1), (1, 0, 0, 0)),
    ("ccd-txp-addenda-debit.ach", (1, 0, 0, 0), (0, 0, 0, 1)),
    ("two-batches-ppd-addenda.ach", (2, 0, 0, 4), (4, 0, 0, 2)),
    ("return-web-r01-r03.ach", (0, 1, 0, 1), (0, 0, 0, 2)),
    ("contested-dishonored-return.ach", (0, 0, 0, 1), (0, 0, 0, 1)),
    ("noc-cor-c01.ach", (0, 0, 1, 0), (0, 0, 1, 0)),
    ("ppd-debit-no-line-breaks.ach", (1, 0, 0, 0), (0, 0, 0, 1)),
    ("ppd-trailing-spaces-trimmed.ach", (1, 0, 0, 0), (0, 0, 0, 1)),
    ("PPD-200-batches-100000-entries.ach.gz", (0, 0, 0, 100_199), (100_199, 0, 0, 0)),
];

fn counts(bytes: &[u8], feed: &Feed) -> Counts {
    let file = feed.read(bytes).unwrap();
    let classifier = feed.classifier(file.header(), NaiveDate::MAX);
    let mut tally = Tally::default();
    for at in file.entries() {
        tally.add(&at.entry, &classifier.classify(&at)).unwrap();
    }
    assert!(tally.accounts_for(file.summary()));
    (tally.payments.count, tally.returns.count, tally.changes.count, tally.exceptions.count)
}

#[test]
fn every_sample_is_accounted_for_in_both_views() {
    let (originator, receiver) = (feed(View::Originator, &[]), feed(View::Receiver, &[]));
    let mut files = Vec::new();
    for sample in samples().into_iter().filter(|sample| sample.valid) {
        let bytes = bytes(&sample.file);
        files.push((sample.file, counts(&bytes, &originator), counts(&bytes, &receiver)));
    }
    let expected: Vec<_> = COUNTS.iter().map(|(file, one, other)| ((*file).to_owned(), *one, *other)).collect();
    assert_eq!(files, expected);
}

/// The meaning of the only entry of a sample.
fn only(file: &str, feed: &Feed) -> Meaning {
    let bytes = bytes(file);
    let file = feed.read(&bytes).unwrap();
    let mut entries = file.entries();
    let at = entries.next().unwrap();
    assert!(entries.next().is_none());
    feed.classifier(file.header(), NaiveDate::MAX).classify(&at)
}

#[test]
fn a_credit_with_code_52_names_its_loan_by_the_account() {
    let Meaning::Payment(payment) = only("loan-credit.ach", &feed(View::Receiver, &[])) else { panic!("no payment") };
    assert_eq!(payment.loan_numbers[0].as_str(), "12345678");
    assert_eq!(payment.amount.to_string(), "1000000.00 USD");
    assert_eq!(payment.effective_date, NaiveDate::from_ymd_opt(2019, 6, 25).unwrap());
}

#[test]
fn a_contested_dishonour_is_told_by_its_last_addenda() {
    let meaning = only("contested-dishonored-return.ach", &feed(View::Originator, &[]));
    assert_eq!(meaning, Meaning::Exception(ExceptionReason::ContestedReturn));
}

#[test]
fn an_unknown_return_code_is_an_exception_where_it_is_tolerated() {
    let feed = feed(View::Originator, &[Tolerance::UnknownReasonCodes]);
    let meaning = only("invalid-return-code-r96.ach", &feed);
    assert_eq!(meaning, Meaning::Exception(ExceptionReason::UnknownReturnCode));
}

#[test]
fn a_return_without_file_records_is_not_lost() {
    let feed = feed(View::Originator, &[Tolerance::MissingFileRecords]);
    let Meaning::Return(returned) = only("invalid-return-without-file-records.ach", &feed) else { panic!("no return") };
    assert_eq!(returned.code.to_string(), "R01");
    assert_eq!(returned.original_trace.to_string(), "091400600000001");
    assert_eq!((returned.amount.minor.units(), returned.account.trimmed()), (12_354, "123456789"));
    assert_eq!((returned.booked_on, returned.fee), (None, None));
}

#[test]
fn a_change_carries_the_right_value() {
    let Meaning::Change(change) = only("noc-cor-c01.ach", &feed(View::Originator, &[])) else { panic!("no change") };
    assert_eq!((change.code.to_string().as_str(), change.corrected.trimmed()), ("C01", "1918171614"));
    assert_eq!(change.original_trace.to_string(), "121042880000001");
}
