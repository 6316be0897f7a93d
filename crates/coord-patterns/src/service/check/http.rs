//! What a service answers to a GET.

use std::error::Error;
use std::io;
use std::num::NonZeroU16;
use std::pin::pin;

use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST, USER_AGENT};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use tokio::select;

use super::in_words;
use super::tcp::Tcp;
use crate::service::CheckError;
use crate::service::answer::Answer;

const AGENT: &str = concat!("coord-probe/", env!("CARGO_PKG_VERSION"));

/// Where to connect to, and what to ask there.
#[derive(Debug, Clone)]
pub(in crate::service) struct Http {
    server: Tcp,
    request: Request<String>,
}

impl Http {
    pub(super) fn parse(url: &str) -> Result<Self, CheckError> {
        let fault = |fault: &str| CheckError::Url {
            url: url.to_owned(),
            fault: fault.to_owned(),
        };
        let uri = url.parse::<Uri>();
        let uri = uri.map_err(|error| fault(&error.to_string()))?;
        let (scheme, authority) = match (uri.scheme_str(), uri.authority()) {
            (Some(scheme), Some(authority)) => (scheme, authority),
            _ => return Err(fault("it has to begin with `http://`")),
        };
        if scheme == "https" {
            return Err(CheckError::Https {
                url: url.to_owned(),
            });
        }
        if scheme != "http" {
            return Err(fault("it has to begin with `http://`"));
        }
        if authority.as_str().contains('@') {
            return Err(fault("a probe does not log in"));
        }
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let host = authority.host();
        let port = match authority.as_str().strip_prefix(host).unwrap_or_default() {
            "" => 80,
            port => port_of(port).ok_or_else(|| fault("its port is no number from 1 to 65535"))?,
        };
        let request = Request::get(path)
            .header(HOST, authority.as_str())
            .header(USER_AGENT, AGENT)
            .header(CONNECTION, "close")
            .body(String::new());
        Ok(Self {
            server: Tcp::new(host, port),
            request: request.map_err(|error| fault(&error.to_string()))?,
        })
    }

    pub(super) async fn ask(&self) -> Answer {
        match self.status().await {
            Ok(status) if (200..400).contains(&status) => Answer::good(&format!("HTTP {status}")),
            Ok(status) => Answer::bad(&format!("HTTP {status}")),
            Err(fault) => Answer::bad(&fault),
        }
    }

    async fn status(&self) -> Result<u16, String> {
        let stream = self.server.connect().await;
        let stream = stream.map_err(|error| in_words(&error))?;
        let connected = http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = connected.map_err(|error| told(&error))?;
        let mut response = pin!(sender.send_request(self.request.clone()));
        // The connection moves the bytes, and is dropped with this.
        let response = select! {
            biased;
            response = &mut response => response,
            _ = connection => response.await,
        };
        let response = response.map_err(|error| told(&error))?;
        Ok(response.status().as_u16())
    }
}

fn port_of(port: &str) -> Option<u16> {
    let port: NonZeroU16 = port.strip_prefix(':')?.parse().ok()?;
    Some(port.get())
}

/// What went wrong, in words.
fn told(error: &hyper::Error) -> String {
    let source = error
        .source()
        .and_then(|source| source.downcast_ref::<io::Error>());
    match source {
        Some(source) => in_words(source),
        None if error.is_parse() => "the answer is not HTTP".to_owned(),
        None => "the connection was closed without an answer".to_owned(),
    }
}
