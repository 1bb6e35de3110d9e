import type { PrismaClient } from '../database/generated/client.js';

export interface AccountRow {
  readonly account: string;
  readonly users: number;
  readonly workingJobs: number;
  readonly createdAt: Date;
}

export interface UserRow {
  readonly email: string;
  readonly account: string;
  readonly role: string;
  /** Tokens that are taken. */
  readonly tokens: number;
  readonly disabledAt: Date | null;
}

export interface TokenRow {
  readonly email: string;
  readonly name: string;
  readonly createdAt: Date;
  readonly revokedAt: Date | null;
}

/** Who there is, for the operator: of all accounts, and nothing secret. */
export class DirectoryStore {
  constructor(private readonly prisma: PrismaClient) {}

  accounts(): Promise<AccountRow[]> {
    return this.prisma.$queryRaw`
      SELECT subdomain AS account, created_at AS "createdAt",
             (SELECT count(*) FROM users u WHERE u.account_id = a.id)::int AS users,
             (SELECT count(*) FROM job_statuses j WHERE j.account_id = a.id AND j.status = 'working')::int AS "workingJobs"
        FROM accounts a ORDER BY subdomain`;
  }

  /** @param account all, where it is null */
  users(account: string | null): Promise<UserRow[]> {
    return this.prisma.$queryRaw`
      SELECT u.email, a.subdomain AS account, u.role, u.disabled_at AS "disabledAt",
             (SELECT count(*) FROM api_tokens t WHERE t.user_id = u.id AND t.revoked_at IS NULL)::int AS tokens
        FROM users u JOIN accounts a ON a.id = u.account_id
       WHERE ${account}::text IS NULL OR a.subdomain = ${account} ORDER BY a.subdomain, u.email`;
  }

  /** @param email of all users, where it is null */
  tokens(email: string | null): Promise<TokenRow[]> {
    return this.prisma.$queryRaw`
      SELECT u.email, t.name, t.created_at AS "createdAt", t.revoked_at AS "revokedAt"
        FROM api_tokens t JOIN users u ON u.id = t.user_id
       WHERE ${email}::text IS NULL OR u.email = lower(${email}) ORDER BY u.email, t.created_at`;
  }
}
