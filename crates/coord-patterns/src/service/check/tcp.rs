//! Whether somebody accepts a connection.

use std::io;
use std::num::NonZeroU16;

use tokio::net::TcpStream;

use crate::service::CheckError;

/// A host and a port.
#[derive(Debug, Clone)]
pub(in crate::service) struct Tcp {
    host: String,
    port: u16,
}

impl Tcp {
    pub(super) fn new(host: &str, port: u16) -> Self {
        // The brackets of `[::1]` belong to the text, not to the address.
        let bare = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        Self {
            host: bare.unwrap_or(host).to_owned(),
            port,
        }
    }

    pub(super) fn parse(address: &str) -> Result<Self, CheckError> {
        let fault = |fault| CheckError::Address {
            address: address.to_owned(),
            fault,
        };
        let (host, port) = address
            .rsplit_once(':')
            .ok_or_else(|| fault("it has no port"))?;
        if host.is_empty() || host.contains(|char: char| char.is_whitespace() || char == '/') {
            return Err(fault("what is before the port is no host"));
        }
        if host.contains(':') && !(host.starts_with('[') && host.ends_with(']')) {
            return Err(fault(
                "an IPv6 address stands in brackets, as in `[::1]:80`",
            ));
        }
        let port: NonZeroU16 = port
            .parse()
            .map_err(|_| fault("its port is no number from 1 to 65535"))?;
        Ok(Self::new(host, port.get()))
    }

    /// Connects to the first of the host's addresses that accepts.
    pub(super) async fn connect(&self) -> io::Result<TcpStream> {
        TcpStream::connect((&*self.host, self.port)).await
    }
}
