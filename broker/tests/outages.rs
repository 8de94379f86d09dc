//! Behaviour while the broker is killed, hangs or is down.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
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

use common::{next_delivery, options, until, url};
use fileserver_broker::{Broker, Error, Options};
use tokio::{
    net::TcpListener,
    process::Command,
    sync::{Mutex, watch},
};

/// Serializes the tests, which share the broker to kill and the process whose threads they count.
static SERIAL: Mutex<()> = Mutex::const_new(());

const RECOVERY_TIMEOUT: Duration = Duration::from_mins(1);

fn with_short_timeouts(name: &str) -> Options {
    Options {
        heartbeat: Duration::from_secs(1),
        connect_timeout: Duration::from_secs(1),
        operation_timeout: Duration::from_secs(2),
        ..options(name)
    }
}

/// The folder of the test servers.
fn servers() -> String {
    env::var("TEST_SERVERS").expect("TEST_SERVERS, which tests/servers sets")
}

async fn send_signal(name: &str) {
    let pid = fs::read_to_string(Path::new(&servers()).join("rabbitmq/pid")).unwrap();
    let sent = Command::new("kill").args([name, pid.trim()]).status();
    assert!(sent.await.unwrap().success());
}

/// Kills the broker, and starts it again with its data.
async fn restart_broker() {
    let script = env::var("TEST_SERVERS_SCRIPT");
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/servers");
    let restarted = Command::new(script.as_deref().unwrap_or(default))
        .args(["restart-broker", &servers()])
        .stdin(Stdio::null())
        .status();
    assert!(restarted.await.unwrap().success());
}

/// Waits until a new queue is persisted.
///
/// RabbitMQ lists its quorum queues in a file that it writes every half second. If it is killed
/// before, the queue exists after the restart, but never gets a leader.
async fn wait_for_persisted_queue() {
    tokio::time::sleep(Duration::from_secs(2)).await;
}

/// Returns the number of threads of the library.
fn lapin_threads() -> usize {
    fs::read_dir("/proc/self/task")
        .unwrap()
        .filter(|task| {
            let name = task.as_ref().unwrap().path().join("comm");
            fs::read_to_string(name).is_ok_and(|name| name.starts_with("lapin"))
        })
        .count()
}

async fn expect_no_lapin_thread() {
    until("threads are left", Duration::from_secs(10), async || {
        lapin_threads() == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_confirmed_job_is_lost_when_the_broker_is_killed() {
    let _serial = SERIAL.lock().await;
    let broker = Broker::new(with_short_timeouts("killed")).unwrap();
    let (stop, stopped) = watch::channel(false);
    let publisher = tokio::spawn({
        let broker = broker.clone();
        async move {
            let (mut next, mut failures) = (0_i64, 0);
            while !*stopped.borrow() {
                let jobs: Vec<_> = (next..next + 10).collect();
                if broker.publish(&jobs).await.is_ok() {
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
        let (broker, seen) = (broker.clone(), Arc::clone(&seen));
        async move {
            let (mut duplicates, mut losses) = (0, 0);
            loop {
                let mut deliveries = match broker.consume().await {
                    Ok(deliveries) => deliveries,
                    // The broker may be closed during a reconnect.
                    Err(Error::Closed) => return (duplicates, losses),
                    Err(_) => continue,
                };
                loop {
                    match deliveries.next().await {
                        Ok(Some(delivery)) => {
                            let is_new = seen.lock().await.insert(delivery.job);
                            duplicates += u32::from(!is_new);
                            let _ = delivery.ack().await;
                        }
                        Ok(None) => return (duplicates, losses),
                        Err(_) => break,
                    }
                }
                losses += 1;
            }
        }
    });
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_secs(2)).await;
        restart_broker().await;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    stop.send_replace(true);
    let (confirmed, failures) = publisher.await.unwrap();
    assert!(confirmed > 100 && failures > 0);
    until("confirmed jobs are missing", RECOVERY_TIMEOUT, async || {
        let seen = seen.lock().await;
        (0..confirmed).all(|job| seen.contains(&job))
    })
    .await;
    broker.close().await;
    let (duplicates, losses) = consumer.await.unwrap();
    println!(
        "{confirmed} confirmed, {failures} failures, {duplicates} duplicates, {losses} losses"
    );
    // The consumer may not have reconnected yet when the broker was killed again.
    assert!(losses >= 1);
    expect_no_lapin_thread().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_hangs_is_an_error_in_bounded_time() {
    let _serial = SERIAL.lock().await;
    let broker = Broker::new(with_short_timeouts("hangs")).unwrap();
    broker.publish(&[1, 2]).await.unwrap();
    let mut deliveries = broker.consume().await.unwrap();
    let held = next_delivery(&mut deliveries).await;
    let _held = next_delivery(&mut deliveries).await;

    send_signal("-STOP").await;
    let begin = Instant::now();
    let (published, next) = tokio::join!(
        async { (broker.publish(&[3]).await, begin.elapsed()) },
        async { (deliveries.next().await.map(drop), begin.elapsed()) },
    );
    println!("publish: {published:?}, next: {next:?}");
    assert!(matches!(published.0, Err(Error::TimedOut)));
    assert!(published.1 < Duration::from_secs(3));
    assert!(next.0.is_err() && next.1 < Duration::from_secs(5));
    assert!(held.ack().await.is_err());
    for _ in 0..5 {
        let begin = Instant::now();
        assert!(broker.publish(&[3]).await.is_err());
        assert!(broker.probe().await.is_err());
        assert!(broker.depth().await.is_err());
        assert!(broker.dead_letters(1).await.is_err());
        assert!(begin.elapsed() < Duration::from_secs(8));
    }
    let consumed = tokio::time::timeout(Duration::from_secs(12), broker.consume());
    assert!(consumed.await.unwrap().is_err());
    drop(deliveries);
    expect_no_lapin_thread().await;

    send_signal("-CONT").await;
    until("not published", RECOVERY_TIMEOUT, async || {
        broker.publish(&[3]).await.is_ok()
    })
    .await;
    let mut deliveries = broker.consume().await.unwrap();
    let mut jobs = BTreeSet::new();
    while jobs.len() < 3 {
        let delivery = next_delivery(&mut deliveries).await;
        jobs.insert(delivery.job);
        delivery.ack().await.unwrap();
    }
    drop((deliveries, broker));
    expect_no_lapin_thread().await;
}

#[tokio::test]
async fn the_broker_is_used_again_after_a_restart() {
    let _serial = SERIAL.lock().await;
    let broker = Broker::new(with_short_timeouts("back")).unwrap();
    broker.publish(&[1]).await.unwrap();
    let mut deliveries = broker.consume().await.unwrap();
    next_delivery(&mut deliveries).await.ack().await.unwrap();
    wait_for_persisted_queue().await;
    restart_broker().await;
    assert!(deliveries.next().await.is_err());
    // The publishing connection may or may not have noticed the restart.
    let begin = Instant::now();
    until("not published", RECOVERY_TIMEOUT, async || {
        broker.publish(&[2]).await.is_ok()
    })
    .await;
    let mut deliveries = broker.consume().await.unwrap();
    assert_eq!(next_delivery(&mut deliveries).await.job, 2);
    println!("recovered after {:?}", begin.elapsed());
    assert!(begin.elapsed() < Duration::from_secs(12));
}

#[tokio::test]
async fn a_broker_that_is_down_is_an_error_at_once() {
    let _serial = SERIAL.lock().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let mut options = with_short_timeouts("down");
    options.url = format!("amqp://guest:hunter2@{address}");
    let broker = Broker::new(options).unwrap();
    let begin = Instant::now();
    assert!(matches!(
        broker.publish(&[1]).await,
        Err(Error::Unavailable(_))
    ));
    let mut backing_off = 0;
    for _ in 0..100 {
        let error = broker.probe().await.unwrap_err();
        backing_off += u32::from(matches!(error, Error::BackingOff(_)));
        assert!(!format!("{error} {error:?} {broker:?}").contains("hunter2"));
    }
    assert!(backing_off > 80, "{backing_off}");
    assert!(begin.elapsed() < Duration::from_secs(1));
    for _ in 0..3 {
        assert!(broker.consume().await.is_err());
    }
    assert!(begin.elapsed() < Duration::from_secs(10));
    expect_no_lapin_thread().await;
}

#[tokio::test]
async fn a_silent_port_or_another_protocol_is_an_error_in_bounded_time() {
    let _serial = SERIAL.lock().await;
    for answer in [&b""[..], b"HTTP/1.1 400 Bad Request\r\n\r\n", &[0xff; 1000]] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut options = with_short_timeouts("silent");
        let address = listener.local_addr().unwrap();
        for scheme in ["amqp", "amqps"] {
            options.url = format!("{scheme}://{address}");
            let broker = Broker::new(options.clone()).unwrap();
            let begin = Instant::now();
            let accepting = async {
                let (mut stream, _) = listener.accept().await.unwrap();
                tokio::io::AsyncWriteExt::write_all(&mut stream, answer)
                    .await
                    .unwrap();
                stream
            };
            let (published, _stream) = tokio::join!(broker.publish(&[1]), accepting);
            println!("{scheme}: {published:?}");
            assert!(published.is_err());
            assert!(begin.elapsed() < Duration::from_secs(2));
        }
    }
    expect_no_lapin_thread().await;
}

#[tokio::test]
async fn a_wrong_password_is_refused_and_not_shown() {
    let _serial = SERIAL.lock().await;
    let mut options = options("password");
    options.url = url().replace("guest:guest", "guest:hunter2");
    let broker = Broker::new(options.clone()).unwrap();
    let error = broker.publish(&[1]).await.unwrap_err();
    println!("{error}");
    assert!(matches!(error, Error::Refused(_)));
    let refused = broker.probe().await.unwrap_err();
    for shown in [
        format!("{error} {error:?}"),
        format!("{refused} {refused:?} {broker:?}"),
    ] {
        assert!(!shown.contains("hunter2"));
    }
    options.url = format!("{}/nowhere", url());
    let error = Broker::new(options).unwrap().probe().await.unwrap_err();
    println!("{error}");
    assert!(matches!(error, Error::Refused(_)));
}
