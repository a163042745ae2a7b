//! Calls of tools as each platform makes them, for `hookgate send`.

use anyhow::Context as _;
use hookgate_core::provider::Provider;
use hookgate_core::time::Timestamp;
use hookgate_core::tool::{canonical, catalog};
use jiff::ToSpan as _;
use jiff::civil::Date;
use serde_json::{Map, Value, json};

use crate::output::remark;

/// The agent of Retell's samples.
const RETELL_AGENT: &str = "elite-barbershop-main";

/// Who calls: the one customer of the stand-in Square.
const CALLER: &str = "+12125550123";

/// Whom they call.
const CALLED: &str = "+12125550100";

/// The booking that the stand-in Square begins with.
const BOOKING: &str = "BOOKING#123";

/// A call of this tool, or nothing if the provider calls none.
pub(super) fn sample(
    provider: &Provider,
    tool: &str,
    now: Timestamp,
) -> anyhow::Result<Option<Value>> {
    if provider.calls.is_none() {
        return Ok(None);
    }
    let tool = canonical(tool);
    // Retell's seed has a form of its own for one tool.
    let own = format!("{}{tool}", super::TOOL);
    if let Some((_, text)) = provider.samples.iter().find(|it| it.0 == own) {
        let body = serde_json::from_str(text).context("the sample is not JSON")?;
        return Ok(Some(body));
    }
    let arguments = arguments(&tool, now)?;
    Ok(match provider.name {
        "retell" => Some(retell(&tool, &arguments)),
        "vapi" => Some(vapi(provider, &tool, &arguments)?),
        "elevenlabs" => Some(elevenlabs(arguments)),
        _ => None,
    })
}

/// What a model would fill in.
fn arguments(tool: &str, now: Timestamp) -> anyhow::Result<Map<String, Value>> {
    let day = |n: usize| workday(now, n);
    let arguments = match catalog::named(tool).map(|it| it.name) {
        Some("bookings_availability") => json!({"service": "Haircut", "date": day(1)?.to_string()}),
        Some("bookings_create") => json!({
            "service": "Haircut",
            "start_at": format!("{}T11:00", day(1)?),
            "name": "Ada Example",
            "phone": CALLER,
        }),
        Some("bookings_reschedule") => {
            json!({"booking_id": BOOKING, "start_at": format!("{}T14:00", day(2)?)})
        }
        Some("bookings_cancel") => json!({"booking_id": BOOKING}),
        Some("bookings_list") => json!({"limit": 5}),
        Some("services_list") => json!({}),
        Some("customers_find") => json!({"phone": CALLER, "name": "Ada Example"}),
        _ => {
            remark(format_args!(
                "{} is none of Hookgate's own tools: it is called without arguments.",
                hookgate_core::mask::visible(tool)
            ));
            json!({})
        }
    };
    Ok(arguments.as_object().cloned().unwrap_or_default())
}

/// The `n`th day of work after today, when the stand-in's shop is open.
fn workday(now: Timestamp, n: usize) -> anyhow::Result<Date> {
    let now = jiff::Timestamp::from_millisecond(now.millis()).context("the clock is off")?;
    let today = now.to_zoned(jiff::tz::TimeZone::UTC).date();
    let is_workday = |it: &Date| it.weekday().to_monday_zero_offset() < 5;
    let mut days = today.series(1.day()).skip(1).filter(is_workday);
    days.nth(n.saturating_sub(1)).context("there is no such day")
}

fn retell(tool: &str, arguments: &Map<String, Value>) -> Value {
    let said = Value::Object(arguments.clone()).to_string();
    json!({
        "name": tool,
        "args": arguments,
        "call": {
            "call_type": "phone_call",
            "call_id": "call_123abc",
            "agent_id": RETELL_AGENT,
            "call_status": "ongoing",
            "direction": "inbound",
            "from_number": CALLER,
            "to_number": CALLED,
            "transcript_with_tool_calls": [{
                "role": "tool_call_invocation",
                "tool_call_id": "tool_call_abc123",
                "name": tool,
                "arguments": said,
            }],
        },
    })
}

/// Vapi's sample of such a message, with this call alone.
fn vapi(provider: &Provider, tool: &str, arguments: &Map<String, Value>) -> anyhow::Result<Value> {
    let sample = provider.samples.iter().find(|it| it.0 == "tool-calls");
    let (_, text) = sample.context("Vapi has no sample of tool calls")?;
    let mut body: Value = serde_json::from_str(text).context("the sample is not JSON")?;
    let message = body.get_mut("message").and_then(Value::as_object_mut);
    let message = message.context("the sample has no message")?;
    message.remove("toolWithToolCallList");
    let said = Value::Object(arguments.clone()).to_string();
    let call = json!({
        "id": "toolu_01DTPAzUm5Gk3zxrpJ969oMF",
        "type": "function",
        "function": { "name": tool, "arguments": said },
    });
    message.insert("toolCallList".to_owned(), json!([call]));
    for at in ["/message/customer/number", "/message/call/customer/number"] {
        *body.pointer_mut(at).context("the sample has no customer")? = CALLER.into();
    }
    Ok(body)
}

/// The arguments, and what the platform fills in beside them.
fn elevenlabs(mut arguments: Map<String, Value>) -> Value {
    for (name, value) in [
        ("system__agent_id", "agent_01jzq0f3k8e7w9t2m5n6p7r8s9"),
        ("system__conversation_id", "conv_01jzq0f3k8e7w9t2m5n6p7r8s9"),
        ("system__caller_id", CALLER),
    ] {
        arguments.insert(name.to_owned(), value.into());
    }
    Value::Object(arguments)
}

#[cfg(test)]
mod tests {
    use hookgate_core::provider;
    use hookgate_core::tool::{Arguments, Asked};

    use super::*;

    #[test]
    fn every_tool_is_called_with_all_that_it_needs() {
        // A Friday: the days of work that follow are Monday and Tuesday.
        let friday = Timestamp::parse("2026-11-20T23:00:00Z").unwrap();
        assert_eq!(workday(friday, 2).unwrap().to_string(), "2026-11-24");
        for platform in provider::ALL {
            let Some(calls) = &platform.calls else {
                assert_eq!(sample(platform, "bookings_cancel", friday).unwrap(), None);
                continue;
            };
            for tool in catalog::ALL {
                let body = sample(platform, tool.name, friday).unwrap().unwrap().to_string();
                let asked = Asked { tool: Some(tool.name), query: "", body: body.as_bytes() };
                let order = (calls.decode)(&asked);
                assert_eq!(order.calls.len(), 1);
                assert_eq!(order.calls[0].tool, tool.name);
                let Arguments::Read(given) = &order.calls[0].arguments else { panic!("{body}") };
                for argument in tool.arguments.iter().filter(|it| it.is_required) {
                    assert!(given.contains_key(argument.name), "{body}");
                }
                let is_known = |it: &String| tool.arguments.iter().any(|known| known.name == it);
                assert!(given.keys().all(is_known), "{body}");
            }
        }
    }
}
