//! TLS: who is believed in which mode.

use hookgate_store::ConnectFault;
use hookgate_testpg::{Cluster, Options};

use crate::{connect, one, refused};

fn is_encrypted(url: &str) -> bool {
    let statement = "SELECT ssl::text FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    one(&mut connect(url).unwrap(), statement) == "true"
}

#[test]
fn each_mode_asks_for_what_it_says() {
    let names = ["localhost", "127.0.0.1"];
    let cluster = Cluster::start(&Options { tls: Some(&names), ..Options::default() });
    let other = Cluster::start(&Options { tls: Some(&["elsewhere.test"]), ..Options::default() });
    let root = format!("sslrootcert={}", cluster.authority().display());
    let others_root = format!("sslrootcert={}", other.authority().display());
    let (url, others) = (cluster.tcp_url("postgres"), other.tcp_url("postgres"));

    // On loopback what is offered is taken, and nothing has to be proven.
    assert!(is_encrypted(&url));
    assert!(!is_encrypted(&format!("{url}?sslmode=disable")));
    assert!(is_encrypted(&format!("{url}?sslmode=prefer")));
    // `require` believes anybody, but with a root certificate it looks at the chain.
    assert!(is_encrypted(&format!("{url}?sslmode=require")));
    assert!(is_encrypted(&format!("{url}?sslmode=require&{root}")));
    let wrong = refused(&format!("{url}?sslmode=require&{others_root}"));
    assert_eq!(wrong.0, ConnectFault::Certificate, "{}", wrong.1);
    for mode in ["verify-ca", "verify-full"] {
        assert!(is_encrypted(&format!("{url}?sslmode={mode}&{root}")));
        // The system's authorities did not sign it.
        let unknown = refused(&format!("{url}?sslmode={mode}"));
        assert_eq!(unknown.0, ConnectFault::Certificate, "{}", unknown.1);
        assert!(unknown.1.contains("sslrootcert"), "{}", unknown.1);
        let wrong = refused(&format!("{url}?sslmode={mode}&{others_root}"));
        assert_eq!(wrong.0, ConnectFault::Certificate, "{}", wrong.1);
    }
    // Who names a root wants a check, on loopback too.
    let wrong = refused(&format!("{url}?{others_root}"));
    assert_eq!(wrong.0, ConnectFault::Certificate, "{}", wrong.1);
    // A certificate for another host, signed by who should.
    assert!(is_encrypted(&format!("{others}?sslmode=verify-ca&{others_root}")));
    let name = refused(&format!("{others}?sslmode=verify-full&{others_root}"));
    assert_eq!(name.0, ConnectFault::CertificateName, "{}", name.1);
    // The server's own certificate may be named in place of an authority.
    let own = cluster.socket_folder().join("server.pem");
    assert!(is_encrypted(&format!("{url}?sslmode=verify-full&sslrootcert={}", own.display())));

    for file in ["/nowhere.pem", "/etc/passwd"] {
        let (fault, shown) = refused(&format!("{url}?sslmode=verify-full&sslrootcert={file}"));
        assert_eq!(fault, ConnectFault::Roots, "{shown}");
        assert!(!shown.contains("staple"), "{shown}");
    }
}

#[test]
fn a_server_without_tls_is_refused_where_it_is_asked_for_and_elsewhere() {
    let url = Cluster::shared().tcp_url("postgres");
    assert!(!is_encrypted(&url));
    assert!(!is_encrypted(&format!("{url}?sslmode=prefer")));
    let (fault, shown) = refused(&format!("{url}?sslmode=require"));
    assert_eq!(fault, ConnectFault::NoTls, "{shown}");
    assert!(shown.contains("sslmode=disable"), "{shown}");
    // A machine elsewhere must prove itself without being asked to. `0.0.0.0` reaches this
    // machine, and is not loopback.
    let elsewhere = url.replace("127.0.0.1", "0.0.0.0");
    let (fault, shown) = refused(&elsewhere);
    assert_eq!(fault, ConnectFault::NoTls, "{shown}");
    assert!(!is_encrypted(&format!("{elsewhere}?sslmode=disable")));
}
