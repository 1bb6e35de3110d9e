import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import pg from 'pg';
import { createTestDatabase, type TestDatabase } from '../support/database.js';

type Row = Record<string, unknown>;

const CHECK = '23514';
const DUPLICATE = '23505';
const JOB = '019ac000-0000-7000-8000-000000000001';
const LEASE = '019ac000-0000-7000-8000-00000000000a';

let database: TestDatabase;
let client: pg.Client;

beforeAll(async () => {
  database = await createTestDatabase();
  client = new pg.Client({ connectionString: database.url });
  await client.connect();
});

afterAll(async () => {
  await client.end();
  await database.drop();
});

// Each test begins with one account, one user and one working job of three tasks.
beforeEach(async () => {
  for (const table of [
    'idempotency_keys',
    'job_results',
    'task_chunks',
    'turns',
    'virtual_times',
    'job_statuses',
    'tickets',
    'api_tokens',
    'users',
    'accounts',
  ]) {
    await client.query(`DELETE FROM ${table}`);
  }
  await insert('accounts', { id: 1, subdomain: 'acme' });
  await insert('users', { id: 1, account_id: 1, email: 'ann@example.com' });
  await insert('job_statuses', job({}));
});

const job = (row: Row): Row => ({ id: JOB, account_id: 1, created_by: 1, type: 't', total: 3, ...row });
const done = { status: 'completed', progress: 3, finished_at: 'now' };
const another = (row: Row): Row => job({ id: JOB.replace(/1$/, '2'), ...row });
const chunk = (row: Row): Row => ({
  ...{ job_id: JOB, account_id: 1, type: 't', priority: 0, first_position: 0, size: 3, tasks: '[1,2,3]' },
  ...row,
});
const lease = {
  state: 'leased',
  lease_id: LEASE,
  leased_at: 'now',
  lease_expires_at: 'now',
  worker: 'w',
  slots: 1,
};
const lone = { suspect: true, size: 1 };
const result = (row: Row): Row => ({
  job_id: JOB,
  index: 0,
  success: true,
  result: '{}',
  attempts: 1,
  ...row,
});
const failure = { success: false, error: 'Boom', task: '{}' };
const ticket = (row: Row): Row => ({ account_id: 1, title: 'a', ...row });

async function insert(table: string, row: Row): Promise<void> {
  const columns = Object.keys(row);
  const places = columns.map((_, i) => `$${i + 1}`);
  await client.query(
    `INSERT INTO ${table} (${columns.join(', ')}) VALUES (${places.join(', ')})`,
    Object.values(row),
  );
}

const refusing = (code: string, constraint: string) => expect.objectContaining({ code, constraint });

test.each<[string, string, Row]>([
  ['an account whose subdomain is not a label', 'subdomain_is_a_label', { subdomain: 'No-Label' }],
  ['an account without a subdomain', 'subdomain_is_a_label', { subdomain: '' }],
])('the database refuses %s', async (_, constraint, row) => {
  await expect(insert('accounts', row)).rejects.toEqual(refusing(CHECK, constraint));
});

test.each<[string, string, Row]>([
  ['an email in upper case', 'email_is_lower_case', { email: 'Ann@example.org' }],
  ['an email without an at', 'email_is_lower_case', { email: 'ann' }],
  ['an unknown role', 'role_is_known', { email: 'bo@example.com', role: 'god' }],
])('the database refuses a user with %s', async (_, constraint, row) => {
  await expect(insert('users', { account_id: 1, ...row })).rejects.toEqual(refusing(CHECK, constraint));
});

test('the database refuses a token hash that is not SHA-256', async () => {
  const row = { user_id: 1, name: 'ci', hash: Buffer.alloc(31) };
  await expect(insert('api_tokens', row)).rejects.toEqual(refusing(CHECK, 'hash_is_sha256'));
});

test.each<[string, string, Row]>([
  ['a hash that is not SHA-256', 'session_hash_is_sha256', { hash: Buffer.alloc(31) }],
  [
    'an end before its beginning',
    'a_session_ends_after_it_begins',
    { created_at: '2026-01-02T00:00:00Z', expires_at: '2026-01-01T00:00:00Z' },
  ],
])('the database refuses a session with %s', async (_, constraint, row) => {
  const session = { user_id: 1, hash: Buffer.alloc(32), expires_at: 'tomorrow', ...row };
  await expect(insert('sessions', session)).rejects.toEqual(refusing(CHECK, constraint));
});

test.each<[string, string, Row]>([
  ['an unknown status', 'status_is_known', { status: 'queued', finished_at: 'now' }],
  ['no tasks', 'a_job_has_tasks', { total: 0, progress: 0, status: 'completed', finished_at: 'now' }],
  [
    'more results than tasks',
    'progress_is_between_failed_and_total',
    { progress: 4, status: 'failed', finished_at: 'now' },
  ],
  ['more failed than processed', 'progress_is_between_failed_and_total', { progress: 1, failed: 2 }],
  ['a negative count', 'progress_is_between_failed_and_total', { failed: -1 }],
  [
    'completed before its last task',
    'completed_means_every_task',
    { progress: 2, status: 'completed', finished_at: 'now' },
  ],
  ['working after its last task', 'no_job_works_on_at_its_last_task', { progress: 3 }],
  ['an end but working', 'an_ended_job_has_its_time', { finished_at: 'now' }],
  ['killed but without an end', 'an_ended_job_has_its_time', { status: 'killed' }],
  ['too high a priority', 'priority_is_in_range', { priority: 101 }],
  ['no attempt', 'max_attempts_is_in_range', { max_attempts: 0 }],
  ['too many attempts', 'max_attempts_is_in_range', { max_attempts: 26 }],
  ['no time for a task', 'task_timeout_is_positive', { task_timeout_seconds: 0 }],
  ['a negative limit of failures', 'max_failures_is_a_count', { max_failures: -1 }],
  [
    'more failures than its limit but working',
    'too_many_failures_end_a_job',
    { max_failures: 0, progress: 1, failed: 1 },
  ],
  [
    'more failures than its limit but completed',
    'too_many_failures_end_a_job',
    { ...done, max_failures: 0, failed: 1 },
  ],
  ['a deadline in the past', 'deadline_is_after_creation', { deadline: '2001-01-01' }],
  ['itself as what it retries', 'a_job_is_not_its_own_retry', { retry_of: another({})['id'] }],
])('the database refuses a job with %s', async (_, constraint, row) => {
  await expect(insert('job_statuses', another(row))).rejects.toEqual(refusing(CHECK, constraint));
});

test('a job is retried once', async () => {
  await insert('job_statuses', another({ retry_of: JOB }));
  const again = another({ id: JOB.replace(/1$/, '3'), retry_of: JOB });
  await expect(insert('job_statuses', again)).rejects.toEqual(
    refusing(DUPLICATE, 'job_statuses_retry_of_key'),
  );
});

test.each<[string, Row]>([
  ['completed', { status: 'completed', progress: 3 }],
  ['failed', { status: 'failed', progress: 2 }],
  ['killed', { status: 'killed', progress: 0 }],
])('a job that is %s never changes again, whoever writes late', async (_, row) => {
  await insert('job_statuses', another({ ...row, finished_at: 'now' }));
  const late = (set: string) => client.query(`UPDATE job_statuses SET ${set} WHERE status <> 'working'`);
  await expect(late('progress = progress')).rejects.toMatchObject({ code: 'TY002' });
  await expect(late(`status = 'working', finished_at = NULL`)).rejects.toMatchObject({ code: 'TY002' });
});

test('a working job counts on, ends once, and may be removed', async () => {
  await client.query('UPDATE job_statuses SET progress = 2, failed = 1');
  await client.query(
    `UPDATE job_statuses SET progress = 3, status = 'completed', finished_at = clock_timestamp()`,
  );
  expect((await client.query('DELETE FROM job_statuses')).rowCount).toBe(1);
});

test.each<[string, string, Row]>([
  ['an unknown state', 'state_is_known', { state: 'lost' }],
  ['no tasks', 'a_chunk_goes_with_its_last_result', { size: 0 }],
  ['a position before the first', 'a_chunk_has_tasks', { first_position: -1 }],
  ['fewer listed positions than tasks', 'listed_positions_are_complete', { positions: [0, 2] }],
  ['a lease but ready', 'a_lease_is_whole', { ...lease, state: 'ready' }],
  ['leased without a lease', 'a_lease_is_whole', { state: 'leased' }],
  ['a lease without its id', 'a_lease_is_whole', { ...lease, lease_id: null }],
  ['a lease without its beginning', 'a_lease_is_whole', { ...lease, leased_at: null }],
  ['a lease without its end', 'a_lease_is_whole', { ...lease, lease_expires_at: null }],
  ['a lease of nobody', 'a_lease_is_whole', { ...lease, worker: null }],
  ['a lease without slots', 'slots_belong_to_a_lease', { ...lease, slots: null }],
  ['slots but no lease', 'slots_belong_to_a_lease', { slots: 1 }],
  ['a lease of no slot', 'a_slot_is_a_task', { ...lease, slots: 0 }],
  ['more slots than tasks', 'a_slot_is_a_task', { ...lease, slots: 4 }],
  ['waiting for no time', 'waiting_has_its_time', { state: 'waiting' }],
  ['a time to wait for but ready', 'waiting_has_its_time', { visible_at: 'now' }],
  ['every result recorded', 'a_chunk_goes_with_its_last_result', { recorded: 3 }],
  ['a negative attempt', 'counts_do_not_fall_below_zero', { attempt: -1 }],
  ['a negative crash', 'counts_do_not_fall_below_zero', { ...lone, crashes: -1 }],
  ['the blame, but no suspicion', 'only_a_suspect_of_one_task_is_blamed', { size: 1, crashes: 1 }],
  ['the blame, but many tasks', 'only_a_suspect_of_one_task_is_blamed', { suspect: true, crashes: 1 }],
  ['a process of its own, but no lease', 'only_a_suspect_of_one_task_runs_alone', { ...lone, alone: true }],
  [
    'a process of its own, but many tasks',
    'only_a_suspect_of_one_task_runs_alone',
    { ...lease, suspect: true, alone: true },
  ],
  ['more survivals than crashes', 'no_more_survived_than_crashes', { ...lone, crashes: 1, survived: 2 }],
])('the database refuses a chunk with %s', async (_, constraint, row) => {
  await expect(insert('task_chunks', chunk(row))).rejects.toEqual(refusing(CHECK, constraint));
});

test.each<[string, Row]>([
  ['ready', {}],
  ['leased', lease],
  ['a suspect that runs alone', { ...lease, ...lone, alone: true, crashes: 3, survived: 1 }],
  ['waiting', { state: 'waiting', visible_at: 'now' }],
  ['parked', { state: 'parked' }],
  ['uploading', { state: 'uploading' }],
  ['of listed positions', { positions: [0, 7, 9] }],
])('a chunk that is %s is taken', async (_, row) => {
  await insert('task_chunks', chunk(row));
});

test.each<[string, string, Row]>([
  ['a position before the first', 'index_counts_from_zero', { index: -1 }],
  ['success and a failure', 'a_failure_has_its_word_and_task', { error: 'Boom' }],
  ['success and a kept task', 'a_failure_has_its_word_and_task', { task: '{}' }],
  ['failure without its word', 'a_failure_has_its_word_and_task', { ...failure, error: null }],
  ['failure without its task', 'a_failure_has_its_word_and_task', { ...failure, task: null }],
])('the database refuses a result with %s', async (_, constraint, row) => {
  await expect(insert('job_results', result(row))).rejects.toEqual(refusing(CHECK, constraint));
});

test('a position has one result: the first stands, and nothing overwrites it', async () => {
  await insert('job_results', result({}));
  await expect(insert('job_results', result(failure))).rejects.toEqual(
    refusing(DUPLICATE, 'job_results_pkey'),
  );
  const change = client.query(`UPDATE job_results SET result = '{"other": true}'`);
  await expect(change).rejects.toMatchObject({ code: 'TY003' });
});

test('require_lease lets a statement stand or undoes it whole', async () => {
  await client.query('SELECT require_lease(true)');
  for (const held of ['false', 'NULL']) {
    const statement = `WITH written AS (UPDATE job_statuses SET progress = 1 RETURNING 1)
                       SELECT require_lease(${held}) FROM written`;
    await expect(client.query(statement)).rejects.toMatchObject({ code: 'TY001' });
  }
  expect((await client.query('SELECT progress FROM job_statuses')).rows).toEqual([{ progress: 0 }]);
});

test('the database refuses a removed job whose results are gone below a position before the first', async () => {
  const row = { job_id: JOB, removed_below: -1 };
  await expect(insert('deleted_jobs', row)).rejects.toEqual(refusing(CHECK, 'removed_below_is_a_position'));
});

test('the database refuses a place before the first', async () => {
  await expect(insert('turns', { type: 't', account_id: 9, place: -1 })).rejects.toEqual(
    refusing(CHECK, 'a_place_counts_from_zero'),
  );
});

test('the virtual time never runs back', async () => {
  await insert('virtual_times', { type: 't', at: 7 });
  await client.query('UPDATE virtual_times SET at = 8');
  await expect(client.query('UPDATE virtual_times SET at = 7')).rejects.toMatchObject({ code: 'TY004' });
});

const key = (row: Row): Row => ({ account_id: 1, key: 'a', owner: LEASE, expires_at: 'now', ...row });
const used = { job_id: JOB, fingerprint: Buffer.alloc(32) };

test.each<[string, string, Row]>([
  ['no character', 'key_is_printable_ascii', { key: '' }],
  ['too many', 'key_is_printable_ascii', { key: 'x'.repeat(256) }],
  ['one that is not ASCII', 'key_is_printable_ascii', { key: 'ü' }],
  ['one that cannot be printed', 'key_is_printable_ascii', { key: 'a\nb' }],
  ['a fingerprint that is not SHA-256', 'fingerprint_is_sha256', { ...used, fingerprint: Buffer.alloc(31) }],
  ['a job but no fingerprint', 'a_used_key_has_its_fingerprint', { job_id: JOB }],
  ['a fingerprint but no job', 'a_used_key_has_its_fingerprint', { ...used, job_id: null }],
])('the database refuses an idempotency key with %s', async (_, constraint, row) => {
  await expect(insert('idempotency_keys', key(row))).rejects.toEqual(refusing(CHECK, constraint));
});

test('a key is used once in an account', async () => {
  await insert('idempotency_keys', key(used));
  await expect(insert('idempotency_keys', key({}))).rejects.toEqual(
    refusing(DUPLICATE, 'idempotency_keys_pkey'),
  );
  await insert('idempotency_keys', key({ account_id: 2 }));
});

const callback = (row: Row): Row => ({
  ...{ job_id: JOB, account_id: 1, url: 'https://example.com/', origin: '' },
  ...row,
});

test.each<[string, string, Row]>([
  ['a URL that is not of the web', 'callback_url_is_http', { url: 'file:///etc/passwd' }],
  ['too long a URL', 'callback_url_is_http', { url: `https://${'a'.repeat(2_000)}` }],
  ['an unknown state', 'callback_state_is_known', { state: 'lost' }],
  ['a negative count of attempts', 'callback_attempts_are_a_count', { attempts: -1 }],
  ['a time though it is delivered', 'a_settled_callback_is_not_due', { state: 'delivered', due_at: 'now' }],
  ['a failure without a reason', 'a_failed_callback_says_why', { state: 'failed' }],
  ['an error though delivered', 'a_delivered_callback_has_no_error', { state: 'delivered', last_error: 'x' }],
])('the database refuses a callback with %s', async (_, constraint, row) => {
  await expect(insert('job_callbacks', callback(row))).rejects.toEqual(refusing(CHECK, constraint));
});

test.each([
  ['completed', 'progress = 3'],
  ['failed', 'progress = 1'],
  ['killed', 'progress = 0'],
])('a callback is due from the end of its job as %s, not before, and goes with it', async (status, set) => {
  await insert('job_callbacks', callback({}));
  const due = async () => (await client.query('SELECT due_at IS NOT NULL AS due FROM job_callbacks')).rows;
  await client.query('UPDATE job_statuses SET progress = 1, status = status');
  expect(await due()).toEqual([{ due: false }]);
  await client.query(`UPDATE job_statuses SET status = '${status}', ${set}, finished_at = clock_timestamp()`);
  expect(await due()).toEqual([{ due: true }]);
  await client.query('DELETE FROM job_statuses');
  expect(await due()).toEqual([]);
});

test.each<[string, string, Row]>([
  ['an unknown status', 'ticket_status_is_known', { status: 'lost' }],
  ['an unknown priority', 'ticket_priority_is_known', { priority: 'highest' }],
])('the database refuses a ticket with %s', async (_, constraint, row) => {
  await expect(insert('tickets', ticket(row))).rejects.toEqual(refusing(CHECK, constraint));
});

test('every CHECK of the migrations has its test here', async () => {
  const source = await readFile(new URL(import.meta.url), 'utf8');
  const { rows } = await client.query<{ name: string }>(
    `SELECT conname AS name FROM pg_constraint WHERE contype = 'c' AND connamespace = 'public'::regnamespace`,
  );
  expect(rows.map(({ name }) => name).filter((name) => !source.includes(name))).toEqual([]);
});
