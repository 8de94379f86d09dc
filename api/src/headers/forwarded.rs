//! The client's address, from the connection or from `X-Forwarded-For`.

use std::net::IpAddr;

use actix_web::http::header::HeaderMap;
use ipnet::IpNet;

/// The field in which proxies append the address of their client.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// Returns whether an address is that of a trusted proxy.
pub(crate) fn is_trusted(address: IpAddr, proxies: &[IpNet]) -> bool {
    let address = address.to_canonical();
    proxies.iter().any(|proxy| proxy.contains(&address))
}

/// Determines the address of the client.
///
/// Each proxy appends the address that it was called from. So the list is read from its end, as
/// long as a trusted proxy wrote the entry; anybody can have made up the entries before that.
pub(crate) fn client(peer: IpAddr, headers: &HeaderMap, proxies: &[IpNet]) -> IpAddr {
    let fields: Vec<&str> = headers
        .get_all(FORWARDED_FOR)
        .map(|field| field.to_str().unwrap_or_default())
        .collect();
    let mut client = peer.to_canonical();
    for noted in fields.iter().rev().flat_map(|field| field.rsplit(',')) {
        if !is_trusted(client, proxies) {
            break;
        }
        match noted.trim().parse::<IpAddr>() {
            Ok(address) => client = address.to_canonical(),
            Err(_) => break,
        }
    }
    client
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::{HeaderName, HeaderValue};

    fn client_of(peer: &str, fields: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for field in fields {
            let name = HeaderName::from_static(FORWARDED_FOR);
            headers.append(name, HeaderValue::from_str(field).unwrap());
        }
        let proxies = ["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
        client(peer.parse().unwrap(), &headers, &proxies).to_string()
    }

    #[test]
    fn only_what_trusted_proxies_noted_is_believed() {
        assert_eq!(client_of("192.0.2.1", &[]), "192.0.2.1");
        assert_eq!(client_of("192.0.2.1", &["198.51.100.9"]), "192.0.2.1");
        assert_eq!(client_of("10.0.0.1", &["198.51.100.9"]), "198.51.100.9");
        assert_eq!(
            client_of("::ffff:10.0.0.1", &["127.0.0.1, 198.51.100.9"]),
            "198.51.100.9"
        );
        assert_eq!(
            client_of("::1", &["203.0.113.7", "198.51.100.9, 10.2.3.4"]),
            "198.51.100.9"
        );
        assert_eq!(client_of("10.0.0.1", &["nonsense"]), "10.0.0.1");
    }
}
