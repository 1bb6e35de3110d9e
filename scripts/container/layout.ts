import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdir, stat } from 'node:fs/promises';
import { basename, delimiter, join, posix } from 'node:path';
import { pairsOf, type Instruction, type Stage } from './dockerfile.js';

/** A stage as its steps left it, in a folder that stands for its root. */
export interface Layout {
  readonly root: string;
  /** As the Dockerfile writes them: paths from the stage's root. */
  workdir: string;
  env: Record<string, string>;
}

export interface Workshop {
  /** Where the stages are laid out, a folder each. */
  readonly folder: string;
  /** The repository, and the paths in it that a build would see. */
  readonly repository: string;
  readonly files: readonly string[];
  readonly say: (line: string) => void;
}

/** Folders of the image that commands may name: they are taken from this machine. */
const SYSTEM = /^\/(bin|dev|etc|proc|sys|tmp|usr)(\/|$)/;
/** What a command needs of our environment: the way to programs and to packages, and nothing of this repository. */
const PASSED_ON =
  /^(HOME|LANG|(https?|no)_proxy|NODE_EXTRA_CA_CERTS|npm_config_(registry|cache|userconfig|globalconfig|cafile))$/i;

/** Takes the steps of a stage, in a folder of its own. @throws Error of the first step that fails */
export async function layOut(
  stage: Stage,
  done: ReadonlyMap<string, Layout>,
  shop: Workshop,
): Promise<Layout> {
  const root = join(shop.folder, stage.name);
  const parent = done.get(stage.from);
  // Hard links: no step changes a file that it has from its parent in place, and half a gigabyte is not copied.
  if (parent) await run('cp', ['-al', parent.root, root]);
  else await mkdir(root);
  const layout: Layout = { root, workdir: parent?.workdir ?? '/', env: { ...parent?.env } };
  for (const instruction of stage.instructions) {
    const begun = performance.now();
    await take(instruction, layout, done, shop).catch((error: unknown) => {
      throw new Error(
        `Dockerfile:${instruction.line}: ${instruction.name} ${instruction.text}\n${(error as Error).message}`,
      );
    });
    const seconds = ((performance.now() - begun) / 1000).toFixed(1);
    shop.say(`  ${stage.name}: ${instruction.name} ${shorten(instruction.text)} (${seconds} s)`);
  }
  return layout;
}

async function take(
  instruction: Instruction,
  layout: Layout,
  done: ReadonlyMap<string, Layout>,
  shop: Workshop,
): Promise<void> {
  const { name, text } = instruction;
  if (name === 'WORKDIR') {
    layout.workdir = posix.resolve(layout.workdir, text);
    await mkdir(inside(layout, '.'), { recursive: true });
  } else if (name === 'VOLUME') {
    await mkdir(inside(layout, text), { recursive: true });
  } else if (name === 'ENV' || name === 'ARG') {
    Object.assign(layout.env, Object.fromEntries(pairsOf(instruction)));
  } else if (name === 'COPY') {
    await copy(instruction, layout, done, shop);
  } else if (name === 'RUN') {
    await run('/bin/sh', ['-c', mapped(text, layout)], {
      cwd: inside(layout, '.'),
      env: { ...passedOn(), ...layout.env },
    });
  }
}

/** A path of the stage (from its working directory, if it does not begin at the root), as one of this machine. */
export function inside(layout: Layout, path: string): string {
  return join(layout.root, posix.resolve(layout.workdir, path));
}

/** The same text with the stage's absolute paths made ours. */
export function mapped(text: string, { root }: Pick<Layout, 'root'>): string {
  return text.replace(/(^|[\s='":])(\/[\w.@-][\w.@/-]*)/g, (all, before: string, path: string) =>
    SYSTEM.test(path) ? all : before + join(root, path),
  );
}

/** Of our environment, with a PATH that does not lead into the repository: a forgotten tool must be missed. */
export function passedOn(): Record<string, string> {
  const found = Object.entries(process.env).filter(([name]) => PASSED_ON.test(name));
  const path = (process.env['PATH'] ?? '')
    .split(delimiter)
    .filter((folder) => !folder.includes('node_modules'));
  return {
    ...Object.fromEntries(found as [string, string][]),
    PATH: path.join(delimiter),
    NO_COLOR: '1',
  };
}

async function copy(
  { flags, text }: Instruction,
  layout: Layout,
  done: ReadonlyMap<string, Layout>,
  shop: Workshop,
): Promise<void> {
  const words = text.split(/\s+/);
  const target = words.pop() ?? '';
  if (words.length > 1 && !target.endsWith('/'))
    throw new Error('several files need a folder: end it with /');
  const from = flags['from'];
  for (const source of words) {
    const origin = from === undefined ? undefined : done.get(from);
    if (from !== undefined && !origin) throw new Error(`there is no stage ${from}`);
    const count = origin
      ? await copyTree(inside({ ...origin, workdir: '/' }, source), source, inside(layout, target), target)
      : await copyContext(source, target, layout, shop);
    if (count === 0) throw new Error(`${source} is not in the build's context: see .dockerignore`);
  }
}

async function copyTree(source: string, name: string, target: string, written: string): Promise<number> {
  const isFolder = (await stat(source)).isDirectory();
  const place = !isFolder && written.endsWith('/') ? join(target, basename(name)) : target;
  await cp(source, place, { recursive: true, verbatimSymlinks: true });
  return 1;
}

/** A folder's content goes into the target; a file becomes it, or goes into it when that is a folder. */
async function copyContext(source: string, target: string, layout: Layout, shop: Workshop): Promise<number> {
  const name = posix.normalize(source).replace(/\/$/, '');
  const place = inside(layout, target);
  const isFolder = target.endsWith('/') || (await stat(place).catch(() => undefined))?.isDirectory() === true;
  const files = shop.files.filter((path) => path === name || path.startsWith(`${name}/`));
  for (const path of files) {
    const rest = path.slice(name.length + 1);
    const to = rest !== '' ? join(place, rest) : isFolder ? join(place, basename(name)) : place;
    await cp(join(shop.repository, path), to);
  }
  return files.length;
}

async function run(
  file: string,
  args: readonly string[],
  options: { readonly cwd?: string; readonly env?: NodeJS.ProcessEnv } = {},
): Promise<void> {
  const child = spawn(file, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null];
  if (code !== 0) throw new Error(`it ended with ${code ?? signal ?? ''}:\n${output.slice(-4_000)}`);
}

const shorten = (text: string): string => (text.length > 90 ? `${text.slice(0, 87)}...` : text);
