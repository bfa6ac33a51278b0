-- `hpts keys remove` ends a signing key under the rights that servers have.

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'hpts_service') THEN
        GRANT DELETE ON signing_keys TO hpts_service;
    END IF;
END
$$;
