import { query } from "./address.js";
import { type Call, type CallOptions, perform } from "./call.js";
import { MusherError, TimeUpError, UnreadableError } from "./errors.js";
import { EventStream, type FollowOptions, RECONNECT } from "./event-stream.js";
import { Http, type Target } from "./http.js";
import { pause } from "./pause.js";
import { RETRY, type Retry } from "./retry.js";
import type {
  Ack,
  AckReply,
  Approval,
  ApprovalId,
  ApprovalsReply,
  AttentionQuery,
  AttentionReply,
  CommandRequest,
  CreateWorker,
  DecisionReply,
  DecisionRequest,
  DeleteWorkerQuery,
  EventsQuery,
  EventsReply,
  InputAck,
  InputAckReply,
  InputRequest,
  ListWorkersQuery,
  StopRequest,
  TranscriptPage,
  TranscriptQuery,
  TranscriptReply,
  Until,
  WorkerDetail,
  WorkerId,
  WorkerListReply,
  WorkerReply,
} from "./types.js";

/** Ending what a worker runs may take its grace and a minute of waiting for processes. In milliseconds. */
const ENDING_MS = 60_000;
/** What a stop gives where it does not say, in seconds. */
const GRACE_SECS = 10;
/** What waiting for attention takes where it does not say, in seconds. */
const ATTENTION_SECS = 60;
/** Proxies give up on answers that take a minute. In seconds. */
const ONE_WAIT_SECS = 20;
/** A server that is about to end cuts waits short, and must not be asked without a pause. */
const BETWEEN_WAITS_MS = 250;

/** Where a server is, who asks, and how often calls are repeated. */
export interface MusherOptions extends Target {
  /** How calls are repeated, where that is not to be the usual way. */
  retry?: Partial<Retry>;
}

/** What a call that changes something takes. */
export interface ChangeOptions extends CallOptions {
  /**
   * Under which key it is done once, 1 to 255 visible ASCII characters; one is made when absent. With null there is none,
   * and what may have been done already is not repeated.
   */
  idempotencyKey?: string | null;
}

/** What waiting for a worker takes. */
export interface WaitOptions extends CallOptions {
  /** How long to wait, in milliseconds; without end when absent. */
  timeoutMs?: number;
}

/**
 * A server of Musher.
 *
 * A call is repeated when the connection failed, and after 429 and 503 that say when to come back; each POST has a key
 * that stays the same, or none and is not repeated when the connection failed, so that nothing is done twice. What fails is a {@link MusherError}; a signal that gives a call up
 * makes it reject with the signal's reason.
 */
export class Musher {
  readonly #http: Http;
  readonly #retry: Retry;

  constructor(options: MusherOptions) {
    this.#http = new Http(options);
    this.#retry = { ...RETRY, ...options.retry };
  }

  /** Creates a worker. */
  async createWorker(request: CreateWorker, options: ChangeOptions = {}): Promise<WorkerDetail> {
    const reply = await this.#post<WorkerReply>("/v1/workers", request, options);
    return reply.worker;
  }

  /** A page of workers. */
  listWorkers(filter: ListWorkersQuery = {}, options: CallOptions = {}): Promise<WorkerListReply> {
    return this.#get(`/v1/workers${query({ ...filter })}`, options);
  }

  /** What a worker is now. */
  async worker(id: WorkerId, options: CallOptions = {}): Promise<WorkerDetail> {
    const reply = await this.#get<WorkerReply>(path(id), options);
    return reply.worker;
  }

  /** Says something to a worker. An `input_id` is the key as well, so the same id twice runs once. */
  async sendInput(id: WorkerId, input: string | InputRequest, options: ChangeOptions = {}): Promise<InputAck> {
    const request: InputRequest = typeof input === "string" ? { kind: "user", content: input } : input;
    const key = request.input_id ?? options.idempotencyKey;
    const keyed = key === undefined ? options : { ...options, idempotencyKey: key };
    const reply = await this.#post<InputAckReply>(path(id, "input"), request, keyed);
    return reply.ack;
  }

  /** Ends the running turn; nothing changes on an idle worker. */
  interrupt(id: WorkerId, request: CommandRequest = {}, options: ChangeOptions = {}): Promise<Ack> {
    return this.#end(id, "interrupt", request, options, ENDING_MS);
  }

  /** Ends a worker gracefully. */
  stop(id: WorkerId, request: StopRequest = {}, options: ChangeOptions = {}): Promise<Ack> {
    return this.#end(id, "stop", request, options, (request.grace_secs ?? GRACE_SECS) * 1000 + ENDING_MS);
  }

  /** Ends a worker at once. */
  cancel(id: WorkerId, request: CommandRequest = {}, options: ChangeOptions = {}): Promise<Ack> {
    return this.#end(id, "cancel", request, options, ENDING_MS);
  }

  /** Deletes a worker that has ended, with its log. */
  async deleteWorker(id: WorkerId, request: DeleteWorkerQuery = {}, options: CallOptions = {}): Promise<void> {
    const wasDone = (error: MusherError) => error.code === "worker_not_found";
    const call = { method: "DELETE", path: path(id) + query({ ...request }), wasDone } as const;
    await perform(this.#http, this.#retry, call, options.signal);
  }

  /** What a worker waits for to be decided, oldest first. */
  async approvals(id: WorkerId, options: CallOptions = {}): Promise<Approval[]> {
    const reply = await this.#get<ApprovalsReply>(path(id, "approvals"), options);
    return reply.approvals;
  }

  /** Decides an approval. The same decision again is answered as the first was. */
  decide(
    id: WorkerId,
    approval: ApprovalId,
    decision: DecisionRequest,
    options: ChangeOptions = {},
  ): Promise<DecisionReply> {
    return this.#post(path(id, "approvals", approval), decision, options);
  }

  /** What waits for a person, over all workers; with `after` when it is another list than that. */
  attention(filter: AttentionQuery = {}, options: CallOptions = {}): Promise<AttentionReply> {
    const waitMs = filter.after == null ? 0 : (filter.wait ?? ATTENTION_SECS) * 1000;
    return this.#get(`/v1/attention${query({ ...filter })}`, options, waitMs);
  }

  /** A page of a worker's transcript. */
  async transcript(id: WorkerId, part: TranscriptQuery = {}, options: CallOptions = {}): Promise<TranscriptPage> {
    const reply = await this.#get<TranscriptReply>(path(id, "transcript") + query({ ...part }), options);
    return reply.transcript;
  }

  /** A page of a worker's log. */
  events(id: WorkerId, part: EventsQuery = {}, options: CallOptions = {}): Promise<EventsReply> {
    return this.#get(path(id, "events") + query({ ...part }), options, (part.wait ?? 0) * 1000);
  }

  /** A worker's log as a stream that goes on by itself. Nothing is asked before it is read. */
  follow(id: WorkerId, options: FollowOptions = {}): EventStream {
    return new EventStream(this.#http, path(id, "events"), id, RECONNECT, options);
  }

  /**
   * Waits until a worker is idle (no turn is open and nothing is queued, or it has ended) or terminal, and answers with
   * it. Rejects with a {@link TimeUpError} when that takes too long.
   */
  async waitFor(id: WorkerId, until: Until, options: WaitOptions = {}): Promise<WorkerDetail> {
    const deadline = performance.now() + (options.timeoutMs ?? Infinity);
    for (;;) {
      const left = Math.max(0, deadline - performance.now());
      const wait = Math.min(Math.ceil(left / 1000), ONE_WAIT_SECS);
      const reply = await this.#get<WorkerReply>(path(id) + query({ until, wait }), options, wait * 1000);
      if (holds(until, reply.worker)) {
        return reply.worker;
      }
      if (performance.now() + BETWEEN_WAITS_MS >= deadline) {
        throw new TimeUpError(reply.worker);
      }
      await pause(BETWEEN_WAITS_MS, options.signal);
    }
  }

  async #end(
    id: WorkerId,
    command: string,
    request: CommandRequest | StopRequest,
    options: ChangeOptions,
    waitMs: number,
  ): Promise<Ack> {
    const reply = await this.#post<AckReply>(path(id, command), request, options, waitMs);
    return reply.ack;
  }

  #get<T>(path: string, options: CallOptions, waitMs = 0): Promise<T> {
    return this.#json({ method: "GET", path, waitMs }, options.signal);
  }

  #post<T>(path: string, body: object, options: ChangeOptions, waitMs = 0): Promise<T> {
    // The server knows the request again by it, so asking again does nothing twice.
    const { idempotencyKey: key = crypto.randomUUID(), signal } = options;
    const type = { "content-type": "application/json" };
    const headers = key === null ? type : { ...type, "idempotency-key": key };
    const call = { method: "POST", path, headers, body: JSON.stringify(body), waitMs, isOnce: key === null } as const;
    return this.#json(call, signal);
  }

  async #json<T>(call: Call, signal: AbortSignal | undefined): Promise<T> {
    const value = await perform(this.#http, this.#retry, call, signal);
    if (typeof value !== "object" || value === null) {
      throw new UnreadableError("the answer is no object");
    }
    return value as T;
  }
}

/** The path of a worker and of what it has. An id is text of the caller. */
function path(...ids: string[]): string {
  return `/v1/workers/${ids.map(encodeURIComponent).join("/")}`;
}

function holds(until: Until, worker: WorkerDetail): boolean {
  const isOver = worker.status === "stopped" || worker.status === "cancelled";
  if (until === "terminal") {
    return isOver;
  }
  return isOver || (worker.execution.turn_id == null && worker.queued_inputs === 0);
}
