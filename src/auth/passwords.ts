import { hash, verify } from '@node-rs/argon2';
import { randomBytes } from 'node:crypto';

/** argon2id (the library's default) at OWASP's setting; 6 ms and 19 MiB a run. */
const ARGON2ID = { memoryCost: 19_456, timeCost: 2, parallelism: 1 };

/** RFC 8265: what one keyboard composes and another does not is the same password. */
const canonical = (password: string): string => password.normalize('NFC');

/** @returns the PHC string to store */
export function hashPassword(password: string): Promise<string> {
  return hash(canonical(password), ARGON2ID);
}

/** @returns 120 random bits in 20 characters that need no quoting */
export function generatePassword(): string {
  return randomBytes(15).toString('base64url');
}

/** Compares passwords, at the same cost whether or not there is something to compare with. */
export class PasswordVerifier {
  #verifications = 0;

  private constructor(private readonly dummyHash: string) {}

  static async create(): Promise<PasswordVerifier> {
    return new PasswordVerifier(await hashPassword(generatePassword()));
  }

  /** How many argon2 runs this process has paid for so far. */
  get verifications(): number {
    return this.#verifications;
  }

  /** @param storedHash null where there is no such user, or one without a password: runs argon2 all the same, and is false */
  async matches(storedHash: string | null, password: string): Promise<boolean> {
    const right = await verify(storedHash ?? this.dummyHash, canonical(password));
    this.#verifications += 1;
    return right && storedHash !== null;
  }
}
