-- Objects that came in and are held back: what a scanner found, what nobody could scan,
-- what the clinic wants to see before it is refused. Their bytes lie in the archive.

CREATE TABLE quarantine (
    held_id    BLOB PRIMARY KEY,
    clinic_id  BLOB NOT NULL REFERENCES clinics (clinic_id),
    -- infected, not_scanned, refused
    reason     TEXT NOT NULL,
    -- the signature's name, or the code of the refusal
    detail     TEXT NOT NULL,
    -- sender or result
    origin     TEXT NOT NULL,
    file_name  TEXT,
    study_uid  TEXT,
    sop_uid    TEXT,
    sha256     TEXT NOT NULL,
    size_bytes BIGINT NOT NULL,
    blob_key   TEXT NOT NULL UNIQUE,
    held_at    TEXT NOT NULL,
    UNIQUE (clinic_id, sha256)
);
CREATE INDEX quarantine_newest ON quarantine (clinic_id, held_id);
