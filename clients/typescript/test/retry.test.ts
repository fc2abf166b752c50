import assert from "node:assert/strict";
import { test } from "node:test";
import { ConnectionError, MusherError, UnreadableError } from "@musher/client";
import { nextAttempt } from "#dist/retry.js";

const RETRY = { attempts: 4, withinMs: 10_000, firstWaitMs: 1000, longestWaitMs: 3000 };

function waits(error: MusherError, random: number): number[] {
  const waits: number[] = [];
  let elapsed = 0;
  for (;;) {
    const wait = nextAttempt(RETRY, error, waits.length + 1, elapsed, random);
    if (wait === null) {
      return waits;
    }
    waits.push(wait);
    elapsed += wait;
  }
}

test("repetitions are bounded in count and time", () => {
  const lost = new ConnectionError("lost");
  const refused = (status: number, retryAfterMs?: number) =>
    new MusherError("no", { code: "overloaded", status, retryAfterMs });
  const cases: [MusherError, number, number[]][] = [
    [lost, 0, [1000, 2000, 3000]],
    [lost, 1, [1250, 2500, 3750]],
    [refused(429, 0), 0, [1000, 2000, 3000]],
    [refused(503, 5000), 0, [5000, 5000]],
    [refused(503, 11_000), 0, []],
    [refused(503), 0, []],
    [refused(500, 1000), 0, []],
    [refused(404), 0, []],
    [new MusherError("wait", { code: "idempotency_in_flight", status: 409 }), 0, [1000, 2000, 3000]],
    [new UnreadableError("a proxy", { status: 503, retryAfterMs: 4000 }), 0, [4000, 4000]],
    [new UnreadableError("a proxy", { status: 502 }), 0, []],
  ];
  for (const [error, random, expected] of cases) {
    assert.deepEqual(waits(error, random), expected, `${error.status} ${error.retryAfterMs}`);
  }
});
