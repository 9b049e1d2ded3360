//! Checks within seconds whether the Hub can be reached.
//!
//! The Hub's client has no limit on the time to connect, and tries again five times: on a machine
//! whose network swallows packets it would hang for minutes.

use std::error::Error;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use url::Url;

use crate::error::with_causes;

const ONE_ADDRESS: Duration = Duration::from_millis(1500);
const ALTOGETHER: Duration = Duration::from_secs(4);

/// The variables that send the Hub's client through a proxy.
const PROXIES: [&str; 6] =
    ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];

/// Opens and closes a connection to the endpoint. Behind a proxy nothing is tried: only the
/// client knows its way.
///
/// # Errors
/// Says why there is no way.
pub(crate) fn probe(endpoint: &str) -> Result<(), String> {
    let url = Url::parse(endpoint).map_err(|error| format!("{endpoint} is not an address: {error}"))?;
    if PROXIES.iter().any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty())) {
        return Ok(());
    }
    let (sender, receiver) = mpsc::channel();
    // In a second thread, because the lookup of a name has no time limit. After the limit its answer is ignored.
    thread::spawn(move || sender.send(connect(&url)));
    match receiver.recv_timeout(ALTOGETHER) {
        Ok(result) => result.map_err(|error| with_causes(&error as &dyn Error)),
        Err(_) => Err(format!("no answer within {} s", ALTOGETHER.as_secs())),
    }
}

fn connect(url: &Url) -> io::Result<()> {
    let mut addresses: Vec<SocketAddr> = url.socket_addrs(|| None)?;
    // A network without IPv6 often has IPv6 addresses that answer nothing.
    addresses.sort_by_key(SocketAddr::is_ipv6);
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        match TcpStream::connect_timeout(&address, ONE_ADDRESS) {
            Ok(_) => return Ok(()),
            Err(error) => last = error,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_listening_port_is_reached_and_a_closed_one_is_not() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        assert!(connect(&url).is_ok());
        drop(listener);
        assert!(connect(&url).is_err());
    }

    #[test]
    fn what_is_no_address_is_said_to_be_none() {
        assert!(probe("not an address").unwrap_err().contains("is not an address"));
    }
}
