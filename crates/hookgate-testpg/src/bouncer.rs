//! pgbouncer in front of a server.

use rustix::process::Signal;

use crate::cluster::{Cluster, PASSWORD};
use crate::place::{self, Place};
use crate::process::{self, Process};

/// For how long a client of pgbouncer has a connection of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// Until it goes.
    Session,
    /// For one transaction.
    Transaction,
}

/// A pgbouncer. Dropping it stops it.
#[derive(Debug)]
pub struct Bouncer {
    process: Option<Process>,
    port: u16,
    // Behind the process, which ends first.
    _place: Place,
}

impl Bouncer {
    /// One in front of every database of the server, on a port of loopback.
    ///
    /// `settings` are further lines of its configuration, as in `server_round_robin = 1`.
    #[must_use]
    pub fn start(cluster: &Cluster, pooling: Pooling, settings: &[&str]) -> Self {
        let place = Place::new();
        let port = process::free_port();
        let mode = match pooling {
            Pooling::Session => "session",
            Pooling::Transaction => "transaction",
        };
        let users = place.write("users.txt", &format!("\"postgres\" \"{PASSWORD}\"\n"));
        let text = format!(
            "[databases]\n* = host={} port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = plain\nauth_file = {}\n\
             pool_mode = {mode}\n{}\n",
            cluster.socket_folder().display(),
            cluster.port(),
            users.display(),
            settings.join("\n"),
        );
        let configuration = place.write("pgbouncer.ini", &text);
        let mut command = place.command(&place::program("pgbouncer"));
        let process = Process::start(command.arg(configuration), "process up")
            .unwrap_or_else(|said| panic!("pgbouncer: {said}"));
        place.write("pgbouncer.pid", &process.id().to_string());
        Self { process: Some(process), port, _place: place }
    }

    /// The superuser's URL of a database of the server.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        let password = PASSWORD.replace('/', "%2F");
        format!("postgres://postgres:{password}@127.0.0.1:{}/{database}", self.port)
    }
}

impl Drop for Bouncer {
    fn drop(&mut self) {
        if let Some(process) = self.process.take() {
            process.end(Signal::TERM);
        }
    }
}
