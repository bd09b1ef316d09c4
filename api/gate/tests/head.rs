//! How long the head of a request may be, over real sockets.

#![expect(clippy::unwrap_used, reason = "a test may end where what it stands on is missing")]

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::routing::get as on_get;
use bytes::Bytes;
use gate::{HttpLimits, serve};
use http_body_util::Empty;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// A port that takes heads of 16 KiB.
async fn open() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/health", on_get(async || "ok"));
    let limits = HttpLimits { head_bytes: 16 << 10, ..HttpLimits::default() };
    tokio::spawn(serve(listener, router, limits, std::future::pending()));
    address
}

/// RFC 6585, section 5: 431 Request Header Fields Too Large.
#[tokio::test]
async fn a_head_beyond_the_limit_is_refused_over_http_1() {
    let address = open().await;
    for (bytes, status) in [(12 << 10, "HTTP/1.1 200"), (20 << 10, "HTTP/1.1 431"), (1 << 20, "HTTP/1.1 431")]
    {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let filler = "x".repeat(bytes);
        let head =
            format!("GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\nfiller: {filler}\r\n\r\n");
        // Of the longest one the rest meets a closed connection.
        let _ = stream.write_all(head.as_bytes()).await;
        let mut answer = vec![0; 12];
        let read = timeout(Duration::from_secs(5), stream.read_exact(&mut answer)).await.unwrap();
        // A reset may overtake the refusal of a client that sends on.
        if bytes < 1 << 20 || read.is_ok() {
            assert_eq!(String::from_utf8_lossy(&answer), status, "{bytes} bytes");
        }
    }
}

#[tokio::test]
async fn a_head_beyond_the_limit_is_refused_over_http_2() {
    let address = open().await;
    for (bytes, status) in [(12 << 10, 200), (20 << 10, 431)] {
        let io = TokioIo::new(TcpStream::connect(address).await.unwrap());
        let (mut client, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
        tokio::spawn(connection);
        let request = http::Request::get("http://x/health").header("filler", "x".repeat(bytes));
        let answer = client.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{bytes} bytes");
    }
}
