//! Jobs: copies to make from one store to another.

use domain::{Job, JobCounts, NewJob, RandomId, Sha1};
use futures_util::future::join_all;
use harness::TestDatabase;
use persistence::Database;

use crate::{at, on_every_database, some_content, some_id};

on_every_database! {
    a_job_is_added_once,
    jobs_that_are_added_concurrently_are_counted_once,
    a_job_has_one_holder,
    an_expired_claim_on_a_job_changes_nothing,
    a_published_job_is_not_listed_but_can_be_claimed,
    a_failed_job_is_retried_until_it_is_dead,
    the_jobs_of_a_transfer_are_counted_and_removed,
}

async fn a_job_is_added_once(database: &Database, _: &TestDatabase) {
    let jobs = database.jobs();
    let [first, second, third] = [(); 3].map(|()| some_job());
    assert_eq!(jobs.insert_many(&[], at(1)).await.unwrap(), 0);
    let two = [first.clone(), second.clone()];
    assert_eq!(jobs.insert_many(&two, at(1)).await.unwrap(), 2);
    let again = [
        NewJob {
            due_at: at(9),
            ..first.clone()
        },
        third.clone(),
        third.clone(),
    ];
    assert_eq!(jobs.insert_many(&again, at(2)).await.unwrap(), 1);
    let elsewhere = NewJob {
        to: "elsewhere".to_owned(),
        keeps_source: true,
        transfer: Some(some_id()),
        ..first.clone()
    };
    let added = jobs.insert_many(std::slice::from_ref(&elsewhere), at(3));
    assert_eq!(added.await.unwrap(), 1);

    let listed = jobs.list_due(at(5), 9).await.unwrap();
    let expected = [(first, 1), (second, 1), (third, 2), (elsewhere, 3)];
    let expected = listed.iter().zip(expected).map(|(found, (job, time))| Job {
        id: found.id,
        sha1: job.sha1,
        size: job.size,
        from: job.from,
        to: job.to,
        keeps_source: job.keeps_source,
        transfer: job.transfer,
        due_at: at(5),
        attempts: 0,
        error: None,
        is_dead: false,
        create_at: at(time),
    });
    assert_eq!(listed, expected.collect::<Vec<_>>());
    assert_eq!(listed.len(), 4);
    let found = jobs.find(listed[0].id).await.unwrap();
    assert_eq!(found.as_ref(), listed.first());
    assert_eq!(jobs.find(-1).await.unwrap(), None);
}

async fn jobs_that_are_added_concurrently_are_counted_once(database: &Database, _: &TestDatabase) {
    let jobs = database.jobs();
    // These take more than one statement.
    let all: Vec<NewJob> = (0..1100).map(|_| some_job()).collect();
    let added = join_all((0..4).map(|_| jobs.insert_many(&all, at(1)))).await;
    let added: u64 = added.into_iter().map(Result::unwrap).sum();
    assert_eq!(added, 1100);
    assert_eq!(jobs.counts().await.unwrap().waiting, 1100);
    let listed = jobs.list_due(at(5), 2000).await.unwrap();
    let held = jobs.claim(listed[0].id, "a", at(5), at(9)).await.unwrap();
    assert!(held.is_some(), "a new job is unclaimed");
}

async fn a_job_has_one_holder(database: &Database, _: &TestDatabase) {
    let jobs = database.jobs();
    for _ in 0..5 {
        let id = add(database, some_job()).await;
        let holders: Vec<String> = (0..8).map(|number| format!("holder {number}")).collect();
        let all = holders
            .iter()
            .map(|holder| jobs.claim(id, holder, at(10), at(20)));
        let held = join_all(all).await;
        let held: Vec<Option<Job>> = held.into_iter().map(Result::unwrap).collect();
        assert_eq!(held.iter().flatten().count(), 1);
        let finished = join_all(holders.iter().map(|holder| jobs.finish(id, holder))).await;
        for (finished, held) in finished.into_iter().zip(held) {
            assert_eq!(finished.unwrap(), held.is_some());
        }
        assert_eq!(jobs.find(id).await.unwrap(), None);
    }
}

async fn an_expired_claim_on_a_job_changes_nothing(database: &Database, _: &TestDatabase) {
    let jobs = database.jobs();
    let id = add(database, some_job()).await;
    let held = jobs.claim(id, "first", at(10), at(20)).await.unwrap();
    assert_eq!(held.unwrap().due_at, at(20));
    let again = jobs.claim(id, "first", at(11), at(25)).await.unwrap();
    assert!(again.is_some(), "a worker may claim its own job again");
    assert_eq!(jobs.list_due(at(24), 9).await.unwrap(), []);
    let early = jobs.claim(id, "second", at(24), at(40)).await.unwrap();
    assert_eq!(early, None);
    assert!(jobs.renew_claim(id, "first", at(30)).await.unwrap());
    let over = jobs.list_due(at(30), 9).await.unwrap();
    assert_eq!(over.len(), 1, "the claim has expired");
    let second = jobs.claim(id, "second", at(30), at(40)).await.unwrap();
    let second = second.unwrap();

    assert!(!jobs.renew_claim(id, "first", at(90)).await.unwrap());
    assert!(!jobs.retry(id, "first", at(90), 1, "no").await.unwrap());
    assert!(!jobs.mark_dead(id, "first", "no").await.unwrap());
    assert!(!jobs.finish(id, "first").await.unwrap());
    assert_eq!(jobs.find(id).await.unwrap(), Some(second));
    assert!(jobs.finish(id, "second").await.unwrap());
    assert!(!jobs.finish(id, "second").await.unwrap());
    let gone = jobs.claim(id, "second", at(90), at(99)).await.unwrap();
    assert_eq!(gone, None);
}

async fn a_published_job_is_not_listed_but_can_be_claimed(database: &Database, _: &TestDatabase) {
    let jobs = database.jobs();
    let id = add(database, some_job()).await;
    let told = join_all((0..8).map(|_| jobs.defer(id, at(5), at(60)))).await;
    let told = told.into_iter().filter(|told| *told.as_ref().unwrap());
    assert_eq!(told.count(), 1);
    assert_eq!(jobs.list_due(at(59), 9).await.unwrap(), []);
    let held = jobs.claim(id, "a", at(10), at(20)).await.unwrap();
    assert!(held.is_some());
    // A process that listed the job before it was claimed does not publish it.
    assert!(!jobs.defer(id, at(60), at(90)).await.unwrap());
    // The claim has expired: the job is published again, and is unclaimed.
    assert!(jobs.defer(id, at(20), at(90)).await.unwrap());
    assert!(!jobs.finish(id, "a").await.unwrap());
    let other = jobs.claim(id, "b", at(30), at(40)).await.unwrap();
    assert!(other.is_some());
}

async fn a_failed_job_is_retried_until_it_is_dead(database: &Database, _: &TestDatabase) {
    let jobs = database.jobs();
    let [id, other] = [
        add(database, some_job()).await,
        add(database, some_job()).await,
    ];
    let hold = async |id, now| jobs.claim(id, "a", at(now), at(now + 10)).await.unwrap();
    hold(id, 10).await.unwrap();
    let error = "é".repeat(1500);
    assert!(jobs.retry(id, "a", at(15), 1, &error).await.unwrap());
    let failed = jobs.find(id).await.unwrap().unwrap();
    assert_eq!((failed.attempts, failed.due_at), (1, at(15)));
    assert_eq!(failed.error, Some("é".repeat(1000)));
    assert!(!jobs.renew_claim(id, "a", at(90)).await.unwrap());

    for id in [id, other] {
        hold(id, 20).await.unwrap();
        assert!(jobs.mark_dead(id, "a", "no such bucket").await.unwrap());
        assert_eq!(hold(id, 90).await, None);
    }
    assert_eq!(jobs.list_due(at(99), 9).await.unwrap(), []);
    assert!(!jobs.defer(id, at(30), at(90)).await.unwrap());
    let dead = jobs.list_dead(None, 1).await.unwrap();
    assert_eq!(dead.len(), 1);
    assert!(dead[0].is_dead && dead[0].id == id && dead[0].attempts == 2);
    let rest = jobs.list_dead(Some(id), 9).await.unwrap();
    assert_eq!(rest.iter().map(|job| job.id).collect::<Vec<_>>(), [other]);
    let standing = jobs.counts().await.unwrap();
    assert_eq!((standing.waiting, standing.dead), (0, 2));

    assert_eq!(jobs.requeue(Some(id), at(100)).await.unwrap(), 1);
    assert_eq!(jobs.requeue(Some(id), at(100)).await.unwrap(), 0);
    assert_eq!(jobs.requeue(None, at(100)).await.unwrap(), 1);
    let due = jobs.list_due(at(100), 9).await.unwrap();
    let due: Vec<_> = due.iter().map(|job| (job.attempts, job.due_at)).collect();
    assert_eq!(due, [(0, at(100)); 2]);
}

async fn the_jobs_of_a_transfer_are_counted_and_removed(database: &Database, _: &TestDatabase) {
    let jobs = database.jobs();
    assert_eq!(jobs.counts().await.unwrap(), JobCounts::default());
    let transfer = some_id();
    let of = |transfer: Option<RandomId>| NewJob {
        transfer,
        ..some_job()
    };
    let [waiting, held, lapsed, dead, other] = [
        add(database, of(Some(transfer))).await,
        add(database, of(Some(transfer))).await,
        add(database, of(Some(transfer))).await,
        add(database, of(Some(transfer))).await,
        add(database, of(None)).await,
    ];
    for (id, until) in [(held, 50), (lapsed, 20), (dead, 50)] {
        let held = jobs.claim(id, "a", at(10), at(until)).await.unwrap();
        assert!(held.is_some());
    }
    assert!(jobs.mark_dead(dead, "a", "no").await.unwrap());
    assert_eq!(jobs.count_in_transfer(transfer).await.unwrap(), (3, 1));
    assert_eq!(jobs.count_in_transfer(some_id()).await.unwrap(), (0, 0));
    let standing = jobs.counts().await.unwrap();
    let expected = JobCounts {
        waiting: 4,
        dead: 1,
        oldest: Some(at(3)),
    };
    assert_eq!(standing, expected);

    assert_eq!(jobs.remove_waiting(transfer, at(30)).await.unwrap(), 2);
    for (id, is_there) in [
        (waiting, false),
        (lapsed, false),
        (held, true),
        (dead, true),
        (other, true),
    ] {
        assert_eq!(jobs.find(id).await.unwrap().is_some(), is_there, "{id}");
    }
}

/// A job that is due at 5.
fn some_job() -> NewJob {
    let content = some_content();
    NewJob {
        sha1: content.sha1,
        size: content.size,
        from: "ceph".to_owned(),
        to: "oss".to_owned(),
        keeps_source: false,
        transfer: None,
        due_at: at(5),
    }
}

/// Adds a job at 3; returns its id.
async fn add(database: &Database, job: NewJob) -> i64 {
    let jobs = database.jobs();
    let sha1: Sha1 = job.sha1;
    assert_eq!(jobs.insert_many(&[job], at(3)).await.unwrap(), 1);
    let listed = jobs.list_due(at(5), 99).await.unwrap();
    let added = listed.into_iter().find(|job| job.sha1 == sha1);
    added.unwrap().id
}
