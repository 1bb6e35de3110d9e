import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { QuickLane } from '../../src/http/quick-lane.js';

/** Holds answers of a service against the OpenAPI document that this very service gives of itself. */

interface Header {
  readonly required?: boolean;
  readonly schema: { readonly const?: string; readonly pattern?: string };
}

interface Response {
  readonly $ref?: string;
  readonly headers?: Readonly<Record<string, Header & { readonly $ref?: string }>>;
  readonly content?: Readonly<Record<string, object>>;
}

export interface ApiDocument {
  readonly paths: Readonly<Record<string, Readonly<Record<string, { responses: Record<string, Response> }>>>>;
}

export interface GivenAnswer {
  readonly method: string;
  /** The route as the router has it; undefined: there is none. */
  readonly route: string | undefined;
  readonly status: number;
  readonly header: (name: string) => string | undefined;
  /** Undefined: a stream, whose text is not looked at. */
  readonly body: string | undefined;
}

/** `/api/v2/jobs/{id}.json` is the route `/api/v2/jobs/:id`. */
const routeOf = (path: string): string =>
  path.replace(/^(\/api\/.*)\.json$/, '$1').replace(/\{(\w+)\}/g, ':$1');

export class ApiContract {
  readonly #ajv = new Ajv2020({ strict: false, allErrors: false });
  readonly #paths: ReadonlyMap<string, string>;

  constructor(readonly document: ApiDocument) {
    addFormats.default(this.#ajv);
    this.#ajv.addSchema(document, 'api');
    this.#paths = new Map(Object.keys(document.paths).map((path) => [routeOf(path), path]));
  }

  /** What the router would say of a path, as far as it is documented. */
  routeOf(path: string): string | undefined {
    const asked = path.replace(/\?.*$/, '').replace(/^(\/api\/.*)\.json$/, '$1');
    const routes = [...this.#paths.keys()].filter((route) => {
      const pattern = route.replace(/[.]/g, '\\.').replace(/:\w+/g, '[^/]+');
      return new RegExp(`^${pattern}$`).test(asked);
    });
    // `/tickets/create_many` rather than `/tickets/:id`.
    return routes.find((route) => !route.includes(':')) ?? routes[0];
  }

  /** @returns what is wrong with the answer; null when it is as documented */
  problemOf(answer: GivenAnswer): string | null {
    const path = answer.route === undefined ? undefined : this.#paths.get(answer.route);
    const method = answer.method.toLowerCase().replace('head', 'get');
    const operation = path === undefined ? undefined : this.document.paths[path]?.[method];
    if (!operation) {
      // Nothing is documented of a path or a method that is not there but the shape of the refusal.
      const isRefusal = answer.status === 404 || answer.status === 405 || answer.status === 401;
      return isRefusal ? this.#wrong(answer, this.#anyError()) : 'this route is not documented';
    }
    const at = `#/paths/${escape(path!)}/${method}/responses/${answer.status}`;
    const documented = operation.responses[answer.status];
    if (!documented) return `the status ${answer.status} is not documented`;
    const { where, response } = this.#resolved(at, documented);
    return this.#wrongHeader(answer, response) ?? this.#wrongBody(answer, where, response);
  }

  #resolved(at: string, response: Response): { where: string; response: Response } {
    if (response.$ref === undefined) return { where: at, response };
    return { where: response.$ref, response: this.#at(response.$ref) as Response };
  }

  #at(pointer: string): unknown {
    return pointer
      .split('/')
      .slice(1)
      .reduce<unknown>((value, key) => (value as Record<string, unknown>)[unescape(key)], this.document);
  }

  #wrongHeader({ header }: GivenAnswer, { headers = {} }: Response): string | null {
    for (const [name, described] of Object.entries(headers)) {
      const { required, schema } = described.$ref ? (this.#at(described.$ref) as Header) : described;
      const value = header(name);
      if (value === undefined) {
        if (required) return `the header ${name} is missing`;
      } else if (schema.const !== undefined && value !== schema.const)
        return `the header ${name} is ${value}`;
      else if (schema.pattern !== undefined && !new RegExp(schema.pattern).test(value))
        return `the header ${name} is ${value}`;
    }
    return null;
  }

  #wrongBody(answer: GivenAnswer, where: string, { content }: Response): string | null {
    if (answer.method === 'HEAD') return null;
    const type = answer.header('Content-Type')?.split(';')[0];
    if (!content) return answer.body ? 'a body is not documented' : null;
    if (type === undefined || !(type in content)) return `the content type ${type} is not documented`;
    if (answer.body === undefined || type !== 'application/json') return null;
    return this.#wrong(answer, this.#schema(`${where}/content/${escape(type)}/schema`));
  }

  #wrong({ body }: GivenAnswer, schema: ValidateFunction): string | null {
    if (body === undefined || body === '') return null;
    if (schema(JSON.parse(body))) return null;
    const [error] = schema.errors ?? [];
    return `${error?.instancePath} ${error?.message}: ${JSON.stringify(error?.params)}`;
  }

  #schema(pointer: string): ValidateFunction {
    const id = `api${pointer}`;
    return this.#ajv.getSchema(id) ?? this.#ajv.compile({ $id: `at:${pointer}`, $ref: id });
  }

  #anyError(): ValidateFunction {
    const key = 'any-error';
    return (
      this.#ajv.getSchema(key) ??
      this.#ajv.compile({
        $id: key,
        type: 'object',
        required: ['error', 'description'],
        additionalProperties: false,
        properties: {
          error: { type: 'string', pattern: '^[A-Z][A-Za-z]+$' },
          description: { type: 'string', minLength: 3 },
        },
      })
    );
  }
}

const escape = (key: string): string => encodeURIComponent(key.replace(/~/g, '~0').replace(/\//g, '~1'));
const unescape = (key: string): string => decodeURIComponent(key).replace(/~1/g, '/').replace(/~0/g, '~');

const contracts = new Map<string, ApiContract>();

export interface WatchedContract {
  /** What was wrong so far, a line an answer. */
  readonly problems: readonly string[];
  /** What the router knows, as `GET /api/v2/jobs/:id`; each GET is a HEAD too. */
  readonly routes: readonly string[];
}

/**
 * Looks at every answer of a service as it leaves.
 * @param document of the service as JSON text, asked for at the first answer
 */
export function watchContract(instance: FastifyInstance, document: () => string): WatchedContract {
  const problems: string[] = [];
  const routes: string[] = [];
  instance.addHook('onRoute', ({ method, url }) => {
    for (const one of [method].flat()) if (one !== 'HEAD' && url !== '*') routes.push(`${one} ${url}`);
  });
  const hold = (url: string, answer: GivenAnswer): void => {
    const text = document();
    const contract = contracts.get(text) ?? new ApiContract(JSON.parse(text) as ApiDocument);
    contracts.set(text, contract);
    const problem = contract.problemOf(answer);
    if (problem === null) return;
    const what = `${answer.method} ${url.slice(0, 200)} → ${answer.status}`;
    problems.push(`${what}: ${problem}\n  ${String(answer.body).slice(0, 300)}`);
  };
  QuickLane.of(instance).onAnswer(({ request, route, status, headers, body }) =>
    hold(request.url ?? '', {
      method: 'GET',
      route,
      status,
      header: (name) => valueOf(headers, name),
      body: body?.toString() ?? '',
    }),
  );
  instance.addHook('onSend', (request: FastifyRequest, reply: FastifyReply, payload: unknown, done) => {
    const body =
      typeof payload === 'string' ? payload : payload === undefined || payload === null ? '' : undefined;
    hold(request.originalUrl, {
      method: request.method,
      route: request.is404 ? undefined : request.routeOptions.url,
      status: reply.statusCode,
      header: (name) => {
        const value = reply.getHeader(name);
        return value === undefined ? undefined : String(value);
      },
      body: Buffer.isBuffer(payload) ? payload.toString() : body,
    });
    done();
  });
  return { problems, routes };
}

/** @param headers names and values in turn */
function valueOf(headers: readonly string[], name: string): string | undefined {
  const at = headers.indexOf(name.toLowerCase());
  return at < 0 ? undefined : headers[at + 1];
}
