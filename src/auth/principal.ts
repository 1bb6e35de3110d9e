/** Who is asking: the user behind a request's credentials. */
export interface Principal {
  readonly userId: number;
  readonly accountId: number;
  /** The account's name, the seed's subdomain. */
  readonly account: string;
  readonly email: string;
  readonly role: 'admin' | 'agent';
}
