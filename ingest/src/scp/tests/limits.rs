//! Limits, time-outs and the shutdown.

use dicom_ul::pdu::{AbortRQSource, Pdu};
use tokio::time::Instant;

use super::peer::{CT_CONTEXT, Peer, association_rq, store_message};
use super::*;
use crate::scp::negotiation::local_limit_exceeded;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_and_slow_senders_leave_an_echo_its_second() {
    // Both ends of 821 connections live in this process, beside the other tests.
    rlimit::increase_nofile_limit(4096).unwrap();
    let running = Running::start().await;
    let mut silent = Vec::new();
    for number in 0..820 {
        let peer = match number {
            0..100 => Peer::connect(running.address).await,
            100..200 => {
                let mut peer = Peer::connect(running.address).await;
                peer.send_bytes(&[1, 0, 0, 0, 1]).await;
                peer
            }
            200..320 => Peer::associated(running.address).await,
            _ => {
                let mut peer = Peer::associated(running.address).await;
                let message = store_message(CT_CONTEXT, "1.2.3", &noise(10_000, 1), &[16_000]);
                peer.send_bytes(&message[..5_000]).await;
                peer
            }
        };
        silent.push(peer);
    }
    let started = Instant::now();
    let mut peer = Peer::associated(running.address).await;
    assert_eq!(peer.echo().await.status, 0);
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    eventually("all are open", || running.events.connections_open.load(Relaxed) == 821).await;
    drop(silent);
    eventually("their sinks are gone", || running.store.dropped() == 500).await;
    running.stop().await;
}

/// PS3.8, table 9-21: transient, presentation related, local limit exceeded.
#[tokio::test]
async fn an_association_beyond_the_limit_is_rejected_for_now() {
    let running = Running::with(ScpSettings { associations: 1, ..open_to_all() }, FakeStore::default()).await;
    let first = Peer::associated(running.address).await;
    let mut second = Peer::connect(running.address).await;
    second.send(&association_rq(16_384)).await;
    assert_eq!(second.receive().await, Some(local_limit_exceeded().into()));
    assert_eq!(second.receive().await, None);
    first.release().await;
    eventually("the first is gone", || running.events.associations_open.load(Relaxed) == 0).await;
    Peer::associated(running.address).await.release().await;
    assert_eq!(running.events.associations_rejected.load(Relaxed), 1);
    running.stop().await;
}

#[tokio::test]
async fn a_connection_beyond_the_limit_is_dropped_at_once() {
    let running = Running::with(ScpSettings { connections: 1, ..open_to_all() }, FakeStore::default()).await;
    let _first = Peer::associated(running.address).await;
    assert_eq!(Peer::connect(running.address).await.receive().await, None);
    assert_eq!(running.events.connections_dropped.load(Relaxed), 1);
    running.stop().await;
}

/// The 1.5 s exceed the second after which an idle association gives its buffer back.
#[tokio::test]
async fn silence_ends_a_connection_when_its_time_is_up() {
    let settings = ScpSettings {
        artim: Duration::from_millis(100),
        idle: Duration::from_millis(1500),
        transfer_wait: Duration::from_millis(300),
        ..open_to_all()
    };
    let running = Running::with(settings, FakeStore::default()).await;
    let is_abort =
        |pdu: Option<Pdu>| matches!(pdu, Some(Pdu::AbortRQ { source: AbortRQSource::ServiceProvider(_) }));

    let mut before = Peer::connect(running.address).await;
    before.send_bytes(&[1, 0, 0]).await;
    assert!(is_abort(before.receive().await), "no A-ASSOCIATE-RQ");

    let mut inside = Peer::associated(running.address).await;
    let message = store_message(CT_CONTEXT, "1.2.3", &noise(10_000, 1), &[16_000]);
    inside.send_bytes(&message[..5_000]).await;
    assert!(is_abort(inside.receive().await), "half a message");

    let mut between = Peer::associated(running.address).await;
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert_eq!(between.echo().await.status, 0, "not yet");
    let started = Instant::now();
    assert!(is_abort(between.receive().await), "no further message");
    assert!(started.elapsed() > Duration::from_millis(1400), "{:?}", started.elapsed());
    let store = running.stop().await;
    assert_eq!((store.begun(), store.dropped()), (1, 1));
}

#[tokio::test]
async fn a_shutdown_finishes_and_answers_what_is_under_way_and_aborts_the_idle() {
    let store = FakeStore { commit_wait: Duration::from_millis(300), ..FakeStore::default() };
    let running = Running::with(open_to_all(), store).await;
    let (address, kept, events) = (running.address, running.store.clone(), running.events.clone());
    let mut idle = Peer::associated(address).await;
    let mut unborn = Peer::connect(address).await;
    let mut busy = Peer::associated(address).await;
    let data = noise(100_000, 1);
    let message = store_message(CT_CONTEXT, "1.2.3", &data, &[16_000]);
    busy.send_bytes(&message[..50_000]).await;
    eventually("the store is under way", || kept.begun() == 1).await;
    eventually("all are accepted", || events.connections_open.load(Relaxed) == 3).await;

    let stopping = tokio::spawn(running.stop());
    for peer in [&mut idle, &mut unborn] {
        assert_eq!(peer.receive().await, Some(Pdu::AbortRQ { source: AbortRQSource::ServiceUser }));
    }
    assert!(tokio::net::TcpStream::connect(address).await.is_err(), "nobody new is let in");
    busy.send_bytes(&message[50_000..]).await;
    assert_eq!(busy.answer().await.status, 0);
    assert_eq!(busy.receive().await, Some(Pdu::AbortRQ { source: AbortRQSource::ServiceUser }));
    drop((idle, unborn, busy));
    stopping.await.unwrap();
    assert!(kept.stored()[0].data == data);
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_ever() {
    let settings = ScpSettings { shutdown_wait: Duration::from_millis(200), ..open_to_all() };
    let running = Running::with(settings, FakeStore::default()).await;
    let mut peer = Peer::associated(running.address).await;
    let message = store_message(CT_CONTEXT, "1.2.3", &noise(10_000, 1), &[16_000]);
    peer.send_bytes(&message[..5_000]).await;
    eventually("the store is under way", || running.store.begun() == 1).await;
    let store = running.stop().await;
    assert_eq!(store.dropped(), 1);
}
