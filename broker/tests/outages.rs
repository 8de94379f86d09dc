//! What happens when the broker is killed, hangs or is not there.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test ends where it fails"
)]

mod common;

use std::{
    collections::BTreeSet,
    env, fs,
    path::Path,
    process::Stdio,
    sync::Arc,
    time::{Duration, Instant},
};

use common::{options, soon, until, url};
use fileserver_broker::{Broker, Error, Options};
use tokio::{
    net::TcpListener,
    process::Command,
    sync::{Mutex, watch},
};

/// There is one broker to kill, and one process to count the threads of.
static ALONE: Mutex<()> = Mutex::const_new(());

const PATIENCE: Duration = Duration::from_mins(1);

fn hasty(name: &str) -> Options {
    Options {
        heartbeat: Duration::from_secs(1),
        connect_timeout: Duration::from_secs(1),
        operation_timeout: Duration::from_secs(2),
        ..options(name)
    }
}

/// Where the servers are.
fn servers() -> String {
    env::var("TEST_SERVERS").expect("TEST_SERVERS, which tests/servers sets")
}

async fn signal(name: &str) {
    let pid = fs::read_to_string(Path::new(&servers()).join("rabbitmq/pid")).unwrap();
    let sent = Command::new("kill").args([name, pid.trim()]).status();
    assert!(sent.await.unwrap().success());
}

/// Kills the broker, and starts it with what it had.
async fn restart() {
    let script = env::var("TEST_SERVERS_SCRIPT");
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/servers");
    let restarted = Command::new(script.as_deref().unwrap_or(default))
        .args(["restart-broker", &servers()])
        .stdin(Stdio::null())
        .status();
    assert!(restarted.await.unwrap().success());
}

/// Waits until a new queue is written down.
///
/// RabbitMQ lists its quorum queues in a file that it writes every half second. If it is killed
/// before, the queue is there after its restart, but never gets a leader.
async fn a_queue_is_safe() {
    tokio::time::sleep(Duration::from_secs(2)).await;
}

/// How many threads the library has.
fn threads() -> usize {
    fs::read_dir("/proc/self/task")
        .unwrap()
        .filter(|task| {
            let name = task.as_ref().unwrap().path().join("comm");
            fs::read_to_string(name).is_ok_and(|name| name.starts_with("lapin"))
        })
        .count()
}

async fn no_thread_is_left() {
    until("threads are left", Duration::from_secs(10), async || {
        threads() == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_confirmed_job_is_lost_when_the_broker_is_killed() {
    let _alone = ALONE.lock().await;
    let fileserver_broker = Broker::new(hasty("killed")).unwrap();
    let (stop, stopped) = watch::channel(false);
    let publisher = tokio::spawn({
        let fileserver_broker = fileserver_broker.clone();
        async move {
            let (mut next, mut failures) = (0_i64, 0);
            while !*stopped.borrow() {
                let jobs: Vec<_> = (next..next + 10).collect();
                if fileserver_broker.publish(&jobs).await.is_ok() {
                    next += 10;
                } else {
                    failures += 1;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
            (next, failures)
        }
    });
    let seen = Arc::new(Mutex::new(BTreeSet::new()));
    let consumer = tokio::spawn({
        let (fileserver_broker, seen) = (fileserver_broker.clone(), Arc::clone(&seen));
        async move {
            let (mut doubled, mut losses) = (0, 0);
            loop {
                let mut deliveries = match fileserver_broker.consume().await {
                    Ok(deliveries) => deliveries,
                    // It may be on its way back when all are through.
                    Err(Error::Closed) => return (doubled, losses),
                    Err(_) => continue,
                };
                loop {
                    match deliveries.next().await {
                        Ok(Some(delivery)) => {
                            let is_new = seen.lock().await.insert(delivery.job);
                            doubled += u32::from(!is_new);
                            let _ = delivery.ack().await;
                        }
                        Ok(None) => return (doubled, losses),
                        Err(_) => break,
                    }
                }
                losses += 1;
            }
        }
    });
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_secs(2)).await;
        restart().await;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    stop.send_replace(true);
    let (confirmed, failures) = publisher.await.unwrap();
    assert!(confirmed > 100 && failures > 0);
    until("confirmed jobs are missing", PATIENCE, async || {
        let seen = seen.lock().await;
        (0..confirmed).all(|job| seen.contains(&job))
    })
    .await;
    fileserver_broker.close().await;
    let (doubled, losses) = consumer.await.unwrap();
    println!("{confirmed} confirmed, {failures} failures, {doubled} doubled, {losses} losses");
    // It may not have been back yet when the broker was killed again.
    assert!(losses >= 1);
    no_thread_is_left().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_hangs_is_an_error_in_bounded_time() {
    let _alone = ALONE.lock().await;
    let fileserver_broker = Broker::new(hasty("hangs")).unwrap();
    fileserver_broker.publish(&[1, 2]).await.unwrap();
    let mut deliveries = fileserver_broker.consume().await.unwrap();
    let held = soon(&mut deliveries).await;
    let _held = soon(&mut deliveries).await;

    signal("-STOP").await;
    let begin = Instant::now();
    let (published, next) = tokio::join!(
        async { (fileserver_broker.publish(&[3]).await, begin.elapsed()) },
        async { (deliveries.next().await.map(drop), begin.elapsed()) },
    );
    println!("publish: {published:?}, next: {next:?}");
    assert!(matches!(published.0, Err(Error::TimedOut)));
    assert!(published.1 < Duration::from_secs(3));
    assert!(next.0.is_err() && next.1 < Duration::from_secs(5));
    assert!(held.ack().await.is_err());
    for _ in 0..5 {
        let begin = Instant::now();
        assert!(fileserver_broker.publish(&[3]).await.is_err());
        assert!(fileserver_broker.probe().await.is_err());
        assert!(fileserver_broker.depth().await.is_err());
        assert!(fileserver_broker.dead(1).await.is_err());
        assert!(begin.elapsed() < Duration::from_secs(8));
    }
    let consumed = tokio::time::timeout(Duration::from_secs(12), fileserver_broker.consume());
    assert!(consumed.await.unwrap().is_err());
    drop(deliveries);
    no_thread_is_left().await;

    signal("-CONT").await;
    until("published", PATIENCE, async || {
        fileserver_broker.publish(&[3]).await.is_ok()
    })
    .await;
    let mut deliveries = fileserver_broker.consume().await.unwrap();
    let mut jobs = BTreeSet::new();
    while jobs.len() < 3 {
        let delivery = soon(&mut deliveries).await;
        jobs.insert(delivery.job);
        delivery.ack().await.unwrap();
    }
    drop((deliveries, fileserver_broker));
    no_thread_is_left().await;
}

#[tokio::test]
async fn a_broker_that_comes_back_is_used_again() {
    let _alone = ALONE.lock().await;
    let fileserver_broker = Broker::new(hasty("back")).unwrap();
    fileserver_broker.publish(&[1]).await.unwrap();
    let mut deliveries = fileserver_broker.consume().await.unwrap();
    soon(&mut deliveries).await.ack().await.unwrap();
    a_queue_is_safe().await;
    restart().await;
    assert!(deliveries.next().await.is_err());
    // It is known to be gone, or was never seen to be.
    let begin = Instant::now();
    until("published", PATIENCE, async || {
        fileserver_broker.publish(&[2]).await.is_ok()
    })
    .await;
    let mut deliveries = fileserver_broker.consume().await.unwrap();
    assert_eq!(soon(&mut deliveries).await.job, 2);
    println!("back after {:?}", begin.elapsed());
    assert!(begin.elapsed() < Duration::from_secs(12));
}

#[tokio::test]
async fn a_broker_that_is_down_is_an_error_at_once() {
    let _alone = ALONE.lock().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let mut options = hasty("down");
    options.url = format!("amqp://guest:hunter2@{address}");
    let fileserver_broker = Broker::new(options).unwrap();
    let begin = Instant::now();
    assert!(matches!(
        fileserver_broker.publish(&[1]).await,
        Err(Error::Unavailable(_))
    ));
    let mut waiting = 0;
    for _ in 0..100 {
        let error = fileserver_broker.probe().await.unwrap_err();
        waiting += u32::from(matches!(error, Error::Waiting(_)));
        assert!(!format!("{error} {error:?} {fileserver_broker:?}").contains("hunter2"));
    }
    assert!(waiting > 80, "{waiting}");
    assert!(begin.elapsed() < Duration::from_secs(1));
    for _ in 0..3 {
        assert!(fileserver_broker.consume().await.is_err());
    }
    assert!(begin.elapsed() < Duration::from_secs(10));
    no_thread_is_left().await;
}

#[tokio::test]
async fn a_port_that_says_nothing_or_something_else_is_an_error_in_bounded_time() {
    let _alone = ALONE.lock().await;
    for answer in [&b""[..], b"HTTP/1.1 400 Bad Request\r\n\r\n", &[0xff; 1000]] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut options = hasty("silent");
        let address = listener.local_addr().unwrap();
        for scheme in ["amqp", "amqps"] {
            options.url = format!("{scheme}://{address}");
            let fileserver_broker = Broker::new(options.clone()).unwrap();
            let begin = Instant::now();
            let accepting = async {
                let (mut stream, _) = listener.accept().await.unwrap();
                tokio::io::AsyncWriteExt::write_all(&mut stream, answer)
                    .await
                    .unwrap();
                stream
            };
            let (published, _stream) = tokio::join!(fileserver_broker.publish(&[1]), accepting);
            println!("{scheme}: {published:?}");
            assert!(published.is_err());
            assert!(begin.elapsed() < Duration::from_secs(2));
        }
    }
    no_thread_is_left().await;
}

#[tokio::test]
async fn a_wrong_password_is_refused_and_not_shown() {
    let _alone = ALONE.lock().await;
    let mut options = options("password");
    options.url = url().replace("guest:guest", "guest:hunter2");
    let fileserver_broker = Broker::new(options.clone()).unwrap();
    let error = fileserver_broker.publish(&[1]).await.unwrap_err();
    println!("{error}");
    assert!(matches!(error, Error::Refused(_)));
    let refused = fileserver_broker.probe().await.unwrap_err();
    for shown in [
        format!("{error} {error:?}"),
        format!("{refused} {refused:?} {fileserver_broker:?}"),
    ] {
        assert!(!shown.contains("hunter2"));
    }
    options.url = format!("{}/nowhere", url());
    let error = Broker::new(options).unwrap().probe().await.unwrap_err();
    println!("{error}");
    assert!(matches!(error, Error::Refused(_)));
}
