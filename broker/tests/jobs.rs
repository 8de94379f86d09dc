//! Delivery of jobs to consumers, and dead letters.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use common::{next_delivery, options, until, url};
use fileserver_broker::{Broker, Deliveries, Error, QueueDepth};
use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties,
    options::{
        BasicPublishOptions, ExchangeDeclareOptions, QueueDeclareOptions, QueueDeleteOptions,
    },
    types::FieldTable,
};

const TIME_LIMIT: Duration = Duration::from_secs(10);

fn open_broker(name: &str) -> Broker {
    Broker::new(options(name)).unwrap()
}

/// Returns whether no delivery arrives for half a second.
async fn is_quiet(deliveries: &mut Deliveries) -> bool {
    let next = tokio::time::timeout(Duration::from_millis(500), deliveries.next());
    next.await.is_err()
}

/// Opens a channel past the crate.
async fn channel() -> (Connection, Channel) {
    let url = url();
    let connection = Connection::connect(&url, ConnectionProperties::default());
    let connection = connection.await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    (connection, channel)
}

/// Publishes a body to the queue of jobs, past the crate.
async fn publish_raw(channel: &Channel, prefix: &str, body: &[u8]) {
    let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
    let key = format!("{prefix}.copies").into();
    let publishing = channel.basic_publish("".into(), key, options, body, properties);
    publishing.await.unwrap().await.unwrap();
}

async fn expect_depth(broker: &Broker, ready: u32, dead: u32, consumers: u32) {
    let expected = QueueDepth {
        ready,
        dead,
        consumers,
    };
    until(&format!("{expected:?}"), TIME_LIMIT, async || {
        broker.depth().await.unwrap() == expected
    })
    .await;
}

#[tokio::test]
async fn a_published_job_is_delivered_once_and_removed_by_its_ack() {
    let broker = open_broker("acked");
    broker.probe().await.unwrap();
    broker.publish(&[]).await.unwrap();
    broker.publish(&[1, i64::MAX, -3]).await.unwrap();
    expect_depth(&broker, 3, 0, 0).await;
    let mut deliveries = broker.consume().await.unwrap();
    for job in [1, i64::MAX, -3] {
        let delivery = next_delivery(&mut deliveries).await;
        assert_eq!(delivery.job, job);
        delivery.ack().await.unwrap();
    }
    assert!(is_quiet(&mut deliveries).await);
    expect_depth(&broker, 0, 0, 1).await;
    drop(deliveries);
    expect_depth(&broker, 0, 0, 0).await;
}

#[tokio::test]
async fn concurrent_publishers_and_consumers_share_a_queue() {
    let broker = open_broker("many");
    // When several connections declare a new queue at once, the broker may let one use it too early.
    broker.probe().await.unwrap();
    let publishing: Vec<_> = (0..8_i64)
        .map(|publisher| {
            let broker = broker.clone();
            tokio::spawn(async move {
                let jobs: Vec<_> = (0..500).map(|job| publisher * 500 + job).collect();
                broker.publish(&jobs).await
            })
        })
        .collect();
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    let mut consuming = Vec::new();
    for _ in 0..4 {
        let (broker, sender) = (broker.clone(), sender.clone());
        consuming.push(tokio::spawn(async move {
            let mut deliveries = broker.consume().await.unwrap();
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
            tokio::time::timeout(TIME_LIMIT, receiver.recv())
                .await
                .unwrap()
                .unwrap(),
        );
    }
    jobs.sort_unstable();
    assert_eq!(jobs, (0..4000).collect::<Vec<_>>());
    broker.close().await;
    for consumed in consuming {
        consumed.await.unwrap();
    }
}

#[tokio::test]
async fn a_requeued_dropped_or_unacknowledged_job_is_delivered_again() {
    let broker = open_broker("again");
    broker.publish(&[7]).await.unwrap();
    let mut deliveries = broker.consume().await.unwrap();
    next_delivery(&mut deliveries)
        .await
        .requeue()
        .await
        .unwrap();
    drop(next_delivery(&mut deliveries).await);
    let left = next_delivery(&mut deliveries).await;
    drop(deliveries);
    let mut others = broker.consume().await.unwrap();
    let delivery = next_delivery(&mut others).await;
    assert_eq!(delivery.job, 7);
    delivery.ack().await.unwrap();
    assert!(left.ack().await.is_err());
    expect_depth(&broker, 0, 0, 1).await;
}

#[tokio::test]
async fn the_prefetch_limit_holds() {
    let mut options = options("prefetch");
    options.prefetch = 3;
    let broker = Broker::new(options).unwrap();
    broker.publish(&(0..10).collect::<Vec<_>>()).await.unwrap();
    let mut deliveries = broker.consume().await.unwrap();
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(next_delivery(&mut deliveries).await);
    }
    assert!(is_quiet(&mut deliveries).await);
    expect_depth(&broker, 7, 0, 1).await;
    held.pop().unwrap().ack().await.unwrap();
    held.push(next_delivery(&mut deliveries).await);
    assert!(is_quiet(&mut deliveries).await);
}

#[tokio::test]
async fn rejected_jobs_become_dead_letters_and_can_be_requeued() {
    let broker = open_broker("rejected");
    broker.publish(&[5, 6]).await.unwrap();
    let mut deliveries = broker.consume().await.unwrap();
    next_delivery(&mut deliveries).await.reject().await.unwrap();
    next_delivery(&mut deliveries).await.reject().await.unwrap();
    expect_depth(&broker, 0, 2, 1).await;
    let dead = broker.dead_letters(10).await.unwrap();
    assert_eq!(dead.len(), 2);
    assert_eq!(dead[0].body, r#"{"job":5}"#);
    assert_eq!((dead[0].reason.as_str(), dead[0].count), ("rejected", 1));
    assert_eq!(broker.dead_letters(1).await.unwrap().len(), 1);
    assert_eq!(broker.purge_unreadable().await.unwrap(), 0);
    assert_eq!(broker.requeue_dead_letters().await.unwrap(), 2);
    let mut jobs = Vec::new();
    for _ in 0..2 {
        let delivery = next_delivery(&mut deliveries).await;
        jobs.push(delivery.job);
        delivery.ack().await.unwrap();
    }
    jobs.sort_unstable();
    assert_eq!(jobs, [5, 6]);
    expect_depth(&broker, 0, 0, 1).await;
}

#[tokio::test]
async fn unreadable_messages_become_dead_letters_and_stay() {
    let options = options("poison");
    let prefix = options.prefix.clone();
    let broker = Broker::new(options).unwrap();
    broker.probe().await.unwrap();
    let (_connection, channel) = channel().await;
    let long = "é".repeat(1000);
    publish_raw(&channel, &prefix, b"\xff no message").await;
    publish_raw(&channel, &prefix, long.as_bytes()).await;
    publish_raw(&channel, &prefix, &vec![b'x'; 300_000]).await;
    publish_raw(&channel, &prefix, b"").await;
    broker.publish(&[1]).await.unwrap();

    let mut deliveries = broker.consume().await.unwrap();
    let delivery = next_delivery(&mut deliveries).await;
    assert_eq!(delivery.job, 1);
    delivery.ack().await.unwrap();
    assert!(is_quiet(&mut deliveries).await);
    expect_depth(&broker, 0, 4, 1).await;
    // Listing them any number of times does not remove them.
    for _ in 0..30 {
        let dead = broker.dead_letters(100).await.unwrap();
        assert_eq!(dead.len(), 4);
        assert_eq!(dead[0].body, "\u{fffd} no message");
        assert_eq!(dead[1].body, "é".repeat(200));
        assert_eq!(dead[2].body, "x".repeat(200));
        assert_eq!(dead[3].body, "");
        assert_eq!(dead[3].reason, "rejected");
    }
    assert_eq!(broker.requeue_dead_letters().await.unwrap(), 0);
    expect_depth(&broker, 0, 4, 1).await;
    assert_eq!(broker.purge_unreadable().await.unwrap(), 4);
    expect_depth(&broker, 0, 0, 1).await;
}

#[tokio::test]
async fn a_job_over_the_delivery_limit_becomes_a_dead_letter() {
    let broker = open_broker("returns");
    broker.publish(&[9]).await.unwrap();
    let mut deliveries = broker.consume().await.unwrap();
    for _ in 0..21 {
        let delivery = next_delivery(&mut deliveries).await;
        assert_eq!(delivery.job, 9);
        delivery.requeue().await.unwrap();
    }
    expect_depth(&broker, 0, 1, 1).await;
    let dead = broker.dead_letters(10).await.unwrap();
    assert_eq!(dead[0].reason, "delivery_limit");
    // The count starts again after that.
    assert_eq!(broker.requeue_dead_letters().await.unwrap(), 1);
    next_delivery(&mut deliveries)
        .await
        .requeue()
        .await
        .unwrap();
    next_delivery(&mut deliveries).await.ack().await.unwrap();
}

#[tokio::test]
async fn a_message_that_crashes_its_consumers_becomes_a_dead_letter() {
    let broker = open_broker("killer");
    broker.publish(&[9]).await.unwrap();
    let mut deaths = 0;
    while broker.depth().await.unwrap().dead == 0 {
        let mut deliveries = broker.consume().await.unwrap();
        let next = tokio::time::timeout(Duration::from_secs(1), deliveries.next()).await;
        drop(deliveries);
        // Simulates the death of the process: no ack is sent.
        std::mem::forget(next);
        deaths += 1;
        assert!(deaths < 40);
    }
    assert!(deaths >= 20);
}

#[tokio::test]
async fn an_existing_queue_with_other_properties_is_an_error() {
    let options = options("differs");
    let (_connection, channel) = channel().await;
    let name = format!("{}.copies", options.prefix);
    let durable = QueueDeclareOptions {
        durable: true,
        ..QueueDeclareOptions::default()
    };
    let declared = channel.queue_declare(name.into(), durable, FieldTable::default());
    declared.await.unwrap();
    let broker = Broker::new(options.clone()).unwrap();
    assert!(matches!(
        broker.publish(&[1]).await,
        Err(Error::Topology(_))
    ));
    assert!(matches!(broker.consume().await, Err(Error::Topology(_))));

    let mut options = options;
    options.prefix.push('x');
    let kind = lapin::ExchangeKind::Topic;
    let (exchange, how) = (
        options.prefix.as_str().into(),
        ExchangeDeclareOptions::default(),
    );
    let declared = channel.exchange_declare(exchange, kind, how, FieldTable::default());
    declared.await.unwrap();
    let broker = Broker::new(options).unwrap();
    assert!(matches!(broker.probe().await, Err(Error::Topology(_))));
}

#[tokio::test]
async fn an_unroutable_job_is_not_confirmed_and_the_queue_is_redeclared() {
    let options = options("unroutable");
    let prefix = options.prefix.clone();
    let broker = Broker::new(options).unwrap();
    broker.publish(&[1]).await.unwrap();
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
        broker.publish(&[2, 3]).await,
        Err(Error::NotConfirmed)
    ));
    broker.publish(&[2, 3]).await.unwrap();
    expect_depth(&broker, 3, 0, 0).await;

    let mut deliveries = broker.consume().await.unwrap();
    let held = next_delivery(&mut deliveries).await;
    let deleted = channel.queue_delete(queue.as_str().into(), QueueDeleteOptions::default());
    deleted.await.unwrap();
    until("no error", TIME_LIMIT, async || {
        deliveries.next().await.is_err()
    })
    .await;
    drop(held);
    assert!(broker.publish(&[4]).await.is_err());
    broker.publish(&[4]).await.unwrap();
    let mut deliveries = broker.consume().await.unwrap();
    assert_eq!(next_delivery(&mut deliveries).await.job, 4);
}

#[tokio::test]
async fn closing_ends_the_deliveries() {
    let broker = open_broker("closed");
    broker.publish(&[1]).await.unwrap();
    let mut deliveries = broker.consume().await.unwrap();
    let delivery = next_delivery(&mut deliveries).await;
    let same = broker.clone();
    broker.close().await;
    assert!(deliveries.next().await.unwrap().is_none());
    delivery.ack().await.unwrap();
    assert!(matches!(same.publish(&[1]).await, Err(Error::Closed)));
    assert!(matches!(same.consume().await, Err(Error::Closed)));
}
