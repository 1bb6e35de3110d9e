import { TallyError } from 'tally/client';
import { sessionEnded } from '../session/session.js';

export interface Upload {
  readonly type: string;
  /** As the query of a streamed submission says them. */
  readonly options: Readonly<Record<string, string>>;
  readonly tasks: Blob;
  /** The same for a second try of the same submission: it makes no second job. */
  readonly key: string;
}

/**
 * Submits a job with its tasks as NDJSON. Fetch does not say how far it has sent a body, XMLHttpRequest does.
 * @returns the id of the job
 * @throws TallyError
 */
export async function upload(
  { type, options, tasks, key }: Upload,
  onFraction: (fraction: number) => void,
  signal: AbortSignal,
): Promise<string> {
  const response = await send(
    `/api/v2/jobs.json?${new URLSearchParams({ type, ...options }).toString()}`,
    { 'Content-Type': 'application/x-ndjson', 'Idempotency-Key': key },
    tasks,
    onFraction,
    signal,
  );
  if (response.status === 401) sessionEnded();
  if (!response.ok) throw await TallyError.of(response);
  const body = (await response.json()) as { id: string } | { job_status: { id: string } };
  return 'job_status' in body ? body.job_status.id : body.id;
}

function send(
  url: string,
  headers: Readonly<Record<string, string>>,
  body: Blob,
  onFraction: (fraction: number) => void,
  signal: AbortSignal,
): Promise<Response> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open('POST', url);
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.upload.onprogress = ({ loaded, total }) => onFraction(total === 0 ? 0 : loaded / total);
    request.onload = () => resolve(responseOf(request));
    request.onerror = () => reject(TallyError.unreachable(new Error('the connection was cut')));
    request.onabort = () => reject(signal.reason as Error);
    signal.addEventListener('abort', () => request.abort(), { once: true });
    request.send(body);
  });
}

function responseOf(request: XMLHttpRequest): Response {
  const retryAfter = request.getResponseHeader('Retry-After');
  return new Response(request.responseText, {
    status: request.status,
    headers: retryAfter === null ? {} : { 'Retry-After': retryAfter },
  });
}
