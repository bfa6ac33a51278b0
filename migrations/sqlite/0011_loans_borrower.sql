-- A tenant's loans by borrower: GET /v1/loans.

-- Nothing in it ever changes: the update of a payment does not touch it.
CREATE INDEX loans_borrower ON loans (tenant, borrower_id, loan_key);
