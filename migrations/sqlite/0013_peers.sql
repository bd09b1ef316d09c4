-- Other application entities: where they are reached, what is forwarded to them by
-- which rules, and their requests for storage commitment.

CREATE TABLE dicom_peers (
    peer_id    BLOB PRIMARY KEY,
    clinic_id  BLOB NOT NULL REFERENCES clinics (clinic_id),
    ae_title   TEXT NOT NULL,
    host       TEXT NOT NULL,
    port       BIGINT NOT NULL,
    uses_tls   BOOLEAN NOT NULL,
    created_at TEXT NOT NULL,
    UNIQUE (clinic_id, ae_title)
);
CREATE INDEX dicom_peers_newest ON dicom_peers (clinic_id, peer_id);

-- NULL: whatever it is
CREATE TABLE forward_rules (
    rule_id          BLOB PRIMARY KEY,
    clinic_id        BLOB NOT NULL REFERENCES clinics (clinic_id),
    peer_id          BLOB NOT NULL REFERENCES dicom_peers (peer_id),
    modality         TEXT,
    calling_ae       TEXT,
    body_part        TEXT,
    wants_commitment BOOLEAN NOT NULL,
    is_enabled       BOOLEAN NOT NULL,
    created_at       TEXT NOT NULL
);
CREATE INDEX forward_rules_newest ON forward_rules (clinic_id, rule_id);
CREATE INDEX forward_rules_of_peer ON forward_rules (peer_id);

-- One instance on its way to one peer.
CREATE TABLE forwards (
    peer_id          BLOB NOT NULL REFERENCES dicom_peers (peer_id) ON DELETE CASCADE,
    instance_id      BLOB NOT NULL REFERENCES instances (instance_id) ON DELETE CASCADE,
    clinic_id        BLOB NOT NULL REFERENCES clinics (clinic_id),
    study_id         BLOB NOT NULL,
    wants_commitment BOOLEAN NOT NULL,
    -- waiting, sent, committed, or not_committed where the peer said so
    state            TEXT NOT NULL,
    -- what the peer answered the last time: a DIMSE status, or the failure reason of its commitment
    status           BIGINT,
    -- under which the peer was asked for commitment
    transaction_uid  TEXT,
    changed_at       TEXT NOT NULL,
    PRIMARY KEY (peer_id, instance_id)
);
CREATE INDEX forwards_of_study ON forwards (clinic_id, study_id, peer_id, state);
CREATE INDEX forwards_of_instance ON forwards (instance_id);
CREATE INDEX forwards_of_transaction ON forwards (transaction_uid) WHERE transaction_uid IS NOT NULL;

-- What peers have asked us to commit to; reported_at: when they have acknowledged the report.
CREATE TABLE commitments (
    commitment_id   BLOB PRIMARY KEY,
    clinic_id       BLOB NOT NULL REFERENCES clinics (clinic_id),
    transaction_uid TEXT NOT NULL,
    calling_ae      TEXT NOT NULL,
    called_ae       TEXT NOT NULL,
    -- pairs of SOP Class UID and SOP Instance UID
    asked           TEXT NOT NULL,
    asked_at        TEXT NOT NULL,
    reported_at     TEXT,
    UNIQUE (clinic_id, calling_ae, transaction_uid)
);
CREATE INDEX commitments_by_time ON commitments (asked_at);
