//! A server in the test itself, for probes of services that are no servers.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::AbortHandle;

/// What a server does with a request.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reply {
    /// It answers with this status.
    Status(u16),
    /// It answers with this.
    Text(&'static str),
    /// It closes the connection.
    Close,
    /// It does nothing.
    Never,
}

/// A server that replies as it was told, with its last reply over and over.
pub(crate) struct Server {
    pub(crate) port: u16,
    requests: Arc<Mutex<Vec<String>>>,
    task: AbortHandle,
}

impl Server {
    pub(crate) async fn new<const N: usize>(replies: [Reply; N]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let requests = Arc::default();
        let task = tokio::spawn(serve(listener, replies.to_vec(), Arc::clone(&requests)));
        Self {
            port,
            requests,
            task: task.abort_handle(),
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/health", self.port)
    }

    /// The requests that have come, without their ends.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("nobody panicked").clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, replies: Vec<Reply>, requests: Arc<Mutex<Vec<String>>>) {
    let mut held = Vec::new();
    for index in 0.. {
        let (mut stream, _) = listener.accept().await.expect("it listens");
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut chunk = [0; 1024];
            match stream.read(&mut chunk).await {
                Ok(read) if read > 0 => request.extend(&chunk[..read]),
                // Whoever has asked has given up.
                _ => break,
            }
        }
        let request = String::from_utf8(request).expect("it is text");
        requests
            .lock()
            .expect("nobody panicked")
            .push(request.trim().to_owned());
        let text = match *replies.get(index).or(replies.last()).expect("there is one") {
            Reply::Status(status) => {
                format!("HTTP/1.1 {status} Whatever\r\nContent-Length: 1000\r\n\r\n")
            }
            Reply::Text(text) => text.to_owned(),
            Reply::Close => continue,
            Reply::Never => String::new(),
        };
        let _ = stream.write_all(text.as_bytes()).await;
        held.push(stream);
    }
}

/// A port that nobody listens at while this lives.
pub(crate) fn closed_port() -> (TcpSocket, u16) {
    let socket = TcpSocket::new_v4().expect("there is IPv4");
    let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    socket.bind(any).expect("a port is free");
    let port = socket.local_addr().expect("it is bound").port();
    (socket, port)
}
