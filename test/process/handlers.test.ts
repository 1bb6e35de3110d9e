import { afterAll, afterEach, describe, expect, it } from '@jest/globals';
import { createServer } from 'node:http';
import { once } from 'node:events';
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { Service } from '../support/service.js';
import { waitFor } from '../support/wait-for.js';

const EXAMPLES = fileURLToPath(new URL('../../examples/handlers', import.meta.url));

const services: Service[] = [];
const databases: TestDatabase[] = [];
const folders: string[] = [];

afterEach(async () => {
  await Promise.all(services.splice(0).map((service) => service.stop('SIGKILL')));
  await Promise.all(databases.splice(0).map((database) => database.drop()));
});
afterAll(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true }))));

/** A directory far from the service, as a mounted volume is. */
async function folder(modules: Record<string, string> = {}): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'tally-own-handlers-'));
  folders.push(path);
  for (const [name, text] of Object.entries(modules)) await writeFile(join(path, name), text);
  return path;
}

async function databaseUrl(): Promise<string> {
  const database = await createTestDatabase();
  databases.push(database);
  return database.url;
}

async function refusal(handlers: string): Promise<string> {
  const service = await Service.spawn({ HANDLERS: handlers, DATABASE_URL: await databaseUrl() });
  services.push(service);
  expect(await service.exit()).toBe(1);
  return service.output;
}

async function finished(service: Service, type: string, tasks: readonly object[]) {
  const { url } = await service.json('POST', '/api/v2/jobs.json', { type, tasks });
  return waitFor(
    async () => {
      const status = await service.json('GET', url);
      return status.status !== 'working' && status;
    },
    { timeoutMs: 15_000, what: `a job of ${type} to end` },
  );
}

describe('a directory of own handlers', () => {
  it('is run without touching the source: the two examples', async () => {
    const asked: string[] = [];
    const geocoder = createServer((request, response) => {
      const query = new URL(request.url ?? '/', 'http://x').searchParams.get('q') ?? '';
      const isFirst = !asked.includes(query);
      asked.push(query);
      if (query.startsWith('Nowhere')) response.writeHead(404).end();
      else if (query.startsWith('Busy') && isFirst) response.writeHead(429, { 'retry-after': '1' }).end();
      else response.writeHead(200).end('{"lat":51.5,"lon":-0.13}');
    }).listen(0, '127.0.0.1');
    await once(geocoder, 'listening');
    const { port } = geocoder.address() as { port: number };
    const handlers = await folder();
    await cp(EXAMPLES, handlers, { recursive: true });
    const service = await Service.start({
      DATABASE_URL: await databaseUrl(),
      HANDLERS: handlers,
      GEOCODER_URL: `http://127.0.0.1:${port}/search`,
    });
    services.push(service);
    const geocoded = await finished(service, 'addresses.geocode', [
      { id: 1, address: '10 Downing Street' },
      { id: 2, address: 'Nowhere Lane' },
      { id: 3, address: 'Busy Road' },
    ]);
    geocoder.close();
    expect(geocoded).toMatchObject({
      status: 'completed',
      results: [
        { id: 1, lat: 51.5, lon: -0.13, status: 'Geocoded' },
        { id: 2, success: false, status: 'Failed', errors: 'No place is known at Nowhere Lane' },
        { id: 3, status: 'Geocoded' },
      ],
    });
    const contacts = Array.from({ length: 1_200 }, (_, n) => ({
      email: `c${n % 1_100}@example.com`,
      name: `Contact ${n}`,
    }));
    const imported = await finished(service, 'contacts.import', contacts);
    expect(imported).toMatchObject({ status: 'completed', progress: 1_200 });
    expect(imported.results[0]).toMatchObject({ email: 'c0@example.com', status: 'Imported' });
    const refused = await service.json('POST', '/api/v2/jobs.json', {
      type: 'contacts.import',
      tasks: [{ email: 'x' }],
    });
    expect(Object.keys(refused.details)).toEqual(['tasks.0.email', 'tasks.0.name']);
  }, 60_000);

  it('with a broken module stops the start with a sentence that names it', async () => {
    const path = await folder({ 'broken.js': 'export const = 1;' });
    expect(await refusal(path)).toMatch(
      /^HANDLERS: \S+broken\.js cannot be loaded: .*Missing initializer|Unexpected token/,
    );
  });

  it('with a module that exports no handler stops the start', async () => {
    const path = await folder({ 'nothing.mjs': 'export const a = 1;' });
    expect(await refusal(path)).toMatch(/^HANDLERS: \S+nothing\.mjs exports no task handler/);
  });

  it('with a type that is taken stops the start and names both', async () => {
    const path = await folder({
      'twice.js': `import { TaskHandler, succeeded } from 'tally'; import { z } from 'zod';
        export default TaskHandler({ type: 'demo.sleep', task: z.any() })(class Mine { run() { return succeeded(1); } });`,
    });
    expect(await refusal(path)).toMatch(
      /^Task type demo\.sleep has two handlers: (DemoSleepHandler and Mine|Mine and DemoSleepHandler)/,
    );
  });
});
