//! The record of tool calls: what was asked for, durable before it is carried out, and what
//! came of it. It is what keeps a write from being made twice.
//!
//! What holds:
//!
//! - **An effect has one attempt at a time.** The latest row that has an effect says how far
//!   it is; a new attempt gets the effect only when that one failed for sure, or by
//!   [`Registry::take_tool_effect`], of which one caller alone is told `true`.
//! - **What a crash left is unknown.** Nothing is carried out twice because of it.
//! - **Changes share transactions** (see [`super::batch`]); each is durable before its future
//!   ends.

use crate::sql::{self, Connection, OptionalExtension, Row, Value, params, params_from_iter};
use std::time::Duration;

use hookgate_core::tenant::Scope;
use hookgate_core::time::Timestamp;
use uuid::Uuid;

use super::batch::Wanted;
use super::error::Stop;
use super::tool_call::{
    ARGUMENTS_BYTES_MAX, Begun, FinishedToolCall, NewToolCall, REPLY_BYTES_MAX, ToolCall,
    ToolCallFilter, ToolCallId, ToolCallState, ToolTimes,
};
use super::{ErasureTarget, Registry, RegistryError, columns, tenants, text};
use crate::record::EventId;

/// How long after it began a tool call is under way no more, whatever became of its node: ten
/// times the longest patience that can be configured, so that the clocks of nodes may differ.
const ABANDONED_AFTER: Duration = Duration::from_mins(10);

/// Rows erased in one transaction: tool calls that are made meanwhile wait for it.
const ERASED_AT_ONCE: u32 = 512;

const COLUMNS: &str = "n, id, event, position, tenant, source, provider, conversation, agent, \
                       call_id, tool, arguments, effect, generation, state, status, reply, \
                       repeats, late, store_us, record_us, connector_us, total_us, started_at, \
                       finished_at";

impl Registry {
    /// Keeps a tool call that is about to be carried out, unless one with its effect was,
    /// may have been, or is about to be: then it is kept as a repetition of that one. A
    /// repetition may begin again under its id; its row is made anew.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`]: nothing is kept, so nothing is to be carried out.
    pub async fn begin_tool_call(&self, call: NewToolCall) -> Result<Begun, RegistryError> {
        self.begin_by(call, Wanted::WhileWaited).await
    }

    /// The same for who has something else to do meanwhile: it may wait for others to share a
    /// sync of the disk with, until somebody calls [`Self::hurry`].
    ///
    /// # Errors
    ///
    /// A [`RegistryError`], as above.
    pub async fn begin_tool_call_beside(&self, call: NewToolCall) -> Result<Begun, RegistryError> {
        self.begin_by(call, Wanted::Beside).await
    }

    async fn begin_by(&self, call: NewToolCall, wanted: Wanted) -> Result<Begun, RegistryError> {
        let provider = check(&call)?;
        let change = move |connection: &Connection| begin(connection, &call, provider);
        self.enqueue("keeping a tool call", wanted, change).await
    }

    /// Gives the effect to a call that was kept as a repetition of `earlier`, with this
    /// generation: it is to be carried out after all. `false`: another call has the effect
    /// meanwhile.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`]; `NotFound` when the call is not there, has ended, or is no
    /// repetition of `earlier`.
    pub async fn take_tool_effect(
        &self,
        id: ToolCallId,
        earlier: ToolCallId,
        effect: [u8; 32],
        generation: u32,
    ) -> Result<bool, RegistryError> {
        let change = move |connection: &Connection| {
            if latest(connection, &effect)?.is_none_or(|it| it.id != earlier) {
                return Ok(false);
            }
            let mut update = connection.prepare_cached(
                "UPDATE tool_calls SET effect = ?2, generation = ?3, repeats = NULL \
                 WHERE id = ?1 AND state = 'started' AND repeats = ?4",
            )?;
            // It is behind the one that it repeats, so it is the latest then.
            let values = params![id.0.as_bytes(), effect, generation, earlier.0.as_bytes()];
            if update.execute(values)? == 0 {
                return Err(RegistryError::NotFound.into());
            }
            Ok(true)
        };
        self.enqueue("taking over a tool call", Wanted::WhileWaited, change).await
    }

    /// Keeps how a tool call ended. It is queued when this is called, and done whether or not
    /// anybody waits for it; the last one of a call counts. One that is not there any more
    /// was erased, which is no error.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`].
    pub fn finish_tool_call(
        &self,
        finished: FinishedToolCall,
    ) -> impl Future<Output = Result<(), RegistryError>> + Send + 'static + use<> {
        let change = move |connection: &Connection| finish(connection, &finished);
        self.enqueue("keeping the end of a tool call", Wanted::Sometime, change)
    }

    /// A page of tool calls, the newest first: those before the one at this place.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Unavailable`].
    pub async fn tool_calls(
        &self,
        scope: &Scope,
        filter: ToolCallFilter,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<ToolCall>, RegistryError> {
        let mut wanted = Wanting::of(scope);
        wanted.add_filter(filter);
        if let Some(before) = before {
            wanted.add("n < ?", whole(before));
        }
        wanted.end("ORDER BY n DESC LIMIT ?", whole(limit as u64));
        self.read_tool_calls(wanted).await
    }

    /// One tool call.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Unavailable`].
    pub async fn tool_call(
        &self,
        scope: &Scope,
        id: ToolCallId,
    ) -> Result<Option<ToolCall>, RegistryError> {
        let mut wanted = Wanting::of(scope);
        wanted.add("id = ?", Value::Blob(id.0.as_bytes().to_vec()));
        Ok(self.read_tool_calls(wanted).await?.pop())
    }

    /// The tool calls of an event, in the order of its request.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Unavailable`].
    pub async fn tool_calls_of(
        &self,
        scope: &Scope,
        event: EventId,
    ) -> Result<Vec<ToolCall>, RegistryError> {
        let mut wanted = Wanting::of(scope);
        wanted.add("event = ?", Value::Blob(event.0.as_bytes().to_vec()));
        wanted.text.push_str(" ORDER BY position, n");
        self.read_tool_calls(wanted).await
    }

    async fn read_tool_calls(&self, wanted: Wanting) -> Result<Vec<ToolCall>, RegistryError> {
        let doing = "reading tool calls";
        self.blocking(doing, move |registry| {
            // What was queued before is seen.
            registry.commit_waiting();
            registry.read_as(&wanted.scope, doing, |connection| {
                let select = format!("SELECT {COLUMNS} FROM tool_calls {}", wanted.text);
                let mut statement = connection.prepare_cached(&select)?;
                let rows = statement.query_map(params_from_iter(&wanted.values), row)?;
                Ok(rows.collect::<Result<_, _>>()?)
            })
        })
        .await
    }

    /// Notes that nobody knows the end of what was under way when the process ended. For who
    /// has the store alone. Blocks.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`].
    pub(crate) fn note_interrupted(&self) -> Result<usize, RegistryError> {
        self.write_now("noting interrupted tool calls", |connection| {
            let update = "UPDATE tool_calls SET state = 'unknown' WHERE state = 'started'";
            Ok((connection.execute(update, [])?, Vec::new()))
        })
    }

    /// Notes that nobody knows the end of what was under way for longer than any call is: its
    /// node is gone. For a node that has the store with others. Blocks.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`].
    pub(crate) fn note_abandoned(&self, now: Timestamp) -> Result<usize, RegistryError> {
        let after = i64::try_from(ABANDONED_AFTER.as_millis()).unwrap_or(i64::MAX);
        let before = now.millis().saturating_sub(after);
        let doing = "noting abandoned tool calls";
        // Mostly there are none, and then nobody's lock is taken.
        let any = "SELECT 1 FROM tool_calls WHERE state = 'started' AND started_at < ?1 LIMIT 1";
        if !self.read_now(doing, |it| Ok(it.prepare_cached(any)?.exists([before])?))? {
            return Ok(0);
        }
        self.write_now(doing, |connection| {
            let update = "UPDATE tool_calls SET state = 'unknown' \
                          WHERE state = 'started' AND started_at < ?1";
            Ok((connection.execute(update, [before])?, Vec::new()))
        })
    }

    /// Erases the tool calls of what is erased, some at a time. Blocks.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`].
    pub(crate) fn erase_tool_calls(&self, target: &ErasureTarget) -> Result<(), RegistryError> {
        let (wanted, values) = target.rows("started_at");
        let delete = format!(
            "DELETE FROM tool_calls WHERE n IN \
             (SELECT n FROM tool_calls WHERE {wanted} LIMIT {ERASED_AT_ONCE})"
        );
        // Most erasures have none, and then nothing is written.
        while self.has_tool_calls(target)? {
            self.write_now("erasing tool calls", |connection| {
                connection.prepare_cached(&delete)?.execute(params_from_iter(&values))?;
                Ok(((), Vec::new()))
            })?;
        }
        Ok(())
    }

    /// Whether there are tool calls that an erasure is about. Blocks.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Unavailable`].
    pub(crate) fn has_tool_calls(&self, target: &ErasureTarget) -> Result<bool, RegistryError> {
        let (wanted, values) = target.rows("started_at");
        self.read_now("looking for tool calls", |connection| {
            let any = format!("SELECT 1 FROM tool_calls WHERE {wanted}");
            Ok(connection.prepare_cached(&any)?.exists(params_from_iter(&values))?)
        })
    }
}

/// What is read, as SQL.
struct Wanting {
    scope: Scope,
    text: String,
    values: Vec<Value>,
}

impl Wanting {
    /// Whatever a scope covers.
    fn of(scope: &Scope) -> Self {
        let text = "WHERE TRUE".to_owned();
        let mut wanted = Self { scope: scope.clone(), text, values: Vec::new() };
        if let Some(tenant) = scope.tenant() {
            wanted.add("tenant = ?", Value::Text(tenant.to_string()));
        }
        wanted
    }

    fn add(&mut self, condition: &str, value: Value) {
        self.text.push_str(" AND ");
        self.text.push_str(condition);
        self.values.push(value);
    }

    fn end(&mut self, text: &str, value: Value) {
        self.text.push(' ');
        self.text.push_str(text);
        self.values.push(value);
    }

    fn add_filter(&mut self, filter: ToolCallFilter) {
        let texts = [
            ("tenant = ?", filter.tenant),
            ("tool = ?", filter.tool),
            ("state = ?", filter.state.map(|it| it.name().to_owned())),
            ("provider = ?", filter.provider),
            ("source = ?", filter.source),
            ("conversation = ?", filter.conversation),
        ];
        for (condition, text) in texts {
            if let Some(text) = text {
                self.add(condition, Value::Text(text));
            }
        }
        let times = [("started_at >= ?", filter.since), ("started_at < ?", filter.until)];
        for (condition, time) in times {
            if let Some(time) = time {
                self.add(condition, Value::Integer(time.millis()));
            }
        }
    }
}

fn whole(number: u64) -> Value {
    Value::Integer(signed(number))
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn check(call: &NewToolCall) -> Result<&'static str, RegistryError> {
    text::check_source_name(&call.source)?;
    let provider = text::check_provider(&call.provider)?;
    for id in [&call.conversation, &call.agent, &call.call_id].into_iter().flatten() {
        text::check_external_id(id)?;
    }
    text::check_tool(&call.tool)?;
    if call.arguments.len() > ARGUMENTS_BYTES_MAX {
        return Err(RegistryError::Invalid("the arguments of a tool call are too long"));
    }
    Ok(provider)
}

fn begin(connection: &Connection, call: &NewToolCall, provider: &str) -> Result<Begun, Stop> {
    tenants::check_alive(connection, &call.tenant)?;
    let id = call.id.0.as_bytes();
    let again =
        "DELETE FROM tool_calls WHERE id = ?1 AND repeats IS NOT NULL AND state = 'started'";
    connection.prepare_cached(again)?.execute([id])?;
    let mut effect = call.effect;
    let mut repeats = None;
    let begun = match effect.map(|it| latest(connection, &it)).transpose()?.flatten() {
        None => Begun::Fresh { generation: u32::from(effect.is_some()) },
        Some(latest) => match latest.state {
            ToolCallState::Failed | ToolCallState::Refused => {
                Begun::Fresh { generation: latest.generation.saturating_add(1) }
            }
            ToolCallState::Succeeded | ToolCallState::Started | ToolCallState::Unknown => {
                effect = None;
                repeats = Some(latest.id);
                Begun::Earlier(Box::new(latest))
            }
        },
    };
    let generation = match begun {
        Begun::Fresh { generation } => generation,
        Begun::Earlier(_) => 0,
    };
    let mut insert = connection.prepare_cached(
        "INSERT INTO tool_calls (id, event, position, tenant, source, provider, conversation, \
         agent, call_id, tool, arguments, effect, generation, state, repeats, started_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, 'started', ?14, ?15)",
    )?;
    let inserted = insert.execute(params![
        id,
        call.event.0.as_bytes(),
        call.position,
        call.tenant.as_str(),
        call.source,
        provider,
        call.conversation,
        call.agent,
        call.call_id,
        call.tool,
        call.arguments,
        effect,
        generation,
        repeats.map(|it| it.0.into_bytes()),
        call.started_at.millis()
    ]);
    match inserted {
        Ok(_) => Ok(begun),
        Err(error) if error.is_constraint() => Err(RegistryError::Taken.into()),
        Err(error) => Err(error.into()),
    }
}

fn finish(connection: &Connection, finished: &FinishedToolCall) -> Result<(), Stop> {
    if finished.state == ToolCallState::Started {
        return Err(RegistryError::Invalid("a tool call does not end by being started").into());
    }
    if finished.reply.len() > REPLY_BYTES_MAX {
        return Err(RegistryError::Invalid("the reply to a tool call is too long").into());
    }
    text::check_name(&finished.status)?;
    let mut update = connection.prepare_cached(
        "UPDATE tool_calls SET state = ?2, status = ?3, reply = ?4, late = ?5, store_us = ?6, \
         record_us = ?7, connector_us = ?8, total_us = ?9, finished_at = ?10 WHERE id = ?1",
    )?;
    let ToolTimes { store_us, record_us, connector_us, total_us } = finished.times;
    update.execute(params![
        finished.id.0.as_bytes(),
        finished.state.name(),
        finished.status,
        finished.reply,
        finished.late,
        signed(store_us),
        signed(record_us),
        signed(connector_us),
        signed(total_us),
        finished.finished_at.millis()
    ])?;
    Ok(())
}

/// The latest call that has this effect.
fn latest(connection: &Connection, effect: &[u8; 32]) -> Result<Option<ToolCall>, sql::Error> {
    let select =
        format!("SELECT {COLUMNS} FROM tool_calls WHERE effect = ?1 ORDER BY n DESC LIMIT 1");
    connection.prepare_cached(&select)?.query_row([effect], row).optional()
}

fn row(row: &Row<'_>) -> Result<ToolCall, sql::Error> {
    let state = ToolCallState::named(row.get_ref("state")?.as_str()?);
    let id = |bytes| ToolCallId(Uuid::from_bytes(bytes));
    Ok(ToolCall {
        n: columns::number(row)?,
        id: id(row.get("id")?),
        event: EventId(Uuid::from_bytes(row.get("event")?)),
        position: row.get("position")?,
        tenant: row.get("tenant")?,
        source: row.get("source")?,
        provider: row.get("provider")?,
        conversation: row.get("conversation")?,
        agent: row.get("agent")?,
        call_id: row.get("call_id")?,
        tool: row.get("tool")?,
        arguments: row.get("arguments")?,
        effect: row.get("effect")?,
        generation: row.get("generation")?,
        state: state.ok_or_else(|| sql::Error::unreadable("state"))?,
        status: row.get("status")?,
        reply: row.get("reply")?,
        repeats: row.get::<_, Option<_>>("repeats")?.map(id),
        late: row.get("late")?,
        times: ToolTimes {
            store_us: columns::whole(row, "store_us")?,
            record_us: columns::whole(row, "record_us")?,
            connector_us: columns::whole(row, "connector_us")?,
            total_us: columns::whole(row, "total_us")?,
        },
        started_at: columns::time(row, "started_at")?,
        finished_at: columns::time_if_any(row, "finished_at")?,
    })
}
