//! The signed requests of `testdata/vectors.jsonl`: each gets the verdict that the
//! official SDKs gave it, and stops proving anything once a bit of it is changed.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops at its first surprise"
)]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hookgate_core::headers::{Headers, Value};
use hookgate_core::named;
use hookgate_core::received::Verdict;
use hookgate_core::scheme::Policy;
use hookgate_core::secret::{MaskKey, Secret, Secrets};
use hookgate_core::time::Timestamp;
use hookgate_core::verify::{Envelope, Examination, Proof, Rejected, verify};
use http::HeaderName;
use serde_json::Value as Json;

/// One line of the file.
struct Vector {
    id: String,
    scheme: String,
    policy: Policy,
    secrets: Vec<Secret>,
    method: String,
    url: String,
    headers: Headers,
    body: Vec<u8>,
    now: Timestamp,
    accept: bool,
}

impl Vector {
    fn read(line: &str) -> Self {
        let row: Json = serde_json::from_str(line).unwrap();
        let text = |value: &Json| value.as_str().unwrap().to_owned();
        let secrets = match &row["secret"] {
            Json::Array(list) => list.iter().map(|it| Secret::new(text(it))).collect(),
            secret => vec![Secret::new(text(secret))],
        };
        let mut headers = Headers::new();
        for pair in row["headers"].as_array().unwrap() {
            let name = HeaderName::from_bytes(text(&pair[0]).as_bytes()).unwrap();
            headers.push_plain(name, text(&pair[1]).into_bytes());
        }
        let config = &row["config"];
        Self {
            id: text(&row["id"]),
            scheme: text(&row["scheme"]),
            policy: named::policy(row["scheme"].as_str().unwrap(), config).unwrap(),
            secrets,
            method: config["method"].as_str().unwrap_or("POST").to_owned(),
            url: config["url"].as_str().unwrap_or("https://gw.example.com/in/x").to_owned(),
            headers,
            body: STANDARD.decode(row["body_base64"].as_str().unwrap()).unwrap(),
            now: Timestamp::from_millis(row["now_unix_ms"].as_i64().unwrap()),
            accept: match row["expect"].as_str().unwrap() {
                "accept" => true,
                "reject" => false,
                other => panic!("{other}"),
            },
        }
    }

    fn envelope(&self) -> Envelope<'_> {
        let (method, url) = (&self.method, &self.url);
        Envelope { method, url, headers: &self.headers, mask_key: None }
    }

    fn judge(&self) -> Result<Proof, Rejected> {
        self.judge_under(&self.secrets)
    }

    fn judge_under(&self, secrets: &[Secret]) -> Result<Proof, Rejected> {
        // A vector does not say which kind its secret is: the scheme knows.
        let secrets = Secrets::new(secrets.to_vec(), secrets.to_vec());
        verify(&self.policy, &secrets, self.envelope(), &self.body, self.now)
    }
}

fn vectors() -> Vec<Vector> {
    include_str!("../testdata/vectors.jsonl").lines().map(Vector::read).collect()
}

fn accepted() -> impl Iterator<Item = Vector> {
    vectors().into_iter().filter(|it| it.accept)
}

#[test]
fn every_vector_gets_its_verdict() {
    let wrong = |it: &Vector| {
        let told = it.judge();
        (told.is_ok() != it.accept).then(|| format!("{} got {told:?}", it.id))
    };
    let all = vectors();
    let wrong: Vec<String> = all.iter().filter_map(wrong).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(all.len() >= 140, "only {} vectors", all.len());
}

#[test]
fn every_scheme_of_every_provider_has_vectors() {
    let all = vectors();
    for provider in ["elevenlabs", "retell", "vapi", "mightycall", "tawk"] {
        let policy = named::default_policy(provider).unwrap();
        for scheme in policy.schemes() {
            let proves = |it: &Vector| {
                it.accept && it.policy.schemes().iter().any(|other| other.proof == scheme.proof)
            };
            // The plain secret in its own header has vectors of refusal alone.
            let found = all.iter().any(proves) || scheme.name == "vapi.secret";
            assert!(found, "{} has no vector", scheme.name);
        }
    }
}

#[test]
fn a_wrong_secret_proves_nothing() {
    for vector in accepted() {
        for secret in &vector.secrets {
            let mut wrong = secret.expose().to_vec();
            let last = wrong.len() - 1;
            wrong[last] = if wrong[last] == b'A' { b'B' } else { b'A' };
            let longer = [secret.expose(), b"x"].concat();
            let shorter = secret.expose()[..last].to_vec();
            for other in [wrong, longer, shorter, b"another".to_vec()] {
                let told = vector.judge_under(&[Secret::new(other)]);
                assert!(told.is_err(), "{}", vector.id);
            }
        }
        assert_eq!(vector.judge_under(&[]).unwrap_err().verdict(), Verdict::Unverified);
        assert!(vector.judge_under(&[Secret::new("")]).is_err(), "{}", vector.id);
    }
}

#[test]
fn a_flipped_bit_of_a_body_proves_nothing() {
    let mut seen: Vec<(Policy, Vec<u8>)> = Vec::new();
    for mut vector in accepted().filter(signs_its_body) {
        // Many vectors share a body and differ in their headers alone.
        let kind = (vector.policy.clone(), vector.body.clone());
        if seen.contains(&kind) {
            continue;
        }
        seen.push(kind);
        for at in 0..vector.body.len() {
            for bit in 0..8 {
                vector.body[at] ^= 1 << bit;
                assert!(vector.judge().is_err(), "{}: byte {at} bit {bit}", vector.id);
                vector.body[at] ^= 1 << bit;
            }
        }
        vector.body.push(b'\n');
        assert!(vector.judge().is_err(), "{}: a newline behind it", vector.id);
    }
}

fn signs_its_body(vector: &Vector) -> bool {
    vector.scheme != "vapi.token"
        && vector.scheme != "mightycall.body_api_key"
        && vector.headers.find(&http::header::AUTHORIZATION)
            == hookgate_core::headers::Found::Absent
}

#[test]
fn a_changed_proof_header_proves_nothing() {
    for vector in accepted() {
        let names: Vec<HeaderName> =
            vector.policy.schemes().iter().flat_map(|it| it.headers().cloned()).collect();
        for (index, (name, value)) in vector.headers.iter().enumerate() {
            let Value::Plain(value) = value else { panic!("hashed") };
            // Where any proof will do, a broken one does no harm beside a good one.
            let several = vector.headers.iter().filter(|(it, _)| names.contains(it)).count() > 1;
            if !names.contains(name) || several && matches!(vector.policy, Policy::Any(_)) {
                continue;
            }
            let text = value.as_ref();
            let trimmed = text.trim_ascii();
            for at in 0..text.len() {
                for bit in 0..8 {
                    let mut changed = text.to_vec();
                    changed[at] ^= 1 << bit;
                    let harmless = is_another_case(&vector, trimmed, &changed)
                        || is_ignored_element(&vector, &changed)
                        || changed.trim_ascii() == trimmed;
                    assert!(
                        harmless || judge_with(&vector, index, &changed).is_err(),
                        "{}: {name} byte {at} bit {bit}",
                        vector.id
                    );
                }
            }
            for cut in 1..trimmed.len() {
                let shorter = &trimmed[..cut];
                let ignored = is_ignored_element(&vector, shorter);
                let told = judge_with(&vector, index, shorter);
                assert!(ignored || told.is_err(), "{}: {name} cut at {cut}", vector.id);
            }
        }
    }
}

fn judge_with(vector: &Vector, index: usize, value: &[u8]) -> Result<Proof, Rejected> {
    let mut headers = Headers::new();
    for (at, (name, old)) in vector.headers.iter().enumerate() {
        let new = if at == index { Value::Plain(value.to_vec().into()) } else { old.clone() };
        headers.push(name.clone(), new);
    }
    let secrets = Secrets::new(vector.secrets.clone(), vector.secrets.clone());
    let envelope = Envelope { headers: &headers, ..vector.envelope() };
    verify(&vector.policy, &secrets, envelope, &vector.body, vector.now)
}

/// Hex digits and the word `Bearer` say the same in either case; base64, tokens and
/// ElevenLabs' lower-case hex do not.
fn is_another_case(vector: &Vector, value: &[u8], changed: &[u8]) -> bool {
    let changed = changed.trim_ascii();
    if !value.eq_ignore_ascii_case(changed) {
        return false;
    }
    if value.starts_with(b"v=") {
        return changed.starts_with(b"v=") && changed.windows(3).any(|it| it == b",d=");
    }
    match value.split_at_checked(7) {
        Some((word, token)) if word.eq_ignore_ascii_case(b"bearer ") => changed.ends_with(token),
        _ => value.iter().all(u8::is_ascii_hexdigit) && !vector.scheme.starts_with("elevenlabs.o"),
    }
}

/// What stands in an element that the scheme ignores may change.
fn is_ignored_element(vector: &Vector, changed: &[u8]) -> bool {
    let needed = |value: &[u8], separator: u8| -> Vec<Vec<u8>> {
        let mut items: Vec<Vec<u8>> = value
            .split(|it| *it == separator)
            .filter(|it| it.starts_with(b"t=") || it.starts_with(b"v0=") || it.starts_with(b"v1,"))
            .map(<[u8]>::to_vec)
            .collect();
        items.sort();
        items
    };
    let original = |name: &str| match vector.headers.find(&HeaderName::try_from(name).unwrap()) {
        hookgate_core::headers::Found::Once(hookgate_core::headers::Text::Plain(value)) => {
            value.to_vec()
        }
        _ => Vec::new(),
    };
    match vector.id.as_str() {
        "elevenlabs-011-extra-v1" => {
            needed(changed, b',') == needed(&original("elevenlabs-signature"), b',')
        }
        // The first of two signatures is the one that does not match anyway.
        "vapi-056-svix-style-multi" => {
            let genuine = b"v1,xgIw+8kv35zmhZJCCSAQrHTm7n5/mtB6yyyBGVX50I8=";
            changed.split(|it| *it == b' ').any(|it| it == genuine)
        }
        _ => false,
    }
}

#[test]
fn a_body_in_pieces_is_the_same_body() {
    for vector in vectors() {
        let secrets = Secrets::new(vector.secrets.clone(), vector.secrets.clone());
        for size in [1, 7, 64, 1000] {
            let mut examination =
                Examination::open(&vector.policy, &secrets, vector.envelope(), vector.now);
            let plausible = examination.is_plausible();
            vector.body.chunks(size).for_each(|chunk| examination.update(chunk));
            let told = examination.finish(Some(&vector.body));
            assert_eq!(told, vector.judge(), "{} by {size}", vector.id);
            assert!(plausible || told.is_err(), "{} is implausible, but proven", vector.id);
        }
    }
}

#[test]
fn a_stored_request_is_judged_like_a_live_one() {
    let key = MaskKey::new([7; 32]);
    for vector in vectors() {
        let headers = vector.headers.masked(&key, &vector.policy.token_headers());
        let secrets = Secrets::new(vector.secrets.clone(), vector.secrets.clone());
        let envelope = Envelope { headers: &headers, mask_key: Some(&key), ..vector.envelope() };
        let told = verify(&vector.policy, &secrets, envelope, &vector.body, vector.now);
        assert_eq!(told.is_ok(), vector.accept, "{} got {told:?}", vector.id);
    }
}
