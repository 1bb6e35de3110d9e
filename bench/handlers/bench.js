import { setTimeout as sleep } from 'node:timers/promises';
import { succeeded, TaskHandler } from 'tally';
import { z } from 'zod';

/** Handlers of the measurements; the service loads them as any operator's (HANDLERS). */

const noOp = TaskHandler({ type: 'bench.no_op', task: z.strictObject({ note: z.string() }) });

/** Does nothing, and returns about as many bytes as it was given. */
export const NoOp = noOp(
  class NoOp {
    run({ note }) {
      return succeeded({ note, success: true });
    }
  },
);

/** Says when it began. */
export const Start = TaskHandler({ type: 'bench.start', task: z.strictObject({}) })(
  class Start {
    run() {
      return succeeded({ at: performance.timeOrigin + performance.now() });
    }
  },
);

/** Waits, as for another service. */
export const Wait = TaskHandler({ type: 'bench.wait', task: z.strictObject({ ms: z.int() }) })(
  class Wait {
    async run({ ms }, { signal }) {
      await sleep(ms, undefined, { signal });
      return succeeded({ success: true });
    }
  },
);

const holdTask = z.strictObject({ note: z.string(), holds: z.boolean() });

/** The last task of a job keeps it working, and changes its message four times a second, until it is aborted. */
export const Hold = TaskHandler({ type: 'bench.hold', task: holdTask })(
  class Hold {
    async run({ note, holds }, { signal, message }) {
      for (let n = 1; holds; n += 1) {
        message(`Still at it: ${n}`);
        await sleep(250, undefined, { signal });
      }
      return succeeded({ note, success: true });
    }
  },
);
