//! Every range of the registries, its first and last address, and what stands beside it.

use std::net::IpAddr;

use ipnet::IpNet;
use proptest::prelude::*;

use super::{METADATA, Policy, Refused};

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn allowing(networks: &[&str]) -> Policy {
    Policy::new(networks.iter().map(|it| it.parse().unwrap()).collect())
}

#[track_caller]
fn check(policy: &Policy, text: &str, expected: Result<(), Refused>) {
    assert_eq!(policy.admits(address(text)), expected, "{text}");
}

/// IANA's IPv4 and IPv6 special-purpose registries (IPv6 as of 2025-10-09), and multicast.
/// The forms that carry an IPv4 address have tests of their own.
const REGISTERED: &[(&str, Refused)] = &[
    ("0.0.0.0/8", Refused::Unspecified),
    ("0.0.0.0/32", Refused::Unspecified),
    ("10.0.0.0/8", Refused::Private),
    ("100.64.0.0/10", Refused::Shared),
    ("127.0.0.0/8", Refused::Loopback),
    ("169.254.0.0/16", Refused::LinkLocal),
    ("172.16.0.0/12", Refused::Private),
    ("192.0.0.0/24", Refused::Reserved),
    ("192.0.0.0/29", Refused::Reserved),
    ("192.0.0.8/32", Refused::Reserved),
    ("192.0.0.9/32", Refused::Reserved),
    ("192.0.0.10/32", Refused::Reserved),
    ("192.0.0.170/32", Refused::Reserved),
    ("192.0.0.171/32", Refused::Reserved),
    ("192.0.2.0/24", Refused::Reserved),
    ("192.31.196.0/24", Refused::Reserved),
    ("192.52.193.0/24", Refused::Reserved),
    ("192.88.99.0/24", Refused::Reserved),
    ("192.168.0.0/16", Refused::Private),
    ("192.175.48.0/24", Refused::Reserved),
    ("198.18.0.0/15", Refused::Reserved),
    ("198.51.100.0/24", Refused::Reserved),
    ("203.0.113.0/24", Refused::Reserved),
    ("224.0.0.0/4", Refused::Multicast),
    ("240.0.0.0/4", Refused::Reserved),
    ("255.255.255.255/32", Refused::Reserved),
    ("::1/128", Refused::Loopback),
    ("::/128", Refused::Unspecified),
    ("100::/64", Refused::Reserved),
    ("100:0:0:1::/64", Refused::Reserved),
    ("2001:1::1/128", Refused::Reserved),
    ("2001:1::2/128", Refused::Reserved),
    ("2001:1::3/128", Refused::Reserved),
    ("2001:2::/48", Refused::Reserved),
    ("2001:3::/32", Refused::Reserved),
    ("2001:4:112::/48", Refused::Reserved),
    ("2001:10::/28", Refused::Reserved),
    ("2001:20::/28", Refused::Reserved),
    ("2001:30::/28", Refused::Reserved),
    ("2001:1ff::/32", Refused::Reserved),
    ("2001:db8::/32", Refused::Reserved),
    ("2620:4f:8000::/48", Refused::Reserved),
    ("3fff::/20", Refused::Reserved),
    ("5f00::/16", Refused::Reserved),
    ("fc00::/7", Refused::Private),
    ("fe80::/10", Refused::LinkLocal),
    ("fec0::/10", Refused::Private),
    ("ff00::/8", Refused::Multicast),
    // Not in the registry: never given out, and forms that were withdrawn.
    ("::ffff:0:0:0/96", Refused::Reserved),
    ("4000::/3", Refused::Reserved),
    ("e000::/4", Refused::Reserved),
];

#[test]
fn every_registered_range_is_refused_from_its_first_address_to_its_last() {
    let policy = Policy::default();
    for (range, cause) in REGISTERED {
        let net: IpNet = range.parse().unwrap();
        for it in [net.network(), net.broadcast()] {
            assert_eq!(policy.admits(it), Err(*cause), "{it} of {range}");
        }
    }
}

#[test]
fn what_stands_beside_a_range_is_public() {
    let public = [
        "1.0.0.0",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "169.253.255.255",
        "169.255.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.1.0",
        "192.0.3.0",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "198.20.0.0",
        "198.51.99.255",
        "198.51.101.0",
        "203.0.112.255",
        "203.0.114.0",
        "223.255.255.255",
        "8.8.8.8",
        "2000::",
        "2001:200::",
        "2001:db7:ffff::1",
        "2001:db9::",
        "2003::1",
        "2606:4700::6810:84e5",
        "2620:4f:7fff::1",
        "2620:4f:8001::1",
        "3ffe:ffff::1",
    ];
    for text in public {
        check(&Policy::default(), text, Ok(()));
    }
}

#[test]
fn an_ipv4_address_inside_an_ipv6_one_decides() {
    let policy = Policy::default();
    let forms: &[(&str, &str)] = &[
        ("mapped", "::ffff:"),
        ("compatible", "::"),
        ("NAT64", "64:ff9b::"),
        ("NAT64 of the local network", "64:ff9b:1::"),
    ];
    let inside: &[(&str, Result<(), Refused>)] = &[
        ("127.0.0.1", Err(Refused::Loopback)),
        ("10.1.2.3", Err(Refused::Private)),
        ("169.254.169.254", Err(Refused::Metadata)),
        ("168.63.129.16", Err(Refused::Metadata)),
        ("255.255.255.255", Err(Refused::Reserved)),
        ("93.184.216.34", Ok(())),
    ];
    for (name, prefix) in forms {
        for (inner, expected) in inside {
            let text = format!("{prefix}{inner}");
            assert_eq!(policy.admits(address(&text)), *expected, "{name}: {text}");
        }
    }
    // 6to4 of 127.0.0.1, 10.0.0.1, 93.184.216.34.
    check(&policy, "2002:7f00:1::", Err(Refused::Loopback));
    check(&policy, "2002:a00:1::5", Err(Refused::Private));
    check(&policy, "2002:5db8:d822::1", Ok(()));
    // Teredo: the server, and the client turned over; ac43:27dd is 83.188.216.34.
    check(&policy, "2001:0:7f00:1:0:0:ac43:27dd", Err(Refused::Loopback));
    check(&policy, "2001:0:5db8:d822:0:0:80ff:fffe", Err(Refused::Loopback));
    check(&policy, "2001:0:5db8:d822:0:0:f5ff:fffe", Err(Refused::Private));
    check(&policy, "2001:0:5db8:d822:0:0:ac43:27dd", Ok(()));
}

#[test]
fn a_local_nat64_address_that_can_be_read_in_two_ways_is_refused() {
    // With a prefix of 48 bits this is 10.0.0.1, with one of 96 bits 8.8.8.8.
    check(&Policy::default(), "64:ff9b:1:a00:0:100:808:808", Err(Refused::Reserved));
    check(&Policy::default(), "64:ff9b:1:0:7f:0:808:808", Err(Refused::Reserved));
    check(&allowing(&["64:ff9b:1::/48"]), "64:ff9b:1:a00:0:100:808:808", Ok(()));
}

#[test]
fn what_the_operator_lists_is_reached() {
    let policy = allowing(&["10.0.0.0/8", "127.0.0.1/32", "fd12::/16"]);
    check(&policy, "10.200.0.1", Ok(()));
    check(&policy, "::ffff:10.200.0.1", Ok(()));
    check(&policy, "64:ff9b::10.200.0.1", Ok(()));
    check(&policy, "127.0.0.1", Ok(()));
    check(&policy, "127.0.0.2", Err(Refused::Loopback));
    check(&policy, "fd12::1", Ok(()));
    check(&policy, "fd13::1", Err(Refused::Private));
    assert!(policy.lists(address("10.0.0.1")) && policy.lists(address("::ffff:10.0.0.1")));
    assert!(!policy.lists(address("8.8.8.8")) && !Policy::default().lists(address("8.8.8.8")));
}

#[test]
fn a_metadata_service_is_reached_only_when_it_is_named_itself() {
    for it in METADATA {
        assert_eq!(Policy::default().admits(it), Err(Refused::Metadata), "{it}");
        let wide = allowing(&["0.0.0.0/0", "::/0"]);
        assert_eq!(wide.admits(it), Err(Refused::Metadata), "{it}");
        let itself = Policy::new(vec![IpNet::from(it)]);
        assert_eq!(itself.admits(it), Ok(()), "{it}");
    }
    let wide = allowing(&["169.254.0.0/16", "fd00::/8"]);
    check(&wide, "169.254.169.254", Err(Refused::Metadata));
    check(&wide, "::ffff:169.254.169.254", Err(Refused::Metadata));
    check(&wide, "fd00:ec2::254", Err(Refused::Metadata));
    check(&wide, "169.254.1.1", Ok(()));
}

proptest! {
    #[test]
    fn no_form_of_a_refused_ipv4_address_is_admitted(bits: u32, other: u32) {
        let policy = Policy::default();
        let inner = std::net::Ipv4Addr::from_bits(bits);
        let judged = policy.admits(IpAddr::V4(inner));
        let (bits, other) = (u128::from(bits), u128::from(other));
        let forms = [
            0xffff_0000_0000 | bits,
            (0x0064_ff9b << 96) | bits,
            (0x2002 << 112) | (bits << 80) | other,
            (0x2001 << 112) | (bits << 64) | other,
            (0x2001 << 112) | (other << 64) | (!bits & 0xffff_ffff),
        ];
        for form in forms {
            let it = IpAddr::V6(std::net::Ipv6Addr::from_bits(form));
            prop_assert!(judged.is_ok() || policy.admits(it).is_err(), "{it} of {inner}");
        }
    }

    #[test]
    fn ipv6_outside_of_what_is_given_out_carries_ipv4_or_is_refused(bits: u128) {
        let it = std::net::Ipv6Addr::from_bits(bits);
        if Policy::default().admits(IpAddr::V6(it)).is_ok() {
            let [first, ..] = it.segments();
            prop_assert!(first >> 13 == 1 || matches!(first, 0 | 0x64), "{it}");
        }
    }
}
