-- Whoever names an issuer keeps nobody else from naming it: of several clinics' clients of one issuer and tenant the one whose key
-- has signed the token is meant. Within a clinic an issuer is named once, as before.

DROP INDEX cds_clients_by_issuer;
CREATE INDEX cds_clients_by_issuer ON cds_clients (issuer, coalesce(tenant, ''));
