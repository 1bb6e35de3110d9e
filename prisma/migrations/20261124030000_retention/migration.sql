-- Ended jobs by their age, so that the sweep finds the expired ones by one probe. `finished_at` changes once, with the end,
-- which no index lets be heap-only anyway: the updates of a job at work stay as they are.

CREATE INDEX job_statuses_ended ON job_statuses (finished_at) WHERE finished_at IS NOT NULL;

-- How far the results of a removed job are gone. Without it each step would begin at the first position and walk over the
-- index entries of all that went before, since these stay until a vacuum: of a million results two thousand times over.

ALTER TABLE deleted_jobs ADD COLUMN removed_below integer NOT NULL DEFAULT 0;
ALTER TABLE deleted_jobs ADD CONSTRAINT removed_below_is_a_position CHECK (removed_below >= 0);

-- Work that one process at a time does, under a lease. A row and not an advisory lock of a session: that would be lost on
-- the way through a pooler which gives each transaction another session.

CREATE TABLE duties (
  name             text PRIMARY KEY,
  holder           text NOT NULL,
  lease_expires_at timestamptz(3) NOT NULL
);
