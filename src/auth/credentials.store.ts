import { Injectable } from '@nestjs/common';
import { PrismaService } from '../database/prisma.service.js';
import { tokenHash } from './api-token.js';
import type { Principal } from './principal.js';

/** What a password is compared with; null: the user signs in with tokens only. */
export interface PasswordRow {
  readonly id: number;
  readonly passwordHash: string | null;
}

const PRINCIPAL = {
  id: true,
  accountId: true,
  email: true,
  role: true,
  account: { select: { subdomain: true } },
} as const;

interface UserRow {
  readonly id: number;
  readonly accountId: number;
  readonly email: string;
  readonly role: string;
  readonly account: { readonly subdomain: string };
}

/** Reads who may sign in. A disabled user and a revoked token are nobody here. */
@Injectable()
export class CredentialsStore {
  constructor(private readonly prisma: PrismaService) {}

  /**
   * What a password is compared with. The account is left for principal(): Prisma reads it with a second statement, which
   * an unknown email would not pay, and the time would tell.
   * @param email in lower case
   */
  findPassword(email: string): Promise<PasswordRow | null> {
    return this.prisma.user.findUnique({ where: { email }, select: { id: true, passwordHash: true } });
  }

  /** Read after the comparison, so that a user disabled meanwhile does not pass. */
  async principal(userId: number): Promise<Principal | null> {
    const user = await this.prisma.user.findUnique({
      where: { id: userId, disabledAt: null },
      select: PRINCIPAL,
    });
    return user && toPrincipal(user);
  }

  /** @param email in lower case, whose token it must be; null: whoever's it is */
  async principalOfToken(token: string, email: string | null): Promise<Principal | null> {
    const row = await this.prisma.apiToken.findUnique({
      where: {
        hash: tokenHash(token),
        revokedAt: null,
        user: { disabledAt: null, ...(email !== null && { email }) },
      },
      select: { user: { select: PRINCIPAL } },
    });
    return row && toPrincipal(row.user);
  }

  /** By Postgres's clock, which also said when the session ends. */
  async principalOfSession(token: string): Promise<Principal | null> {
    const [session] = await this.prisma.$queryRaw<{ userId: number }[]>`
      SELECT user_id AS "userId" FROM sessions WHERE hash = ${tokenHash(token)} AND expires_at > clock_timestamp()`;
    return session ? this.principal(session.userId) : null;
  }
}

const toPrincipal = (user: UserRow): Principal => ({
  userId: user.id,
  accountId: user.accountId,
  account: user.account.subdomain,
  email: user.email,
  // The database knows no third role (role_is_known); one that it learns later has the fewest rights here.
  role: user.role === 'admin' ? 'admin' : 'agent',
});
