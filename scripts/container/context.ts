import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

/**
 * The files that a build would see, as paths from the root of the repository: what a fresh clone has (and what is new and
 * not ignored), less what .dockerignore leaves out.
 */
export async function contextFiles(root: string): Promise<string[]> {
  const list = ['ls-files', '-z', '--cached', '--others', '--exclude-standard'];
  const { stdout } = await promisify(execFile)('git', list, { cwd: root, maxBuffer: 64 * 1024 * 1024 });
  const isIgnored = ignoreOf(await readFile(join(root, '.dockerignore'), 'utf8'));
  return stdout
    .split('\0')
    .filter((path) => path !== '' && !isIgnored(path) && existsSync(join(root, path)))
    .sort();
}

/** Reads a .dockerignore: patterns from the root, of which the last that fits decides; `!` takes back in. */
export function ignoreOf(text: string): (path: string) => boolean {
  const rules = text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => ({ isException: line.startsWith('!'), pattern: patternOf(line.replace(/^!/, '')) }));
  return (path) => {
    const rule = rules.findLast(({ pattern }) => pattern.test(path));
    return rule !== undefined && !rule.isException;
  };
}

/** A pattern fits a path, and everything below it. */
function patternOf(glob: string): RegExp {
  const body = glob
    .replace(/^\/|\/$/g, '')
    .replace(/[.+^${}()|[\]]/g, '\\$&')
    .replace(/\*\*\/?|\*|\?/g, (wild) => (wild === '?' ? '[^/]' : wild === '*' ? '[^/]*' : '.*'));
  return new RegExp(`^${body}(/|$)`);
}
