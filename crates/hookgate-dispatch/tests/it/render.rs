//! What is made of an event: bytes and headers, before anything is sent.

use std::net::IpAddr;

use bytes::Bytes;
use hookgate_core::headers::Headers;
use hookgate_core::tenant::{Scope, TenantId};
use hookgate_core::time::Timestamp;
use hookgate_dispatch::render::{
    Rendered, Subject, Unrenderable, cloudevents, discord, http, ntfy, slack,
};
use hookgate_egress::Url;
use hookgate_store::{Event, EventId, Status};
use serde_json::{Value, json};
use uuid::Uuid;

const BODY: &[u8] = b"{ \"ApiKey\" : \"canary-key\",\n \"call\": {\"monitor\":{\"controlUrl\":\"https://canary\"}}, \"n\": 1.0 }";
const ID: &str = "evt_1_dst_2";

fn event() -> Event {
    let mut headers = Headers::new();
    headers.push_plain("content-type".parse().unwrap(), "application/json; charset=utf-8");
    headers.push_plain("x-retell-signature".parse().unwrap(), "v=1,d=canary");
    headers.push_plain("authorization".parse().unwrap(), "Bearer canary");
    Event {
        id: EventId(Uuid::from_u128(7)),
        seq: 1,
        source: "retell".to_owned(),
        provider: "retell".to_owned(),
        event_type: "call_ended".to_owned(),
        kind: "call.ended".to_owned(),
        external_id: None,
        tenant: Some("ada".to_owned()),
        conversation_id: Some("call_1".to_owned()),
        status: Status::Accepted,
        cause: None,
        duplicates: 0,
        duplicate_of: None,
        late: false,
        received_at: Timestamp::from_millis(1_800_000_000_000),
        correlation_id: "correlation".to_owned(),
        peer: IpAddr::from([127, 0, 0, 1]),
        method: "POST".to_owned(),
        target: "/webhook/retell".to_owned(),
        verdict: "verified".to_owned(),
        scheme: None,
        reason: None,
        signature_headers: Vec::new(),
        ownership: "owned".to_owned(),
        conflict: None,
        standing: None,
        rule: 1,
        is_enforced: true,
        url_token: None,
        claims: Vec::new(),
        decision: None,
        is_erased: false,
        headers,
        size: BODY.len() as u64,
        sha256: [0; 32],
    }
}

fn document() -> Value {
    json!({
        "version": 1,
        "kind": "call.ended",
        "transcript": [{"role": "user", "text": "what was said"}],
        "token": "canary",
    })
}

/// Everything a renderer is given, owned.
struct Case {
    event: Event,
    body: Bytes,
    document: Value,
    scope: Scope,
    replay: u32,
    public_url: Option<&'static str>,
}

impl Case {
    fn new() -> Self {
        Self {
            event: event(),
            body: Bytes::from_static(BODY),
            document: document(),
            scope: Scope::Tenant(TenantId::parse("ada").unwrap()),
            replay: 0,
            public_url: None,
        }
    }

    fn subject(&self) -> Subject<'_> {
        Subject {
            event: &self.event,
            body: &self.body,
            canonical: &self.document,
            id: ID,
            replay: self.replay,
            scope: &self.scope,
            public_url: self.public_url,
        }
    }
}

fn url() -> Url {
    "https://receiver.example/hook?a=b".parse().unwrap()
}

fn read(rendered: &Rendered) -> Value {
    serde_json::from_slice(&rendered.body).unwrap()
}

fn header<'a>(rendered: &'a Rendered, name: &str) -> Option<&'a str> {
    rendered.headers.get(name).map(|it| it.to_str().unwrap())
}

#[test]
fn raw_is_the_bytes_as_they_came_for_the_operator() {
    let case = Case { scope: Scope::Operator, ..Case::new() };
    let rendered = http::raw(&case.subject(), url()).unwrap();
    assert_eq!(rendered.body, BODY);
    assert_eq!(rendered.url, url());
    assert_eq!(header(&rendered, "content-type"), Some("application/json; charset=utf-8"));
    assert_eq!(header(&rendered, "x-hookgate-event"), Some(&*case.event.id.to_string()));
    assert_eq!(header(&rendered, "x-hookgate-source"), Some("retell"));
    assert_eq!(header(&rendered, "x-hookgate-provider"), Some("retell"));
    assert_eq!(header(&rendered, "x-hookgate-type"), Some("call_ended"));
    assert_eq!(header(&rendered, "x-hookgate-kind"), Some("call.ended"));
    assert_eq!(header(&rendered, "x-hookgate-tenant"), Some("ada"));
}

#[test]
fn raw_masks_credentials_for_a_tenant_and_nothing_else() {
    let rendered = http::raw(&Case::new().subject(), url()).unwrap();
    let expected =
        "{ \"ApiKey\" : \"***\",\n \"call\": {\"monitor\":{\"controlUrl\":\"***\"}}, \"n\": 1.0 }";
    assert_eq!(rendered.body, expected);
    assert_eq!(header(&rendered, "x-hookgate-tenant"), None);
}

#[test]
fn what_cannot_be_masked_does_not_reach_a_tenant() {
    for body in ["not json", "[1]", r#"{"a":1,"a":2}"#] {
        let case = Case { body: body.into(), ..Case::new() };
        let refused = http::raw(&case.subject(), url()).unwrap_err();
        assert_eq!(refused, Unrenderable::Unmaskable, "{body}");
        let case = Case { scope: Scope::Operator, ..case };
        assert_eq!(http::raw(&case.subject(), url()).unwrap().body, body);
    }
}

#[test]
fn no_proof_of_the_providers_is_passed_on() {
    for scope in [Scope::Operator, Case::new().scope] {
        let case = Case { scope, ..Case::new() };
        let all = [
            http::raw(&case.subject(), url()).unwrap(),
            http::canonical(&case.subject(), url()),
            cloudevents::structured(&case.subject(), url()),
        ];
        for rendered in all {
            for (name, value) in &rendered.headers {
                assert!(!value.to_str().unwrap().contains("canary"), "{name}");
            }
        }
    }
}

#[test]
fn canonical_is_type_timestamp_and_data() {
    let rendered = http::canonical(&Case::new().subject(), url());
    let mut data = document();
    data["token"] = "***".into();
    let expected =
        json!({"type": "call.ended", "timestamp": "2027-01-15T08:00:00.000Z", "data": data});
    assert_eq!(read(&rendered), expected);
    assert_eq!(header(&rendered, "content-type"), Some("application/json"));
}

#[test]
fn a_cloudevent_has_what_the_specification_requires() {
    let case = Case { public_url: Some("https://hooks.example"), replay: 2, ..Case::new() };
    let rendered = cloudevents::structured(&case.subject(), url());
    let mut data = document();
    data["token"] = "***".into();
    let expected = json!({
        "specversion": "1.0",
        "id": ID,
        "source": "https://hooks.example/in/retell",
        "type": "hookgate.call.ended",
        "time": "2027-01-15T08:00:00.000Z",
        "subject": "call_1",
        "replay": 2,
        "datacontenttype": "application/json",
        "data": data,
    });
    assert_eq!(read(&rendered), expected);
    let content_type = header(&rendered, "content-type");
    assert_eq!(content_type, Some("application/cloudevents+json; charset=utf-8"));
    assert_eq!(header(&rendered, "x-hookgate-replay"), Some("2"));
    let case = Case { public_url: None, replay: 0, ..case };
    let envelope = read(&cloudevents::structured(&case.subject(), url()));
    assert_eq!(envelope["source"], "urn:hookgate:retell");
    assert_eq!(envelope.get("replay"), None);
}

#[test]
fn nothing_of_a_sender_breaks_out_of_a_header() {
    let evil = "a\r\nx-evil: 1\0\u{7f}ü%\u{202e}";
    let mut case = Case { scope: Scope::Operator, ..Case::new() };
    case.event.event_type = evil.to_owned();
    case.event.tenant = Some(evil.repeat(100));
    let mut headers = Headers::new();
    headers.push_plain("content-type".parse().unwrap(), "text/plain\r\nx-evil: 1");
    case.event.headers = headers;
    let rendered = http::raw(&case.subject(), url()).unwrap();
    let expected = "a%0D%0Ax-evil: 1%00%7F%C3%BC%25%E2%80%AE";
    assert_eq!(header(&rendered, "x-hookgate-type"), Some(expected));
    assert_eq!(header(&rendered, "content-type"), Some("application/octet-stream"));
    assert_eq!(header(&rendered, "x-evil"), None);
    assert!(header(&rendered, "x-hookgate-tenant").unwrap().len() < 600);
    // A title is ours, whatever the kind says.
    case.event.kind = evil.to_owned();
    let rendered = ntfy::message(&case.subject(), url(), None);
    assert_eq!(header(&rendered, "title"), Some("Event"));
}

#[test]
fn by_default_a_message_says_what_happened_and_not_what_was_said() {
    let case = Case::new();
    let text = read(&slack::message(&case.subject(), url(), None))["text"].clone();
    assert_eq!(text, "Call ended: call_1 (retell, retell)");
    let content = read(&discord::message(&case.subject(), url(), None))["content"].clone();
    assert_eq!(content, "Call ended: call\\_1 (retell, retell)");
    let message = ntfy::message(&case.subject(), url(), None);
    assert_eq!(message.body, "Call ended: call_1 (retell, retell)");
    assert_eq!(header(&message, "title"), Some("Call ended"));
    for kind in hookgate_core::event::Kind::ALL {
        let mut case = Case::new();
        case.event.kind = kind.name().to_owned();
        let message = ntfy::message(&case.subject(), url(), None);
        let message = std::str::from_utf8(&message.body).unwrap();
        assert!(!message.contains("what was said"), "{message}");
        assert!(!message.contains("{{"), "{message}");
    }
}

#[test]
fn a_template_is_filled_in_from_the_event_and_its_canonical_form() {
    let template =
        "{{event.kind}} <b> {{canonical.transcript.0.text}} {{canonical.token}} {{other}}";
    let mut case = Case::new();
    case.document["transcript"][0]["text"] = "<!channel> & <https://evil|click>".into();
    let text = read(&slack::message(&case.subject(), url(), Some(template)))["text"].clone();
    let expected = "call.ended <b> &lt;!channel&gt; &amp; &lt;https://evil|click&gt; *** {{other}}";
    assert_eq!(text, expected, "only values are escaped");
    case.document["transcript"][0]["text"] = "[click](https://evil) **x**".into();
    let content =
        read(&discord::message(&case.subject(), url(), Some(template)))["content"].clone();
    let expected = r"call.ended <b> \[click\]\(https://evil\) \*\*x\*\* \*\*\* {{other}}";
    assert_eq!(content, expected);
    // Whoever shows messages refuses an empty one.
    let message = ntfy::message(&case.subject(), url(), Some(" {{canonical.nothing}}\n"));
    assert_eq!(message.body, "Call ended: call_1 (retell, retell)");
}

#[test]
fn discord_mentions_nobody_and_says_whether_it_kept_the_message() {
    let case = Case::new();
    let rendered = discord::message(&case.subject(), url(), Some("@everyone"));
    let expected = json!({"content": "@everyone", "allowed_mentions": {"parse": []}});
    assert_eq!(read(&rendered), expected);
    assert_eq!(rendered.url.as_str(), "https://receiver.example/hook?a=b&wait=true");
    let chosen: Url = "https://receiver.example/hook?wait=false".parse().unwrap();
    assert_eq!(discord::message(&case.subject(), chosen.clone(), None).url, chosen);
}

#[test]
fn a_long_message_is_cut_where_its_service_would_refuse_it() {
    let mut case = Case::new();
    let template = Some("{{canonical.text}}");
    for length in [1, 1_999, 2_000, 2_001, 4_000, 4_001, 4_096, 4_097, 20_000] {
        for text in ["x", "ü", "🦀", "&"].map(|it| it.repeat(length)) {
            case.document["text"] = text.clone().into();
            let message = ntfy::message(&case.subject(), url(), template).body;
            let message = std::str::from_utf8(&message).unwrap();
            assert!(message.len() <= 4_096);
            assert_eq!(message == text, text.len() <= 4_096);

            let content = read(&discord::message(&case.subject(), url(), template));
            let content = content["content"].as_str().unwrap();
            assert!(content.chars().count() <= 2_000);
            assert_eq!(content == text, length <= 2_000);

            let shown = read(&slack::message(&case.subject(), url(), template));
            let shown = shown["text"].as_str().unwrap();
            assert!(shown.chars().count() <= 4_000);
            assert_eq!(shown.matches('&').count(), shown.matches("&amp;").count(), "cut between");
        }
    }
}
