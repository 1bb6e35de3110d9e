import { Presets, SingleBar } from 'cli-progress';
import type { JobStatus, TallyClient } from '../client/client.js';
import { EXIT } from './exit.js';
import { printJson, printable, say } from './terminal.js';

interface View {
  show(status: JobStatus): unknown;
  end(): void;
}

/**
 * Waits for the end of a job and shows its progress: a bar on a terminal, lines elsewhere, as JSON to standard output where that
 * is asked for.
 * @returns the exit code
 */
export async function watchJob(client: TallyClient, id: string, isJson: boolean): Promise<number> {
  const view = isJson ? jsonView() : process.stderr.isTTY ? barView() : lineView();
  const interrupted = new AbortController();
  const interrupt = () => interrupted.abort();
  process.once('SIGINT', interrupt);
  try {
    const ended = await client.waitForJob(id, {
      signal: interrupted.signal,
      onProgress: (status) => view.show(status),
    });
    view.end();
    const { counts, message } = await client.job(id);
    if (!isJson)
      say(`${printable(message ?? ended.status)}: ${counts.succeeded} succeeded, ${counts.failed} failed`);
    return ended.status === 'completed' && counts.failed === 0 ? EXIT.done : EXIT.badNews;
  } catch (error) {
    if (!interrupted.signal.aborted) throw error;
    view.end();
    if (!isJson) say(`Job ${id} goes on; "tally watch ${id}" shows it again`);
    return EXIT.interrupted;
  } finally {
    process.off('SIGINT', interrupt);
  }
}

/** Without the results, of which there may be many. */
const jsonView = (): View => ({
  show: (status) => printJson({ ...status, results: undefined }),
  end: () => undefined,
});

function lineView(): View {
  return {
    show: ({ progress, total, status }) => say(`${progress}/${total} ${status}`),
    end: () => undefined,
  };
}

function barView(): View {
  const bar = new SingleBar(
    {
      format: '{bar} {percentage}%  {value}/{total}  {eta_formatted} left',
      hideCursor: true,
      stream: process.stderr,
    },
    Presets.shades_classic,
  );
  let isShown = false;
  return {
    show: ({ progress, total }) => {
      if (!isShown) bar.start(total, progress);
      isShown = true;
      bar.update(progress);
    },
    end: () => bar.stop(),
  };
}
