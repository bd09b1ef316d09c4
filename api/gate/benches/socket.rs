//! How soon a commit in one process is heard over the sockets of another, over PostgreSQL:
//! `cargo bench -p gate --bench socket -- 10000 500 10 20` is connections, commits a second, people a commit, seconds.
//!
//! This process commits and is every client; a child of it serves. Both share the machine's cores with the database.

#![expect(clippy::unwrap_used, reason = "a bench may end where what it stands on is missing")]

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use clinical::id::{ClinicId, UserId};
use clinical::role::Role;
use futures::{SinkExt, StreamExt};
use gate::socket::{Kinds, SocketLimits, Sockets};
use gate::testing::{app, token_of};
use gate::{App, HttpLimits, Rate, Rates, layers};
use serde_json::json;
use storage::bell::{self, Bell};
use storage::db::{Db, sql};
use storage::live::{self, Listing, NewMessage, To, relay};
use storage::records::member::Position;
use storage::testing::{fresh_postgres_url, now};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

const CLINIC: ClinicId = ClinicId::DEFAULT;
/// As the relay of the program gathers.
const GATHER: Duration = Duration::from_millis(4);
/// The word that makes a process of this program the one that serves.
const SERVE: &str = "serve";

fn limits() -> HttpLimits {
    let rates = Rates { stranger: Rate::new(0, 1), ..Rates::default() };
    HttpLimits { connections: 20_000, in_flight: 20_000, rates, ..HttpLimits::default() }
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    match words.first().map(String::as_str) {
        Some(SERVE) => runtime.block_on(serve(&words[1])),
        _ => {
            let number = |place: usize, usual: usize| {
                words.get(place).map_or(usual, |word| word.parse().expect("a number"))
            };
            let (connections, commits) = (number(0, 1_000), number(1, 100));
            runtime.block_on(measure(connections, commits, number(2, 10), number(3, 10)));
        }
    }
}

/// The other process: says where it listens, and serves until it is killed.
async fn serve(url: &str) {
    let db = Db::open(url).await.unwrap();
    let (app, _folder) = app(&db, limits(), now());
    let bounds = SocketLimits { queue: 1_024, ..SocketLimits::default() };
    let sockets = Sockets::new(app.clone(), bounds, Kinds::default());
    let router = layers(gate::socket::routes(sockets.clone()), app.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    std::io::stdout().flush().unwrap();
    tokio::spawn(async move { bell::listen(&db).await });
    tokio::spawn(async move { sockets.run(std::future::pending()).await });
    gate::serve(listener, router, limits(), std::future::pending()).await;
}

struct Service {
    child: Child,
    address: SocketAddr,
}

impl Service {
    fn start(url: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([SERVE, url])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, address: line.trim().parse().unwrap() }
    }

    /// Its memory, in KiB.
    fn memory_kib(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// New people and their tokens.
async fn people(app: &App, count: usize) -> Vec<(UserId, String)> {
    let mut people = Vec::with_capacity(count);
    for _ in 0..count {
        let token = token_of(app, CLINIC, &Position::of(Role::Patient)).await;
        people.push((UserId(uuid::Uuid::nil()), token));
    }
    let all = sql("SELECT user_id FROM users ORDER BY user_id DESC LIMIT $1").bind(count as i64);
    let ids: Vec<uuid::Uuid> = all.fetch_all(&mut app.db.read().await.unwrap()).await.unwrap();
    for (person, id) in people.iter_mut().rev().zip(ids) {
        person.0 = UserId(id);
    }
    people
}

/// One client: says when it is in, and how long each message took.
async fn client(
    address: SocketAddr,
    token: String,
    began: Instant,
    entered: Arc<AtomicUsize>,
    took: mpsc::UnboundedSender<Duration>,
) {
    let stream = TcpStream::connect(address).await.unwrap();
    let request = format!("ws://{address}/ws").into_client_request().unwrap();
    let small = WebSocketConfig::default().read_buffer_size(1_024).write_buffer_size(0);
    let (mut socket, _) =
        tokio_tungstenite::client_async_with_config(request, stream, Some(small)).await.unwrap();
    let hello = json!({"type": "authenticate", "token": token}).to_string();
    socket.send(Message::Text(hello.into())).await.unwrap();
    while let Some(Ok(message)) = socket.next().await {
        let Message::Text(text) = message else { continue };
        // Not read as JSON: the client's work must not count as ours.
        if let Some((_, at)) = text.split_once("\"at\":") {
            let digits = at.split(|c: char| !c.is_ascii_digit()).next().unwrap();
            let told = Duration::from_nanos(digits.parse().unwrap());
            let _ = took.send(began.elapsed().saturating_sub(told));
        } else if text.contains("\"authenticated\"") {
            entered.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Tells people; how long it took to write the message down, up to its commit.
async fn tell(db: &Db, to: To<'_>, began: Instant) -> Duration {
    let mut tx = db.begin().await.unwrap();
    let started = began.elapsed();
    let at = started.as_nanos() as u64;
    let body =
        json!({"at": at, "title": "A notice", "body": "Something has happened that you should know of."});
    let new = NewMessage { kind: "notification", body: &body, listing: Listing::Listed, dedupe_key: None };
    live::say(&mut tx, CLINIC, to, &new, now()).await.unwrap();
    let written = began.elapsed() - started;
    tx.commit().await.unwrap();
    written
}

fn report(name: &str, mut took: Vec<Duration>) {
    took.sort_unstable();
    let at = |part: f64| took.get(((took.len() as f64 * part) as usize).min(took.len().saturating_sub(1)));
    println!(
        "{name}: {} messages, p50 {:?}, p95 {:?}, p99 {:?}, max {:?}",
        took.len(),
        at(0.5).copied().unwrap_or_default(),
        at(0.95).copied().unwrap_or_default(),
        at(0.99).copied().unwrap_or_default(),
        took.last().copied().unwrap_or_default()
    );
}

/// What has come by now, once so many have or nothing comes any more.
async fn gather(heard: &mut mpsc::UnboundedReceiver<Duration>, count: usize) -> Vec<Duration> {
    let mut took = Vec::with_capacity(count);
    while took.len() < count {
        match tokio::time::timeout(Duration::from_secs(5), heard.recv()).await {
            Ok(Some(one)) => took.push(one),
            _ => break,
        }
    }
    took
}

async fn measure(connections: usize, commits: usize, fan: usize, seconds: usize) {
    let url = fresh_postgres_url().await;
    let db = Db::open(&url).await.unwrap();
    db.migrate().await.unwrap();
    let (app, _folder) = app(&db, limits(), now());
    println!("making {connections} people");
    let people = people(&app, connections).await;
    let service = Service::start(&url);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let empty = service.memory_kib();
    let (began, entered) = (Instant::now(), Arc::new(AtomicUsize::new(0)));
    let (took, mut heard) = mpsc::unbounded_channel();
    for (number, (_, token)) in people.iter().enumerate() {
        tokio::spawn(client(service.address, token.clone(), began, Arc::clone(&entered), took.clone()));
        // No faster than the system's queue of connections takes them.
        while number.saturating_sub(entered.load(Ordering::Relaxed)) > 200 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    while entered.load(Ordering::Relaxed) < connections {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let grown = service.memory_kib().saturating_sub(empty);
    println!(
        "{connections} connections in {:?}, {:.1} KiB each",
        began.elapsed(),
        grown as f64 / connections as f64
    );

    let relayed = db.clone();
    tokio::spawn(async move {
        let mut said = relayed.bells().ear(Bell::Said);
        loop {
            said.rung().await;
            tokio::time::sleep(GATHER).await;
            relay::place_all(&relayed).await.unwrap();
        }
    });

    let total = commits * seconds;
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / u32::try_from(commits).unwrap());
    let mut work = tokio::task::JoinSet::new();
    for number in 0..total {
        ticks.tick().await;
        let first = number * fan % people.len();
        let to: Vec<UserId> = people.iter().cycle().skip(first).take(fan).map(|(user, _)| *user).collect();
        let db = db.clone();
        // From before the message is written.
        work.spawn(async move { tell(&db, To::People(&to), began).await });
        while work.len() >= 16 {
            work.join_next().await;
        }
    }
    while work.join_next().await.is_some() {}
    report("commit to socket", gather(&mut heard, total * fan).await);

    for _ in 0..5 {
        let written = tell(&db, To::Everybody, began).await;
        let took = gather(&mut heard, connections).await;
        let since = took.iter().map(|took| took.saturating_sub(written)).collect();
        println!("a row for each of {connections} people written in {written:?}");
        report("broadcast, from its commit", since);
    }
    println!(
        "{:.1} KiB each at the end",
        service.memory_kib().saturating_sub(empty) as f64 / connections as f64
    );
}
