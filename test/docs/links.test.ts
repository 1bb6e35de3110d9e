import { describe, expect, test } from '@jest/globals';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const OTHERS = ['node_modules', 'dist', 'coverage'];

/** Every Markdown file of the repository, relative to its root. */
function markdownIn(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory())
      return OTHERS.includes(entry.name) || entry.name.startsWith('.') ? [] : markdownIn(path);
    return entry.name.endsWith('.md') ? [relative(ROOT, path)] : [];
  });
}

/** Without code, in which brackets and number signs mean something else; fenced code may stand in a list. */
const proseOf = (text: string): string =>
  text.replace(/^ *(```+)[^\n]*\n[\s\S]*?^ *\1 *$/gm, '').replace(/(`+)(?!`)[^\n]*?[^`]\1(?!`)/g, (code) => {
    // Of a heading the words in code are part of the anchor.
    return `\0${code.replace(/[`[\]()]/g, '')}\0`;
  });

const linksIn = (text: string): string[] =>
  [...proseOf(text).matchAll(/\]\(<?([^)\s>]+)>?(?: "[^"]*")?\)/g)].map(([, target]) => target!);

/** The anchors that GitHub makes of headings: a second one of the same words ends in -1, and so on. */
function anchorsOf(text: string): Set<string> {
  const anchors = new Set<string>();
  for (const [, heading] of proseOf(text).matchAll(/^#{1,6} +(.+?) *$/gm)) {
    const words = heading!.replace(/\]\([^)]*\)/g, ']').toLowerCase();
    const anchor = words.replace(/[^\p{L}\p{N}_ -]/gu, '').replaceAll(' ', '-');
    let unique = anchor;
    for (let n = 1; anchors.has(unique); n += 1) unique = `${anchor}-${n}`;
    anchors.add(unique);
  }
  return anchors;
}

/** @returns what is wrong with the link; null: nothing, or it leads out of the repository */
function faultOf(from: string, target: string): string | null {
  if (/^[a-z][a-z+.-]*:/i.test(target)) return null;
  const [path = '', anchor] = decodeURI(target).split('#');
  const file = path === '' ? join(ROOT, from) : resolve(ROOT, dirname(from), path);
  if (relative(ROOT, file).startsWith('..')) return `${target} leads out of the repository`;
  const found = statSync(file, { throwIfNoEntry: false });
  if (!found) return `${target} is not there`;
  if (anchor === undefined) return null;
  if (!found.isFile() || !file.endsWith('.md')) return `${target} has an anchor, and is no page`;
  return anchorsOf(readFileSync(file, 'utf8')).has(anchor) ? null : `${target} has no such heading`;
}

const pages = markdownIn(ROOT);

describe('the documentation', () => {
  test.each(pages)('has no link in %s that leads nowhere', (page) => {
    const links = linksIn(readFileSync(join(ROOT, page), 'utf8'));
    expect(links.map((target) => faultOf(page, target)).filter((fault) => fault !== null)).toEqual([]);
  });

  test('is reachable from the README, page by page', () => {
    const reached = new Set(['README.md']);
    for (const page of reached)
      for (const target of linksIn(readFileSync(join(ROOT, page), 'utf8'))) {
        const path = relative(ROOT, resolve(ROOT, dirname(page), target.split('#')[0]!));
        if (pages.includes(path)) reached.add(path);
      }
    expect(pages.filter((page) => !reached.has(page))).toEqual([]);
  });
});

describe('the check of links', () => {
  test('sees links and anchors as GitHub does, and none in code', () => {
    const text =
      '# A `b` c\n\n## A b c\n\n[x](y.md#z) ![](p.svg) `[no](no.md)`\n\n```\n# no\n[no](no.md)\n```\n';
    expect(linksIn(text)).toEqual(['y.md#z', 'p.svg']);
    expect([...anchorsOf(text)]).toEqual(['a-b-c', 'a-b-c-1']);
  });

  test.each([
    ['no-such-file.md', 'is not there'],
    ['README.md#no-such-heading', 'has no such heading'],
    ['../elsewhere.md', 'leads out of the repository'],
    ['package.json#name', 'has an anchor, and is no page'],
  ])('refuses %s, which %s', (target, fault) => {
    expect(faultOf('README.md', target)).toBe(`${target} ${fault}`);
  });
});
