//! Owns the step from a name to addresses, at the connection that uses them: what is not public is not connected to,
//! and what was judged is what is connected to, so a name cannot be one thing here and another there.

use std::net::{IpAddr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::runtime::webhook_target::{BlockedAddress, TargetPolicy};

/// Resolves names and judges what comes out.
#[derive(Clone, Debug)]
pub(super) struct GuardedResolver {
    policy: TargetPolicy,
}

impl GuardedResolver {
    pub(super) fn new(policy: TargetPolicy) -> Self {
        Self { policy }
    }
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let policy = self.policy.clone();
        Box::pin(async move {
            // The port is the URL's: the client puts it in.
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let addresses: Vec<IpAddr> = found.iter().map(SocketAddr::ip).collect();
            policy.judge_resolved(name.as_str(), &addresses)?;
            Ok::<Addrs, _>(Box::new(found.into_iter()))
        })
    }
}

/// Whether a request failed because of the judgement above.
pub(super) fn is_blocked(error: &reqwest::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<BlockedAddress>() {
            return true;
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use reqwest::Client;

    use super::*;

    async fn resolved(policy: TargetPolicy, name: &str) -> Result<usize, bool> {
        let found = GuardedResolver::new(policy).resolve(name.parse().unwrap()).await;
        found.map(Iterator::count).map_err(|error| error.is::<BlockedAddress>())
    }

    #[tokio::test]
    async fn a_name_of_a_private_machine_is_not_resolved_unless_it_is_exempt() {
        assert_eq!(resolved(TargetPolicy::default(), "localhost").await, Err(true));
        let exempt = TargetPolicy::allowing(["localhost".parse().unwrap()]);
        assert!(resolved(exempt, "localhost").await.is_ok_and(|found| found > 0));
        assert_eq!(resolved(TargetPolicy::default(), "no-such-host.invalid").await, Err(false));
    }

    #[tokio::test]
    async fn a_blocked_connection_is_told_from_a_failed_one() {
        let resolver = GuardedResolver::new(TargetPolicy::default());
        let client = Client::builder().dns_resolver(resolver).no_proxy().build().unwrap();
        let error = client.get("http://localhost:9/").send().await.unwrap_err();
        assert!(is_blocked(&error), "{error:?}");
        let error = client.get("http://127.0.0.1:1/").send().await.unwrap_err();
        assert!(!is_blocked(&error), "{error:?}");
    }
}
