-- Maps of what counted for a finding, findings of several boxes of one label, analyses that a newer one stands in for,
-- and turns between clinics in the queue.

ALTER TABLE findings DROP CONSTRAINT findings_analysis_id_label_key;
CREATE INDEX findings_of_analysis ON findings (analysis_id, label);
-- a 16-bit map over the frame, and the frame tinted by it; absent until they are made
ALTER TABLE findings ADD COLUMN saliency_key TEXT;
ALTER TABLE findings ADD COLUMN overlay_key TEXT;
CREATE INDEX findings_by_saliency ON findings (saliency_key) WHERE saliency_key IS NOT NULL;
CREATE INDEX findings_by_overlay ON findings (overlay_key) WHERE overlay_key IS NOT NULL;

ALTER TABLE analyses ADD COLUMN superseded_at TIMESTAMPTZ;

-- When a clinic's job was claimed last, so that the next one is another clinic's.
CREATE TABLE job_turns (
    clinic_id UUID PRIMARY KEY REFERENCES clinics (clinic_id),
    -- microseconds since 1970
    turn      BIGINT NOT NULL
);

SELECT keep_clinics_apart();
