/** Ends what global-setup.mjs began, in the same process. */
export default async function globalTeardown() {
  await globalThis.stopTestServer?.();
}
