import { createClient, TallyError } from 'tally/client';
import { sessionEnded } from '../session/session.js';
import type { TaskType, Worker } from './types.js';

/** The typed client, called as whoever is signed in. An answer 401 means that the session is over. */
export const client = createClient({
  baseUrl: '',
  fetch: async (request) => {
    try {
      const response = await fetch(request);
      if (response.status === 401) sessionEnded();
      return response;
    } catch (error) {
      request.signal.throwIfAborted();
      throw TallyError.unreachable(error);
    }
  },
});

export const workers = async (): Promise<readonly Worker[]> =>
  (await client.api.GET('/api/v2/workers.json')).data?.workers ?? [];

let known: Promise<readonly TaskType[]> | undefined;

/** The types that may be submitted. They are the same until the service is started again, so they are read once a visit. */
export function taskTypes(): Promise<readonly TaskType[]> {
  known ??= readTaskTypes();
  known.catch(() => (known = undefined));
  return known;
}

const readTaskTypes = async (): Promise<readonly TaskType[]> =>
  (await client.api.GET('/api/v2/task_types.json')).data?.task_types ?? [];
