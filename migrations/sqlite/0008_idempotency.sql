-- Answers to requests that a client may send twice: the second time it gets the
-- first time's answer. Rows are swept when they are a day old.

CREATE TABLE idempotency (
    clinic_id       BLOB NOT NULL REFERENCES clinics (clinic_id),
    -- whose key it is: two callers may choose the same one
    caller          TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    -- SHA-256 of method, path and body, in hexadecimal
    fingerprint     TEXT NOT NULL,
    -- a new one each time the request is run
    run_id          BLOB NOT NULL UNIQUE,
    -- running or done
    state           TEXT NOT NULL,
    status          BIGINT,
    -- those headers of the answer that a repeat needs, by name
    headers         TEXT,
    -- JSON text; NULL where the answer was not kept
    body            TEXT,
    started_at      TEXT NOT NULL,
    PRIMARY KEY (clinic_id, caller, idempotency_key)
);
CREATE INDEX idempotency_by_age ON idempotency (started_at);
