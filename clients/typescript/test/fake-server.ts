import { once } from "node:events";
import { type IncomingMessage, type Server, type ServerResponse, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { Musher, type MusherOptions } from "@musher/client";

/** What the fake was asked. */
export interface Asked {
  method: string;
  path: string;
  headers: Record<string, string>;
  body: string;
}

/** How it answers one request. */
export type Answer = (response: ServerResponse) => void;

const SHOWN = ["accept", "authorization", "content-type", "idempotency-key", "last-event-id"];

/** A server that answers each request as it is told, in order, and notes what it was asked. */
export class FakeServer {
  readonly asked: Asked[] = [];
  readonly #server: Server;
  readonly #answers: Answer[];
  #closed = 0;
  #told: (() => void) | null = null;

  private constructor(server: Server, answers: Answer[]) {
    this.#server = server;
    this.#answers = answers;
  }

  static async start(...answers: Answer[]): Promise<FakeServer> {
    const server = createServer();
    const fake = new FakeServer(server, answers);
    server.on("request", (request, response) => void fake.#answer(request, response));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return fake;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  client(options: Partial<MusherOptions> = {}): Musher {
    return new Musher({ url: this.url, token: "s3cret", retry: { firstWaitMs: 1 }, ...options });
  }

  /** Waits until this many answers broke off or ended. */
  async closed(times: number): Promise<void> {
    while (this.#closed < times) {
      await new Promise<void>((resolve) => (this.#told = resolve));
    }
  }

  end(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.on("close", () => {
      this.#closed += 1;
      this.#told?.();
    });
    const body = await text(request);
    const headers: Record<string, string> = {};
    for (const name of SHOWN) {
      const value = request.headers[name];
      if (typeof value === "string") {
        headers[name] = value;
      }
    }
    this.asked.push({ method: request.method ?? "", path: request.url ?? "", headers, body });
    // A request that nobody expected shows in what was asked; without an answer the test would only hang.
    const answer = this.#answers.shift() ?? refuse(400, { code: "invalid_request", message: "nobody expected this" });
    answer(response);
  }
}

/** An event of the log `wrk_1`. */
export function event(seq: number, payload: object = { type: "text_delta", turn_id: "trn_1", block: 0, text: `${seq}` }) {
  return { cursor: `wo_${seq}`, seq, event_id: `evt_${seq}`, worker_id: "wrk_1", at: "2026-01-01T00:00:00Z", payload };
}

/** The last event of a log. */
export function last(seq: number) {
  return event(seq, { type: "worker_stopped", survivors: [] });
}

/** These events as a stream that then ends, is silent or breaks off. */
export function stream(events: { cursor: string }[], then: "ends" | "is silent" | "breaks off"): Answer {
  return (response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    const blocks = events.map((event) => `id: ${event.cursor}\ndata: ${JSON.stringify(event)}\n\n`);
    response.write(`retry: 2000\n\n${blocks.join("")}`, () => {
      if (then === "ends") {
        response.end();
      } else if (then === "breaks off") {
        response.destroy();
      }
    });
  };
}

export function reply(body: object): Answer {
  return (response) => {
    response.writeHead(200, { "content-type": "application/json" });
    response.end(JSON.stringify(body));
  };
}

export function refuse(status: number, error: object, headers: Record<string, string> = {}): Answer {
  return (response) => {
    response.writeHead(status, { "content-type": "application/json", ...headers });
    response.end(JSON.stringify({ error: { request_id: "req_1", retryable: false, ...error } }));
  };
}

export const nothing: Answer = (response) => {
  response.writeHead(204);
  response.end();
};

/** Takes the request and breaks the connection. */
export const hangUp: Answer = (response) => {
  response.destroy();
};
