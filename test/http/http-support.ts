import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { expect } from '@jest/globals';
import { z } from 'zod';
import { succeeded } from '../../src/jobs/task-handler.js';
import { PASSWORD, TestApp, type Answer, type TestAppOptions, type TestUser } from '../support/app.js';
import { createTestDatabase } from '../support/database.js';

export const JOBS = '/api/v2/jobs.json';
export const STATUSES = '/api/v2/job_statuses.json';

/** The polled resource, in its order. */
export const SEVEN_KEYS = ['id', 'url', 'total', 'progress', 'status', 'message', 'results'];

/** Takes any task, as a handler from outside this repository may. */
export const ANYTHING = {
  options: { type: 'test.anything', task: z.unknown() },
  handler: { run: () => succeeded(null) },
};

/** An API process and its own database, with a user. */
export interface Served {
  readonly app: TestApp;
  readonly user: TestUser;
  /** Of the database. */
  readonly url: string;
  readonly stop: () => Promise<void>;
}

/** @param options role 'api' unless said otherwise: what is submitted stays as it is */
export async function serve(options: TestAppOptions = {}): Promise<Served> {
  const database = await createTestDatabase();
  const app = await TestApp.start(database.url, { role: 'api', handlers: [ANYTHING], ...options });
  const stop = async () => {
    await app.stop();
    await database.drop();
  };
  return { app, user: await app.addUser(), url: database.url, stop };
}

/** The one shape of every error, and nothing else's business in it. */
export function expectError(answer: Answer, status: number, word: string): void {
  expect([answer.status, answer.body?.error]).toEqual([status, word]);
  expect(answer.headers.get('content-type')).toBe('application/json; charset=utf-8');
  expect(answer.body.description).toEqual(expect.stringMatching(/^.{3,}/));
  expect(answer.text).not.toMatch(/node_modules|at \w+ \(|\.[jt]s:\d+|SELECT|INSERT|prisma|postgres/i);
}

/** 422 that names exactly these fields. @returns the details */
export function expectInvalid(
  answer: Answer,
  ...fields: string[]
): Record<string, { description: string }[]> {
  expectError(answer, 422, 'RecordInvalid');
  expect(Object.keys(answer.body.details)).toEqual(fields);
  return answer.body.details;
}

/** Rows that submissions leave behind. */
export async function rowsLeft(app: TestApp): Promise<number> {
  const [row] = await app.prisma.$queryRaw<{ rows: number }[]>`
    SELECT ((SELECT count(*) FROM job_statuses) + (SELECT count(*) FROM task_chunks))::int AS rows`;
  return row!.rows;
}

export const sleepJob = (total = 1, more: object = {}) => ({
  type: 'demo.sleep',
  tasks: Array.from({ length: total }, (_, n) => ({ note: `n${n}` })),
  ...more,
});

/** Submits a job that stays as it is. @returns its id */
export async function submitted(
  { app, user }: Pick<Served, 'app' | 'user'>,
  more: object = {},
): Promise<string> {
  const answer = await app.post(JOBS, user, sleepJob(1, more));
  expect(answer.status).toBe(202);
  return answer.body.id as string;
}

export const authorizationOf = (user: TestUser): string =>
  `Basic ${Buffer.from(`${user.email}:${PASSWORD}`).toString('base64')}`;

export interface RawAnswer {
  readonly status: number;
  readonly head: string;
  readonly body: string;
}

/** Sends these bytes as they are, and reads until the server closes; for what fetch would not send. */
export async function raw(
  origin: string,
  request: string | Buffer,
  { thenClose = false } = {},
): Promise<RawAnswer> {
  const { hostname, port } = new URL(origin);
  const socket = connect(Number(port), hostname);
  if (thenClose) socket.end(request);
  else socket.write(request);
  const answer = await text(socket);
  const end = answer.indexOf('\r\n\r\n');
  return {
    status: Number(answer.split(' ', 2)[1]),
    head: answer.slice(0, end),
    body: answer.slice(end + 4),
  };
}

/** A raw GET that ends its connection. */
export const rawGet = (
  target: string,
  user: TestUser,
  headers: readonly string[] = ['Host: localhost'],
): string =>
  [
    `GET ${target} HTTP/1.1`,
    ...headers,
    `Authorization: ${authorizationOf(user)}`,
    'Connection: close',
    '',
    '',
  ].join('\r\n');
