//! One tool call, from its arguments to its record. [`Job::carry_out`] is its life: choose →
//! plan → begin and run → finish.
//!
//! What only reads needs no row before it, so a call reads while its row is on its way to the
//! disk. A write waits for its permit, and that is granted when the row is there.
//!
//! A write begins as a row under its effect. What the row before it says decides:
//!
//! | the row before | what is done |
//! |---|---|
//! | none; failed or refused | it is carried out, as a new generation |
//! | succeeded, and it still stands | it is answered with that success |
//! | succeeded, and it does not stand any more | it is carried out, as a new generation |
//! | begun by another node | waited for |
//! | begun, and nobody knows its end | found out by asking; if it was not done, it is carried out under the *same* key, so that an attempt still under way cannot do it twice |

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hookgate_core::mask::visible;
use hookgate_core::tenant::{Scope, TenantId};
use hookgate_core::time::Timestamp;
use hookgate_core::tool::masked::{Called, masked};
use hookgate_core::tool::settings::{Settings, TOOL_NAME_CHARS_MAX};
use hookgate_core::tool::{Arguments, Call, Caller, Reply};
use hookgate_store::{
    Begun, EXTERNAL_ID_BYTES_MAX, EventId, FinishedToolCall, NewToolCall, REPLY_BYTES_MAX,
    RegistryError, ToolCall, ToolCallId, ToolCallState, ToolTimes,
};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::broker::Inner;
use crate::budget::Budget;
use crate::effect::{Effect, Scene};
use crate::metrics;
use crate::permit::Permit;
use crate::plan::{Chosen, Plan};
use crate::running::Place;
use crate::words;
use crate::work::{End, Work};

/// How much longer a write may take than its caller waits: what was begun is brought to an
/// end that is known.
const LATE_MAX: Duration = Duration::from_secs(20);

/// How long a call of another node may be under way. Longer than any has: the longest
/// patience, and [`LATE_MAX`].
const LEASE: Duration = Duration::from_secs(90);

/// How often another node's call is looked after.
const POLL: Duration = Duration::from_millis(50);

/// The first wait before an end is recorded once more, and the longest: a database that was
/// away is back in seconds, and whoever asks again is waiting.
const RECORD_AGAIN: Duration = Duration::from_millis(100);
const RECORD_AGAIN_MAX: Duration = Duration::from_secs(1);

/// The longest word for how a call ended: an endpoint of a tenant's own may say any.
const STATUS_CHARS_MAX: usize = 64;

/// What is kept of a message if a reply is too long: more than anybody says in one breath.
const MESSAGE_CHARS_MAX: usize = 2_000;

/// Times that a write begins anew because another node took its effect meanwhile.
const BEGINNINGS_MAX: usize = 4;

/// What all calls of one request share.
pub(crate) struct Request {
    pub(crate) broker: Arc<Inner>,
    pub(crate) event: EventId,
    pub(crate) tenant: TenantId,
    pub(crate) source: String,
    pub(crate) provider: &'static str,
    pub(crate) conversation: Option<String>,
    pub(crate) caller: Caller,
    /// Nothing: they cannot be read, and nothing is allowed.
    pub(crate) settings: Option<Arc<Settings>>,
    pub(crate) at: Timestamp,
    pub(crate) correlation_id: String,
    pub(crate) began: Instant,
    /// How long it took until the event was on disk.
    pub(crate) stored: Duration,
    /// When the caller has waited long enough.
    pub(crate) until: Instant,
}

/// One call.
pub(crate) struct Job {
    request: Arc<Request>,
    position: u32,
    call: Call,
    chosen: Option<Chosen>,
    /// Whether the caller was answered before it ended.
    pub(crate) is_late: AtomicBool,
    /// Microseconds that its records took.
    recording: AtomicU64,
    budget: Budget,
}

/// What came of a write that was begun.
enum First {
    /// Nothing was in its way, and it ended.
    Ended(End),
    /// Another one was before it.
    Earlier(Box<ToolCall>),
}

/// What the row of an earlier call means for this one.
enum Earlier {
    /// It is the answer to this one too.
    Answers(Reply),
    /// It was done, and is undone since: this one is another generation.
    Undone,
    /// It was not done, as far as can be seen: this one is carried out under its key.
    Unmade,
}

impl Job {
    pub(crate) fn new(request: Arc<Request>, position: u32, call: Call) -> Arc<Self> {
        request.broker.jobs.send_modify(|jobs| *jobs = jobs.saturating_add(1));
        let settings = request.settings.as_deref();
        let chosen = settings.and_then(|it| Chosen::named(&call.tool, it));
        let more =
            if chosen.as_ref().is_some_and(Chosen::writes) { LATE_MAX } else { Duration::ZERO };
        let until = request.until.checked_add(more).unwrap_or(request.until);
        Arc::new(Self {
            request,
            position,
            call,
            chosen,
            is_late: AtomicBool::new(false),
            recording: AtomicU64::new(0),
            budget: Budget::until(until),
        })
    }

    pub(crate) fn writes(&self) -> bool {
        self.chosen.as_ref().is_some_and(Chosen::writes)
    }

    /// Brings the call to its end.
    pub(crate) async fn run(self: Arc<Self>) -> Reply {
        let end = self.carry_out().await;
        let (state, reply) = (end.state(), end.reply());
        let is_late = self.is_late.load(Ordering::Relaxed);
        let label = self.chosen.as_ref().map_or(metrics::OTHER, Chosen::label);
        self.request.broker.metrics.ended(label, state, self.times(), is_late);
        tracing::debug!(
            tenant.id = self.request.tenant.as_str(),
            event.id = %self.request.event,
            tool = label,
            state = state.name(),
            status = reply.status,
            is_late,
            elapsed_micros = self.times().total_us,
            correlation_id = self.request.correlation_id,
            "tool call ended"
        );
        reply.clone()
    }

    async fn carry_out(&self) -> End {
        let settings = self.request.settings.as_deref();
        let (chosen, settings, arguments) = match (&self.chosen, settings, &self.call.arguments) {
            (_, None, _) => return self.note(End::Failed(words::not_configured())).await,
            (None, ..) => return self.note(End::Refused(words::unknown_tool())).await,
            (Some(_), Some(settings), _) if !settings.allows(&self.call.tool) => {
                return self.note(End::Refused(words::not_allowed())).await;
            }
            (.., Arguments::Unreadable) => {
                return self.note(End::Refused(words::unreadable())).await;
            }
            (Some(chosen), Some(settings), Arguments::Read(arguments)) => {
                (chosen, settings, arguments)
            }
        };
        let work = self.work(settings, arguments);
        let plan = match self.request.broker.connectors.plan(chosen, &work).await {
            Ok(plan) => plan,
            Err(end) => return self.note(end).await,
        };
        match plan.business_key() {
            Some(key) => {
                let effect = Effect::of(self.scene(), key);
                self.write(&plan, &work, effect).await
            }
            None => self.read(&plan, &work).await,
        }
    }

    /// Records a call that ended before it could begin.
    async fn note(&self, end: End) -> End {
        let id = new_id();
        if self.begin(id, None).await.is_ok() {
            self.finish(id, &end);
        }
        end
    }

    async fn read(&self, plan: &Plan<'_>, work: &Work<'_>) -> End {
        let id = new_id();
        let mut running = pin!(self.request.broker.connectors.run(plan, work, None));
        match self.begin_beside(id, None, running.as_mut()).await {
            (Err(error), _) => self.unrecorded(&error),
            (Ok(_), Some(end)) => self.finished(id, end),
            (Ok(_), None) => self.finished(id, running.await),
        }
    }

    /// Carries out what changes something, unless somebody is at it already.
    async fn write(&self, plan: &Plan<'_>, work: &Work<'_>, effect: Effect) -> End {
        loop {
            match self.request.broker.running.enter(effect) {
                Place::First(first) => {
                    let end = self.lead(plan, work, effect).await;
                    first.tell(&end);
                    return end;
                }
                Place::Behind(behind) => {
                    if let Some(end) = behind.end().await {
                        self.repeat(effect, &end).await;
                        return end;
                    }
                }
            }
        }
    }

    /// The only one in this process that is at this effect.
    async fn lead(&self, plan: &Plan<'_>, work: &Work<'_>, effect: Effect) -> End {
        let Inner { store, connectors, .. } = &*self.request.broker;
        let id = new_id();
        for _ in 0..BEGINNINGS_MAX {
            let earlier = match self.first_try(id, effect, plan, work).await {
                Err(error) => return self.unrecorded(&error),
                Ok(First::Ended(end)) => return self.finished(id, end),
                Ok(First::Earlier(earlier)) if self.is_under_way(&earlier) => {
                    match self.wait_for(earlier.id).await {
                        Ok(true) => continue,
                        Ok(false) => return self.finished(id, End::Unknown(words::late(true))),
                        Err(error) => return self.finished(id, self.unrecorded(&error)),
                    }
                }
                Ok(First::Earlier(earlier)) => earlier,
            };
            let (generation, since) = match self.earlier(plan, work, &earlier).await {
                Err(end) => return self.finished(id, end),
                Ok(Earlier::Answers(reply)) => return self.finished(id, End::Done(reply)),
                Ok(Earlier::Undone) => (earlier.generation.saturating_add(1), None),
                Ok(Earlier::Unmade) => (earlier.generation, Some(earlier.started_at)),
            };
            let taking = store.registry().take_tool_effect(id, earlier.id, effect.0, generation);
            match self.recording(taking).await {
                Ok(true) => {}
                // Another node was faster; its row is the one to look at now.
                Ok(false) => continue,
                Err(error) => return self.finished(id, self.unrecorded(&error)),
            }
            let permit = Permit::granted(effect.key(generation));
            let end = connectors.run(plan, work, Some(&permit)).await;
            return match since {
                Some(since) => {
                    let end = self.looked_again(plan, work, since, end).await;
                    self.finished(id, end)
                }
                None => self.finished(id, end),
            };
        }
        self.finished(id, End::Failed(words::unavailable()))
    }

    /// Carries a write out if none is before it. It reads while its row is on its way to the
    /// disk, and writes when that is there; if another one is before it, what it read is
    /// nothing to go by, and it writes nothing.
    async fn first_try(
        &self,
        id: ToolCallId,
        effect: Effect,
        plan: &Plan<'_>,
        work: &Work<'_>,
    ) -> Result<First, RegistryError> {
        let Inner { store, connectors, .. } = &*self.request.broker;
        let permit = Permit::new(store.registry());
        let mut running = pin!(connectors.run(plan, work, Some(&permit)));
        let (begun, ended) = self.begin_beside(id, Some(effect), running.as_mut()).await;
        match begun? {
            Begun::Earlier(earlier) => Ok(First::Earlier(earlier)),
            Begun::Fresh { generation } => {
                permit.grant(effect.key(generation));
                Ok(First::Ended(match ended {
                    Some(end) => end,
                    None => running.await,
                }))
            }
        }
    }

    /// What an earlier call with the same effect, which has ended, means for this one.
    async fn earlier(
        &self,
        plan: &Plan<'_>,
        work: &Work<'_>,
        earlier: &ToolCall,
    ) -> Result<Earlier, End> {
        let connectors = &self.request.broker.connectors;
        if earlier.state == ToolCallState::Succeeded {
            let reply = earlier.reply.as_deref().and_then(|it| serde_json::from_str(it).ok());
            let Some(reply) = reply.and_then(Reply::from_json) else {
                return Ok(Earlier::Undone);
            };
            let stands = connectors.stands(plan, &reply, work).await?;
            return Ok(if stands { Earlier::Answers(reply) } else { Earlier::Undone });
        }
        let settled = connectors.settle(plan, earlier.started_at, work).await?;
        let Some(reply) = settled else {
            self.finish(earlier.id, &End::Failed(words::broken()));
            return Ok(Earlier::Unmade);
        };
        self.finish(earlier.id, &End::Done(reply.clone()));
        Ok(Earlier::Answers(reply))
    }

    /// What a second try came to, of which the first may have come through after it was looked
    /// for: then it is in its own way, and not refused.
    async fn looked_again(
        &self,
        plan: &Plan<'_>,
        work: &Work<'_>,
        since: Timestamp,
        end: End,
    ) -> End {
        if matches!(end, End::Done(_)) {
            return end;
        }
        match self.request.broker.connectors.settle(plan, since, work).await {
            Ok(Some(reply)) => End::Done(reply),
            Ok(None) => end,
            Err(_) => End::Unknown(end.reply().clone()),
        }
    }

    /// Whether another node may be at a call that has not ended. In this process nobody is, and
    /// what a crash of it left is unknown since it started.
    fn is_under_way(&self, earlier: &ToolCall) -> bool {
        let now = (self.request.broker.clock)();
        earlier.state == ToolCallState::Started && earlier.started_at.age(now) < LEASE
    }

    /// Waits until a call of another node has ended; false if that takes too long.
    async fn wait_for(&self, id: ToolCallId) -> Result<bool, RegistryError> {
        let registry = self.request.broker.store.registry();
        while self.budget.left() > POLL {
            tokio::time::sleep(POLL).await;
            let call = registry.tool_call(&Scope::Operator, id).await?;
            if call.is_none_or(|it| it.state != ToolCallState::Started) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Records that this call was answered with what came of another one.
    async fn repeat(&self, effect: Effect, end: &End) {
        let id = new_id();
        // The success before it is on record, so this row becomes a repetition of it.
        let effect = matches!(end, End::Done(_)).then_some(effect);
        if self.begin(id, effect).await.is_ok() {
            self.finish(id, end);
        }
    }

    async fn begin(&self, id: ToolCallId, effect: Option<Effect>) -> Result<Begun, RegistryError> {
        let call = self.row(id, effect);
        self.begun(id, self.request.broker.store.registry().begin_tool_call(call)).await
    }

    /// The same while the call is being carried out already; also its end, if that came first.
    async fn begin_beside(
        &self,
        id: ToolCallId,
        effect: Option<Effect>,
        running: Pin<&mut impl Future<Output = End>>,
    ) -> (Result<Begun, RegistryError>, Option<End>) {
        let registry = self.request.broker.store.registry();
        let call = self.row(id, effect);
        let mut beginning = pin!(self.begun(id, registry.begin_tool_call_beside(call)));
        tokio::select! {
            biased;
            begun = &mut beginning => (begun, None),
            end = running => {
                registry.hurry();
                (beginning.await, Some(end))
            }
        }
    }

    fn row(&self, id: ToolCallId, effect: Option<Effect>) -> NewToolCall {
        let request = &self.request;
        NewToolCall {
            id,
            event: request.event,
            position: self.position,
            tenant: request.tenant.clone(),
            source: request.source.clone(),
            provider: request.provider.to_owned(),
            conversation: request.conversation.as_deref().and_then(kept),
            agent: request.caller.agent_id.as_deref().and_then(kept),
            call_id: self.call.id.as_deref().and_then(kept),
            tool: cut(&self.call.tool, TOOL_NAME_CHARS_MAX),
            arguments: self.masked().to_string(),
            effect: effect.map(|it| it.0),
            started_at: request.at,
        }
    }

    async fn begun(
        &self,
        id: ToolCallId,
        beginning: impl Future<Output = Result<Begun, RegistryError>>,
    ) -> Result<Begun, RegistryError> {
        let begun = self.recording(beginning).await;
        if matches!(begun, Err(RegistryError::Unavailable { .. })) {
            // The row may be there all the same, and nobody carries it out.
            self.finish(id, &End::Failed(words::unavailable()));
        }
        begun
    }

    /// Records an end, and gives it.
    fn finished(&self, id: ToolCallId, end: End) -> End {
        self.finish(id, &end);
        end
    }

    /// Hands the end of a call over to be recorded, again and again while the database is
    /// away. Nobody waits for it: after a crash the row says that its end is not known, and that
    /// is found out.
    fn finish(&self, id: ToolCallId, end: &End) {
        let reply = end.reply();
        let finished = FinishedToolCall {
            id,
            state: end.state(),
            status: cut(&reply.status, STATUS_CHARS_MAX),
            reply: recorded(reply),
            late: self.is_late.load(Ordering::Relaxed),
            times: self.times(),
            finished_at: (self.request.broker.clock)(),
        };
        let registry = self.request.broker.store.registry();
        let finishing = registry.finish_tool_call(finished.clone());
        let (registry, correlation_id) = (registry.clone(), self.request.correlation_id.clone());
        tokio::spawn(async move {
            let Err(mut error) = finishing.await else { return };
            // Until then this call counts as under way, for every node; later they ask.
            let (until, mut wait) = (Instant::now() + LEASE, RECORD_AGAIN);
            while matches!(error, RegistryError::Unavailable { .. }) && Instant::now() < until {
                tokio::time::sleep(wait).await;
                wait = wait.saturating_mul(2).min(RECORD_AGAIN_MAX);
                match registry.finish_tool_call(finished.clone()).await {
                    Ok(()) => return,
                    Err(again) => error = again,
                }
            }
            tracing::error!(%error, correlation_id, "the end of a tool call is not recorded");
        });
    }

    /// Nothing is done that is not on record.
    fn unrecorded(&self, error: &RegistryError) -> End {
        tracing::error!(
            %error,
            correlation_id = self.request.correlation_id,
            "a tool call is not carried out, because it cannot be recorded"
        );
        End::Failed(words::unavailable())
    }

    /// Counts the time of a record, but for what passed while others were waited for.
    async fn recording<T>(&self, record: impl Future<Output = T>) -> T {
        let (began, outside) = (Instant::now(), self.budget.outside());
        let done = record.await;
        let outside = self.budget.outside().saturating_sub(outside);
        let spent = began.elapsed().saturating_sub(outside);
        self.recording.fetch_add(micros(spent), Ordering::Relaxed);
        done
    }

    fn times(&self) -> ToolTimes {
        ToolTimes {
            store_us: micros(self.request.stored),
            record_us: self.recording.load(Ordering::Relaxed),
            connector_us: micros(self.budget.outside()),
            total_us: micros(self.request.began.elapsed()),
        }
    }

    fn masked(&self) -> Value {
        let Arguments::Read(arguments) = &self.call.arguments else { return Value::Null };
        let called = match &self.chosen {
            Some(Chosen::BuiltIn(tool)) => Called::Ours(tool),
            Some(Chosen::Own(tool)) => Called::Own(tool),
            None => Called::Unknown,
        };
        masked(called, arguments)
    }

    fn scene(&self) -> Scene<'_> {
        let request = &*self.request;
        Scene {
            tenant: &request.tenant,
            source: &request.source,
            conversation: request.conversation.as_deref(),
            tool: &self.call.tool,
        }
    }

    fn work<'a>(&'a self, settings: &'a Settings, arguments: &'a Map<String, Value>) -> Work<'a> {
        let request = &*self.request;
        Work {
            tenant: &request.tenant,
            provider: request.provider,
            conversation: request.conversation.as_deref(),
            call: &self.call,
            arguments,
            caller: &request.caller,
            settings,
            budget: &self.budget,
            now: request.at,
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.request.broker.jobs.send_modify(|jobs| *jobs = jobs.saturating_sub(1));
    }
}

/// A reply as it is kept; without what is for programs if that is too much.
fn recorded(reply: &Reply) -> String {
    let whole = reply.to_json().to_string();
    if whole.len() <= REPLY_BYTES_MAX {
        return whole;
    }
    let message = reply.message.chars().take(MESSAGE_CHARS_MAX).collect();
    Reply { data: Map::new(), message, ..reply.clone() }.to_json().to_string()
}

/// The beginning of a word that others wrote.
fn cut(word: &str, chars_max: usize) -> String {
    visible(word).chars().take(chars_max).collect()
}

/// An id as it may be kept: what no platform sends is left out.
fn kept(id: &str) -> Option<String> {
    let is_plain = !id.is_empty() && !id.chars().any(char::is_control);
    (is_plain && id.len() <= EXTERNAL_ID_BYTES_MAX).then(|| id.to_owned())
}

fn new_id() -> ToolCallId {
    ToolCallId(Uuid::now_v7())
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
