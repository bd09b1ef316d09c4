//! What a broken or hostile sender sees, and that nothing is left of it.

use dicom_ul::pdu::{AbortRQServiceProviderReason as Reason, AbortRQSource, Pdu};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::peer::{CT, CT_CONTEXT, Peer, association_rq, pdata, pdu_bytes, store_message};
use super::*;
use crate::scp::dimse::{C_ECHO_RQ, C_STORE_RQ, RESPONSE, request};

fn abort(reason: Reason) -> Option<Pdu> {
    Some(Pdu::AbortRQ { source: AbortRQSource::ServiceProvider(reason) })
}

/// PS3.8, section 9.3.8: 1 is unrecognized PDU, 2 unexpected PDU, 6 invalid PDU parameter value.
#[tokio::test]
async fn what_does_not_begin_with_an_association_is_aborted() {
    let running = Running::start().await;
    let endless_request = [&[1, 0, 0xFF, 0xFF, 0xFF, 0xFF][..], &[0; 64]].concat();
    let lying_item = [&[1, 0, 0, 0, 0, 74, 0, 1][..], &[0x20; 66], &[0x10, 0, 0xFF, 0xFF, 1, 2]].concat();
    let cases: [(&[u8], Reason); 6] = [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", Reason::UnrecognizedPdu),
        (&[0; 40], Reason::UnrecognizedPdu),
        (&pdata(&[(1, 3, b"early")]), Reason::UnexpectedPdu),
        (&pdu_bytes(&Pdu::ReleaseRQ), Reason::UnexpectedPdu),
        (&endless_request, Reason::InvalidPduParameter),
        (&lying_item, Reason::InvalidPduParameter),
    ];
    for (bytes, reason) in cases {
        let mut peer = Peer::connect(running.address).await;
        peer.send_bytes(bytes).await;
        assert_eq!(peer.receive().await, abort(reason), "{bytes:?}");
        assert_eq!(peer.receive().await, None, "and closed");
    }
    running.stop().await;
}

#[tokio::test]
async fn what_breaks_the_order_of_an_association_is_aborted() {
    let running = Running::start().await;
    let store = |uid| request(C_STORE_RQ, 1, true, Some((CT, uid)));
    let half = pdata(&[(CT_CONTEXT, 3, &store("1.2.3")), (CT_CONTEXT, 0, b"half")]);
    let response = request(C_ECHO_RQ | RESPONSE, 1, false, None);
    let cases: Vec<(&str, Vec<u8>, Reason)> = vec![
        ("a second association", pdu_bytes(&association_rq(0)), Reason::UnexpectedPdu),
        ("an unknown PDU", vec![9, 0, 0, 0, 0, 0], Reason::UnrecognizedPdu),
        ("a data set without a command", pdata(&[(CT_CONTEXT, 2, b"data")]), Reason::InvalidPduParameter),
        ("a context that was not accepted", pdata(&[(99, 3, &store("1.2.3"))]), Reason::InvalidPduParameter),
        ("a response", pdata(&[(CT_CONTEXT, 3, &response)]), Reason::InvalidPduParameter),
        ("a command that is none", pdata(&[(CT_CONTEXT, 3, b"nonsense")]), Reason::InvalidPduParameter),
        ("an empty command", pdata(&[(CT_CONTEXT, 3, b"")]), Reason::InvalidPduParameter),
        ("an endless command", pdata(&[(CT_CONTEXT, 1, &[0; 70_000])]), Reason::InvalidPduParameter),
        ("a PDU beyond the limit", vec![4, 0, 0, 3, 0, 0], Reason::InvalidPduParameter),
        (
            "a value longer than its PDU",
            vec![4, 0, 0, 0, 0, 8, 0, 0, 1, 0, 1, 3, 1, 2],
            Reason::InvalidPduParameter,
        ),
        ("a value without a header", vec![4, 0, 0, 0, 0, 6, 0, 0, 0, 1, 1, 3], Reason::InvalidPduParameter),
        ("a PDU too short for a value", vec![4, 0, 0, 0, 0, 2, 0, 0], Reason::InvalidPduParameter),
        ("an endless release", vec![5, 0, 1, 0, 0, 0], Reason::InvalidPduParameter),
        (
            "a release inside a message",
            [half.clone(), pdu_bytes(&Pdu::ReleaseRQ)].concat(),
            Reason::InvalidPduParameter,
        ),
        ("a command inside a message", [half.clone(), half].concat(), Reason::InvalidPduParameter),
    ];
    for (what, bytes, reason) in cases {
        let mut peer = Peer::associated(running.address).await;
        peer.send_bytes(&bytes).await;
        assert_eq!(peer.receive().await, abort(reason), "{what}");
    }
    assert!(running.stop().await.stored().is_empty());
}

#[tokio::test]
async fn a_sender_that_leaves_in_the_middle_leaves_nothing_behind() {
    let running = Running::start().await;
    let message = store_message(CT_CONTEXT, "1.2.3", &noise(200_000, 1), &[16_000]);
    for cut in [message.len() - 1, message.len() - 16_000, 300, 150, 3] {
        let mut peer = Peer::associated(running.address).await;
        peer.send_bytes(&message[..cut]).await;
    }
    // The last of 200,000 bytes in pieces of 16,000 has 8,000, and 12 bytes of headers before it.
    for whole_pdus in [message.len() - 8_012, message.len() - 8_012 - 16_012] {
        let mut peer = Peer::associated(running.address).await;
        peer.send_bytes(&message[..whole_pdus]).await;
        peer.send(&Pdu::AbortRQ { source: AbortRQSource::ServiceUser }).await;
        assert_eq!(peer.receive().await, None);
    }
    eventually("all are gone", || running.events.connections_open.load(Relaxed) == 0).await;
    assert!(running.stop().await.stored().is_empty());
}

/// A message whose fragments name another context, or whose bytes are flipped anywhere, must not be
/// stored as something it is not: what is stored has a length that the stream can have carried.
#[test]
fn no_bytes_break_the_listener() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let settings = ScpSettings {
        artim: Duration::from_millis(200),
        idle: Duration::from_millis(200),
        transfer_wait: Duration::from_millis(200),
        ..open_to_all()
    };
    let running = runtime.block_on(Running::with(settings, FakeStore::default()));
    let address = running.address;
    let data = noise(3000, 7);
    let good = [
        pdu_bytes(&association_rq(16_384)),
        store_message(CT_CONTEXT, "1.2.3", &data, &[700, 1]),
        pdu_bytes(&Pdu::ReleaseRQ),
    ]
    .concat();
    let changes = proptest::collection::vec((0..good.len(), any::<u8>()), 0..6);
    let strategy = (changes, 0..=good.len(), proptest::collection::vec(any::<u8>(), 0..300), any::<bool>());
    let config = ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let result = runner.run(&strategy, |(changes, cut, garbage, is_garbage)| {
        let mut bytes = good[..cut].to_vec();
        for (at, byte) in changes {
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
        }
        if is_garbage {
            bytes.extend(garbage);
        }
        let was_whole = bytes == good;
        let before = running.store.stored().len();
        runtime.block_on(async {
            let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
            // The listener may have hung up before the last byte.
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
            let _ = stream.read_to_end(&mut Vec::new()).await;
            eventually("the connection ends", || running.events.connections_open.load(Relaxed) == 0).await;
        });
        let stored = running.store.stored();
        for instance in &stored[before..] {
            prop_assert!(instance.data.len() <= bytes.len());
        }
        prop_assert!(!was_whole || stored[before..].iter().any(|instance| instance.data == data));
        prop_assert_eq!(running.store.begun() - stored.len(), running.store.dropped());
        Ok(())
    });
    result.unwrap();
    runtime.block_on(async {
        let mut peer = Peer::associated(address).await;
        assert_eq!(peer.echo().await.status, 0, "still there");
        running.stop().await;
    });
}
