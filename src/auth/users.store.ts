import type { Prisma, PrismaClient } from '../database/generated/client.js';
import { DomainError } from '../errors.js';
import { parseInput } from '../http/validate.js';
import { sqlState } from '../sql-errors.js';
import { generateToken, tokenHash } from './api-token.js';
import { hashPassword } from './passwords.js';
import { newUserSchema, passwordSchema, type NewUser } from './user.schemas.js';

/** Writes accounts, users and tokens. A user is named by email, in any case. */
export class UsersStore {
  constructor(private readonly prisma: PrismaClient) {}

  /**
   * Makes the user, and the account where there is none of that name.
   * @throws DomainError RecordInvalid: a field cannot be used, or the email is taken
   */
  async add(input: NewUser): Promise<void> {
    const user = parseInput(newUserSchema, input);
    const passwordHash = await hashPassword(user.password);
    try {
      await this.prisma.$transaction((transaction) => insertUser(transaction, { ...user, passwordHash }));
    } catch (error) {
      throw isDuplicate(error)
        ? new DomainError('RecordInvalid', `There is already a user ${user.email}`)
        : error;
    }
  }

  /** @throws DomainError RecordInvalid, RecordNotFound */
  async setPassword(email: string, password: string): Promise<void> {
    const passwordHash = await hashPassword(parseInput(passwordSchema, password, 'password'));
    const { count } = await this.prisma.user.updateMany({
      where: { email: email.toLowerCase() },
      data: { passwordHash },
    });
    if (count === 0) throw unknownUser(email);
  }

  /** Refuses all of the user's credentials from now on, where they are not remembered. Disabling twice keeps the first time.
   * @throws DomainError RecordNotFound */
  async disable(email: string): Promise<void> {
    const count = await this.prisma.$executeRaw`
      UPDATE users SET disabled_at = coalesce(disabled_at, clock_timestamp()) WHERE email = ${email.toLowerCase()}`;
    if (count === 0) throw unknownUser(email);
  }

  /** @throws DomainError RecordNotFound */
  async enable(email: string): Promise<void> {
    const { count } = await this.prisma.user.updateMany({
      where: { email: email.toLowerCase() },
      data: { disabledAt: null },
    });
    if (count === 0) throw unknownUser(email);
  }

  /**
   * @param name what the token is for, for people
   * @returns the token: it cannot be read again
   * @throws DomainError RecordNotFound; Forbidden when the user is disabled
   */
  async createToken(email: string, name: string): Promise<string> {
    const user = await this.prisma.user.findUnique({
      where: { email: email.toLowerCase() },
      select: { id: true, disabledAt: true },
    });
    if (!user) throw unknownUser(email);
    if (user.disabledAt) throw new DomainError('Forbidden', `The user ${email.toLowerCase()} is disabled`);
    const token = generateToken();
    await this.prisma.apiToken.create({ data: { userId: user.id, hash: tokenHash(token), name } });
    return token;
  }

  /**
   * Refuses every token that the user has from now on, where it is not remembered.
   * @returns how many there were
   * @throws DomainError RecordNotFound
   */
  async revokeTokens(email: string): Promise<number> {
    const user = await this.prisma.user.findUnique({
      where: { email: email.toLowerCase() },
      select: { id: true },
    });
    if (!user) throw unknownUser(email);
    return this.prisma.$executeRaw`
      UPDATE api_tokens SET revoked_at = clock_timestamp() WHERE user_id = ${user.id} AND revoked_at IS NULL`;
  }
}

/** The one place that inserts a user. */
export async function insertUser(
  transaction: Prisma.TransactionClient,
  user: Omit<NewUser, 'password'> & { passwordHash: string },
): Promise<void> {
  const { id } = await transaction.account.upsert({
    where: { subdomain: user.account },
    create: { subdomain: user.account },
    update: {},
    select: { id: true },
  });
  await transaction.user.create({
    data: { accountId: id, email: user.email, role: user.role, passwordHash: user.passwordHash },
  });
}

const isDuplicate = (error: unknown): boolean =>
  sqlState(error) === '23505' || (error as { code?: unknown } | null)?.code === 'P2002';

const unknownUser = (email: string): DomainError =>
  new DomainError('RecordNotFound', `There is no user ${email.toLowerCase()}`);
