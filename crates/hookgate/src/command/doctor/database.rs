//! The database, where the store is in one: whether it can be used, and how safely.

use std::path::Path;

use hookgate_store::{ConnectFault, PgSettings};

use super::report::Report;
use crate::output::counted;

/// What is in the spool.
fn contents(folder: &Path, settings: &PgSettings, report: &mut Report) {
    let found = match hookgate_store::look_at_spool(folder) {
        Ok(found) => found,
        Err(error) => {
            return report.fail(
                "spool",
                format!("{} cannot be read: {error}", folder.display()),
                "look at the disk, and at who may read the folder",
            );
        }
    };
    if found.damaged > 0 || found.refused > 0 {
        report.warn(
            "spool",
            format!(
                "{}, and {} that the database did not take",
                counted(found.damaged, "damaged stretch", "damaged stretches"),
                events(found.refused)
            ),
            "they are kept in its folders `damaged` and `refused`: docs/outage.md",
        );
    }
    let Some(oldest) = found.oldest_at else {
        return report.pass("spool", "nothing waits in it".to_owned());
    };
    settings.expect_owner_of_spool();
    match settings.connect("doctor").map_err(|error| error.fault()) {
        Err(ConnectFault::OtherStore) => report.fail(
            "spool",
            format!(
                "it holds {} of another store, the oldest since {oldest}",
                events(found.entries)
            ),
            "`hookgate serve` refuses to start: name the database they belong to, or another \
             folder in [store] spool",
        ),
        _ => report.warn(
            "spool",
            format!("it holds {}, the oldest since {oldest}", events(found.entries)),
            "a running node drains them when the database is back; do not remove the folder",
        ),
    }
}

fn events(count: u64) -> String {
    counted(count, "event", "events")
}

/// Connects, and says what there is to say. Changes nothing there.
pub(super) fn check(settings: &PgSettings, report: &mut Report) {
    // Everything that connecting checks, it says itself, with what to do.
    match settings.connect("doctor") {
        Ok(mut client) => match hookgate_store::rehearse(&mut client) {
            Ok(()) => report.pass(
                "database",
                format!("{settings}: connects, takes writes, and keeps a session"),
            ),
            Err(error) => report.fail(
                "database",
                format!("{settings}: {:#}", anyhow::Error::new(error)),
                "docs/postgres.md says more",
            ),
        },
        Err(error) => {
            let advice = match (error.may_pass(), &settings.spool) {
                (true, Some(_)) => "until then, nodes that run spool what comes",
                (true, None) => "until then, nodes that run answer webhooks with 503",
                (false, _) => "docs/postgres.md says more",
            };
            report.fail("database", format!("{:#}", anyhow::Error::new(error)), advice);
        }
    }
    if let Some(weakness) = settings.weakness() {
        report.warn(
            "database",
            weakness.to_owned(),
            "write sslmode=verify-full into its URL, and sslrootcert=FILE where its authority is not public",
        );
    }
    match &settings.spool {
        None => match hookgate_store::look_for_left_spool(&settings.node_folder) {
            Ok(()) => report.pass(
                "spool",
                "off: while the database is away, webhooks are answered with 503".to_owned(),
            ),
            Err(error) => report.fail(
                "spool",
                format!("{:#}", anyhow::Error::new(error)),
                "`hookgate serve` refuses to start until then: docs/outage.md",
            ),
        },
        Some(folder) => {
            let below = folder.ancestors().find(|it| it.exists());
            match below.and_then(hookgate_store::volatile) {
                Some(kind) => report.warn(
                    "spool",
                    format!(
                        "{} lies on {kind}, which goes with the machine or the container",
                        folder.display()
                    ),
                    "mount a disk there, or set [store] spool = \"off\"",
                ),
                None => report.pass("spool", format!("in {}", folder.display())),
            }
            contents(folder, settings, report);
        }
    }
}
