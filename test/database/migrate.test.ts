import { test, expect } from '@jest/globals';
test('x', () => { expect(process.env['TALLY_TEST_DATABASE_URL']).toBeDefined(); });
