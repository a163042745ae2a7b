//! Bookings with Square.
//!
//! A call is planned first (its arguments are read, and what must be known of the shop for
//! them), which changes nothing; then it is run. What writes goes through one rule: it is
//! sent again only under the same idempotency key with the same body, and where its end is
//! not known, reading tells.
//!
//! Where to begin reading: [`Square`], then `cancel.rs`, the shortest life of a write;
//! `client.rs` is what every request goes through.

mod api;
mod arguments;
mod availability;
mod cancel;
mod change;
mod client;
mod create;
mod credential;
mod customers;
mod error;
mod ids;
mod list;
mod objects;
mod phone;
mod plan;
mod reschedule;
mod services;
mod shop;
mod slots;
#[cfg(test)]
mod tests;
mod time;
mod who;
mod words;

use std::sync::Arc;

use hookgate_core::tenant::TenantId;
use hookgate_core::time::Timestamp;
use hookgate_core::tool::{Reply, Tool};
use hookgate_egress::{Egress, Url};
use hookgate_secrets::Secrets;

use self::client::Session;
use self::credential::{Account, Accounts};
pub(crate) use self::plan::Plan;
use self::shop::Shops;
use crate::permit::Permit;
use crate::work::{End, Work};

/// The connector. Clones share what they know.
#[derive(Clone)]
pub(crate) struct Square(Arc<Inner>);

struct Inner {
    egress: Egress,
    accounts: Accounts,
    shops: Shops,
}

impl Square {
    /// A connector that finds tenants' credentials in `secrets`. With a `base` it asks that
    /// instead of Square.
    pub(crate) fn new(egress: Egress, secrets: Arc<Secrets>, base: Option<Url>) -> Self {
        let accounts = Accounts::new(secrets, base);
        Self(Arc::new(Inner { egress, accounts, shops: Shops::default() }))
    }

    /// Forgets what is remembered of a tenant that is erased.
    pub(crate) fn forget(&self, tenant: &TenantId) {
        self.0.accounts.forget(tenant);
        self.0.shops.forget(tenant);
    }

    /// Reads a call's arguments, and what must be known of the shop for it. Changes nothing.
    ///
    /// # Errors
    ///
    /// The end of the call, with a reply that can be said.
    pub(crate) async fn plan(&self, tool: &'static Tool, work: &Work<'_>) -> Result<Plan, End> {
        let account = Arc::new(self.0.accounts.open(&self.0.egress, work).await?);
        plan::plan(&self.session(&account, work), &account, tool).await
    }

    /// Carries it out. What is written waits for its permit, whose key is Square's idempotency
    /// key.
    pub(crate) async fn run(
        &self,
        plan: &Plan,
        work: &Work<'_>,
        permit: Option<&Permit<'_>>,
    ) -> End {
        let done = plan.run(&self.session(&plan.account, work), permit).await;
        done.map_or_else(|end| end, End::Done)
    }

    /// Whether Square still shows what an earlier success of this plan did.
    ///
    /// # Errors
    ///
    /// The end of the call: it cannot be told.
    pub(crate) async fn stands(
        &self,
        plan: &Plan,
        earlier: &Reply,
        work: &Work<'_>,
    ) -> Result<bool, End> {
        plan.stands(&self.session(&plan.account, work), earlier).await
    }

    /// Finds out by reading whether an earlier try, of which nobody knows the end, was done:
    /// its reply, or nothing if it was not.
    ///
    /// # Errors
    ///
    /// The end of the call: it cannot be told.
    pub(crate) async fn settle(
        &self,
        plan: &Plan,
        since: Timestamp,
        work: &Work<'_>,
    ) -> Result<Option<Reply>, End> {
        plan.settle(&self.session(&plan.account, work), since).await
    }

    fn session<'a>(&'a self, account: &'a Account, work: &'a Work<'a>) -> Session<'a> {
        let Inner { egress, accounts, shops } = &*self.0;
        Session { egress, accounts, shops, account, work }
    }
}
