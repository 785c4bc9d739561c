-- Which journal this is. The streams of NATS carry its id, so that no other database's service reads or writes them by mistake. Backups, standbys
-- and copies of the database have the same one.
CREATE TABLE journal_identity (
    one boolean NOT NULL PRIMARY KEY DEFAULT true CHECK (one),
    id  uuid    NOT NULL DEFAULT gen_random_uuid()
);

INSERT INTO journal_identity DEFAULT VALUES;
