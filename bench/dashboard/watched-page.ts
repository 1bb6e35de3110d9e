import { readFileSync } from 'node:fs';
import type { Browser, CDPSession, Page } from 'playwright-core';

/** Read in the page, as text: it is no part of these programs' types. */
const OBSERVE = `{
  // Those of an earlier look go on counting for nobody, until their frame finds that they are over.
  const seen = (window.seen = { frames: 0, slowest: 0, tasks: [], updates: 0 });
  let last = performance.now();
  const frame = (now) => {
    if (window.seen !== seen) return;
    seen.frames += 1;
    seen.slowest = Math.max(seen.slowest, now - last);
    last = now;
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
  new PerformanceObserver((list) => seen.tasks.push(...list.getEntries().map(({ duration }) => duration))).observe({ type: 'longtask' });
  new MutationObserver(() => (seen.updates += 1)).observe(document.querySelector('main'), { attributes: true, subtree: true, characterData: true, childList: true });
}`;

interface Seen {
  readonly frames: number;
  readonly slowest: number;
  readonly tasks: readonly number[];
  readonly updates: number;
}

/** What a page did for a while. */
export interface Watched {
  readonly seconds: number;
  readonly framesPerSecond: number;
  readonly slowestFrameMs: number;
  /** Tasks of the main thread of 50 ms and more. */
  readonly longTasks: number;
  readonly longestTaskMs: number;
  /** Renderings that changed the document. */
  readonly updatesPerSecond: number;
  /** Share of a processor that the main thread took. */
  readonly busy: number;
}

/** A page, and how smooth it is. */
export class WatchedPage {
  private constructor(
    readonly page: Page,
    readonly devtools: CDPSession,
    private readonly browser: Browser,
  ) {}

  static async open(browser: Browser, origin: string): Promise<WatchedPage> {
    const page = await browser.newPage({ viewport: { width: 1440, height: 900 }, baseURL: origin });
    page.setDefaultTimeout(60_000);
    const devtools = await page.context().newCDPSession(page);
    // Seconds of the processor, not of the clock: other programs may run too.
    await devtools.send('Performance.enable', { timeDomain: 'threadTicks' });
    return new WatchedPage(page, devtools, browser);
  }

  async signIn(email: string, password: string): Promise<void> {
    await this.page.goto('/');
    await this.page.getByLabel('Email').fill(email);
    await this.page.getByLabel('Password').fill(password);
    await this.page.getByRole('button', { name: 'Sign in' }).click();
    await this.page.getByRole('button', { name: 'Sign out' }).waitFor();
  }

  /** What the page does while `work` goes on. */
  async during(work: () => Promise<unknown>): Promise<Watched> {
    const before = await this.#metric('TaskDuration');
    await this.page.evaluate(OBSERVE);
    const began = performance.now();
    await work();
    const seconds = (performance.now() - began) / 1_000;
    const { frames, slowest, tasks, updates } = await this.page.evaluate<Seen>('window.seen');
    return {
      seconds,
      framesPerSecond: frames / seconds,
      slowestFrameMs: slowest,
      longTasks: tasks.length,
      longestTaskMs: Math.max(0, ...tasks),
      updatesPerSecond: updates / seconds,
      busy: ((await this.#metric('TaskDuration')) - before) / seconds,
    };
  }

  /** Of the page's own process. */
  async heapMib(): Promise<number> {
    return (await this.#metric('JSHeapUsedSize')) / 2 ** 20;
  }

  /** The most that the largest process of pages has had, and the browser's own, which keeps Blobs. */
  async peaksMib(): Promise<{ page: number; browser: number }> {
    const session = await this.browser.newBrowserCDPSession();
    const { processInfo } = await session.send('SystemInfo.getProcessInfo');
    await session.detach();
    const peak = (type: string) =>
      Math.max(...processInfo.filter((one) => one.type === type).map(({ id }) => peakOf(id)));
    return { page: peak('renderer'), browser: peak('browser') };
  }

  async #metric(name: string): Promise<number> {
    const { metrics } = await this.devtools.send('Performance.getMetrics');
    return metrics.find((one) => one.name === name)?.value ?? 0;
  }
}

const peakOf = (pid: number): number =>
  Number(/^VmHWM:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1_024;

export function tell(what: string, watched: Watched): void {
  const { seconds, framesPerSecond, slowestFrameMs, longTasks, longestTaskMs, busy } = watched;
  console.log(`${what}, ${seconds.toFixed(1)} s`);
  console.log(
    `  frames a second: ${framesPerSecond.toFixed(1)}, the longest took ${slowestFrameMs.toFixed(0)} ms; ` +
      `long tasks: ${longTasks}, the longest ${longestTaskMs.toFixed(0)} ms; main thread busy: ${(busy * 100).toFixed(0)} %`,
  );
}
