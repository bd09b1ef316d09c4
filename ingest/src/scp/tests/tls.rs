//! TLS, with and without certificates of clients, and from where connections are taken.

use std::path::{Path, PathBuf};

use clinical::ae_title::AeTitle;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tokio::io::AsyncReadExt;

use super::dcmtk::{EXPLICIT, ct, data_set, dcmtk, explain};
use super::peer::{Peer, association_rq};
use super::*;
use crate::scp::{AllowedAddresses, Listeners};
use crate::scu::{self, Association, Proposal, ScuError, ScuSettings};
use crate::tls::{OwnCertificate, TlsClient, TlsServer};

/// An authority whose certificates lie in a folder.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: PathBuf,
    pem: PathBuf,
}

impl Authority {
    fn new(folder: &Path, name: &str) -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let pem = folder.join(format!("{name}.pem"));
        std::fs::write(&pem, issuer.pem()).unwrap();
        Self { issuer, folder: folder.to_owned(), pem }
    }

    /// A certificate and its key for 127.0.0.1.
    fn certify(&self, name: &str) -> (PathBuf, PathBuf) {
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let own_key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&own_key, &self.issuer).unwrap();
        let (chain, key) =
            (self.folder.join(format!("{name}-cert.pem")), self.folder.join(format!("{name}-key.pem")));
        std::fs::write(&chain, certificate.pem()).unwrap();
        std::fs::write(&key, own_key.serialize_pem()).unwrap();
        (chain, key)
    }
}

/// A listener whose address is that of its TLS door.
async fn secure(own: &(PathBuf, PathBuf), client_authorities: Option<&Path>) -> Running {
    let tls = TlsServer::new(OwnCertificate { chain: &own.0, key: &own.1 }, client_authorities).unwrap();
    let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (store, events) = (Arc::new(FakeStore::default()), Arc::new(ScpEvents::default()));
    let (stop, stopped) = oneshot::channel();
    let shutdown = async move { drop(stopped.await) };
    let listeners = Listeners::from(plain).and_tls(listener, tls);
    let settings = ScpSettings { artim: Duration::from_secs(2), ..open_to_all() };
    let task = tokio::spawn(crate::scp::serve(listeners, settings, store.clone(), events.clone(), shutdown));
    Running { address, store, events, stop, task }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dcmtk_is_heard_and_stores_under_tls() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "authority");
    let own = authority.certify("medilink");
    let running = secure(&own, None).await;
    let anonymous = ["-aec", "MEDILINK", "+tla", "+cf", text(&authority.pem)];
    let output = dcmtk("echoscu", &running, &anonymous, &[]).await;
    assert!(output.status.success(), "{}", explain(&output));

    let path = ct(folder.path(), "1.2.826.0.1.3680043.10.999.1.9", EXPLICIT);
    let flags = [&anonymous[..], &["-xe"]].concat();
    let output = dcmtk("storescu", &running, &flags, std::slice::from_ref(&path)).await;
    assert!(output.status.success(), "{}", explain(&output));

    // The certificate is for the address that is called, and leads to an authority that the caller does not trust.
    let other = Authority::new(folder.path(), "other");
    let output =
        dcmtk("echoscu", &running, &["-aec", "MEDILINK", "+tla", "+cf", text(&other.pem)], &[]).await;
    assert!(!output.status.success());
    assert_eq!(running.events.echoes.load(Relaxed), 1);
    let stored = running.stop().await.stored();
    assert!(stored.len() == 1 && stored[0].data == data_set(&path));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_certificates_are_asked_for_nobody_gets_through_without_one_that_is_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let (authority, other) =
        (Authority::new(folder.path(), "authority"), Authority::new(folder.path(), "other"));
    let running = secure(&authority.certify("medilink"), Some(&authority.pem)).await;
    let (mine, foreign) = (authority.certify("modality"), other.certify("stranger"));
    let trusting = ["-aec", "MEDILINK", "+cf", text(&authority.pem)];
    let flags = [&trusting[..], &["+tls", text(&mine.1), text(&mine.0)]].concat();
    let output = dcmtk("echoscu", &running, &flags, &[]).await;
    assert!(output.status.success(), "{}", explain(&output));
    let flags = [&trusting[..], &["+tls", text(&foreign.1), text(&foreign.0)]].concat();
    assert!(!dcmtk("echoscu", &running, &flags, &[]).await.status.success());
    let flags = [&trusting[..], &["+tla"]].concat();
    assert!(!dcmtk("echoscu", &running, &flags, &[]).await.status.success());
    assert_eq!(running.events.echoes.load(Relaxed), 1);
    assert_eq!(running.events.tls_failures.load(Relaxed), 2);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn we_call_others_under_tls_and_believe_only_whom_we_trust() {
    let folder = tempfile::tempdir().unwrap();
    let (authority, other) =
        (Authority::new(folder.path(), "authority"), Authority::new(folder.path(), "other"));
    let running = secure(&authority.certify("medilink"), Some(&authority.pem)).await;
    let mine = authority.certify("gateway");
    let own = OwnCertificate { chain: &mine.0, key: &mine.1 };
    let called = async |host: &str, authorities: &Path, own| {
        let peer = scu::Peer {
            ae_title: AeTitle::MEDILINK,
            host: host.to_owned(),
            port: running.address.port(),
            tls: Some(TlsClient::new(authorities, own).unwrap()),
        };
        let mut association =
            Association::open(&peer, &ScuSettings::default(), &Proposal::verification()).await?;
        let status = association.echo().await?;
        association.release().await;
        Ok::<_, ScuError>(status)
    };
    assert_eq!(called("127.0.0.1", &authority.pem, Some(own)).await.unwrap(), 0);
    assert!(matches!(called("127.0.0.1", &other.pem, Some(own)).await, Err(ScuError::Connect(_))));
    assert!(called("localhost", &authority.pem, Some(own)).await.is_err(), "it is certified for 127.0.0.1");
    assert!(called("127.0.0.1", &authority.pem, None).await.is_err(), "we show no certificate");
    running.stop().await;
}

/// PS3.8, section 9.3.2: an A-ASSOCIATE-RQ begins with 01, a TLS record of a handshake with 16 (RFC 8446, section 5.1).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_speaks_in_the_clear_or_not_at_all_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let running = secure(&Authority::new(folder.path(), "authority").certify("medilink"), None).await;
    let mut clear = Peer::connect(running.address).await;
    clear.send(&association_rq(16_384)).await;
    let mut rest = Vec::new();
    // A TLS alert or a plain end, and no PDU.
    clear.stream.read_to_end(&mut rest).await.ok();
    assert_ne!(rest.first(), Some(&2));
    let _silent = Peer::connect(running.address).await;
    eventually("both are given up", || running.events.tls_failures.load(Relaxed) == 2).await;
    assert_eq!(running.events.associations_accepted.load(Relaxed), 0);
    running.stop().await;
}

#[tokio::test]
async fn a_connection_from_an_address_that_is_not_allowed_is_closed_at_once() {
    let networks = ["10.0.0.0/8".to_owned()];
    let allowed_addresses = AllowedAddresses::named(&networks).unwrap();
    let running =
        Running::with(ScpSettings { allowed_addresses, ..open_to_all() }, FakeStore::default()).await;
    assert_eq!(Peer::connect(running.address).await.receive().await, None);
    assert_eq!(running.events.connections_refused.load(Relaxed), 1);
    running.stop().await;

    let networks = ["127.0.0.0/8".to_owned()];
    let allowed_addresses = AllowedAddresses::named(&networks).unwrap();
    let running =
        Running::with(ScpSettings { allowed_addresses, ..open_to_all() }, FakeStore::default()).await;
    Peer::associated(running.address).await.release().await;
    running.stop().await;
}
