-- Servers run under `hpts_service` where that role exists: they may write, but not change the journal or the schema.

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'hpts_service') THEN
        GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA public TO hpts_service;
        GRANT UPDATE ON clients, tenants, programs, signing_keys, loans, account_totals, batch_totals, batch_accepted, parked, holds,
            payment_batches, publishers, publisher_totals, workers, sweeper TO hpts_service;
        GRANT DELETE ON loans, parked, holds, workers, publishers, batch_exceptions TO hpts_service;
        GRANT USAGE ON SEQUENCE events_seq TO hpts_service;
    END IF;
END
$$;
