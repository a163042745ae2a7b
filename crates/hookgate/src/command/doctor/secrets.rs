//! The secrets against the checklists of the guides.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use hookgate_core::secret::Secret;
use hookgate_core::source::Verification;
use hookgate_secrets::MasterKeys;

use super::OTHERS;
use super::report::Report;
use crate::banner::in_force;
use crate::client::TOKEN_FILE;
use crate::config::{Config, Place, SourceConfig, verification_variable};
use crate::environment::Environment;
use crate::master;

/// A secret shorter than this can be guessed, in bytes. 16 hexadecimal digits are 64 bits.
const SECRET_BYTES_MIN: usize = 16;

/// Checks every source's secrets, and the gateway's own.
pub(super) fn check(
    config: &Config,
    environment: &Environment,
    report: &mut Report,
) -> anyhow::Result<()> {
    for source in &config.sources {
        source_secret(source, report);
    }
    admin_token(config, report);
    master_key(config, environment, report)?;
    supabase(environment, report)
}

fn source_secret(config: &SourceConfig, report: &mut Report) {
    let source = &config.source;
    let secrets = || source.secrets.shared().iter().chain(source.secrets.account_keys());
    let wanted = &config.wanted;
    if secrets().next().is_none() {
        return report.warn(
            &source.name,
            format!("{wanted} not set: anybody can send, and what comes goes into quarantine"),
            format!("{}; then set {wanted}", source.provider.dashboard),
        );
    }
    if config.is_placeholder {
        return report.fail(
            &source.name,
            format!("{wanted} holds a secret that was published in a guide"),
            format!("`hookgate secret new {}` makes another", source.provider.name),
        );
    }
    if let Some(fault) = secrets().find_map(fault) {
        return report.fail(
            &source.name,
            format!("{wanted}: {fault}"),
            "copy the secret again, alone",
        );
    }
    if secrets().any(|it| it.expose().len() < SECRET_BYTES_MIN) {
        return report.warn(
            &source.name,
            format!("{wanted} is short enough to be guessed"),
            format!("`hookgate secret new {}` makes another", source.provider.name),
        );
    }
    if source.verification == Verification::Record {
        return report.warn(
            &source.name,
            "what cannot be proven is answered with 200 and kept in quarantine".to_owned(),
            format!("set {}=enforce to refuse it", verification_variable(&source.name)),
        );
    }
    let from = config.origins.join(" and ");
    let mut text = format!("{} (from {from})", in_force(&source.secrets));
    if source.secrets.shared().len() > 1 {
        text.push_str("; take the old ones away when no platform uses them");
    }
    report.pass(&source.name, text);
}

/// What a secret looks like that was copied with something around it.
fn fault(secret: &Secret) -> Option<&'static str> {
    let text = secret.expose();
    if text.eq_ignore_ascii_case(b"bearer") {
        return Some("it begins with the word Bearer, which is no part of the secret");
    }
    let quoted = |quote: u8| text.first() == Some(&quote) || text.last() == Some(&quote);
    (quoted(b'"') || quoted(b'\'')).then_some("it has quotes around it")
}

fn admin_token(config: &Config, report: &mut Report) {
    match &config.admin_token {
        Some(token) if token.len() < SECRET_BYTES_MIN => report.warn(
            "operator's token",
            "HOOKGATE_ADMIN_TOKEN is short enough to be guessed".to_owned(),
            "`hookgate secret new` makes another",
        ),
        Some(_) => report.pass("operator's token", "HOOKGATE_ADMIN_TOKEN is set".to_owned()),
        None if matches!(config.store.place, Place::Postgres(_)) => report.warn(
            "operator's token",
            "HOOKGATE_ADMIN_TOKEN is not set, so each node makes a token of its own".to_owned(),
            "set it to the same on every node; `hookgate init` makes one",
        ),
        None => {
            let place = config.store.path.join(TOKEN_FILE);
            let state = if place.exists() { "lies" } else { "will be made on the first start" };
            report.pass("operator's token", format!("{state} in {}", place.display()));
        }
    }
}

/// What credentials are sealed with.
fn master_key(
    config: &Config,
    environment: &Environment,
    report: &mut Report,
) -> anyhow::Result<()> {
    let Some(keys) = environment.value("HOOKGATE_MASTER_KEY")? else {
        master_key_file(config, report);
        return Ok(());
    };
    if MasterKeys::parse(&keys).is_ok() {
        let mut text =
            "HOOKGATE_MASTER_KEY is the base64 of 32 bytes; keep a copy elsewhere".to_owned();
        if keys.split_whitespace().count() > 1 {
            text.push_str("; after `hookgate secret rewrap` the first alone is needed");
        }
        report.pass("master key", text);
    } else {
        report.fail(
            "master key",
            "HOOKGATE_MASTER_KEY is not the base64 of 32 bytes".to_owned(),
            "remove it from .env and run `hookgate init`, or copy it again",
        );
    }
    Ok(())
}

/// The key in the store's folder, which is made when no variable gives one.
fn master_key_file(config: &Config, report: &mut Report) {
    let place = config.store.path.join(master::KEY_FILE);
    match fs::metadata(&place) {
        Ok(it) if it.permissions().mode() & OTHERS != 0 => report.warn(
            "master key",
            format!("others on this machine may read {}", place.display()),
            format!("chmod 600 {}", place.display()),
        ),
        Ok(_) => report.pass(
            "master key",
            format!("lies in {}; keep a copy elsewhere, backups leave it out", place.display()),
        ),
        Err(_) if matches!(config.store.place, Place::Postgres(_)) => report.fail(
            "master key",
            "there is none, and every node needs the same".to_owned(),
            "set HOOKGATE_MASTER_KEY or HOOKGATE_MASTER_KEY_FILE; `hookgate init` makes one",
        ),
        Err(_) => {
            let text = format!("will be made on the first start, in {}", place.display());
            report.pass("master key", text);
        }
    }
}

/// Variables of the guide that ran on Supabase.
fn supabase(environment: &Environment, report: &mut Report) -> anyhow::Result<()> {
    let names = ["SUPABASE_URL", "SUPABASE_SERVICE_ROLE_KEY"];
    if let Some(variable) = environment.first(&names)? {
        report.warn(
            "Supabase",
            format!("{} is set, and Hookgate reads neither it nor the service role key", variable.origin),
            "remove both: events are kept in the store's folder, or in the project's database with \
             HOOKGATE_STORE=postgres://… (docs/supabase.md); and in MightyCall's settings the URL \
             https://<project>.supabase.co/functions/v1/mightycall-webhook becomes the one below, whose \
             path is the same",
        );
    }
    Ok(())
}
