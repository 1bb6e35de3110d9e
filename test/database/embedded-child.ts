/** A process of its own that starts the embedded Postgres in the folder it is given, says so, and stops it when told. */
import { once } from 'node:events';
import { startEmbeddedPostgres } from '../../src/database/embedded-postgres.js';

const dataDir = process.argv[2] ?? '';
const postgres = await startEmbeddedPostgres({ dataDir, log: () => undefined, durable: false });
console.log(JSON.stringify({ url: postgres.url, owns: postgres.ownsServer, uid: process.getuid?.() }));
await once(process.stdin, 'data');
await postgres.stop();
process.exit();
