//! The private PostgreSQL itself.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may fail, and says how long it took"
)]

mod proxy;

use std::io::Read as _;
use std::process::{Command, Stdio};
use std::time::Instant;

use hookgate_testpg::{Bouncer, Cluster, Options, Pooling, Stop};
use postgres::{Client, NoTls};

fn one(client: &mut Client, statement: &str) -> String {
    client.query_one(statement, &[]).unwrap().get(0)
}

#[test]
fn two_databases_of_the_shared_server_do_not_see_each_other() {
    let (first, second) = (Cluster::shared().database(), Cluster::shared().database());
    first.connect().batch_execute("CREATE TABLE mine (n BIGINT)").unwrap();
    let found = second.connect().query("SELECT 1 FROM pg_class WHERE relname = 'mine'", &[]);
    assert!(found.unwrap().is_empty());
}

#[test]
fn a_server_that_is_stopped_at_once_has_what_was_committed_when_it_starts_again() {
    let started = Instant::now();
    let cluster = Cluster::start(&Options { sync: true, ..Options::default() });
    println!("a server of its own: {:?}", started.elapsed());
    let database = cluster.database();
    database.connect().batch_execute("CREATE TABLE kept AS SELECT 'there' AS word").unwrap();
    cluster.stop(Stop::Immediate);
    assert!(Client::connect(&database.url(), NoTls).is_err());
    let started = Instant::now();
    cluster.start_again();
    println!("started again: {:?}", started.elapsed());
    assert_eq!(one(&mut database.connect(), "SELECT word FROM kept"), "there");
}

#[test]
fn loopback_asks_for_the_password() {
    let database = Cluster::shared().database();
    assert_eq!(one(&mut Client::connect(&database.tcp_url(), NoTls).unwrap(), "SELECT 'in'"), "in");
    let wrong = database.tcp_url().replace("horse", "cow");
    assert!(Client::connect(&wrong, NoTls).is_err());
}

#[test]
fn pgbouncer_stands_in_front_of_a_database() {
    let database = Cluster::shared().database();
    for pooling in [Pooling::Session, Pooling::Transaction] {
        let bouncer = Bouncer::start(database.cluster(), pooling, &[]);
        let mut client = Client::connect(&bouncer.url(database.name()), NoTls).unwrap();
        assert_eq!(one(&mut client, "SELECT current_database()::text"), database.name());
    }
}

/// What the next test starts and kills; does nothing in the suite.
#[test]
fn a_server_for_another_test() {
    if std::env::var_os("HOOKGATE_TESTPG_HOLD").is_none() {
        return;
    }
    let cluster = Cluster::start(&Options::default());
    println!("\nserver {} {}", cluster.process_id().unwrap(), cluster.socket_folder().display());
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

#[test]
fn a_server_goes_with_the_test_that_is_killed() {
    use std::io::BufRead as _;
    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args(["a_server_for_another_test", "--exact", "--nocapture"])
        .env("HOOKGATE_TESTPG_HOLD", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = std::io::BufReader::new(holder.stdout.take().unwrap()).lines();
    let line = lines.map_while(Result::ok).find(|it| it.starts_with("server ")).unwrap();
    let mut words = line.split(' ').skip(1);
    let (process, folder) = (words.next().unwrap(), words.next().unwrap());
    assert!(std::path::Path::new(folder).join("data").exists());
    holder.kill().unwrap();
    holder.wait().unwrap();
    // The folder goes last, behind the server.
    let until = Instant::now() + std::time::Duration::from_secs(20);
    while std::path::Path::new(folder).exists() {
        assert!(Instant::now() < until, "{folder} is still there");
        std::thread::yield_now();
    }
    // One that has ended and that nobody has waited for has no words left.
    let words = std::fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    assert_eq!(String::from_utf8_lossy(&words), "");
}
