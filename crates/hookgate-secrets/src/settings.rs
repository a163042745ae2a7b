//! `[secrets]` of the configuration: as it is written, and checked into a backend.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use http::HeaderValue;
use serde::Deserialize;

use crate::backend::{
    Azure, Backend, Db, Env, External, Files, Identity, Place, Remote, Session, SignIn,
    Surroundings, Vault,
};
use crate::cache::{Cache, Times};
use crate::owners::Names;
use crate::template::{Alphabet, Kind, Template};

/// How long a value of a remote store is fresh. A rotated credential is in force after this.
const FRESH: Duration = Duration::from_mins(5);

/// How long a value of this machine is fresh: asking costs little.
const LOCAL_FRESH: Duration = Duration::from_secs(10);

/// How long "there is none" is believed: an operator who adds one is waiting for it.
const ABSENT: Duration = Duration::from_secs(30);

/// How old what stands in for a failing store may be. A day lets somebody mend it.
const STALE_MAX: Duration = Duration::from_hours(24);

/// How long a store that failed is not asked again for the same.
const FAILED: Duration = Duration::from_secs(10);

/// How long one question may take. A caller on the telephone is waiting for the answer.
const DEADLINE: Duration = Duration::from_secs(5);

/// Values that are remembered: some hundred bytes each, 64 KiB at most.
const CACHED: usize = 4_096;

/// The most that can be set for it: 64 KiB each would be 2 GiB.
const CACHED_MAX: usize = 32_768;

/// The longest time that can be set for any of them: a week.
const TIME_MAX: Duration = Duration::from_hours(7 * 24);

/// The longest deadline that can be set. Nobody waits for longer.
const DEADLINE_MAX: Duration = Duration::from_mins(1);

/// `[secrets]`: where tenants' credentials are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SecretsSettings {
    /// Which place it is; sealed in the store by default.
    pub backend: BackendName,
    /// The name of a secret with all settings of one agent, with `{agent_id}`.
    pub agent: Option<String>,
    /// How long a value is fresh, in seconds.
    pub cache_seconds: Option<u64>,
    /// How long "there is none" is believed, in seconds.
    pub absent_seconds: Option<u64>,
    /// How old a value that stands in for a failing store may be, in seconds.
    pub stale_seconds: Option<u64>,
    /// How long one question may take, in seconds.
    pub deadline_seconds: Option<u64>,
    /// How many values are remembered.
    pub cached_max: Option<usize>,
    /// `[secrets.env]`
    pub env: Option<EnvSettings>,
    /// `[secrets.file]`
    pub file: Option<FileSettings>,
    /// `[secrets.vault]`
    pub vault: Option<VaultSettings>,
    /// `[secrets.azure]`
    pub azure: Option<AzureSettings>,
}

/// The places.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BackendName {
    /// Sealed in the store.
    #[default]
    Db,
    /// Variables of the environment.
    Env,
    /// Files.
    File,
    /// HashiCorp Vault or OpenBao, key/value engine version 2.
    Vault,
    /// Azure Key Vault.
    Azure,
}

/// `[secrets.env]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EnvSettings {
    /// The name of a variable, with `{TENANT}` and `{NAME}`.
    pub name: Option<String>,
}

/// `[secrets.file]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FileSettings {
    /// The folder.
    pub folder: Option<PathBuf>,
    /// The path in it, with `{tenant}` and `{name}`.
    pub path: Option<String>,
}

/// `[secrets.vault]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VaultSettings {
    /// Scheme, host and port.
    pub address: Option<String>,
    /// Where the key/value engine is mounted.
    pub mount: Option<String>,
    /// The path in it, with `{tenant}` and `{name}`.
    pub path: Option<String>,
    /// The namespace, in editions that have them.
    pub namespace: Option<String>,
    /// A reference to a token.
    pub token: Option<Reference>,
    /// A reference to the id of a role; with `secret_id` instead of `token`.
    pub role_id: Option<Reference>,
    /// A reference to the role's secret id.
    pub secret_id: Option<Reference>,
    /// Where roles are mounted.
    pub approle_mount: Option<String>,
}

/// `[secrets.azure]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AzureSettings {
    /// The vault's address.
    pub vault: Option<String>,
    /// The name of a secret, with `{tenant}` and `{name}`.
    pub name: Option<String>,
    /// `client` or `managed`.
    pub identity: Option<String>,
    /// The id of the directory that the application is in (Azure calls it tenant).
    pub directory: Option<String>,
    /// The application's id; with `managed`, of an identity that was given to the machine.
    pub client_id: Option<String>,
    /// A reference to the application's secret.
    pub client_secret: Option<Reference>,
    /// Where tokens for applications come from.
    pub authority: Option<String>,
    /// What tokens are for: the vaults of one cloud.
    pub resource: Option<String>,
    /// Where a machine's own tokens come from.
    pub metadata: Option<String>,
}

/// `env:NAME` or `file:/path`. It prints as nothing, because somebody may have written the
/// secret itself.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Reference(pub String);

impl fmt::Debug for Reference {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Reference")
    }
}

/// A setting that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("[secrets{table}] {key} {fault}")]
pub struct SettingsError {
    table: &'static str,
    key: &'static str,
    fault: &'static str,
}

const MISSING: &str = "is missing";

/// Errors of one table of the file.
#[derive(Clone, Copy)]
struct Table(&'static str);

impl Table {
    fn fault(self, key: &'static str, fault: &'static str) -> SettingsError {
        SettingsError { table: self.0, key, fault }
    }

    fn at<T>(
        self,
        key: &'static str,
        checked: Result<T, &'static str>,
    ) -> Result<T, SettingsError> {
        checked.map_err(|fault| self.fault(key, fault))
    }

    fn given<'a>(
        self,
        key: &'static str,
        value: Option<&'a String>,
    ) -> Result<&'a str, SettingsError> {
        let value = value.map(|it| it.trim()).filter(|it| !it.is_empty());
        value.ok_or_else(|| self.fault(key, MISSING))
    }
}

impl SecretsSettings {
    /// The backend that these settings describe. Nothing is asked yet: a secret store that
    /// is away keeps nobody from starting.
    ///
    /// # Errors
    ///
    /// The first setting that cannot be used.
    pub fn backend(&self, around: &Surroundings) -> Result<Backend, SettingsError> {
        let top = Table("");
        self.check_tables()?;
        let alphabet = match self.backend {
            BackendName::Db | BackendName::File | BackendName::Vault => Alphabet::Path,
            BackendName::Env => Alphabet::Variable,
            BackendName::Azure => Alphabet::KeyVault,
        };
        let agent = self.agent.as_deref().map(|it| Template::parse(it, Kind::Agent, alphabet));
        let agent = top.at("agent", agent.transpose())?;
        let deadline = top.at("deadline_seconds", self.deadline())?;
        let (template, place) = match self.backend {
            BackendName::Db => return Ok(Backend::Db(Db { agent })),
            BackendName::Env => self.env(around)?,
            BackendName::File => self.file()?,
            BackendName::Vault => self.vault(around, deadline)?,
            BackendName::Azure => self.azure(around, deadline)?,
        };
        let slots_max = self.cached_max.unwrap_or(CACHED);
        if !(1..=CACHED_MAX).contains(&slots_max) {
            return Err(top.fault("cached_max", "must be 1 to 32768"));
        }
        let cache = Cache::new(slots_max, self.times()?, around.clock.clone());
        let names = Names { credential: template, agent };
        Ok(Backend::External(Box::new(External { place, names, cache, deadline })))
    }

    /// A table for a place that is not asked is a mistake: one of the two is not meant.
    fn check_tables(&self) -> Result<(), SettingsError> {
        let tables = [
            (self.env.is_some(), BackendName::Env, ".env"),
            (self.file.is_some(), BackendName::File, ".file"),
            (self.vault.is_some(), BackendName::Vault, ".vault"),
            (self.azure.is_some(), BackendName::Azure, ".azure"),
        ];
        match tables.into_iter().find(|(is_there, name, _)| *is_there && *name != self.backend) {
            Some((_, _, table)) => {
                Err(Table(table).fault("is there,", "but `backend` names another place"))
            }
            None => Ok(()),
        }
    }

    fn deadline(&self) -> Result<Duration, &'static str> {
        let deadline = self.deadline_seconds.map_or(DEADLINE, Duration::from_secs);
        let fits = !deadline.is_zero() && deadline <= DEADLINE_MAX;
        if fits { Ok(deadline) } else { Err("must be 1 to 60") }
    }

    fn times(&self) -> Result<Times, SettingsError> {
        let is_local = matches!(self.backend, BackendName::Env | BackendName::File);
        let (fresh, absent) = if is_local { (LOCAL_FRESH, LOCAL_FRESH) } else { (FRESH, ABSENT) };
        let time = |key, set: Option<u64>, default| match set.map(Duration::from_secs) {
            Some(time) if time > TIME_MAX => Err(Table("").fault(key, "is longer than a week")),
            time => Ok(time.unwrap_or(default)),
        };
        Ok(Times {
            fresh: time("cache_seconds", self.cache_seconds, fresh)?,
            absent: time("absent_seconds", self.absent_seconds, absent)?,
            stale_max: time("stale_seconds", self.stale_seconds, STALE_MAX)?,
            failed: FAILED,
        })
    }

    fn env(&self, around: &Surroundings) -> Result<(Template, Place), SettingsError> {
        let name = self.env.as_ref().and_then(|it| it.name.as_deref());
        let name = name.unwrap_or("HOOKGATE_CREDENTIAL_{TENANT}_{NAME}");
        let template = Template::parse(name, Kind::Credential, Alphabet::Variable);
        let place = Place::Env(Env { variables: around.variables.clone() });
        Ok((Table(".env").at("name", template)?, place))
    }

    fn file(&self) -> Result<(Template, Place), SettingsError> {
        let table = Table(".file");
        let settings = self.file.clone().unwrap_or_default();
        let path = settings.path.as_deref().unwrap_or("{tenant}/{name}");
        let template = Template::parse(path, Kind::Credential, Alphabet::Path);
        let folder = settings.folder.ok_or_else(|| table.fault("folder", MISSING))?;
        Ok((table.at("path", template)?, Place::File(Files { folder })))
    }

    fn vault(
        &self,
        around: &Surroundings,
        deadline: Duration,
    ) -> Result<(Template, Place), SettingsError> {
        let table = Table(".vault");
        let settings = self.vault.clone().unwrap_or_default();
        let path = settings.path.as_deref().unwrap_or("{tenant}/{name}");
        let template = table.at("path", Template::parse(path, Kind::Credential, Alphabet::Path))?;
        let address = table.given("address", settings.address.as_ref())?;
        let remote = Remote::new(around.egress.clone(), address, deadline);
        let mount = |key, set: Option<&String>, default: &str| {
            table.at(key, parts(set.map_or(default, String::as_str)))
        };
        let namespace = settings.namespace.as_deref().map(HeaderValue::from_str).transpose();
        let approle_mount = mount("approle_mount", settings.approle_mount.as_ref(), "approle")?;
        let sign_in = match (settings.token, settings.role_id, settings.secret_id) {
            (Some(token), None, None) => SignIn::Token { token: token.0 },
            (None, Some(role_id), Some(secret_id)) => {
                let (role_id, secret_id) = (role_id.0, secret_id.0);
                SignIn::AppRole { mount: approle_mount, role_id, secret_id }
            }
            _ => {
                let fault = "is needed, or `role_id` and `secret_id` in its place";
                return Err(table.fault("token", fault));
            }
        };
        let vault = Vault {
            remote: table.at("address", remote)?,
            mount: mount("mount", settings.mount.as_ref(), "secret")?,
            namespace: table.at("namespace", namespace.map_err(|_| "can be in no header"))?,
            sign_in,
            references: around.references.clone(),
            session: Session::new(around.clock.clone()),
        };
        Ok((template, Place::VaultKv2(vault)))
    }

    fn azure(
        &self,
        around: &Surroundings,
        deadline: Duration,
    ) -> Result<(Template, Place), SettingsError> {
        let table = Table(".azure");
        let settings = self.azure.clone().unwrap_or_default();
        let name = settings.name.as_deref().unwrap_or("{tenant}-{name}");
        let template =
            table.at("name", Template::parse(name, Kind::Credential, Alphabet::KeyVault))?;
        let remote = |key, set: Option<&String>, default: &str| {
            let address = set.map_or(default, String::as_str);
            table.at(key, Remote::new(around.egress.clone(), address, deadline))
        };
        let vault =
            remote("vault", Some(&table.given("vault", settings.vault.as_ref())?.to_owned()), "")?;
        let identity = match table.given("identity", settings.identity.as_ref())? {
            "client" => {
                let secret = settings.client_secret.as_ref().map(|it| &it.0);
                Identity::Client {
                    authority: remote(
                        "authority",
                        settings.authority.as_ref(),
                        "https://login.microsoftonline.com",
                    )?,
                    directory: table.given("directory", settings.directory.as_ref())?.to_owned(),
                    client_id: table.given("client_id", settings.client_id.as_ref())?.to_owned(),
                    client_secret: table.given("client_secret", secret)?.to_owned(),
                }
            }
            "managed" => Identity::Managed {
                metadata: remote("metadata", settings.metadata.as_ref(), "http://169.254.169.254")?,
                client_id: settings.client_id.clone(),
            },
            _ => return Err(table.fault("identity", "must be `client` or `managed`")),
        };
        let resource = settings.resource.as_deref().unwrap_or("https://vault.azure.net");
        let azure = Azure {
            vault,
            identity,
            resource: resource.trim_end_matches('/').to_owned(),
            references: around.references.clone(),
            session: Session::new(around.clock.clone()),
        };
        Ok((template, Place::AzureKeyVault(azure)))
    }
}

/// The parts of a mount: `team/kv` is two.
fn parts(text: &str) -> Result<Vec<String>, &'static str> {
    let parts: Vec<_> = text.trim_matches('/').split('/').map(str::to_owned).collect();
    let fits = |it: &String| !matches!(it.as_str(), "" | "." | "..");
    if parts.iter().all(fits) { Ok(parts) } else { Err("is no path of a mount") }
}

#[cfg(test)]
mod tests;
