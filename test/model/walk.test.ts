import { Logger } from '@nestjs/common';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { TestEngine } from '../support/engine.js';
import { takeWalk, walkPlan } from './walk.js';
import { makeGround, type Ground } from './world.js';

/** MODEL_WALKS sets how many; MODEL_SEED and MODEL_PATH, which a failure prints, repeat one. */
const WALKS = Number(process.env['MODEL_WALKS'] ?? 100);
const STEPS_MOST = 120;
/** On a machine that is busy with other things. */
const WALK_MS_MOST = 5_000;
/** So long a failure is shrunk: what is left then is short enough to be read. */
const SHRINK_MS_MOST = 20_000;
/** So often a long run says how far it is. */
const REPORT_EVERY = 250;

let engine: TestEngine;
let ground: Ground;
beforeAll(async () => {
  // Workers that lose their leases say so, and here most of them do.
  Logger.overrideLogger(false);
  engine = await TestEngine.start();
  ground = await makeGround(engine);
});
afterAll(() => engine.stop());

/** How to see it again; a path without its seed means nothing. */
const replay = (seed: number, path: string | null): string =>
  `MODEL_SEED=${seed} MODEL_PATH=${path ?? ''} npm test -- test/model`;

describe('whatever workers, clients, the clock and the retention do, in whatever order', () => {
  it(
    'each call and each row is what the model says',
    async () => {
      const { MODEL_SEED: seed, MODEL_PATH: path } = process.env;
      const taken = new Map<string, number>();
      let walks = 0;
      let shrinksUntilMs = Infinity;
      const property = fc.asyncProperty(walkPlan(STEPS_MOST), async (plan) => {
        // What is not looked at any more counts as passed, so the shortest walk so far stands.
        if (performance.now() > shrinksUntilMs) return;
        try {
          await takeWalk(ground, plan, taken);
        } catch (error) {
          shrinksUntilMs = Math.min(shrinksUntilMs, performance.now() + SHRINK_MS_MOST);
          throw error;
        }
        walks += 1;
        if (walks % REPORT_EVERY === 0) process.stderr.write(`${walks} walks, ${sum(taken)} steps\n`);
      });
      const run = await fc.check(property, {
        numRuns: WALKS,
        ...(seed && { seed: Number(seed) }),
        ...(seed && path && { path }),
      });
      if (run.failed) {
        const error = run.errorInstance instanceof Error ? run.errorInstance : new Error('the walk failed');
        error.message = `Repeat it with ${replay(run.seed, run.counterexamplePath)}\n\n${error.message}`;
        throw error;
      }
      if (process.env['MODEL_STEPS']) process.stderr.write(`${JSON.stringify([...taken])}\n`);
      expect(walks).toBeGreaterThan(0);
    },
    30_000 + WALKS * WALK_MS_MOST,
  );
});

const sum = (counts: ReadonlyMap<string, number>): number => [...counts.values()].reduce((a, b) => a + b, 0);
