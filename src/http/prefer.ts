/** Seconds that an answer is held, at most: proxies and load balancers give up after a minute. */
export const WAIT_SECONDS_MAX = 60;

/**
 * How long the client would have the answer held: `Prefer: wait=10` (RFC 7240). More than WAIT_SECONDS_MAX is that; what is
 * no number of seconds is ignored, as the RFC has it, and of several the first counts.
 * @param header Prefer as it came; several headers are one, joined by commas
 * @returns null when it does not ask
 */
export function preferredWait(header: string | string[] | undefined): number | null {
  if (header === undefined) return null;
  const preferences = String(header).match(/(?:"(?:\\.|[^"\\])*"|[^,"])+/g) ?? [];
  for (const preference of preferences) {
    const wait = /^\s*wait\s*(?:=\s*"?(?<seconds>[^\s;"]*)"?\s*)?(?:;|$)/i.exec(preference);
    if (!wait) continue;
    const seconds = wait.groups?.['seconds'] ?? '';
    return /^\d{1,9}$/.test(seconds) ? Math.min(Number(seconds), WAIT_SECONDS_MAX) : null;
  }
  return null;
}
