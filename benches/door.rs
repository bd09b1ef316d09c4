//! What the door costs: who shows a token, whether they may, and the row of the audit trail.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up should stop")]

use std::sync::Arc;

use chrono::TimeDelta;
use clinical::clock::{Clock, SystemClock};
use clinical::id::{ClinicId, PatientId, SessionId, UserId};
use clinical::role::{Action, Permission, Resource, Role};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use gate::{Authenticator, TokenSettings};
use storage::audit::{Actor, Entry, Outcome, Trail};
use storage::db::Db;
use storage::records::member::{Member, Position};
use storage::records::session::{NewSession, Session};
use storage::records::user::User;
use storage::secret::{Keyring, SYSTEM};
use tokio::runtime::Runtime;

/// So many people are signed in before the clock runs: each is unknown to the process once.
const SIGNED_IN: usize = 20_000;
const ROWS: u64 = 1_024;

struct Door {
    db: Db,
    authenticator: Authenticator,
    sessions: Vec<(UserId, SessionId)>,
}

async fn door(url: &str) -> Door {
    let db = Db::open(url).await.unwrap();
    db.migrate().await.unwrap();
    let keyring = Keyring::from_text("a:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=").unwrap();
    let settings = TokenSettings::default();
    let authenticator =
        Authenticator::new("administrator", db.clone(), Arc::new(SystemClock), keyring.clone(), settings);
    let mut tx = db.begin().await.unwrap();
    let (now, email) = (SystemClock.now(), "ada@example.org".parse().unwrap());
    let user_id = User::create(&mut tx, &email, "Ada", None, now).await.unwrap().user_id;
    Member::add(&mut tx, ClinicId::DEFAULT, user_id, &Position::of(Role::Doctor), now).await.unwrap();
    let mut sessions = Vec::new();
    for _ in 0..SIGNED_IN {
        let session = NewSession {
            session_id: SessionId::new(),
            user_id,
            refresh_key: keyring.seal(SYSTEM, "session", &[0; 32]).unwrap(),
            means: "password".into(),
            address: None,
            device: None,
            expires_at: now + TimeDelta::days(7),
        };
        Session::begin(&mut tx, &session, now).await.unwrap();
        sessions.push((user_id, session.session_id));
    }
    tx.commit().await.unwrap();
    Door { db, authenticator, sessions }
}

impl Door {
    async fn token_of(&self, number: usize) -> String {
        let (user, session) = self.sessions[number % self.sessions.len()];
        self.authenticator.issue(user, session).await.unwrap().text
    }

    /// Who it is, and that they may read a patient.
    async fn lets_in(&self, token: &str) -> bool {
        let principal = self.authenticator.principal(token).await.unwrap();
        let permission = Permission { resource: Resource::Patient, action: Action::Read };
        principal.memberships.iter().filter_map(|it| it.role).any(|role| role.reach(permission).is_some())
    }
}

fn entry() -> Entry {
    Entry {
        clinic_id: ClinicId::DEFAULT,
        at: SystemClock.now(),
        actor: Actor::User(UserId::new()),
        role: Some(Role::Doctor),
        session: Some(SessionId::new()),
        action: "patient:read".to_owned(),
        record_id: None,
        patient_id: Some(PatientId::new()),
        route: "GET /api/v1/patients/{patientId}".to_owned(),
        address: Some("192.0.2.7".to_owned()),
        request_id: Some("r-1".to_owned()),
        outcome: Outcome::Success,
        detail: None,
    }
}

fn at_the_door(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut urls = vec![format!("sqlite:{}", folder.path().join("rows.sqlite").display())];
    #[expect(clippy::disallowed_methods, reason = "a benchmark has no Config")]
    urls.extend(std::env::var("BENCH_POSTGRES"));
    for url in urls {
        let door = runtime.block_on(door(&url));
        let mut group = criterion.benchmark_group(format!("door_{}", door.db.engine()));
        let seen = runtime.block_on(door.token_of(0));
        group.bench_function("token_seen_before", |bencher| {
            bencher.iter(|| runtime.block_on(door.lets_in(&seen)));
        });
        group.bench_function("new_token_of_a_known_session", |bencher| {
            // Each is signed anew: a nonce (`jti`) makes it another.
            let token = || runtime.block_on(door.token_of(0));
            bencher.iter_batched(
                token,
                |token| runtime.block_on(door.lets_in(&token)),
                BatchSize::PerIteration,
            );
        });
        let mut number = 0;
        group.bench_function("new_token_of_an_unknown_session", |bencher| {
            let token = || {
                number += 1;
                let (user, session) = door.sessions[number % SIGNED_IN];
                door.authenticator.forget_session(session);
                runtime.block_on(door.authenticator.issue(user, session)).unwrap().text
            };
            bencher.iter_batched(
                token,
                |token| runtime.block_on(door.lets_in(&token)),
                BatchSize::PerIteration,
            );
        });
        group.throughput(Throughput::Elements(ROWS));
        group.bench_function("audit_rows_64_at_a_time", |bencher| {
            let trail = runtime.block_on(async { Trail::new(door.db.clone()) });
            let write = async |_| {
                for _ in 0..ROWS / 64 {
                    trail.record(entry()).await.unwrap();
                }
            };
            bencher.iter(|| runtime.block_on(futures::future::join_all((0..64).map(write))));
        });
        group.finish();
    }
}

criterion_group!(benches, at_the_door);
criterion_main!(benches);
