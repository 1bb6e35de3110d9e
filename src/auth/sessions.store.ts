import { Injectable } from '@nestjs/common';
import { randomBytes } from 'node:crypto';
import { PrismaService } from '../database/prisma.service.js';
import { tokenHash } from './api-token.js';
import type { PasswordRow } from './credentials.store.js';

/** Writes sessions. They are read where all credentials are (CredentialsStore). */
@Injectable()
export class SessionsStore {
  constructor(private readonly prisma: PrismaService) {}

  /**
   * @param user whose password was right
   * @returns 256 random bits that stand for the session; null when the user was disabled or got another password meanwhile. The
   *   row is locked until the session is there: whoever changes it then ends this session with the others
   */
  async begin({ id, passwordHash }: PasswordRow, seconds: number): Promise<string | null> {
    const token = randomBytes(32).toString('base64url');
    const count = await this.prisma.$executeRaw`
      INSERT INTO sessions (hash, user_id, expires_at)
      SELECT ${tokenHash(token)}, id, clock_timestamp() + ${seconds} * interval '1 second' FROM users
       WHERE id = ${id} AND disabled_at IS NULL AND password_hash = ${passwordHash} FOR SHARE`;
    return count === 1 ? token : null;
  }

  async end(token: string): Promise<void> {
    await this.prisma.session.deleteMany({ where: { hash: tokenHash(token) } });
  }

  /**
   * Removes what has expired, and of this user's all but the newest `max`. Sessions come into being by signing in alone, so a sweep
   * with each keeps the table small. It passes over what another one holds, so two never wait for each other.
   */
  async sweep(userId: number, max: number): Promise<void> {
    await this.prisma.$executeRaw`
      DELETE FROM sessions WHERE hash IN (
        SELECT hash FROM sessions
         WHERE expires_at <= clock_timestamp()
            OR hash IN (SELECT hash FROM sessions WHERE user_id = ${userId} ORDER BY created_at DESC, hash OFFSET ${max})
         LIMIT 1000 FOR UPDATE SKIP LOCKED)`;
  }
}
