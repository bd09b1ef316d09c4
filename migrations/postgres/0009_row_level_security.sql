-- Row-level security behind the queries: every table with a clinic_id shows only
-- the rows of the clinic that the transaction names in app.clinic, or all of them
-- to the system, which names '*'. Who names nothing sees nothing. FORCE holds the
-- tables' owner to it as well; superusers and roles with BYPASSRLS pass it by, so
-- the service should connect as neither (medilink doctor says when it does).
--
-- A step that adds a table with a clinic_id ends with
--     SELECT keep_clinics_apart();

CREATE FUNCTION sees_clinic(clinic UUID) RETURNS BOOLEAN
LANGUAGE SQL STABLE PARALLEL SAFE
RETURN current_setting('app.clinic', true) = '*'
    OR clinic = CASE WHEN current_setting('app.clinic', true) <> '*'
                     THEN NULLIF(current_setting('app.clinic', true), '')::UUID END;

CREATE FUNCTION keep_clinics_apart() RETURNS VOID
LANGUAGE plpgsql AS $$
DECLARE
    name TEXT;
BEGIN
    FOR name IN
        SELECT c.relname FROM pg_class c
          JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'clinic_id' AND NOT a.attisdropped
         WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')
           AND NOT EXISTS (SELECT 1 FROM pg_policy p WHERE p.polrelid = c.oid AND p.polname = 'own_clinic')
    LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY own_clinic ON %I USING (sees_clinic(clinic_id))', name);
    END LOOP;
END $$;

SELECT keep_clinics_apart();
