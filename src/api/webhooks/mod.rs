//! Owns `/v1/webhook-endpoints`: who is told of what, and what became of it. The telling is the worker's.

pub(crate) mod actions;
pub(crate) mod create;
mod operate;
pub(crate) mod reads;
mod view;

use crate::api::auth::Scope;

pub use view::{
    DeliveriesList, DeliveryView, EndpointRequest, EndpointView, EndpointsList, ReplayRequest, StartedView,
};

/// Whoever manages endpoints, reads of them included: an address may be a secret of its own.
const SCOPES: &[Scope] = &[Scope::WebhooksWrite];
