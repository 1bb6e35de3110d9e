import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { succeeded } from '../../src/jobs/task-handler.js';
import { serve, type Served } from '../http/http-support.js';
import { makeScratch, type Scratch } from '../support/scratch.js';
import { jsonLines, tally } from './cli-support.js';

let served: Served;
let scratch: Scratch;
let env: Record<string, string>;

/** Gives back what it was given, so that a test sees what became of a cell. */
const ECHO = { options: { type: 'test.echo', task: z.unknown() }, handler: { run: (task: unknown) => succeeded(task as never) } }; // prettier-ignore

beforeAll(async () => {
  served = await serve({ role: 'all', handlers: [ECHO] });
  scratch = await makeScratch();
  env = {
    HOME: scratch.folder,
    TALLY_URL: served.app.origin,
    TALLY_TOKEN: await served.app.addToken(served.user),
  };
}, 60_000);

afterAll(async () => {
  await served.stop();
  await scratch.remove();
});

async function file(name: string, text: string): Promise<string> {
  const path = join(scratch.folder, name);
  await writeFile(path, text);
  return path;
}

const run = (...args: string[]) => tally(env, args);

/** What the service has got of a file. */
async function echoed(name: string, text: string, ...flags: string[]) {
  const { code, err, out } = await run(
    'submit',
    'test.echo',
    await file(name, text),
    '--watch',
    '--json',
    ...flags,
  );
  expect([code, err]).toEqual([0, '']);
  const { id } = jsonLines(out).at(-1);
  const { out: results } = await run('results', id, '--ndjson');
  return jsonLines(results).map(({ result }) => result);
}

describe('tally submit', () => {
  test('makes an object of each row of a CSV, by the names in the first row and the documented rule', async () => {
    const csv = `\ufeffid,title,done,tags,zip,note\r\n1,"a ""b"", c",true,"[""x""]",00742,\r\n\r\n-2.5,"12",false,{bad,1e3,"two\nlines"\r\n`;
    expect(await echoed('tasks.csv', csv)).toEqual([
      { id: 1, title: 'a "b", c', done: true, tags: ['x'], zip: '00742' },
      { id: -2.5, title: '12', done: false, tags: '{bad', zip: '1e3', note: 'two\nlines' },
    ]);
  }, 60_000);

  test('leaves the cells as they are with --strings', async () => {
    expect(await echoed('strings.csv', 'id,note\n1,\n', '--strings')).toEqual([{ id: '1', note: '' }]);
  }, 60_000);

  test('takes a JSON array and NDJSON', async () => {
    expect(await echoed('tasks.json', '[{"a":1},{"a":"ä"}]')).toEqual([{ a: 1 }, { a: 'ä' }]);
    expect(await echoed('tasks.ndjson', '{"a":1}\n\n{"a":2}')).toEqual([{ a: 1 }, { a: 2 }]);
  }, 60_000);

  test('reads standard input, sends the options, and prints the id alone', async () => {
    const flags = ['--format', 'csv', '--name', 'from a pipe', '--priority', '7', '--max-failures', '3'];
    const { code, out } = await tally(env, ['submit', 'test.echo', '-', ...flags], 'a\n1\n2\n');
    expect(code).toBe(0);
    expect(out).toMatch(/^[0-9a-f]{32}\n$/);
    const shown = await run('show', out.trim(), '--json');
    expect(JSON.parse(shown.out)).toMatchObject({
      total: 2,
      name: 'from a pipe',
      priority: 7,
      max_failures: 3,
    });
    expect((await run('list', '--name', 'from a pipe')).out).toMatch(
      new RegExp(
        `^ID +STATUS +PROGRESS +FAILED +TYPE +NAME\n${out.trim()}  .*2  .*test.echo +from a pipe\n$`,
      ),
    );
  }, 60_000);

  test.each([
    ['a.csv', 'a,a\n1,2\n', /expected each column once, got twice: a/],
    ['b.csv', 'a,b\n1\n', /Invalid Record Length/],
    ['c.json', '{"a":1}', /array/],
    ['d.ndjson', '{"a":1}\n{oops\n', /line 2: expected a task as JSON/],
    ['e.txt', 'x', /--format csv\|json\|ndjson/],
  ])(
    'of a file %s that cannot be read is a sentence and exit code 2',
    async (name, text, sentence) => {
      const { code, out, err } = await run('submit', 'test.echo', await file(name, text));
      expect([code, out]).toEqual([2, '']);
      expect(err).toMatch(sentence);
    },
    60_000,
  );

  test('names each bad task when the service refuses it, and exits with 3', async () => {
    const { code, err } = await run('submit', 'demo.sleep', await file('bad.csv', 'ms\n1\nsoon\n'));
    expect(code).toBe(3);
    expect(err).toContain('tasks.1.ms: line 2: expected milliseconds');
  }, 60_000);
});

describe('the exit code', () => {
  test('of --watch is 1 when a task has failed, whose input results --failed tells', async () => {
    const csv = await file('fail.csv', 'times,message\n0,fine\n9,no\n');
    const { code, err } = await run('submit', 'demo.fail', csv, '--max-attempts', '1', '--watch');
    expect(code).toBe(1);
    expect(err).toMatch(
      /^Job [0-9a-f]{32} of 2 tasks\n(\d\/2 \w+\n)*Completed at .*: 1 succeeded, 1 failed\n$/,
    );
    const id = /Job (\w+)/.exec(err)![1]!;
    const failed = await run('results', id, '--failed', '--csv');
    expect(failed.out.trim().split('\n')).toHaveLength(2);
    expect(failed.out).toContain('no');
    const again = await run('retry', id);
    expect(again.code).toBe(0);
    expect((await run('watch', again.out.trim())).code).toBe(1);
    expect((await run('retry', '0'.repeat(32))).code).toBe(3);
  }, 90_000);

  test('is 3 where the service refuses, and 4 where it cannot be reached', async () => {
    expect(await tally({ ...env, TALLY_TOKEN: 'wrong' }, ['list'])).toMatchObject({ code: 3, out: '' });
    const { code, err } = await tally({ ...env, TALLY_URL: 'http://127.0.0.1:9' }, ['list', '--json']);
    expect(code).toBe(4);
    expect(JSON.parse(err)).toMatchObject({ error: 'Unreachable', description: expect.any(String) });
  }, 60_000);

  test('is 2 for wrong usage, which names what was expected', async () => {
    const { code, err } = await run('submit', 'x', 'y.csv', '--priority', 'high');
    expect(code).toBe(2);
    expect(err).toContain('expected a whole number from -100 to 100');
    expect((await run('nothing')).code).toBe(2);
  }, 60_000);
});

describe('tally', () => {
  test('kills, pauses and resumes', async () => {
    const tasks = await file('sleeps.ndjson', '{"ms":60000}\n'.repeat(500));
    const id = (await run('submit', 'demo.sleep', tasks)).out.trim();
    expect((await run('pause', id)).err).toMatch(/^Paused at \d+ of 500 tasks\n$/);
    expect((await run('list', '--status', 'working')).out).toContain('paused');
    expect((await run('list', '--created-by', 'nobody@example.com')).out).toBe('');
    expect(JSON.parse((await run('resume', id, '--json')).out)).toMatchObject({ id, paused: false });
    expect((await run('kill', id)).code).toBe(0);
    const watched = await run('watch', id);
    expect(watched.code).toBe(1);
    expect(watched.err).toMatch(/Killed at/);
  }, 90_000);

  test('--help has examples, for each command too', async () => {
    const { code, out } = await run('--help');
    expect(code).toBe(0);
    for (const word of ['submit', 'watch', 'doctor', 'TALLY_TOKEN', 'Exit codes', 'Examples'])
      expect(out).toContain(word);
    const commands = ['submit', 'watch', 'list', 'show', 'results', 'kill', 'pause', 'resume', 'retry', 'users', 'accounts', 'tokens', 'doctor']; // prettier-ignore
    for (const command of commands)
      expect((await run('help', command)).out).toMatch(/Examples?:\n {2}\S*.*tally /);
  }, 120_000);
});

describe('credentials', () => {
  const list = (home: string, more: Record<string, string> = {}) =>
    tally({ HOME: home, TALLY_URL: env['TALLY_URL']!, ...more }, ['list']);

  async function home(name: string, text: string, mode: number): Promise<string> {
    const folder = join(scratch.folder, name);
    await mkdir(join(folder, '.config/tally'), { recursive: true });
    const path = join(folder, '.config/tally/credentials.json');
    await writeFile(path, text);
    await chmod(path, mode);
    return folder;
  }

  test('come from a file that only its owner can read', async () => {
    const text = JSON.stringify({ url: env['TALLY_URL'], token: env['TALLY_TOKEN'] });
    expect((await list(await home('private', text, 0o600))).code).toBe(0);
    const open = await list(await home('open', text, 0o640));
    expect(open.code).toBe(2);
    expect(open.err).toMatch(/can be read by others \(mode 640\): run chmod 600/);
    const elsewhere = await list(await home('else', text.replace('127.0.0.1', '127.0.0.2'), 0o600));
    expect([elsewhere.code, elsewhere.err]).toEqual([2, expect.stringContaining('TALLY_URL names another')]);
  }, 60_000);

  test('are asked for where there are none, and a bad file is named', async () => {
    const none = await list(join(scratch.folder, 'nobody'));
    expect([none.code, none.err]).toEqual([2, expect.stringContaining('No credentials: set TALLY_TOKEN')]);
    const bad = await list(await home('bad', '{"user":"x"}', 0o600));
    expect([bad.code, bad.err]).toEqual([2, expect.stringContaining('expected {"token"')]);
    const half = await list(scratch.folder, { TALLY_EMAIL: 'ann@example.com' });
    expect([half.code, half.err]).toEqual([2, 'TALLY_EMAIL and TALLY_PASSWORD: expected both, or neither\n']);
  }, 60_000);
});
