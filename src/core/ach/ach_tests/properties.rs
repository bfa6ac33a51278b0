//! Owns the properties: any bytes are read or refused, what is written is read back, what is read adds up.

use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};

use super::*;

/// Real files, valid and not, whose spoiled forms are tried.
const SAMPLES: [&[u8]; 9] = [
    include_bytes!("../../../../tests/data/nacha/ccd-txp-addenda-debit.ach"),
    include_bytes!("../../../../tests/data/nacha/contested-dishonored-return.ach"),
    include_bytes!("../../../../tests/data/nacha/ctx-debit.ach"),
    include_bytes!("../../../../tests/data/nacha/invalid-return-and-noc-without-controls.ach"),
    include_bytes!("../../../../tests/data/nacha/invalid-vendor-empty-file.ach"),
    include_bytes!("../../../../tests/data/nacha/noc-cor-c01.ach"),
    include_bytes!("../../../../tests/data/nacha/ppd-debit-no-line-breaks.ach"),
    include_bytes!("../../../../tests/data/nacha/return-web-r01-r03.ach"),
    include_bytes!("../../../../tests/data/nacha/web-debit.ach"),
];

fn tolerances() -> impl Strategy<Value = Tolerances> {
    subsequence(Tolerance::ALL.to_vec(), 0..=Tolerance::ALL.len()).prop_map(|some| some.into_iter().collect())
}

fn view() -> impl Strategy<Value = View> {
    select(View::ALL.to_vec())
}

fn feed(view: View, tolerances: Tolerances) -> Feed {
    Feed::new(&FeedSettings {
        name: "any".to_owned(),
        view: view.name().to_owned(),
        loan_number: ["addenda:LOAN", "individual_id", "account_number"].map(str::to_owned).to_vec(),
        tolerances: tolerances.iter().map(|tolerance| tolerance.name().to_owned()).collect(),
        ..FeedSettings::default()
    })
    .unwrap()
}

/// Reads bytes whatever they are. A file that is taken adds up; one that is not says why; both can be gone through.
fn survives(bytes: &[u8], feed: &Feed) -> Result<(), TestCaseError> {
    match feed.read(bytes) {
        Ok(file) => {
            let classifier = feed.classifier(file.header(), NaiveDate::MAX);
            let mut tally = Tally::default();
            for at in file.entries() {
                tally.add(&at.entry, &classifier.classify(&at)).unwrap();
            }
            prop_assert!(tally.accounts_for(file.summary()), "{tally:?} {:?}", file.summary());
        }
        Err(refusal) => {
            prop_assert!(!refusal.faults.is_empty());
            let classifier = feed.classifier(refusal.readable.header(), NaiveDate::MAX);
            let meanings: Vec<_> = refusal.readable.entries().map(|at| classifier.classify(&at)).collect();
            prop_assert!(u64::try_from(meanings.len()).unwrap() <= refusal.readable.summary().entries);
            for fault in refusal.faults.list() {
                prop_assert!(fault.line >= 1 && fault.column >= 1 && !fault.message.is_empty());
            }
        }
    }
    Ok(())
}

/// One change of a file, at random places.
#[derive(Clone, Debug)]
enum Edit {
    Overwrite(Index, u8),
    Insert(Index, u8),
    Delete(Index),
    Truncate(Index),
    SwapLines(Index, Index),
    RepeatLine(Index),
    DeleteLine(Index),
}

fn edit() -> impl Strategy<Value = Edit> {
    let byte = || prop_oneof![4 => select(b"0123456789 ARC\n".to_vec()), 1 => any::<u8>()];
    prop_oneof![
        8 => (any::<Index>(), byte()).prop_map(|(at, byte)| Edit::Overwrite(at, byte)),
        1 => (any::<Index>(), byte()).prop_map(|(at, byte)| Edit::Insert(at, byte)),
        1 => any::<Index>().prop_map(Edit::Delete),
        1 => any::<Index>().prop_map(Edit::Truncate),
        2 => any::<(Index, Index)>().prop_map(|(one, other)| Edit::SwapLines(one, other)),
        1 => any::<Index>().prop_map(Edit::RepeatLine),
        1 => any::<Index>().prop_map(Edit::DeleteLine),
    ]
}

fn apply(file: Vec<u8>, edit: &Edit) -> Vec<u8> {
    let mut bytes = file;
    if bytes.is_empty() {
        return bytes;
    }
    let mut lines: Vec<Vec<u8>> = bytes.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    let (count, length) = (lines.len(), bytes.len());
    match edit {
        Edit::Overwrite(at, byte) => bytes[at.index(length)] = *byte,
        Edit::Insert(at, byte) => bytes.insert(at.index(length), *byte),
        Edit::Delete(at) => _ = bytes.remove(at.index(length)),
        Edit::Truncate(at) => bytes.truncate(at.index(length)),
        Edit::SwapLines(one, other) => {
            lines.swap(one.index(count), other.index(count));
            return lines.join(&b'\n');
        }
        Edit::RepeatLine(at) => {
            let line = lines[at.index(count)].clone();
            lines.insert(at.index(count), line);
            return lines.join(&b'\n');
        }
        Edit::DeleteLine(at) => {
            lines.remove(at.index(count));
            return lines.join(&b'\n');
        }
    }
    bytes
}

/// An entry to be written, owned.
#[derive(Clone, Debug)]
struct Written {
    number: u64,
    rdfi: u32,
    amount: i64,
    account: String,
    individual_id: String,
    name: String,
    remittance: Option<String>,
}

fn words(length: usize) -> impl Strategy<Value = String> {
    proptest::string::string_regex(&format!("([!-~]([ -~]{{0,{}}}[!-~])?)?", length - 2)).unwrap()
}

fn written() -> impl Strategy<Value = Written> {
    let number = select(vec![22_u64, 27, 32, 37, 42, 47, 52, 55, 23, 28, 38, 24, 29]);
    let remittance = proptest::option::of(words(80));
    let rest = (1..100_000_000_u32, 1..10_000_000_i64, words(17), words(15), words(22), remittance);
    (number, rest).prop_map(|(number, (rdfi, amount, account, individual_id, name, remittance))| {
        let live = code(number).purpose == Purpose::Live;
        Written { number, rdfi, amount: if live { amount } else { 0 }, account, individual_id, name, remittance }
    })
}

fn batches() -> impl Strategy<Value = Vec<Vec<Written>>> {
    prop::collection::vec(prop::collection::vec(written(), 1..6), 1..5)
}

fn write(batches: &[Vec<Written>]) -> Vec<u8> {
    let mut writer = Writer::new(&file_spec()).unwrap();
    for batch in batches {
        writer.batch(&batch_spec()).unwrap();
        for entry in batch {
            let addenda: Vec<_> = entry.remittance.iter().map(|text| AddendaSpec::Remittance(text)).collect();
            let spec = EntrySpec {
                code: code(entry.number),
                rdfi: bank(entry.rdfi),
                account: &entry.account,
                amount: Minor::new(entry.amount),
                individual_id: &entry.individual_id,
                name: &entry.name,
                addenda: &addenda,
            };
            writer.entry(&spec).unwrap();
        }
    }
    writer.finish().unwrap()
}

/// What a written entry must come back as.
fn read_back(at: &FileEntry<'_>) -> Written {
    let remittance = at.addenda().find_map(|addenda| match addenda {
        Addenda::Remittance(remittance) => Some(remittance.text.trimmed().to_owned()),
        Addenda::Change(_) | Addenda::Return(_) | Addenda::Other(_) => None,
    });
    Written {
        number: at.entry.code.number().unwrap(),
        rdfi: at.entry.rdfi.number(),
        amount: at.entry.amount.units(),
        account: at.entry.account.trimmed().to_owned(),
        individual_id: at.entry.individual_id.trimmed().to_owned(),
        name: at.entry.name.trimmed().to_owned(),
        remittance,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..600), view in view(), some in tolerances()) {
        survives(&bytes, &feed(view, some))?;
    }

    #[test]
    fn random_records_never_panic(
        lines in prop::collection::vec("[156789][ 0-9A-Z]{0,20}(05|98|99|PPD|COR|200|R01| ){0,3}[ 0-9]{0,94}", 0..20),
        view in view(),
        some in tolerances(),
    ) {
        survives(lines.join("\n").as_bytes(), &feed(view, some))?;
    }

    #[test]
    fn spoiled_samples_never_panic_and_add_up_where_they_are_taken(
        sample in select(SAMPLES.to_vec()),
        edits in prop::collection::vec(edit(), 1..5),
        view in view(),
        some in tolerances(),
    ) {
        let bytes = edits.iter().fold(sample.to_vec(), apply);
        survives(&bytes, &feed(view, some))?;
    }

    #[test]
    fn what_is_written_is_read_back(batches in batches(), view in view()) {
        let bytes = write(&batches);
        let file = read(&bytes, Tolerances::STRICT).map_err(|refusal| TestCaseError::fail(format!("{refusal:?}")))?;
        let back: Vec<String> = file.entries().map(|at| format!("{:?}", read_back(&at))).collect();
        let written: Vec<String> = batches.iter().flatten().map(|entry| format!("{entry:?}")).collect();
        prop_assert_eq!(back, written);
        let positions: Vec<_> = file.entries().map(|at| (at.position.batch, at.position.entry)).collect();
        let expected: Vec<_> =
            (1..).zip(&batches).flat_map(|(batch, entries)| (1..).zip(entries).map(move |(entry, _)| (batch, entry))).collect();
        prop_assert_eq!(positions, expected);
        survives(&bytes, &feed(view, Tolerances::STRICT))?;
    }

    #[test]
    fn no_amount_bank_or_control_can_be_changed_unnoticed(
        batches in batches(),
        at in any::<Index>(),
        column in any::<Index>(),
        digit in b'0'..=b'9',
    ) {
        let mut bytes = write(&batches);
        let kinds: Vec<u8> = Lines::of(&bytes).map(|line| line.bytes[0]).collect();
        let guarded: Vec<usize> = (0..kinds.len()).filter(|line| matches!(kinds[*line], b'6' | b'8')).collect();
        let line = guarded[at.index(guarded.len())];
        let columns: Vec<usize> =
            if kinds[line] == b'6' { (3..12).chain(29..39).collect() } else { (4..44).chain(79..94).collect() };
        let place = line * 95 + columns[column.index(columns.len())];
        prop_assume!(bytes[place] != digit);
        bytes[place] = digit;
        prop_assert!(read(&bytes, Tolerances::USUAL).is_err());
    }
}
