import { z } from 'zod';
import type { Principal } from './principal.js';
import { emailSchema, roleSchema } from './user.schemas.js';

/** What a form sends. A password is checked by comparing it: rules for new ones are no business of a sign-in. */
export const signInSchema = z.strictObject({
  email: emailSchema,
  password: z
    .string('expected a password')
    .min(1, 'expected a password')
    .max(1000, 'expected at most 1000 characters'),
});

export const sessionAnswer = z
  .strictObject({
    user: z.strictObject({
      email: z.string(),
      role: roleSchema,
      account: z.string().describe('The name of the account, whose jobs are seen'),
    }),
  })
  .meta({ id: 'Session' });

export const sessionView = ({ email, role, account }: Principal): z.output<typeof sessionAnswer> => ({
  user: { email, role, account },
});
