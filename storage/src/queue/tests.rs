//! The queue on both databases.

use chrono::{DateTime, TimeDelta, Utc};
use clinical::id::{ClinicId, JobId, StudyId, WebhookId};
use clinical::job::{Job, Priority, Queue};

use super::*;
use crate::bell::Bell;
use crate::db::{Db, sql};
use crate::testing::{now, on_both};

const CLINIC: ClinicId = ClinicId::DEFAULT;

fn job() -> Job {
    Job::AnalyzeStudy { study_id: StudyId::new() }
}

async fn ask_now(db: &Db, job: &Job) {
    put_off_by(db, job, now(), TimeDelta::zero()).await;
}

async fn put_off_by(db: &Db, job: &Job, now: DateTime<Utc>, delay: TimeDelta) {
    let mut tx = db.begin().await.unwrap();
    put_off(&mut tx, CLINIC, job, now, delay).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn a_job_waits_for_its_time_and_each_request_puts_it_off() {
    on_both(async |db| {
        let (job, ten) = (job(), TimeDelta::seconds(10));
        put_off_by(&db, &job, now(), ten).await;
        put_off_by(&db, &job, now() + TimeDelta::seconds(8), ten).await;
        let limits = QueueLimits::default();
        assert_eq!(claim(&db, limits, now() + ten).await.unwrap(), None);
        assert!(!is_due(&mut db.read().await.unwrap(), now() + ten).await.unwrap());
        let later = now() + TimeDelta::seconds(18);
        assert!(is_due(&mut db.read().await.unwrap(), later).await.unwrap());
        let claimed = claim(&db, limits, later).await.unwrap().unwrap();
        assert_eq!((&claimed.job, claimed.tries), (&job, 1));
        assert_eq!(claim(&db, limits, later).await.unwrap(), None, "one worker has it");
        let mut read = db.read().await.unwrap();
        let mine = depth_of(&mut read, CLINIC, &claimed.job).await.unwrap();
        assert_eq!(mine, Depth { running: 1, ..Depth::default() });
        let other = Job::AnalyzeStudy { study_id: StudyId::new() };
        assert_eq!(depth_of(&mut read, CLINIC, &other).await.unwrap(), Depth::default());
    })
    .await;
}

/// Share locks that two upgrade at once were a deadlock on PostgreSQL; pynetdicom's parallel senders met it.
#[tokio::test]
async fn many_may_put_off_one_job_at_once() {
    on_both(async |db| {
        let (job, delay) = (job(), TimeDelta::milliseconds(4));
        let mut senders = tokio::task::JoinSet::new();
        for sender in 0..8 {
            let (db, job) = (db.clone(), job.clone());
            senders.spawn(async move {
                for step in 0..25 {
                    put_off_by(&db, &job, now() + TimeDelta::milliseconds(step * 8 + sender), delay).await;
                }
            });
        }
        senders.join_all().await;
        assert_eq!(depth(&mut db.read().await.unwrap()).await.unwrap().queued, 1);
    })
    .await;
}

#[tokio::test]
async fn a_request_during_the_work_is_not_lost() {
    on_both(async |db| {
        let (job, limits) = (job(), QueueLimits::default());
        put_off_by(&db, &job, now(), TimeDelta::zero()).await;
        let first = claim(&db, limits, now()).await.unwrap().unwrap();
        put_off_by(&db, &job, now(), TimeDelta::zero()).await;
        let mut tx = db.begin().await.unwrap();
        finish(&mut tx, &first).await.unwrap();
        tx.commit().await.unwrap();
        let second = claim(&db, limits, now()).await.unwrap().unwrap();
        assert_eq!(second.job, job);
    })
    .await;
}

#[tokio::test]
async fn an_urgent_request_overtakes_routine_work() {
    on_both(async |db| {
        let (routine, urgent, limits) = (job(), job(), QueueLimits::default());
        put_off_by(&db, &routine, now(), TimeDelta::zero()).await;
        put_off_by(&db, &urgent, now(), TimeDelta::hours(1)).await;
        let mut tx = db.begin().await.unwrap();
        pull_forward(&mut tx, CLINIC, &urgent, now()).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(claim(&db, limits, now()).await.unwrap().unwrap().job, urgent);
        assert_eq!(claim(&db, limits, now()).await.unwrap().unwrap().job, routine);
    })
    .await;
}

#[tokio::test]
async fn a_failing_job_comes_back_ever_later_and_dies_in_the_end() {
    on_both(async |db| {
        let limits = QueueLimits { tries: 3, ..QueueLimits::default() };
        put_off_by(&db, &job(), now(), TimeDelta::zero()).await;
        let mut at = now();
        for wait in [2, 4, 0] {
            let claimed = claim(&db, limits, at).await.unwrap().unwrap();
            let mut tx = db.begin().await.unwrap();
            fail(&mut tx, &claimed, "no disk", limits, at).await.unwrap();
            tx.commit().await.unwrap();
            assert_eq!(claim(&db, limits, at).await.unwrap(), None, "not at once");
            at += TimeDelta::seconds(wait);
        }
        let mut read = db.read().await.unwrap();
        assert_eq!(depth(&mut read).await.unwrap(), Depth { queued: 0, running: 0, dead: 1 });
        let dead = dead(&mut read, 10).await.unwrap();
        assert_eq!((dead[0].tries, dead[0].last_error.as_str()), (3, "no disk"));
    })
    .await;
}

#[tokio::test]
async fn the_job_of_a_vanished_worker_is_taken_over_and_at_last_buried() {
    on_both(async |db| {
        let limits = QueueLimits { tries: 2, ..QueueLimits::default() };
        put_off_by(&db, &job(), now(), TimeDelta::zero()).await;
        let mut at = now();
        for tries in [1, 2] {
            assert_eq!(claim(&db, limits, at).await.unwrap().unwrap().tries, tries);
            assert_eq!(claim(&db, limits, at).await.unwrap(), None);
            at += limits.lease;
        }
        assert_eq!(claim(&db, limits, at).await.unwrap(), None);
        assert_eq!(depth(&mut db.read().await.unwrap()).await.unwrap().dead, 1);
    })
    .await;
}

#[tokio::test]
async fn a_job_of_a_newer_program_does_not_stop_the_queue() {
    on_both(async |db| {
        let known = job();
        put_off_by(&db, &known, now(), TimeDelta::zero()).await;
        let mut tx = db.begin().await.unwrap();
        let newer = sql("INSERT INTO jobs (job_id, clinic_id, kind, job_key, body, priority, state, tries,
                                           run_at, enqueued_at)
                         VALUES ($1, $2, 'newer', 'x', $3, 99, 'queued', 0, $4, $4)");
        let newer =
            newer.bind(JobId::new()).bind(CLINIC).bind(serde_json::json!({"type": "newer"})).bind(now());
        newer.execute(&mut tx).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(claim(&db, QueueLimits::default(), now()).await.unwrap().unwrap().job, known);
        assert!(!is_due(&mut db.read().await.unwrap(), now()).await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn two_workers_never_hold_the_same_job() {
    on_both(async |db| {
        for _ in 0..20 {
            put_off_by(&db, &job(), now(), TimeDelta::zero()).await;
        }
        let mut workers = tokio::task::JoinSet::new();
        for _ in 0..4 {
            let db = db.clone();
            workers.spawn(async move {
                let mut taken = Vec::new();
                while let Some(claimed) = claim(&db, QueueLimits::default(), now()).await.unwrap() {
                    taken.push(claimed.job_id);
                }
                taken
            });
        }
        let mut taken = workers.join_all().await.concat();
        taken.sort();
        taken.dedup();
        assert_eq!(taken.len(), 20);
    })
    .await;
}

#[tokio::test]
async fn each_queue_gives_only_its_own_work() {
    on_both(async |db| {
        let limits = QueueLimits::default();
        let imaging = job();
        let word = Job::DeliverEvent { webhook_id: WebhookId::new(), aggregate: "study:1".to_owned() };
        ask_now(&db, &imaging).await;
        ask_now(&db, &word).await;
        assert!(is_due_in(&mut db.read().await.unwrap(), Queue::Notification, now()).await.unwrap());
        assert!(!is_due_in(&mut db.read().await.unwrap(), Queue::Email, now()).await.unwrap());
        assert_eq!(claim_from(&db, Queue::Email, limits, now()).await.unwrap(), None);
        assert_eq!(claim_from(&db, Queue::Notification, limits, now()).await.unwrap().unwrap().job, word);
        assert_eq!(claim_from(&db, Queue::Notification, limits, now()).await.unwrap(), None);
        assert_eq!(claim_from(&db, Queue::Imaging, limits, now()).await.unwrap().unwrap().job, imaging);
        let depth = depth_of_queue(&mut db.read().await.unwrap(), Queue::Imaging).await.unwrap();
        assert_eq!(depth, Depth { running: 1, ..Depth::default() });
    })
    .await;
}

/// What is delivered in order must not be in two hands.
#[tokio::test]
async fn the_same_job_never_runs_twice_at_once() {
    on_both(async |db| {
        let (job, limits) = (job(), QueueLimits::default());
        ask_now(&db, &job).await;
        let first = claim(&db, limits, now()).await.unwrap().unwrap();
        ask_now(&db, &job).await;
        assert_eq!(claim(&db, limits, now()).await.unwrap(), None);
        assert!(!is_due(&mut db.read().await.unwrap(), now()).await.unwrap());
        let mut tx = db.begin().await.unwrap();
        finish(&mut tx, &first).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(claim(&db, limits, now()).await.unwrap().unwrap().job, job);
    })
    .await;
}

#[tokio::test]
async fn a_request_waits_for_the_take_over_of_what_a_vanished_worker_had() {
    on_both(async |db| {
        let (job, limits) = (job(), QueueLimits::default());
        ask_now(&db, &job).await;
        let first = claim(&db, limits, now()).await.unwrap().unwrap();
        ask_now(&db, &job).await;
        let late = now() + limits.lease;
        let second = claim(&db, limits, late).await.unwrap().unwrap();
        assert_eq!((second.job_id, second.tries), (first.job_id, 2), "not the one that waits");
        assert_eq!(claim(&db, limits, late).await.unwrap(), None);
        let mut tx = db.begin().await.unwrap();
        assert_eq!(keep(&mut tx, &first, limits, late).await.unwrap(), 0, "it is in other hands");
        assert_eq!(keep(&mut tx, &second, limits, late).await.unwrap(), 1);
        finish(&mut tx, &second).await.unwrap();
        tx.commit().await.unwrap();
        assert_ne!(claim(&db, limits, late).await.unwrap().unwrap().job_id, first.job_id);
    })
    .await;
}

#[tokio::test]
async fn a_job_that_waits_for_later_is_not_pulled_forward_by_asking() {
    on_both(async |db| {
        let (job, limits, later) = (job(), QueueLimits::default(), now() + TimeDelta::minutes(5));
        let mut tx = db.begin().await.unwrap();
        super::ask(&mut tx, CLINIC, &job, Priority::Routine, later, now()).await.unwrap();
        super::ask(&mut tx, CLINIC, &job, Priority::Urgent, now(), now()).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(claim(&db, limits, now()).await.unwrap(), None);
        assert_eq!(claim(&db, limits, later).await.unwrap().unwrap().job, job);
    })
    .await;
}

#[tokio::test]
async fn a_dead_job_of_the_clinic_can_be_given_another_chance() {
    on_both(async |db| {
        let (job, limits) = (job(), QueueLimits { tries: 1, ..QueueLimits::default() });
        ask_now(&db, &job).await;
        let claimed = claim(&db, limits, now()).await.unwrap().unwrap();
        let mut tx = db.begin().await.unwrap();
        fail(&mut tx, &claimed, "no disk", limits, now()).await.unwrap();
        tx.commit().await.unwrap();
        let dead = dead_of(&mut db.read().await.unwrap(), CLINIC, None, 10).await.unwrap();
        assert_eq!(dead.iter().map(|dead| dead.job_id).collect::<Vec<_>>(), [claimed.job_id]);
        let theirs = ClinicId::new();
        assert_eq!(dead_of(&mut db.read().await.unwrap(), theirs, None, 10).await.unwrap(), []);
        let mut tx = db.begin().await.unwrap();
        assert!(matches!(replay(&mut tx, theirs, claimed.job_id, now()).await, Err(DbError::NotFound)));
        replay(&mut tx, CLINIC, claimed.job_id, now()).await.unwrap();
        tx.commit().await.unwrap();
        let again = claim(&db, limits, now()).await.unwrap().unwrap();
        assert_eq!((again.job, again.tries), (job, 1));
    })
    .await;
}

#[tokio::test]
async fn a_commit_that_asks_for_work_wakes_the_workers() {
    on_both(async |db| {
        let mut ear = db.bells().ear(Bell::Jobs);
        let mut tx = db.begin().await.unwrap();
        pull_forward(&mut tx, CLINIC, &job(), now()).await.unwrap();
        let patience = std::time::Duration::from_millis(20);
        assert!(tokio::time::timeout(patience, ear.rung()).await.is_err(), "not before the commit");
        tx.commit().await.unwrap();
        ear.rung().await;
    })
    .await;
}

/// The clinic of a small practice does not wait behind a whole hospital.
#[tokio::test]
async fn clinics_take_turns_and_what_is_urgent_goes_before() {
    on_both(async |db| {
        let (small, limits) = (ClinicId::new(), QueueLimits::default());
        let mut tx = db.begin().await.unwrap();
        sql("INSERT INTO clinics (clinic_id, name, created_at) VALUES ($1, 'small', $2)")
            .bind(small)
            .bind(now())
            .execute(&mut tx)
            .await
            .unwrap();
        for second in 0..4 {
            let at = now() - TimeDelta::seconds(10 - second);
            ask(&mut tx, CLINIC, &job(), Priority::Routine, at, now()).await.unwrap();
        }
        for _ in 0..2 {
            ask(&mut tx, small, &job(), Priority::Routine, now(), now()).await.unwrap();
        }
        tx.commit().await.unwrap();
        let mut order = Vec::new();
        for second in 0..4 {
            let at = now() + TimeDelta::seconds(second);
            order.push(claim(&db, limits, at).await.unwrap().unwrap().clinic_id);
        }
        let first = order[0];
        let second = if first == small { CLINIC } else { small };
        assert_eq!(order, [first, second, first, second]);

        let (spare, stat) = (job(), job());
        let mut tx = db.begin().await.unwrap();
        ask(&mut tx, small, &spare, Priority::Spare, now(), now()).await.unwrap();
        hurry(&mut tx, CLINIC, &stat, Priority::Stat, now()).await.unwrap();
        pull_forward(&mut tx, CLINIC, &stat, now()).await.unwrap();
        pull_forward(&mut tx, CLINIC, &job(), now()).await.unwrap();
        tx.commit().await.unwrap();
        let later = now() + TimeDelta::seconds(9);
        let next = claim(&db, limits, later).await.unwrap().unwrap();
        assert_eq!(next.job, stat, "and asked for once more, it is no less urgent");
        let mut rest = Vec::new();
        while let Some(claimed) = claim(&db, limits, later).await.unwrap() {
            rest.push(claimed.job);
        }
        assert_eq!((rest.len(), rest.last()), (4, Some(&spare)), "it waits for all the others");
    })
    .await;
}

#[tokio::test]
async fn what_a_clinic_wants_by_an_earlier_time_runs_first_among_its_own() {
    on_both(async |db| {
        let [any, late, early, stat] = [job(), job(), job(), job()];
        let mut tx = db.begin().await.unwrap();
        for job in [&any, &late, &early] {
            ask(&mut tx, CLINIC, job, Priority::Routine, now(), now()).await.unwrap();
        }
        hurry(&mut tx, CLINIC, &stat, Priority::Stat, now()).await.unwrap();
        for (job, minutes) in [(&late, 9), (&early, 9), (&early, 3), (&early, 7)] {
            wanted_by(&mut tx, CLINIC, job, now() + TimeDelta::minutes(minutes)).await.unwrap();
        }
        wanted_by(&mut tx, ClinicId::new(), &any, now()).await.unwrap();
        tx.commit().await.unwrap();
        let mut order = Vec::new();
        while let Some(claimed) = claim(&db, QueueLimits::default(), now()).await.unwrap() {
            order.push(claimed.job);
        }
        assert_eq!(order, [stat, early, late, any], "the earliest that was asked for counts");
    })
    .await;
}

#[tokio::test]
async fn what_is_taken_back_is_run_no_more() {
    on_both(async |db| {
        let (waiting, under_way, limits) = (job(), job(), QueueLimits::default());
        ask_now(&db, &under_way).await;
        let claimed = claim(&db, limits, now()).await.unwrap().unwrap();
        ask_now(&db, &waiting).await;
        assert!(is_held(&mut db.read().await.unwrap(), &claimed).await.unwrap());
        let mut tx = db.begin().await.unwrap();
        assert_eq!(cancel(&mut tx, ClinicId::new(), &waiting).await.unwrap(), 0, "another clinic's");
        assert_eq!(cancel(&mut tx, CLINIC, &waiting).await.unwrap(), 1);
        assert_eq!(cancel(&mut tx, CLINIC, &under_way).await.unwrap(), 1);
        assert_eq!(keep(&mut tx, &claimed, limits, now()).await.unwrap(), 0, "its worker stops");
        tx.commit().await.unwrap();
        assert!(!is_held(&mut db.read().await.unwrap(), &claimed).await.unwrap());
        assert_eq!(claim(&db, limits, now()).await.unwrap(), None);
        let mut tx = db.begin().await.unwrap();
        fail(&mut tx, &claimed, "stopped", limits, now()).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(depth(&mut db.read().await.unwrap()).await.unwrap(), Depth::default());
    })
    .await;
}

#[tokio::test]
async fn long_work_gives_way_to_what_is_more_urgent_and_comes_back() {
    on_both(async |db| {
        let (long, stat, limits) = (job(), job(), QueueLimits::default());
        ask_now(&db, &long).await;
        let claimed = claim(&db, limits, now()).await.unwrap().unwrap();
        ask_now(&db, &job()).await;
        let give_way = async |claimed| super::give_way(&db, Queue::Imaging, claimed, now()).await.unwrap();
        assert!(!give_way(&claimed).await, "what is no more urgent waits");
        let mut tx = db.begin().await.unwrap();
        hurry(&mut tx, CLINIC, &stat, Priority::Stat, now()).await.unwrap();
        tx.commit().await.unwrap();
        assert!(give_way(&claimed).await);
        let next = claim(&db, limits, now()).await.unwrap().unwrap();
        assert_eq!(next.job, stat);
        assert!(!give_way(&next).await, "nothing is more urgent than it");
        let mut rest = Vec::new();
        while let Some(claimed) = claim(&db, limits, now()).await.unwrap() {
            rest.push((claimed.job, claimed.tries));
        }
        assert!(
            rest.contains(&(long, 1)),
            "it comes back, and the try that gave way does not count: {rest:?}"
        );
    })
    .await;
}

#[tokio::test]
async fn jobs_claimed_together_are_the_most_urgent_and_each_goes_to_one_claimer() {
    on_both(async |db| {
        let limits = QueueLimits::default();
        let routine: Vec<Job> = std::iter::repeat_with(job).take(40).collect();
        for job in &routine {
            ask_now(&db, job).await;
        }
        let urgent = job();
        let mut tx = db.begin().await.unwrap();
        pull_forward(&mut tx, CLINIC, &urgent, now()).await.unwrap();
        tx.commit().await.unwrap();
        let first = claim_some(&db, Queue::Imaging, 3, limits, now()).await.unwrap();
        assert_eq!(
            first.iter().map(|claimed| &claimed.job).collect::<Vec<_>>(),
            [&urgent],
            "of one priority"
        );
        assert_eq!(claim_some(&db, Queue::Imaging, 3, limits, now()).await.unwrap().len(), 3);
        let claimers = (0..4).map(|_| claim_some(&db, Queue::Imaging, 11, limits, now()));
        let claimed = futures::future::join_all(claimers).await;
        let mut rest: Vec<Claimed> = claimed.into_iter().flat_map(Result::unwrap).collect();
        rest.extend(claim_some(&db, Queue::Imaging, 41, limits, now()).await.unwrap());
        let all: std::collections::HashSet<JobId> = rest.iter().map(|claimed| claimed.job_id).collect();
        assert_eq!((all.len(), rest.len()), (37, 37), "each once");
        assert!(rest.iter().all(|claimed| claimed.tries == 1));
    })
    .await;
}
