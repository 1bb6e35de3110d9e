/**
 * Writes openapi.json: the document as the built service gives it with no setting but the defaults.
 * With --check it writes nothing and fails when the file is not what the service says.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { format } from 'prettier';
import { ScratchService } from './scratch-service.js';

const FILE = fileURLToPath(new URL('../openapi.json', import.meta.url));

async function read(): Promise<string> {
  const service = await ScratchService.start();
  try {
    await service.ready(AbortSignal.timeout(60_000));
    const answer = await fetch(`${service.origin}/openapi.json`);
    if (!answer.ok) throw new Error(`GET /openapi.json: ${answer.status}\n${service.log}`);
    return await format(await answer.text(), { parser: 'json', printWidth: 110 });
  } finally {
    await service.stop();
  }
}

const { values } = parseArgs({ options: { check: { type: 'boolean', default: false } } });
const text = await read();
if (!values.check) {
  await writeFile(FILE, text);
  console.log(`${FILE} written`);
} else if ((await readFile(FILE, 'utf8').catch(() => '')) === text) {
  console.log('openapi.json is what the service says of itself');
} else {
  console.error('openapi.json is not what the service says of itself; run "npm run openapi:dump"');
  process.exitCode = 1;
}
