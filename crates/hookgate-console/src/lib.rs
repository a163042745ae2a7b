//! The HTTP API for operators and tenants, and what a supervisor asks: health, readiness,
//! metrics.
//!
//! [`router`] is the table of contents: every path, what answers it, and who may ask. The
//! OpenAPI document is made from the same table.
//! What holds:
//!
//! - **Closed by default.** Everything under `/api` lies behind one layer that wants a
//!   token, unknown paths included, and what is not listed for tenants is the operator's.
//! - **A tenant sees its own.** What tenants may ask takes a `Scope`, and hands it to the
//!   store. Anything else is not there: 404.
//! - **GET changes nothing**, there is no CORS, and no answer is kept by a cache.
//! - **Exact bytes leave by `/raw` alone**, to the operator alone, as an attachment that no
//!   browser renders, and each such read is logged. Everywhere else known credentials are
//!   masked. Recordings leave so too, to their tenant as well: they are sound.
//! - **Keys and tokens are shown once**, sealed credentials never.
//! - **An error is a problem** (RFC 9457): a constant sentence and a status. What
//!   went wrong inside is logged once, under the correlation id that the answer carries.
//!
//! Reading order: `guard.rs` (every request), `idempotency.rs` (every POST), `document.rs`,
//! `query.rs`, `body.rs` and `page.rs` (what handlers share), one file for each resource,
//! `retry.rs` (refused requests judged again), `reattribute.rs` (owners judged again).

mod alerts;
mod attachment;
mod bindings;
mod body;
mod bulk;
mod conversations;
mod credentials;
mod deliveries;
mod destinations;
mod document;
mod erasures;
mod events;
mod guard;
mod idempotency;
mod keys;
mod metrics;
mod page;
mod policy;
mod problem;
mod query;
mod random;
mod range;
mod reattribute;
mod recordings;
mod rejections;
mod release;
mod replay;
mod retry;
mod schemas;
mod seen;
mod settings;
mod shapes;
mod sources;
mod status;
mod stream;
mod tenants;
mod times;
mod tokens;
mod tool_calls;
mod tools;
mod violations;

use std::fmt;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::body::Bytes;
use axum::http::{StatusCode, header};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::IntoResponse;
use hookgate_core::secret::Secret;
use hookgate_core::source::CurrentSources;
use hookgate_core::tenant::{Scope, TenantId};
use hookgate_core::time::Timestamp;
use hookgate_secrets::Secrets;
use hookgate_store::Store;
use prometheus_client::registry::Registry;
use tokio::sync::{Mutex, watch};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt};
use utoipa_axum::routes;

pub use bulk::{BULK_PER_SECOND, BULK_PER_SECOND_MIN};
pub use metrics::register_store;
pub use settings::{SettingsError, SourceSettings};

use crate::document::Audience;
use crate::problem::Problem;
use crate::seen::Eyes;

/// Whether a source with these settings is possible; if not, a sentence that says why.
pub type CheckSource = Arc<dyn Fn(&SourceSettings) -> Result<(), String> + Send + Sync>;

/// Told of a tenant that is erased, so that nothing of it stays in memory.
pub type ForgetTenant = Arc<dyn Fn(&TenantId) + Send + Sync>;

/// Whether a destination may be at this URL; if not, a sentence that says why, to whom it may
/// be said. A name that does not resolve now is none of the reasons.
pub type CheckDestination = Arc<dyn Fn(String, Scope) -> DestinationChecked + Send + Sync>;

/// What [`CheckDestination`] gives.
pub type DestinationChecked = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// What the console shows, and to whom.
pub struct Console {
    /// The store that it reads, and that retried requests go to.
    pub store: Store,
    /// What seals credentials.
    pub secrets: Arc<Secrets>,
    /// The sources in force.
    pub sources: Arc<CurrentSources>,
    /// Up to which change of the registry's sources (`Registry::sources_changed`) those in
    /// force go: what is made or removed here is answered when the front door knows it.
    pub sources_applied: watch::Receiver<u64>,
    /// Checks the settings of a source before they are stored.
    pub check_source: CheckSource,
    /// Who else remembers something of tenants.
    pub forget_tenant: ForgetTenant,
    /// Checks the URL of a destination before it is stored.
    pub check_destination: CheckDestination,
    /// The operator's token. An empty one opens nothing.
    pub admin_token: Secret,
    /// What `/metrics` prints.
    pub metrics: Arc<Registry>,
    /// Tells the time.
    pub clock: fn() -> Timestamp,
    /// The address under which providers reach the front door, without a path.
    pub public_url: Option<String>,
    /// Deliveries that are replayed or tried again in bulk, a second at most.
    pub bulk_per_second: u32,
    /// Becomes true when the gateway stops: open streams end then.
    pub stop: watch::Receiver<bool>,
}

impl fmt::Debug for Console {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Console")
            .field("store", &self.store)
            .field("sources", &self.sources)
            .field("public_url", &self.public_url)
            .finish_non_exhaustive()
    }
}

/// Who sends a request. The listener puts it into the request's extensions; without it
/// nobody counts as local.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    /// The socket's peer, or what a configured proxy says.
    pub addr: IpAddr,
}

/// What the handlers share.
#[derive(Debug)]
struct Shared {
    console: Console,
    /// The OpenAPI document.
    document: OnceLock<Bytes>,
    /// Held while refused requests are judged again: one batch at a time, so that a
    /// request that stands in two batches is judged once.
    retrying: Mutex<()>,
    /// Held while something is read and written back.
    changing: Mutex<()>,
    /// The POSTs with a key that are running.
    running: idempotency::Running,
    /// The open streams.
    streams: stream::Seats,
    /// Who replays and retries in bulk, one after the other.
    bulk: bulk::Turns,
}

impl Shared {
    fn eyes<'a>(&'a self, scope: &'a Scope) -> Eyes<'a> {
        Eyes { scope, key: self.console.store.mask_key() }
    }
}

/// All routes. A request should carry its [`Caller`] as an extension.
pub fn router(console: Console) -> Router {
    let shared = Arc::new(Shared {
        console,
        document: OnceLock::new(),
        retrying: Mutex::new(()),
        changing: Mutex::new(()),
        running: idempotency::Running::default(),
        streams: stream::Seats::default(),
        bulk: bulk::Turns::default(),
    });
    let (operators, of_operator) = for_operator().split_for_parts();
    let (everyones, of_everyone) = for_tenants().split_for_parts();
    let (probes, of_probes) = probes(&shared).split_for_parts();

    let of_api = [(Audience::Operator, of_operator), (Audience::Tenants, of_everyone)];
    match document::joined(of_api, of_probes).to_json() {
        // It is made once, and nobody else sets it.
        Ok(document) => drop(shared.document.set(document.into())),
        Err(error) => tracing::error!(error = %error, "the OpenAPI document cannot be printed"),
    }
    let api = operators
        .layer(from_fn(guard::operator))
        .merge(everyones)
        .fallback(|| async { Problem::NotFound })
        .method_not_allowed_fallback(|| async { Problem::MethodNotAllowed })
        .layer(from_fn_with_state(Arc::clone(&shared), idempotency::once))
        .layer(from_fn_with_state(Arc::clone(&shared), guard::known));
    probes
        .nest("/api", api)
        .fallback(not_found)
        .method_not_allowed_fallback(|| async { Problem::MethodNotAllowed })
        .layer(from_fn(guard::every))
        .with_state(shared)
}

type Routes = OpenApiRouter<Arc<Shared>>;

/// What only the operator may ask.
fn for_operator() -> Routes {
    OpenApiRouter::default()
        .routes(routes!(tenants::list, tenants::add))
        .routes(routes!(tenants::change, tenants::erase))
        .routes(routes!(keys::list, keys::add))
        .routes(routes!(keys::remove))
        .routes(routes!(credentials::list))
        .routes(routes!(credentials::show, credentials::put, credentials::remove))
        .routes(routes!(tools::show, tools::put, tools::remove))
        .routes(routes!(bindings::list, bindings::add, bindings::remove))
        .routes(routes!(conversations::add))
        .routes(routes!(conversations::rebuild, conversations::progress))
        .routes(routes!(conversations::erase))
        .routes(routes!(sources::list, sources::add))
        .routes(routes!(sources::remove))
        .routes(routes!(tokens::list, tokens::add))
        .routes(routes!(tokens::rotate))
        .routes(routes!(tokens::remove))
        .routes(routes!(release::release))
        .routes(routes!(reattribute::reattribute))
        .routes(routes!(rejections::list))
        .routes(routes!(retry::retry_many))
        .routes(routes!(rejections::show))
        .routes(routes!(rejections::raw))
        .routes(routes!(retry::retry))
        .routes(routes!(alerts::list))
        .routes(routes!(erasures::list))
        .routes(routes!(erasures::show))
}

/// What a tenant may ask too, for what is its own.
fn for_tenants() -> Routes {
    OpenApiRouter::default()
        .routes(routes!(tenants::show))
        .routes(routes!(conversations::list))
        .routes(routes!(conversations::show))
        .routes(routes!(events::list))
        .routes(routes!(stream::follow))
        .routes(routes!(events::show))
        .routes(routes!(events::raw))
        .routes(routes!(tool_calls::list))
        .routes(routes!(tool_calls::show))
        .routes(routes!(recordings::list))
        .routes(routes!(recordings::show))
        .routes(routes!(destinations::list, destinations::add))
        .routes(routes!(destinations::show, destinations::change, destinations::remove))
        .routes(routes!(destinations::rotate))
        .routes(routes!(destinations::test))
        .routes(routes!(destinations::enable))
        .routes(routes!(destinations::disable))
        .routes(routes!(deliveries::list))
        .routes(routes!(deliveries::retry_many))
        .routes(routes!(deliveries::show))
        .routes(routes!(deliveries::retry))
        .routes(routes!(replay::replay_many))
        .routes(routes!(replay::replay))
        .routes(routes!(violations::list))
        .routes(routes!(document::show))
        .routes(routes!(schemas::canonical_event))
}

/// What needs no token, or not always one.
fn probes(shared: &Arc<Shared>) -> Routes {
    let local = from_fn_with_state(Arc::clone(shared), guard::operator_or_local);
    OpenApiRouter::default()
        .routes(routes!(status::healthz))
        .routes(routes!(status::readyz))
        .routes(routes!(status::metrics).layer(local))
}

/// What the front door says of a path that leads nowhere.
async fn not_found() -> impl IntoResponse {
    let json = [(header::CONTENT_TYPE, "application/json")];
    (StatusCode::NOT_FOUND, json, r#"{"error":"Not found"}"#)
}
