import type { Envelope, Musher } from "@musher/client";

/** The whole log of a worker, by pages of so many events. */
export async function log(musher: Musher, id: string, limit?: number): Promise<Envelope[]> {
  const events: Envelope[] = [];
  let after: string | null = null;
  for (;;) {
    const page = await musher.events(id, { after, limit: limit ?? null });
    events.push(...page.events);
    if (!page.has_more) {
      return events;
    }
    after = page.next;
  }
}
