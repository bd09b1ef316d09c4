-- The data set of each instance as DICOM JSON, packed, so that the metadata of a
-- study are read from rows and not from a thousand blobs. A row counts only while its
-- digest is the instance's and its form the program's own; else it is made anew.

CREATE TABLE instance_metadata (
    instance_id UUID PRIMARY KEY REFERENCES instances (instance_id) ON DELETE CASCADE,
    clinic_id   UUID NOT NULL REFERENCES clinics (clinic_id),
    sha256      TEXT NOT NULL,
    form        BIGINT NOT NULL,
    packed      BYTEA NOT NULL
);

SELECT keep_clinics_apart();
