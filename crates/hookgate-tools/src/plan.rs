//! Which connector carries a call out, and the few questions that the broker asks of it.

use std::sync::Arc;

use hookgate_core::time::Timestamp;
use hookgate_core::tool::settings::{HttpTool, Settings};
use hookgate_core::tool::{Reply, Tool, catalog};

use crate::http::{Http, HttpPlan};
use crate::metrics;
use crate::permit::Permit;
use crate::square::{self, Square};
use crate::work::{End, Work};

/// The connectors.
pub(crate) struct Connectors {
    pub(crate) square: Square,
    pub(crate) http: Http,
}

/// A tool that a call names and its tenant has.
#[derive(Clone, Debug)]
pub(crate) enum Chosen {
    /// One that comes with Hookgate.
    BuiltIn(&'static Tool),
    /// One of the tenant's own.
    Own(Arc<HttpTool>),
}

/// What a call is going to do.
pub(crate) enum Plan<'a> {
    Square(square::Plan),
    Http(&'a HttpTool, HttpPlan),
}

impl Chosen {
    /// The tool of this name.
    pub(crate) fn named(name: &str, settings: &Settings) -> Option<Self> {
        match catalog::named(name) {
            Some(tool) => Some(Self::BuiltIn(tool)),
            None => settings.http_tool(name).map(|it| Self::Own(Arc::new(it.clone()))),
        }
    }

    /// Whether it changes anything.
    pub(crate) fn writes(&self) -> bool {
        match self {
            Self::BuiltIn(tool) => tool.writes,
            Self::Own(tool) => tool.writes,
        }
    }

    /// What it is counted as.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::BuiltIn(tool) => tool.name,
            Self::Own(_) => metrics::OTHER,
        }
    }
}

impl Connectors {
    /// Reads a call's arguments, and what must be known for it. Changes nothing.
    pub(crate) async fn plan<'a>(
        &self,
        chosen: &'a Chosen,
        work: &Work<'_>,
    ) -> Result<Plan<'a>, End> {
        match chosen {
            Chosen::BuiltIn(tool) => self.square.plan(tool, work).await.map(Plan::Square),
            Chosen::Own(tool) => self.http.plan(tool, work).map(|plan| Plan::Http(tool, plan)),
        }
    }

    /// Carries it out. A write waits until its permit gives it the key under which its service
    /// knows a repetition.
    pub(crate) async fn run(
        &self,
        plan: &Plan<'_>,
        work: &Work<'_>,
        permit: Option<&Permit<'_>>,
    ) -> End {
        match plan {
            // All of Square's tools are in it, so it is large.
            Plan::Square(plan) => Box::pin(self.square.run(plan, work, permit)).await,
            Plan::Http(tool, plan) => self.http.run(tool, plan, work, permit).await,
        }
    }

    /// Whether an earlier success still stands. An endpoint of a tenant's own cannot be
    /// asked, so there it does.
    pub(crate) async fn stands(
        &self,
        plan: &Plan<'_>,
        earlier: &Reply,
        work: &Work<'_>,
    ) -> Result<bool, End> {
        match plan {
            Plan::Square(plan) => self.square.stands(plan, earlier, work).await,
            Plan::Http(..) => Ok(true),
        }
    }

    /// Finds out whether an earlier attempt was done, of which nobody knows the end. An
    /// endpoint of a tenant's own cannot be asked: it gets the same key once more.
    pub(crate) async fn settle(
        &self,
        plan: &Plan<'_>,
        since: Timestamp,
        work: &Work<'_>,
    ) -> Result<Option<Reply>, End> {
        match plan {
            Plan::Square(plan) => self.square.settle(plan, since, work).await,
            Plan::Http(..) => Ok(None),
        }
    }
}

impl Plan<'_> {
    /// What makes two calls the same wish; nothing for what only reads.
    pub(crate) fn business_key(&self) -> Option<&str> {
        match self {
            Self::Square(plan) => plan.business_key(),
            Self::Http(_, plan) => plan.business_key(),
        }
    }
}
