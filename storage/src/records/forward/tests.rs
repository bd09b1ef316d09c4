use super::*;
use crate::records::peer::{DicomPeer, PeerFacts};
use crate::testing::{now, on_both};

const CLINIC: ClinicId = ClinicId::DEFAULT;

async fn peer(tx: &mut Tx, title: &str) -> PeerId {
    let facts =
        PeerFacts { ae_title: title.parse().unwrap(), host: "10.0.0.7".into(), port: 104, uses_tls: false };
    DicomPeer::create(tx, CLINIC, facts, now()).await.unwrap().peer_id
}

fn everything(peer_id: PeerId) -> RuleFacts {
    RuleFacts {
        peer_id,
        modality: None,
        calling_ae: None,
        body_part: None,
        wants_commitment: false,
        is_enabled: true,
    }
}

#[tokio::test]
async fn a_rule_is_made_changed_and_removed_and_holds_its_peer() {
    on_both(async |db| {
        let mut tx = db.begin().await.unwrap();
        let pacs = peer(&mut tx, "PACS").await;
        let nowhere = ForwardRule::create(&mut tx, CLINIC, everything(PeerId::new()), now()).await;
        assert!(matches!(nowhere, Err(DbError::NotFound)));
        let facts = RuleFacts { calling_ae: Some("CT1".parse().unwrap()), ..everything(pacs) };
        let rule = ForwardRule::create(&mut tx, CLINIC, facts, now()).await.unwrap();
        assert_eq!(ForwardRule::find(&mut tx, CLINIC, rule.rule_id).await.unwrap(), rule);
        assert!(matches!(DicomPeer::remove(&mut tx, CLINIC, pacs).await, Err(DbError::Conflict)));

        let changed = RuleFacts { modality: Some("CT".into()), is_enabled: false, ..everything(pacs) };
        ForwardRule::change(&mut tx, CLINIC, rule.rule_id, &changed).await.unwrap();
        let lost = ForwardRule::change(&mut tx, CLINIC, rule.rule_id, &everything(PeerId::new())).await;
        assert!(matches!(lost, Err(DbError::NotFound)));
        let listed = ForwardRule::list(&mut tx, CLINIC, None, 9).await.unwrap();
        assert_eq!(listed[0].facts, changed);
        assert_eq!(ForwardRule::list(&mut tx, CLINIC, Some(rule.rule_id.0), 9).await.unwrap(), []);
        assert_eq!(ForwardRule::list(&mut tx, ClinicId::new(), None, 9).await.unwrap(), []);
        let stranger = ForwardRule::remove(&mut tx, ClinicId::new(), rule.rule_id).await;
        assert!(matches!(stranger, Err(DbError::NotFound)));
        ForwardRule::remove(&mut tx, CLINIC, rule.rule_id).await.unwrap();
        DicomPeer::remove(&mut tx, CLINIC, pacs).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn an_instance_goes_to_each_peer_once_that_an_enabled_rule_names_and_never_back() {
    on_both(async |db| {
        let mut tx = db.begin().await.unwrap();
        let (pacs, ward, off) =
            (peer(&mut tx, "PACS").await, peer(&mut tx, "WARD").await, peer(&mut tx, "OFF").await);
        for facts in [
            RuleFacts { modality: Some("CT".into()), ..everything(pacs) },
            RuleFacts { body_part: Some("CHEST".into()), wants_commitment: true, ..everything(pacs) },
            RuleFacts { calling_ae: Some("CT1".parse().unwrap()), ..everything(ward) },
            RuleFacts { is_enabled: false, ..everything(off) },
        ] {
            ForwardRule::create(&mut tx, CLINIC, facts, now()).await.unwrap();
        }
        tx.commit().await.unwrap();
        let rules = Rules::new(db.clone());
        let to = async |modality, calling: Option<&str>, body_part| {
            let calling = calling.map(|it| it.parse().unwrap());
            let seen = Seen { modality, calling_ae: calling.as_ref(), body_part };
            rules.destinations(CLINIC, seen).await.unwrap()
        };
        let plain = |peer_id| Destination { peer_id, wants_commitment: false };
        let committed = |peer_id| Destination { peer_id, wants_commitment: true };
        assert_eq!(to(Some("CT"), None, None).await, [plain(pacs)]);
        assert_eq!(to(Some("CT"), Some("CT1"), Some("Chest ")).await, [committed(pacs), plain(ward)]);
        assert_eq!(to(Some("MR"), Some("MR1"), Some("HEAD")).await, []);
        assert_eq!(to(Some("CT"), Some("PACS"), None).await, [], "not back to its sender");
        assert_eq!(rules.destinations(ClinicId::new(), Seen::default()).await.unwrap(), []);
    })
    .await;
}
