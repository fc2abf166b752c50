import { GapError, UnreadableError } from "./errors.js";
import type { Cursor, Envelope, WorkerId } from "./types.js";

/** A place in a worker's log. */
export interface Place {
  /** Where to go on from. */
  cursor: Cursor;
  /** The number of the event there; null where only the cursor is known. */
  seq: number | null;
}

/** Sees to it that each event of a log comes once, in order and without a gap. */
export class Order {
  readonly #worker: WorkerId;
  #place: Place | null;
  #hasTaken = false;

  constructor(worker: WorkerId, place: Place | null) {
    this.#worker = worker;
    this.#place = place;
  }

  /** The place behind what was taken last; null before anything was. */
  get place(): Place | null {
    return this.#place;
  }

  /** Whether an event of this log was taken. */
  get hasTaken(): boolean {
    return this.#hasTaken;
  }

  /** Begins behind this place, whose number nobody knows. */
  begin(cursor: Cursor): void {
    this.#place = { cursor, seq: null };
  }

  /** Reads an event and goes on to behind it. Throws where it is not the next one. */
  parse(text: string): Envelope {
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch (cause) {
      throw new UnreadableError("what came is no event", { cause });
    }
    return this.take(value);
  }

  /** Goes on to behind this event. Throws where it is not the next one. */
  take(envelope: unknown): Envelope {
    if (!isEnvelope(envelope)) {
      throw new UnreadableError("what came is no event");
    }
    if (envelope.worker_id !== this.#worker) {
      throw new UnreadableError("an event of another worker came");
    }
    // A snapshot stands for all that came before it, so it can only be the first.
    if (envelope.payload.type === "snapshot" && this.#place !== null) {
      throw new UnreadableError("a snapshot came in the place of an event");
    }
    const last = this.#place?.seq ?? null;
    if (last !== null && envelope.seq !== last + 1) {
      throw new GapError(last + 1, envelope.seq);
    }
    this.#place = { cursor: envelope.cursor, seq: envelope.seq };
    this.#hasTaken = true;
    return envelope;
  }
}

/** Looks at what the order depends on; what else is in an event is the server's word. */
function isEnvelope(value: unknown): value is Envelope {
  if (typeof value !== "object" || value === null) {
    return false;
  }
  const { cursor, seq, payload } = value as Partial<Envelope>;
  const hasPlace = typeof cursor === "string" && cursor !== "" && Number.isSafeInteger(seq);
  return hasPlace && typeof payload === "object" && payload !== null && typeof payload.type === "string";
}
