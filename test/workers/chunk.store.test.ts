import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { LeaseLost } from '../../src/errors.js';
import { LEASE_LOST, sqlState } from '../../src/sql-errors.js';
import { LEASE_MS, positionsOf, recorded, successor, TestEngine } from '../support/engine.js';
import { waitFor } from '../support/wait-for.js';

let engine: TestEngine;
beforeAll(async () => {
  engine = await TestEngine.start();
});
afterAll(() => engine.stop());
afterEach(() => engine.sql.query('DELETE FROM task_chunks; DELETE FROM turns; DELETE FROM virtual_times'));

describe('a claim', () => {
  it('takes the higher priority first, then the older job', async () => {
    const older = await engine.submit(1);
    const younger = await engine.submit(1);
    const urgent = await engine.submit(1, { priority: 5 });
    const order = [];
    for (let n = 0; n < 3; n += 1) order.push((await engine.claimOne()).jobId);
    expect(order).toEqual([urgent, older, younger]);
  });

  it('finds the higher priority behind any number of chunks of an older job', async () => {
    await engine.submit(1_000);
    const urgent = await engine.submit(1, { priority: 1 });
    expect((await engine.claimOne()).jobId).toBe(urgent);
  });

  it('stops at the chunk that fills the places', async () => {
    await engine.submit(100, { size: 10 });
    expect(await engine.claim({ places: 11 })).toHaveLength(2);
    expect(await engine.claim({ places: 10 })).toHaveLength(1);
    expect(await engine.claim({ places: 35 })).toHaveLength(4);
  });

  it('takes no more chunks than there are lanes, of a type that needs one', async () => {
    await engine.submit(100, { size: 10 });
    const types = [
      { type: 'test.task', taskPlaces: 1, isWhole: true, takesLane: true, atOnce: 1, limit: null },
    ];
    expect(await engine.claim({ types, places: 20, lanes: 3 })).toHaveLength(3);
  });

  it('leaves alone what it does not know and what belongs to an ended job', async () => {
    await engine.submit(1, { type: 'test.unknown' });
    const killed = await engine.submit(1);
    await engine.sql.query("UPDATE job_statuses SET status = 'killed', finished_at = now() WHERE id = $1", [
      killed,
    ]);
    expect(await engine.claim()).toHaveLength(0);
  });

  it('never hands a chunk to two of many that ask at once', async () => {
    await engine.submit(400);
    const claims = await Promise.all(Array.from({ length: 8 }, () => engine.claim({ places: 50 })));
    const taken = claims.flat().map((lease) => lease.chunkId);
    expect(new Set(taken).size).toBe(taken.length);
  });
});

describe('a record', () => {
  it('commits results, progress and the end together, with the message in the form of the seed', async () => {
    const job = await engine.submit(3);
    const lease = await engine.claimOne();
    await engine.chunks.flush(lease, recorded([0], [2]), LEASE_MS);
    expect(await engine.counts(job)).toMatchObject({ status: 'working', progress: 2, failed: 1, results: 2 });
    await engine.chunks.finish(lease, recorded([1]), []);
    const counts = await engine.counts(job);
    expect(counts).toMatchObject({
      status: 'completed',
      progress: 3,
      failed: 1,
      results: 3,
      failedResults: 1,
    });
    expect(counts.message).toMatch(/^Completed at \w{3} \w{3} \d\d \d\d:\d\d:\d\d \+0000 \d{4}$/);
    expect(await engine.chunkRows(job)).toEqual([]);
  });

  it('of a holder whose lease was stolen changes nothing and says so', async () => {
    const job = await engine.submit(5);
    const old = await engine.claimOne();
    await engine.expire(old);
    const thief = await engine.claimOne();
    expect(thief.chunkId).toBe(old.chunkId);
    await expect(engine.chunks.flush(old, recorded([0, 1]), LEASE_MS)).rejects.toThrow(LeaseLost);
    await expect(engine.chunks.finish(old, recorded([0, 1, 2, 3, 4]), [])).rejects.toThrow(LeaseLost);
    expect(await engine.counts(job)).toMatchObject({ progress: 0, results: 0, version: 1 });
    await engine.chunks.finish(thief, recorded([0, 1, 2, 3, 4]), []);
    expect(await engine.counts(job)).toMatchObject({ status: 'completed', progress: 5, results: 5 });
  });

  it('of chunks that end at the same moment is shared by them', async () => {
    const job = await engine.submit(100);
    const leases = await engine.claim({ places: 100, chunks: 10 });
    await Promise.all(leases.map((lease) => engine.chunks.finish(lease, recorded(positionsOf(lease)), [])));
    const counts = await engine.counts(job);
    expect(counts).toMatchObject({ progress: 100, results: 100, status: 'completed' });
    // Each commit raises the version by one: here the first two, which found nobody waiting, and one for the other eight.
    expect(counts.version).toBeLessThan(1 + leases.length);
  });

  it('that chunks would share is undone for none but the one whose lease was stolen', async () => {
    const job = await engine.submit(100, { size: 10 });
    const leases = await engine.claim({ places: 100, chunks: 10 });
    await engine.expire(leases[7]!);
    const ends = await Promise.allSettled(
      leases.map((lease) => engine.chunks.finish(lease, recorded(positionsOf(lease)), [])),
    );
    expect(ends.flatMap(({ status }, at) => (status === 'rejected' ? [at] : []))).toEqual([7]);
    expect(await engine.counts(job)).toMatchObject({ progress: 90, results: 90, status: 'working' });
    const thief = await engine.claimOne({ places: 100 });
    await engine.chunks.finish(thief, recorded(positionsOf(thief)), []);
    expect(await engine.counts(job)).toMatchObject({ progress: 100, results: 100, status: 'completed' });
  });

  it('that waits for a job being killed is undone whole once the kill commits', async () => {
    const job = await engine.submit(5);
    const lease = await engine.claimOne();
    const killer = await engine.sql.connect();
    await killer.query('BEGIN');
    await killer.query("UPDATE job_statuses SET status = 'killed', finished_at = now() WHERE id = $1", [job]);
    const record = engine.chunks.finish(lease, recorded([0, 1, 2]), [
      successor([3, 4], { attempt: 1, delayMs: 1000 }),
    ]);
    const outcome = expect(record).rejects.toThrow(LeaseLost);
    await engine.someoneWaits();
    await killer.query('COMMIT');
    killer.release();
    await outcome;
    expect(await engine.counts(job)).toMatchObject({ status: 'killed', progress: 0, results: 0 });
    // No retry chunk was slipped into the killed job: the chunk is the one it had.
    expect(await engine.chunkRows(job)).toMatchObject([{ positions: [0, 1, 2, 3, 4] }]);
  });

  it('that commits before a kill stands, and the kill finds the job completed', async () => {
    const job = await engine.submit(2);
    const lease = await engine.claimOne();
    await engine.chunks.finish(lease, recorded([0, 1]), []);
    const kill = await engine.sql.query(
      "UPDATE job_statuses SET status = 'killed', finished_at = now() WHERE id = $1 AND status = 'working'",
      [job],
    );
    expect(kill.rowCount).toBe(0);
    expect(await engine.counts(job)).toMatchObject({ status: 'completed', progress: 2 });
  });

  it('ends the job once when two workers record its last two chunks at the same moment', async () => {
    const job = await engine.submit(20);
    const [first, second] = await engine.claim({ places: 20 });
    const holder = await engine.sql.connect();
    await holder.query('BEGIN');
    await holder.query('SELECT 1 FROM job_statuses WHERE id = $1 FOR UPDATE', [job]);
    const both = Promise.all(
      [first!, second!].map((lease) => engine.chunks.finish(lease, recorded(positionsOf(lease)), [])),
    );
    await engine.someoneWaits(2);
    await holder.query('COMMIT');
    holder.release();
    await both;
    expect(await engine.counts(job)).toMatchObject({
      status: 'completed',
      progress: 20,
      results: 20,
      version: 3,
    });
  });

  it('sent again, because nobody knew whether it was committed, counts nothing twice', async () => {
    const job = await engine.submit(5);
    const lease = await engine.claimOne();
    await engine.chunks.flush(lease, recorded([0], [1]), LEASE_MS);
    await engine.chunks.flush(lease, recorded([0], [1]), LEASE_MS);
    expect(await engine.counts(job)).toMatchObject({ progress: 2, failed: 1, results: 2 });
    await engine.chunks.finish(lease, recorded([2, 3, 4]), []);
    await expect(engine.chunks.finish(lease, recorded([2, 3, 4]), [])).rejects.toThrow(LeaseLost);
    expect(await engine.counts(job)).toMatchObject({ status: 'completed', progress: 5, results: 5 });
  });

  it('keeps the first result of a position, whoever comes later', async () => {
    const job = await engine.submit(5);
    const lease = await engine.claimOne();
    await engine.chunks.flush(lease, recorded([0]), LEASE_MS);
    await engine.chunks.flush(lease, { ...recorded([0]), results: '[{"status":"Other"}]' }, LEASE_MS);
    const { rows } = await engine.sql.query('SELECT result FROM job_results WHERE job_id = $1', [job]);
    expect(rows).toEqual([{ result: { n: 0, status: 'Done' } }]);
  });

  it('keeps the order of the keys of a result', async () => {
    const job = await engine.submit(1);
    const lease = await engine.claimOne();
    const text = '{"title":"t","action":"update","errors":"","id":380,"success":true,"status":"Updated"}';
    await engine.chunks.finish(lease, { ...recorded([0]), results: `[${text}]` }, []);
    const status = await engine.jobs.status(engine.accountId, job, 1000);
    expect(status?.results).toBe(`[${text}]`);
  });

  it('puts retries and what is handed back into other chunks only when its own goes', async () => {
    const job = await engine.submit(5);
    const lease = await engine.claimOne();
    // Positions 0 and 1 are done, 2 has failed and is to be retried: a flush says nothing of it.
    await engine.chunks.flush(lease, recorded([0, 1]), LEASE_MS);
    expect(await engine.chunkRows(job)).toHaveLength(1);
    // The worker dies here: the chunk is claimed again with the retry still in it, and nowhere else.
    await engine.expire(lease);
    const next = await engine.claimOne();
    expect(next.recorded).toBe(2);
    expect(await engine.chunks.recordedPositions(next)).toEqual(new Set([0, 1]));
    await engine.chunks.finish(next, recorded([4]), [
      successor([2], { attempt: 1, delayMs: 60_000 }),
      successor([3]),
    ]);
    expect(await engine.chunkRows(job)).toMatchObject([
      { state: 'waiting', positions: [2], attempt: 1, suspect: false },
      { state: 'ready', positions: [3], attempt: 0, suspect: false },
    ]);
    expect(await engine.counts(job)).toMatchObject({ status: 'working', progress: 3, results: 3 });
  });

  it('can leave the running part of a chunk with the lease and hand back the rest', async () => {
    const job = await engine.submit(10);
    const lease = await engine.claimOne();
    const kept = await engine.chunks.finish(lease, recorded([0]), [
      successor([1, 2], { keepsLease: true }),
      successor([3, 4, 5]),
      successor([6, 7, 8, 9]),
    ]);
    expect((await engine.chunkRows(job)).map((row) => row.state)).toEqual(['leased', 'ready', 'ready']);
    await engine.chunks.finish({ ...lease, chunkId: kept! }, recorded([1, 2]), []);
    expect(await engine.counts(job)).toMatchObject({ progress: 3, results: 3 });
  });
});

describe('a record that is sent with the commit of a handler', () => {
  it('locks no row of the engine before the commit', async () => {
    const job = await engine.submit(1);
    const lease = await engine.claimOne();
    await engine.lanes.transaction(5_000, async (lane) => {
      await lane.tx
        .$executeRaw`INSERT INTO tickets (account_id, title) VALUES (${engine.accountId}, 'with the result')`;
      await engine.chunks.recordWithCommit(lane, lease, recorded([0]), { successors: [] });
      await engine.sql.query('SELECT 1 FROM task_chunks WHERE job_id = $1 FOR UPDATE NOWAIT', [job]);
      await engine.sql.query('SELECT 1 FROM job_statuses WHERE id = $1 FOR UPDATE NOWAIT', [job]);
    });
    expect(await engine.counts(job)).toMatchObject({ status: 'completed', results: 1 });
    expect((await engine.sql.query("SELECT 1 FROM tickets WHERE title = 'with the result'")).rowCount).toBe(
      1,
    );
  });

  it('undoes what the handler wrote when the lease is lost, and leaves the connection fit for the next', async () => {
    const job = await engine.submit(1);
    const lease = await engine.claimOne();
    for (let round = 0; round < 6; round += 1) {
      const failure = await engine.lanes
        .transaction(5_000, async (lane) => {
          await lane.tx
            .$executeRaw`INSERT INTO tickets (account_id, title) VALUES (${engine.accountId}, 'never seen')`;
          if (round === 0) await engine.expire(lease);
          await engine.chunks.recordWithCommit(lane, lease, recorded([0]), { successors: [] });
        })
        .catch((error: unknown) => error);
      expect(sqlState(failure)).toBe(LEASE_LOST);
    }
    expect((await engine.sql.query("SELECT 1 FROM tickets WHERE title = 'never seen'")).rowCount).toBe(0);
    expect(await engine.counts(job)).toMatchObject({ status: 'working', results: 0 });
  });

  it('undoes the handler when a position already has a result: its writes would be made twice', async () => {
    await engine.submit(5);
    const lease = await engine.claimOne();
    await engine.chunks.flush(lease, recorded([0]), LEASE_MS);
    const failure = await engine.lanes
      .transaction(5_000, (lane) =>
        engine.chunks.recordWithCommit(lane, lease, recorded([0, 1]), { keepMs: LEASE_MS }),
      )
      .catch((error: unknown) => error);
    expect(sqlState(failure)).toBe(LEASE_LOST);
  });

  it('extends the lease from the moment of the commit, however long the transaction was', async () => {
    await engine.submit(5);
    const lease = await engine.claimOne();
    await engine.lanes.transaction(5_000, async (lane) => {
      await lane.tx.$queryRaw`SELECT pg_sleep(0.5)::text`;
      await engine.chunks.recordWithCommit(lane, lease, recorded([0]), { keepMs: 60_000 });
    });
    const { rows } = await engine.sql.query<{ left: number }>(
      `SELECT extract(epoch FROM lease_expires_at - clock_timestamp())::float8 AS left
         FROM task_chunks WHERE lease_id = $1`,
      [lease.leaseId],
    );
    expect(rows[0]!.left).toBeGreaterThan(59.6);
  });

  it('is ended by Postgres when its process says nothing for too long, so that it blocks nobody', async () => {
    const failure = await engine.lanes
      .transaction(100, async (lane) => {
        await waitFor(async () => {
          const { rows } = await engine.sql.query(
            "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'",
          );
          return rows.length === 0;
        });
        await lane.tx.$queryRaw`SELECT 1`;
      })
      .catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(Error);
  });
});

describe('a lease', () => {
  it('is extended by the heartbeat, on a connection that a full pool does not take away', async () => {
    await engine.submit(5);
    const lease = await engine.claimOne();
    const blockers = Array.from({ length: 12 }, () => engine.prisma.$queryRaw`SELECT pg_sleep(1)::text`);
    await engine.heartbeat.extend([lease], 120_000);
    const { rows } = await engine.sql.query<{ left: number }>(
      'SELECT extract(epoch FROM lease_expires_at - clock_timestamp())::float8 AS left FROM task_chunks',
    );
    expect(rows[0]!.left).toBeGreaterThan(100);
    await Promise.all(blockers);
  });

  it('that a record has locked is passed over by the heartbeat, which never waits for it', async () => {
    await engine.submit(20);
    const leases = await engine.claim({ places: 20 });
    const holder = await engine.sql.connect();
    try {
      await holder.query('BEGIN');
      await holder.query('SELECT 1 FROM task_chunks WHERE lease_id = $1 FOR UPDATE', [leases[1]!.leaseId]);
      await engine.heartbeat.extend(leases, 120_000);
    } finally {
      await holder.query('ROLLBACK');
      holder.release();
    }
    const { rows } = await engine.sql.query<{ extended: boolean }>(
      "SELECT lease_expires_at > clock_timestamp() + interval '100 s' AS extended FROM task_chunks ORDER BY id",
    );
    expect(rows.map((row) => row.extended)).toEqual([true, false]);
  });

  it('and the progress of a job are extended as heap-only updates: no index is written', async () => {
    const job = await engine.submit(5);
    const lease = await engine.claimOne();
    const client = await engine.sql.connect();
    await client.query('BEGIN');
    await client.query(
      'UPDATE task_chunks SET lease_expires_at = clock_timestamp(), recorded = 1 WHERE lease_id = $1',
      [lease.leaseId],
    );
    await client.query(
      "UPDATE job_statuses SET progress = 1, version = version + 1, message = 'm' WHERE id = $1",
      [job],
    );
    const { rows } = await client.query(
      `SELECT pg_stat_get_xact_tuples_hot_updated('task_chunks'::regclass)::int AS chunks,
              pg_stat_get_xact_tuples_hot_updated('job_statuses'::regclass)::int AS jobs`,
    );
    await client.query('ROLLBACK');
    client.release();
    expect(rows).toEqual([{ chunks: 1, jobs: 1 }]);
  });

  it('says whether it is still held and how its job is', async () => {
    const job = await engine.submit(5);
    const lease = await engine.claimOne();
    expect(await engine.heartbeat.watch([lease])).toMatchObject([{ held: true, status: 'working' }]);
    await engine.sql.query("UPDATE job_statuses SET status = 'killed', finished_at = now() WHERE id = $1", [
      job,
    ]);
    expect(await engine.heartbeat.watch([lease])).toMatchObject([{ held: true, status: 'killed' }]);
    await engine.expire(lease);
    expect(await engine.heartbeat.watch([lease])).toMatchObject([{ held: false }]);
  });

  it('runs out by the clock of Postgres, and not before', async () => {
    await engine.submit(5);
    const lease = await engine.claimOne();
    expect(await engine.chunks.rescue()).toBe(0);
    await engine.expire(lease);
    expect(await engine.claimOne()).toMatchObject({ chunkId: lease.chunkId, suspect: true });
  });
});

describe('a chunk that waits', () => {
  it('is ready when its time has come, and not before', async () => {
    await engine.submit(2);
    const lease = await engine.claimOne();
    await engine.chunks.finish(lease, recorded([]), [
      successor([0], { delayMs: 60_000 }),
      successor([1], { delayMs: 1 }),
    ]);
    await waitFor(async () => (await engine.chunks.promote()) === 1);
    expect(await engine.claim({ places: 5 })).toHaveLength(1);
    expect(await engine.chunks.promote()).toBe(0);
  });
});

describe('a job whose tasks have an order', () => {
  it('has one chunk claimed at a time, the one with the first position, retries included', async () => {
    const job = await engine.submit(30, { ordered: true });
    const first = await engine.claimOne({ places: 100 });
    expect(await engine.claim({ places: 100 })).toHaveLength(0);
    await engine.chunks.finish(first, recorded([0, 1, 2, 3, 4, 5, 6, 7]), [
      successor([8, 9], { attempt: 1, delayMs: 60_000 }),
    ]);
    expect(await engine.claim({ places: 100 })).toHaveLength(0);
    await engine.sql.query("UPDATE task_chunks SET visible_at = clock_timestamp() WHERE state = 'waiting'");
    await engine.chunks.promote();
    const retry = await engine.claim({ places: 100 });
    expect(retry.map(positionsOf)).toEqual([[8, 9]]);
    await engine.chunks.finish(retry[0]!, recorded([8, 9], [], 2), []);
    expect((await engine.claim({ places: 100 })).map((lease) => lease.firstPosition)).toEqual([10]);
    expect(await engine.counts(job)).toMatchObject({ progress: 10 });
  });

  it('holds up no other job', async () => {
    await engine.submit(30, { ordered: true, priority: 1 });
    const other = await engine.submit(20);
    const leases = await engine.claim({ places: 100 });
    expect(leases.map((lease) => lease.jobId === other)).toEqual([false, true, true]);
  });
});
