-- Whose turn it is: start-time fair queueing between accounts (Goyal, Vin and Cheng, SIGCOMM 1996). An account's place, in
-- each task type, is where its next chunk starts, counted in tasks; whoever has the lowest goes first. An account that comes
-- back to the queue starts at the virtual time, which is where the chunk that was claimed last started.

CREATE TABLE turns (
  type       text NOT NULL,
  account_id integer NOT NULL,
  place      bigint NOT NULL DEFAULT 0,
  is_waiting boolean NOT NULL DEFAULT true,
  woken      bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (type, account_id),
  CONSTRAINT a_place_counts_from_zero CHECK (place >= 0)
) WITH (fillfactor = 50);
CREATE INDEX turns_waiting ON turns (type, place, account_id) WHERE is_waiting;

CREATE TABLE virtual_times (
  type text PRIMARY KEY,
  at   bigint NOT NULL
) WITH (fillfactor = 50);

CREATE FUNCTION refuse_to_turn_back() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'the virtual time of % does not run back', OLD.type USING ERRCODE = 'TY004';
END $$;

CREATE TRIGGER virtual_time_never_runs_back BEFORE UPDATE ON virtual_times
  FOR EACH ROW WHEN (NEW.at < OLD.at) EXECUTE FUNCTION refuse_to_turn_back();

-- Whoever makes chunks ready puts their account into the queue, in the same commit. One row an account and type, in their
-- order, last of all locks: chunk, job, turn. `woken` lets a claim that has found nothing see that it is out of date.
CREATE FUNCTION take_a_turn() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO turns AS t (type, account_id, place)
  SELECT f.type, f.account_id, coalesce((SELECT at FROM virtual_times v WHERE v.type = f.type), 0)
    FROM (SELECT DISTINCT type, account_id FROM fresh WHERE state = 'ready' ORDER BY type, account_id) AS f
  ON CONFLICT (type, account_id) DO UPDATE
     SET woken = t.woken + 1, is_waiting = true,
         place = CASE WHEN t.is_waiting THEN t.place ELSE greatest(t.place, excluded.place) END;
  RETURN NULL;
END $$;

CREATE TRIGGER new_chunks_take_a_turn AFTER INSERT ON task_chunks
  REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION take_a_turn();
CREATE TRIGGER ready_chunks_take_a_turn AFTER UPDATE ON task_chunks
  REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION take_a_turn();

INSERT INTO turns (type, account_id) SELECT DISTINCT type, account_id FROM task_chunks WHERE state = 'ready';

DROP INDEX task_chunks_ready;
CREATE INDEX task_chunks_ready ON task_chunks (type, account_id, priority DESC, job_id, first_position, id)
  WHERE state = 'ready' AND NOT (suspect AND size = 1);

-- How many tasks of a leased chunk may run at once: what limits of a type and of an account are counted in.
ALTER TABLE task_chunks ADD COLUMN slots integer;
UPDATE task_chunks SET slots = size WHERE state = 'leased';
ALTER TABLE task_chunks
  ADD CONSTRAINT slots_belong_to_a_lease CHECK ((state = 'leased') = (slots IS NOT NULL)),
  ADD CONSTRAINT a_slot_is_a_task CHECK (slots BETWEEN 1 AND size);
