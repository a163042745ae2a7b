//! The proxy itself: what it does to connections.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use hookgate_testpg::{Proxy, Upstream};

/// A server that sends back what it gets.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || io::copy(&mut stream.try_clone().unwrap(), &mut stream));
        }
    });
    address
}

/// The same on a Unix socket.
fn echo_at(path: &std::path::Path) {
    let listener = std::os::unix::net::UnixListener::bind(path).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || io::copy(&mut stream.try_clone().unwrap(), &mut stream));
        }
    });
}

fn say(stream: &mut TcpStream, text: &str) -> io::Result<String> {
    stream.write_all(text.as_bytes())?;
    let mut answer = vec![0; text.len()];
    stream.read_exact(&mut answer)?;
    Ok(String::from_utf8(answer).unwrap())
}

#[test]
fn the_proxy_passes_cuts_freezes_delays_refuses_and_heals() {
    let proxy = Proxy::start(Upstream::Tcp(echo()));
    let mut stream = TcpStream::connect(proxy.address()).unwrap();
    assert_eq!(say(&mut stream, "one").unwrap(), "one");

    proxy.cut();
    let error = say(&mut stream, "two").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    let mut stream = TcpStream::connect(proxy.address()).unwrap();
    assert_eq!(say(&mut stream, "three").unwrap(), "three");

    proxy.freeze();
    let mut other = TcpStream::connect(proxy.address()).unwrap();
    for stream in [&mut stream, &mut other] {
        stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let error = say(stream, "four").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "nothing comes, and nothing ends");
    }
    proxy.heal();
    for stream in [&mut stream, &mut other] {
        stream.set_read_timeout(None).unwrap();
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"four", "what was held is passed on");
    }

    proxy.delay(Duration::from_millis(40));
    let began = Instant::now();
    assert_eq!(say(&mut stream, "five").unwrap(), "five");
    assert!(began.elapsed() >= Duration::from_millis(80), "there and back");

    proxy.refuse();
    assert!(say(&mut stream, "six").is_err());
    let refused = TcpStream::connect(proxy.address()).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    proxy.heal();
    let mut stream = TcpStream::connect(proxy.address()).unwrap();
    assert_eq!(say(&mut stream, "seven").unwrap(), "seven");
    assert_eq!(proxy.accepted(), 4);
    assert!(proxy.passed() > 0);
}

#[test]
fn a_frozen_connection_can_be_cut() {
    let proxy = Proxy::start(Upstream::Tcp(echo()));
    let mut stream = TcpStream::connect(proxy.address()).unwrap();
    assert_eq!(say(&mut stream, "one").unwrap(), "one");
    proxy.freeze();
    stream.write_all(b"two").unwrap();
    proxy.cut();
    let error = stream.read_exact(&mut [0; 3]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[test]
fn what_stands_behind_the_proxy_may_be_a_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    echo_at(&path);
    let proxy = Proxy::start(Upstream::Unix(path));
    let mut stream = TcpStream::connect(proxy.address()).unwrap();
    assert_eq!(say(&mut stream, "one").unwrap(), "one");
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0, "an end is passed on");
}
