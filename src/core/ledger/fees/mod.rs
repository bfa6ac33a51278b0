//! Owns fees by item: what each fee was, and what of it is paid, waived or charged off. No table holds this; it is made
//! of the loan's postings, in their order.
//!
//! Inside the bucket the oldest fee is paid first (domain rules 14 and 53). So what all payments together paid on fees
//! decides what each fee got, whatever the order of arrival, and a payment taken back takes it from the youngest.
//!
//! A waiver that names no fee forgives the youngest first: those are the ones that nobody has paid, as far as there are
//! any. What each forgives follows from the fees and the waivers alone, by the day they count from, and neither from
//! payments nor from the order of arrival.

mod forgiven;

use std::collections::BTreeMap;

use chrono::NaiveDate;

use crate::core::event::{AdjustmentLine, Command, EventKind, FeeCode, LegTerms, NewEvent, ServicingAct};
use crate::core::ids::EventId;
use crate::core::ledger::account::AccountCode;
use crate::core::ledger::entry::{JournalEntry, Line};
use crate::core::ledger::fees::forgiven::{Forgiven, forgiven};
use crate::core::ledger::late::borne_by_hand;
use crate::core::ledger::posting::{Outcome, Posting};
use crate::core::loan::Place;
use crate::core::money::{AmountOverflow, Minor};

/// A fee as it was charged.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Charged {
    event_id: EventId,
    sort: FeeSort,
    place: Place,
    due_on: Option<NaiveDate>,
    assessed: Minor,
}

/// What is forgiven of which fees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiver {
    /// Of those of this sort; `None` of fees that were forgiven by hand, of whatever sort.
    pub code: Option<FeeCode>,
    /// Of this one alone, where the waiver names one.
    pub fee: Option<EventId>,
    /// Of those in front of this place.
    pub place: Place,
    /// Minor units.
    pub amount: Minor,
}

impl Waiver {
    /// Whether a fee is one that may be forgiven.
    fn means(&self, charged: &Charged) -> bool {
        let is_of = |code: &FeeCode| matches!(&charged.sort, FeeSort::Code(of) if of == code);
        self.code.as_ref().is_none_or(is_of)
            && charged.place < self.place
            && self.fee.is_none_or(|fee| fee == charged.event_id)
    }
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

/// The fees of a loan, posting by posting.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FeeBook {
    /// Oldest first.
    charged: Vec<Charged>,
    /// By the event.
    waivers: BTreeMap<EventId, Waiver>,
    /// Net of everything that paid fees. Wide: sums over all postings.
    paid: i128,
    charged_off: i128,
    /// How many questions this batch has asked.
    questions: usize,
}

impl FeeBook {
    /// Takes the next posting of the loan in. One that moves no fees changes nothing.
    pub fn note(&mut self, event: &NewEvent, posting: &Posting) {
        let Some(entry) = posting.entry.as_ref().filter(|_| posting.outcome == Outcome::Posted) else { return };
        let moved = sum_on(entry.lines(), AccountCode::FEES_RECEIVABLE);
        match &event.command {
            Command::Fee(fee) => self.charge(event, FeeSort::Code(fee.fee_code.clone()), fee.due_on, posting, moved),
            Command::Servicing(servicing) => match &servicing.act {
                ServicingAct::FeeWaived { fee_code, fee } => {
                    let given_back = sum_on(entry.lines(), AccountCode::BORROWER_SUSPENSE).saturating_neg();
                    let amount = narrow(given_back.saturating_sub(moved));
                    let (code, fee) = (Some(fee_code.clone()), fee.map(|fee| fee.id));
                    self.waivers.insert(event.id, Waiver { code, fee, place: place_of(posting), amount });
                    self.paid = self.paid.saturating_sub(given_back);
                }
                // What is not forgiven has been paid otherwise.
                ServicingAct::ManualAdjustment { lines, .. } if moved < 0 => {
                    let amount = forgiven_by_hand(lines);
                    let waiver = Waiver { code: None, fee: None, place: place_of(posting), amount };
                    self.waivers.insert(event.id, waiver);
                    self.paid = self.paid.saturating_sub(moved).saturating_sub(i128::from(amount.units()));
                }
                ServicingAct::Chargeoff { .. } => self.charged_off = self.charged_off.saturating_sub(moved),
                ServicingAct::Reversal(reversed) => {
                    self.take_back(reversed.event.id, (moved, borne_of(reversed.kind, entry)));
                }
                ServicingAct::Restated { event, kind, .. } => {
                    self.charge_anew(event.id, (moved, borne_of(*kind, entry)));
                }
                ServicingAct::DisbursementSettled { .. }
                | ServicingAct::SuspenseApplied { .. }
                | ServicingAct::SuspenseRefunded
                | ServicingAct::ManualAdjustment { .. }
                | ServicingAct::Recovery => self.moved(event, posting, moved),
            },
            Command::PaymentReturn(_) => self.restate((moved, sum_on(entry.lines(), AccountCode::FEES_REVERSED))),
            Command::Payment(_)
            | Command::Disbursement(_)
            | Command::LoanOpening(_)
            | Command::Receipt(_)
            | Command::BankSettlement(_)
            | Command::Group(_)
            | Command::Upload(_) => self.moved(event, posting, moved),
            Command::Leg(leg) => match &leg.terms {
                LegTerms::Reversal { leg: undone, .. } => {
                    self.take_back(undone.id, (moved, borne_of(event.kind, entry)));
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
            self.paid = self.paid.saturating_sub(moved);
        }
    }

    fn charge(&mut self, event: &NewEvent, sort: FeeSort, due_on: Option<NaiveDate>, posting: &Posting, moved: i128) {
        let place = place_of(posting);
        let at = self.charged.partition_point(|charged| charged.place <= place);
        self.charged.insert(at, Charged { event_id: event.id, sort, place, due_on, assessed: narrow(moved) });
    }

    /// An event is stated anew. One that charged a fee charges so much more or less; what any other moves is paid, given
    /// back or charged off in another place than before.
    fn charge_anew(&mut self, event: EventId, (moved, borne): (i128, i128)) {
        match self.charged.iter_mut().find(|charged| charged.event_id == event) {
            Some(charged) => {
                let more = narrow(moved.saturating_add(borne));
                charged.assessed = charged.assessed.plus(more).unwrap_or(charged.assessed);
                self.charged_off = self.charged_off.saturating_add(borne);
            }
            None => self.restate((moved, borne)),
        }
    }

    /// Fees move without being charged: what is borne as a loss is charged off, the rest is paid.
    fn restate(&mut self, (moved, borne): (i128, i128)) {
        self.charged_off = self.charged_off.saturating_add(borne);
        self.paid = self.paid.saturating_sub(moved).saturating_sub(borne);
    }

    /// A fee that is taken back was never charged, a waiver never made; anything else moves back what it moved.
    fn take_back(&mut self, undone: EventId, (moved, borne): (i128, i128)) {
        if let Some(place) = self.charged.iter().position(|charged| charged.event_id == undone) {
            self.charged.remove(place);
            self.charged_off = self.charged_off.saturating_add(borne);
        } else if let Some(waiver) = self.waivers.remove(&undone) {
            // What a waiver did not take from the bucket it had moved to suspense: that is paid again.
            self.restate((moved.saturating_sub(i128::from(waiver.amount.units())), borne));
        } else {
            self.restate((moved, borne));
        }
    }

    /// Every fee that was not taken back, oldest first.
    #[must_use]
    pub fn items(&self) -> Vec<FeeItem> {
        let ((waived, mut paid), mut charged_off) = (self.waived_and_paid(self.forgiven()), self.charged_off);
        let take = |rest: &mut i128, most: i128| {
            let taken = (*rest).clamp(0, most.max(0));
            *rest = rest.saturating_sub(taken);
            taken
        };
        let item = |(charged, waived): (&Charged, i128)| {
            let owed = i128::from(charged.assessed.units()).saturating_sub(waived);
            let paid = take(&mut paid, owed);
            let charged_off = take(&mut charged_off, owed.saturating_sub(paid));
            FeeItem {
                event_id: charged.event_id,
                sort: charged.sort.clone(),
                assessed_on: charged.place.date,
                due_on: charged.due_on,
                assessed: charged.assessed,
                paid: narrow(paid),
                waived: narrow(waived),
                charged_off: narrow(charged_off),
            }
        };
        self.charged.iter().zip(waived).map(item).collect()
    }

    /// What is forgiven of each fee, and what paid fees, net, as they are now. Where that is below nothing, fees are owed
    /// although they were forgiven: a waiver gave back what had paid them, and when that was charged back the borrower had it
    /// no more. So much is not forgiven, of the oldest first, which the money had paid. What was forgiven a second time
    /// then finds no fee, and nothing has to pay it.
    fn waived_and_paid(&self, Forgiven { of_each: mut waived, rest }: Forgiven) -> (Vec<i128>, i128) {
        let paid = self.paid.saturating_add(rest);
        let mut owed_again = paid.saturating_neg().max(0);
        for waived in &mut waived {
            let taken = owed_again.min(*waived);
            (*waived, owed_again) = (waived.saturating_sub(taken), owed_again.saturating_sub(taken));
        }
        (waived, paid)
    }

    fn forgiven(&self) -> Forgiven {
        self.forgiven_with(|_| true, None)
    }

    fn forgiven_with(&self, keeps: impl Fn(&Charged) -> bool, more: Option<&Waiver>) -> Forgiven {
        let charged: Vec<&Charged> = self.charged.iter().filter(|charged| keeps(charged)).collect();
        forgiven(&charged, self.waivers.values().chain(more))
    }

    /// Whether the fees have room for one more waiver beside those that were made, or those that it means are owed again.
    #[must_use]
    pub fn has_room_for(&self, waiver: &Waiver) -> bool {
        let rest = self.forgiven_with(|_| true, Some(waiver)).rest;
        if rest == 0 {
            return true;
        }
        let forgiven = self.forgiven();
        if rest <= forgiven.rest {
            return true;
        }
        let (forgiven, _) = self.waived_and_paid(forgiven);
        let meant = self.charged.iter().zip(forgiven).filter(|(charged, _)| waiver.means(charged));
        let left = meant.map(|(charged, forgiven)| i128::from(charged.assessed.units()).saturating_sub(forgiven));
        i128::from(waiver.amount.units()) <= left.fold(0, i128::saturating_add)
    }

    /// Whether the waivers find as much to forgive without a fee: if so it may be taken back.
    #[must_use]
    pub fn stands_without(&self, fee: EventId) -> bool {
        let rest = self.forgiven_with(|charged| charged.event_id != fee, None).rest;
        rest == 0 || rest <= self.forgiven().rest
    }

    /// Whether fees that were owed again are forgiven again: what had them owed again stands as long as that.
    #[must_use]
    pub fn is_forgiven_again(&self) -> bool {
        self.forgiven().rest > 0
    }

    /// Notes that a batch asks the book a question.
    pub(in crate::core::ledger) const fn note_question(&mut self) {
        self.questions = self.questions.saturating_add(1);
    }

    /// Whether this batch has asked it for long enough: another event that is judged by fees waits for the next one, so that
    /// no transaction stands still for longer than its database allows.
    pub(in crate::core::ledger) fn is_worn(&self) -> bool {
        let length = self.charged.len().saturating_add(self.waivers.len());
        self.questions.saturating_mul(length) > LOOKED_AT_MAX
    }
}

/// A batch looks at this many fees and waivers of a loan at most, give or take one event: a second or two.
const LOOKED_AT_MAX: usize = 10_000_000;

/// What an adjustment forgives: what a hand takes of fees and somebody bears. Of what is borne, interest has the first part:
/// where it is missing, that part is not borne.
pub(in crate::core::ledger) fn forgiven_by_hand(lines: &[AdjustmentLine]) -> Minor {
    let taken_of = |account: AccountCode| {
        let on_it = lines.iter().filter(|line| line.account_code == account);
        on_it.fold(0_i128, |sum, line| sum.saturating_sub(i128::from(line.signed_minor.units()))).max(0)
    };
    let borne = borne_by_hand(lines).saturating_sub(taken_of(AccountCode::INTEREST_RECEIVABLE)).max(0);
    narrow(taken_of(AccountCode::FEES_RECEIVABLE).min(borne))
}

fn place_of(posting: &Posting) -> Place {
    Place::of_posting(posting.effective_date, posting.loan_version.unwrap_or(i64::MAX))
}

/// What is borne as a loss where an event of a kind is taken back or restated. By hand lines are written on this account
/// as well, which charge nothing off.
fn borne_of(kind: EventKind, entry: &JournalEntry) -> i128 {
    let is_by_hand = kind == EventKind::ManualAdjustment && !entry.has_line_on(AccountCode::CHARGED_OFF_MEMO);
    if is_by_hand { 0 } else { sum_on(entry.lines(), AccountCode::FEES_REVERSED) }
}

/// What lines add to an account.
pub(super) fn sum_on(lines: &[Line], account: AccountCode) -> i128 {
    let on_it = lines.iter().filter(|line| line.account == account);
    on_it.fold(0_i128, |sum, line| sum.saturating_add(i128::from(line.signed.units())))
}

/// Sums of lines that balances of 64 bits came of fit into 64 bits.
fn narrow(sum: i128) -> Minor {
    Minor::new(i64::try_from(sum).unwrap_or(i64::MAX))
}
