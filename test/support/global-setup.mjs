import { tsImport } from 'tsx/esm/api';

/**
 * Jest runs this outside its ESM runtime, and a global setup in TypeScript as CommonJS, where './x.js' is not found as
 * x.ts. As plain ESM it is imported as it stands, and tsx loads the rest.
 */
export default async function globalSetup() {
  const { startTestServer } = await tsImport('./test-server.ts', import.meta.url);
  globalThis.stopTestServer = await startTestServer();
}
