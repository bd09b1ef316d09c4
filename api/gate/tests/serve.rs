//! The HTTP port over real sockets: slow clients, HTTP/2, and the end.

#![expect(clippy::unwrap_used, reason = "a test may end where what it stands on is missing")]

use std::time::Duration;

use bytes::Bytes;
use gate::testing::app;
use gate::{HttpLimits, Routes, Rule, layers, serve};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use storage::db::Db;
use storage::testing::now;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

struct Port {
    address: std::net::SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    server: JoinHandle<()>,
    _folder: tempfile::TempDir,
}

async fn open(limits: HttpLimits) -> Port {
    let folder = tempfile::tempdir().unwrap();
    let db = Db::open(&format!("sqlite:{}", folder.path().join("rows.sqlite").display())).await.unwrap();
    let (app, _) = app(&db, limits.clone(), now());
    let routes = Routes::new("smallest")
        .add(gate::get("/health", Rule::PUBLIC), async || "ok")
        .add(gate::get("/large", Rule::PUBLIC), async || vec![0_u8; 64 << 20])
        .add(
            gate::post("/body", Rule::PUBLIC),
            async |body: Result<Bytes, axum::extract::rejection::BytesRejection>| {
                body.map(|body| body.len().to_string()).map_err(|error| gate::body_problem(&error))
            },
        )
        .add(gate::get("/slow", Rule::PUBLIC), async || {
            sleep(Duration::from_millis(300)).await;
            "done"
        });
    let router = layers(routes, app);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let server = tokio::spawn(async move {
        serve(listener, router, limits, async {
            let _ = stopped.await;
        })
        .await;
    });
    Port { address, stop: Some(stop), server, _folder: folder }
}

impl Port {
    async fn send(&self, text: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        stream
    }

    /// Everything that comes back until the other side closes.
    async fn ask(&self, text: &str) -> String {
        rest_of(self.send(text).await).await
    }
}

async fn rest_of(mut stream: TcpStream) -> String {
    let mut all = Vec::new();
    // A reset after the answer is an end as well.
    let _ = timeout(Duration::from_secs(20), stream.read_to_end(&mut all)).await.expect("it closes");
    String::from_utf8_lossy(&all).into_owned()
}

const HEALTH: &str = "GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

/// The issue's own number: 300 slow connections do not fail a health probe.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_hundred_slow_clients_do_not_fail_a_health_probe() {
    let port = open(HttpLimits::default()).await;
    let mut slow = Vec::new();
    for number in 0..300 {
        let beginning = match number % 4 {
            0 => "",
            1 => "PRI * HT",
            2 => "GET /health HTTP/1.1\r\nhost",
            _ => "POST /body HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\nDI",
        };
        slow.push(port.send(beginning).await);
    }
    for _ in 0..20 {
        let began = Instant::now();
        assert!(port.ask(HEALTH).await.starts_with("HTTP/1.1 200"), "a probe failed");
        assert!(began.elapsed() < Duration::from_secs(1), "a probe took {:?}", began.elapsed());
    }
    assert_eq!(slow.len(), 300);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_finish_its_head_is_cut_off() {
    let limits = HttpLimits { header_read: Duration::from_millis(200), ..HttpLimits::default() };
    let port = open(limits).await;
    for beginning in ["", "PRI * HT", "GET /health HTTP/1.1\r\nhost: x\r\nslow: ", "P"] {
        let began = Instant::now();
        let _ = port.ask(beginning).await;
        let waited = began.elapsed();
        assert!(waited >= Duration::from_millis(150), "{beginning:?} was cut off after {waited:?}");
        assert!(waited < Duration::from_secs(5), "{beginning:?} was cut off after {waited:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_stops_coming_is_a_request_timeout() {
    let limits = HttpLimits { body_idle: Duration::from_millis(200), ..HttpLimits::default() };
    let port = open(limits).await;
    let answer = port.ask("POST /body HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nDI").await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("body-idle"), "{answer}");
}

/// The second client gets the only place as soon as the first has lost it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_take_its_answer_is_cut_off() {
    let limits =
        HttpLimits { body_idle: Duration::from_millis(200), connections: 1, ..HttpLimits::default() };
    let port = open(limits).await;
    let began = Instant::now();
    let _deaf = port.send("GET /large HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(port.ask(HEALTH).await.starts_with("HTTP/1.1 200"));
    assert!(began.elapsed() >= Duration::from_millis(150));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_the_connection_limit_a_client_waits_its_turn() {
    let limits = HttpLimits { connections: 1, ..HttpLimits::default() };
    let port = open(limits).await;
    let first = port.send("").await;
    let waiting = port.send(HEALTH).await;
    sleep(Duration::from_millis(100)).await;
    drop(first);
    assert!(rest_of(waiting).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_2_without_tls_is_spoken_as_well() {
    let port = open(HttpLimits::default()).await;
    let io = TokioIo::new(TcpStream::connect(port.address).await.unwrap());
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::get("http://x/health").body(Empty::<Bytes>::new()).unwrap();
    let answer = client.send_request(request).await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.version()), (200, http::Version::HTTP_2));
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "ok");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_in_flight_is_finished_and_nothing_new_is_taken() {
    let mut port = open(HttpLimits::default()).await;
    let in_flight = port.send("GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await;
    sleep(Duration::from_millis(100)).await;
    port.stop.take().unwrap().send(()).unwrap();
    let answer = rest_of(in_flight).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("done"), "{answer}");
    timeout(Duration::from_secs(5), &mut port.server).await.expect("it ends").unwrap();
    assert!(TcpStream::connect(port.address).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_finish_in_time_is_cut_off() {
    let limits = HttpLimits { shutdown: Duration::from_millis(50), ..HttpLimits::default() };
    let mut port = open(limits).await;
    let _stuck = port.send("POST /body HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nDI").await;
    sleep(Duration::from_millis(100)).await;
    port.stop.take().unwrap().send(()).unwrap();
    timeout(Duration::from_secs(5), &mut port.server).await.expect("it ends").unwrap();
}
