//! Owns what a lane holds unsettled: deliveries per queue, and the events they name.
//!
//! A delivery is done when all its events are; the broker is told once per batch and queue, up to the first delivery
//! that is not done. An event that several deliveries name is done for all of them at once. Events that this lane
//! posted a moment ago are remembered, so that their messages, which often come after a drain has posted them, are
//! settled without asking the store.

use std::collections::{HashMap, HashSet, VecDeque};

use crate::broker::QueueClass;
use crate::core::ids::EventId;
use crate::store::Wanted;
use crate::worker::feed::{Delivered, Source};

/// Events remembered as posted: a few seconds of work, about 4 MB.
const RECENT_MAX: usize = 65_536;
/// From this count of earlier deliveries on, a message is handled event by event: it may have killed a worker.
pub(super) const SUSPECT_FROM: u32 = 3;

/// A batch of bulk work beside single payments: these wait for the batch that is being posted when they come, so it is
/// kept short.
const BULK_BESIDE_SINGLES: usize = 400;
/// Single payments are about for so many batches of bulk work after the last of them.
const SINGLES_ABOUT: u32 = 32;

/// One event that waits to be posted.
#[derive(Debug)]
struct Pending {
    wanted: Wanted,
    class: QueueClass,
    suspect: bool,
    redelivered: bool,
    counted: bool,
    holders: Vec<(Source, u64)>,
}

#[derive(Debug)]
struct Held {
    tag: u64,
    open: usize,
    /// Told to the broker by a rejection: an acknowledgement must not name it again, for the broker ends the channel
    /// over a tag that it does not know.
    is_rejected: bool,
}

/// The events of one batch, as [`Hand::next_batch`] picks them.
#[derive(Debug, Default)]
pub(super) struct Picked {
    /// The events.
    pub(super) wanted: Vec<Wanted>,
    /// Whether they are to be posted one by one.
    pub(super) suspect: bool,
    /// The most events to post with them, where more wait on their loans.
    pub(super) events_max: usize,
}

/// Everything a lane holds.
#[derive(Debug, Default)]
pub(super) struct Hand {
    deliveries: HashMap<Source, VecDeque<Held>>,
    pending: HashMap<EventId, Pending>,
    singles: VecDeque<EventId>,
    bulk: VecDeque<EventId>,
    suspects: VecDeque<EventId>,
    recent: HashSet<EventId>,
    recent_order: VecDeque<EventId>,
    bulk_was_last: bool,
    suspect_was_last: bool,
    /// Batches of bulk work for which singles still count as being about.
    singles_about: u32,
    touched: HashSet<Source>,
}

impl Hand {
    /// Takes a delivery whose envelope could be read. Events remembered as posted are done at once.
    pub(super) fn take(&mut self, delivered: &Delivered, wanted: impl Iterator<Item = Wanted>) {
        let (source, tag) = (delivered.source, delivered.tag);
        let mut open: usize = 0;
        for wanted in wanted {
            if self.recent.contains(&wanted.id) {
                continue;
            }
            open = open.saturating_add(1);
            self.await_event(delivered, wanted);
        }
        self.deliveries.entry(source).or_default().push_back(Held { tag, open, is_rejected: false });
        self.touched.insert(source);
    }

    fn await_event(&mut self, delivered: &Delivered, wanted: Wanted) {
        let suspect = delivered.delivery_count >= SUSPECT_FROM;
        let holder = (delivered.source, delivered.tag);
        if let Some(pending) = self.pending.get_mut(&wanted.id) {
            pending.holders.push(holder);
            return;
        }
        let class = delivered.source.queue.class;
        if class == QueueClass::Single {
            self.singles_about = SINGLES_ABOUT;
        }
        self.line(class, suspect).push_back(wanted.id);
        let redelivered = delivered.redelivered;
        let pending = Pending { wanted, class, suspect, redelivered, counted: false, holders: vec![holder] };
        self.pending.insert(wanted.id, pending);
    }

    fn line(&mut self, class: QueueClass, suspect: bool) -> &mut VecDeque<EventId> {
        match (suspect, class) {
            (true, QueueClass::Single | QueueClass::Bulk) => &mut self.suspects,
            (false, QueueClass::Single) => &mut self.singles,
            (false, QueueClass::Bulk) => &mut self.bulk,
        }
    }

    /// Holds a delivery that names nothing we can post, until [`Hand::rejected`].
    pub(super) fn take_unreadable(&mut self, source: Source, tag: u64) {
        self.deliveries.entry(source).or_default().push_back(Held { tag, open: 1, is_rejected: false });
    }

    /// Forgets a delivery that was rejected.
    pub(super) fn rejected(&mut self, source: Source, tag: u64) {
        if let Some(delivery) = self.held(source, tag) {
            delivery.is_rejected = true;
        }
        self.settle_one(source, tag);
    }

    /// Forgets everything of a queue's feed: the subscription is gone, its messages come again elsewhere or later.
    pub(super) fn forget(&mut self, is_gone: impl Fn(&Source) -> bool) {
        self.deliveries.retain(|source, _| !is_gone(source));
        self.touched.retain(|source| !is_gone(source));
        self.pending.retain(|_, pending| {
            pending.holders.retain(|(source, _)| !is_gone(source));
            !pending.holders.is_empty()
        });
    }

    /// Whether an event waits.
    pub(super) fn has_work(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Picks the next events: singles first, bulk at least every second batch and, while singles are about, a short one. Suspects go alone, and at most every
    /// second batch: whatever made them suspect must not keep the others waiting.
    pub(super) fn next_batch(&mut self, max: usize) -> Picked {
        let others_wait = !self.singles.is_empty() || !self.bulk.is_empty();
        if !(self.suspect_was_last && others_wait) {
            let suspects = self.pick(1, Line::Suspects);
            self.suspect_was_last = !suspects.is_empty();
            if self.suspect_was_last {
                return Picked { wanted: suspects, suspect: true, events_max: max };
            }
        }
        self.suspect_was_last = false;
        let order = if self.bulk_was_last { [Line::Singles, Line::Bulk] } else { [Line::Bulk, Line::Singles] };
        // Singles go first unless the last batch was theirs and bulk waits.
        let singles_wait = !self.singles.is_empty();
        let order = if singles_wait { order } else { [Line::Bulk, Line::Singles] };
        for line in order {
            let is_short = line == Line::Bulk && self.singles_about > 0;
            let events_max = if is_short { max.min(BULK_BESIDE_SINGLES) } else { max };
            let wanted = self.pick(events_max, line);
            if !wanted.is_empty() {
                self.bulk_was_last = line == Line::Bulk;
                self.singles_about = self.singles_about.saturating_sub(u32::from(self.bulk_was_last));
                return Picked { wanted, suspect: false, events_max };
            }
        }
        Picked::default()
    }

    fn pick(&mut self, max: usize, line: Line) -> Vec<Wanted> {
        let queue = match line {
            Line::Singles => &mut self.singles,
            Line::Bulk => &mut self.bulk,
            Line::Suspects => &mut self.suspects,
        };
        let mut wanted = Vec::with_capacity(max.min(queue.len()));
        let mut picked = HashSet::with_capacity(wanted.capacity());
        while wanted.len() < max {
            let Some(id) = queue.pop_front() else { break };
            // An id whose event is settled by a drain, or was forgotten with its feed, is skipped; one that came
            // again after that may stand in the line twice.
            wanted.extend(self.pending.get(&id).filter(|_| picked.insert(id)).map(|pending| pending.wanted));
        }
        wanted
    }

    /// Puts events back to the front, in order: they are still to be posted.
    pub(super) fn put_back(&mut self, ids: impl DoubleEndedIterator<Item = EventId>) {
        for id in ids.rev() {
            if let Some((class, suspect)) = self.pending.get(&id).map(|pending| (pending.class, pending.suspect)) {
                self.line(class, suspect).push_front(id);
            }
        }
    }

    /// Whether an attempt at a suspect is still to be counted: once for each time its message was handed out, so that
    /// waiting for a loan that is locked elsewhere costs no attempt.
    pub(super) fn count_once(&mut self, id: EventId) -> bool {
        self.pending.get_mut(&id).is_some_and(|pending| !std::mem::replace(&mut pending.counted, true))
    }

    /// Whether the event's message had been handed out before.
    pub(super) fn was_redelivered(&self, id: EventId) -> bool {
        self.pending.get(&id).is_some_and(|pending| pending.redelivered)
    }

    /// An event is finished, or is somebody else's now: its deliveries have one less to wait for.
    pub(super) fn settle(&mut self, id: EventId) {
        if let Some(pending) = self.pending.remove(&id) {
            for (source, tag) in pending.holders {
                self.settle_one(source, tag);
            }
        }
    }

    /// Remembers an event as posted by this lane.
    pub(super) fn remember(&mut self, id: EventId) {
        if self.recent.insert(id) {
            self.recent_order.push_back(id);
        }
        if self.recent_order.len() > RECENT_MAX {
            self.recent_order.pop_front().map(|oldest| self.recent.remove(&oldest));
        }
    }

    fn settle_one(&mut self, source: Source, tag: u64) {
        if let Some(delivery) = self.held(source, tag) {
            delivery.open = delivery.open.saturating_sub(1);
            self.touched.insert(source);
        }
    }

    fn held(&mut self, source: Source, tag: u64) -> Option<&mut Held> {
        let held = self.deliveries.get_mut(&source)?;
        let place = held.partition_point(|delivery| delivery.tag < tag);
        held.get_mut(place).filter(|delivery| delivery.tag == tag)
    }

    /// Per queue, the last delivery before the first that still waits: what can be acknowledged now. Rejected ones are
    /// passed over.
    pub(super) fn settled(&mut self) -> Vec<(Source, u64)> {
        let mut settled = Vec::new();
        for source in std::mem::take(&mut self.touched) {
            let Some(held) = self.deliveries.get_mut(&source) else { continue };
            let mut through = None;
            while held.front().is_some_and(|delivery| delivery.open == 0) {
                let done = held.pop_front().filter(|delivery| !delivery.is_rejected);
                through = done.map(|delivery| delivery.tag).or(through);
            }
            settled.extend(through.map(|tag| (source, tag)));
        }
        settled
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    Singles,
    Bulk,
    Suspects,
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::broker::QueueId;
    use crate::core::event::Envelope;
    use crate::core::ids::{LoanKey, Seq};
    use crate::core::slot::Partition;

    fn source(class: QueueClass) -> Source {
        Source { queue: QueueId { partition: Partition(0), class }, feed: 1, epoch: 1 }
    }

    fn wanted(number: u8) -> Wanted {
        let id = EventId(Uuid::from_u128(u128::from(number) << 1));
        Wanted { seq: Seq(i64::from(number)), id, loan_key: LoanKey::from_bytes([number; 16]) }
    }

    fn take(hand: &mut Hand, class: QueueClass, tag: u64, numbers: &[u8]) {
        take_again(hand, class, tag, numbers, 0);
    }

    fn take_again(hand: &mut Hand, class: QueueClass, tag: u64, numbers: &[u8], delivery_count: u32) {
        let envelope = Ok(Envelope::new(Vec::new(), None, None));
        let redelivered = delivery_count > 0;
        let delivered = Delivered { source: source(class), tag, redelivered, delivery_count, envelope };
        hand.take(&delivered, numbers.iter().map(|number| wanted(*number)));
    }

    #[test]
    fn only_the_done_prefix_of_a_queue_is_acknowledged() {
        let mut hand = Hand::default();
        take(&mut hand, QueueClass::Single, 1, &[1, 2]);
        take(&mut hand, QueueClass::Single, 2, &[3]);
        hand.settled();
        hand.settle(wanted(3).id);
        hand.settle(wanted(1).id);
        assert_eq!(hand.settled(), vec![], "the first delivery still waits for an event");
        hand.settle(wanted(2).id);
        assert_eq!(hand.settled(), vec![(source(QueueClass::Single), 2)]);
    }

    #[test]
    fn a_rejected_delivery_is_never_acknowledged() {
        let mut hand = Hand::default();
        let queue = source(QueueClass::Single);
        hand.take_unreadable(queue, 1);
        take(&mut hand, QueueClass::Single, 2, &[1]);
        hand.rejected(queue, 1);
        assert_eq!(hand.settled(), vec![], "the broker has forgotten a rejected tag");
        hand.take_unreadable(queue, 3);
        hand.rejected(queue, 3);
        hand.settle(wanted(1).id);
        assert_eq!(hand.settled(), vec![(queue, 2)]);
    }

    #[test]
    fn an_event_named_twice_settles_both_messages_and_a_remembered_one_at_once() {
        let mut hand = Hand::default();
        take(&mut hand, QueueClass::Single, 1, &[1]);
        take(&mut hand, QueueClass::Bulk, 7, &[1]);
        hand.settle(wanted(1).id);
        hand.remember(wanted(1).id);
        assert_eq!(hand.settled().len(), 2);
        take(&mut hand, QueueClass::Single, 2, &[1]);
        assert!(!hand.has_work());
        assert_eq!(hand.settled(), vec![(source(QueueClass::Single), 2)]);
    }

    #[test]
    fn singles_go_first_and_bulk_every_second_batch() {
        let mut hand = Hand::default();
        take(&mut hand, QueueClass::Bulk, 1, &[1, 2]);
        let mut classes = Vec::new();
        for number in 10..16 {
            take(&mut hand, QueueClass::Single, u64::from(number), &[number]);
            take(&mut hand, QueueClass::Bulk, u64::from(number), &[number + 50]);
            let picked = hand.next_batch(1);
            classes.push(hand.pending[&picked.wanted[0].id].class);
        }
        assert!(classes.windows(2).all(|pair| pair[0] != pair[1]), "{classes:?}");
    }

    #[test]
    fn bulk_is_short_while_singles_are_about() {
        let mut hand = Hand::default();
        let many = |first: u128| {
            (first..first + 1_000).map(|number| {
                let id = EventId(Uuid::from_u128(number << 1));
                Wanted { seq: Seq(1), id, loan_key: LoanKey::from_bytes([1; 16]) }
            })
        };
        let bulk = |hand: &mut Hand, first: u128| {
            let (source, envelope) = (source(QueueClass::Bulk), Ok(Envelope::new(Vec::new(), None, None)));
            let delivered = Delivered { source, tag: 1, redelivered: false, delivery_count: 0, envelope };
            hand.take(&delivered, many(first));
        };
        bulk(&mut hand, 1_000);
        assert_eq!(hand.next_batch(2_000).wanted.len(), 1_000, "nobody else is about");
        take(&mut hand, QueueClass::Single, 1, &[1]);
        assert_eq!(hand.next_batch(2_000).wanted, [wanted(1)]);
        for round in 0..u128::from(SINGLES_ABOUT) {
            bulk(&mut hand, 10_000 + round * 1_000);
            let picked = hand.next_batch(2_000);
            assert_eq!((picked.wanted.len(), picked.events_max), (BULK_BESIDE_SINGLES, BULK_BESIDE_SINGLES));
        }
        assert_eq!(hand.next_batch(2_000).wanted.len(), 2_000, "they are not about any more");
        assert_eq!(hand.next_batch(300).events_max, 300);
    }

    #[test]
    fn suspects_go_alone_are_counted_once_and_keep_nobody_waiting() {
        let mut hand = Hand::default();
        take_again(&mut hand, QueueClass::Single, 1, &[1, 2], SUSPECT_FROM);
        take(&mut hand, QueueClass::Single, 2, &[10, 11, 12]);
        let picks: Vec<(bool, usize)> =
            (0..3).map(|_| hand.next_batch(2)).map(|picked| (picked.suspect, picked.wanted.len())).collect();
        assert_eq!(picks, [(true, 1), (false, 2), (true, 1)]);
        assert!(hand.count_once(wanted(1).id));
        assert!(!hand.count_once(wanted(1).id));
    }

    #[test]
    fn what_is_put_back_comes_first_and_in_order() {
        let mut hand = Hand::default();
        take(&mut hand, QueueClass::Single, 1, &[1, 2, 3]);
        let picked: Vec<_> = hand.next_batch(2).wanted.iter().map(|wanted| wanted.id).collect();
        hand.put_back(picked.into_iter());
        let again: Vec<_> = hand.next_batch(3).wanted;
        assert_eq!(again, vec![wanted(1), wanted(2), wanted(3)]);
    }

    #[test]
    fn a_lost_feed_is_forgotten() {
        let mut hand = Hand::default();
        take(&mut hand, QueueClass::Single, 1, &[1]);
        hand.forget(|source| source.feed == 1);
        assert!(!hand.has_work());
        assert!(hand.next_batch(5).wanted.is_empty());
        assert!(hand.settled().is_empty());
    }
}
