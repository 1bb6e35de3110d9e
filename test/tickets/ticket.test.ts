import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { parseTicketId, playChanges, type TicketChange, type TicketState } from '../../src/tickets/ticket.js';

const states = (): Map<number, TicketState> =>
  new Map([
    [1, { title: 'One', status: 'open' }],
    [2, { title: 'Two', status: 'closed' }],
  ]);

describe('Changes played in their order', () => {
  test('The later of two changes of one ticket wins, member by member, and both are counted', () => {
    const { writes, merged } = playChanges(states(), [
      { id: 1, title: 'First', priority: 'high' },
      { id: 1, title: 'Second', tags: ['vip'] },
    ]);
    expect(writes).toEqual([
      { outcome: 'written', id: 1, title: 'First' },
      { outcome: 'written', id: 1, title: 'Second' },
    ]);
    expect(merged).toEqual([{ id: 1, title: 'Second', priority: 'high', tags: ['vip'], times: 2 }]);
  });

  test('A change that does not name the title tells the title that an earlier one has given', () => {
    const { writes } = playChanges(states(), [
      { id: 1, title: 'Renamed' },
      { id: 1, status: 'solved' },
    ]);
    expect(writes[1]).toEqual({ outcome: 'written', id: 1, title: 'Renamed' });
  });

  test('A change that closes the ticket is the last one', () => {
    const { writes, merged } = playChanges(states(), [
      { id: 1, status: 'closed' },
      { id: 1, status: 'open' },
    ]);
    expect(writes.map((write) => write.outcome)).toEqual(['written', 'closed']);
    expect(merged).toEqual([{ id: 1, status: 'closed', times: 1 }]);
  });

  test('Closed and missing tickets are refused and leave nothing to write', () => {
    const { writes, merged } = playChanges(states(), [{ id: 2, title: 'x' }, { id: 3 }]);
    expect(writes).toEqual([
      { outcome: 'closed', id: 2, title: 'Two' },
      { outcome: 'missing', id: 3 },
    ]);
    expect(merged).toEqual([]);
  });

  test('What is merged is what writing the changes one by one would have made', () => {
    const change = fc.record(
      {
        id: fc.integer({ min: 1, max: 4 }),
        title: fc.constantFrom('A', 'B', 'C'),
        status: fc.constantFrom('open', 'solved', 'closed'),
        priority: fc.constantFrom('low', null),
      },
      { requiredKeys: ['id'] },
    ) as fc.Arbitrary<TicketChange>;
    fc.assert(
      fc.property(fc.array(change, { maxLength: 12 }), (changes) => {
        const { writes, merged } = playChanges(states(), changes);
        expect(merged).toEqual(oneByOne(changes));
        const written = writes.filter((write) => write.outcome === 'written').length;
        expect(merged.reduce((sum, { times }) => sum + times, 0)).toBe(written);
      }),
    );
  });
});

/** The same without any state between changes but the tickets themselves. */
function oneByOne(changes: readonly TicketChange[]): unknown[] {
  const stored = new Map<number, Record<string, unknown>>(
    [...states()].map(([id, state]) => [id, { ...state }]),
  );
  const changed = new Map<number, Record<string, unknown>>();
  for (const change of changes) {
    const ticket = stored.get(change.id);
    if (!ticket || ticket['status'] === 'closed') continue;
    Object.assign(ticket, change);
    const all = changed.get(change.id) ?? { times: 0 };
    changed.set(change.id, Object.assign(all, change, { times: (all['times'] as number) + 1 }));
  }
  return [...changed.values()];
}

test.each([
  ['1', 1],
  ['9007199254740991', Number.MAX_SAFE_INTEGER],
  ['9007199254740993', null],
  ['0', null],
  ['01', null],
  ['-1', null],
  ['1.5', null],
  ['1e3', null],
  ['', null],
])('The text %p is the ticket id %p', (text, id) => {
  expect(parseTicketId(text)).toBe(id);
});
