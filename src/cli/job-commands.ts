import { Argument, Option, type Command } from 'commander';
import type { Job, JobFilter, TallyClient } from '../client/client.js';
import { wholeNumber } from './exit.js';
import { watchJob } from './progress.js';
import { FORMATS, readTasks } from './read-tasks.js';
import { facts, print, printable, printJson, printStream, say, table } from './terminal.js';
import { jobOptionsOf, submitOptions, type SubmitFlags } from './submit-options.js';

/** What the commands need of the process they run in. */
export interface Session {
  connect(): Promise<TallyClient>;
  /** Ends the process with this code, once all is written. */
  exitWith(code: number): void;
}

interface Json {
  readonly json?: boolean;
}

const JSON_FLAG = ['--json', 'print JSON, for programs'] as const;
const ID = new Argument('<id>', 'the id of a job, 32 hex digits');

export function addJobCommands(program: Command, session: Session): void {
  addSubmit(program, session);
  addWatch(program, session);
  addList(program, session);
  addShow(program, session);
  addResults(program, session);
  addControl(program, session);
}

function addSubmit(program: Command, session: Session): void {
  const command = program
    .command('submit <type> <file>')
    .description(
      'submit a job: a task for each row, element or line of a CSV, JSON or NDJSON file ("-" is standard input)',
    )
    .addOption(new Option('--format <format>', 'of the file; else as its name ends').choices(FORMATS))
    .option('--strings', 'cells of a CSV stay strings, whatever they look like')
    .option('--watch', 'wait for the end of the job, and show its progress')
    .option(...JSON_FLAG);
  for (const option of submitOptions()) command.addOption(option);
  command
    .addHelpText(
      'after',
      `
Examples:
  tally submit tickets.update updates.csv --name "Solve the old ones" --watch
  tally submit tickets.create new.json --priority 10 --max-failures 100
  zcat tickets.ndjson.gz | tally submit tickets.create - --format ndjson --json | jq -r .id`,
    )
    .action(async (type: string, file: string, flags: SubmitFlags & Json) => {
      const { format, strings, watch, json = false, idempotencyKey } = flags;
      const client = await session.connect();
      const tasks = await readTasks(file, { ...(format && { format }), ...(strings && { strings }) });
      const job = await client
        .submitStream(type, tasks.body, { ...jobOptionsOf(flags), ...(idempotencyKey && { idempotencyKey }) })
        .catch((error: unknown) => {
          throw tasks.problem() ?? error;
        });
      if (!watch) await (json ? printJson(job) : print(job.id));
      else {
        if (!json) say(`Job ${job.id} of ${job.total} tasks`);
        session.exitWith(await watchJob(client, job.id, json));
      }
    });
}

function addWatch(program: Command, session: Session): void {
  program
    .command('watch')
    .addArgument(ID)
    .description('wait for the end of a job, and show its progress')
    .option(...JSON_FLAG)
    .addHelpText(
      'after',
      `
Examples:
  tally watch 01a20a673e7f7694b5f6e4d8ff848aa0
  tally watch 01a20a673e7f7694b5f6e4d8ff848aa0 --json | tail -n 1`,
    )
    .action(async (id: string, { json = false }: Json) => {
      session.exitWith(await watchJob(await session.connect(), id, json));
    });
}

function addList(program: Command, session: Session): void {
  program
    .command('list')
    .description('list jobs, the newest first')
    .addOption(
      new Option('--status <status>', 'only these').choices(['working', 'completed', 'failed', 'killed']),
    )
    .option('--type <type>', 'only of this task type')
    .option('--name <name>', 'only of this name')
    .option('--created-by <email>', 'only what this person has submitted')
    .option('--limit <jobs>', 'so many at most', wholeNumber(1, 1_000_000), 20)
    .option(...JSON_FLAG)
    .addHelpText(
      'after',
      `
Examples:
  tally list --status working
  tally list --type tickets.update --limit 1000 --json | jq .name`,
    )
    .action(async ({ json, limit, ...filter }: JobFilter & Json & { limit: number }) => {
      const jobs = await firstJobs(await session.connect(), filter, limit);
      if (json) for (const job of jobs) await printJson(job);
      else if (jobs.length > 0)
        await print(table(['ID', 'STATUS', 'PROGRESS', 'FAILED', 'TYPE', 'NAME'], jobs.map(rowOf)));
    });
}

async function firstJobs(client: TallyClient, filter: JobFilter, limit: number): Promise<Job[]> {
  const jobs: Job[] = [];
  let after: string | null = null;
  do {
    const size = Math.min(100, limit - jobs.length);
    const page = await client.jobs({ ...filter, size, ...(after !== null && { after }) });
    jobs.push(...page.items);
    after = page.meta.has_more ? page.meta.after_cursor : null;
  } while (after !== null && jobs.length < limit);
  return jobs;
}

const rowOf = ({ id, status, paused, progress, total, counts, type, name }: Job): string[] => [
  id,
  paused && status === 'working' ? 'paused' : status,
  `${progress}/${total}`,
  String(counts.failed),
  type,
  printable(name ?? ''),
];

function addShow(program: Command, session: Session): void {
  program
    .command('show')
    .addArgument(ID)
    .description('show all there is to know of a job but its results')
    .option(...JSON_FLAG)
    .addHelpText('after', '\nExample:\n  tally show 01a20a673e7f7694b5f6e4d8ff848aa0')
    .action(async (id: string, { json = false }: Json) =>
      printJob(await (await session.connect()).job(id), json),
    );
}

const printJob = (job: Job, json: boolean): Promise<void> =>
  json ? printJson(job) : print(facts(Object.entries(job).filter(([, value]) => value !== null)));

function addResults(program: Command, session: Session): void {
  program
    .command('results')
    .addArgument(ID)
    .description('print what each task has become')
    .option('--failed', 'only of the tasks that failed, with their inputs')
    .addOption(new Option('--csv', 'as CSV').conflicts(['ndjson', 'json']))
    .option('--ndjson', 'as JSON, a line each (the default; --json is the same)')
    .option(...JSON_FLAG)
    .addHelpText(
      'after',
      `
Examples:
  tally results 01a20a673e7f7694b5f6e4d8ff848aa0 --failed --csv > failed.csv
  tally results 01a20a673e7f7694b5f6e4d8ff848aa0 --failed | jq -c .task`,
    )
    .action(async (id: string, { failed, csv }: { failed?: boolean; csv?: boolean }) => {
      const client = await session.connect();
      const only = failed ? { success: false } : {};
      await printStream(await client.exportResults(id, csv ? 'csv' : 'ndjson', only));
    });
}

const CONTROL = {
  kill: {
    does: 'stop a job for good',
    call: (client: TallyClient, id: string) => client.kill(id),
    done: 'Killed',
  },
  pause: {
    does: 'begin no new tasks of a job',
    call: (client: TallyClient, id: string) => client.pause(id),
    done: 'Paused',
  },
  resume: {
    does: 'go on with a paused job',
    call: (client: TallyClient, id: string) => client.resume(id),
    done: 'Resumed',
  },
} as const;

function addControl(program: Command, session: Session): void {
  for (const [name, { does, call, done }] of Object.entries(CONTROL))
    program
      .command(name)
      .addArgument(ID)
      .description(does)
      .option(...JSON_FLAG)
      .addHelpText('after', `\nExample:\n  tally ${name} 01a20a673e7f7694b5f6e4d8ff848aa0`)
      .action(async (id: string, { json }: Json) => {
        const job = await call(await session.connect(), id);
        if (json) await printJson(job);
        else say(`${done} at ${job.progress} of ${job.total} tasks`);
      });
  program
    .command('retry')
    .addArgument(ID)
    .description('make a new job of every task that did not succeed')
    .option('--watch', 'wait for the end of the new job, and show its progress')
    .option(...JSON_FLAG)
    .addHelpText('after', '\nExample:\n  tally retry 01a20a673e7f7694b5f6e4d8ff848aa0 --watch')
    .action(async (id: string, { json = false, watch }: Json & { watch?: boolean }) => {
      const client = await session.connect();
      const job = await client.retry(id);
      if (watch) session.exitWith(await watchJob(client, job.id, json));
      else await (json ? printJson(job) : print(job.id));
    });
}
