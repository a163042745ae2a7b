//! `hookgate sign`: prints the headers that prove a body.

use hookgate_core::provider::Provider;
use hookgate_core::scheme::{Proof, Scheme};
use hookgate_core::secret::Secret;
use hookgate_core::sign::{Message, Unsigned, sign};
use hookgate_core::time::Timestamp;
use http::HeaderName;
use serde_json::Value;

use super::{secret, verify};
use crate::cli::Sign;
use crate::environment::Environment;
use crate::exit::{Outcome, Usage};
use crate::input;
use crate::output::line;
use crate::random;

/// How providers call.
const METHOD: &str = "POST";

/// Runs the command.
pub(crate) fn run(flags: &Sign, environment: &Environment) -> anyhow::Result<Outcome> {
    let provider = secret::named(&flags.provider)?;
    let signer = Signer::new(provider, flags.scheme.as_deref(), CarriesKey::No)?;
    let body = input::body(&flags.body)?;
    let secret = match &flags.secret {
        Some(secret) => Secret::new(secret.as_str()),
        None => signer.secret(environment)?,
    };
    let now = flags.at.map_or_else(input::now, Timestamp::from_millis);
    for (name, value) in signer.sign(&secret, "", &body, now)? {
        line(format_args!("{name}: {value}"))?;
    }
    Ok(Outcome::Done)
}

/// Whether a body has a field for an account key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CarriesKey {
    /// It has.
    Yes,
    /// It has not.
    No,
}

/// Signs as one provider under one scheme.
pub(super) struct Signer {
    provider: &'static Provider,
    scheme: Scheme,
}

impl Signer {
    /// Signs as `provider` under the scheme of this name. Without a name, under one that
    /// its source accepts: the body's own key where it carries one, else a digest, which
    /// proves the body as a token does not.
    pub(super) fn new(
        provider: &'static Provider,
        name: Option<&str>,
        carries_key: CarriesKey,
    ) -> anyhow::Result<Self> {
        let policy = verify::policy(provider, name, &Value::Null)?;
        let schemes = policy.schemes();
        let in_body = schemes.iter().find(|it| matches!(it.proof, Proof::BodyKey(_)));
        let digest = schemes.iter().find(|it| matches!(it.proof, Proof::Mac(_)));
        let scheme = in_body
            .filter(|_| carries_key == CarriesKey::Yes)
            .or(digest)
            .or(schemes.first())
            .cloned();
        let scheme = scheme.ok_or_else(|| Usage::new("this scheme cannot sign"))?;
        Ok(Self { provider, scheme })
    }

    /// Signs as `provider` where this policy of tokens decides, in the header that is for
    /// nothing else.
    pub(super) fn with_token(provider: &'static Provider, policy: &str) -> anyhow::Result<Self> {
        let policy = verify::policy(provider, Some(policy), &Value::Null)?;
        let scheme = policy.schemes().last().cloned();
        let scheme = scheme.ok_or_else(|| Usage::new("this scheme cannot sign"))?;
        Ok(Self { provider, scheme })
    }

    /// The scheme.
    pub(super) fn scheme(&self) -> &Scheme {
        &self.scheme
    }

    /// The variables with the secret of this scheme.
    fn variables(&self) -> &'static [&'static str] {
        match self.scheme.proof {
            Proof::BodyKey(_) => self.provider.account_key_variable.as_slice(),
            Proof::Mac(_) | Proof::Token(_) => self.provider.secret_variables,
        }
    }

    /// The secret that `serve` reads too. Of several the first: the newest, by custom.
    pub(super) fn secret(&self, environment: &Environment) -> anyhow::Result<Secret> {
        let variables = self.variables();
        let variable = environment.first(variables)?;
        let first = variable.as_ref().and_then(|it| it.value.split_whitespace().next());
        first.map(Secret::new).ok_or_else(|| {
            Usage::new(format!(
                "there is no secret to sign with: set {}, give --secret, or run `hookgate init`",
                variables.first().unwrap_or(&"--secret")
            ))
            .into()
        })
    }

    /// The headers that prove `body`, posted to `url`.
    pub(super) fn sign(
        &self,
        secret: &Secret,
        url: &str,
        body: &[u8],
        now: Timestamp,
    ) -> anyhow::Result<Vec<(HeaderName, String)>> {
        let id = random::uuid()?.to_string();
        let message = Message { method: METHOD, url, id: &id };
        match sign(&self.scheme, secret, message, body, now) {
            Ok(headers) => Ok(headers),
            Err(fault @ Unsigned::InBody(_)) => {
                Err(anyhow::Error::new(fault)
                    .context(format!("{} makes no headers", self.scheme.name)))
            }
            Err(fault) => {
                Err(Usage::new(format!("cannot sign under {}: {fault}", self.scheme.name)).into())
            }
        }
    }
}
