import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { z } from 'zod';
import { succeeded } from '../../src/jobs/task-handler.js';
import { ANYTHING, expectError, expectInvalid, serve, type Served } from '../http/http-support.js';

const TASK_TYPES = '/api/v2/task_types.json';
/** JSON Schema has no words for its task. */
const ODD = {
  options: { type: 'odd.one', task: z.instanceof(Map) },
  handler: { run: () => succeeded(null) },
};

interface Described {
  readonly type: string;
  readonly schema: Record<string, unknown>;
}

let served: Served;
let types: Described[];
beforeAll(async () => {
  served = await serve({ handlers: [ANYTHING, ODD] });
  types = (await served.app.get(TASK_TYPES, served.user)).body.task_types;
});
afterAll(() => served.stop());

describe('the list of task types', () => {
  test('has those that can be submitted, in alphabetical order', async () => {
    expect(types.map(({ type }) => type)).toEqual([
      'demo.fail',
      'demo.sleep',
      'odd.one',
      'test.anything',
      'tickets.create',
      'tickets.delete',
      'tickets.update',
    ]);
    const own = await serve({ env: { DEMO_TASKS: 'false' } });
    const answer = await own.app.get(TASK_TYPES, own.user);
    await own.stop();
    expect(answer.text).not.toContain('demo.');
  });

  test('says what a task of each is, so that a form can check one', () => {
    const schemaOf = (name: string) => types.find(({ type }) => type === name)!.schema;
    const check = new Ajv2020({ strict: false }).compile(schemaOf('tickets.update'));
    expect(check({ id: 1, status: 'solved' })).toBe(true);
    expect(check({ status: 'solved' })).toBe(false);
    expect(check({ id: 1, status: 'lost' })).toBe(false);
    expect(check({ id: 1, colour: 'red' })).toBe(false);
    expect(schemaOf('odd.one')).toMatchObject({ description: 'Checked by its handler' });
  });

  test('is for users alone, and takes no parameter', async () => {
    expectError(await served.app.get(TASK_TYPES, null), 401, 'Unauthorized');
    expectInvalid(await served.app.get(`${TASK_TYPES}?page[size]=1`, served.user), 'page[size]');
  });
});
