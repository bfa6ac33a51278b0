//! Groups of a tenant's callers: makers with defaults, and a lane reduced to its order of work.

use std::sync::Arc;

use chrono::NaiveDate;
use hpts::core::event::{
    AcceptedEvent, Group, GroupOperation, IdempotencyKey, LegRequest, LegTerms, LegsHash, NewEvent, NewGroup,
};
use hpts::core::ids::{EventId, ProgramId, Seq};
use hpts::core::ledger::{Posting, post_group};
use hpts::core::loan::InterestRule;
use hpts::core::money::{Currency, Minor};
use hpts::store::{GroupAcceptance, GroupFold, GroupProgress, GroupWork, Store, StoreError, Wanted};
use uuid::Uuid;

use super::books::{Books, borrower, loan_id, next_id, work};
use super::fold;

/// A loan of an accrual: its number, its principal as the caller says, its interest.
pub(crate) type Accrued = (u128, i64, i64);

/// A group that is accepted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Accepted {
    /// The parent's place.
    pub(crate) seq: Seq,
    /// The parent's id.
    pub(crate) id: EventId,
    /// What the hint names.
    pub(crate) first_leg: Wanted,
}

/// The fold of groups as it is.
pub(crate) fn plain() -> GroupFold {
    Arc::new(post_group)
}

impl Books {
    /// An accrual of some loans under a key of its own.
    pub(crate) fn accrual(&self, date: NaiveDate, loans: &[Accrued]) -> NewGroup {
        let id = next_id();
        self.accrual_keyed(&format!("key:{id}"), id, date, loans)
    }

    pub(crate) fn accrual_keyed(&self, key: &str, id: EventId, date: NaiveDate, loans: &[Accrued]) -> NewGroup {
        let request = |(loan, principal, interest): &Accrued| LegRequest {
            loan_id: loan_id(*loan),
            borrower_id: Some(borrower(*loan)),
            effective_date: date,
            terms: LegTerms::Accrual {
                outstanding_principal: Minor::new(*principal),
                interest: Some(Minor::new(*interest)),
            },
        };
        let operation = GroupOperation::Accrual {
            program_id: ProgramId(Uuid::from_u128(7)),
            day_count_convention: "ACT_365".to_owned(),
            rule: None,
        };
        self.group(key, id, (operation, date), &loans.iter().map(request).collect::<Vec<_>>())
    }

    /// An accrual of some loans of a program, by its rule: each with what the caller says of its principal.
    pub(crate) fn accrual_by_rule(
        &self,
        date: NaiveDate,
        (program_id, rule): (ProgramId, InterestRule),
        loans: &[(u128, i64)],
    ) -> NewGroup {
        let request = |(loan, principal): &(u128, i64)| LegRequest {
            loan_id: loan_id(*loan),
            borrower_id: Some(borrower(*loan)),
            effective_date: date,
            terms: LegTerms::Accrual { outstanding_principal: Minor::new(*principal), interest: None },
        };
        let day_count_convention = rule.terms.day_count.as_str().to_owned();
        let operation = GroupOperation::Accrual { program_id, day_count_convention, rule: Some(rule) };
        let id = next_id();
        self.group(&format!("key:{id}"), id, (operation, date), &loans.iter().map(request).collect::<Vec<_>>())
    }

    /// A group of any sort.
    pub(crate) fn group(
        &self,
        key: &str,
        id: EventId,
        (operation, effective_date): (GroupOperation, NaiveDate),
        requests: &[LegRequest],
    ) -> NewGroup {
        let group = Group {
            operation,
            currency: Currency::USD,
            effective_date,
            legs: u32::try_from(requests.len()).unwrap(),
            legs_hash: LegsHash::of(requests),
            metadata: None,
        };
        let key = IdempotencyKey::parse(key).unwrap();
        let parent = NewEvent::of_group(id, self.tenant, key, group, self.publisher, "tester".to_owned());
        NewGroup::new(parent, requests)
    }

    /// Accepts a group that is new.
    pub(crate) async fn accept_group(&self, group: NewGroup) -> Accepted {
        let id = group.parent.id;
        match self.store.accept_group(self.publisher, group).await.unwrap() {
            GroupAcceptance::New { seq, first_leg, .. } => Accepted { seq, id, first_leg },
            GroupAcceptance::Known(known) => panic!("known: {known:?}"),
        }
    }

    /// One try to post a group.
    pub(crate) async fn try_group(&self, group: Seq) -> GroupProgress {
        post(&self.store, group).await.unwrap()
    }
}

/// One try to post a group.
pub(crate) async fn post(store: &Arc<dyn Store>, group: Seq) -> Result<GroupProgress, StoreError> {
    store.post_group(GroupWork { group, lane_slot: 0, refusal: None }, plain()).await
}

/// What a lane has finished, in its order.
pub(crate) type Finished = Vec<(AcceptedEvent, Posting)>;

/// Posts what messages name, and the groups that are met, as a lane does: until nothing is left that can be posted.
pub(crate) async fn work_off(store: &Arc<dyn Store>, wanted: &[Wanted]) -> Finished {
    let mut finished = Finished::new();
    let mut left = wanted.to_vec();
    while !left.is_empty() {
        let before = finished.len();
        let Some(batch) = again(store.post_batch(work(&left), fold::plain()).await) else { continue };
        finished.extend(batch.posted);
        let met = !batch.groups.is_empty();
        for group in batch.groups {
            finish_group(store, group, &mut finished).await;
        }
        left.retain(|wanted| batch.left.contains(&wanted.id));
        left.retain(|wanted| finished.iter().all(|(event, _)| event.event.id != wanted.id));
        if finished.len() == before && !met {
            break;
        }
    }
    finished
}

/// Posts a group, and before it what stands in front.
async fn finish_group(store: &Arc<dyn Store>, group: Seq, finished: &mut Finished) {
    loop {
        match again(post(store, group).await) {
            None => {}
            Some(GroupProgress::Already) => return,
            Some(GroupProgress::Finished(batch)) => {
                finished.extend(batch.posted);
                return;
            }
            Some(GroupProgress::Behind { groups, events }) => {
                for earlier in groups {
                    Box::pin(finish_group(store, earlier, finished)).await;
                }
                finished.extend(Box::pin(work_off(store, &events)).await);
            }
            Some(GroupProgress::Failed(reason)) => panic!("group {group}: {reason}"),
        }
    }
}

/// What came of a try; nothing where it is to be tried again.
fn again<T>(tried: Result<T, StoreError>) -> Option<T> {
    match tried {
        Ok(done) => Some(done),
        Err(StoreError::Retry(_)) => None,
        Err(error) => panic!("{error:?}"),
    }
}
