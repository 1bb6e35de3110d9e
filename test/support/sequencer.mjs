import Sequencer from '@jest/test-sequencer';

/**
 * The files that take longest, the slowest first. In a fresh clone Jest begins with the largest ones, and the long ones among the
 * small come last, when the other workers have nothing left to do.
 */
const LONG = [
  'process/service',
  'process/poison',
  'webhooks/delivery',
  'workers/worker',
  'process/control',
  'model/walk',
  'client/wait-for-job',
  'jobs/live-events',
  'cli/job-commands',
  'workers/control',
  'process/callbacks',
  'process/upload',
  'database/embedded-processes',
  'jobs/results-export',
  'browser/jobs',
  'browser/quality',
];

const rankOf = ({ path }) => {
  const rank = LONG.findIndex((name) => path.endsWith(`/test/${name}.test.ts`));
  return rank < 0 ? LONG.length : rank;
};

export default class LongestFirst extends Sequencer {
  async sort(tests) {
    return (await super.sort(tests)).sort((a, b) => rankOf(a) - rankOf(b));
  }
}
