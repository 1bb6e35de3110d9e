/** Tests run against real Postgres, which test/support/global-setup.mjs starts once for all of them. */
export default {
  roots: ['<rootDir>/test'],
  testMatch: ['**/*.test.ts'],
  testEnvironment: 'node',
  // Jest's own choice on two cores is one worker; the tests wait as often as they compute. Three took 305 s, four 278.
  maxWorkers: 4,
  // A file leaves its modules behind, 50 MB where it brings the service, and each later promise is slower by a hook: after 60
  // files the same test took twice as long as alone. A worker that has grown so far is replaced.
  workerIdleMemoryLimit: '300MB',
  testSequencer: '<rootDir>/test/support/sequencer.mjs',
  extensionsToTreatAsEsm: ['.ts'],
  moduleNameMapper: { '^(\\.{1,2}/.*)\\.js$': '$1' },
  transform: {
    '^.+\\.ts$': [
      '@swc/jest',
      {
        jsc: {
          target: 'es2023',
          parser: { syntax: 'typescript', decorators: true },
          transform: { legacyDecorator: true, decoratorMetadata: true },
        },
        module: { type: 'es6' },
      },
    ],
  },
  globalSetup: '<rootDir>/test/support/global-setup.mjs',
  globalTeardown: '<rootDir>/test/support/global-teardown.mjs',
  testTimeout: 30_000,
};
