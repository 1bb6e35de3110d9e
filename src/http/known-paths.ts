/** Which methods each path of the service has, so that a known path asked with another one is a 405 that names them. */
export class KnownPaths {
  readonly #routes: { readonly path: RegExp; readonly methods: readonly string[] }[] = [];

  /** @param pattern as the router writes it: `/api/v2/jobs/:id` */
  add(pattern: string, methods: string | readonly string[]): void {
    // A route for every path would make every path a known one.
    if (pattern === '*' || pattern === '/*') return;
    const source = pattern
      .split('/')
      .map((segment) =>
        segment.startsWith(':') ? '[^/]+' : segment.replace(/[^\w-]/g, '\\$&').replace('\\*', '.*'),
      )
      .join('/');
    this.#routes.push({
      path: new RegExp(`^${source.replace(/\/$/, '')}/?$`),
      methods: typeof methods === 'string' ? [methods] : methods,
    });
  }

  /** @param path without a query. @returns in alphabetical order; none when nothing is there */
  methodsOf(path: string): string[] {
    const found = this.#routes.filter((route) => route.path.test(path)).flatMap((route) => route.methods);
    return [...new Set(found)].sort();
  }
}
