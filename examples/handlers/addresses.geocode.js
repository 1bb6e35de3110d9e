import { failed, succeeded, TaskHandler } from 'tally';
import { z } from 'zod';

/**
 * Enriches addresses with coordinates from a geocoding service over HTTP: one task, one call, many at once.
 *
 *   POST /api/v2/jobs.json {"type": "addresses.geocode", "tasks": [{"id": 7, "address": "10 Downing Street, London"}]}
 *
 * GEOCODER_URL is the service to ask; it is given `?q=…` and answers `{"lat": 51.5, "lon": -0.13}`, or 404.
 */

const task = z.strictObject({
  id: z.int().positive(),
  address: z.string().min(3).max(500),
});

export const GeocodeHandler = TaskHandler({ type: 'addresses.geocode', task })(
  class GeocodeHandler {
    async run({ id, address }, { signal, key }) {
      const url = new URL(process.env.GEOCODER_URL ?? 'http://127.0.0.1:8080/search');
      url.searchParams.set('q', address);
      // The key is the same in every attempt: a service that bills by call can tell a repetition.
      const response = await fetch(url, { signal, headers: { 'Idempotency-Key': key } });
      if (response.status === 404)
        return failed('AddressUnknown', `No place is known at ${address}`, { result: { id } });
      if (response.status === 429) {
        // The service says when it has time again; the task waits without holding a worker.
        const seconds = Number(response.headers.get('retry-after')) || 5;
        return failed('GeocoderBusy', 'The geocoder has too much to do', {
          retryInSeconds: seconds,
          result: { id },
        });
      }
      if (!response.ok)
        return failed('GeocoderFailed', `The geocoder answered ${response.status}`, {
          retry: true,
          result: { id },
        });
      const { lat, lon } = await response.json();
      return succeeded({ id, lat, lon, errors: '', success: true, status: 'Geocoded' });
    }
  },
);
