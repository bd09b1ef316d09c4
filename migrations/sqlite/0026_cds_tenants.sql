-- A program of another house serves several tenants under one issuer: issuer and tenant together say whose token it is, over
-- all clinics. A token counts once, whichever process it is shown to.

ALTER TABLE cds_clients ADD COLUMN tenant TEXT;
-- Until now the claim named the clinic where several had named one issuer.
UPDATE cds_clients
   SET tenant = lower(substr(hex(clinic_id), 1, 8) || '-' || substr(hex(clinic_id), 9, 4) || '-' ||
                      substr(hex(clinic_id), 13, 4) || '-' || substr(hex(clinic_id), 17, 4) || '-' ||
                      substr(hex(clinic_id), 21))
 WHERE issuer IN (SELECT issuer FROM cds_clients GROUP BY issuer HAVING count(*) > 1);
DROP INDEX cds_clients_by_issuer;
CREATE UNIQUE INDEX cds_clients_by_issuer ON cds_clients (issuer, coalesce(tenant, ''));

CREATE TABLE cds_tokens (
    clinic_id BLOB NOT NULL REFERENCES clinics (clinic_id),
    issuer    TEXT NOT NULL,
    -- the claim jti
    token     TEXT NOT NULL,
    ends_at   TEXT NOT NULL,
    PRIMARY KEY (clinic_id, issuer, token)
);
CREATE INDEX cds_tokens_ending ON cds_tokens (clinic_id, ends_at);

CREATE INDEX issue_overrides_of_patient ON issue_overrides (patient_id) WHERE patient_id IS NOT NULL;
