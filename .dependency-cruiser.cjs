/**
 * Which way the arrows go: a room imports only from the floors below it. src/app.module.ts, src/boot.ts and src/main.ts are the
 * roof: they know every room.
 */
const FLOORS = [
  ['health', 'openapi', 'demo', 'tickets', 'webhooks', 'handlers', 'logging', 'pages', 'metrics', 'cli'],
  ['workers'],
  ['jobs'],
  ['auth'],
  ['database'],
  ['http'],
  ['config'],
];

const upward = FLOORS.flatMap((rooms, floor) =>
  rooms.map((room) => {
    const forbidden = FLOORS.slice(0, floor + 1)
      .flat()
      .filter((other) => other !== room);
    return {
      name: `${room}-looks-down-only`,
      severity: 'error',
      comment: `src/${room} imports only from the floors below it`,
      from: { path: `^src/${room}/` },
      to: { path: `^src/(${[...forbidden].join('|')})/` },
    };
  }),
);

module.exports = {
  forbidden: [
    ...upward,
    {
      name: 'handlers-know-the-task-types-only',
      severity: 'error',
      comment: 'A handler is written against src/jobs/task-handler.ts, as one outside this repository is',
      from: { path: '\\.handlers\\.ts$' },
      to: { path: '^src/(jobs|workers|auth|http)/', pathNot: '^src/jobs/task-handler\\.ts$' },
    },
    {
      name: 'the-ground-stands-on-nothing',
      severity: 'error',
      from: { path: '^src/(errors|sql-errors|outage|happenings)\\.ts$' },
      to: { path: '^src/', pathNot: '^src/(errors|sql-errors)\\.ts$' },
    },
    {
      name: 'the-client-stands-alone',
      severity: 'error',
      comment: 'src/client runs in browsers too, so it knows nothing of the service and nothing of Node',
      from: { path: '^src/client/' },
      to: { path: '^src/', pathNot: '^src/client/' },
    },
    {
      name: 'the-client-runs-in-browsers',
      severity: 'error',
      from: { path: '^src/client/' },
      to: { dependencyTypes: ['core'] },
    },
    {
      name: 'the-command-line-is-a-client',
      severity: 'error',
      comment:
        'src/cli calls the API; what the operator does to the database is in src/auth and src/database',
      from: { path: '^src/cli/' },
      to: { path: '^src/(jobs|workers|http)/' },
    },
    {
      name: 'the-service-is-not-its-own-client',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/(client|cli)/' },
      to: { path: '^src/client/' },
    },
    { name: 'no-circles', severity: 'error', from: {}, to: { circular: true } },
    {
      name: 'nobody-imports-the-roof',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/(main|boot)\\.ts$' },
      to: { path: '^src/(main|boot|app\\.module)\\.ts$' },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '^src/database/generated/' },
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
  },
};
