//! Owns the test that the chain's hash covers every field of a posting.

use super::*;
use crate::core::event::Fingerprint;
use crate::core::ids::LoanKey;
use crate::core::ledger::{JournalEntry, Layer, Line, RejectionCode, chain_hash};

fn entry(account: &str, units: i64, layer: Layer) -> JournalEntry {
    let line = |account: &str, units| Line { account: AccountCode::parse(account).unwrap(), signed: Minor::new(units) };
    JournalEntry::new(vec![line("1010", units), line(account, -units)], layer).unwrap()
}

fn split(parts: [i64; 4]) -> Allocation {
    let [fees, interest, principal, suspense] = parts.map(Minor::new);
    Allocation { fees, interest, principal, suspense }
}

fn posting() -> Posting {
    Posting {
        event_id: EventId(Uuid::from_u128(2)),
        loan_key: LoanKey::of_loan(TENANT, LOAN),
        loan_version: Some(7),
        outcome: Outcome::Posted,
        entry: Some(entry("1100", 100, Layer::Settled)),
        allocation: Some(split([10, 20, 30, 40])),
        undoes_seq: Some(Seq(3)),
        restates_seq: Some(Seq(4)),
        effective_date: date(5, 1),
        booking_date: date(5, 2),
        posted_at: at(0),
        chain_hash: None,
        refused_loans: Vec::new(),
    }
}

/// One posting per way in which a field can be another.
fn changed() -> Vec<Posting> {
    // Taken apart without a rest, so that a field added later has to be thought of here.
    let Posting {
        event_id: _,
        loan_key: _,
        loan_version: _,
        outcome: _,
        entry: _,
        allocation: _,
        undoes_seq: _,
        restates_seq: _,
        effective_date: _,
        booking_date: _,
        posted_at: _,
        chain_hash: _,
        refused_loans: _,
    } = posting();
    let mut changed = vec![
        Posting { event_id: EventId(Uuid::from_u128(4)), ..posting() },
        Posting { loan_key: LoanKey::from_bytes([0; 16]), ..posting() },
        Posting { loan_version: Some(8), ..posting() },
        Posting { loan_version: None, ..posting() },
        Posting { entry: None, ..posting() },
        Posting { entry: Some(entry("1200", 100, Layer::Settled)), ..posting() },
        Posting { entry: Some(entry("1100", 101, Layer::Settled)), ..posting() },
        Posting { entry: Some(entry("1100", -100, Layer::Settled)), ..posting() },
        Posting { entry: Some(entry("1100", 100, Layer::Pending)), ..posting() },
        Posting { allocation: None, ..posting() },
        Posting { allocation: Some(split([11, 20, 30, 40])), ..posting() },
        Posting { allocation: Some(split([10, 21, 30, 40])), ..posting() },
        Posting { allocation: Some(split([10, 20, 31, 40])), ..posting() },
        Posting { allocation: Some(split([10, 20, 30, 41])), ..posting() },
        Posting { allocation: Some(split([20, 10, 30, 40])), ..posting() },
        Posting { undoes_seq: None, ..posting() },
        Posting { restates_seq: None, ..posting() },
        Posting { undoes_seq: Some(Seq(4)), restates_seq: Some(Seq(3)), ..posting() },
        Posting { effective_date: date(5, 3), ..posting() },
        Posting { booking_date: date(5, 3), ..posting() },
        Posting { posted_at: at(1), ..posting() },
    ];
    let codes = RejectionCode::ALL.into_iter();
    changed.extend(codes.map(|code| Posting { outcome: Outcome::Rejected(code), ..posting() }));
    changed
}

#[test]
fn a_change_of_any_field_changes_the_hash() {
    let request = Fingerprint::from_bytes([1; 32]);
    let mut hashes = vec![
        chain_hash(&[0; 32], request, &posting()),
        chain_hash(&[9; 32], request, &posting()),
        chain_hash(&[0; 32], Fingerprint::from_bytes([2; 32]), &posting()),
    ];
    hashes.extend(changed().iter().map(|posting| chain_hash(&[0; 32], request, posting)));
    let count = hashes.len();
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), count, "two of these postings have one hash");
}

#[test]
fn the_hash_that_is_stored_is_not_part_of_itself() {
    let stored = Posting { chain_hash: Some([5; 32]), ..posting() };
    let request = Fingerprint::from_bytes([1; 32]);
    assert_eq!(chain_hash(&[0; 32], request, &stored), chain_hash(&[0; 32], request, &posting()));
}
