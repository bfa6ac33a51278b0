//! Owns fees by item: what each fee was, and what of it is paid, waived or charged off. No table holds this; it is made
//! of the loan's postings, in their order.
//!
//! Inside the bucket the oldest fee is paid first (domain rules 14 and 53). So what all payments together paid on fees
//! decides what each fee got, whatever the order of arrival, and a payment taken back takes it from the youngest.

use std::collections::BTreeMap;

use chrono::NaiveDate;

use crate::core::event::{Command, EventKind, FeeCode, LegTerms, NewEvent, ServicingAct};
use crate::core::ids::EventId;
use crate::core::ledger::account::AccountCode;
use crate::core::ledger::entry::{JournalEntry, Line};
use crate::core::ledger::posting::{Outcome, Posting};
use crate::core::money::{AmountOverflow, Minor};

/// A fee as it was charged, with what was forgiven of it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Charged {
    event_id: EventId,
    sort: FeeSort,
    assessed_on: NaiveDate,
    due_on: Option<NaiveDate>,
    assessed: Minor,
    waived: Minor,
    /// What of the waived part a payment had paid: the waiver gave it back.
    given_back: Minor,
}

/// What a waiver forgave of a fee.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Forgiven {
    fee: EventId,
    amount: Minor,
    /// Whether a payment had paid it.
    was_paid: bool,
}

/// What sort of fee it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeeSort {
    /// Charged as such.
    Code(FeeCode),
    /// Fees that another event brought: opening balances, an adjustment.
    Of(EventKind),
}

impl FeeSort {
    /// The fee's code, or the word of the kind of event that brought it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Code(code) => code.as_str(),
            Self::Of(kind) => kind.as_str(),
        }
    }
}

/// A fee with what became of it. Minor units; assessed = paid + waived + charged off + outstanding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeeItem {
    /// The event that charged it.
    pub event_id: EventId,
    /// What sort of fee.
    pub sort: FeeSort,
    /// The day it counts from.
    pub assessed_on: NaiveDate,
    /// The day it is due; `None` where nobody said.
    pub due_on: Option<NaiveDate>,
    /// What was charged.
    pub assessed: Minor,
    /// What payments have paid of it.
    pub paid: Minor,
    /// What was forgiven.
    pub waived: Minor,
    /// What left the balance sheet unpaid.
    pub charged_off: Minor,
}

impl FeeItem {
    /// What is still owed of it on the balance sheet.
    ///
    /// # Errors
    /// [`AmountOverflow`] cannot come from an item that [`FeeBook::items`] made.
    pub fn outstanding(&self) -> Result<Minor, AmountOverflow> {
        self.assessed.minus(self.waived)?.minus(self.paid)?.minus(self.charged_off)
    }
}

/// Reads a part of a fee.
type PartOf = fn(&FeeItem) -> Minor;

/// What can be forgiven of a sort of fee.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waivable {
    /// Still owed.
    pub unpaid: Minor,
    /// Paid already.
    pub paid: Minor,
}

/// Which fees a waiver means.
#[derive(Clone, Copy, Debug)]
pub struct Meant<'w> {
    /// Those of this sort.
    pub code: &'w FeeCode,
    /// This one alone, where the waiver names one.
    pub fee: Option<EventId>,
    /// Those of this day and of earlier ones.
    pub until: NaiveDate,
}

impl Meant<'_> {
    /// Whether a fee is one of them.
    fn has(&self, item: &FeeItem) -> bool {
        let is_of_sort = matches!(&item.sort, FeeSort::Code(of) if of == self.code);
        is_of_sort && item.assessed_on <= self.until && self.fee.is_none_or(|fee| fee == item.event_id)
    }
}

/// The fees of a loan, posting by posting.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FeeBook {
    charged: Vec<Charged>,
    /// What each waiver forgave, by the fee.
    waivers: BTreeMap<EventId, Vec<Forgiven>>,
    /// Net of everything that paid fees.
    paid: ByDay,
    charged_off: ByDay,
}

/// Sums by the day that they count from. Wide: sums over all postings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct ByDay(BTreeMap<NaiveDate, i128>);

impl ByDay {
    fn add(&mut self, date: NaiveDate, amount: i128) {
        let sum = self.0.entry(date).or_default();
        *sum = sum.saturating_add(amount);
    }

    /// Of all days up to the end of one.
    fn until(&self, date: NaiveDate) -> i128 {
        self.0.range(..=date).fold(0, |sum, (_, amount)| sum.saturating_add(*amount))
    }
}

impl FeeBook {
    /// Takes the next posting of the loan in. One that moves no fees changes nothing.
    pub fn note(&mut self, event: &NewEvent, posting: &Posting) {
        let Some(entry) = posting.entry.as_ref().filter(|_| posting.outcome == Outcome::Posted) else { return };
        let (date, moved) = (posting.effective_date, sum_on(entry, AccountCode::FEES_RECEIVABLE));
        match &event.command {
            Command::Fee(fee) => self.charge(event, FeeSort::Code(fee.fee_code.clone()), fee.due_on, posting, moved),
            Command::Servicing(servicing) => match &servicing.act {
                ServicingAct::FeeWaived { fee_code, fee } => {
                    let refunded = sum_on(entry, AccountCode::BORROWER_SUSPENSE).saturating_neg();
                    let meant = Meant { code: fee_code, fee: fee.map(|fee| fee.id), until: date };
                    self.waive(event.id, meant, (moved.saturating_neg(), refunded));
                }
                ServicingAct::Chargeoff { .. } => self.charged_off.add(date, moved.saturating_neg()),
                ServicingAct::Reversal(reversed) => {
                    self.take_back((reversed.event.id, reversed.kind), date, (moved, entry));
                }
                ServicingAct::Restated { event, kind, .. } => {
                    self.charge_anew(event.id, date, (moved, borne_of(*kind, entry)));
                }
                ServicingAct::DisbursementSettled { .. }
                | ServicingAct::SuspenseApplied { .. }
                | ServicingAct::SuspenseRefunded
                | ServicingAct::ManualAdjustment { .. }
                | ServicingAct::Recovery => self.moved(event, posting, moved),
            },
            Command::PaymentReturn(_) => self.restate(date, (moved, sum_on(entry, AccountCode::FEES_REVERSED))),
            Command::Payment(_)
            | Command::Disbursement(_)
            | Command::LoanOpening(_)
            | Command::Receipt(_)
            | Command::BankSettlement(_)
            | Command::Group(_)
            | Command::Upload(_) => self.moved(event, posting, moved),
            Command::Leg(leg) => match &leg.terms {
                LegTerms::Reversal { leg: undone, .. } => {
                    self.take_back((undone.id, event.kind), date, (moved, entry));
                }
                LegTerms::Accrual { .. }
                | LegTerms::SuspenseOut { .. }
                | LegTerms::SuspenseIn
                | LegTerms::ReceiptOut { .. }
                | LegTerms::ReceiptIn { .. }
                | LegTerms::MovedOut { .. }
                | LegTerms::MovedIn { .. } => self.moved(event, posting, moved),
            },
        }
    }

    /// Fees that rise by another event are an item of their own; fees that fall are paid, oldest first.
    fn moved(&mut self, event: &NewEvent, posting: &Posting, moved: i128) {
        if moved > 0 {
            self.charge(event, FeeSort::Of(event.kind), None, posting, moved);
        } else {
            self.paid.add(posting.effective_date, moved.saturating_neg());
        }
    }

    fn charge(&mut self, event: &NewEvent, sort: FeeSort, due_on: Option<NaiveDate>, posting: &Posting, moved: i128) {
        let assessed_on = posting.effective_date;
        let place = self.charged.partition_point(|charged| charged.assessed_on <= assessed_on);
        let (assessed, waived, given_back) = (narrow(moved), Minor::ZERO, Minor::ZERO);
        let charged = Charged { event_id: event.id, sort, assessed_on, due_on, assessed, waived, given_back };
        self.charged.insert(place, charged);
    }

    /// Forgives the unpaid parts oldest first, then the paid ones, as they were on the waiver's day: what was paid later is
    /// divided anew behind it.
    fn waive(&mut self, waiver: EventId, meant: Meant<'_>, (unpaid, paid): (i128, i128)) {
        let parts: [(i128, PartOf, bool); 2] = [(unpaid, unpaid_of, false), (paid, |item| item.paid, true)];
        let mut forgiven = Vec::new();
        for (total, part_of, was_paid) in parts {
            let mut rest = narrow(total);
            for item in self.items_on(meant.until).iter().filter(|item| meant.has(item)) {
                let taken = rest.min(part_of(item));
                if !taken.is_zero() {
                    rest = rest.minus(taken).unwrap_or_default();
                    forgiven.push(Forgiven { fee: item.event_id, amount: taken, was_paid });
                }
            }
        }
        self.paid.add(meant.until, paid.saturating_neg());
        for part in &forgiven {
            self.forgive(*part);
        }
        self.waivers.insert(waiver, forgiven);
    }

    fn forgive(&mut self, Forgiven { fee, amount, was_paid }: Forgiven) {
        let Some(charged) = self.charged.iter_mut().find(|charged| charged.event_id == fee) else { return };
        charged.waived = charged.waived.plus(amount).unwrap_or(charged.waived);
        if was_paid {
            charged.given_back = charged.given_back.plus(amount).unwrap_or(charged.given_back);
        }
    }

    /// An event is stated anew. One that charged a fee charges so much more or less; what any other moves is paid, waived or
    /// charged off in another place than before.
    fn charge_anew(&mut self, event: EventId, date: NaiveDate, (moved, borne): (i128, i128)) {
        match self.charged.iter_mut().find(|charged| charged.event_id == event) {
            Some(charged) => {
                let more = narrow(moved.saturating_add(borne));
                charged.assessed = charged.assessed.plus(more).unwrap_or(charged.assessed);
                self.charged_off.add(date, borne);
            }
            None => self.restate(date, (moved, borne)),
        }
    }

    /// Fees move without being charged: what is borne as a loss is charged off, the rest is paid.
    fn restate(&mut self, date: NaiveDate, (moved, borne): (i128, i128)) {
        self.charged_off.add(date, borne);
        self.paid.add(date, moved.saturating_add(borne).saturating_neg());
    }

    /// A fee that is taken back was never charged, a waiver never made; anything else moves back what it moved.
    fn take_back(
        &mut self,
        (undone, kind): (EventId, EventKind),
        date: NaiveDate,
        (moved, entry): (i128, &JournalEntry),
    ) {
        let borne = borne_of(kind, entry);
        if let Some(place) = self.charged.iter().position(|charged| charged.event_id == undone) {
            self.charged.remove(place);
            self.charged_off.add(date, borne);
        } else if let Some(forgiven) = self.waivers.remove(&undone) {
            let total = forgiven.iter().fold(0_i128, |sum, part| sum.saturating_add(i128::from(part.amount.units())));
            // What the waiver did not take from the bucket it had moved to suspense: that is paid again.
            self.restate(date, (moved.saturating_sub(total), borne));
            for part in forgiven {
                self.forgive(Forgiven { amount: part.amount.mirrored().unwrap_or_default(), ..part });
            }
        } else {
            self.restate(date, (moved, borne));
        }
    }

    /// Whether something of a fee was forgiven: it is not taken back then, because its bucket bears it no more as a whole.
    #[must_use]
    pub fn is_waived(&self, fee: EventId) -> bool {
        self.charged.iter().any(|charged| charged.event_id == fee && !charged.waived.is_zero())
    }

    /// Every fee that was not taken back, oldest first.
    #[must_use]
    pub fn items(&self) -> Vec<FeeItem> {
        self.items_on(NaiveDate::MAX)
    }

    /// The same with what was paid and charged off by the end of a day; what is waived on any day is waived.
    fn items_on(&self, date: NaiveDate) -> Vec<FeeItem> {
        let (mut paid, mut charged_off) = (self.paid.until(date), self.charged_off.until(date));
        let waived = self.waived(paid);
        let take = |rest: &mut i128, most: Minor| {
            let taken = (*rest).clamp(0, i128::from(most.units().max(0)));
            *rest = rest.saturating_sub(taken);
            narrow(taken)
        };
        let item = |(charged, waived): (&Charged, Minor)| {
            let owed = charged.assessed.minus(waived).unwrap_or_default();
            let paid = take(&mut paid, owed);
            let charged_off = take(&mut charged_off, owed.minus(paid).unwrap_or_default());
            FeeItem {
                event_id: charged.event_id,
                sort: charged.sort.clone(),
                assessed_on: charged.assessed_on,
                due_on: charged.due_on,
                assessed: charged.assessed,
                paid,
                waived,
                charged_off,
            }
        };
        self.charged.iter().zip(waived).map(item).collect()
    }

    /// What is forgiven of each fee. A waiver that gave back what a payment had paid does not hold for money that went
    /// back later: the payment's fees are owed again, so they are not waived. Those that a waiver gave back come first.
    fn waived(&self, paid: i128) -> Vec<Minor> {
        let mut bounced = paid.saturating_neg().max(0);
        let mut waived: Vec<i128> = self.charged.iter().map(|charged| i128::from(charged.waived.units())).collect();
        for (waived, charged) in waived.iter_mut().zip(&self.charged) {
            let beyond = waived.saturating_sub(i128::from(charged.assessed.units())).clamp(0, bounced);
            (*waived, bounced) = (waived.saturating_sub(beyond), bounced.saturating_sub(beyond));
        }
        for (waived, charged) in waived.iter_mut().zip(&self.charged).rev() {
            let taken = i128::from(charged.given_back.units()).min(*waived).clamp(0, bounced);
            (*waived, bounced) = (waived.saturating_sub(taken), bounced.saturating_sub(taken));
        }
        for waived in waived.iter_mut().rev() {
            let taken = (*waived).clamp(0, bounced);
            (*waived, bounced) = (waived.saturating_sub(taken), bounced.saturating_sub(taken));
        }
        waived.into_iter().map(narrow).collect()
    }

    /// What a waiver can forgive of the fees that it means.
    ///
    /// # Errors
    /// [`AmountOverflow`] when these fees have no sum.
    pub fn waivable(&self, meant: Meant<'_>) -> Result<Waivable, AmountOverflow> {
        self.items_on(meant.until).iter().filter(|item| meant.has(item)).try_fold(Waivable::default(), |sum, item| {
            Ok(Waivable { unpaid: sum.unpaid.plus(item.outstanding()?)?, paid: sum.paid.plus(item.paid)? })
        })
    }
}

fn unpaid_of(item: &FeeItem) -> Minor {
    item.outstanding().unwrap_or_default()
}

/// What is borne as a loss where an event of a kind is taken back or restated. By hand lines are written on this account
/// as well, which charge nothing off.
fn borne_of(kind: EventKind, entry: &JournalEntry) -> i128 {
    let is_by_hand = kind == EventKind::ManualAdjustment && !entry.has_line_on(AccountCode::CHARGED_OFF_MEMO);
    if is_by_hand { 0 } else { sum_on(entry, AccountCode::FEES_REVERSED) }
}

fn sum_on(entry: &JournalEntry, account: AccountCode) -> i128 {
    let on_it = entry.lines().iter().filter(|line: &&Line| line.account == account);
    on_it.fold(0_i128, |sum, line| sum.saturating_add(i128::from(line.signed.units())))
}

/// Sums of lines that balances of 64 bits came of fit into 64 bits.
fn narrow(sum: i128) -> Minor {
    Minor::new(i64::try_from(sum).unwrap_or(i64::MAX))
}
