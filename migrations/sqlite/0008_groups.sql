-- Groups: a leg whose share of its group is nothing is posted without lines.

-- Only the opening of a loan without balances, and such a leg, are posted without moving anything.
DROP TRIGGER postings_move_money;
CREATE TRIGGER postings_move_money BEFORE INSERT ON postings WHEN NEW.amounts = '[]' AND NEW.outcome = 'posted'
BEGIN
    SELECT RAISE(ROLLBACK, 'postings_move_money')
    WHERE NEW.alloc_fees IS NOT NULL
       OR NOT EXISTS (SELECT 1 FROM events
                      WHERE seq = NEW.event_seq AND (kind = 'loan_opened' OR group_seq IS NOT NULL));
END;
