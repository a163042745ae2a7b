//! What a platform is told that asks how to go on: which assistant takes a call, where it is
//! transferred to, what an agent knows when it picks up. A tenant writes it as a template.

use hookgate_core::event::Answer;
use hookgate_core::tenant::TenantId;
use hookgate_core::tool::settings::Settings;
use hookgate_core::tool::template::{lookup, render};
use serde_json::{Value, json};

/// Where the platforms write the number of the person who calls. The first that is there
/// counts.
const CALLER: [&str; 7] = [
    "message.customer.number",
    "message.call.customer.number",
    "customer.number",
    "call.customer.number",
    "call_inbound.from_number",
    "chat_inbound.from_number",
    "caller_id",
];

/// What templates are filled in from: the request itself, and what is known beside.
pub(crate) fn context(tenant: &TenantId, provider: &str, body: &[u8]) -> Value {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let caller = CALLER.iter().find_map(|path| lookup(&body, path)?.as_str()).map(str::to_owned);
    json!({"body": body, "tenant": tenant.as_str(), "provider": provider, "caller": caller})
}

/// The tenant's answer to a request of this type; nothing if it wrote none, or one that is no
/// JSON object: no platform takes anything else.
pub(crate) fn answer(settings: &Settings, event_type: &str, context: &Value) -> Option<Answer> {
    let exact = settings.answers.get(event_type);
    let alike = || settings.answers.iter().find(|(name, _)| plain(name) == plain(event_type));
    let template = exact.or_else(|| alike().map(|(_, template)| template))?;
    let rendered = render(template, context);
    rendered.is_object().then(|| Answer::json(&rendered))
}

/// A type's name with `_` for what separates words in others.
fn plain(name: &str) -> String {
    name.replace(['-', '.'], "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    macro_rules! sample {
        ($name:literal) => {
            include_str!(concat!("../../hookgate-core/samples/", $name, ".json"))
        };
    }

    /// What is answered to a sample's request.
    #[track_caller]
    fn answered(provider: &str, answers: &Value, event_type: &str, request: &str) -> Option<Value> {
        let settings = Settings::read(json!({ "answers": answers })).unwrap();
        let tenant = TenantId::parse("acme").unwrap();
        let answer = answer(&settings, event_type, &context(&tenant, provider, request.as_bytes()));
        let answer = answer?;
        assert_eq!(answer.status, 200);
        Some(serde_json::from_str(&answer.body).unwrap())
    }

    #[test]
    fn vapi_is_told_which_assistant_takes_a_call() {
        let answers = json!({"assistant-request": {
            "assistantId": "asst_1",
            "assistantOverrides": {
                "variableValues": {
                    "customer_name": "{{body.message.customer.name|there}}",
                    "called": "{{body.message.phoneNumber.number}}",
                    "caller": "{{caller}}", "tenant": "{{tenant}}", "provider": "{{provider}}",
                },
                "firstMessage": "Hi {{customer_name}}!",
            },
        }});
        let told =
            answered("vapi", &answers, "assistant-request", sample!("vapi/assistant-request"));
        let expected = json!({
            "assistantId": "asst_1",
            "assistantOverrides": {
                "variableValues": {
                    "customer_name": "Ann", "called": "+14155550100", "caller": "+14155550142",
                    "tenant": "acme", "provider": "vapi",
                },
                // Vapi's own variable.
                "firstMessage": "Hi {{customer_name}}!",
            },
        });
        assert_eq!(told, Some(expected));
    }

    #[test]
    fn vapi_is_told_where_to_transfer_to() {
        let destination = json!({"type": "number", "number": "+15559998888"});
        let answers = json!({"transfer_destination_request": {
            "destination": destination, "message": "One moment, {{caller|please}}.",
        }});
        let request = sample!("vapi/transfer-destination-request");
        let told = answered("vapi", &answers, "transfer-destination-request", request).unwrap();
        assert_eq!(told["destination"], destination);
        assert!(told["message"].as_str().is_some_and(|it| it.starts_with("One moment, ")));
    }

    #[test]
    fn retell_is_told_who_calls() {
        // The answer that Retell's documentation shows, with what is known of the call.
        let mut template: Value =
            serde_json::from_str(sample!("retell/call_inbound.response")).unwrap();
        let inbound = &mut template["call_inbound"];
        inbound["dynamic_variables"] =
            json!({"from": "{{caller}}", "to": "{{body.call_inbound.to_number}}"});
        inbound["override_agent_id"] = json!("{{body.call_inbound.agent_id}}");
        let mut expected = template.clone();
        expected["call_inbound"]["dynamic_variables"] =
            json!({"from": "+12137771234", "to": "+12137771235"});
        expected["call_inbound"]["override_agent_id"] = json!("agent_12345");

        let answers = json!({ "call_inbound": template });
        let told =
            answered("retell", &answers, "call_inbound", sample!("retell/call_inbound.request"));
        assert_eq!(told, Some(expected));
    }

    #[test]
    fn elevenlabs_is_told_what_an_agent_knows() {
        let answers = json!({"conversation.initiation": {
            "type": "conversation_initiation_client_data",
            "dynamic_variables": {"caller": "{{caller}}", "call": "{{body.call_sid}}"},
        }});
        let request = sample!("elevenlabs/initiation_webhook.request");
        let told = answered("elevenlabs", &answers, "conversation_initiation", request).unwrap();
        assert_eq!(
            told["dynamic_variables"],
            json!({"caller": "+15551234567", "call": "CA8367245817625817632576245724"})
        );
    }

    #[test]
    fn nothing_is_said_that_nobody_wrote() {
        let request = sample!("retell/call_inbound.request");
        for answers in
            [json!({}), json!({"chat_inbound": {}}), json!({"call_inbound": "{{caller}}"})]
        {
            assert_eq!(answered("retell", &answers, "call_inbound", request), None, "{answers}");
        }
    }

    #[test]
    fn the_exact_name_goes_before_one_that_is_alike() {
        let answers = json!({"a-b": {"n": 1}, "a.b": {"n": 2}, "a_b": {"n": 3}});
        for (name, n) in [("a-b", 1), ("a.b", 2), ("a_b", 3)] {
            assert_eq!(answered("vapi", &answers, name, "{}"), Some(json!({ "n": n })));
        }
    }

    #[test]
    fn a_callers_words_stay_words() {
        let answers =
            json!({"x": {"name": "Hi {{body.customer.name}}", "no": "{{body.customer.no}}"}});
        let request = r#"{"customer":{"name":"\",\"admin\":true,\"{{tenant}}\""}}"#;
        let told = answered("vapi", &answers, "x", request);
        let name = "Hi \",\"admin\":true,\"{{tenant}}\"";
        assert_eq!(told, Some(json!({"name": name, "no": null})));
    }
}
