//! Conversations: which calls, chats, threads and tickets are known, whose they are, and what
//! their events tell.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use hookgate_core::attribution::Origin;
use hookgate_core::event::ClaimKind;
use hookgate_core::tenant::Scope;
use hookgate_store::{
    BindingFilter, Conversation, Event, EventFilter, Folded, FoldedFilter, Folding,
    ListedConversation, Order, Page, Rows, Written,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use crate::body::{Given, InPath, Wish};
use crate::erasures::Erasure;
use crate::page::{Asked, List, Paged};
use crate::problem::{Problem, Sent};
use crate::query::{self, Query, bad, tenant};
use crate::{Shared, shapes};

/// Events that a conversation is shown with: what fits a screen.
const EVENTS_SHOWN: usize = 20;

/// A conversation.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Conversation)]
pub(crate) struct Shown {
    tenant: String,
    provider: String,
    external_id: String,
    /// The agent that it is known with.
    #[schema(required)]
    agent_id: Option<String>,
    /// The phone number that it is known with.
    #[schema(required)]
    phone_number_id: Option<String>,
    /// `registered`, or `adopted` by its first event.
    origin: &'static str,
    #[schema(format = DateTime)]
    created_at: String,
}

impl From<&Conversation> for Shown {
    fn from(it: &Conversation) -> Self {
        Self {
            tenant: it.tenant.to_string(),
            provider: it.provider.clone(),
            external_id: it.external_id.clone(),
            agent_id: it.agent_id.clone(),
            phone_number_id: it.phone_number_id.clone(),
            origin: it.origin.name(),
            created_at: it.created_at.to_string(),
        }
    }
}

/// A conversation in a list.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ListedConversation)]
pub(crate) struct Row {
    /// Null where all its events are nobody's.
    #[schema(required)]
    tenant: Option<String>,
    provider: String,
    external_id: String,
    /// The agent that it is known with.
    #[schema(required)]
    agent_id: Option<String>,
    /// The phone number that it is known with.
    #[schema(required)]
    phone_number_id: Option<String>,
    /// `registered`, or `adopted` by its first event; null while only events name it.
    #[schema(required)]
    origin: Option<&'static str>,
    /// When it became known, or its first event was received.
    #[schema(format = DateTime)]
    created_at: String,
    /// How many events tell of it.
    event_count: u64,
    /// What these tell, but for what was said: `channel`, `direction`, `status`, `phase`,
    /// `our_number`, `their_number`, `started_at` and so on, as in one that is shown. Null
    /// without events.
    #[schema(required)]
    content: Option<Map<String, Value>>,
}

impl From<&ListedConversation> for Row {
    fn from(it: &ListedConversation) -> Self {
        let (known, folded) = (it.known.as_ref(), it.folded.as_ref());
        let both = |of_known: fn(&Conversation) -> &str, of_folded: fn(&Folded) -> &str| {
            let text = known.map(of_known).or_else(|| folded.map(of_folded));
            text.unwrap_or_default().to_owned()
        };
        let created_at = known.map(|it| it.created_at).or_else(|| folded.map(|it| it.received_at));
        let tenant =
            known.map(|it| &it.tenant).or_else(|| folded.and_then(|it| it.tenant.as_ref()));
        Self {
            tenant: tenant.map(ToString::to_string),
            provider: both(|it| &it.provider, |it| &it.provider),
            external_id: both(|it| &it.external_id, |it| &it.external_id),
            agent_id: known.and_then(|it| it.agent_id.clone()),
            phone_number_id: known.and_then(|it| it.phone_number_id.clone()),
            origin: known.map(|it| it.origin.name()),
            created_at: created_at.map(|it| it.to_string()).unwrap_or_default(),
            event_count: folded.map_or(0, |it| it.events),
            content: folded.map(|it| {
                let mut content = content(it);
                for name in NOT_LISTED {
                    content.remove(name);
                }
                content
            }),
        }
    }
}

/// What a list leaves out: a page of hundreds is for a screen.
const NOT_LISTED: [&str; 7] =
    ["transcript", "messages", "recordings", "tickets", "reports", "timeline", "analysis"];

/// What the events of a conversation tell.
fn content(folded: &Folded) -> Map<String, Value> {
    match serde_json::to_value(folded.state.view()) {
        Ok(Value::Object(content)) => content,
        _ => Map::new(),
    }
}

/// A page of conversations.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Conversations {
    data: Vec<Row>,
    /// Pass it back as `cursor` for the next page; null at the end.
    #[schema(required)]
    next_cursor: Option<String>,
    /// So many records of the journal are not in the list yet: 0, but for a moment after a
    /// burst, and while it is made anew.
    behind: u64,
}

/// How far the conversations are.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ConversationProgress {
    /// How many there are.
    conversations: u64,
    /// All records of the journal up to this one are in them.
    through: u64,
    /// So many are not yet.
    behind: u64,
}

impl From<Folding> for ConversationProgress {
    fn from(it: Folding) -> Self {
        Self { conversations: it.conversations, through: it.through, behind: it.behind }
    }
}

/// A conversation, and how what is known of it fits together. Of one that is not known,
/// but has events, the ids are those of its latest event.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ConversationDetail {
    #[schema(required)]
    tenant: Option<String>,
    provider: String,
    external_id: String,
    #[schema(required)]
    agent_id: Option<String>,
    #[schema(required)]
    phone_number_id: Option<String>,
    /// `registered` or `adopted`; null while it is not known.
    #[schema(required)]
    origin: Option<&'static str>,
    #[schema(required, format = DateTime)]
    created_at: Option<String>,
    owners: Owners,
    /// `consistent`: everything that is bound belongs to one tenant. `contradiction`: it
    /// does not. `unknown`: nothing vouches for the conversation.
    #[schema(inline)]
    verdict: Verdict,
    /// Its latest events, the newest first, without headers and payload.
    #[schema(value_type = Vec<shapes::EventSummary>)]
    events: Vec<Value>,
    /// How many events tell of it.
    event_count: u64,
    /// What they tell together: the fields of a conversation in the canonical shape, `phase`,
    /// `analysis`, `transcript`, `messages`, `recordings`, `tickets`, `reports`, and the
    /// `timeline` of its events. Null without accepted events.
    #[schema(required)]
    content: Option<Map<String, Value>>,
    /// So many records of the journal are not in `content` yet.
    behind: u64,
}

/// Whose the conversation is, and its agent and phone number.
#[derive(Debug, Serialize, ToSchema)]
struct Owners {
    #[schema(required)]
    conversation: Option<String>,
    #[schema(required)]
    agent: Option<Owned>,
    #[schema(required)]
    phone_number: Option<Owned>,
}

/// An id, and whose it is.
#[derive(Debug, Serialize, ToSchema)]
struct Owned {
    external_id: String,
    #[schema(required)]
    tenant: Option<String>,
}

/// How owners fit together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Consistent,
    Contradiction,
    Unknown,
}

/// A conversation to be registered.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewConversation {
    tenant: String,
    /// `elevenlabs`, `retell`, `vapi`, `mightycall` or `tawk`.
    provider: String,
    /// The id of the call, chat, thread or ticket as the provider writes it.
    external_id: String,
    agent_id: Option<String>,
    phone_number_id: Option<String>,
}

impl Wish for NewConversation {
    const SHAPE: &'static str = "The body is a JSON object with `tenant`, `provider` and \
                                 `external_id` (texts), and `agent_id` and `phone_number_id` \
                                 (texts) if they are known.";
}

/// Which conversations.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it describes what `list` reads")]
pub(crate) struct Filter {
    /// Of this tenant. A tenant's key sees its own alone, whatever this says.
    tenant: Option<String>,
    /// At this provider.
    provider: Option<String>,
    /// Over this channel.
    #[param(inline)]
    channel: Option<Channel>,
    /// In this status: the provider's word, or `ongoing`, `ended` or `failed`.
    status: Option<String>,
    /// With the agent of this id or name.
    agent: Option<String>,
    /// With this telephone number on either side, in any spelling. Its end is enough.
    number: Option<String>,
    /// That began at this moment or later.
    #[param(value_type = Option<String>, format = DateTime)]
    since: Option<String>,
    /// That began before this moment.
    #[param(value_type = Option<String>, format = DateTime)]
    until: Option<String>,
    /// With all of these words in what was said or written. `book*` finds what begins so.
    q: Option<String>,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "it describes what `list` reads")]
enum Channel {
    Phone,
    Web,
    Chat,
    Sms,
    Ticket,
    Report,
}

/// The channels.
const CHANNELS: [&str; 6] = ["phone", "web", "chat", "sms", "ticket", "report"];

/// Registers a conversation: from now on it is known whose it is.
///
/// Again for the same tenant, its agent and phone number become those given.
#[utoipa::path(
    post,
    path = "/v1/conversations",
    tag = "conversations",
    request_body = NewConversation,
    responses(
        (status = 201, description = "It is registered.", body = Shown),
        (status = 200, description = "It was registered already.", body = Shown),
        (
            status = 409,
            description = "It is another tenant's.",
            body = Sent,
            content_type = "application/problem+json",
        ),
    ),
)]
pub(crate) async fn add(
    State(shared): State<Arc<Shared>>,
    _: Query,
    Given(wish): Given<NewConversation>,
) -> Result<(StatusCode, Json<Shown>), Problem> {
    let conversation = Conversation {
        tenant: tenant("tenant", &wish.tenant)?,
        provider: query::provider(&wish.provider)?,
        external_id: wish.external_id,
        agent_id: wish.agent_id,
        phone_number_id: wish.phone_number_id,
        origin: Origin::Registered,
        created_at: (shared.console.clock)(),
    };
    let written = shared.console.store.registry().register_conversation(conversation).await;
    let (status, conversation) = match written.map_err(Problem::registry)? {
        Written::Created(it) => (StatusCode::CREATED, it),
        Written::Present(it) => (StatusCode::OK, it),
    };
    tracing::info!(
        tenant.id = %conversation.tenant,
        provider = conversation.provider,
        is_new = status == StatusCode::CREATED,
        "the operator registered a conversation"
    );
    Ok((status, Json(Shown::from(&conversation))))
}

/// Lists conversations: registered, adopted, and all that events tell of.
///
/// `channel`, `status`, `agent`, `number`, `since`, `until` and `q` find what events tell.
#[utoipa::path(
    get,
    path = "/v1/conversations",
    tag = "conversations",
    params(Filter, Paged),
    responses((status = 200, description = "The newest first.", body = Conversations)),
)]
pub(crate) async fn list(
    State(shared): State<Arc<Shared>>,
    Extension(scope): Extension<Scope>,
    query: Query<Filter, Paged>,
) -> Result<Json<Conversations>, Problem> {
    let asked = Asked::read(List::Conversations, &query)?;
    let number = query.text("number")?;
    if number.as_deref().is_some_and(|it| !FoldedFilter::is_number(it)) {
        return Err(bad("number", "a telephone number, or the last digits of one: three or more"));
    }
    let filter = FoldedFilter {
        tenant: query.tenant()?,
        provider: query.provider()?,
        channel: query.choice("channel", CHANNELS.map(|it| (it, it)))?.map(str::to_owned),
        status: query.text("status")?,
        agent: query.text("agent")?,
        number,
        since: query.moment("since")?,
        until: query.moment("until")?,
        q: query.text("q")?,
    };
    let found = shared.console.store.list_conversations(&scope, filter, asked.rows()).await;
    let found = found.map_err(Problem::registry)?;
    let (data, next_cursor) =
        asked.answer(found.rows, |it| it.place, |it| Row::from(it)).into_parts();
    Ok(Json(Conversations { data, next_cursor, behind: found.behind }))
}

/// Makes what events tell of conversations anew, from the first event on.
///
/// It goes on in the background; ask with GET how far it is. Until it is done, lists show what
/// is there again, and say how much is missing.
#[utoipa::path(
    post,
    path = "/v1/conversations/rebuild",
    tag = "conversations",
    responses((status = 202, description = "It has begun.", body = ConversationProgress)),
)]
pub(crate) async fn rebuild(
    State(shared): State<Arc<Shared>>,
    _: Query,
) -> Result<(StatusCode, Json<ConversationProgress>), Problem> {
    let store = &shared.console.store;
    store.rebuild_conversations().await.map_err(Problem::reading)?;
    tracing::warn!("the operator has the conversations made anew");
    Ok((StatusCode::ACCEPTED, Json(store.folding().into())))
}

/// Says how far the conversations have followed the journal.
#[utoipa::path(
    get,
    path = "/v1/conversations/rebuild",
    tag = "conversations",
    responses((status = 200, description = "How far they are.", body = ConversationProgress)),
)]
pub(crate) async fn progress(
    State(shared): State<Arc<Shared>>,
    _: Query,
) -> Result<Json<ConversationProgress>, Problem> {
    Ok(Json(shared.console.store.folding().into()))
}

/// Shows a conversation: whose it is, and whether that fits its agent and phone number.
#[utoipa::path(
    get,
    path = "/v1/conversations/{provider}/{external_id}",
    tag = "conversations",
    params(
        ("provider" = String, Path, description = "The provider."),
        ("external_id" = String, Path, description = "Its id at the provider."),
    ),
    responses((status = 200, description = "The conversation.", body = ConversationDetail)),
)]
pub(crate) async fn show(
    State(shared): State<Arc<Shared>>,
    Extension(scope): Extension<Scope>,
    InPath((provider, external_id)): InPath<(String, String)>,
    _: Query,
) -> Result<Json<ConversationDetail>, Problem> {
    let store = &shared.console.store;
    let known = store.conversation(&scope, &provider, &external_id).await;
    let known = known.map_err(Problem::registry)?;
    let events = latest(&shared, &scope, &provider, &external_id).await?;
    let folded = store.folded_conversation(&scope, &provider, &external_id).await;
    let (folded, behind) = folded.map_err(Problem::reading)?;
    let own = known.as_ref().map(|it| &it.tenant);
    // Who is known to own it counts, and then who has most of it.
    let folded = folded.iter().max_by_key(|it| (it.tenant.as_ref() == own, it.events));
    if known.is_none() && events.is_empty() {
        return Err(Problem::NotFound);
    }
    let (agent_id, phone_number_id) = match &known {
        Some(known) => (known.agent_id.clone(), known.phone_number_id.clone()),
        None => (named(&events, ClaimKind::Agent), named(&events, ClaimKind::PhoneNumber)),
    };
    let agent = owner(&shared, &provider, ClaimKind::Agent, agent_id.as_deref()).await?;
    let number =
        owner(&shared, &provider, ClaimKind::PhoneNumber, phone_number_id.as_deref()).await?;
    let tenant = known.as_ref().map(|it| it.tenant.to_string());
    let verdict = verdict(tenant.as_deref(), [agent.as_deref(), number.as_deref()]);

    let eyes = shared.eyes(&scope);
    let owned = |id: &Option<String>, tenant: Option<String>| {
        let tenant = tenant.map(|it| eyes.tenant(&it));
        id.clone().map(|external_id| Owned { external_id, tenant })
    };
    Ok(Json(ConversationDetail {
        owners: Owners {
            conversation: tenant.clone(),
            agent: owned(&agent_id, agent),
            phone_number: owned(&phone_number_id, number),
        },
        tenant,
        provider,
        external_id,
        agent_id,
        phone_number_id,
        origin: known.as_ref().map(|it| it.origin.name()),
        created_at: known.as_ref().map(|it| it.created_at.to_string()),
        verdict,
        events: events.iter().map(Event::summary).collect(),
        event_count: folded.map_or(0, |it| it.events),
        content: folded.map(content),
        behind,
    }))
}

/// Erases a conversation, with all its events.
#[utoipa::path(
    delete,
    path = "/v1/conversations/{provider}/{external_id}",
    tag = "conversations",
    params(
        ("provider" = String, Path, description = "The provider."),
        ("external_id" = String, Path, description = "Its id at the provider."),
    ),
    responses((status = 202, description = "It has begun.", body = Erasure)),
)]
pub(crate) async fn erase(
    State(shared): State<Arc<Shared>>,
    InPath((provider, external_id)): InPath<(String, String)>,
    _: Query,
) -> Result<(StatusCode, Json<Erasure>), Problem> {
    let store = &shared.console.store;
    let known = store.conversation(&Scope::Operator, &provider, &external_id).await;
    if known.map_err(Problem::registry)?.is_none()
        && latest(&shared, &Scope::Operator, &provider, &external_id).await?.is_empty()
    {
        return Err(Problem::NotFound);
    }
    let now = (shared.console.clock)();
    let erasure = store.erase_conversation(&provider, &external_id, now).await;
    let erasure = erasure.map_err(Problem::registry)?;
    tracing::warn!(provider, "the operator has a conversation erased");
    Ok((StatusCode::ACCEPTED, Json(Erasure::from(&erasure))))
}

async fn latest(
    shared: &Shared,
    scope: &Scope,
    provider: &str,
    external_id: &str,
) -> Result<Vec<Event>, Problem> {
    let filter = EventFilter {
        provider: Some(provider.to_owned()),
        conversation: Some(external_id.to_owned()),
        ..EventFilter::default()
    };
    let page = Page { order: Order::NewestFirst, after: None, limit: EVENTS_SHOWN };
    shared.console.store.events(scope, filter, page).await.map_err(Problem::reading)
}

/// The id of this kind that the latest event names.
fn named(events: &[Event], kind: ClaimKind) -> Option<String> {
    let claims = events.iter().flat_map(|it| &it.claims);
    claims.filter(|it| it.kind == kind).find_map(|it| it.external_id.clone())
}

/// Whose an id is.
async fn owner(
    shared: &Shared,
    provider: &str,
    kind: ClaimKind,
    id: Option<&str>,
) -> Result<Option<String>, Problem> {
    let Some(id) = id else { return Ok(None) };
    let filter = BindingFilter {
        tenant: None,
        provider: Some(provider.to_owned()),
        kind: Some(kind),
        external_id: Some(id.to_owned()),
    };
    let found = shared.console.store.registry().bindings(filter, Rows { after: None, limit: 1 });
    let found = found.await.map_err(Problem::registry)?;
    Ok(found.first().map(|(_, it)| it.tenant.to_string()))
}

fn verdict(conversation: Option<&str>, bound: [Option<&str>; 2]) -> Verdict {
    let mut owners = conversation.into_iter().chain(bound.into_iter().flatten());
    let first = owners.next();
    if owners.any(|it| Some(it) != first) {
        Verdict::Contradiction
    } else if conversation.is_some() && bound.iter().any(Option::is_some) {
        Verdict::Consistent
    } else {
        Verdict::Unknown
    }
}
