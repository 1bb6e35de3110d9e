-- How a job advances, and ends, in one place; and the end of many chunks in one commit, whosever jobs they are of. Functions that
-- allow only plans from index to index, as claim_chunks, and for its reasons.

-- What a job's message says when it ends, in the form of the seed: `Completed at Fri Apr 13 02:51:53 +0000 2012`. Postgres's clock
-- and English names, whatever the locale: `Dy` and `Mon` are not translated.
CREATE FUNCTION end_message(word text) RETURNS text LANGUAGE sql VOLATILE
RETURN word || ' at ' || to_char(clock_timestamp() AT TIME ZONE 'UTC', 'Dy Mon DD HH24:MI:SS "+0000" YYYY');

-- Adds what was recorded to working jobs, an element a job, and ends those of which that was the last, or one failure too many: that
-- beats the completion, also at the last task. Tells how many jobs it was that still worked.
--
-- Where there are several, none of their rows is waited for: while others' rows are held, that is how deadlocks are made, and how a
-- job whose row somebody holds would hold up all others. Whoever is not to be had is not counted.
--
-- The rows are found one by one, since the planner might begin a join with all working jobs, and changed at once: a statement of its own
-- for each took 60 us a row more, two thirds of it to set the CHECKs up.
CREATE FUNCTION advance_jobs(jobs uuid[], recorded int[], failures int[], began timestamptz[], messages text[])
RETURNS int LANGUAGE plpgsql
  SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
  SET jit = off SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
  place tid;
  places tid[] := '{}';
  hit int;
BEGIN
  IF cardinality(jobs) = 1 THEN
    SELECT j.ctid INTO place FROM job_statuses j WHERE j.id = jobs[1] AND j.status = 'working' FOR NO KEY UPDATE;
    places := ARRAY[place];
  ELSE
    FOR n IN 1 .. cardinality(jobs) LOOP
      SELECT j.ctid INTO place FROM job_statuses j WHERE j.id = jobs[n] AND j.status = 'working' FOR NO KEY UPDATE SKIP LOCKED;
      places := places || place;
    END LOOP;
  END IF;
  UPDATE job_statuses j
     SET progress = j.progress + recorded[n],
         failed = j.failed + failures[n],
         started_at = coalesce(j.started_at, began[n]),
         version = j.version + 1,
         status = CASE WHEN j.failed + failures[n] > j.max_failures THEN 'failed'
                       WHEN j.progress + recorded[n] = j.total THEN 'completed' ELSE 'working' END,
         finished_at = CASE WHEN j.failed + failures[n] > j.max_failures OR j.progress + recorded[n] = j.total
                            THEN clock_timestamp() END,
         message = CASE WHEN j.failed + failures[n] > j.max_failures
                          THEN end_message('Failed') || ': more than ' || j.max_failures || ' tasks failed'
                        WHEN j.progress + recorded[n] = j.total THEN end_message('Completed')
                        ELSE coalesce(messages[n], j.message) END
    FROM generate_subscripts(places, 1) AS n
   WHERE j.ctid = places[n];
  GET DIAGNOSTICS hit = ROW_COUNT;
  RETURN hit;
END $$;

-- Records the last results of chunks of which nothing is left, and removes them. When one of the leases is lost, or one of the jobs
-- works no more, or is not to be had among several, nothing of any of it stands (TY001); a position that has a result already is an
-- error (23505).
CREATE FUNCTION finish_chunks(
  -- An element a job: what its handlers said last, if anything.
  jobs uuid[], messages text[],
  -- An element a chunk: which of the jobs it is of, from 1.
  chunk_jobs int[], chunk_ids bigint[], lease_ids uuid[],
  -- An element a task that succeeded: which of the jobs it is of (null: there is but one), and its position.
  result_jobs int[], positions int[], results json,
  -- An array a job, of {position, result, error, task}.
  failures json, attempts_had smallint
) RETURNS void LANGUAGE plpgsql
  SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
  SET jit = off SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
  leased timestamptz;
  began timestamptz[] := array_fill(NULL::timestamptz, ARRAY[cardinality(jobs)]);
  counts int[];
  failed_counts int[];
BEGIN
  FOR n IN 1 .. cardinality(chunk_ids) LOOP
    DELETE FROM task_chunks c
     WHERE c.job_id = jobs[chunk_jobs[n]] AND c.id = chunk_ids[n] AND c.lease_id = lease_ids[n] RETURNING c.leased_at INTO leased;
    PERFORM require_lease(FOUND);
    began[chunk_jobs[n]] := least(began[chunk_jobs[n]], leased);
  END LOOP;
  WITH recorded AS (
    INSERT INTO job_results (job_id, index, success, result, attempts, error, task)
    SELECT jobs[coalesce(result_jobs[n], 1)], positions[n], true, result, attempts_had, NULL, NULL
      FROM json_array_elements(results) WITH ORDINALITY AS e (result, n)
    UNION ALL
    SELECT jobs[n], (f ->> 'position')::int, false, f -> 'result', attempts_had, f ->> 'error', f -> 'task'
      FROM json_array_elements(failures) WITH ORDINALITY AS e (of_job, n), json_array_elements(of_job) AS f
    RETURNING job_id, success
  ), counted AS (
    SELECT job_id, count(*) AS n, count(*) FILTER (WHERE NOT success) AS failed FROM recorded GROUP BY job_id
  )
  SELECT array_agg(coalesce(counted.n, 0) ORDER BY job.n), array_agg(coalesce(counted.failed, 0) ORDER BY job.n)
    INTO counts, failed_counts
    FROM unnest(jobs) WITH ORDINALITY AS job (id, n) LEFT JOIN counted ON counted.job_id = job.id;
  PERFORM require_lease(advance_jobs(jobs, counts, failed_counts, began, messages) = cardinality(jobs));
END $$;
