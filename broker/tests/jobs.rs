//! How jobs get to the workers, and what becomes of messages that do not.

#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

mod common;

use std::time::Duration;

use common::{options, soon, until, url};
use fileserver_broker::{Broker, Deliveries, Depth, Error};
use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties,
    options::{
        BasicPublishOptions, ExchangeDeclareOptions, QueueDeclareOptions, QueueDeleteOptions,
    },
    types::FieldTable,
};

const SOON: Duration = Duration::from_secs(10);

fn fileserver_broker(name: &str) -> Broker {
    Broker::new(options(name)).unwrap()
}

/// Whether nothing comes for a while.
async fn is_quiet(deliveries: &mut Deliveries) -> bool {
    let next = tokio::time::timeout(Duration::from_millis(500), deliveries.next());
    next.await.is_err()
}

/// A channel past the crate.
async fn channel() -> (Connection, Channel) {
    let url = url();
    let connection = Connection::connect(&url, ConnectionProperties::default());
    let connection = connection.await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    (connection, channel)
}

/// Puts something into the queue of jobs.
async fn put(channel: &Channel, prefix: &str, body: &[u8]) {
    let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
    let key = format!("{prefix}.copies").into();
    let publishing = channel.basic_publish("".into(), key, options, body, properties);
    publishing.await.unwrap().await.unwrap();
}

async fn is_depth(fileserver_broker: &Broker, ready: u32, dead: u32, consumers: u32) {
    let expected = Depth {
        ready,
        dead,
        consumers,
    };
    until(&format!("{expected:?}"), SOON, async || {
        fileserver_broker.depth().await.unwrap() == expected
    })
    .await;
}

#[tokio::test]
async fn what_is_published_arrives_once_and_is_gone_when_it_is_acked() {
    let fileserver_broker = fileserver_broker("acked");
    fileserver_broker.probe().await.unwrap();
    fileserver_broker.publish(&[]).await.unwrap();
    fileserver_broker.publish(&[1, i64::MAX, -3]).await.unwrap();
    is_depth(&fileserver_broker, 3, 0, 0).await;
    let mut deliveries = fileserver_broker.consume().await.unwrap();
    for job in [1, i64::MAX, -3] {
        let delivery = soon(&mut deliveries).await;
        assert_eq!(delivery.job, job);
        delivery.ack().await.unwrap();
    }
    assert!(is_quiet(&mut deliveries).await);
    is_depth(&fileserver_broker, 0, 0, 1).await;
    drop(deliveries);
    is_depth(&fileserver_broker, 0, 0, 0).await;
}

#[tokio::test]
async fn many_publish_and_consume_at_once() {
    let fileserver_broker = fileserver_broker("many");
    // If several are the first to need a queue, the broker may let one of them at it too early.
    fileserver_broker.probe().await.unwrap();
    let publishing: Vec<_> = (0..8_i64)
        .map(|who| {
            let fileserver_broker = fileserver_broker.clone();
            tokio::spawn(async move {
                let jobs: Vec<_> = (0..500).map(|job| who * 500 + job).collect();
                fileserver_broker.publish(&jobs).await
            })
        })
        .collect();
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    let mut consuming = Vec::new();
    for _ in 0..4 {
        let (fileserver_broker, sender) = (fileserver_broker.clone(), sender.clone());
        consuming.push(tokio::spawn(async move {
            let mut deliveries = fileserver_broker.consume().await.unwrap();
            while let Some(delivery) = deliveries.next().await.unwrap() {
                sender.send(delivery.job).unwrap();
                delivery.ack().await.unwrap();
            }
        }));
    }
    for published in publishing {
        published.await.unwrap().unwrap();
    }
    let mut jobs = Vec::new();
    while jobs.len() < 4000 {
        jobs.push(
            tokio::time::timeout(SOON, receiver.recv())
                .await
                .unwrap()
                .unwrap(),
        );
    }
    jobs.sort_unstable();
    assert_eq!(jobs, (0..4000).collect::<Vec<_>>());
    fileserver_broker.close().await;
    for consumed in consuming {
        consumed.await.unwrap();
    }
}

#[tokio::test]
async fn what_is_requeued_dropped_or_left_comes_again() {
    let fileserver_broker = fileserver_broker("again");
    fileserver_broker.publish(&[7]).await.unwrap();
    let mut deliveries = fileserver_broker.consume().await.unwrap();
    soon(&mut deliveries).await.requeue().await.unwrap();
    drop(soon(&mut deliveries).await);
    let left = soon(&mut deliveries).await;
    drop(deliveries);
    let mut others = fileserver_broker.consume().await.unwrap();
    let delivery = soon(&mut others).await;
    assert_eq!(delivery.job, 7);
    delivery.ack().await.unwrap();
    assert!(left.ack().await.is_err());
    is_depth(&fileserver_broker, 0, 0, 1).await;
}

#[tokio::test]
async fn no_more_is_prefetched_than_allowed() {
    let mut options = options("prefetch");
    options.prefetch = 3;
    let fileserver_broker = Broker::new(options).unwrap();
    fileserver_broker
        .publish(&(0..10).collect::<Vec<_>>())
        .await
        .unwrap();
    let mut deliveries = fileserver_broker.consume().await.unwrap();
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(soon(&mut deliveries).await);
    }
    assert!(is_quiet(&mut deliveries).await);
    is_depth(&fileserver_broker, 7, 0, 1).await;
    held.pop().unwrap().ack().await.unwrap();
    held.push(soon(&mut deliveries).await);
    assert!(is_quiet(&mut deliveries).await);
}

#[tokio::test]
async fn what_is_rejected_is_kept_and_can_be_sent_again() {
    let fileserver_broker = fileserver_broker("rejected");
    fileserver_broker.publish(&[5, 6]).await.unwrap();
    let mut deliveries = fileserver_broker.consume().await.unwrap();
    soon(&mut deliveries).await.reject().await.unwrap();
    soon(&mut deliveries).await.reject().await.unwrap();
    is_depth(&fileserver_broker, 0, 2, 1).await;
    let dead = fileserver_broker.dead(10).await.unwrap();
    assert_eq!(dead.len(), 2);
    assert_eq!(dead[0].body, r#"{"job":5}"#);
    assert_eq!((dead[0].reason.as_str(), dead[0].count), ("rejected", 1));
    assert_eq!(fileserver_broker.dead(1).await.unwrap().len(), 1);
    assert_eq!(fileserver_broker.purge_dead().await.unwrap(), 0);
    assert_eq!(fileserver_broker.requeue_dead().await.unwrap(), 2);
    let mut jobs = Vec::new();
    for _ in 0..2 {
        let delivery = soon(&mut deliveries).await;
        jobs.push(delivery.job);
        delivery.ack().await.unwrap();
    }
    jobs.sort_unstable();
    assert_eq!(jobs, [5, 6]);
    is_depth(&fileserver_broker, 0, 0, 1).await;
}

#[tokio::test]
async fn what_cannot_be_read_is_set_aside_and_stays() {
    let options = options("poison");
    let prefix = options.prefix.clone();
    let fileserver_broker = Broker::new(options).unwrap();
    fileserver_broker.probe().await.unwrap();
    let (_connection, channel) = channel().await;
    let long = "é".repeat(1000);
    put(&channel, &prefix, b"\xff no message").await;
    put(&channel, &prefix, long.as_bytes()).await;
    put(&channel, &prefix, &vec![b'x'; 300_000]).await;
    put(&channel, &prefix, b"").await;
    fileserver_broker.publish(&[1]).await.unwrap();

    let mut deliveries = fileserver_broker.consume().await.unwrap();
    let delivery = soon(&mut deliveries).await;
    assert_eq!(delivery.job, 1);
    delivery.ack().await.unwrap();
    assert!(is_quiet(&mut deliveries).await);
    is_depth(&fileserver_broker, 0, 4, 1).await;
    // However often somebody looks.
    for _ in 0..30 {
        let dead = fileserver_broker.dead(100).await.unwrap();
        assert_eq!(dead.len(), 4);
        assert_eq!(dead[0].body, "\u{fffd} no message");
        assert_eq!(dead[1].body, "é".repeat(200));
        assert_eq!(dead[2].body, "x".repeat(200));
        assert_eq!(dead[3].body, "");
        assert_eq!(dead[3].reason, "rejected");
    }
    assert_eq!(fileserver_broker.requeue_dead().await.unwrap(), 0);
    is_depth(&fileserver_broker, 0, 4, 1).await;
    assert_eq!(fileserver_broker.purge_dead().await.unwrap(), 4);
    is_depth(&fileserver_broker, 0, 0, 1).await;
}

#[tokio::test]
async fn what_comes_back_too_often_is_set_aside() {
    let fileserver_broker = fileserver_broker("returns");
    fileserver_broker.publish(&[9]).await.unwrap();
    let mut deliveries = fileserver_broker.consume().await.unwrap();
    for _ in 0..21 {
        let delivery = soon(&mut deliveries).await;
        assert_eq!(delivery.job, 9);
        delivery.requeue().await.unwrap();
    }
    is_depth(&fileserver_broker, 0, 1, 1).await;
    let dead = fileserver_broker.dead(10).await.unwrap();
    assert_eq!(dead[0].reason, "delivery_limit");
    // It begins anew then.
    assert_eq!(fileserver_broker.requeue_dead().await.unwrap(), 1);
    soon(&mut deliveries).await.requeue().await.unwrap();
    soon(&mut deliveries).await.ack().await.unwrap();
}

#[tokio::test]
async fn a_message_that_kills_its_consumers_is_set_aside() {
    let fileserver_broker = fileserver_broker("killer");
    fileserver_broker.publish(&[9]).await.unwrap();
    let mut deaths = 0;
    while fileserver_broker.depth().await.unwrap().dead == 0 {
        let mut deliveries = fileserver_broker.consume().await.unwrap();
        let next = tokio::time::timeout(Duration::from_secs(1), deliveries.next()).await;
        drop(deliveries);
        // As if the process had died: nothing answers it.
        std::mem::forget(next);
        deaths += 1;
        assert!(deaths < 40);
    }
    assert!(deaths >= 20);
}

#[tokio::test]
async fn a_queue_that_is_declared_differently_is_an_error() {
    let options = options("differs");
    let (_connection, channel) = channel().await;
    let name = format!("{}.copies", options.prefix);
    let durable = QueueDeclareOptions {
        durable: true,
        ..QueueDeclareOptions::default()
    };
    let declared = channel.queue_declare(name.into(), durable, FieldTable::default());
    declared.await.unwrap();
    let fileserver_broker = Broker::new(options.clone()).unwrap();
    assert!(matches!(
        fileserver_broker.publish(&[1]).await,
        Err(Error::Topology(_))
    ));
    assert!(matches!(
        fileserver_broker.consume().await,
        Err(Error::Topology(_))
    ));

    let mut options = options;
    options.prefix.push('x');
    let kind = lapin::ExchangeKind::Topic;
    let (exchange, how) = (
        options.prefix.as_str().into(),
        ExchangeDeclareOptions::default(),
    );
    let declared = channel.exchange_declare(exchange, kind, how, FieldTable::default());
    declared.await.unwrap();
    let fileserver_broker = Broker::new(options).unwrap();
    assert!(matches!(
        fileserver_broker.probe().await,
        Err(Error::Topology(_))
    ));
}

#[tokio::test]
async fn a_job_without_a_queue_is_not_taken_and_the_queue_comes_back() {
    let options = options("unroutable");
    let prefix = options.prefix.clone();
    let fileserver_broker = Broker::new(options).unwrap();
    fileserver_broker.publish(&[1]).await.unwrap();
    let (_connection, channel) = channel().await;
    let queue = format!("{prefix}.copies");
    let unbound = channel.queue_unbind(
        queue.as_str().into(),
        prefix.as_str().into(),
        queue.as_str().into(),
        FieldTable::default(),
    );
    unbound.await.unwrap();
    assert!(matches!(
        fileserver_broker.publish(&[2, 3]).await,
        Err(Error::NotTaken)
    ));
    fileserver_broker.publish(&[2, 3]).await.unwrap();
    is_depth(&fileserver_broker, 3, 0, 0).await;

    let mut deliveries = fileserver_broker.consume().await.unwrap();
    let held = soon(&mut deliveries).await;
    let deleted = channel.queue_delete(queue.as_str().into(), QueueDeleteOptions::default());
    deleted.await.unwrap();
    until("an error", SOON, async || deliveries.next().await.is_err()).await;
    drop(held);
    assert!(fileserver_broker.publish(&[4]).await.is_err());
    fileserver_broker.publish(&[4]).await.unwrap();
    let mut deliveries = fileserver_broker.consume().await.unwrap();
    assert_eq!(soon(&mut deliveries).await.job, 4);
}

#[tokio::test]
async fn closing_ends_the_deliveries() {
    let fileserver_broker = fileserver_broker("closed");
    fileserver_broker.publish(&[1]).await.unwrap();
    let mut deliveries = fileserver_broker.consume().await.unwrap();
    let delivery = soon(&mut deliveries).await;
    let same = fileserver_broker.clone();
    fileserver_broker.close().await;
    assert!(deliveries.next().await.unwrap().is_none());
    delivery.ack().await.unwrap();
    assert!(matches!(same.publish(&[1]).await, Err(Error::Closed)));
    assert!(matches!(same.consume().await, Err(Error::Closed)));
}
