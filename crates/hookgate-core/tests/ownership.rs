//! Whose an event is: an attack matrix over every provider, and random histories of a
//! registry. One promise holds over all of them: no event becomes a tenant's that names
//! something of another, or is not proven, and no refused event stands in for a genuine one.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test may fail, and says how much it tried"
)]

mod registry;

use std::sync::Arc;

use bytes::Bytes;
use hookgate_core::attribution::{
    AgentMatch, Attributed, Cause, Consulted, Content, Origin, Ownership, OwnershipMode,
    Quarantined, Rule, Told, read,
};
use hookgate_core::event::ClaimKind;
use hookgate_core::headers::Headers;
use hookgate_core::received::{Body, Received, Token};
use hookgate_core::secret::Secrets;
use hookgate_core::source::{Source, Verification};
use hookgate_core::tenant::TenantId;
use hookgate_core::time::Timestamp;
use hookgate_core::verify::{Envelope, Examination};
use hookgate_core::{named, provider};
use proptest::prelude::*;
use registry::Registry;
use serde_json::json;

const SECRET: &str = "the secret of both tenants' workspace";

/// What stands in the place of an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Id {
    Own,
    Foreign,
    Unknown,
    Missing,
    Duplicated,
    WrongType,
    /// The foreign id, under a key that is written with an escape.
    Escaped,
}

impl Id {
    const ALL: [Self; 7] = [
        Self::Own,
        Self::Foreign,
        Self::Unknown,
        Self::Missing,
        Self::Duplicated,
        Self::WrongType,
        Self::Escaped,
    ];

    /// The member of an object, with a comma behind it.
    fn member(self, key: &str, name: &str) -> String {
        let escaped = format!("\\u{:04x}{}", u32::from(key.as_bytes()[0]), &key[1..]);
        match self {
            Self::Own => format!(r#""{key}":"{name}-a","#),
            Self::Foreign => format!(r#""{key}":"{name}-b","#),
            Self::Unknown => format!(r#""{key}":"{name}-x","#),
            Self::Missing => String::new(),
            Self::Duplicated => format!(r#""{key}":"{name}-a","{key}":"{name}-b","#),
            Self::WrongType => format!(r#""{key}":{{"of":"{name}-b"}},"#),
            Self::Escaped => format!(r#""{escaped}":"{name}-b","#),
        }
    }

    fn is_foreign(self) -> bool {
        matches!(self, Self::Foreign | Self::Escaped)
    }

    fn is_malformed(self) -> bool {
        matches!(self, Self::Duplicated | Self::WrongType)
    }
}

/// How a request proves itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proof {
    Right,
    Wrong,
    Missing,
}

/// A body of a provider with these ids in the places of call, agent and number.
fn body(provider: &str, call: Id, agent: Id, phone: Id) -> String {
    match provider {
        "vapi" => format!(
            r#"{{"message":{{"type":"status-update","status":"ended","call":{{{}{}{}"n":1}}}}}}"#,
            call.member("id", "call"),
            agent.member("assistantId", "agent"),
            phone.member("phoneNumberId", "phone"),
        ),
        "elevenlabs" => format!(
            r#"{{"type":"post_call_transcription","event_timestamp":1,"data":{{{}{}"metadata":{{"phone_call":{{{}"n":1}}}}}}}}"#,
            call.member("conversation_id", "call"),
            agent.member("agent_id", "agent"),
            phone.member("phone_number_id", "phone"),
        ),
        "retell" => format!(
            r#"{{"event":"call_ended","call":{{"direction":"inbound",{}{}{}"n":1}}}}"#,
            call.member("call_id", "call"),
            agent.member("agent_id", "agent"),
            phone.member("to_number", "phone"),
        ),
        "tawk" => format!(
            r#"{{"event":"chat:start",{}"property":{{{}"n":1}},{}"n":1}}"#,
            call.member("chatId", "call"),
            agent.member("id", "agent"),
            phone.member("phone", "phone"),
        ),
        _ => format!(
            r#"{{"event":"call.completed",{}{}{}"n":1}}"#,
            call.member("call_id", "call"),
            agent.member("org_id", "agent"),
            phone.member("integration_id", "phone"),
        ),
    }
}

/// The kinds of id that stand in these three places, where the provider attests them.
fn kinds(provider: &str) -> [Option<ClaimKind>; 3] {
    use ClaimKind::{Agent, Conversation, Integration, Organization, PhoneNumber, Property};
    match provider {
        "tawk" => [None, Some(Property), None],
        "mightycall" => [None, Some(Organization), Some(Integration)],
        _ => [Some(Conversation), Some(Agent), Some(PhoneNumber)],
    }
}

fn tenant(id: &str) -> TenantId {
    TenantId::parse(id).unwrap()
}

fn source(provider_name: &str, rule: Rule) -> Arc<Source> {
    let policy = named::policy("vapi.token", &json!({})).unwrap();
    let row = provider::named(provider_name).unwrap();
    let secrets = Secrets::from_text(&SECRET.replace(' ', "-"), "");
    let mut source = Source::new(provider_name, row, policy, secrets, Verification::Enforce);
    source.rule = rule;
    Arc::new(source)
}

struct Request<'a> {
    source: &'a Arc<Source>,
    body: &'a str,
    token: Option<&'a str>,
    proof: Proof,
}

/// What becomes of a request: nothing if it is not proven.
fn send(
    request: &Request<'_>,
    registry: &mut Registry,
) -> Option<Result<Attributed, Box<Quarantined>>> {
    let Request { source, body, token, proof } = request;
    let mut headers = Headers::new();
    match proof {
        Proof::Right => {
            let value = format!("Bearer {}", SECRET.replace(' ', "-"));
            headers.push_plain(http::header::AUTHORIZATION, value);
        }
        Proof::Wrong => headers.push_plain(http::header::AUTHORIZATION, "Bearer wrong"),
        Proof::Missing => {}
    }
    let at = Timestamp::from_millis(1_700_000_000_000);
    let envelope = Envelope { method: "POST", url: "", headers: &headers, mask_key: None };
    let mut examination = Examination::open(&source.policy, &source.secrets, envelope, at);
    examination.update(body.as_bytes());
    let received = Received {
        source: Arc::clone(source),
        method: "POST".to_owned(),
        target: "/".to_owned(),
        tool: None,
        token: token.map(|id| Token { id: "tok".to_owned(), tenant: Some(tenant(id)) }),
        headers,
        body: Body::Whole(Bytes::copy_from_slice(body.as_bytes())),
        peer: [127, 0, 0, 1].into(),
        at,
        late: false,
        correlation_id: "c".to_owned(),
    };
    let verified = received.judge(examination).ok()?;
    let readable = match read(verified) {
        Ok(readable) => readable,
        Err(quarantined) => return Some(Err(quarantined)),
    };
    let consulted = registry.consult(source.provider.name, readable.claims());
    let decided = readable.decide(&consulted);
    if let Some(adoption) = decided.decision().adoption() {
        registry.adopt(adoption);
    }
    Some(decided.conclude())
}

/// Tenants `a` and `b`, each with a call, an agent and a number of every provider.
fn two_tenants() -> Registry {
    let mut registry = Registry::default();
    for id in ["a", "b"] {
        registry.add_tenant(id);
        for row in provider::ALL {
            registry.bind(row.name, ClaimKind::Agent, &format!("agent-{id}"), id);
            registry.bind(row.name, ClaimKind::PhoneNumber, &format!("phone-{id}"), id);
            registry.bind(row.name, ClaimKind::Property, &format!("agent-{id}"), id);
            registry.bind(row.name, ClaimKind::Integration, &format!("phone-{id}"), id);
            let agent = Some(format!("agent-{id}"));
            let phone = Some(format!("phone-{id}"));
            registry.register(row.name, &format!("call-{id}"), id, (agent, phone));
        }
        // MightyCall names a tenant by its own id.
        registry.add_tenant(&format!("agent-{id}"));
    }
    registry
}

fn rule(mode: OwnershipMode) -> Rule {
    Rule { mode, ..Rule::default() }
}

#[test]
fn no_combination_of_ids_token_and_proof_reaches_a_tenant_that_does_not_own_them_all() {
    let mut tried = 0_u32;
    let mut owned = 0_u32;
    for (row, mode) in provider::ALL.into_iter().flat_map(|row| {
        [OwnershipMode::Enforce, OwnershipMode::Observe, OwnershipMode::Auto].map(|it| (row, it))
    }) {
        let source = source(row.name, rule(mode));
        for (call, agent, phone) in triples() {
            let body = body(row.name, call, agent, phone);
            for token in [None, Some("a"), Some("b")] {
                for proof in [Proof::Right, Proof::Wrong, Proof::Missing] {
                    let request = Request { source: &source, body: &body, token, proof };
                    let outcome = send(&request, &mut two_tenants_of(row.name));
                    tried += 1;
                    owned += u32::from(check(row.name, [call, agent, phone], &request, outcome));
                }
            }
        }
    }
    println!("{tried} combinations, {owned} of them a tenant's");
    assert!(tried > 40_000 && owned > 100, "{tried} combinations, {owned} owned");
}

/// As [`two_tenants`]; of `MightyCall` the tenants are those that `org_id` names.
fn two_tenants_of(provider: &str) -> Registry {
    let mut registry = two_tenants();
    if provider == "mightycall" {
        registry.bind(provider, ClaimKind::Integration, "phone-a", "agent-a");
        registry.bind(provider, ClaimKind::Integration, "phone-b", "agent-b");
    }
    registry
}

fn triples() -> impl Iterator<Item = (Id, Id, Id)> {
    Id::ALL.into_iter().flat_map(|call| {
        Id::ALL.into_iter().flat_map(move |agent| Id::ALL.map(|phone| (call, agent, phone)))
    })
}

/// Checks what became of one request, and says whether it became a tenant's.
#[track_caller]
fn check(
    provider: &str,
    ids: [Id; 3],
    request: &Request<'_>,
    outcome: Option<Result<Attributed, Box<Quarantined>>>,
) -> bool {
    let what = || format!("{provider} {} token {:?}", request.body, request.token);
    let Some(outcome) = outcome else {
        assert_ne!(request.proof, Proof::Right, "{} is proven", what());
        return false;
    };
    assert_eq!(request.proof, Proof::Right, "{} is not proven", what());
    // An id counts where the provider attests it; a duplicate counts everywhere.
    let attested: Vec<Id> =
        ids.into_iter().zip(kinds(provider)).filter_map(|(id, kind)| kind.map(|_| id)).collect();
    let duplicated = ids.contains(&Id::Duplicated);
    match outcome {
        Ok(event) => {
            assert!(!duplicated, "{} names a key twice", what());
            assert!(!attested.iter().any(|it| it.is_malformed()), "{}", what());
            let Some(tenant) = event.decision().tenant().map(|it| it.as_str().to_owned()) else {
                assert_eq!(event.decision().ownership(), Ownership::Unattributed);
                assert_ne!(request.source.rule.mode, OwnershipMode::Enforce, "{}", what());
                return false;
            };
            let foreign_to = |name: &str| match name {
                "a" | "agent-a" => attested.iter().any(|it| it.is_foreign()),
                _ => attested.contains(&Id::Own),
            };
            assert!(!foreign_to(&tenant), "{} became {tenant}'s", what());
            let side = if tenant.ends_with('a') { "a" } else { "b" };
            assert!(request.token.is_none_or(|it| it == side), "{} became {tenant}'s", what());
            for claim in &event.facts().claims {
                let owner = claim.tenant.as_ref().map(|it| it.as_str().to_owned());
                assert!(owner.is_none_or(|it| it == tenant), "{} became {tenant}'s", what());
            }
            true
        }
        Err(quarantined) => {
            assert!(quarantined_has_no_owner(&quarantined), "{}", what());
            if duplicated {
                assert!(matches!(quarantined.cause(), Cause::Unreadable(_)), "{}", what());
            }
            false
        }
    }
}

fn quarantined_has_no_owner(quarantined: &Quarantined) -> bool {
    match quarantined.content() {
        Content::Read(_, _, decision) => {
            decision.tenant().is_none() && decision.adoption().is_none()
        }
        Content::Unreadable(_) => true,
        Content::Unproven(_) => false,
    }
}

/// What a sender of the Vapi seed's table is told.
#[track_caller]
fn told(body: &str, expected: (u16, &str)) {
    let source = source("vapi", rule(OwnershipMode::Auto));
    let request = Request { source: &source, body, token: None, proof: Proof::Right };
    let answer = match send(&request, &mut two_tenants()).unwrap() {
        Ok(event) => (event.facts().answer.status, event.facts().answer.body.to_string()),
        Err(quarantined) => match quarantined.told() {
            Told::Success(answer) => (answer.status, answer.body.to_string()),
            Told::Refused(refusal) => (refusal.status, refusal.body.to_owned()),
        },
    };
    assert_eq!((answer.0, answer.1.as_str()), expected, "{body}");
}

#[test]
fn the_six_attacks_get_their_answers_with_calls_that_exist() {
    let unauthorized = (401, r#"{"error":"Unauthorized"}"#);
    let ok = (200, r#"{"status":"ok"}"#);
    told(&body("vapi", Id::Own, Id::Own, Id::Own), ok);
    told(&body("vapi", Id::Foreign, Id::Own, Id::Missing), unauthorized);
    told(&body("vapi", Id::Own, Id::Unknown, Id::Missing), unauthorized);
    told(&body("vapi", Id::Own, Id::Missing, Id::Own), unauthorized);
    told(&body("vapi", Id::Own, Id::Own, Id::Foreign), unauthorized);
    told(&body("vapi", Id::Own, Id::Own, Id::Unknown), unauthorized);
    told(&body("vapi", Id::Missing, Id::Own, Id::Own), (400, r#"{"error":"Missing call ID"}"#));
    told("{\"type\": \"call.started\", }", (400, r#"{"error":"Invalid JSON payload"}"#));
    told(r#"{"type":"call.started"}"#, (400, r#"{"error":"Missing call ID"}"#));
    let unknown = (404, r#"{"error":"Call not found"}"#);
    told(&body("vapi", Id::Unknown, Id::Unknown, Id::Missing), unknown);
    told(&body("vapi", Id::Unknown, Id::Missing, Id::Unknown), unknown);
    // One that names a bound agent is adopted.
    told(&body("vapi", Id::Unknown, Id::Own, Id::Missing), ok);
    told(&body("vapi", Id::Unknown, Id::Foreign, Id::Unknown), ok);
}

#[test]
fn vapi_messages_without_a_call_and_requests_for_an_assistant_are_not_turned_away() {
    let ok = (200, r#"{"status":"ok"}"#);
    told(r#"{"message":{"type":"chat.created","chat":{"id":"c","assistantId":"agent-a"}}}"#, ok);
    told(r#"{"message":{"type":"session.created","session":{"id":"s"}}}"#, ok);
    let request =
        r#"{"message":{"type":"assistant-request","call":{"id":"new","phoneNumberId":"phone-a"}}}"#;
    told(request, (200, r#"{"error":"This number is not set up to take calls yet."}"#));
    let handoff =
        r#"{"message":{"type":"status-update","call":{"id":"call-a","assistantId":"agent-a2"}}}"#;
    told(handoff, (401, r#"{"error":"Unauthorized"}"#));
    let source = source("vapi", rule(OwnershipMode::Auto));
    let mut registry = two_tenants();
    registry.bind("vapi", ClaimKind::Agent, "agent-a2", "a");
    let request = Request { source: &source, body: handoff, token: None, proof: Proof::Right };
    assert!(send(&request, &mut registry).unwrap().is_ok(), "a call is handed over");
    let exact = Rule { agent_match: AgentMatch::Exact, ..rule(OwnershipMode::Auto) };
    let source = self::source("vapi", exact);
    let request = Request { source: &source, body: handoff, token: None, proof: Proof::Right };
    assert!(send(&request, &mut registry).unwrap().is_err(), "unless it must be its own agent");
}

#[test]
fn a_tool_call_of_nobody_gets_a_sentence_where_only_a_success_is_heard() {
    let body = r#"{"message":{"type":"tool-calls","toolCallList":[{"id":"t1"},{"id":"t2"}],"call":{"id":"call-a","assistantId":"agent-b"}}}"#;
    let sentence = "I am sorry, I cannot do that on this call.";
    let results = json!({"results": [
        {"toolCallId": "t1", "error": sentence},
        {"toolCallId": "t2", "error": sentence},
    ]});
    told(body, (200, &results.to_string()));
}

#[test]
fn mightycall_names_its_tenant_and_an_unknown_one_has_no_context() {
    let told = |body: &str, rule: Rule, expected: u16| {
        let source = source("mightycall", rule);
        let request = Request { source: &source, body, token: None, proof: Proof::Right };
        let status = match send(&request, &mut two_tenants()).unwrap() {
            Ok(event) => event.facts().answer.status,
            Err(quarantined) => match quarantined.told() {
                Told::Success(answer) => answer.status,
                Told::Refused(refusal) => refusal.status,
            },
        };
        assert_eq!(status, expected, "{body} {rule:?}");
    };
    let auto = rule(OwnershipMode::Auto);
    told(r#"{"event":"call.completed","org_id":"a"}"#, auto, 200);
    told(r#"{"event":"call.completed","org_id":"nobody"}"#, auto, 400);
    told(r#"{"event":"call.completed","org_id":"nobody"}"#, rule(OwnershipMode::Observe), 200);
    told(r#"{"event":"call.completed","integration_id":"phone-a"}"#, auto, 200);
    told(r#"{"event":"call.completed","integration_id":"unknown"}"#, auto, 400);
    told(r#"{"event":"call.completed","org_id":"b","integration_id":"phone-a"}"#, auto, 401);
    let distrusting = Rule { trust_body_org: false, ..auto };
    told(r#"{"event":"call.completed","org_id":"a"}"#, distrusting, 400);
    told(r#"{"event":"call.completed","org_id":"b","integration_id":"phone-a"}"#, distrusting, 200);
}

/// A step in the history of a registry.
#[derive(Clone, Debug)]
enum Step {
    Bind(ClaimKind, u8, u8),
    Unbind(ClaimKind, u8),
    Register(u8, u8, Option<u8>, Option<u8>),
    Send { call: Option<u8>, agent: Option<u8>, phone: Option<u8>, token: Option<u8>, times: u8 },
}

const IDS: u8 = 4;
const TENANTS: u8 = 3;

fn step() -> impl Strategy<Value = Step> {
    let kind = prop_oneof![Just(ClaimKind::Agent), Just(ClaimKind::PhoneNumber)];
    let some = || proptest::option::of(0..IDS);
    prop_oneof![
        2 => (kind.clone(), 0..IDS, 0..TENANTS).prop_map(|(kind, id, to)| Step::Bind(kind, id, to)),
        1 => (kind, 0..IDS).prop_map(|(kind, id)| Step::Unbind(kind, id)),
        1 => (0..IDS, 0..TENANTS, some(), some())
            .prop_map(|(call, to, agent, phone)| Step::Register(call, to, agent, phone)),
        4 => (some(), some(), some(), proptest::option::of(0..TENANTS), 1..3_u8).prop_map(
            |(call, agent, phone, token, times)| Step::Send { call, agent, phone, token, times }
        ),
    ]
}

fn name(tenant: u8) -> String {
    format!("t{tenant}")
}

/// Plays a history, and checks every event of it against the registry as it is then.
fn play(sources: &[Arc<Source>; 3], steps: &[Step]) -> Result<(), TestCaseError> {
    let mut registry = Registry::default();
    (0..TENANTS).for_each(|it| registry.add_tenant(&name(it)));
    let source = &sources[steps.len() % 3];
    let provider = source.provider.name;
    for step in steps {
        match step {
            Step::Bind(kind, id, to) => {
                registry.bind(provider, *kind, &id.to_string(), &name(*to));
            }
            Step::Unbind(kind, id) => registry.unbind(provider, *kind, &id.to_string()),
            Step::Register(call, to, agent, phone) => {
                let details = (agent.map(|it| it.to_string()), phone.map(|it| it.to_string()));
                registry.register(provider, &call.to_string(), &name(*to), details);
            }
            Step::Send { call, agent, phone, token, times } => {
                let body = plain(provider, *call, *agent, *phone);
                for _ in 0..*times {
                    let token = token.map(name);
                    let before = registry.clone();
                    let request = Request {
                        source,
                        body: &body,
                        token: token.as_deref(),
                        proof: Proof::Right,
                    };
                    let outcome = send(&request, &mut registry).unwrap();
                    judge(&before, &registry, &request, &outcome)?;
                }
            }
        }
    }
    Ok(())
}

/// A body with the ids that are there.
fn plain(provider: &str, call: Option<u8>, agent: Option<u8>, phone: Option<u8>) -> String {
    let member =
        |key: &str, id: Option<u8>| id.map_or_else(String::new, |id| format!(r#""{key}":"{id}","#));
    match provider {
        "vapi" => format!(
            r#"{{"message":{{"type":"hang","call":{{{}{}{}"n":1}}}}}}"#,
            member("id", call),
            member("assistantId", agent),
            member("phoneNumberId", phone)
        ),
        "elevenlabs" => format!(
            r#"{{"type":"x","data":{{{}{}"metadata":{{"phone_call":{{{}"n":1}}}}}}}}"#,
            member("conversation_id", call),
            member("agent_id", agent),
            member("phone_number_id", phone)
        ),
        _ => format!(
            r#"{{"event":"x","call":{{"direction":"inbound",{}{}{}"n":1}}}}"#,
            member("call_id", call),
            member("agent_id", agent),
            member("to_number", phone)
        ),
    }
}

/// The promise, said without the rule that keeps it.
fn judge(
    before: &Registry,
    after: &Registry,
    request: &Request<'_>,
    outcome: &Result<Attributed, Box<Quarantined>>,
) -> Result<(), TestCaseError> {
    let provider = request.source.provider.name;
    match outcome {
        Ok(event) => {
            let Some(tenant) = event.decision().tenant() else {
                prop_assert!(false, "enforced, and nobody's");
                return Ok(());
            };
            let mut vouched = request.token.is_some();
            for claim in &event.facts().claims {
                let id = claim.external_id.as_deref().unwrap();
                let owner = before.owner(provider, claim.kind, id);
                prop_assert!(owner.is_none_or(|it| it == tenant), "{claim:?} is another's");
                vouched |= owner.is_some();
            }
            prop_assert!(request.token.is_none_or(|it| it == tenant.as_str()));
            prop_assert!(vouched, "nobody vouches for {tenant}");
            // The next one of this call can be no other tenant's.
            if let Some(call) = &event.facts().conversation_id {
                let owner = after.owner(provider, ClaimKind::Conversation, call);
                prop_assert_eq!(owner, Some(tenant));
            }
        }
        // A refused one leaves no trace by which a genuine one would be refused.
        Err(_) => prop_assert!(before == after),
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100_000, ..ProptestConfig::default() })]

    #[test]
    fn no_history_of_a_registry_lets_an_event_cross_tenants(
        steps in proptest::collection::vec(step(), 1..8),
    ) {
        thread_local! {
            static SOURCES: [Arc<Source>; 3] = ["vapi", "elevenlabs", "retell"]
                .map(|it| source(it, rule(OwnershipMode::Enforce)));
        }
        SOURCES.with(|sources| play(sources, &steps))?;
    }
}

#[test]
fn without_a_tenant_everything_is_the_operators_and_nothing_is_refused_for_it() {
    let mut empty = Registry::default();
    for row in provider::ALL {
        let source = source(row.name, rule(OwnershipMode::Auto));
        let body = body(row.name, Id::Own, Id::Own, Id::Unknown);
        let request = Request { source: &source, body: &body, token: None, proof: Proof::Right };
        let event =
            send(&request, &mut empty).unwrap().unwrap_or_else(|it| panic!("{}", it.cause()));
        assert_eq!(event.decision().ownership(), Ownership::Unattributed, "{}", row.name);
        assert_eq!(event.decision().tenant(), None);
    }
}

#[test]
fn the_decision_names_how_the_call_is_known() {
    let source = source("vapi", rule(OwnershipMode::Auto));
    let mut registry = two_tenants();
    let mut standing = |body: String| {
        let request = Request { source: &source, body: &body, token: None, proof: Proof::Right };
        let event = send(&request, &mut registry).unwrap().unwrap();
        event.decision().standing().map(hookgate_core::attribution::rule::Standing::name)
    };
    assert_eq!(standing(body("vapi", Id::Own, Id::Own, Id::Own)), Some(Origin::Registered.name()));
    assert_eq!(standing(body("vapi", Id::Unknown, Id::Own, Id::Own)), Some("adopting"));
    assert_eq!(standing(body("vapi", Id::Unknown, Id::Own, Id::Own)), Some(Origin::Adopted.name()));
    assert_eq!(Consulted::default().conversation, None);
}
