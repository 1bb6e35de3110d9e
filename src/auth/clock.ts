/** In-process time, in milliseconds that never run backwards. Tests turn it; the service uses `performance`. */
export interface Clock {
  now(): number;
}

/** The name under which Nest hands out the clock. */
export const CLOCK = Symbol('CLOCK');
