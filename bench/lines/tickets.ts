import { whole, type Bench, type Line, type Row } from '../bench.js';

/** (g): the reference domain's own handler: tickets are updated in the transaction that records the results. */

const TICKETS = 100_000;

async function* run(bench: Bench): AsyncGenerator<Row> {
  const perSecond = await bench.with({}, async (service) => {
    const made = Array.from({ length: TICKETS }, (_, n) => `{"title":"Ticket ${n}","description":"of many"}`);
    await service.ended((await service.upload('tickets.create', Buffer.from(made.join('\n')))).url);
    const { rows } = await bench.sql.query<{ id: string }>('SELECT id FROM tickets ORDER BY id');
    return bench.median(async () => {
      const lines = rows.map(({ id }) => `{"id":${id},"status":"solved","priority":"high"}`).join('\n');
      const begun = performance.now();
      await service.ended((await service.upload('tickets.update', Buffer.from(lines))).url);
      return rows.length / ((performance.now() - begun) / 1_000);
    });
  });
  yield {
    what: `(g) ${whole(TICKETS)} ticket updates, results stored`,
    value: `${whole(perSecond)} tickets/s`,
    goal: '≥ 25,000',
  };
}

export const TICKET_UPDATES: Line = { key: 'g', run };
