//! The production checklist of Vapi's security guide, line by line.

use hookgate_core::source::Verification;

use super::report::Report;
use crate::config::Config;

/// What the guide wants watched in the log.
const WATCHED: &str = "\"Security violation: Invalid call ownership\", \"Invalid webhook signature\" \
                       and \"Assistant ID mismatch\"";

/// Goes through the checklist, if the source is in use.
pub(super) fn check(config: &Config, report: &mut Report) {
    let source = config.sources.iter().find(|it| it.source.name == "vapi");
    let Some(source) = source.filter(|it| !it.source.secrets.is_empty()) else { return };
    let about = |line: &str| format!("vapi checklist, {line}");

    if source.source.verification == Verification::Enforce {
        let text = format!("{} is set and enforced", source.wanted);
        report.pass(&about("secret"), text);
    } else {
        let text = "what is not proven is taken into quarantine".to_owned();
        report.warn(&about("secret"), text, "set HOOKGATE_VAPI_VERIFICATION=enforce");
    }
    let is_https = config.tls.is_some()
        || config.public_url.as_deref().is_some_and(|it| it.starts_with("https://"));
    if is_https {
        report.pass(&about("HTTPS"), "the public URL is HTTPS".to_owned());
    } else {
        let text = "nothing says that webhooks come by HTTPS".to_owned();
        report.warn(&about("HTTPS"), text, "set HOOKGATE_PUBLIC_URL=https://… or [tls]");
    }
    let api = config.admin_listen.unwrap_or(config.listen);
    if api.ip().is_loopback() {
        let text = format!("the API listens on {api}, for this machine alone");
        report.pass(&about("firewall"), text);
    } else {
        report.warn(
            &about("firewall"),
            format!("the API listens on {api}, where others may reach it"),
            "set [server] admin_listen = \"127.0.0.1:9090\", or block /api and /metrics in front",
        );
    }
    report.pass(
        &about("middleware"),
        "limits, strict parsing and answers that say nothing are built in".to_owned(),
    );
    logging(config, report);
}

/// Whether the lines that the guide wants watched are written.
fn logging(config: &Config, report: &mut Report) {
    let about = "vapi checklist, logging";
    if config.log_level.split(',').any(|it| it.trim().eq_ignore_ascii_case("off")) {
        report.warn(
            about,
            "the log is off, so nobody sees a security violation".to_owned(),
            "set RUST_LOG=info",
        );
    } else {
        report.pass(about, format!("watch it for {WATCHED}"));
    }
    report.pass(
        "vapi checklist, audits",
        "run `hookgate audit` now and then (it exits with 1 when something needs a human), and \
         scripts/attack against a test gateway"
            .to_owned(),
    );
}
