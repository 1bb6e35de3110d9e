import { z } from 'zod';
import { EMAIL_CHARACTERS_MAX } from './authorization-header.js';

/** The account of the first admin, and of whoever is added without naming one. */
export const DEFAULT_ACCOUNT = 'main';

const TOO_LONG = `expected an email address of at most ${EMAIL_CHARACTERS_MAX} characters`;

export const emailSchema = z
  .email('expected an email address')
  .max(EMAIL_CHARACTERS_MAX, TOO_LONG)
  .toLowerCase();

export const roleSchema = z.enum(['admin', 'agent'], 'expected admin or agent');

/** The same rule as the CHECK subdomain_is_a_label. */
export const subdomainSchema = z
  .string()
  .regex(
    /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/,
    'expected at most 63 lower-case letters, digits and inner hyphens',
  );

/** HTTP Basic cannot carry control characters (RFC 7617). */
export const passwordSchema = z
  .string()
  .min(8, 'expected at least 8 characters')
  .max(1000, 'expected at most 1000 characters')
  .regex(/^[^\p{Cc}\p{Cs}]*$/u, 'expected one line without control characters and lone surrogates');

export const newUserSchema = z.object({
  email: emailSchema,
  account: subdomainSchema,
  role: roleSchema,
  password: passwordSchema,
});

export type NewUser = z.infer<typeof newUserSchema>;
