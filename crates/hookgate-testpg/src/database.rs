//! A database of one test.

use postgres::{Client, NoTls};

use crate::cluster::Cluster;
use crate::proxy::Proxy;

/// A database; dropped with this value, whoever is still connected.
#[derive(Debug)]
pub struct Database<'a> {
    cluster: &'a Cluster,
    name: String,
}

impl<'a> Database<'a> {
    pub(crate) fn new(cluster: &'a Cluster, name: String) -> Self {
        Self { cluster, name }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The superuser's URL, by the Unix socket and without a password.
    #[must_use]
    pub fn url(&self) -> String {
        self.cluster.socket_url(&self.name)
    }

    /// The superuser's URL, by TCP and with a password.
    #[must_use]
    pub fn tcp_url(&self) -> String {
        self.cluster.tcp_url(&self.name)
    }

    /// The same through a network that can fail.
    #[must_use]
    pub fn url_through(&self, proxy: &Proxy) -> String {
        let (port, through) = (self.cluster.port(), proxy.address().port());
        self.tcp_url().replace(&format!("127.0.0.1:{port}/"), &format!("127.0.0.1:{through}/"))
    }

    /// The server that it is in.
    #[must_use]
    pub fn cluster(&self) -> &'a Cluster {
        self.cluster
    }

    /// A connection of the superuser.
    #[must_use]
    pub fn connect(&self) -> Client {
        Client::connect(&self.url(), NoTls).unwrap()
    }
}

impl Drop for Database<'_> {
    fn drop(&mut self) {
        // A server that a test has stopped goes with its folder.
        if let Ok(mut admin) = Client::connect(&self.cluster.socket_url("postgres"), NoTls) {
            let _ = admin.batch_execute(&format!("DROP DATABASE {} WITH (FORCE)", self.name));
        }
    }
}
