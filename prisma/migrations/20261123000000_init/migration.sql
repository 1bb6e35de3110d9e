-- Accounts, users and their tokens

CREATE TABLE accounts (
  id         serial PRIMARY KEY,
  subdomain  text NOT NULL,
  created_at timestamptz(3) NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT subdomain_is_a_label CHECK (subdomain ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$')
);
CREATE UNIQUE INDEX accounts_subdomain_key ON accounts (subdomain);

CREATE TABLE users (
  id            serial PRIMARY KEY,
  account_id    integer NOT NULL,
  email         text NOT NULL,
  role          text NOT NULL DEFAULT 'agent',
  password_hash text,
  disabled_at   timestamptz(3),
  created_at    timestamptz(3) NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT users_account_id_fkey FOREIGN KEY (account_id) REFERENCES accounts (id) ON DELETE RESTRICT ON UPDATE CASCADE,
  CONSTRAINT email_is_lower_case CHECK (email = lower(email) AND email LIKE '%_@_%'),
  CONSTRAINT role_is_known CHECK (role IN ('admin', 'agent'))
);
CREATE UNIQUE INDEX users_email_key ON users (email);
CREATE INDEX users_account_id_idx ON users (account_id);

CREATE TABLE api_tokens (
  id         serial PRIMARY KEY,
  user_id    integer NOT NULL,
  hash       bytea NOT NULL,
  name       text NOT NULL,
  created_at timestamptz(3) NOT NULL DEFAULT clock_timestamp(),
  revoked_at timestamptz(3),
  CONSTRAINT api_tokens_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE ON UPDATE CASCADE,
  CONSTRAINT hash_is_sha256 CHECK (length(hash) = 32)
);
CREATE UNIQUE INDEX api_tokens_hash_key ON api_tokens (hash);
CREATE INDEX api_tokens_user_id_idx ON api_tokens (user_id);

-- Jobs. The fill factor leaves room for progress to be a heap-only update: no index is touched by a flush.

CREATE TABLE job_statuses (
  id                   uuid PRIMARY KEY,
  account_id           integer NOT NULL,
  created_by           integer NOT NULL,
  type                 text NOT NULL,
  name                 text,
  metadata             json,
  priority             smallint NOT NULL DEFAULT 0,
  max_attempts         smallint NOT NULL DEFAULT 3,
  task_timeout_seconds integer NOT NULL DEFAULT 30,
  max_failures         integer,
  start_at             timestamptz(3),
  deadline             timestamptz(3),
  retry_of             uuid,
  paused               boolean NOT NULL DEFAULT false,
  ordered              boolean NOT NULL DEFAULT false,
  total                integer NOT NULL,
  progress             integer NOT NULL DEFAULT 0,
  failed               integer NOT NULL DEFAULT 0,
  status               text NOT NULL DEFAULT 'working',
  message              text,
  version              integer NOT NULL DEFAULT 1,
  created_at           timestamptz(3) NOT NULL DEFAULT clock_timestamp(),
  started_at           timestamptz(3),
  finished_at          timestamptz(3),
  CONSTRAINT job_statuses_account_id_fkey FOREIGN KEY (account_id) REFERENCES accounts (id) ON DELETE RESTRICT ON UPDATE CASCADE,
  CONSTRAINT job_statuses_created_by_fkey FOREIGN KEY (created_by) REFERENCES users (id) ON DELETE RESTRICT ON UPDATE CASCADE,
  CONSTRAINT status_is_known CHECK (status IN ('working', 'completed', 'failed', 'killed')),
  CONSTRAINT a_job_has_tasks CHECK (total >= 1),
  CONSTRAINT progress_is_between_failed_and_total CHECK (0 <= failed AND failed <= progress AND progress <= total),
  CONSTRAINT completed_means_every_task CHECK (status <> 'completed' OR progress = total),
  CONSTRAINT no_job_works_on_at_its_last_task CHECK (status <> 'working' OR progress < total),
  CONSTRAINT an_ended_job_has_its_time CHECK ((status = 'working') = (finished_at IS NULL)),
  CONSTRAINT priority_is_in_range CHECK (priority BETWEEN -100 AND 100),
  CONSTRAINT max_attempts_is_in_range CHECK (max_attempts BETWEEN 1 AND 25),
  CONSTRAINT task_timeout_is_positive CHECK (task_timeout_seconds > 0),
  CONSTRAINT max_failures_is_a_count CHECK (max_failures >= 0),
  CONSTRAINT too_many_failures_end_a_job CHECK (status NOT IN ('working', 'completed') OR max_failures IS NULL OR failed <= max_failures),
  CONSTRAINT deadline_is_after_creation CHECK (deadline > created_at),
  CONSTRAINT a_job_is_not_its_own_retry CHECK (retry_of <> id)
) WITH (fillfactor = 70);
CREATE INDEX job_statuses_account_id_id_idx ON job_statuses (account_id, id DESC);
-- A job is retried once: whoever asks again gets the same new job.
CREATE UNIQUE INDEX job_statuses_retry_of_key ON job_statuses (retry_of);
-- What the sweeper looks at. None of their columns changes while a job works, so its updates stay heap-only.
CREATE INDEX job_statuses_deadlines ON job_statuses (deadline) WHERE status = 'working' AND deadline IS NOT NULL;
CREATE INDEX job_statuses_working ON job_statuses (id) WHERE status = 'working';
CREATE INDEX job_statuses_cut_short ON job_statuses (finished_at) WHERE status IN ('killed', 'failed');

CREATE FUNCTION refuse_to_change_an_ended_job() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'job % has ended (%) and never changes again', OLD.id, OLD.status USING ERRCODE = 'TY002';
END $$;

CREATE TRIGGER an_ended_job_never_changes BEFORE UPDATE ON job_statuses
  FOR EACH ROW WHEN (OLD.status <> 'working') EXECUTE FUNCTION refuse_to_change_an_ended_job();

-- Unfinished work. A heartbeat changes only columns that no index knows, so it is a heap-only update.

CREATE TABLE task_chunks (
  job_id           uuid NOT NULL,
  id               bigserial NOT NULL,
  account_id       integer NOT NULL,
  type             text NOT NULL,
  priority         smallint NOT NULL,
  first_position   integer NOT NULL,
  size             integer NOT NULL,
  positions        integer[] NOT NULL DEFAULT '{}',
  tasks            json NOT NULL,
  attempt          smallint NOT NULL DEFAULT 0,
  crashes          smallint NOT NULL DEFAULT 0,
  state            text NOT NULL DEFAULT 'ready',
  visible_at       timestamptz(3),
  lease_id         uuid,
  leased_at        timestamptz(3),
  lease_expires_at timestamptz(3),
  worker           text,
  recorded         integer NOT NULL DEFAULT 0,
  PRIMARY KEY (job_id, id),
  CONSTRAINT state_is_known CHECK (state IN ('ready', 'waiting', 'leased', 'parked')),
  CONSTRAINT a_chunk_has_tasks CHECK (size >= 1 AND first_position >= 0),
  CONSTRAINT listed_positions_are_complete CHECK (cardinality(positions) IN (0, size)),
  CONSTRAINT a_lease_is_whole CHECK (
    (state = 'leased') = (lease_id IS NOT NULL)
    AND (state = 'leased') = (leased_at IS NOT NULL)
    AND (state = 'leased') = (lease_expires_at IS NOT NULL)
    AND (state = 'leased') = (worker IS NOT NULL)
  ),
  CONSTRAINT waiting_has_its_time CHECK ((state = 'waiting') = (visible_at IS NOT NULL)),
  CONSTRAINT a_chunk_goes_with_its_last_result CHECK (0 <= recorded AND recorded < size),
  CONSTRAINT counts_do_not_fall_below_zero CHECK (attempt >= 0 AND crashes >= 0)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,
        autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 10000);
-- The service never looks inside a task: uncompressed and out of line, a submission is three times as fast.
ALTER TABLE task_chunks ALTER COLUMN tasks SET STORAGE EXTERNAL;
CREATE INDEX task_chunks_ready ON task_chunks (type, priority DESC, job_id, first_position, id) WHERE state = 'ready';
CREATE INDEX task_chunks_waiting ON task_chunks (visible_at) WHERE state = 'waiting';
CREATE INDEX task_chunks_leased ON task_chunks (job_id, id) WHERE state = 'leased';
CREATE INDEX task_chunks_parked ON task_chunks (job_id, id) WHERE state = 'parked';

-- Results. Insert only.

CREATE TABLE job_results (
  job_id   uuid NOT NULL,
  index    integer NOT NULL,
  success  boolean NOT NULL,
  result   json NOT NULL,
  attempts smallint NOT NULL,
  error    text,
  task     json,
  PRIMARY KEY (job_id, index),
  CONSTRAINT index_counts_from_zero CHECK (index >= 0),
  CONSTRAINT a_failure_has_its_word_and_task CHECK (success = (error IS NULL) AND success = (task IS NULL))
);

CREATE FUNCTION refuse_to_change_a_result() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'the result of task % of job % stands', OLD.index, OLD.job_id USING ERRCODE = 'TY003';
END $$;

CREATE TRIGGER a_result_never_changes BEFORE UPDATE ON job_results
  FOR EACH ROW EXECUTE FUNCTION refuse_to_change_a_result();

-- Jobs that were deleted and whose results are still being removed, in small transactions: the job goes first.

CREATE TABLE deleted_jobs (
  job_id     uuid PRIMARY KEY,
  deleted_at timestamptz(3) NOT NULL DEFAULT clock_timestamp()
);

-- The worker processes that are alive, by their heartbeat, and the task types they know.

CREATE TABLE workers (
  name        text PRIMARY KEY,
  types       text[] DEFAULT '{}',
  concurrency integer NOT NULL,
  started_at  timestamptz(3) NOT NULL DEFAULT clock_timestamp(),
  seen_at     timestamptz(3) NOT NULL DEFAULT clock_timestamp()
);

-- What a fenced statement calls to undo itself: with any other way to fail, its other parts would stand.

CREATE FUNCTION require_lease(held boolean) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  IF held IS NOT TRUE THEN
    RAISE EXCEPTION 'the lease is lost or the job has ended' USING ERRCODE = 'TY001';
  END IF;
  RETURN true;
END $$;

-- The reference domain

CREATE TABLE tickets (
  id          bigserial PRIMARY KEY,
  account_id  integer NOT NULL,
  title       text NOT NULL,
  description text NOT NULL DEFAULT '',
  status      text NOT NULL DEFAULT 'new',
  priority    text,
  tags        text[] DEFAULT '{}',
  revision    integer NOT NULL DEFAULT 1,
  created_at  timestamptz(3) NOT NULL DEFAULT clock_timestamp(),
  updated_at  timestamptz(3) NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT tickets_account_id_fkey FOREIGN KEY (account_id) REFERENCES accounts (id) ON DELETE RESTRICT ON UPDATE CASCADE,
  CONSTRAINT ticket_status_is_known CHECK (status IN ('new', 'open', 'pending', 'hold', 'solved', 'closed')),
  CONSTRAINT ticket_priority_is_known CHECK (priority IN ('low', 'normal', 'high', 'urgent'))
) WITH (fillfactor = 80);
CREATE INDEX tickets_account_id_id_idx ON tickets (account_id, id DESC);
