//! `hookgate doctor`: checks the set-up, and says what to do about it.

mod database;
mod report;
mod secrets;
mod tenancy;
mod vapi;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use hookgate_core::time::Timestamp;
use hookgate_ingress::Tls;
use hookgate_store::Archive;
use reqwest::StatusCode;

use self::report::Report;
use crate::cli::Doctor;
use crate::client::{self, Api};
use crate::config::{Config, Flags, Place};
use crate::environment::Environment;
use crate::exit::Outcome;
use crate::{dotenv, input};

/// A clock before this is wrong: the program was written then (2026-11-01, in
/// milliseconds).
const CLOCK_MIN: Timestamp = Timestamp::from_millis(1_793_491_200_000);

/// Permissions of anyone but the owner.
const OTHERS: u32 = 0o077;

/// Runs the command.
pub(crate) fn run(flags: &Doctor, environment: &Environment) -> anyhow::Result<Outcome> {
    let mut report = Report::default();
    let settings =
        Flags { config: flags.config.clone(), store: flags.store.clone(), ..Flags::default() };
    match Config::resolve(&settings, environment) {
        Err(error) => {
            report.fail("configuration", format!("{error:#}"), "mend it: nothing else was checked");
        }
        Ok(config) => {
            configuration(&config, &mut report);
            transport(&config, &mut report);
            clock(&mut report);
            match &config.store.place {
                Place::Folder(folder) => store(folder, &mut report),
                Place::Postgres(settings) => database::check(settings, &mut report),
            }
            disk(&config, &mut report);
            gateway(&config, environment, &mut report)?;
            secrets::check(&config, environment, &mut report)?;
            vapi::check(&config, &mut report);
            report.sources(&config);
        }
    }
    report.print(flags.json)
}

fn configuration(config: &Config, report: &mut Report) {
    match &config.file {
        Some(file) => report.pass("configuration", format!("{} is right", file.display())),
        None => report.pass("configuration", "no hookgate.toml: the defaults hold".to_owned()),
    }
    match fs::metadata(dotenv::FILE) {
        Ok(metadata) if metadata.permissions().mode() & OTHERS != 0 => {
            report.warn(".env", "others on this machine may read it".to_owned(), "chmod 600 .env");
        }
        Ok(_) => report.pass(".env", "readable by its owner alone".to_owned()),
        Err(_) => {}
    }
}

/// How requests come in: HTTPS, as every guide asks for.
fn transport(config: &Config, report: &mut Report) {
    match &config.public_url {
        None => report.warn(
            "public URL",
            "not set: the URLs below are those of this machine".to_owned(),
            "set HOOKGATE_PUBLIC_URL=https://… to what the platforms call",
        ),
        Some(url) if url.starts_with("https://") => report.pass("public URL", url.clone()),
        Some(url) => report.warn(
            "public URL",
            format!("{url} is not HTTPS: secrets in headers can be read on their way"),
            "put a proxy with HTTPS in front, or set [tls]",
        ),
    }
    if let Some(tls) = &config.tls {
        match Tls::from_files(&tls.certificate, &tls.key) {
            Ok(_) => report.pass(
                "certificate",
                format!("{} and its key go together", tls.certificate.display()),
            ),
            Err(error) => report.fail(
                "certificate",
                format!("{:#}", anyhow::Error::new(error)),
                "see [tls] in hookgate.toml",
            ),
        }
    }
    if config.require_https && config.tls.is_none() && config.trusted_proxies.is_empty() {
        report.fail(
            "HTTPS",
            "require_https refuses every request: there is neither [tls] nor a trusted proxy"
                .to_owned(),
            "set [tls], or name your proxy in [server] trusted_proxies",
        );
    }
}

fn clock(report: &mut Report) {
    let now = input::now();
    if now < CLOCK_MIN {
        report.fail(
            "clock",
            format!("it says {now}, which is past"),
            "set it (timedatectl set-ntp true): signatures of ElevenLabs and Retell carry a time",
        );
    } else {
        report.pass("clock", format!("it says {now}; compare that with your watch"));
    }
}

fn store(folder: &Path, report: &mut Report) {
    let place = folder.display();
    if !folder.exists() {
        let parent = folder.parent().filter(|it| *it != Path::new("")).unwrap_or(Path::new("."));
        match probe(parent) {
            Ok(()) => report.pass("store", format!("{place} will be made on the first start")),
            Err(error) => report.fail(
                "store",
                format!("{place} cannot be made: {error}"),
                "give its parent to the user that runs hookgate, or choose another with --store",
            ),
        }
        return;
    }
    match probe(folder) {
        Ok(()) => report.pass("store", format!("{place} can be written")),
        Err(error) => report.fail(
            "store",
            format!("{place} cannot be written: {error}"),
            "mount it writable and give it to the user that runs hookgate",
        ),
    }
    if let Err(error) = Archive::open(folder) {
        report.fail(
            "store",
            format!("{:#}", anyhow::Error::new(error)),
            "hookgate store check says more",
        );
    }
}

/// What the disk under the store is, and how full.
fn disk(config: &Config, report: &mut Report) {
    let folder = &config.store.path;
    let folder = if folder.exists() { folder } else { Path::new(".") };
    if let Some(kind) = hookgate_store::volatile(folder) {
        report.warn(
            "disk",
            format!("the store lies on {kind}, which goes with the machine or the container"),
            "mount a disk there",
        );
    }
    let Ok(found) = rustix::fs::statvfs(folder) else { return };
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    let used = found.f_blocks.saturating_sub(found.f_bfree);
    let Some(percent) = used.saturating_mul(100).checked_div(used.saturating_add(found.f_bavail))
    else {
        return;
    };
    let text = format!("{percent} % used, {} MiB free", free >> 20);
    let options = &config.store.options;
    if percent >= u64::from(options.disk_full_percent) {
        report.fail("disk", format!("{text}: webhooks are answered with 503"), "make room");
    } else if percent >= u64::from(options.disk_warn_percent) {
        report.warn("disk", text, "make room soon");
    } else {
        report.pass("disk", text);
    }
}

/// Writes a file in `folder` and takes it away again.
fn probe(folder: &Path) -> std::io::Result<()> {
    let path = folder.join(format!(".hookgate-doctor.{}", std::process::id()));
    fs::write(&path, b"probe")?;
    fs::remove_file(&path)
}

/// Whether one runs, and whether its clock is ours.
fn gateway(config: &Config, environment: &Environment, report: &mut Report) -> anyhow::Result<()> {
    let api = Api::new(environment, &config.store.path)?;
    client::block_on(async {
        if !api.is_there().await {
            report.pass("gateway", format!("none runs at {}", api.base()));
            return Ok(());
        }
        match api.get("/readyz", &[]).await {
            Ok(_) => report.pass("gateway", format!("runs at {} and takes webhooks", api.base())),
            Err(error) => report.fail("gateway", format!("{error:#}"), "look into its log"),
        }
        match api.get("/api/v1/sources", &[]).await {
            Ok(_) => {
                report.pass("API", "takes the operator's token".to_owned());
                if let Err(error) = tenancy::check(&api, report).await {
                    report.warn("tenants", format!("{error:#}"), "look into the gateway's log");
                }
            }
            Err(error) => {
                let advice = if client::is_status(&error, StatusCode::SERVICE_UNAVAILABLE) {
                    "look into the gateway's log"
                } else {
                    "set HOOKGATE_ADMIN_TOKEN to the operator's token"
                };
                report.warn("API", format!("{error:#}"), advice);
            }
        }
        Ok(())
    })
}
