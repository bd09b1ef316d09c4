-- Maps of what counted for a finding, findings of several boxes of one label, analyses that a newer one stands in for,
-- and turns between clinics in the queue.

CREATE TABLE findings_anew (
    finding_id   BLOB PRIMARY KEY,
    clinic_id    BLOB NOT NULL REFERENCES clinics (clinic_id),
    study_id     BLOB NOT NULL REFERENCES studies (study_id),
    analysis_id  BLOB NOT NULL REFERENCES analyses (analysis_id),
    label        TEXT NOT NULL,
    meaning      TEXT NOT NULL,
    probability  DOUBLE PRECISION NOT NULL,
    threshold    DOUBLE PRECISION,
    frame        BIGINT NOT NULL,
    region       TEXT,
    review_state TEXT NOT NULL,
    reviewed_by  TEXT,
    reviewed_at  TEXT,
    comment      TEXT,
    -- a 16-bit map over the frame, and the frame tinted by it; absent until they are made
    saliency_key TEXT,
    overlay_key  TEXT
);
INSERT INTO findings_anew (finding_id, clinic_id, study_id, analysis_id, label, meaning, probability, threshold, frame,
                           region, review_state, reviewed_by, reviewed_at, comment)
SELECT finding_id, clinic_id, study_id, analysis_id, label, meaning, probability, threshold, frame,
       region, review_state, reviewed_by, reviewed_at, comment FROM findings;
DROP TABLE findings;
ALTER TABLE findings_anew RENAME TO findings;
CREATE INDEX findings_of_analysis ON findings (analysis_id, label);
CREATE INDEX findings_newest ON findings (clinic_id, finding_id);
CREATE INDEX findings_newest_of_state ON findings (clinic_id, review_state, finding_id);
CREATE INDEX findings_newest_of_study ON findings (study_id, finding_id);
CREATE INDEX findings_by_saliency ON findings (saliency_key) WHERE saliency_key IS NOT NULL;
CREATE INDEX findings_by_overlay ON findings (overlay_key) WHERE overlay_key IS NOT NULL;

ALTER TABLE analyses ADD COLUMN superseded_at TEXT;

-- When a clinic's job was claimed last, so that the next one is another clinic's.
CREATE TABLE job_turns (
    clinic_id BLOB PRIMARY KEY REFERENCES clinics (clinic_id),
    -- microseconds since 1970
    turn      BIGINT NOT NULL
);
