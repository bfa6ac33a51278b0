//! Owns the fixed hash that spreads loans over the broker's partitions.
//!
//! A slot never changes: `slots` in the store maps slots to partitions, and only that map moves when partitions are
//! resized. The golden values below pin it for good.

use crate::core::ids::LoanKey;

/// How many slots there are: 12 bits of the loan key.
pub const SLOT_COUNT: u16 = 4096;

/// How many single payments of one commit are worth a queue of their own.
const GATHERED_EVENTS: usize = 128;

/// A fixed hash of a loan, 0 to 4095.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u16);

impl Slot {
    /// The slot of a loan: the first 12 bits of its key, most significant first.
    #[must_use]
    pub fn of(key: LoanKey) -> Self {
        let [first, second, ..] = key.bytes();
        Self(u16::from_be_bytes([first, second]) >> 4)
    }

    /// Wraps a stored number.
    #[must_use]
    pub fn from_number(number: u16) -> Option<Self> {
        (number < SLOT_COUNT).then_some(Self(number))
    }

    /// The number, 0 to 4095.
    #[must_use]
    pub fn number(self) -> u16 {
        self.0
    }
}

/// A set of slots served by one pair of queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition(pub u16);

/// Which slots belong to which partition, under one generation of the topology.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionMap {
    /// The generation that names the queues.
    pub generation: i32,
    partitions: u16,
    by_slot: Vec<Partition>,
}

impl PartitionMap {
    /// The even map over `partitions` partitions: slot modulo partitions.
    #[must_use]
    pub fn even(generation: i32, partitions: u16) -> Self {
        let partitions = partitions.clamp(1, SLOT_COUNT);
        let by_slot = (0..SLOT_COUNT).map(|slot| Partition(slot.checked_rem(partitions).unwrap_or(0))).collect();
        Self { generation, partitions, by_slot }
    }

    /// Rebuilds a stored map; `None` unless every slot has a partition.
    #[must_use]
    pub fn from_rows(generation: i32, rows: &[(Slot, Partition)]) -> Option<Self> {
        let mut by_slot = vec![None; usize::from(SLOT_COUNT)];
        for (slot, partition) in rows {
            *by_slot.get_mut(usize::from(slot.number()))? = Some(*partition);
        }
        let by_slot: Vec<Partition> = by_slot.into_iter().collect::<Option<_>>()?;
        let partitions = by_slot.iter().map(|partition| partition.0).max()?.checked_add(1)?;
        Some(Self { generation, partitions, by_slot })
    }

    /// The partition of a slot.
    #[must_use]
    pub fn partition(&self, slot: Slot) -> Partition {
        self.by_slot.get(usize::from(slot.number())).copied().unwrap_or(Partition(0))
    }

    /// Over how many partitions the single payments of one commit are spread: one for every [`GATHERED_EVENTS`], in
    /// powers of two, at most all.
    ///
    /// A message costs the broker and both ends about 76 microseconds, whatever it carries, so light load is gathered
    /// on few queues and only heavy load uses all of them.
    #[must_use]
    pub fn width_for(&self, events: usize) -> u16 {
        let wanted = events.div_ceil(GATHERED_EVENTS).max(1);
        let wanted = u16::try_from(wanted).unwrap_or(u16::MAX).checked_next_power_of_two().unwrap_or(u16::MAX);
        wanted.min(self.partitions)
    }

    /// The partition whose queue carries a single payment of this slot at that width. A loan's payments share a
    /// queue while the width stays; order does not depend on it.
    #[must_use]
    pub fn gathered(&self, slot: Slot, width: u16) -> Partition {
        Partition(self.partition(slot).0.checked_rem(width).unwrap_or(0))
    }

    /// Every partition whose queues may rightly carry events of this slot, whatever the width was.
    pub fn homes(&self, slot: Slot) -> impl Iterator<Item = Partition> + '_ {
        let widths = std::iter::successors(Some(1_u16), |width| width.checked_mul(2));
        let narrower = widths.take_while(|width| *width < self.partitions);
        narrower.chain([self.partitions]).map(move |width| self.gathered(slot, width))
    }

    /// How many partitions there are.
    #[must_use]
    pub fn count(&self) -> u16 {
        self.partitions
    }

    /// All partitions, in order.
    pub fn all(&self) -> impl Iterator<Item = Partition> + use<> {
        (0..self.partitions).map(Partition)
    }

    /// Every slot with its partition, in order.
    pub fn rows(&self) -> impl Iterator<Item = (Slot, Partition)> + '_ {
        (0..SLOT_COUNT).map(Slot).zip(self.by_slot.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::ids::{LoanId, TenantId};

    #[test]
    fn slots_are_golden() {
        let tenant = TenantId::parse("00000000-0000-7000-8000-000000000001").unwrap();
        let slot = |loan: &str| Slot::of(LoanKey::of_loan(tenant, LoanId::parse(loan).unwrap())).number();
        assert_eq!(slot("11111111-1111-1111-1111-111111111111"), 1283);
        assert_eq!(slot("22222222-2222-2222-2222-222222222222"), 3339);
        assert_eq!(slot("ffffffff-ffff-ffff-ffff-ffffffffffff"), 2230);
    }

    #[test]
    fn light_load_is_gathered_and_every_queue_it_may_take_is_a_home() {
        let map = PartitionMap::even(1, 6);
        let widths: Vec<u16> = [0, 1, 128, 129, 257, 600, 100_000].map(|events| map.width_for(events)).to_vec();
        assert_eq!(widths, [1, 1, 1, 2, 4, 6, 6]);
        for slot in (0..SLOT_COUNT).filter_map(Slot::from_number) {
            let homes: Vec<Partition> = map.homes(slot).collect();
            for width in [1, 2, 4, 6] {
                assert!(homes.contains(&map.gathered(slot, width)));
            }
            assert_eq!(map.gathered(slot, 6), map.partition(slot));
        }
    }

    #[test]
    fn an_even_map_survives_its_rows() {
        let map = PartitionMap::even(3, 8);
        let rows: Vec<_> = map.rows().collect();
        assert_eq!(PartitionMap::from_rows(3, &rows), Some(map));
        assert_eq!(PartitionMap::from_rows(3, rows.split_last().unwrap().1), None);
    }
}
