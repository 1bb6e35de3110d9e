-- Whom a crash is blamed on. A chunk whose lease ran out is a suspect: it is split when it is claimed next, and a suspect of
-- one task runs with nothing else in its process. Only what happens then counts.

ALTER TABLE task_chunks
  ADD COLUMN suspect  boolean  NOT NULL DEFAULT false,
  ADD COLUMN alone    boolean  NOT NULL DEFAULT false,
  ADD COLUMN survived smallint NOT NULL DEFAULT 0;

-- Until now every lease that ran out was counted, whatever else ran in its process.
UPDATE task_chunks SET crashes = 0, suspect = true WHERE crashes > 0;

ALTER TABLE task_chunks
  ADD CONSTRAINT only_a_suspect_of_one_task_runs_alone CHECK (NOT alone OR (state = 'leased' AND suspect AND size = 1)),
  ADD CONSTRAINT only_a_suspect_of_one_task_is_blamed CHECK (crashes = 0 OR (suspect AND size = 1)),
  ADD CONSTRAINT no_more_survived_than_crashes CHECK (0 <= survived AND survived <= crashes);

-- Suspects of one task are apart from what else is ready: only a worker that has nothing else to run may take one, and a
-- mass of them must not stand before other work.
DROP INDEX task_chunks_ready;
CREATE INDEX task_chunks_ready ON task_chunks (type, priority DESC, job_id, first_position, id)
  WHERE state = 'ready' AND NOT (suspect AND size = 1);
CREATE INDEX task_chunks_suspects ON task_chunks (job_id, first_position) WHERE state = 'ready' AND suspect AND size = 1;
