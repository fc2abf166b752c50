import { query } from "./address.js";
import type { CallOptions } from "./call.js";
import { Decoder, type Item } from "./decoder.js";
import { ConnectionError, HistoryChangedError, MusherError, UnreadableError } from "./errors.js";
import { type Http, broken, json } from "./http.js";
import { Order, type Place } from "./order.js";
import { pause } from "./pause.js";
import { backoff } from "./retry.js";
import type { Cursor, Envelope, EventsQuery, EventsReply, WorkerId } from "./types.js";

/** Where a stream begins. */
export type Start =
  /** With a snapshot of what the worker is now, and every event behind it. */
  | "now"
  /** With the oldest event that is kept, mostly the first. */
  | "beginning"
  /**
   * With the event behind this place. Where its number is known, the next one has to be the one after it, and a log that
   * has lost what was seen is told from a place of another worker.
   */
  | { after: Cursor; seq?: number | null };

/** How a stream comes back when its connection is lost. All in milliseconds. */
export interface Reconnect {
  /** The wait after the first failure in a row; each further one is twice as long. */
  firstWaitMs: number;
  /** The longest wait. A server that asks for a longer one gets it. */
  longestWaitMs: number;
  /** A connection on which nothing comes for so long is lost. Servers send a sign of life every 15 s. */
  silenceMs: number;
  /** When nothing was heard for so long, over all attempts, the stream is given up; `Infinity` never gives up. */
  patienceMs: number;
}

export const RECONNECT: Reconnect = {
  firstWaitMs: 250,
  longestWaitMs: 10_000,
  // Two signs of life may be lost, and the third be late.
  silenceMs: 45_000,
  // Longer than a server takes to start again on another machine.
  patienceMs: 300_000,
};

/** A connection that is lost and will be made again. */
export interface Lost {
  /** What the server said last, for people, or how the connection failed. */
  reason: string;
  /** How many connections were lost in a row. */
  times: number;
  /** How long the stream waits before it makes another one, in milliseconds. */
  waitMs: number;
}

/** What a stream takes. */
export interface FollowOptions extends CallOptions {
  /** Where it begins; `now` when absent. */
  start?: Start;
  /** How it comes back, where that is not to be the usual way. */
  reconnect?: Partial<Reconnect>;
  /** Is told of each connection that is lost, e.g. to show it. */
  onLost?: (lost: Lost) => void;
}

/**
 * A worker's log as a stream that goes on by itself when a connection is lost, from behind the last event that was taken.
 *
 * Each event comes once, in order and without a gap; where that cannot be kept, it throws and is over. Nothing is read
 * ahead of the reader but what the connection holds. It ends behind the log's last event (`worker_stopped` or
 * `worker_cancelled`). Leaving a `for await` loop, {@link close} and the signal release the connection at once.
 */
export class EventStream implements AsyncIterableIterator<Envelope> {
  readonly #http: Http;
  readonly #path: string;
  readonly #options: FollowOptions;
  readonly #reconnect: Reconnect;
  readonly #order: Order;
  readonly #closing = new AbortController();
  readonly #events: AsyncGenerator<Envelope, void, undefined>;
  #isClosed = false;
  /** Connections that were lost in a row. */
  #times = 0;
  #heardAt = 0;
  /** What the server said last without an event. */
  #said: string | null = null;

  constructor(http: Http, path: string, worker: WorkerId, reconnect: Reconnect, options: FollowOptions) {
    const { start } = options;
    this.#http = http;
    this.#path = path;
    this.#options = options;
    this.#reconnect = { ...reconnect, ...options.reconnect };
    this.#order = new Order(worker, typeof start === "object" ? { cursor: start.after, seq: start.seq ?? null } : null);
    this.#events = this.#follow();
  }

  /** The place behind the event that was taken last: what to start `after` in another life. Null before there is one. */
  get place(): Place | null {
    return this.#order.place;
  }

  /** The next event, as soon as there is one. */
  next(): Promise<IteratorResult<Envelope, void>> {
    return this.#events.next();
  }

  /** Ends the stream, as leaving a loop does. */
  return(): Promise<IteratorResult<Envelope, void>> {
    this.close();
    return this.#events.return();
  }

  /** Ends the stream and releases its connection; who waits for the next event is told that there is none. */
  close(): void {
    this.#isClosed = true;
    this.#closing.abort();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async *#follow(): AsyncGenerator<Envelope, void, undefined> {
    const { signal } = this.#options;
    const aborted = () => this.#closing.abort(signal?.reason);
    signal?.addEventListener("abort", aborted, { once: true });
    try {
      signal?.throwIfAborted();
      this.#heardAt = performance.now();
      let isOver = this.#isClosed;
      while (!isOver) {
        let failure: MusherError | null = null;
        try {
          isOver = yield* this.#connection();
        } catch (error) {
          failure = this.#passing(error);
        }
        if (!isOver) {
          await pause(this.#lost(failure), this.#closing.signal);
        }
      }
    } catch (error) {
      if (!this.#isClosed) {
        throw error;
      }
    } finally {
      signal?.removeEventListener("abort", aborted);
      this.#isClosed = true;
    }
  }

  /** What one connection brings; true when the log is over. */
  async *#connection(): AsyncGenerator<Envelope, boolean, undefined> {
    const link = new Link(this.#closing.signal, this.#reconnect.silenceMs);
    try {
      if (this.#options.start === "beginning" && this.#order.place === null) {
        if (yield* this.#first(link)) {
          return true;
        }
      }
      const response = await this.#open(link);
      if (response.status === 204) {
        return true;
      }
      const body = events(response);
      const decoder = new Decoder();
      for (;;) {
        const { done, value } = await link.hears(body.read());
        if (done) {
          return false;
        }
        for (const item of decoder.push(value)) {
          const envelope = this.#hear(item);
          if (envelope !== null) {
            yield envelope;
            // What came with it is not for who has left meanwhile.
            this.#closing.signal.throwIfAborted();
            if (isLast(envelope)) {
              return true;
            }
          }
        }
      }
    } finally {
      link.close();
    }
  }

  /** The first event of all comes in a page: a stream without a place would begin with a snapshot. */
  async *#first(link: Link): AsyncGenerator<Envelope, boolean, undefined> {
    const { events, next } = await this.#page(link, { limit: 1 });
    const [first] = events;
    if (first === undefined) {
      this.#order.begin(next);
    } else {
      this.#alive();
      yield this.#order.take(first);
    }
    return first !== undefined && isLast(first);
  }

  async #page(link: Link, part: EventsQuery): Promise<EventsReply> {
    const ask = { method: "GET", path: this.#path + query({ ...part }), signal: link.signal } as const;
    const response = await link.hears(this.#http.open(ask));
    const page = (await link.hears(json(response, link.signal))) as EventsReply | null;
    if (!Array.isArray(page?.events) || typeof page.next !== "string") {
      throw new UnreadableError("the answer is no page of events");
    }
    return page;
  }

  async #open(link: Link): Promise<Response> {
    const headers: Record<string, string> = { accept: "text/event-stream" };
    const place = this.#order.place;
    if (place !== null) {
      headers["last-event-id"] = place.cursor;
    }
    try {
      return await link.hears(this.#http.open({ method: "GET", path: this.#path, headers, signal: link.signal }));
    } catch (error) {
      if (error instanceof MusherError && error.code === "wrong_runtime_cursor" && (await this.#isAhead(link))) {
        const { message, code, status } = error;
        throw new HistoryChangedError(message, { code, status, cause: error });
      }
      throw error;
    }
  }

  /**
   * Whether a place that the server refuses is one of the future: the log has lost what was seen. The server has the same
   * word for a place of another worker, which only a caller can have given.
   */
  async #isAhead(link: Link): Promise<boolean> {
    const seq = this.#order.place?.seq ?? null;
    if (this.#order.hasTaken || seq === null) {
      return this.#order.hasTaken;
    }
    const last = (await this.#page(link, { tail: 1 })).events.at(-1);
    return last !== undefined && last.seq < seq;
  }

  #hear(item: Item): Envelope | null {
    if (item.kind === "comment" && item.text !== "") {
      // Why the stream ends; the server goes on saying it for as long as it holds, so it is no progress.
      this.#said = item.text;
      return null;
    }
    const envelope = item.kind === "event" ? this.#order.parse(item.text) : null;
    this.#alive();
    return envelope;
  }

  #alive(): void {
    this.#times = 0;
    this.#heardAt = performance.now();
    this.#said = null;
  }

  /** A failure that passes by itself; throws any other. */
  #passing(error: unknown): MusherError {
    if (!(error instanceof MusherError) || this.#closing.signal.aborted) {
      throw error;
    }
    // Reading again does nothing twice, so all that may pass is waited out.
    const { status, code } = error;
    const passes = status !== null && (status === 429 || status >= 500) && code !== "store_corrupt";
    if (!passes && !(error instanceof ConnectionError)) {
      throw error;
    }
    return error;
  }

  /** How long to wait before the next connection; throws when it is time to give up. */
  #lost(failure: MusherError | null): number {
    const { firstWaitMs, longestWaitMs, patienceMs } = this.#reconnect;
    const own = backoff(firstWaitMs, longestWaitMs, this.#times, Math.random());
    const waitMs = Math.max(own, failure?.retryAfterMs ?? 0);
    this.#times += 1;
    const reason = this.#said ?? failure?.message ?? "the stream ended";
    if (performance.now() + waitMs - this.#heardAt > patienceMs) {
      throw new ConnectionError(`nothing new was heard for ${patienceMs / 1000} s: ${reason}`, failure ?? undefined);
    }
    this.#options.onLost?.({ reason, times: this.#times, waitMs });
    return waitMs;
  }
}

/** One connection, with an end to its silence. */
class Link {
  readonly #controller = new AbortController();
  readonly #outer: AbortSignal;
  readonly #silenceMs: number;
  readonly #aborted = () => this.#controller.abort(this.#outer.reason);

  constructor(outer: AbortSignal, silenceMs: number) {
    this.#outer = outer;
    this.#silenceMs = silenceMs;
    outer.addEventListener("abort", this.#aborted, { once: true });
    if (outer.aborted) {
      this.#aborted();
    }
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Waits for something of the server, as long as one may be silent. How long its reader takes does not count. */
  async hears<T>(something: Promise<T>): Promise<T> {
    const silent = () => this.#controller.abort(new ConnectionError(`nothing came for ${this.#silenceMs / 1000} s`));
    const timer = setTimeout(silent, this.#silenceMs);
    try {
      return await something;
    } catch (error) {
      throw error instanceof MusherError ? error : broken(error, this.signal);
    } finally {
      clearTimeout(timer);
    }
  }

  close(): void {
    this.#outer.removeEventListener("abort", this.#aborted);
    this.#controller.abort();
  }
}

function events(response: Response): ReadableStreamDefaultReader<Uint8Array> {
  const type = response.headers.get("content-type") ?? "";
  if (response.body === null || type.split(";")[0]?.trim().toLowerCase() !== "text/event-stream") {
    throw new UnreadableError("the answer is no stream of events", { status: response.status });
  }
  return response.body.getReader();
}

function isLast(envelope: Envelope): boolean {
  return envelope.payload.type === "worker_stopped" || envelope.payload.type === "worker_cancelled";
}
