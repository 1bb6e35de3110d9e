import { insertUser } from '../../src/auth/users.store.js';
import { hashPassword } from '../../src/auth/passwords.js';
import { PrismaService } from '../../src/database/prisma.service.js';
import { createClient, type Submission, type TallyClient } from '../../src/client/client.js';
import { ADMIN } from '../../test/support/service.js';

/** A help desk on an ordinary day: who works there, and the jobs that they have submitted. */

const PEOPLE = ['ana@example.com', 'ben@example.com', 'chioma@example.com'] as const;
const STREETS = ['Rue de Rivoli', 'Marienstraße', 'Keizersgracht', 'Calle Mayor', 'Via Garibaldi', 'Nyhavn'];
const CITIES = ['Paris', 'Berlin', 'Amsterdam', 'Madrid', 'Torino', 'København'];

const many = <T>(count: number, of: (at: number) => T): T[] =>
  Array.from({ length: count }, (_, at) => of(at));
const one = <T>(values: readonly T[], at: number): T => values[at % values.length] as T;

const addresses = (count: number, from: number) =>
  many(count, (at) => ({
    id: from + at,
    address: `${1 + ((at * 7) % 180)} ${one(STREETS, at)}, ${one(CITIES, at * 5 + 1)}`,
  }));

const tickets = (count: number) =>
  many(count, (at) => ({
    title: `${one(['Printer', 'Screen', 'Badge reader', 'Coffee machine'], at)} on floor ${1 + (at % 9)} ${one(['is out of order', 'makes a noise', 'needs a spare part'], at)}`,
    priority: one(['low', 'normal', 'high', 'urgent'], at),
    tags: ['import', one(['hardware', 'building'], at)],
  }));

export interface Day {
  /** Of the job that runs while the pictures are taken. */
  readonly running: string;
  /** Of one that has ended with failures. */
  readonly withFailures: string;
}

export async function begin(origin: string, databaseUrl: string): Promise<Day> {
  const [ana, ben, chioma] = await clients(origin, databaseUrl);
  const submit = async (client: TallyClient, job: Submission) => (await client.submit(job)).id;

  await ended(
    ana,
    await submit(ana, {
      type: 'tickets.create',
      name: 'Import tickets from the old help desk',
      tasks: tickets(2_400),
    }),
  );
  const updates = many(640, (at) => ({ id: at % 16 === 3 ? 90_000 + at : at + 1, status: 'solved' }));
  await ended(
    ben,
    await submit(ben, { type: 'tickets.update', name: 'Solve what was answered in October', tasks: updates }),
  );
  const withFailures = await submit(chioma, {
    type: 'addresses.geocode',
    name: 'Locate the branches',
    tasks: addresses(420, 5_000),
    metadata: { source: 'branches.csv', ticket: 4711 },
  });
  const strict = await submit(ben, {
    type: 'addresses.geocode',
    name: 'Locate the suppliers',
    tasks: addresses(900, 7_000),
    max_failures: 5,
  });
  await Promise.all([ended(chioma, withFailures), ended(ben, strict)]);
  const killed = await submit(ana, {
    type: 'addresses.geocode',
    name: 'Locate customers, wrong file',
    tasks: addresses(5_000, 20_000),
  });
  await moving(ana, killed, 300);
  await ana.kill(killed);
  const contacts = many(3_200, (at) => ({ email: `contact-${at}@example.com`, name: `Contact ${at}` }));
  await ended(
    ana,
    await submit(ana, { type: 'contacts.import', name: 'Import contacts from the fair', tasks: contacts }),
  );
  const paused = await submit(chioma, {
    type: 'addresses.geocode',
    name: 'Locate the archive',
    tasks: addresses(1_800, 60_000),
  });
  await chioma.pause(paused);
  const running = await submit(ana, {
    type: 'addresses.geocode',
    name: 'Locate all customers',
    tasks: addresses(24_000, 100_000),
    priority: 10,
    max_attempts: 5,
    metadata: { source: 'customers.csv', requested_by: 'Sales' },
  });
  await submit(ben, {
    type: 'addresses.geocode',
    name: 'Locate the leads of this week',
    tasks: addresses(3_000, 200_000),
  });
  await submit(chioma, { type: 'addresses.geocode', tasks: addresses(750, 300_000) });
  return { running, withFailures };
}

async function clients(
  origin: string,
  databaseUrl: string,
): Promise<[TallyClient, TallyClient, TallyClient]> {
  const prisma = new PrismaService(databaseUrl);
  const passwordHash = await hashPassword(ADMIN.password);
  for (const email of PEOPLE)
    await insertUser(prisma, { email, account: 'main', role: 'admin', passwordHash });
  await prisma.onModuleDestroy();
  const clientOf = (email: string) =>
    createClient({ baseUrl: origin, credentials: { email, password: ADMIN.password } });
  return [clientOf(PEOPLE[0]), clientOf(PEOPLE[1]), clientOf(PEOPLE[2])];
}

const ended = (client: TallyClient, id: string) => client.waitForJob(id, { pollSeconds: 1 });

async function moving(client: TallyClient, id: string, progress: number): Promise<void> {
  const enough = new AbortController();
  const onProgress = (status: { readonly progress: number }) => {
    if (status.progress >= progress) enough.abort();
  };
  await client
    .waitForJob(id, { pollSeconds: 1, signal: enough.signal, onProgress })
    .catch((error: unknown) => {
      if (!enough.signal.aborted) throw error;
    });
}
