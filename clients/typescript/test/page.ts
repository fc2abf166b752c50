/**
 * What a product's page does, in a browser: it follows a worker that it tells things to, is reloaded in the middle, and goes
 * on from the place that it kept.
 */
import { type Envelope, Musher, MusherError, type Place } from "@musher/client";

/** What the page tells in the end. */
export interface Told {
  id: string;
  /** The events of both lives, in the order in which they came. */
  seen: Envelope[];
  /** How many of them the first life had. */
  before: number;
  /** What came of requests that no proxy makes fit for Musher: the errors' names and codes. */
  refused: [string, string][];
}

/** What one life leaves to the next. */
interface Kept {
  id: string;
  place: Place;
  seen: Envelope[];
}

/** So many connections of its stream each life loses. */
const LOSSES = 25;
const FAST = { firstWaitMs: 1, longestWaitMs: 4 };
const KEPT = "kept";

const musher = new Musher({ url: "/musher", retry: { ...FAST, attempts: 100 } });

async function live(): Promise<Told | null> {
  const text = sessionStorage.getItem(KEPT);
  if (text === null) {
    await begin();
    return null;
  }
  return goOn(JSON.parse(text) as Kept);
}

async function begin(): Promise<void> {
  const { worker_id: id } = await musher.createWorker({ intent: { kind: "assistant" } });
  let losses = 0;
  const events = musher.follow(id, { start: "beginning", reconnect: FAST, onLost: () => (losses += 1) });
  const seen: Envelope[] = [];
  const read = async () => {
    for await (const envelope of events) {
      seen.push(envelope);
      if (losses >= LOSSES) {
        return;
      }
    }
  };
  // Talking never ends by itself: the reload comes in the middle of whatever is asked.
  await Promise.race([read(), talk(id, () => false)]);
  sessionStorage.setItem(KEPT, JSON.stringify({ id, place: events.place, seen }));
  location.reload();
}

async function goOn({ id, place, seen }: Kept): Promise<Told> {
  const before = seen.length;
  let losses = 0;
  const start = { after: place.cursor, seq: place.seq };
  const events = musher.follow(id, { start, reconnect: FAST, onLost: () => (losses += 1) });
  const read = async () => {
    for await (const envelope of events) {
      seen.push(envelope);
    }
  };
  const talking = talk(id, () => losses >= LOSSES).then(() => musher.stop(id));
  await Promise.all([read(), talking]);
  const server = new URLSearchParams(location.search).get("server") ?? "";
  return { id, seen, before, refused: [await refused("/as-it-is"), await refused(server)] };
}

async function talk(id: string, isEnough: () => boolean): Promise<void> {
  while (!isEnough()) {
    await musher.sendInput(id, "word ".repeat(40));
    await musher.waitFor(id, "idle");
  }
}

async function refused(url: string): Promise<[string, string]> {
  const direct = new Musher({ url, retry: { attempts: 1 } });
  try {
    const { worker_id } = await direct.createWorker({ intent: { kind: "assistant" } });
    return ["nothing", worker_id];
  } catch (error) {
    return error instanceof MusherError ? [error.name, error.code] : ["foreign", String(error)];
  }
}

async function tell(path: string, body: unknown): Promise<void> {
  await fetch(path, { method: "POST", body: JSON.stringify(body) });
}

live().then(
  (told) => (told === null ? undefined : tell("/told", told)),
  (error: unknown) => tell("/failed", error instanceof Error ? error.stack : String(error)),
);
