//! Owns a set of places in the order of acceptance: which of its own events an upload has met. Rows of a chunk are
//! numbered one after the other, so a place costs about a bit; ten million rows are a megabyte or two.

use std::collections::HashMap;

use crate::core::ids::Seq;

/// Places of one page.
const PAGE: i64 = 4_096;
/// Places of one word.
const WORD: i64 = 64;

/// A set of places.
#[derive(Debug, Default)]
pub(super) struct SeqSet(HashMap<i64, [u64; 64]>);

impl SeqSet {
    /// Adds a place; false where it was there.
    pub(super) fn insert(&mut self, seq: Seq) -> bool {
        let place = seq.0.rem_euclid(PAGE);
        let page = self.0.entry(seq.0.div_euclid(PAGE)).or_insert([0; 64]);
        let word = usize::try_from(place.div_euclid(WORD)).ok().and_then(|word| page.get_mut(word));
        let bit = u32::try_from(place.rem_euclid(WORD)).ok().and_then(|bit| 1_u64.checked_shl(bit));
        // A page has 64 words of 64 places.
        let (Some(word), Some(bit)) = (word, bit) else { return false };
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }

    /// How many places there are.
    pub(super) fn count(&self) -> i64 {
        let words = self.0.values().flatten();
        words.fold(0, |sum, word| sum.saturating_add(i64::from(word.count_ones())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_new_once() {
        let mut set = SeqSet::default();
        let places = [0, 1, 63, 64, 4_095, 4_096, 4_097, 1_000_000_007, i64::MAX];
        for place in places {
            assert!(set.insert(Seq(place)), "{place}");
        }
        for place in places {
            assert!(!set.insert(Seq(place)), "{place}");
        }
        assert!(set.insert(Seq(2)) && set.insert(Seq(4_098)));
        assert_eq!(set.count(), 11);
        assert_eq!(set.0.len(), 4, "neighbours share a page");
    }
}
