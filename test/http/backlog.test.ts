import { describe, expect, test } from '@jest/globals';
import { Backlog } from '../../src/http/backlog.js';

/** A second in which requests come and others are answered, evenly. */
function second(backlog: Backlog, clock: { ms: number }, come: number, answered: number): number {
  let refused = 0;
  for (let step = 0; step < 100; step += 1) {
    clock.ms += 10;
    for (let n = 0; n < come / 100; n += 1)
      if (backlog.isTooLong) refused += 1;
      else backlog.enter();
    for (let n = 0; n < answered / 100; n += 1) backlog.leave(true);
  }
  return refused;
}

function begun(): { backlog: Backlog; clock: { ms: number } } {
  const clock = { ms: 0 };
  return { clock, backlog: new Backlog(() => clock.ms) };
}

describe('a backlog', () => {
  test('refuses nobody while as many are answered as come', () => {
    const { backlog, clock } = begun();
    for (let n = 0; n < 99; n += 1) backlog.enter();
    for (let n = 0; n < 10; n += 1) expect(second(backlog, clock, 100, 100)).toBe(0);
  });

  test('refuses no hundred that come at once, however slowly they are answered', () => {
    const { backlog, clock } = begun();
    for (let n = 0; n < 100; n += 1) {
      expect(backlog.isTooLong).toBe(false);
      backlog.enter();
      clock.ms += 100;
    }
  });

  test('refuses the surplus of ten times the pace, and keeps the wait at a second or two', () => {
    const { backlog, clock } = begun();
    let refused = 0;
    for (let n = 0; n < 5; n += 1) refused += second(backlog, clock, 1_000, 100);
    const waiting = 5_000 - refused - 500;
    expect(waiting).toBeGreaterThanOrEqual(90);
    expect(waiting).toBeLessThan(250);
    const more = second(backlog, clock, 1_000, 100);
    expect(more).toBeGreaterThan(850);
    expect(more).toBeLessThan(950);
  });

  test('refuses what comes while nothing is answered, and lets it in again when it goes on', () => {
    const { backlog, clock } = begun();
    second(backlog, clock, 300, 100);
    second(backlog, clock, 0, 0);
    expect(backlog.isTooLong).toBe(true);
    second(backlog, clock, 0, 100);
    expect(backlog.isTooLong).toBe(false);
  });

  test('takes what was given up for no pace', () => {
    const { backlog, clock } = begun();
    for (let n = 0; n < 300; n += 1) backlog.enter();
    for (let n = 0; n < 100; n += 1) {
      clock.ms += 10;
      backlog.leave(false);
    }
    expect(backlog.isTooLong).toBe(true);
  });
});
