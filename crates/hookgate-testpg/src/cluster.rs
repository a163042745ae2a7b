//! One PostgreSQL server with its folder.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};

use postgres::{Client, NoTls};
use rustix::process::Signal;

use crate::certificate;
use crate::database::Database;
use crate::place::{self, Place};
use crate::process::{self, Process};

/// The superuser's password, asked for over TCP. A Unix socket asks for none.
pub const PASSWORD: &str = "correct-horse+battery/staple";

/// Who may come in, and how.
const ACCESS: &str = "\
local all all trust
host all all 127.0.0.1/32 scram-sha-256
";

/// Free ports that somebody else may have taken before the server does.
const PORTS_MAX: usize = 8;

/// What differs from one server to another.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options<'a> {
    /// Whether a commit waits for the disk. Off by default: it costs most of a test's time.
    pub sync: bool,
    /// The names of its certificate, where it speaks TLS; its roots: [`Cluster::authority`].
    pub tls: Option<&'a [&'a str]>,
    /// Further settings, as in `work_mem=8MB`.
    pub settings: &'a [&'a str],
}

/// How a server stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Connections are cut, what is committed is written out.
    Fast,
    /// At once, as in a power cut of the service: the next start recovers.
    Immediate,
}

/// A PostgreSQL server. Dropping it stops it and removes its folder.
#[derive(Debug)]
pub struct Cluster {
    process: Mutex<Option<Process>>,
    settings: Vec<String>,
    port: u16,
    databases: AtomicU64,
    place: Place,
}

impl Cluster {
    /// The server of this test process, with the default options.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(&Options::default()))
    }

    /// A server of its own, running.
    #[must_use]
    pub fn start(options: &Options<'_>) -> Self {
        let place = Place::new();
        let data = place.path().join("data");
        let made = place
            .command(&place::program("initdb"))
            .args(["-N", "-U", "postgres", "-A", "trust", "--no-locale", "-E", "UTF8"])
            .arg("-D")
            .arg(&data)
            .output()
            .unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        std::fs::write(data.join("pg_hba.conf"), ACCESS).unwrap();
        let mut settings = settings(&place, options);
        for tries in 1.. {
            let port = process::free_port();
            settings.push(format!("port={port}"));
            match launch(&place, &settings) {
                Ok(process) => {
                    let cluster = Self {
                        process: Mutex::new(Some(process)),
                        settings,
                        port,
                        databases: AtomicU64::new(0),
                        place,
                    };
                    let statement = format!("ALTER ROLE postgres PASSWORD '{PASSWORD}'");
                    cluster.admin().batch_execute(&statement).unwrap();
                    return cluster;
                }
                Err(said) => assert!(
                    tries < PORTS_MAX && said.contains("Address already in use"),
                    "PostgreSQL: {said}"
                ),
            }
            settings.pop();
        }
        unreachable!("the loop returns or fails")
    }

    /// A connection of the superuser to the database `postgres`.
    pub fn admin(&self) -> Client {
        Client::connect(&self.socket_url("postgres"), NoTls).unwrap()
    }

    /// An empty database of its own.
    pub fn database(&self) -> Database<'_> {
        self.database_like("template0")
    }

    /// A database that begins as a copy of another, to which nobody is connected.
    pub fn database_like(&self, template: &str) -> Database<'_> {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.admin().batch_execute(&format!("CREATE DATABASE {name} TEMPLATE {template}")).unwrap();
        Database::new(self, name)
    }

    /// The superuser's URL of a database, by the Unix socket.
    #[must_use]
    pub fn socket_url(&self, database: &str) -> String {
        let folder = self.place.path().display().to_string().replace('/', "%2F");
        format!("postgres://postgres@{folder}:{}/{database}", self.port)
    }

    /// The superuser's URL of a database, by TCP and with a password.
    #[must_use]
    pub fn tcp_url(&self, database: &str) -> String {
        let password = PASSWORD.replace('/', "%2F");
        format!("postgres://postgres:{password}@127.0.0.1:{}/{database}", self.port)
    }

    /// The TCP port on loopback, also the number in the Unix socket's name.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where it listens on loopback.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// The folder of the Unix socket.
    #[must_use]
    pub fn socket_folder(&self) -> &Path {
        self.place.path()
    }

    /// The PEM file of the authority that signed the certificate of a server with TLS.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.place.path().join("authority.pem")
    }

    /// Stops it. Nothing happens to one that is stopped.
    pub fn stop(&self, how: Stop) {
        let Some(process) = self.process.lock().unwrap().take() else { return };
        process.end(match how {
            Stop::Fast => Signal::INT,
            Stop::Immediate => Signal::QUIT,
        });
    }

    /// Starts it again, on the same socket and port, and waits until it is ready.
    pub fn start_again(&self) {
        let mut process = self.process.lock().unwrap();
        if process.is_none() {
            *process = Some(launch(&self.place, &self.settings).unwrap());
        }
    }

    /// What the server has written to its log.
    pub fn log(&self) -> String {
        self.process.lock().unwrap().as_ref().map(Process::said).unwrap_or_default()
    }

    /// The number of the server's first process.
    pub fn process_id(&self) -> Option<u32> {
        self.process.lock().unwrap().as_ref().map(Process::id)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop(Stop::Immediate);
    }
}

fn launch(place: &Place, settings: &[String]) -> Result<Process, String> {
    let mut command = place.command(&place::program("postgres"));
    command.arg("-D").arg(place.path().join("data"));
    for setting in settings {
        command.args(["-c", setting]);
    }
    Process::start(&mut command, "database system is ready to accept connections")
}

fn settings(place: &Place, options: &Options<'_>) -> Vec<String> {
    let on_disk = if options.sync { "on" } else { "off" };
    let mut settings = vec![
        format!("unix_socket_directories={}", place.path().display()),
        "listen_addresses=127.0.0.1".to_owned(),
        "max_connections=200".to_owned(),
        "shared_buffers=64MB".to_owned(),
        "jit=off".to_owned(),
        // A recovery otherwise syncs a thousand files, one by one.
        "recovery_init_sync_method=syncfs".to_owned(),
        format!("fsync={on_disk}"),
        format!("full_page_writes={on_disk}"),
    ];
    if let Some(names) = options.tls {
        let made = certificate::make(names);
        place.write("authority.pem", &made.authority);
        let certificate = place.write("server.pem", &made.certificate);
        let key = place.write("server.key", &made.key);
        settings.push("ssl=on".to_owned());
        settings.push(format!("ssl_cert_file={}", certificate.display()));
        settings.push(format!("ssl_key_file={}", key.display()));
    }
    settings.extend(options.settings.iter().map(|it| (*it).to_owned()));
    settings
}
