//! What sources are set to: how they prove, what they trust, and where that departs from
//! the security checklist for webhook receivers.

use serde::Deserialize;

use super::finding::{Finding, Report, Severity};
use super::named::Named;
use crate::output::counted;

/// A source as the API shows it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct SourceFacts {
    /// Its name.
    pub(super) name: String,
    provider: String,
    verification: String,
    /// Whether it stands in the file, or is built in.
    #[serde(default = "yes")]
    configured: bool,
    #[serde(default)]
    ownership: Option<String>,
    #[serde(default)]
    tenant: Option<String>,
    #[serde(default)]
    secrets: u64,
    #[serde(default)]
    account_keys: u64,
    #[serde(default)]
    tokens: u64,
    #[serde(default)]
    placeholder: bool,
    #[serde(default)]
    trust_body_org: Option<bool>,
    #[serde(default)]
    flat_agent_id: Option<bool>,
    #[serde(default)]
    policy: Option<Policy>,
}

const fn yes() -> bool {
    true
}

/// Which schemes decide, and how.
#[derive(Clone, Debug, Deserialize)]
struct Policy {
    /// `first` or `any`.
    takes: String,
    schemes: Vec<Scheme>,
}

/// One scheme.
#[derive(Clone, Debug, Deserialize)]
struct Scheme {
    name: String,
    /// `mac`, `token` or `body_key`.
    proof: String,
    #[serde(default)]
    header: Option<String>,
    #[serde(default)]
    digest: Option<String>,
    /// The unit of the time that it signs; nothing: it signs none.
    #[serde(default)]
    timestamp: Option<String>,
}

/// How many tenants there are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tenancy {
    /// So many.
    pub(super) tenants: usize,
}

impl SourceFacts {
    /// Whether somebody gave it a secret, a URL token or a place in the registry.
    pub(super) fn is_set_up(&self) -> bool {
        self.secrets_in_force() > 0 || self.tokens > 0 || !self.configured
    }

    /// Whether events that nobody owns are kept in quarantine.
    pub(super) fn enforces_ownership(&self, tenancy: Tenancy) -> bool {
        match self.ownership.as_deref() {
            Some("enforce") => true,
            Some("observe") => false,
            _ => tenancy.tenants > 0,
        }
    }

    fn secrets_in_force(&self) -> u64 {
        self.secrets.saturating_add(self.account_keys)
    }

    fn finding(
        &self,
        severity: Severity,
        topic: &'static str,
        what: String,
        advice: &str,
    ) -> Finding {
        Finding::of_source(severity, topic, &self.name, what, advice)
    }

    /// The schemes that can prove something here, because there is a secret for them.
    fn in_force(&self) -> impl Iterator<Item = &Scheme> {
        let schemes = self.policy.iter().flat_map(|it| &it.schemes);
        schemes.filter(|it| match it.proof.as_str() {
            "body_key" => self.account_keys > 0,
            _ => self.secrets > 0,
        })
    }

    /// The schemes in force of which this holds, by name.
    fn schemes(&self, holds: impl Fn(&Scheme) -> bool) -> Vec<&str> {
        let mut names: Vec<&str> =
            self.in_force().filter(|it| holds(it)).map(|it| it.name.as_str()).collect();
        // One name may stand for several headers.
        names.dedup();
        names
    }

    /// How it gets a secret.
    fn how_to_set_a_secret(&self) -> String {
        if self.configured {
            return "set its secret (`hookgate doctor` says where)".to_owned();
        }
        let name = &self.name;
        format!("`hookgate source remove {name}`, and add it again with --secret-file")
    }
}

/// Judges every source.
pub(super) fn judge(sources: &[SourceFacts], tenancy: Tenancy, named: &Named, report: &mut Report) {
    for source in sources {
        report.add_all(verification(source, named));
        report.add_all(secrets(source));
        if source.is_set_up() || named.proven(&source.name) > 0 {
            report.add_all(trusted_claims(source, tenancy));
            report.add_all(weak_proof(source, named));
            report.add_all(tells_more(source, tenancy));
        }
    }
}

/// Whether anybody can send.
fn verification(source: &SourceFacts, named: &Named) -> Option<Finding> {
    let unproven = named.unproven(&source.name);
    let taken = match unproven {
        0 => "nothing came".to_owned(),
        count => format!("without proof came: {count}"),
    };
    let finding = match source.verification.as_str() {
        "open" => source.finding(
            // What nobody set up and nobody calls is only there.
            if unproven > 0 || source.is_set_up() { Severity::Human } else { Severity::Note },
            "verification",
            format!("it has no secret, so anybody can send to it; {taken}"),
            &format!("{}; until then nothing of it is acted on", source.how_to_set_a_secret()),
        ),
        "record" => source.finding(
            Severity::Human,
            "verification",
            format!("it answers 200 to what it cannot prove, and keeps it in quarantine; {taken}"),
            "set its verification to `enforce` once its secret is right",
        ),
        _ => return None,
    };
    Some(finding.against(3))
}

/// Secrets that should not be in force any more.
fn secrets(source: &SourceFacts) -> Vec<Finding> {
    let mut findings = Vec::new();
    if source.placeholder {
        findings.push(
            source
                .finding(
                    Severity::Human,
                    "secrets",
                    "a secret in force was published in a guide: everybody can sign with it"
                        .to_owned(),
                    "`hookgate secret new` makes another",
                )
                .against(3),
        );
    }
    for (count, what) in [(source.secrets, "secrets"), (source.account_keys, "account keys")] {
        if count > 1 {
            findings.push(source.finding(
                Severity::Note,
                "secrets",
                format!("{count} {what} are in force"),
                "take the old ones away when no platform uses them any more",
            ));
        }
    }
    findings
}

/// Claims that somebody else than the provider may have written.
fn trusted_claims(source: &SourceFacts, tenancy: Tenancy) -> Vec<Finding> {
    let is_shared = tenancy.tenants > 1 && source.tenant.is_none();
    let severity = if is_shared { Severity::Human } else { Severity::Note };
    let mut findings = Vec::new();
    let Some(provider) = hookgate_core::provider::named(&source.provider) else { return findings };
    if source.trust_body_org == Some(true) && provider.needs_organization && is_shared {
        findings.push(
            source
                .finding(
                    severity,
                    "trusted_claim",
                    format!(
                        "trust_body_org: one secret serves {} tenants, and `org_id` in a body says which: \
                         whoever holds the secret writes as any of them",
                        tenancy.tenants
                    ),
                    "give each tenant a URL token (`hookgate source token add`) or bind its account \
                     (`hookgate binding add --kind account`), then set trust_body_org = false",
                )
                .against(12),
        );
    }
    let has_tools = !provider.tool_paths.is_empty();
    if source.flat_agent_id == Some(true) && has_tools && tenancy.tenants > 0 {
        findings.push(
            source
                .finding(
                    severity,
                    "trusted_claim",
                    "flat_agent_id: in a tool call with arguments alone, `agent_id` among them counts \
                     as attested, and a language model may have filled it in"
                        .to_owned(),
                    "let the tools send the whole call (the platform's \"Payload: args only\" off) or \
                     use a URL token for each tenant, then set flat_agent_id = false",
                )
                .against(12),
        );
    }
    findings
}

/// Proofs that say less than a digest with a time does.
fn weak_proof(source: &SourceFacts, named: &Named) -> Vec<Finding> {
    let in_use = |schemes: &[&str]| {
        let counts = schemes.iter().filter_map(|scheme| {
            let count = named.proven_by(&source.name, scheme);
            (count > 0).then(|| format!("{scheme} proved {}", counted(count, "event", "events")))
        });
        counts.collect::<Vec<_>>()
    };
    let note = |what: String, advice: &str, schemes: &[&str]| {
        source.finding(Severity::Note, "weak_proof", what, advice).shown_by(in_use(schemes))
    };
    let mut findings = Vec::new();

    let body_key = source.schemes(|it| it.proof == "body_key");
    let all = source.schemes(|_| true);
    if !body_key.is_empty() {
        let alone = if body_key == all { " alone" } else { "" };
        let what = format!(
            "a key in the body proves who sent it ({}{alone}): whoever saw one event can forge the next",
            body_key.join(", ")
        );
        findings.push(note(
            what,
            "give it a URL token, which no body carries: `hookgate source token add`",
            &body_key,
        ));
    }
    let sha1 = source.schemes(|it| it.digest.as_deref() == Some("hmac_sha1"));
    if !sha1.is_empty() {
        let what = format!("the digest is HMAC-SHA1 ({})", sha1.join(", "));
        findings.push(note(what, "take a stronger digest where the provider offers one", &sha1));
    }
    let timeless = source.schemes(|it| it.timestamp.is_none());
    if !timeless.is_empty() {
        let what = format!(
            "no time is signed ({}): a recorded request can be sent again, and is answered as a repetition",
            timeless.join(", ")
        );
        let advice = "take a scheme with a time where the provider offers one";
        findings.push(note(what, advice, &timeless).against(7));
    }
    let guessed = source.schemes(|it| it.timestamp.as_deref() == Some("by_magnitude"));
    if !guessed.is_empty() {
        let what = format!(
            "the unit of the signed time is told by its size ({}): the provider documents none",
            guessed.join(", ")
        );
        let advice = "nothing: read in the other unit a time is decades off, so one reading alone can be in time";
        findings.push(note(what, advice, &guessed).against(5));
    }
    findings.extend(alternatives(source));
    findings
}

/// Several proofs of which one is enough.
fn alternatives(source: &SourceFacts) -> Option<Finding> {
    let policy = source.policy.as_ref()?;
    let mut headers: Vec<&str> = source.in_force().filter_map(|it| it.header.as_deref()).collect();
    headers.sort_unstable();
    headers.dedup();
    let what = match policy.takes.as_str() {
        "any" if source.in_force().count() > 1 => {
            "any one valid proof is enough: a wrong one beside it is not looked at".to_owned()
        }
        "first" if headers.len() > 1 => format!(
            "the first header there is decides alone, of {}: what stands in the others is not looked at",
            headers.join(", ")
        ),
        _ => return None,
    };
    let advice = "name the one scheme that the platform uses in `schemes` of the source";
    Some(source.finding(Severity::Note, "weak_proof", what, advice).against(8))
}

/// Answers that tell a proven sender more than yes or no.
fn tells_more(source: &SourceFacts, tenancy: Tenancy) -> Option<Finding> {
    let provider = hookgate_core::provider::named(&source.provider)?;
    let tells = provider.unknown_call.is_some() || provider.missing_call.is_some();
    let what = if tells && source.enforces_ownership(tenancy) {
        "its answers tell a call that is unknown (404) from one that is another's (401)"
    } else if provider.needs_organization {
        "its answers tell a body without a known organisation (400) from one without proof (401)"
    } else {
        return None;
    };
    let advice = "as its setup guide asks for: only who can sign sees the difference";
    Some(source.finding(Severity::Note, "checklist", what.to_owned(), advice).against(14))
}

#[cfg(test)]
mod tests {
    use hookgate_core::time::Timestamp;
    use serde_json::{Value, json};

    use super::*;

    #[track_caller]
    fn check(source: Value, tenants: usize, events: &[Value], expected: &[&str]) {
        let mut named = Named::default();
        for it in events {
            named.add(it);
        }
        let at = Timestamp::from_millis(0);
        let mut report = Report::new(at, at, "7d".to_owned());
        let sources = [serde_json::from_value(source).unwrap()];
        judge(&sources, Tenancy { tenants }, &named, &mut report);
        let check = |it: Option<u8>| it.map_or_else(|| "-".to_owned(), |it| it.to_string());
        let found: Vec<String> = report
            .findings()
            .iter()
            .map(|it| format!("{:?} {} {}", it.severity, it.topic, check(it.check)))
            .collect();
        assert_eq!(found, expected, "{:#?}", report.findings());
    }

    fn scheme(name: &str, proof: &str, header: Option<&str>, timestamp: Option<&str>) -> Value {
        json!({"name": name, "proof": proof, "header": header, "digest": "hmac_sha256", "timestamp": timestamp})
    }

    #[test]
    fn an_open_source_needs_a_human_once_somebody_sends() {
        let open = json!({"name": "tawk", "provider": "tawk", "verification": "open"});
        let sent = json!({"source": "tawk", "verification": {"verdict": "unverified"}});
        check(open.clone(), 0, &[], &["Note verification 3"]);
        check(open, 0, &[sent], &["Human verification 3"]);
        let record =
            json!({"name": "tawk", "provider": "tawk", "verification": "record", "secrets": 1});
        check(record, 0, &[], &["Human verification 3"]);
    }

    #[test]
    fn published_and_several_secrets_are_reported() {
        let source = json!({"name": "retell", "provider": "retell", "verification": "enforce", "secrets": 2, "placeholder": true});
        check(source, 0, &[], &["Human secrets 3", "Note secrets -"]);
    }

    #[test]
    fn a_claim_that_others_write_matters_once_tenants_share_a_secret() {
        let source = |provider: &str, tenant: Option<&str>| json!({"name": "m", "provider": provider, "verification": "enforce", "secrets": 1, "tenant": tenant, "trust_body_org": true, "flat_agent_id": true});
        check(source("retell", None), 0, &[], &[]);
        check(source("retell", None), 1, &[], &["Note trusted_claim 12"]);
        check(source("retell", None), 2, &[], &["Human trusted_claim 12"]);
        check(source("retell", Some("acme")), 2, &[], &["Note trusted_claim 12"]);
        check(source("mightycall", None), 1, &[], &["Note checklist 14"]);
        check(source("mightycall", None), 2, &[], &["Human trusted_claim 12", "Note checklist 14"]);
        check(source("mightycall", Some("acme")), 2, &[], &["Note checklist 14"]);
        check(source("tawk", None), 2, &[], &[]);
    }

    #[test]
    fn what_departs_from_the_checklist_is_named_with_its_line() {
        let vapi = json!({
            "name": "vapi", "provider": "vapi", "verification": "enforce", "secrets": 1,
            "policy": {"takes": "first", "schemes": [
                scheme("vapi.hmac", "mac", Some("x-signature"), Some("by_magnitude")),
                scheme("vapi.token", "token", Some("authorization"), None),
            ]},
        });
        check(
            vapi.clone(),
            1,
            &[],
            &["Note weak_proof 7", "Note weak_proof 5", "Note weak_proof 8", "Note checklist 14"],
        );
        check(vapi, 0, &[], &["Note weak_proof 7", "Note weak_proof 5", "Note weak_proof 8"]);
        let mightycall = json!({
            "name": "mightycall", "provider": "mightycall", "verification": "enforce", "account_keys": 1,
            "policy": {"takes": "any", "schemes": [scheme("mightycall.body_api_key", "body_key", None, None)]},
        });
        check(mightycall, 0, &[], &["Note weak_proof -", "Note weak_proof 7", "Note checklist 14"]);
    }

    #[test]
    fn a_source_that_nobody_uses_has_no_weak_proof() {
        let tawk = json!({
            "name": "tawk", "provider": "tawk", "verification": "enforce",
            "policy": {"takes": "first", "schemes": [scheme("tawk.hmac_sha1", "mac", None, None)]},
        });
        check(tawk, 0, &[], &[]);
    }
}
