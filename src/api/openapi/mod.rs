//! Owns the description of the API: `/openapi.json`, made from the code, and the page at `/docs`.

mod document;
mod schemas;

pub use crate::api::auth::jwks::{Jwk, JwkSet};
pub use crate::api::auth::token::{OauthError, TokenRequest, TokenResponse};
pub use crate::api::changes::{ChangeSchema, ChangesPage};
pub use crate::api::problem::page::Explanation;
pub use crate::api::read::accounts::{AccountBalance, AccountView, AccountsList};
pub use crate::api::read::ach_files::FileView;
pub use crate::api::read::allocation::{AllocationExplained, RestatementView, StepView};
pub use crate::api::read::batches::{BatchView, BatchesList, CountsView, TallyView, TotalsView};
pub use crate::api::read::entries::{EntriesList, EntryView, LineView};
pub use crate::api::read::health::{Checks, Live, Ready};
pub use crate::api::read::loans::{LoanBalance, LoanView, LoansList};
pub use crate::api::read::lookup::{LookupAnswer, LookupRequest};
pub use crate::api::read::payments::PaymentsList;
pub use crate::api::read::payoff::{PayoffDayView, PayoffQuote, PayoffWarning};
pub use crate::api::read::periods::{PeriodView, PeriodsList};
pub use crate::api::read::preview::PreviewAnswer;
pub use crate::api::read::reconciliation::{
    BankReconciliation, ConservationView, LedgerIntegrity, MismatchedAccount, PortfolioRollup, ReconciliationStatus,
};
pub use crate::api::read::result_row::{EventRow, ExceptionRow, ResultRow};
pub use crate::api::read::statement::{
    BalancesView, MovedView, PaymentTotals, StatementRow, StatementTotals, StatementView, TypeTotals,
};
pub use crate::api::read::status::EventView;
pub use crate::api::read::trial_balance::{TrialBalance, TrialBalanceRow};
pub use crate::api::uploads::answer::UploadAnswer;
pub use crate::api::write::disbursements::DisbursementRequest;
pub use crate::api::write::feeds::{FeedView, FeedsList};
pub use crate::api::write::loans::{LoanRequest, OpeningBalancesRequest};
pub use crate::api::write::payments::PaymentRequest;
pub use crate::api::write::periods::{PeriodAnswer, PeriodRequest};
pub use crate::api::write::returns::ReturnRequest;
pub use document::ApiDoc;
pub(crate) use document::{docs, openapi_json};
pub use schemas::{
    AcceptedView, AllocationSchema, DisbursementAnswer, LoanAnswer, PaymentAnswer, ProblemDocument, ReturnAnswer,
};
