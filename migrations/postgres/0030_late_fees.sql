-- Late fees: refused for payments that came in on time, and found for review by their loan.

ALTER TABLE postings DROP CONSTRAINT postings_rejection_code_check;
ALTER TABLE postings ADD CONSTRAINT postings_rejection_code_check
    CHECK (rejection_code IN ('loan_not_found', 'borrower_mismatch', 'currency_mismatch', 'loan_closed', 'loan_exists',
        'effective_before_opening', 'already_undone', 'not_reversible', 'insufficient_balance', 'loan_on_hold',
        'amount_overflow', 'limit_exceeded', 'period_closed', 'principal_mismatch', 'paid_on_time', 'discarded'))
    NOT VALID;
ALTER TABLE postings VALIDATE CONSTRAINT postings_rejection_code_check;

-- The fees that say for which payment they are; nothing else is in it, so a payment costs a look at its kind.
CREATE INDEX events_late_fees ON events (tenant, loan_key, effective_date)
    WHERE kind = 'fee_assessed' AND details LIKE '%"late_for":%';
