/**
 * `npm run check:container`: takes the steps of the Dockerfile without Docker, each stage in a folder of its own, so that
 * a file that a COPY forgot is missed; then runs what the last stage starts, read-only and as nobody, as docker-compose.yml
 * does: an api and a worker on a throw-away Postgres. What only Docker itself can show (the base image, its kernel
 * settings) stays unseen.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmod, cp, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort } from '../test/support/service.js';
import { startEmbeddedPostgres } from '../src/database/embedded-postgres.js';
import { Container } from './container/container.js';
import { composeProblems } from './container/compose.js';
import { contextFiles } from './container/context.js';
import { runTogether } from './container/run-together.js';
import { parseDockerfile, type Stage } from './container/dockerfile.js';
import { inside, layOut, type Layout } from './container/layout.js';
import { packageProblems } from './container/packages.js';
import { breaches } from './container/rules.js';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const begun = performance.now();
const say = (line: string) =>
  console.log(`[${((performance.now() - begun) / 1000).toFixed(1).padStart(5)} s] ${line}`);

function demand(problems: readonly string[], what: string): void {
  if (problems.length > 0) throw new Error(`${what}:\n${problems.map((line) => `  - ${line}`).join('\n')}`);
  say(`${what}: as it should be`);
}

async function layOutAll(stages: readonly Stage[], folder: string): Promise<Map<string, Layout>> {
  const files = await contextFiles(ROOT);
  say(`The build would see ${files.length} files`);
  const done = new Map<string, Layout>();
  for (const stage of stages)
    done.set(stage.name, await layOut(stage, done, { folder, repository: ROOT, files, say }));
  return done;
}

/** No more than that it loads: its port is a fixed one, which may be taken here. */
async function runsStudio(stages: readonly Stage[], done: ReadonlyMap<string, Layout>): Promise<void> {
  const stage = stages.find(({ name }) => name === 'studio');
  const layout = done.get('studio');
  assert(stage && layout, 'the Dockerfile has no stage studio');
  execFileSync('chmod', ['-R', 'a-w,a+rX', layout.root]);
  const studio = Container.start(stage, layout, {}, ['--help']);
  assert.equal(await studio.exit(), 0, `studio: it cannot be loaded:\n${studio.output}`);
  say('studio: loads');
}

async function main(folder: string): Promise<void> {
  const stages = parseDockerfile(await readFile(join(ROOT, 'Dockerfile'), 'utf8'));
  const names = stages.map(({ name }) => name);
  demand(breaches(stages), 'The rules of the Dockerfile');
  demand(
    composeProblems(await readFile(join(ROOT, 'docker-compose.yml'), 'utf8'), names),
    'docker-compose.yml',
  );
  const done = await layOutAll(stages, folder);
  const last = stages.at(-1) as Stage;
  const layout = done.get(last.name) as Layout;
  const whole = done.get('dependencies');
  assert(whole, 'the Dockerfile has no stage dependencies to compare with');
  demand(await packageProblems(inside(layout, '.'), inside(whole, '.')), `The packages of ${last.name}`);

  // As a volume would be mounted there.
  await cp(join(ROOT, 'examples/handlers'), inside(layout, '/handlers'), { recursive: true });
  execFileSync('chmod', ['-R', 'a-w,a+rX', layout.root]);
  const size = execFileSync('du', ['-sm', layout.root], { encoding: 'utf8' }).split('\t')[0];
  say(`${last.name}: ${size ?? '?'} MB above its base image, now read-only`);
  await runsStudio(stages, done);
  const postgres = await startEmbeddedPostgres({
    dataDir: join(folder, 'data'),
    log: () => undefined,
    durable: false,
  });
  try {
    await runTogether(last, layout, postgres.url, say, freePort);
  } finally {
    await postgres.stop();
  }
}

const folder = await mkdtemp(join(tmpdir(), 'tally-container-'));
// Nobody must be able to enter it.
await chmod(folder, 0o755);
try {
  await main(folder);
  say('The container is as it should be');
} catch (error) {
  say(`FAILED: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
} finally {
  execFileSync('chmod', ['-R', 'u+w', folder]);
  await rm(folder, { recursive: true, force: true });
}
