//! Where a target's calls may go: what is refused before and after the look-up of a name, and that nobody hears of it; and
//! that a redirect carries no token elsewhere.

use std::net::IpAddr;
use std::time::Duration;

use adapters::destinations::{Destinations, Forbidden, is_public};
use adapters::hostaway::Config;
use domain::call::CallPurpose;
use domain::channel::Section;
use domain::outcome::OutcomeClass;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::fixture::{Bench, Listing, inside};
use crate::sandbox::Sandbox;
use crate::slots::End;

#[test]
fn only_addresses_of_public_hosts_are_public() {
    let public = "1.1.1.1 8.8.8.8 100.63.255.255 100.128.0.0 172.15.0.1 172.32.0.1 192.167.0.1 223.255.255.255 \
                  2606:4700::1 2a00:1450::1 2400:cb00::1 ::ffff:1.1.1.1 64:ff9b::101:101";
    let other = "0.0.0.0 0.1.2.3 10.0.0.1 100.64.0.1 100.127.255.255 127.0.0.1 127.255.0.1 169.254.169.254 172.16.0.1 \
                 172.31.255.255 192.0.0.1 192.0.2.1 192.88.99.1 192.168.1.1 198.18.0.1 198.19.255.255 198.51.100.1 \
                 203.0.113.1 224.0.0.1 239.1.1.1 240.0.0.1 255.255.255.255 \
                 :: ::1 ::127.0.0.1 fc00::1 fd12::1 fe80::1 fec0::1 ff02::1 2001::1 2001:db8::1 2002:7f00:1::1 \
                 3fff::1 100::1 5f00::1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 64:ff9b::7f00:1 \
                 64:ff9b:1::1 4000::1";
    for (addresses, wanted) in [(public, true), (other, false)] {
        for address in addresses.split_whitespace() {
            assert_eq!(is_public(address.parse::<IpAddr>().unwrap()), wanted, "{address}");
        }
    }
}

#[tokio::test]
async fn a_base_url_is_refused_for_what_it_is_and_where_its_host_is() {
    let check = async |url: &str| Destinations::Public.check(url).await;
    for url in ["https://1.1.1.1/v1", "https://[2606:4700::1]/v1", "https://no-such-host.invalid/v1", "not a URL"] {
        assert_eq!(check(url).await, Ok(()), "{url}");
    }
    for url in ["http://1.1.1.1/v1", "http://api.hostaway.com/v1"] {
        assert!(matches!(check(url).await, Err(Forbidden::Plain(_))), "{url}");
    }
    for url in ["gopher://api.hostaway.com/v1", "ftp://1.1.1.1/", "localhost:8080", "javascript:alert(1)"] {
        let error = check(url).await.unwrap_err();
        assert!(error.to_string().contains("by https, not by"), "{error}");
        let error = Destinations::Any.check(url).await.unwrap_err();
        assert!(error.to_string().contains("by https or http, not by"), "{error}");
    }
    for url in ["https://api.hostaway.com:99999/v1", "https://", "https://[::1/v1", "https://a b/"] {
        assert!(matches!(check(url).await, Err(Forbidden::Unreadable(_))), "{url}");
    }
    for url in ["https://api.hostaway.com:0/v1", "https://1.1.1.1:00", "https://[2606:4700::1]:0/"] {
        assert_eq!(check(url).await, Err(Forbidden::NoPort), "{url}");
        assert_eq!(Destinations::Any.check(url).await, Err(Forbidden::NoPort), "{url}");
    }
    let hidden = ["https://2130706433/", "https://0x7f.1/", "https://0177.0.0.1/", "https://127.1/", "https://0/"];
    for url in hidden.into_iter().chain(["https://10.0.0.1:8443/v1", "https://[::1]/", "https://[::ffff:a00:1]/"]) {
        assert!(matches!(check(url).await, Err(Forbidden::Address(_))), "{url}");
    }
    let error = check("https://localhost/v1").await.unwrap_err();
    assert!(matches!(error, Forbidden::Host { .. }), "{error}");
    for url in [
        "https://localhost./v1",
        "https://nobody-knows.localhost/",
        "https://nas.local",
        "https://a.internal.",
        "https://x.home.arpa",
        "https://nobody-knows-intranet/v1",
        "https://nobody-knows-intranet.:8443/v1",
        "https://ip6-localhost/",
    ] {
        let error = check(url).await.unwrap_err();
        assert!(matches!(error, Forbidden::Name(_) | Forbidden::Host { .. }), "{url}: {error}");
    }
    assert_eq!(check("https://notlocalhost.example/").await, Ok(()));
    assert!(error.to_string().contains("--allow-private-channels"), "{error}");
    for url in ["http://localhost/v1", "https://nobody-knows-intranet/v1"] {
        assert_eq!(Destinations::Any.check(url).await, Ok(()), "{url}");
    }
}

/// Pushes to a listener of this machine; gives the report and whether anybody connected.
async fn pushed(scheme: &str, host: &str, config: &Config) -> (domain::port::PushReport, Bench, bool) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let bench = Bench::with(&format!("{scheme}://{host}:{port}/v1"), config);
    let report = bench.push(&Listing::new("villa-1"), &Section::ALL).await;
    let heard = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await.is_ok();
    (report, bench, heard)
}

#[tokio::test]
async fn a_literal_address_or_plain_http_is_refused_before_the_call_and_costs_no_slot() {
    for (scheme, host, why) in [
        ("http", "127.0.0.1", "is not https"),
        ("https", "127.0.0.1", "127.0.0.1 is no public address"),
        ("https", "0x7f.1", "127.0.0.1 is no public address"),
        ("https", "[::ffff:127.0.0.1]", "is no public address"),
    ] {
        let (report, bench, heard) = pushed(scheme, host, &Config::default()).await;
        assert!(!heard, "{host}");
        assert_eq!(report.class, OutcomeClass::Rejected, "{report:?}");
        let detail = report.detail.unwrap();
        assert!(detail.contains(why) && detail.contains("base_url"), "{detail}");
        assert!(bench.slots.taken().iter().all(|slot| slot.end == End::Unused), "{host}");
    }
}

#[tokio::test]
async fn a_name_whose_address_is_private_is_never_connected_to() {
    let (report, _, heard) = pushed("https", "localhost", &Config::default()).await;
    assert!(!heard, "{report:?}");
    assert_eq!(report.class, OutcomeClass::Transient, "names change: {report:?}");
    assert!(report.detail.as_ref().unwrap().contains("localhost is "), "{report:?}");
    assert!(report.detail.unwrap().contains("no public address"));
    // The same push with the operator's leave does connect, so it was the guard that kept it.
    let (_, _, heard) =
        pushed("https", "localhost", &Config { call_timeout: Duration::from_secs(1), ..inside() }).await;
    assert!(heard);
}

#[tokio::test]
async fn a_redirect_carries_neither_the_token_nor_the_secret_elsewhere() {
    let sandbox = Sandbox::start().await;
    let elsewhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = format!("http://{}/v1/stolen", elsewhere.local_addr().unwrap());
    let door = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = door.local_addr().unwrap();
    let (sandbox_url, status) = (sandbox.base_url(), ["301", "302", "303", "307", "308"]);
    // Hands token requests on to the sandbox; every other call, and with `tokens` those too, is redirected.
    for (code, tokens) in status.into_iter().flat_map(|code| [(code, false), (code, true)]) {
        let bench = Bench::with(&format!("http://{address}/v1"), &inside());
        let listing = Listing::new("villa-1");
        let push = bench.push(&listing, &Section::ALL);
        let answers = async {
            loop {
                let (mut stream, _) = door.accept().await.unwrap();
                let mut request = vec![0; 64 * 1024];
                let read = stream.read(&mut request).await.unwrap();
                let request = String::from_utf8_lossy(&request[..read]).into_owned();
                let answer = if request.contains("/accessTokens") && !tokens {
                    let form = [("grant_type", "client_credentials"), ("client_id", "10450")];
                    let form = [&form[..], &[("client_secret", crate::sandbox::SECRET), ("scope", "general")]].concat();
                    let url = format!("{sandbox_url}/accessTokens");
                    let body = reqwest::Client::new().post(url).form(&form).send().await.unwrap().text().await.unwrap();
                    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
                } else {
                    format!(
                        "HTTP/1.1 {code} Moved\r\nlocation: {place}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                    )
                };
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        };
        let report = tokio::select! {
            report = push => report,
            () = answers => unreachable!("it answers for ever"),
        };
        assert!(report.detail.as_ref().unwrap().contains("redirected to"), "{code}: {report:?}");
        let first = report.calls[0].purpose;
        assert_eq!((first, report.calls.len()), (CallPurpose::Token, if tokens { 1 } else { 2 }), "{report:?}");
        let heard = tokio::time::timeout(Duration::from_millis(20), elsewhere.accept()).await.is_ok();
        assert!(!heard, "{code}");
    }
}
