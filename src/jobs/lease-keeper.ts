/** Part of a lease after which it is renewed: two renewals may fail before it runs out. */
const RENEWALS = 3;

/**
 * Renews a lease while `work` runs. A renewal that fails is not an error here: what the lease protects restates it.
 * @param renew is not called again before it has answered
 */
export async function whileKept<T>(
  leaseMs: number,
  renew: () => Promise<void>,
  work: () => Promise<T>,
): Promise<T> {
  let isRenewing = false;
  const timer = setInterval(() => {
    if (isRenewing) return;
    isRenewing = true;
    renew()
      .catch(() => undefined)
      .finally(() => (isRenewing = false));
  }, leaseMs / RENEWALS);
  try {
    return await work();
  } finally {
    clearInterval(timer);
  }
}
