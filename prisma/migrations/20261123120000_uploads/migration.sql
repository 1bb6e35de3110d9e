-- Submissions that are streamed. Their chunks are written while they are read, in a state that nobody looks at; the job's row
-- comes with the last of them.

ALTER TABLE task_chunks DROP CONSTRAINT state_is_known;
ALTER TABLE task_chunks ADD CONSTRAINT state_is_known
  CHECK (state IN ('uploading', 'ready', 'waiting', 'leased', 'parked'));

CREATE TABLE job_uploads (
  job_id           uuid PRIMARY KEY,
  account_id       integer NOT NULL,
  lease_expires_at timestamptz(3) NOT NULL,
  created_at       timestamptz(3) NOT NULL DEFAULT clock_timestamp()
);

-- Idempotency keys. Without a job the key is held by a request that is under way.

CREATE TABLE idempotency_keys (
  account_id  integer NOT NULL,
  key         text NOT NULL,
  owner       uuid NOT NULL,
  fingerprint bytea,
  job_id      uuid,
  expires_at  timestamptz(3) NOT NULL,
  PRIMARY KEY (account_id, key),
  CONSTRAINT key_is_printable_ascii CHECK (key ~ '^[\x20-\x7e]{1,255}$'),
  CONSTRAINT fingerprint_is_sha256 CHECK (length(fingerprint) = 32),
  CONSTRAINT a_used_key_has_its_fingerprint CHECK ((job_id IS NULL) = (fingerprint IS NULL))
);
CREATE INDEX idempotency_keys_expires_at_idx ON idempotency_keys (expires_at);

-- What a submission asks before it adds a job: the account's working jobs, up to a number. The lock is held until the
-- submission commits, so two that both see the last place free are one after the other; and in a volatile function each
-- statement has a snapshot of its own, so the count sees what was committed while the lock was waited for, which a CTE of the
-- submitting statement would not.

CREATE INDEX job_statuses_working_of_account ON job_statuses (account_id, id) WHERE status = 'working';

CREATE FUNCTION working_jobs(account integer, at_most integer) RETURNS uuid[] LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  PERFORM pg_advisory_xact_lock(7411, account);
  RETURN ARRAY(SELECT id FROM job_statuses WHERE account_id = account AND status = 'working' ORDER BY id LIMIT at_most);
END $$;
