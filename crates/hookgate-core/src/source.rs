//! A source: one inbound endpoint of a provider, as configured.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use http::HeaderName;
use serde_json::Value;

use crate::attribution::Rule;
use crate::named;
use crate::provider::{BODY_BYTES_MAX, Provider};
use crate::scheme::Policy;
use crate::secret::Secrets;
use crate::tenant::TenantId;
use crate::tool::settings::TOOL_NAME_CHARS_MAX;

/// What happens to a request that does not prove its origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verification {
    /// It is refused.
    Enforce,
    /// It is accepted and kept apart, in quarantine: there is no secret to prove it with.
    Open,
    /// It is accepted and kept apart, in quarantine: the operator said so.
    Record,
}

impl Verification {
    /// Whether a request without proof is accepted (into quarantine).
    #[must_use]
    pub const fn accepts_unproven(self) -> bool {
        matches!(self, Self::Open | Self::Record)
    }
}

/// One inbound endpoint.
#[derive(Debug)]
pub struct Source {
    /// Its name in paths, on events and in logs.
    pub name: String,
    /// The provider whose requests come here.
    pub provider: &'static Provider,
    /// How a request proves its origin.
    pub policy: Policy,
    /// The secrets in force.
    pub secrets: Secrets,
    /// What happens to a request without proof.
    pub verification: Verification,
    /// What a body may measure, in bytes.
    pub body_bytes_max: u64,
    /// What a body may measure once a plausible signature was seen, in bytes.
    pub large_body_bytes_max: u64,
    /// How a request on the path of a tool proves its origin, where its provider signs none;
    /// nothing where it does so as an event does.
    pub tool_policy: Option<Policy>,
    /// What proves such a request; without any, `secrets` do.
    pub tool_secrets: Secrets,
    /// The headers in which its tokens travel (from the policies).
    pub token_headers: Vec<HeaderName>,
    /// How ownership is judged here.
    pub rule: Rule,
    /// The tenant whose events alone come here, if it is one's.
    pub tenant: Option<TenantId>,
    /// After how many days its events are erased; nothing: never.
    pub retention_days: Option<u32>,
}

impl Source {
    /// A source of `provider` with its default limits.
    #[must_use]
    pub fn new(
        name: impl Into<String>,
        provider: &'static Provider,
        policy: Policy,
        secrets: Secrets,
        verification: Verification,
    ) -> Self {
        let tool_policy = provider.calls.as_ref().and_then(|it| it.policy);
        let tool_policy = tool_policy.and_then(|it| named::policy(it, &Value::Null).ok());
        let mut token_headers = policy.token_headers();
        token_headers.extend(tool_policy.iter().flat_map(Policy::token_headers));
        Self {
            name: name.into(),
            provider,
            token_headers,
            policy,
            tool_policy,
            tool_secrets: Secrets::default(),
            secrets,
            verification,
            body_bytes_max: BODY_BYTES_MAX,
            large_body_bytes_max: provider.large_body_bytes_max,
            rule: Rule::default(),
            tenant: None,
            retention_days: None,
        }
    }

    /// What proves a request that came on the path of this tool, or of none.
    #[must_use]
    pub fn proving(&self, tool: Option<&str>) -> (&Policy, &Secrets) {
        match (tool, &self.tool_policy) {
            (Some(_), Some(policy)) if self.tool_secrets.is_empty() => (policy, &self.secrets),
            (Some(_), Some(policy)) => (policy, &self.tool_secrets),
            _ => (&self.policy, &self.secrets),
        }
    }
}

/// A path with a URL token: `/in/{source}/{token}`, or `/in/{source}/{token}/tools/{tool}`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TokenPath<'a> {
    /// The name of the source.
    pub source: &'a str,
    /// The token, or what stands for it where a path is stored.
    pub token: &'a str,
    /// The tool.
    pub tool: Option<&'a str>,
}

impl<'a> TokenPath<'a> {
    /// Reads a path (without a query), if it is one.
    #[must_use]
    pub fn read(path: &'a str) -> Option<Self> {
        let (source, rest) = path.strip_prefix("/in/")?.split_once('/')?;
        let Some((token, rest)) = rest.split_once('/') else {
            return Some(Self { source, token: rest, tool: None });
        };
        let tool = rest.strip_prefix("tools/")?;
        let is_name = tool.bytes().all(|it| it.is_ascii_alphanumeric() || b"_-.".contains(&it));
        let fits = !tool.is_empty() && tool.len() <= TOOL_NAME_CHARS_MAX && is_name;
        fits.then_some(Self { source, token, tool: Some(tool) })
    }
}

/// All sources, and the paths that lead to them.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    routes: HashMap<String, Route>,
    sources: Vec<Arc<Source>>,
}

/// Where a path leads.
#[derive(Clone, Debug)]
pub struct Route {
    /// The source.
    pub source: Arc<Source>,
    /// The tool that the path names, if it is the path of a tool call.
    pub tool: Option<Arc<str>>,
}

/// Two sources want the same path or name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{path}` leads to the source `{taken_by}` already")]
pub struct PathTaken {
    /// The path.
    pub path: String,
    /// The source that has it.
    pub taken_by: String,
}

impl Sources {
    /// Adds a source under `/in/{name}`, under its own `paths`, and, if it is its
    /// provider's built-in one, under the provider's paths and tools.
    ///
    /// # Errors
    ///
    /// [`PathTaken`]: give the source another name or path.
    pub fn add(
        &mut self,
        source: impl Into<Arc<Source>>,
        paths: &[String],
    ) -> Result<(), PathTaken> {
        let source = source.into();
        let provider = source.provider;
        let built_in = source.name == provider.name;
        let mut routes = vec![(format!("/in/{}", source.name), None)];
        routes.extend(paths.iter().map(|path| (path.clone(), None)));
        if built_in {
            routes.extend(provider.paths.iter().map(|path| ((*path).to_owned(), None)));
            routes.extend(
                provider
                    .tool_paths
                    .iter()
                    .map(|(path, tool)| ((*path).to_owned(), Some(Arc::from(*tool)))),
            );
        }
        for (path, tool) in routes {
            if let Some(taken) = self.routes.get(&path).filter(|it| it.source.name != source.name) {
                return Err(PathTaken { path, taken_by: taken.source.name.clone() });
            }
            self.routes.insert(path, Route { source: Arc::clone(&source), tool });
        }
        self.sources.push(source);
        Ok(())
    }

    /// Where `path` (without a query) leads.
    #[must_use]
    pub fn route(&self, path: &str) -> Option<&Route> {
        self.routes.get(path)
    }

    /// The source of this name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Arc<Source>> {
        self.sources.iter().find(|source| source.name == name)
    }

    /// All sources, in the order they were added.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Source>> {
        self.sources.iter()
    }

    /// The paths of a source, sorted.
    #[must_use]
    pub fn paths(&self, source: &Source) -> Vec<&str> {
        let leads_here = self.routes.iter().filter(|(_, route)| route.source.name == source.name);
        let mut paths: Vec<&str> = leads_here.map(|(path, _)| path.as_str()).collect();
        paths.sort_unstable();
        paths
    }
}

/// The sources in force. They change while the gateway runs: whoever needs them asks each
/// time.
#[derive(Debug, Default)]
pub struct CurrentSources(RwLock<Arc<Sources>>);

impl CurrentSources {
    /// Begins with these.
    #[must_use]
    pub fn new(sources: Arc<Sources>) -> Self {
        Self(RwLock::new(sources))
    }

    /// Those in force now.
    #[must_use]
    pub fn get(&self) -> Arc<Sources> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts others in force.
    pub fn set(&self, sources: Arc<Sources>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = sources;
    }
}
