-- A tenant's loans by borrower: GET /v1/loans.

-- Nothing in it ever changes, so the update of a payment stays heap-only and does not touch it; only a new loan does.
CREATE INDEX loans_borrower ON loans (tenant, borrower_id, loan_key);
