//! Owns what handlers share.

use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;

use crate::api::auth::{
    Authenticator, AuthenticatorSettings, Caller, Keys, OutsideIssuer, OutsideIssuerError, OutsideKeys, Scope,
    StoredKeys,
};
use crate::api::changes::Changes;
use crate::api::error::ApiError;
use crate::api::http::edge::RequestIds;
use crate::api::intake::Intake;
use crate::api::read::health::Readiness;
use crate::api::read::lookup::{LookupLimits, Turns};
use crate::api::tenants::Tenants;
use crate::api::uploads::room::{Room, RoomLimits};
use crate::api::waiting_room::WaitingRoom;
use crate::broker::Broker;
use crate::core::event::EventKind;
use crate::core::ids::{EventId, PublisherId};
use crate::core::time::Timestamp;
use crate::runtime::clock::Clock;
use crate::runtime::lifecycle::Lifecycle;
use crate::runtime::sealing::SealingKey;
use crate::runtime::telemetry::{GIT_SHA, VERSION};
use crate::runtime::webhook_target::TargetPolicy;
use crate::store::Store;

/// How the api is set up.
#[derive(Clone, Debug)]
pub struct ApiSettings {
    /// How long a write waits for its result where the caller says nothing.
    pub wait_default: Duration,
    /// What `Location` begins with; relative where unset.
    pub public_url: Option<String>,
    /// The `iss` of tokens.
    pub issuer: String,
    /// The `aud` of tokens.
    pub audience: String,
    /// Who makes the tokens, where we do not.
    pub outside_issuer: Option<OutsideIssuer>,
    /// Requests a second and client.
    pub rate_limit_per_second: Option<u32>,
    /// Where webhooks may go.
    pub webhook_policy: TargetPolicy,
    /// How much of ACH files is held at once.
    pub room: RoomLimits,
    /// How many lookups are under way at once.
    pub lookups: LookupLimits,
    /// This release.
    pub version: String,
    /// The commit it was built from.
    pub git_sha: String,
}

impl Default for ApiSettings {
    fn default() -> Self {
        Self {
            wait_default: Duration::from_secs(5),
            public_url: None,
            issuer: "hpts".to_owned(),
            audience: "hpts-api".to_owned(),
            outside_issuer: None,
            rate_limit_per_second: None,
            webhook_policy: TargetPolicy::default(),
            room: RoomLimits::default(),
            lookups: LookupLimits::default(),
            version: VERSION.to_owned(),
            git_sha: GIT_SHA.to_owned(),
        }
    }
}

/// What an api process is made of.
#[derive(Debug)]
pub struct ApiParts {
    /// Where state lives.
    pub store: Arc<dyn Store>,
    /// Takes events.
    pub intake: Intake,
    /// Where callers wait for results.
    pub waiting_room: WaitingRoom,
    /// The time.
    pub clock: Clock,
    /// The process's life.
    pub lifecycle: Lifecycle,
    /// Which process answers.
    pub publisher: PublisherId,
    /// How hints travel; asked how it feels.
    pub broker: Arc<dyn Broker>,
    /// How the api is set up.
    pub settings: ApiSettings,
    /// Opens sealed signing keys, and seals secrets of webhooks.
    pub sealing_key: Option<Arc<SealingKey>>,
}

/// Why an api cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The outside issuer's keys cannot be fetched from here, whatever it answers.
    #[error("the outside token issuer cannot be used")]
    OutsideIssuer(#[from] OutsideIssuerError),
    /// The public address is not one that `Location` can begin with.
    #[error("the public URL must begin with http:// or https:// and hold no blank, query or fragment")]
    PublicUrl,
}

/// What handlers share. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ApiState(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    parts: ApiParts,
    auth: Authenticator,
    tenants: Tenants,
    readiness: Readiness,
    request_ids: Arc<RequestIds>,
    changes: Changes,
    lookups: Turns,
    room_for_files: Room,
}

impl ApiState {
    /// Joins the parts, and starts the task that looks at the change feeds. Where an outside issuer makes the tokens, a
    /// task of its own begins to fetch its keys.
    ///
    /// # Errors
    /// See [`SetupError`].
    pub fn new(parts: ApiParts) -> Result<Self, SetupError> {
        let settings = &parts.settings;
        if settings.public_url.as_deref().is_some_and(|url| !is_base_url(url)) {
            return Err(SetupError::PublicUrl);
        }
        let keys = match &settings.outside_issuer {
            None => Keys::BuiltIn(StoredKeys::new(parts.sealing_key.clone())),
            Some(issuer) => Keys::Outside(OutsideKeys::start(issuer, &parts.lifecycle)?),
        };
        let auth = Authenticator::new(AuthenticatorSettings {
            issuer: settings.issuer.clone(),
            audience: settings.audience.clone(),
            keys,
            rate_limit_per_second: settings.rate_limit_per_second,
        });
        let (process, _) = parts.publisher.0.as_u64_pair();
        let request_ids = Arc::new(RequestIds::new(process));
        let (tenants, readiness) = (Tenants::default(), Readiness::default());
        let changes = Changes::start(Arc::clone(&parts.store), &parts.lifecycle);
        let (lookups, room_for_files) = (Turns::new(parts.settings.lookups), Room::new(parts.settings.room));
        let shared = Shared { parts, auth, tenants, readiness, request_ids, changes, lookups, room_for_files };
        Ok(Self(Arc::new(shared)))
    }

    pub(crate) fn store(&self) -> &dyn Store {
        self.0.parts.store.as_ref()
    }

    pub(crate) fn broker(&self) -> &dyn Broker {
        self.0.parts.broker.as_ref()
    }

    pub(crate) fn intake(&self) -> &Intake {
        &self.0.parts.intake
    }

    pub(crate) fn waiting_room(&self) -> &WaitingRoom {
        &self.0.parts.waiting_room
    }

    pub(crate) fn lifecycle(&self) -> &Lifecycle {
        &self.0.parts.lifecycle
    }

    pub(crate) fn publisher(&self) -> PublisherId {
        self.0.parts.publisher
    }

    pub(crate) fn settings(&self) -> &ApiSettings {
        &self.0.parts.settings
    }

    pub(crate) fn auth(&self) -> &Authenticator {
        &self.0.auth
    }

    pub(crate) fn tenants(&self) -> &Tenants {
        &self.0.tenants
    }

    pub(crate) fn readiness(&self) -> &Readiness {
        &self.0.readiness
    }

    pub(crate) fn changes(&self) -> &Changes {
        &self.0.changes
    }

    pub(crate) fn lookups(&self) -> &Turns {
        &self.0.lookups
    }

    pub(crate) fn room_for_files(&self) -> &Room {
        &self.0.room_for_files
    }

    pub(crate) fn sealing_key(&self) -> Option<&SealingKey> {
        self.0.parts.sealing_key.as_deref()
    }

    pub(crate) fn request_ids(&self) -> Arc<RequestIds> {
        Arc::clone(&self.0.request_ids)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.0.parts.clock.now()
    }

    /// The caller of a request, who must hold one of the scopes.
    pub(crate) async fn caller(&self, headers: &HeaderMap, any_of: &'static [Scope]) -> Result<Arc<Caller>, ApiError> {
        self.auth().caller(self.store(), headers, any_of, self.now()).await
    }

    /// Where the status of an event is: never built from what a request says of the host.
    pub(crate) fn location(&self, kind: EventKind, id: EventId) -> String {
        let others = if kind == EventKind::Upload { "batches" } else { "events" };
        let resource = if kind.is_payment() { "payments" } else { others };
        self.address(resource, id)
    }

    /// The address of one of a resource.
    pub(crate) fn address(&self, resource: &str, id: impl std::fmt::Display) -> String {
        let base = self.settings().public_url.as_deref().unwrap_or("").trim_end_matches('/');
        format!("{base}/v1/{resource}/{id}")
    }
}

fn is_base_url(url: &str) -> bool {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    rest.is_some_and(|rest| {
        !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#\"<>\\".contains(&byte))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_url_is_a_plain_base() {
        for good in ["http://localhost:8080", "https://pay.example.com/hpts/"] {
            assert!(is_base_url(good), "{good}");
        }
        for bad in ["", "pay.example.com", "https://", "ftp://x", "https://x/?a", "https://x y"] {
            assert!(!is_base_url(bad), "{bad}");
        }
    }
}
