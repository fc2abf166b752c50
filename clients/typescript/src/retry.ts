import { ConnectionError, type MusherError } from "./errors.js";

/** How often and how long a call is repeated. */
export interface Retry {
  /** How often it is made at most; 1 repeats nothing. */
  attempts: number;
  /** A repetition begins no later than this after the call did, in milliseconds. */
  withinMs: number;
  /** The wait after the first failure, in milliseconds; each further one is twice as long. */
  firstWaitMs: number;
  /** The longest wait where the server names none, in milliseconds. */
  longestWaitMs: number;
}

/** Enough for a server that starts again, and not so long that a person thinks that nothing happens. */
export const RETRY: Retry = { attempts: 8, withinMs: 60_000, firstWaitMs: 250, longestWaitMs: 10_000 };

/** Clients that lost their server together should not all come back together. */
const JITTER = 0.25;

/** The wait after so many failures in a row before this one; `random` is from 0 to 1. */
export function backoff(firstMs: number, longestMs: number, before: number, random: number): number {
  // Doubling further than 2^16 says nothing any more.
  const wait = Math.min(firstMs * 2 ** Math.min(before, 16), longestMs);
  return wait * (1 + JITTER * random);
}

/**
 * How long to wait before a call is made again; null where it is not. `made` attempts failed, the first one began
 * `elapsedMs` ago.
 */
export function nextAttempt(
  retry: Retry,
  error: MusherError,
  made: number,
  elapsedMs: number,
  random: number,
): number | null {
  const own = backoff(retry.firstWaitMs, retry.longestWaitMs, made - 1, random);
  const wait = Math.max(own, error.retryAfterMs ?? 0);
  return passes(error) && made < retry.attempts && elapsedMs + wait <= retry.withinMs ? wait : null;
}

function passes(error: MusherError): boolean {
  // What the request before this one asked for is still being done.
  if (error instanceof ConnectionError || error.code === "idempotency_in_flight") {
    return true;
  }
  return (error.status === 429 || error.status === 503) && error.retryAfterMs !== null;
}
