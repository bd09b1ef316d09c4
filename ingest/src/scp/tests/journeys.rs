//! What a well-behaved sender sees.

use dicom_ul::association::client::ClientAssociationOptions;
use dicom_ul::pdu::{PDataValue, PDataValueType, Pdu, UserVariableItem};
use part10::IMPLEMENTATION_CLASS_UID;

use super::peer::{Answer, CT, CT_CONTEXT, ECHO_CONTEXT, Peer, association_rq, pdata, store_message};
use super::*;
use crate::scp::StoreStatus;
use crate::scp::dimse::{C_STORE_RQ, request};

const STORED: Answer = Answer { field: 0x8001, message_id: 1, status: 0 };

#[tokio::test]
async fn an_echo_is_answered_and_a_release_confirmed() {
    let running = Running::start().await;
    let mut peer = Peer::associated(running.address).await;
    assert_eq!(peer.echo().await, Answer { field: 0x8030, message_id: 1, status: 0 });
    peer.release().await;
    assert_eq!(running.events.echoes.load(Relaxed), 1);
    running.stop().await;
}

#[tokio::test]
async fn fragments_of_odd_sizes_become_the_same_bytes() {
    let running = Running::start().await;
    let mut peer = Peer::associated(running.address).await;
    let data = noise(300_001, 1);
    assert_eq!(peer.store("1.2.3", &data, &[1, 0, 7, 4093, 100_003, 2]).await, STORED);
    assert_eq!(peer.store("1.2.4", &[], &[1]).await, STORED, "an empty data set is the house's business");
    peer.release().await;
    let store = running.stop().await;
    let stored = store.stored();
    assert!(stored[0].data == data);
    assert_eq!((stored[0].sop_instance.as_str(), stored[0].calling_ae.as_str()), ("1.2.3", "PEER"));
    assert!(stored[1].data.is_empty());
}

#[tokio::test]
async fn a_message_may_come_in_many_values_of_one_pdu_and_byte_by_byte() {
    let running = Running::start().await;
    let mut peer = Peer::associated(running.address).await;
    let command = request(C_STORE_RQ, 1, true, Some((CT, "1.2.3")));
    let (head, tail) = command.split_at(11);
    let data = noise(5000, 2);
    let mut values = vec![(CT_CONTEXT, 1, head), (CT_CONTEXT, 3, tail)];
    let count = data.chunks(13).count();
    let control = |number| if number + 1 == count { 2 } else { 0 };
    values.extend(data.chunks(13).enumerate().map(|(number, piece)| (CT_CONTEXT, control(number), piece)));
    for byte in pdata(&values).chunks(97) {
        peer.send_bytes(byte).await;
    }
    assert_eq!(peer.answer().await, STORED);

    let in_two_pdus =
        [pdata(&[(CT_CONTEXT, 1, head)]), pdata(&[(CT_CONTEXT, 3, tail), (CT_CONTEXT, 2, &data)])];
    for byte in in_two_pdus.concat().chunks(1) {
        peer.send_bytes(byte).await;
    }
    assert_eq!(peer.answer().await, STORED);
    peer.release().await;
    let stored = running.stop().await.stored();
    assert!(stored.len() == 2 && stored.iter().all(|instance| instance.data == data));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_associations_send_at_once_and_one_of_them_something_big() {
    let running = Running::start().await;
    let mut big = Peer::associated(running.address).await;
    let mut small = Peer::associated(running.address).await;
    let large = noise(20 * 1024 * 1024, 3);
    let message = store_message(CT_CONTEXT, "1.2.20", &large, &[131_066]);
    let (first, second) = message.split_at(message.len() / 2);
    big.send_bytes(first).await;
    for number in 0..50 {
        let data = noise(10_000 + number, number as u32);
        assert_eq!(small.store(&format!("1.2.3.{number}"), &data, &[16_378]).await, STORED);
    }
    big.send_bytes(second).await;
    assert_eq!(big.answer().await, STORED);
    let stored = running.stop().await.stored();
    assert_eq!(stored.len(), 51);
    assert!(stored[50].data == large, "it was finished last");
    assert!(
        stored[..50].iter().enumerate().all(|(n, instance)| instance.data == noise(10_000 + n, n as u32))
    );
}

/// A sender that negotiated no window should wait for each response; one that does not loses nothing.
#[tokio::test]
async fn messages_that_come_before_their_turn_are_answered_in_order() {
    let running = Running::start().await;
    let mut peer = Peer::associated(running.address).await;
    let mut all = Vec::new();
    for number in 0..20 {
        all.extend(store_message(CT_CONTEXT, &format!("1.2.{number}"), &noise(70_000, number), &[50_000]));
    }
    peer.send_bytes(&all).await;
    for _ in 0..20 {
        assert_eq!(peer.answer().await, STORED);
    }
    let stored = running.stop().await.stored();
    assert!((0..20).all(|number| stored[number].data == noise(70_000, number as u32)));
}

#[tokio::test]
async fn a_peer_that_receives_little_gets_its_response_in_fragments() {
    let running = Running::start().await;
    let mut peer = Peer::connect(running.address).await;
    peer.send(&association_rq(64)).await;
    assert!(matches!(peer.receive().await, Some(Pdu::AssociationAC(_))));
    assert_eq!(peer.store("1.2.3", b"data", &[4]).await, STORED);
    assert!(peer.pdata_pdus_received > 1);
    running.stop().await;
}

/// PS3.7, annex C.5: 0211 unrecognized operation; its data set is read and dropped.
#[tokio::test]
async fn an_operation_that_we_do_not_offer_is_answered_and_the_association_goes_on() {
    const N_GET_RQ: u16 = 0x0110;
    let running = Running::start().await;
    let mut peer = Peer::associated(running.address).await;
    let command = request(N_GET_RQ, 5, true, Some((CT, "")));
    peer.send_bytes(&pdata(&[(CT_CONTEXT, 3, &command), (CT_CONTEXT, 2, b"identifier")])).await;
    assert_eq!(peer.answer().await, Answer { field: 0x8110, message_id: 5, status: 0x0211 });
    assert_eq!(peer.echo().await.status, 0);
    running.stop().await;
}

/// PS3.7, section 9.1.1.1.9: 0117 invalid SOP instance, 0122 SOP class not supported; PS3.4, B.2.3: C000.
#[tokio::test]
async fn a_request_that_contradicts_itself_is_answered_after_its_data_set() {
    let running = Running::start().await;
    let mut peer = Peer::associated(running.address).await;
    let cases = [
        (CT_CONTEXT, CT, "../../etc/passwd", true, 0x0117),
        (CT_CONTEXT, "1.2.840.10008.5.1.4.1.1.4", "1.2.3", true, 0x0122),
        (ECHO_CONTEXT, peer::VERIFICATION, "1.2.3", true, 0x0122),
        (CT_CONTEXT, CT, "1.2.3", false, 0xC000),
    ];
    for (context_id, class, uid, has_data_set, status) in cases {
        let command = request(C_STORE_RQ, 1, has_data_set, Some((class, uid)));
        peer.send_bytes(&pdata(&[(context_id, 3, &command)])).await;
        if has_data_set {
            peer.send_bytes(&pdata(&[(context_id, 0, &noise(50_000, 1)), (context_id, 2, b"")])).await;
        }
        assert_eq!(peer.answer().await, Answer { field: 0x8001, message_id: 1, status }, "{class} {uid}");
    }
    let store = running.stop().await;
    assert_eq!(store.begun(), 0);
}

#[tokio::test]
async fn an_instance_beyond_the_limit_is_refused_after_its_last_fragment_and_the_next_is_taken() {
    let store = FakeStore { limit_bytes: Some(100_000), ..FakeStore::default() };
    let running = Running::with(open_to_all(), store).await;
    let mut peer = Peer::associated(running.address).await;
    let refused = peer.store("1.2.3", &noise(1_000_000, 1), &[16_000]).await;
    assert_eq!(refused.status, StoreStatus::OUT_OF_RESOURCES);
    assert_eq!(peer.store("1.2.4", &noise(100_000, 1), &[16_000]).await, STORED);
    assert_eq!(running.events.instances_failed.load(Relaxed), 1);
    assert_eq!(running.stop().await.stored().len(), 1);
}

#[tokio::test]
async fn a_refusal_or_a_warning_of_the_house_is_the_answer() {
    let full = StoreStatus::new(StoreStatus::OUT_OF_RESOURCES, "the disk is full");
    let refusing = FakeStore { refuse: Some(full), ..FakeStore::default() };
    let coerced =
        FakeStore { warn: Some(StoreStatus::new(0xB000, "kept as a version")), ..FakeStore::default() };
    let aside = StoreStatus::new(StoreStatus::SUCCESS, "kept aside");
    let aside = FakeStore { warn: Some(aside), ..FakeStore::default() };
    for (store, status, kept) in [(refusing, 0xA700, 0), (coerced, 0xB000, 1), (aside, 0x0000, 1)] {
        let running = Running::with(open_to_all(), store).await;
        let mut peer = Peer::associated(running.address).await;
        assert_eq!(peer.store("1.2.3", b"data", &[4]).await.status, status);
        assert_eq!(running.events.instances_stored.load(Relaxed), kept);
        running.stop().await;
    }
}

/// Linux delays an acknowledgement by 40 ms (`TCP_DELACK_MIN`): 50 stores would take 2 s.
#[tokio::test]
async fn a_sender_with_nagles_algorithm_is_not_kept_waiting() {
    let running = Running::start().await;
    let mut peer = Peer::associated(running.address).await;
    peer.stream.set_nodelay(false).unwrap();
    let message = store_message(CT_CONTEXT, "1.2.3", b"a data set", &[5]);
    let started = tokio::time::Instant::now();
    for _ in 0..50 {
        for byte in message.chunks(60) {
            peer.send_bytes(byte).await;
        }
        assert_eq!(peer.answer().await, STORED);
    }
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    running.stop().await;
}

/// The foreign client is dicom-ul's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_library_negotiates_every_syntax_as_it_is() {
    let running = Running::start().await;
    let syntaxes = ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.80", "1.2.999.7"];
    let address = running.address;
    let client = tokio::task::spawn_blocking(move || {
        let mut options = ClientAssociationOptions::new()
            .calling_ae_title("FOREIGN")
            .called_ae_title("MEDILINK")
            .with_role_selection(CT, true, true);
        for syntax in syntaxes {
            options = options.with_presentation_context(CT, vec![syntax]);
        }
        let mut association = options.establish(address).unwrap();
        let accepted: Vec<_> =
            association.presentation_contexts().iter().map(|c| c.transfer_syntax.clone()).collect();
        assert_eq!(accepted, syntaxes);
        assert_eq!(association.acceptor_max_pdu_length(), 131_072);
        let ours = UserVariableItem::ImplementationClassUID(IMPLEMENTATION_CLASS_UID.into());
        assert!(association.user_variables().contains(&ours));

        for (number, context_id) in association
            .presentation_contexts()
            .iter()
            .map(|c| c.id)
            .collect::<Vec<_>>()
            .into_iter()
            .enumerate()
        {
            let command = request(C_STORE_RQ, 1, true, Some((CT, &format!("1.2.{number}"))));
            let value = |value_type, data| PDataValue {
                presentation_context_id: context_id,
                value_type,
                is_last: true,
                data,
            };
            let data = vec![
                value(PDataValueType::Command, command),
                value(PDataValueType::Data, noise(9999, number as u32)),
            ];
            association.send(&Pdu::PData { data }).unwrap();
            assert!(matches!(association.receive().unwrap(), Pdu::PData { .. }));
        }
        association.release().unwrap();
    });
    client.await.unwrap();
    let stored = running.stop().await.stored();
    for (number, instance) in stored.iter().enumerate() {
        assert_eq!(instance.transfer_syntax, syntaxes[number]);
        assert!(instance.data == noise(9999, number as u32));
    }
    assert_eq!(stored.len(), syntaxes.len());
}
