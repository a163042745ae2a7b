//! From a host to the addresses that may be connected to.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use hookgate_core::address::Policy;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::Semaphore;

use crate::error::EgressError;

/// Look-ups at the same time. Each holds a thread for as long as the system's resolver
/// takes, which is half a minute where its servers do not answer, and the threads are
/// shared with everything else that blocks.
const LOOKUPS_MAX: usize = 64;

/// Which addresses a connection may be made to.
#[derive(Clone, Debug)]
pub(crate) enum Filter {
    /// All.
    Nothing,
    /// Those that the policy admits.
    Admitted(Arc<Policy>),
    /// Those that the operator named: what may be reached without TLS.
    Listed(Arc<Policy>),
}

impl Filter {
    pub(crate) fn judge(&self, address: IpAddr) -> Result<(), EgressError> {
        match self {
            Self::Nothing => Ok(()),
            Self::Admitted(policy) => policy.admits(address).map_err(EgressError::Refused),
            Self::Listed(policy) if policy.lists(address) => Ok(()),
            Self::Listed(policy) => {
                policy.admits(address).map_err(EgressError::Refused)?;
                Err(EgressError::PlainHttp)
            }
        }
    }

    /// What of `addresses` is left, or why nothing is.
    fn keep(
        &self,
        addresses: impl Iterator<Item = SocketAddr>,
    ) -> Result<Vec<SocketAddr>, EgressError> {
        let mut cause = EgressError::Unresolved;
        let mut kept = Vec::new();
        for address in addresses {
            match self.judge(address.ip()) {
                Ok(()) => kept.push(address),
                Err(refusal) => cause = refusal,
            }
        }
        if kept.is_empty() { Err(cause) } else { Ok(kept) }
    }
}

/// The system's resolver behind a filter.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    filter: Filter,
    lookups: Arc<Semaphore>,
}

impl Names {
    pub(crate) fn new(filter: Filter, lookups: &Arc<Semaphore>) -> Self {
        Self { filter, lookups: Arc::clone(lookups) }
    }

    /// The places to count look-ups with, for all resolvers of one client.
    pub(crate) fn lookups() -> Arc<Semaphore> {
        Arc::new(Semaphore::new(LOOKUPS_MAX))
    }

    pub(crate) fn filter(&self) -> &Filter {
        &self.filter
    }

    /// The addresses of `name` that are left.
    pub(crate) async fn look_up(self, name: String) -> Result<Vec<SocketAddr>, EgressError> {
        let closed = |_| EgressError::Unresolved;
        let place = self.lookups.acquire_owned().await.map_err(closed)?;
        // A task of its own: the thread goes on when nobody waits any more, and so must its
        // place be held.
        let asking = tokio::spawn(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await;
            drop(place);
            found.map(Iterator::collect::<Vec<_>>)
        });
        match asking.await {
            Ok(Ok(addresses)) => self.filter.keep(addresses.into_iter()),
            Ok(Err(_)) | Err(_) => Err(EgressError::Unresolved),
        }
    }
}

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        let asked = self.clone().look_up(name.as_str().to_owned());
        Box::pin(async move {
            let addresses = asked.await?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use hookgate_core::address::Refused;

    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|it| SocketAddr::new(it.parse().unwrap(), 0)).collect()
    }

    #[track_caller]
    fn check(filter: &Filter, resolved: &[&str], expected: Result<&[&str], EgressError>) {
        let kept = filter.keep(addresses(resolved).into_iter());
        assert_eq!(kept, expected.map(addresses), "{resolved:?}");
    }

    #[test]
    fn of_a_name_with_good_and_bad_addresses_the_good_ones_are_left() {
        let filter = Filter::Admitted(Arc::new(Policy::default()));
        check(&filter, &["127.0.0.1", "93.184.216.34", "::1"], Ok(&["93.184.216.34"]));
        let refused = EgressError::Refused(Refused::Metadata);
        check(&filter, &["10.0.0.1", "169.254.169.254"], Err(refused));
        check(&filter, &["::ffff:10.0.0.1"], Err(EgressError::Refused(Refused::Private)));
        check(&filter, &[], Err(EgressError::Unresolved));
    }

    #[test]
    fn without_tls_only_what_the_operator_named_is_left() {
        let policy = Policy::new(vec!["10.0.0.0/8".parse().unwrap()]);
        let filter = Filter::Listed(Arc::new(policy));
        check(&filter, &["93.184.216.34", "10.0.0.1", "127.0.0.1"], Ok(&["10.0.0.1"]));
        check(&filter, &["93.184.216.34"], Err(EgressError::PlainHttp));
        check(&filter, &["127.0.0.1"], Err(EgressError::Refused(Refused::Loopback)));
    }

    #[test]
    fn the_operators_word_is_not_judged() {
        check(&Filter::Nothing, &["127.0.0.1"], Ok(&["127.0.0.1"]));
    }
}
