//! Owns the description of the API: `/openapi.json`, made from the code, and the page at `/docs`.

mod document;
mod late_fees;
mod schemas;
mod servicing;
mod webhooks;

pub use crate::api::auth::jwks::{Jwk, JwkSet};
pub use crate::api::auth::token::{OauthError, TokenRequest, TokenResponse};
pub use crate::api::changes::{ChangeSchema, ChangesPage};
pub use crate::api::problem::page::Explanation;
pub use crate::api::read::accounts::{AccountBalance, AccountView, AccountsList};
pub use crate::api::read::ach_exceptions::{ExceptionsList, FileExceptionView};
pub use crate::api::read::ach_files::{ExceptionTotal, FileView, RejectedRowView};
pub use crate::api::read::allocation::{AllocationExplained, RestatementView, SplitView, StepView};
pub use crate::api::read::bank_statements::{
    BankLineView, BankLinesList, BankStatementView, BankStatementsList, LineResolutionView,
};
pub use crate::api::read::batches::{BatchView, BatchesList, CountsView, TallyView, TotalsView};
pub use crate::api::read::entries::{EntriesList, EntryView, LineView};
pub use crate::api::read::event_preview::{EventPreviewAnswer, EventPreviewRequest};
pub use crate::api::read::fees::{FeeItemView, FeesList};
pub use crate::api::read::group_preview::GroupPreviewAnswer;
pub use crate::api::read::health::{Checks, Live, Ready};
pub use crate::api::read::holds::{LoanHoldView, WaitingEventView};
pub use crate::api::read::late_fees::{FeeReviewView, FeeReviewsList};
pub use crate::api::read::loans::{ChargedOffView, LoanBalance, LoanView, LoansList};
pub use crate::api::read::lookup::{LookupAnswer, LookupRequest};
pub use crate::api::read::payments::PaymentsList;
pub use crate::api::read::payoff::{PayoffDayView, PayoffQuote, PayoffWarning};
pub use crate::api::read::periods::{PeriodView, PeriodsList};
pub use crate::api::read::preview::{ConsequenceForeseen, PreviewAnswer};
pub use crate::api::read::reconciliation::{
    BankReconciliation, BrokenChain, ConservationView, LedgerIntegrity, MismatchedAccount, PortfolioRollup,
    ReconciliationStatus,
};
pub use crate::api::read::result_row::{EventRow, ExceptionRow, ResolutionView, ResultRow};
pub use crate::api::read::statement::{
    BalancesView, MovedView, PaymentTotals, StatementRow, StatementTotals, StatementView, TypeTotals,
};
pub use crate::api::read::status::EventView;
pub use crate::api::read::trial_balance::{TrialBalance, TrialBalanceRow};
pub use crate::api::uploads::answer::UploadAnswer;
pub use crate::api::webhooks::{
    DeliveriesList, DeliveryView, EndpointRequest, EndpointView, EndpointsList, ReplayRequest, StartedView,
};
pub use crate::api::write::accruals::{AccrualRequest, AccruedLoan};
pub use crate::api::write::ach_reviews::{DiscardRequest, PostRequest, ReviewAnswer};
pub use crate::api::write::adjustments::{AdjustmentLineRequest, AdjustmentRequest};
pub use crate::api::write::bank_lines::{LineResolutionAnswer, LineResolutionRequest};
pub use crate::api::write::bank_statements::StatementAnswer;
pub use crate::api::write::charge_offs::{ChargeoffRequest, RecoveryRequest};
pub use crate::api::write::disbursements::DisbursementRequest;
pub use crate::api::write::feeds::{CustomerView, FeedView, FeedsList};
pub use crate::api::write::fees::{FeeRequest, FeeWaiverRequest, LateForRequest};
pub use crate::api::write::holds::{LoanHoldAnswer, LoanHoldRequest, LoanReleaseRequest};
pub use crate::api::write::loans::{LoanRequest, OpeningBalancesRequest};
pub use crate::api::write::payments::PaymentRequest;
pub use crate::api::write::periods::{PeriodAnswer, PeriodRequest};
pub use crate::api::write::programs::{LateFeesView, ProgramView, ProgramsList, ReturnFeeView, WaterfallRuleView};
pub use crate::api::write::rearrangements::{MoveRequest, NewLoanRequest, RearrangementRequest};
pub use crate::api::write::returns::ReturnRequest;
pub use crate::api::write::reversals::ReversalRequest;
pub use crate::api::write::settlements::SettlementRequest;
pub use crate::api::write::suspense::SuspenseRequest;
pub use crate::api::write::transfers::{ReceiptAssignmentRequest, SuspenseTransferRequest};
pub use document::ApiDoc;
pub(crate) use document::{docs, openapi_json, paths};
pub use late_fees::{FeeToReviewSchema, LateForSchema, RefusedFeeSchema};
pub use schemas::{
    AcceptedView, AccrualAnswer, AllocationSchema, DisbursementAnswer, EventIds, LoanAnswer, PaymentAnswer,
    ProblemDocument, RestatedSchema, ReturnAnswer,
};
pub use servicing::{
    AdjustmentAnswer, ChargeoffAnswer, FeeAnswer, FeeWaiverAnswer, ReceiptAssignmentAnswer, RecoveryAnswer,
    RefinanceAnswer, RestructureAnswer, ReversalAnswer, SettlementAnswer, SuspenseApplicationAnswer,
    SuspenseRefundAnswer, SuspenseTransferAnswer,
};
