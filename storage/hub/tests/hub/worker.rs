//! The queues side by side.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clinical::clock::{Clock, SystemClock};
use clinical::id::{StudyId, WebhookId};
use clinical::job::{Job, Queue};
use hub::dispatch;
use hub::worker::{Run, Worker};
use storage::db::{Db, sql};
use storage::queue::{self, QueueLimits};
use storage::testing::{fresh_postgres_url, on_both};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::support::CLINIC;

const PATIENCE: Duration = Duration::from_secs(20);

fn analysis() -> Job {
    Job::AnalyzeStudy { study_id: StudyId::new() }
}

fn word() -> Job {
    Job::DeliverEvent { webhook_id: WebhookId::new(), aggregate: "study:1".to_owned() }
}

async fn ask(db: &Db, job: &Job) {
    let mut tx = db.begin().await.unwrap();
    queue::pull_forward(&mut tx, CLINIC, job, SystemClock.now()).await.unwrap();
    tx.commit().await.unwrap();
}

/// Jobs of analysis wait until they are let go; all are written down when they are done.
#[derive(Clone)]
struct Bench {
    db: Db,
    gate: Arc<Semaphore>,
    at_work: Arc<AtomicUsize>,
    most_at_work: Arc<AtomicUsize>,
    done: Arc<Mutex<Vec<&'static str>>>,
}

impl Bench {
    fn new(db: &Db) -> Self {
        Self {
            db: db.clone(),
            gate: Arc::new(Semaphore::new(0)),
            at_work: Arc::default(),
            most_at_work: Arc::default(),
            done: Arc::default(),
        }
    }

    /// A worker that only the wake-ups can wake.
    fn worker(&self) -> Worker {
        let bench = self.clone();
        let run: Run = Arc::new(move |claimed| {
            let bench = bench.clone();
            Box::pin(async move {
                let at_work = bench.at_work.fetch_add(1, Ordering::SeqCst) + 1;
                bench.most_at_work.fetch_max(at_work, Ordering::SeqCst);
                if claimed.job.kind() == "analyze_study" {
                    bench.gate.acquire().await.unwrap().forget();
                }
                bench.at_work.fetch_sub(1, Ordering::SeqCst);
                let mut tx = bench.db.begin().await?;
                queue::finish(&mut tx, &claimed).await?;
                tx.commit().await?;
                bench.done.lock().unwrap().push(claimed.job.kind());
                Ok(())
            })
        });
        Worker {
            db: self.db.clone(),
            clock: Arc::new(SystemClock),
            limits: QueueLimits::default(),
            look: Duration::from_secs(3600),
            run,
        }
    }

    async fn until_done(&self, count: usize) {
        self.until(|| self.done.lock().unwrap().len() >= count).await;
    }

    async fn until(&self, is_so: impl Fn() -> bool) {
        let waited = async {
            while !is_so() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waited).await.expect("it comes in time");
    }
}

#[tokio::test]
async fn a_slow_queue_holds_up_no_other() {
    on_both(async |db| {
        let (bench, stop) = (Bench::new(&db), CancellationToken::new());
        let imaging = tokio::spawn(bench.worker().work(Queue::Imaging, 2, stop.clone()));
        let notification = tokio::spawn(bench.worker().work(Queue::Notification, 1, stop.clone()));
        let email = tokio::spawn(bench.worker().work(Queue::Email, 1, stop.clone()));
        for _ in 0..4 {
            ask(&db, &analysis()).await;
        }
        for _ in 0..3 {
            ask(&db, &word()).await;
        }
        bench.until_done(3).await;
        assert_eq!(*bench.done.lock().unwrap(), ["deliver_event"; 3]);
        bench.until(|| bench.most_at_work.load(Ordering::SeqCst) >= 2).await;
        bench.gate.add_permits(4);
        bench.until_done(7).await;
        assert_eq!(bench.most_at_work.load(Ordering::SeqCst).min(2), 2, "two analyses ran together");
        stop.cancel();
        for worker in [imaging, notification, email] {
            worker.await.unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn no_more_jobs_of_a_queue_run_together_than_it_may() {
    on_both(async |db| {
        let (bench, stop) = (Bench::new(&db), CancellationToken::new());
        for _ in 0..6 {
            ask(&db, &analysis()).await;
        }
        bench.gate.add_permits(6);
        let imaging = tokio::spawn(bench.worker().work(Queue::Imaging, 2, stop.clone()));
        bench.until_done(6).await;
        assert!(bench.most_at_work.load(Ordering::SeqCst) <= 2);
        stop.cancel();
        imaging.await.unwrap();
    })
    .await;
}

/// Here the job is taken away by hand; it would not end by itself.
#[tokio::test]
async fn a_job_that_another_has_taken_is_stopped() {
    on_both(async |db| {
        let (bench, stop) = (Bench::new(&db), CancellationToken::new());
        ask(&db, &analysis()).await;
        let mut worker = bench.worker();
        worker.limits.lease = chrono::TimeDelta::milliseconds(300);
        let working = tokio::spawn(worker.work(Queue::Imaging, 1, stop.clone()));
        let begun = async {
            while bench.at_work.load(Ordering::SeqCst) == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, begun).await.expect("it begins in time");
        let mut tx = db.begin().await.unwrap();
        sql("UPDATE jobs SET tries = tries + 1").execute(&mut tx).await.unwrap();
        tx.commit().await.unwrap();
        stop.cancel();
        tokio::time::timeout(PATIENCE, working).await.expect("it is stopped").unwrap();
        assert!(bench.done.lock().unwrap().is_empty());
    })
    .await;
}

/// Here nothing lets the job go on.
#[tokio::test]
async fn a_job_that_takes_too_long_is_stopped_and_has_failed() {
    on_both(async |db| {
        let (bench, stop) = (Bench::new(&db), CancellationToken::new());
        ask(&db, &analysis()).await;
        let mut worker = bench.worker();
        (worker.limits.longest, worker.limits.tries) = (chrono::TimeDelta::milliseconds(50), 1);
        let working = tokio::spawn(worker.work(Queue::Imaging, 1, stop.clone()));
        let buried = async {
            loop {
                let dead = queue::dead(&mut db.read().await.unwrap(), 9).await.unwrap();
                if let [dead] = dead.as_slice() {
                    return dead.last_error.clone();
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let word = tokio::time::timeout(PATIENCE, buried).await.expect("it is stopped in time");
        assert_eq!(word, "the job took too long");
        stop.cancel();
        working.await.unwrap();
        assert!(bench.done.lock().unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_stopped_worker_finishes_what_it_has_begun() {
    on_both(async |db| {
        let (bench, stop) = (Bench::new(&db), CancellationToken::new());
        let imaging = tokio::spawn(bench.worker().work(Queue::Imaging, 1, stop.clone()));
        ask(&db, &analysis()).await;
        while bench.at_work.load(Ordering::SeqCst) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        stop.cancel();
        bench.gate.add_permits(1);
        imaging.await.unwrap();
        assert_eq!(*bench.done.lock().unwrap(), ["analyze_study"]);
    })
    .await;
}

#[tokio::test]
async fn a_job_that_panics_has_failed_and_the_worker_goes_on() {
    on_both(async |db| {
        let (bench, stop) = (Bench::new(&db), CancellationToken::new());
        let mut worker = bench.worker();
        let run = worker.run;
        worker.run = Arc::new(move |claimed| {
            if claimed.job.kind() == "deliver_event" {
                run(claimed)
            } else {
                Box::pin(async { panic!("on purpose") })
            }
        });
        let clumsy = tokio::spawn(worker.clone().work(Queue::Imaging, 1, stop.clone()));
        let job = analysis();
        ask(&db, &job).await;
        let failed = async {
            loop {
                let depth = queue::depth_of(&mut db.read().await.unwrap(), CLINIC, &job).await.unwrap();
                if depth.queued == 1 && depth.running == 0 {
                    let mut read = db.read().await.unwrap();
                    let why: Option<String> = storage::db::sql("SELECT COALESCE(last_error, '') FROM jobs")
                        .fetch_optional(&mut read)
                        .await
                        .unwrap();
                    if why.as_deref() == Some("the job panicked") {
                        return;
                    }
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, failed).await.expect("it is written down as failed");
        assert!(!clumsy.is_finished());
        stop.cancel();
        clumsy.await.unwrap();
    })
    .await;
}

/// Two processes over PostgreSQL: here two pools over one schema, the worker in one, the request in the other.
#[tokio::test]
async fn work_begins_at_once_though_another_process_asked_for_it() {
    let url = fresh_postgres_url().await;
    let (ours, theirs) = (Db::open(&url).await.unwrap(), Db::open(&url).await.unwrap());
    ours.migrate().await.unwrap();
    let (bench, stop) = (Bench::new(&theirs), CancellationToken::new());
    let worker = tokio::spawn(bench.worker().work(Queue::Notification, 1, stop.clone()));
    let ear = tokio::spawn(dispatch::hear_others(theirs.clone(), stop.clone()));
    let relay = tokio::spawn(dispatch::relay(ours.clone(), stop.clone()));
    // Until the ear listens, nobody hears: each round asks anew.
    let mut asked = 0;
    let done = async {
        while bench.done.lock().unwrap().is_empty() {
            ask(&ours, &word()).await;
            asked += 1;
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    };
    tokio::time::timeout(PATIENCE, done).await.expect("the worker was woken");
    bench.until_done(asked).await;
    stop.cancel();
    worker.await.unwrap();
    ear.await.unwrap();
    relay.await.unwrap();
}
