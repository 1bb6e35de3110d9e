import type { PrismaClient } from '../database/generated/client.js';
import { parseInput } from '../http/validate.js';
import { generatePassword, hashPassword } from './passwords.js';
import { DEFAULT_ACCOUNT, newUserSchema } from './user.schemas.js';
import { insertUser } from './users.store.js';

/** The advisory lock of this story; any constant that nothing else in the database uses. */
export const FIRST_ADMIN_LOCK = 7_414_001;

export interface FirstAdmin {
  readonly email: string;
  readonly account: string;
  /** Only when it was generated here: to be printed once. */
  readonly password?: string;
}

/**
 * Makes the account `main` and its admin when the database has no user at all.
 * @returns null when there are users; also to all but one of several processes that start at once
 * @throws DomainError RecordInvalid: the email or the password cannot be used
 */
export async function ensureFirstAdmin(
  prisma: PrismaClient,
  admin: { readonly email: string; readonly password?: string | undefined },
): Promise<FirstAdmin | null> {
  if (await hasUsers(prisma)) return null;
  const user = parseInput(newUserSchema, {
    email: admin.email,
    password: admin.password ?? generatePassword(),
    account: DEFAULT_ACCOUNT,
    role: 'admin',
  });
  const passwordHash = await hashPassword(user.password);
  const made = await prisma.$transaction(async (transaction) => {
    // Casting hides the lock's empty answer, which Prisma has no type for.
    await transaction.$queryRaw`SELECT pg_advisory_xact_lock(${FIRST_ADMIN_LOCK})::text`;
    if (await hasUsers(transaction)) return false;
    await insertUser(transaction, { ...user, passwordHash });
    return true;
  });
  if (!made) return null;
  return {
    email: user.email,
    account: user.account,
    ...(admin.password === undefined && { password: user.password }),
  };
}

async function hasUsers(prisma: Pick<PrismaClient, 'user'>): Promise<boolean> {
  return (await prisma.user.findFirst({ select: { id: true } })) !== null;
}
