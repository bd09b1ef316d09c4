-- Versions of one network that share their weights are read apart; which device made a series; what is counted of a
-- network's answers is read along indexes.

-- What refers to the rows finds them again under the same name before the end.
PRAGMA defer_foreign_keys = ON;
CREATE TABLE analyses_before AS SELECT * FROM analyses;
DROP TABLE analyses;
CREATE TABLE analyses (
    analysis_id       BLOB PRIMARY KEY,
    clinic_id         BLOB NOT NULL REFERENCES clinics (clinic_id),
    study_id          BLOB NOT NULL REFERENCES studies (study_id),
    instance_id       BLOB NOT NULL REFERENCES instances (instance_id),
    instance_sha256   TEXT NOT NULL,
    network_name      TEXT NOT NULL,
    network_version   TEXT NOT NULL,
    network_sha256    TEXT NOT NULL,
    abstention_code   TEXT,
    abstention_reason TEXT,
    findings_text     TEXT,
    recommendations   TEXT,
    confidence        DOUBLE PRECISION,
    duration_ms       DOUBLE PRECISION NOT NULL,
    analyzed_at       TEXT NOT NULL,
    is_shadow         BOOLEAN NOT NULL DEFAULT FALSE,
    superseded_at     TEXT,
    UNIQUE (instance_id, instance_sha256, network_sha256, network_name, network_version)
);
INSERT INTO analyses (analysis_id, clinic_id, study_id, instance_id, instance_sha256, network_name, network_version,
                      network_sha256, abstention_code, abstention_reason, findings_text, recommendations, confidence,
                      duration_ms, analyzed_at, is_shadow, superseded_at)
SELECT analysis_id, clinic_id, study_id, instance_id, instance_sha256, network_name, network_version,
       network_sha256, abstention_code, abstention_reason, findings_text, recommendations, confidence,
       duration_ms, analyzed_at, is_shadow, superseded_at FROM analyses_before;
DROP TABLE analyses_before;
CREATE INDEX analyses_by_study ON analyses (study_id);
CREATE INDEX analyses_newest ON analyses (clinic_id, analysis_id);
CREATE INDEX analyses_of_version ON analyses (network_name, network_version, is_shadow, analysis_id);
CREATE INDEX clinics_analyses_of_version
    ON analyses (clinic_id, network_name, network_version, is_shadow, analysis_id);

ALTER TABLE series ADD COLUMN manufacturer TEXT;
ALTER TABLE series ADD COLUMN model TEXT;
