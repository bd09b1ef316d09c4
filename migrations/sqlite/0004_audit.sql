-- The audit trail: who did what with which record, when, from where, and what came of it. Rows are only ever
-- added; a sealer gives each its place in the clinic's chain (seq, hash), once. No foreign keys: the trail
-- outlives what it tells of, and one odd row must not spoil the commit that it shares.

CREATE TABLE audit_trail (
    -- ordered by happened_at
    audit_id    BLOB NOT NULL,
    clinic_id   BLOB NOT NULL,
    happened_at TEXT NOT NULL,
    -- administrator, user, key, system or unknown
    actor_kind  TEXT NOT NULL,
    -- of a user or a key; else empty
    actor_id    TEXT NOT NULL,
    role        TEXT,
    session_id  BLOB,
    action      TEXT NOT NULL,
    record_id   TEXT,
    patient_id  BLOB,
    route       TEXT NOT NULL,
    address     TEXT,
    request_id  TEXT,
    -- success, denied, refused or failed
    outcome     TEXT NOT NULL,
    -- JSON, kept to the letter because the hash covers it
    detail      TEXT,
    -- counted from 1 in each clinic without a gap; NULL until sealed
    seq         BIGINT,
    -- SHA-256 over the row and the hash before it, in hexadecimal
    hash        TEXT,
    PRIMARY KEY (clinic_id, audit_id),
    CHECK ((seq IS NULL) = (hash IS NULL))
);
CREATE UNIQUE INDEX audit_by_seq ON audit_trail (clinic_id, seq) WHERE seq IS NOT NULL;
CREATE INDEX audit_unsealed ON audit_trail (clinic_id, audit_id) WHERE seq IS NULL;
CREATE INDEX audit_by_actor ON audit_trail (clinic_id, actor_kind, actor_id, audit_id);
CREATE INDEX audit_by_patient ON audit_trail (clinic_id, patient_id, audit_id) WHERE patient_id IS NOT NULL;
CREATE INDEX audit_by_action ON audit_trail (clinic_id, action, audit_id);
CREATE INDEX audit_by_outcome ON audit_trail (clinic_id, outcome, audit_id);

-- Where each clinic's chain ends. Whoever moves a head from where it was read has sealed; another has not.
CREATE TABLE audit_heads (
    clinic_id BLOB PRIMARY KEY,
    seq       BIGINT NOT NULL,
    hash      TEXT NOT NULL
);

CREATE TRIGGER audit_stays BEFORE DELETE ON audit_trail
BEGIN SELECT RAISE(ABORT, 'the audit trail only grows'); END;

CREATE TRIGGER audit_is_fixed BEFORE UPDATE OF
    audit_id, clinic_id, happened_at, actor_kind, actor_id, role, session_id, action, record_id, patient_id,
    route, address, request_id, outcome, detail ON audit_trail
BEGIN SELECT RAISE(ABORT, 'the audit trail only grows'); END;

CREATE TRIGGER audit_is_sealed_once BEFORE UPDATE OF seq, hash ON audit_trail
WHEN OLD.seq IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'the audit trail only grows'); END;

-- INSERT OR REPLACE would remove a row without asking the triggers above.
CREATE TRIGGER audit_is_never_replaced BEFORE INSERT ON audit_trail
WHEN NEW.seq IS NOT NULL OR EXISTS (SELECT 1 FROM audit_trail WHERE clinic_id = NEW.clinic_id AND audit_id = NEW.audit_id)
BEGIN SELECT RAISE(ABORT, 'the audit trail only grows'); END;
