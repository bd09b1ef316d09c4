-- Versions of one network that share their weights are read apart; which device made a series; what is counted of a
-- network's answers is read along indexes.

ALTER TABLE analyses DROP CONSTRAINT analyses_instance_id_instance_sha256_network_sha256_key;
ALTER TABLE analyses ADD UNIQUE (instance_id, instance_sha256, network_sha256, network_name, network_version);
DROP INDEX analyses_by_network;
CREATE INDEX analyses_of_version ON analyses (network_name, network_version, is_shadow, analysis_id);
CREATE INDEX clinics_analyses_of_version
    ON analyses (clinic_id, network_name, network_version, is_shadow, analysis_id);

ALTER TABLE series ADD COLUMN manufacturer TEXT;
ALTER TABLE series ADD COLUMN model TEXT;

SELECT keep_clinics_apart();
