-- The operations of the whole contract: their kinds of events, their refusals, and what a loan remembers of them.

ALTER TABLE events DROP CONSTRAINT events_kind_check;
ALTER TABLE events ADD CONSTRAINT events_kind_check
    CHECK (kind IN ('payment_received', 'disbursement', 'loan_opened', 'payment_allocated', 'payment_returned',
        'fee_assessed', 'unidentified_receipt', 'upload', 'disbursement_settled', 'accrual', 'fee_waived',
        'suspense_applied', 'suspense_refunded', 'suspense_transferred', 'receipt_assigned', 'chargeoff', 'recovery',
        'refinance', 'restructure', 'reversal', 'manual_adjustment'));
-- What stands on no loan is never queued.
ALTER TABLE events ADD CONSTRAINT events_queued CHECK (slot IS NULL OR kind <> 'upload');

ALTER TABLE postings DROP CONSTRAINT postings_rejection_code_check;
ALTER TABLE postings ADD CONSTRAINT postings_rejection_code_check
    CHECK (rejection_code IN ('loan_not_found', 'borrower_mismatch', 'currency_mismatch', 'loan_closed', 'loan_exists',
        'effective_before_opening', 'already_undone', 'not_reversible', 'insufficient_balance', 'loan_on_hold',
        'amount_overflow', 'limit_exceeded', 'period_closed', 'principal_mismatch', 'discarded'));

ALTER TABLE loans DROP CONSTRAINT loans_status_check;
ALTER TABLE loans ADD CONSTRAINT loans_status_check CHECK (status IN ('open', 'charged_off', 'written_off'));
-- Written only where they change: by a charge-off and what follows it, and by the event that opens the loan.
ALTER TABLE loans
    -- What was charged off and is still owed: it stands on the memo accounts.
    ADD COLUMN memo_fees        bigint NOT NULL DEFAULT 0 CHECK (memo_fees >= 0),
    ADD COLUMN memo_interest    bigint NOT NULL DEFAULT 0 CHECK (memo_interest >= 0),
    ADD COLUMN memo_principal   bigint NOT NULL DEFAULT 0 CHECK (memo_principal >= 0),
    ADD COLUMN charged_off_on   date,
    -- Who bears the loss and gets what is recovered.
    ADD COLUMN loss_account     text CHECK (loss_account IN ('expense', 'allowance')),
    -- What becomes of suspense when new debt arises.
    ADD COLUMN suspense_release text NOT NULL DEFAULT 'manual' CHECK (suspense_release IN ('manual', 'automatic')),
    ADD CONSTRAINT loans_charged_off CHECK ((charged_off_on IS NULL) = (loss_account IS NULL)
        AND (charged_off_on IS NOT NULL OR (memo_fees = 0 AND memo_interest = 0 AND memo_principal = 0)));

-- Whether charge-offs go against an allowance, or are an expense of the period.
ALTER TABLE tenants ADD COLUMN loss_account text NOT NULL DEFAULT 'expense'
    CHECK (loss_account IN ('expense', 'allowance'));
