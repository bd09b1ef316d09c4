//! How many e-mails a second reach a mail server over kept connections: `cargo bench -p notifications --bench mail --
//! 127.0.0.1:2525 20000` is the server and how many; with `MEDILINK_TEST_POSTGRES` over PostgreSQL as well.
//!
//! The server is Postfix's `smtp-sink`, which takes everything and keeps nothing (`-c` counts), and needs no Postfix (as root it wants `-u nobody`, too):
//!
//! ```sh
//! apt-get download postfix && dpkg -x postfix_*.deb postfix
//! LD_LIBRARY_PATH=postfix/usr/lib/postfix postfix/usr/sbin/smtp-sink -c 127.0.0.1:2525 1000
//! ```
//!
//! First messages go to the server alone; then notices go their whole way: a job each, and what became of it written down.

#![expect(clippy::unwrap_used, reason = "a measurement may end where what it stands on is missing")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use clinical::clock::{Clock, SystemClock};
use clinical::id::ClinicId;
use clinical::job::{Job, Queue};
use clinical::notice::{Notice, NoticeCategory, NoticeUrgency};
use clinical::role::Role;
use futures::FutureExt;
use gate::testing::{app, token_of};
use gate::{App, HttpLimits};
use hub::worker::{LOOK, Worker};
use notifications::Deliverer;
use notifications::channel::{Address, ChannelSettings, Outgoing, PushUrgency, Switchboard};
use storage::db::Db;
use storage::live::{self, To};
use storage::queue::{self, Claimed, QueueLimits};
use storage::records::member::Position;
use storage::records::webhook::target::Targets;
use storage::testing::{fresh_postgres_url, now};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const CLINIC: ClinicId = ClinicId::DEFAULT;
/// So many are under way at once; a mail server is spoken to over at most 20 connections.
const AT_ONCE: usize = 64;
/// So many jobs of the queue run together.
const SLOTS: usize = 20;
/// Each notice is mailed to so many people.
const PEOPLE: usize = 500;

#[tokio::main]
async fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    // `cargo test` runs every bench without a word: nothing is measured then.
    let Some((host, port)) = words.first().and_then(|address| address.rsplit_once(':')) else { return };
    let count = words.get(1).map_or(20_000, |count| count.parse().expect("a number"));
    rustls::crypto::aws_lc_rs::default_provider().install_default().unwrap();
    let settings = ChannelSettings {
        from_email: "clinic@example.org".into(),
        smtp_host: host.into(),
        smtp_port: port.into(),
        smtp_security: "none".into(),
        messages_per_second: 1_000_000,
        ..ChannelSettings::default()
    };
    let folder = tempfile::tempdir().unwrap();
    let mut urls = vec![format!("sqlite:{}", folder.path().join("rows.sqlite").display())];
    #[expect(clippy::disallowed_methods, reason = "a bench has no Config")]
    if std::env::var("MEDILINK_TEST_POSTGRES").is_ok() {
        urls.push(fresh_postgres_url().await);
    }
    for url in urls {
        println!("{}", url.split(':').next().unwrap());
        let db = Db::open(&url).await.unwrap();
        db.migrate().await.unwrap();
        let (app, _folder) = app(&db, HttpLimits::default(), now());
        let (keys, targets) = (app.authenticator.keyring().clone(), Targets::PrivateToo);
        let clock = Arc::new(SystemClock);
        let switchboard =
            Switchboard::new(db.clone(), clock.clone(), keys.clone(), settings.clone(), targets).unwrap();
        alone(&switchboard, count).await;
        let deliverer = Deliverer::new(db, clock, keys, switchboard, "https://app.example");
        whole_way(&app, &deliverer, count.div_ceil(PEOPLE)).await;
    }
}

/// Runs `one` until it says that nothing is left, so many at once, and says how fast.
async fn at_once<F: Future<Output = Option<Duration>> + Send + 'static>(
    name: &str,
    one: impl Fn() -> F + Clone + Send + Sync + 'static,
) {
    let (began, mut runners) = (Instant::now(), JoinSet::new());
    for _ in 0..AT_ONCE {
        let one = one.clone();
        runners.spawn(async move {
            let mut took = Vec::new();
            while let Some(time) = one().await {
                took.push(time);
            }
            took
        });
    }
    let mut took = runners.join_all().await.concat();
    let seconds = began.elapsed().as_secs_f64();
    took.sort_unstable();
    let p99 = took.get(took.len() * 99 / 100).copied().unwrap_or_default();
    println!(
        "{name}: {} in {seconds:.2} s, {:.0} a second, p99 {p99:?}",
        took.len(),
        took.len() as f64 / seconds
    );
}

fn message() -> Outgoing {
    Outgoing {
        dedupe_id: Uuid::new_v4(),
        to: Address::Email("ada@example.org".parse().unwrap()),
        subject: "A new message".to_owned(),
        text: "You have a new message. Sign in to read it.".to_owned(),
        html: Some("<p>You have a new message. Sign in to read it.</p>".to_owned()),
        enclosure: None,
        template: None,
        data: BTreeMap::new(),
        urgency: PushUrgency::Normal,
        ttl: Duration::from_secs(3_600),
    }
}

async fn alone(switchboard: &Switchboard, count: usize) {
    let (switchboard, left) = (switchboard.clone(), Arc::new(AtomicUsize::new(count)));
    at_once("messages handed over", move || {
        let (switchboard, left) = (switchboard.clone(), Arc::clone(&left));
        async move {
            left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).ok()?;
            let started = Instant::now();
            switchboard.send(CLINIC, &message()).await.unwrap();
            Some(started.elapsed())
        }
    })
    .await;
}

async fn whole_way(app: &App, deliverer: &Deliverer, notices: usize) {
    for _ in 0..PEOPLE {
        token_of(app, CLINIC, &Position::of(Role::Nurse)).await;
    }
    let notice =
        Notice::new(NoticeCategory::System, NoticeUrgency::High, "A notice", "Something has happened.");
    for _ in 0..notices {
        let mut tx = app.db.begin().await.unwrap();
        live::notify(&mut tx, CLINIC, To::Everybody, &notice, None, SystemClock.now()).await.unwrap();
        tx.commit().await.unwrap();
    }
    let limits = QueueLimits::default();
    while let Some(claimed) =
        queue::claim_from(&app.db, Queue::Notification, limits, SystemClock.now()).await.unwrap()
    {
        let Job::PlanNotice { notification_id } = claimed.job else { panic!("{:?}", claimed.job) };
        deliverer.plan(&claimed, notification_id).await.unwrap();
    }
    let count = notices * PEOPLE;
    let (stop, left) = (CancellationToken::new(), Arc::new(AtomicUsize::new(count)));
    let run = {
        let (deliverer, stop) = (deliverer.clone(), stop.clone());
        move |claimed: Claimed| {
            let (deliverer, stop, left) = (deliverer.clone(), stop.clone(), Arc::clone(&left));
            async move {
                let Job::MailNotice { delivery_id } = claimed.job else { panic!("{:?}", claimed.job) };
                deliverer.deliver(&claimed, delivery_id).await?;
                if left.fetch_sub(1, Ordering::Relaxed) == 1 {
                    stop.cancel();
                }
                Ok(())
            }
            .boxed()
        }
    };
    let (db, clock) = (app.db.clone(), Arc::new(SystemClock));
    let began = Instant::now();
    Worker { db, clock, limits, look: LOOK, run: Arc::new(run) }.work(Queue::Email, SLOTS, stop).await;
    let seconds = began.elapsed().as_secs_f64();
    println!("notices delivered: {count} in {seconds:.2} s, {:.0} a second", count as f64 / seconds);
}
