//! Owns the description of the API: `/openapi.json`, made from the code, and the page at `/docs`.

mod document;
mod schemas;
mod servicing;

pub use crate::api::auth::jwks::{Jwk, JwkSet};
pub use crate::api::auth::token::{OauthError, TokenRequest, TokenResponse};
pub use crate::api::changes::{ChangeSchema, ChangesPage};
pub use crate::api::problem::page::Explanation;
pub use crate::api::read::accounts::AccountBalance;
pub use crate::api::read::ach_files::FileView;
pub use crate::api::read::batches::{BatchView, BatchesList, CountsView, TallyView, TotalsView};
pub use crate::api::read::entries::{EntriesList, EntryView, LineView};
pub use crate::api::read::fees::{FeeItemView, FeesList};
pub use crate::api::read::health::{Checks, Live, Ready};
pub use crate::api::read::loans::{ChargedOffView, LoanBalance, LoanView};
pub use crate::api::read::lookup::{LookupAnswer, LookupRequest};
pub use crate::api::read::payments::PaymentsList;
pub use crate::api::read::periods::{PeriodView, PeriodsList};
pub use crate::api::read::result_row::{EventRow, ExceptionRow, ResultRow};
pub use crate::api::read::status::EventView;
pub use crate::api::uploads::answer::UploadAnswer;
pub use crate::api::write::adjustments::{AdjustmentLineRequest, AdjustmentRequest};
pub use crate::api::write::charge_offs::{ChargeoffRequest, RecoveryRequest};
pub use crate::api::write::disbursements::DisbursementRequest;
pub use crate::api::write::feeds::{FeedView, FeedsList};
pub use crate::api::write::fees::{FeeRequest, FeeWaiverRequest};
pub use crate::api::write::loans::{LoanRequest, OpeningBalancesRequest};
pub use crate::api::write::payments::PaymentRequest;
pub use crate::api::write::periods::{PeriodAnswer, PeriodRequest};
pub use crate::api::write::programs::{ProgramView, ProgramsList};
pub use crate::api::write::returns::ReturnRequest;
pub use crate::api::write::reversals::ReversalRequest;
pub use crate::api::write::settlements::SettlementRequest;
pub use crate::api::write::suspense::SuspenseRequest;
pub use document::ApiDoc;
pub(crate) use document::{docs, openapi_json};
pub use schemas::{
    AcceptedView, AllocationSchema, DisbursementAnswer, EventIds, LoanAnswer, PaymentAnswer, ProblemDocument,
    ReturnAnswer,
};
pub use servicing::{
    AdjustmentAnswer, ChargeoffAnswer, FeeAnswer, FeeWaiverAnswer, RecoveryAnswer, ReversalAnswer, SettlementAnswer,
    SuspenseApplicationAnswer, SuspenseRefundAnswer,
};
