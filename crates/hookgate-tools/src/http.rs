//! A tenant's own endpoint as a tool.
//!
//! What holds here:
//!
//! - **Values stay values.** The tenant wrote the URL, the headers and the body; a model
//!   wrote the arguments. Nothing in them changes where a request goes or what its parts are.
//! - **Credentials go one way.** They are put into headers last, after everything else was
//!   made, and taken out of whatever comes back.
//! - **Once, as far as the endpoint helps.** A write carries the same `Idempotency-Key` each
//!   time it is sent. Where nobody knows whether it arrived, that is what is said.

mod address;
mod answer;
mod credentials;
mod headers;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hookgate_core::tool::settings::HttpTool;
use hookgate_core::tool::template::{self, FILLED_BYTES_MAX};
use hookgate_egress::{Answer, Call, Egress, EgressError, Reach, Url, origin};
use hookgate_secrets::Secrets;
use http::{Method, StatusCode, header};
use serde_json::{Map, Value, json};

use self::answer::{invalid, not_configured, unavailable, unknown};
use self::headers::Headers;
use crate::budget::NoAnswer;
use crate::permit::Permit;
use crate::work::{End, Work};

/// How long an endpoint may take, all tries together, where its tenant says nothing: a
/// caller who hears nothing for longer hangs up.
const TIMEOUT_MS: u32 = 5_000;

/// How often a request is sent again. Somebody is waiting on the telephone.
const RETRIES_MAX: u32 = 2;

/// The wait before a request is sent again; three times as long before the next.
const RETRY_WAIT: Duration = Duration::from_millis(100);

/// Less time than this is not worth another try.
const WORTH: Duration = Duration::from_millis(100);

/// How much of an answer is read. More than this no model can use.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// The largest arguments, as JSON: what a template can fill in.
const ARGUMENTS_BYTES_MAX: usize = FILLED_BYTES_MAX;

/// Tenants' endpoints.
pub(crate) struct Http {
    egress: Egress,
    secrets: Arc<Secrets>,
}

/// A call of an endpoint, ready but for its headers.
pub(crate) struct HttpPlan {
    method: Method,
    url: Url,
    body: Option<Bytes>,
    /// What templates are filled in from.
    context: Value,
    business_key: Option<String>,
}

/// Why a call cannot be made.
enum Unusable {
    /// What the tenant wrote: nothing but changing it helps.
    Configuration(&'static str),
    /// What the model wrote.
    Arguments,
    /// The place that credentials come from does not answer.
    Credentials,
}

impl Http {
    /// Endpoints are reached this way, with these credentials.
    pub(crate) fn new(egress: Egress, secrets: Arc<Secrets>) -> Self {
        Self { egress, secrets }
    }

    /// Makes a call's request of its arguments. Sends nothing.
    ///
    /// # Errors
    ///
    /// How the call ended: what the tenant configured cannot be used, or the arguments
    /// cannot.
    pub(crate) fn plan(&self, tool: &HttpTool, work: &Work<'_>) -> Result<HttpPlan, End> {
        let plan = plan(tool, work).map_err(|cause| cause.end(tool, work))?;
        // A name is judged when it is resolved; an address can be judged now.
        let checked = self.egress.check(&plan.url, Reach::Public);
        let refused = Unusable::Configuration("its URL may not be reached");
        checked.map_err(|_| refused.end(tool, work))?;
        Ok(plan)
    }

    /// Calls the endpoint. What it knows a write by is the key of its permit.
    pub(crate) async fn run(
        &self,
        tool: &HttpTool,
        plan: &HttpPlan,
        work: &Work<'_>,
        permit: Option<&Permit<'_>>,
    ) -> End {
        let key = match permit {
            Some(permit) => Some(permit.key().await),
            None => None,
        };
        match headers::make(&self.secrets, tool, plan, work, key).await {
            Ok(headers) => self.call(tool, plan, work, headers).await,
            Err(cause) => cause.end(tool, work),
        }
    }

    async fn call(
        &self,
        tool: &HttpTool,
        plan: &HttpPlan,
        work: &Work<'_>,
        headers: Headers,
    ) -> End {
        let timeout = Duration::from_millis(tool.timeout_ms.unwrap_or(TIMEOUT_MS).into());
        let began = Instant::now();
        let left = || work.budget.left().min(timeout.saturating_sub(began.elapsed()));
        let mut wait = RETRY_WAIT;
        // Whether a try may have changed something.
        let mut is_doubtful = false;
        let mut retries = 0_u32;
        loop {
            let call = Call {
                method: plan.method.clone(),
                url: plan.url.clone(),
                headers: headers.map.clone(),
                body: plan.body.clone().unwrap_or_default(),
                deadline: left(),
                answer_bytes_max: ANSWER_BYTES_MAX,
                reach: Reach::Public,
            };
            let answer = work.budget.send(&self.egress, call).await;
            let said = judge(&answer);
            is_doubtful |= tool.writes && said.may_have_worked;
            if !said.is_passing {
                return match &answer {
                    Ok(answer) if answer.status.is_success() => {
                        answer::made_of(tool, &plan.context, answer, &headers.hidden)
                    }
                    _ if is_doubtful => given_up(tool, plan, work, &answer, true),
                    Ok(answer) if answer.status.is_client_error() => {
                        answer::refused(answer, &headers.hidden)
                    }
                    _ => given_up(tool, plan, work, &answer, false),
                };
            }
            let pause = said.wait.unwrap_or_default().max(wait);
            if retries == RETRIES_MAX || left() < pause.saturating_add(WORTH) {
                return given_up(tool, plan, work, &answer, is_doubtful);
            }
            tokio::time::sleep(pause).await;
            retries = retries.saturating_add(1);
            wait = wait.saturating_mul(3);
        }
    }
}

impl HttpPlan {
    /// What makes two calls the same wish within one conversation; nothing if the tool
    /// changes nothing.
    pub(crate) fn business_key(&self) -> Option<&str> {
        self.business_key.as_deref()
    }
}

impl fmt::Debug for HttpPlan {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("HttpPlan")
            .field("method", &self.method)
            .field("origin", &origin(&self.url))
            .field("body_bytes", &self.body.as_ref().map(Bytes::len))
            .finish_non_exhaustive()
    }
}

impl Unusable {
    fn end(self, tool: &HttpTool, work: &Work<'_>) -> End {
        match self {
            Self::Arguments => invalid(),
            Self::Credentials => unavailable(),
            Self::Configuration(cause) => {
                tracing::warn!(
                    tenant.id = %work.tenant,
                    tool.name = tool.name,
                    cause,
                    "a tenant's tool cannot be called: change its settings or credentials"
                );
                not_configured()
            }
        }
    }
}

fn plan(tool: &HttpTool, work: &Work<'_>) -> Result<HttpPlan, Unusable> {
    let arguments = canonical(work.arguments);
    if arguments.len() > ARGUMENTS_BYTES_MAX {
        return Err(Unusable::Arguments);
    }
    let method = Method::from_bytes(tool.method.as_bytes())
        .map_err(|_| Unusable::Configuration("its method is none"))?;
    let context = context(tool, work);
    let is_bare = tool.body.is_none() && matches!(method, Method::GET | Method::DELETE);
    let rest = is_bare.then(|| address::left_over(tool, work.arguments));
    let url = address::fill(&tool.url, &context, &rest.unwrap_or_default())?;
    let body = match &tool.body {
        _ if is_bare => None,
        Some(body) => Some(template::render(body, &context).to_string().into()),
        None => Some(context.to_string().into()),
    };
    let business_key = tool.writes.then(|| match (tool.repeatable, &work.call.id) {
        (true, Some(id)) => format!("{arguments} {id}"),
        _ => arguments,
    });
    Ok(HttpPlan { method, url, body, context, business_key })
}

/// What an endpoint is told of a call, and what its templates are filled in from.
fn context(tool: &HttpTool, work: &Work<'_>) -> Value {
    json!({
        "tool": tool.name,
        "arguments": work.arguments,
        "call": {
            "provider": work.provider,
            "conversation_id": work.conversation,
            "call_id": work.call.id,
            "agent_id": work.caller.agent_id,
            "caller_number": work.caller.number,
        },
        "tenant": work.tenant.as_str(),
    })
}

/// JSON that is the same for the same arguments, however they were written.
fn canonical(object: &Map<String, Value>) -> String {
    fn sorted(value: &Value) -> Value {
        match value {
            Value::Array(list) => list.iter().map(sorted).collect(),
            Value::Object(object) => {
                let mut members: Vec<_> = object.iter().collect();
                members.sort_by_key(|(name, _)| *name);
                members.into_iter().map(|(name, it)| (name.clone(), sorted(it))).collect()
            }
            other => other.clone(),
        }
    }
    sorted(&Value::Object(object.clone())).to_string()
}

/// What one try says.
struct Said {
    /// Whether it may go better next time.
    is_passing: bool,
    /// Whether it may have changed something, although it did not go well.
    may_have_worked: bool,
    /// How long the endpoint wants to be left alone.
    wait: Option<Duration>,
}

fn judge(answer: &Result<Answer, NoAnswer>) -> Said {
    match answer {
        Ok(answer) => {
            let status = answer.status;
            let is_broken = status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT;
            let is_passing = is_broken || status == StatusCode::TOO_MANY_REQUESTS;
            let seconds = answer.headers.get(header::RETRY_AFTER);
            let seconds = seconds.and_then(|it| it.to_str().ok()?.trim().parse().ok());
            Said { is_passing, may_have_worked: is_broken, wait: seconds.map(Duration::from_secs) }
        }
        Err(cause) => {
            let is_passing = matches!(cause, NoAnswer::Failed(cause) if cause.is_passing());
            Said { is_passing, may_have_worked: !cause.is_unsent(), wait: None }
        }
    }
}

/// The end of a call that nothing came of.
fn given_up(
    tool: &HttpTool,
    plan: &HttpPlan,
    work: &Work<'_>,
    answer: &Result<Answer, NoAnswer>,
    is_doubtful: bool,
) -> End {
    let (status, cause) = match answer {
        Ok(answer) => (Some(answer.status.as_u16()), None),
        Err(NoAnswer::Failed(cause)) => (None, Some(cause.to_string())),
        Err(NoAnswer::Spent) => (None, Some(NoAnswer::Spent.to_string())),
    };
    tracing::warn!(
        tenant.id = %work.tenant,
        tool.name = tool.name,
        origin = origin(&plan.url),
        status,
        cause,
        "a tenant's endpoint did not carry out a tool call"
    );
    let is_for_the_tenant = match answer {
        Ok(answer) => answer.status.is_redirection(),
        Err(NoAnswer::Failed(cause)) => matches!(
            cause,
            EgressError::Scheme
                | EgressError::Host
                | EgressError::Header(_)
                | EgressError::PlainHttp
                | EgressError::Refused(_)
        ),
        Err(NoAnswer::Spent) => false,
    };
    match is_for_the_tenant {
        _ if is_doubtful => unknown(),
        true => not_configured(),
        false => unavailable(),
    }
}
