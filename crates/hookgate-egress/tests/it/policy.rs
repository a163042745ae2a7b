//! What a tenant's URL may not reach, however it is written.

use hookgate_core::address::Refused;
use hookgate_egress::{EgressError, Reach, Url};

use crate::bench::{Act, Server, answer, call, egress};

#[tokio::test]
async fn this_machine_is_refused_in_every_spelling() {
    let mut server = Server::start(Act::Say(answer("200 OK", "secret"))).await;
    let port = server.address.port();
    let egress = egress(&[]);
    let hosts = [
        "127.0.0.1",
        "127.1",
        "127.0.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "017700000001",
        "0177.0.0.1",
        "127.0.0.1.",
        "%31%32%37.0.0.1",
        "１２７.0.0.1",
        "localhost",
        "LOCALHOST",
        "[::1]",
        "[0:0:0:0:0:0:0:1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::127.0.0.1]",
        "[2002:7f00:1::]",
    ];
    for host in hosts {
        for scheme in ["http", "https"] {
            let url = format!("{scheme}://{host}:{port}/");
            let error = egress.send(call(&url)).await.unwrap_err();
            assert_eq!(error, EgressError::Refused(Refused::Loopback), "{url}");
            assert!(error.is_unsent() && !error.is_passing());
            let url = Url::parse(&url).unwrap();
            let admitted = egress.admits(&url, Reach::Public).await;
            assert_eq!(admitted, Err(EgressError::Refused(Refused::Loopback)), "{url}");
        }
    }
    // With a dot at its end, some resolvers know the name and some do not.
    let error = egress.send(call(&format!("https://localhost.:{port}/"))).await.unwrap_err();
    let refused = EgressError::Refused(Refused::Loopback);
    assert!(error == refused || error == EgressError::Unresolved, "{error:?}");
    for host in ["0", "0.0.0.0", "[::]"] {
        let error = egress.send(call(&format!("http://{host}:{port}/"))).await.unwrap_err();
        assert_eq!(error, EgressError::Refused(Refused::Unspecified), "{host}");
    }
    assert!(server.is_untouched());
}

#[tokio::test]
async fn private_addresses_and_metadata_services_are_refused() {
    let egress = egress(&[]);
    let rows = [
        ("https://10.0.0.1/", Refused::Private),
        ("https://192.168.1.1/", Refused::Private),
        ("https://169.254.169.254/latest/meta-data/", Refused::Metadata),
        ("http://169.254.169.254/metadata/identity/oauth2/token", Refused::Metadata),
        ("https://[fd00:ec2::254]/latest/", Refused::Metadata),
        ("https://[::ffff:169.254.169.254]/", Refused::Metadata),
        ("https://100.64.0.1/", Refused::Shared),
        ("https://[fe80::1]/", Refused::LinkLocal),
        ("https://224.0.0.1/", Refused::Multicast),
    ];
    for (url, cause) in rows {
        assert_eq!(egress.send(call(url)).await.unwrap_err(), EgressError::Refused(cause), "{url}");
        let checked = egress.check(&Url::parse(url).unwrap(), Reach::Public);
        assert_eq!(checked, Err(EgressError::Refused(cause)), "{url}");
    }
}

#[tokio::test]
async fn an_allowed_network_is_reached_and_its_neighbour_is_not() {
    let server = Server::start(Act::Say(answer("200 OK", "ok"))).await;
    let egress = egress(&["127.0.0.1/32"]);
    let port = server.address.port();
    for host in ["127.0.0.1", "2130706433", "[::ffff:127.0.0.1]", "localhost"] {
        let answer = egress.send(call(&format!("http://{host}:{port}/"))).await;
        assert_eq!(answer.map(|it| it.body).as_deref(), Ok(b"ok".as_slice()), "{host}");
    }
    let error = egress.send(call(&format!("http://127.0.0.2:{port}/"))).await.unwrap_err();
    assert_eq!(error, EgressError::Refused(Refused::Loopback));
}

#[tokio::test]
async fn of_the_addresses_of_a_name_only_the_allowed_one_is_connected_to() {
    // `localhost` is 127.0.0.1, where the server is, and on most systems ::1 too, which
    // alone is allowed.
    let mut server = Server::start(Act::Say(answer("200 OK", "secret"))).await;
    let port = server.address.port();
    let url = format!("http://localhost:{port}/");
    let error = egress(&["::1/128"]).send(call(&url)).await.unwrap_err();
    // Where the name has ::1 too, nobody listens there.
    let is_nobody = matches!(error, EgressError::Connect(_));
    assert!(is_nobody || error == EgressError::Refused(Refused::Loopback), "{error:?}");
    assert!(server.is_untouched());
}

#[tokio::test]
async fn plain_http_is_for_allowed_networks_only() {
    let egress = egress(&["127.0.0.0/8"]);
    let error = egress.send(call("http://93.184.216.34/")).await.unwrap_err();
    assert_eq!(error, EgressError::PlainHttp);
    assert!(error.is_unsent());
    let checked = egress.check(&Url::parse("http://8.8.8.8/").unwrap(), Reach::Public);
    assert_eq!(checked, Err(EgressError::PlainHttp));
    assert_eq!(egress.check(&Url::parse("https://8.8.8.8/").unwrap(), Reach::Public), Ok(()));
    assert_eq!(egress.check(&Url::parse("http://8.8.8.8/").unwrap(), Reach::Anywhere), Ok(()));
}

#[tokio::test]
async fn other_schemes_go_nowhere() {
    let egress = egress(&["0.0.0.0/0"]);
    for url in
        ["ftp://127.0.0.1/", "file:///etc/passwd", "gopher://127.0.0.1/", "data:text/plain,x"]
    {
        for reach in [Reach::Public, Reach::Anywhere] {
            let mut get = call(url);
            get.reach = reach;
            assert_eq!(egress.send(get).await.unwrap_err(), EgressError::Scheme, "{url}");
        }
    }
}

#[tokio::test]
async fn a_header_with_a_line_break_cannot_be_made() {
    // The types of `http` hold it, so that no caller has to remember.
    assert!(http::HeaderValue::from_str("a\r\nx: b").is_err());
    assert!(http::HeaderValue::from_bytes(b"a\nb").is_err());
    assert!(http::HeaderName::from_bytes(b"a\r\nb").is_err());
}
