//! Owns the per-loan hash chain: every posting's hash covers the one before it, the request and the lines, so that a
//! row changed afterwards is found.

use chrono::Datelike;
use sha2::{Digest, Sha256};

use crate::core::event::Fingerprint;
use crate::core::ledger::posting::Posting;

const VERSION: u8 = 1;

/// The hash of a posting after `previous`, the loan's chain head before it.
///
/// Encoding, version 1: version byte, previous hash, loan key, event id, request fingerprint, loan version, outcome,
/// rejection code, effective and booking day numbers, posting micros, allocation (0, or 1 and the parts), undone and
/// restated `seq` (0 where absent), then, where there is an entry, its layer and the (account, signed amount) of each
/// line; integers big-endian, words with a closing NUL. Only the lines have
/// no length of their own, and they end the input.
#[must_use]
pub fn chain_hash(previous: &[u8; 32], fingerprint: Fingerprint, posting: &Posting) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update([VERSION]);
    hash.update(previous);
    hash.update(posting.loan_key.bytes());
    hash.update(posting.event_id.0);
    hash.update(fingerprint.bytes());
    hash.update(posting.loan_version.unwrap_or(0).to_be_bytes());
    word(&mut hash, posting.outcome.as_str());
    word(&mut hash, posting.outcome.rejection().map_or("", |code| code.as_str()));
    hash.update(posting.effective_date.num_days_from_ce().to_be_bytes());
    hash.update(posting.booking_date.num_days_from_ce().to_be_bytes());
    hash.update(posting.posted_at.micros().to_be_bytes());
    match posting.allocation {
        None => hash.update([0]),
        Some(split) => {
            hash.update([1]);
            for part in [split.fees, split.interest, split.principal, split.suspense] {
                hash.update(part.units().to_be_bytes());
            }
        }
    }
    for seq in [posting.undoes_seq, posting.restates_seq] {
        hash.update(seq.map_or(0, |seq| seq.0).to_be_bytes());
    }
    if let Some(entry) = &posting.entry {
        word(&mut hash, entry.layer().as_str());
        for line in entry.lines() {
            hash.update(line.account.number().to_be_bytes());
            hash.update(line.signed.units().to_be_bytes());
        }
    }
    hash.finalize().into()
}

fn word(hash: &mut Sha256, text: &str) {
    hash.update(text);
    hash.update([0]);
}
