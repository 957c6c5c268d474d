/** Changes to the list of outputs that is shown. Pure. */
import type { ListedOutput } from "../../api/outputs";
import type { Page } from "../../api/paged";

export const KINDS = ["image", "video", "audio", "text", "model", "file"] as const;

const EXPIRES_SOON_MS = 30_000;

/**
 * Return the list after its first page was read again: new outputs are before the others, and known ones have new links.
 * If the page has no known output, others between it and the known ones may be missing: it replaces the list.
 */
export function mergeNewest(known: Page<ListedOutput>, newest: Page<ListedOutput>): Page<ListedOutput> {
  const ids = new Set(known.items.map(({ id }) => id));
  const added = newest.items.filter(({ id }) => !ids.has(id));
  if (added.length === newest.items.length) return newest;
  return { items: [...added, ...renewed(known.items, newest.items)], next: known.next };
}

/**
 * Return the selected jobs after a click on an output: its job is added or removed.
 * @param anchor the output that was clicked before; the jobs of all outputs from there are added. Null: only this one.
 */
export function selectedAfter(selected: ReadonlySet<string>, items: readonly ListedOutput[], index: number, anchor: number | null): ReadonlySet<string> {
  const changed = new Set(selected);
  if (anchor !== null) {
    for (const { job_id } of items.slice(Math.min(anchor, index), Math.max(anchor, index) + 1)) changed.add(job_id);
  } else if (!changed.delete(items[index]!.job_id)) {
    changed.add(items[index]!.job_id);
  }
  return changed;
}

/** Whether the links of the output have expired, or expire before the browser can have loaded them. */
export function needsNewLinks({ url_expires_at }: ListedOutput, now: number): boolean {
  return Date.parse(url_expires_at) - now < EXPIRES_SOON_MS;
}

/** Return the list with new links for those outputs that were read again. */
export function renewed(items: readonly ListedOutput[], read: readonly ListedOutput[]): readonly ListedOutput[] {
  const byId = new Map(read.map((output) => [output.id, output]));
  return items.map((item) => {
    const found = byId.get(item.id);
    return found && found.url !== item.url ? found : item; // an output that stays the same is not drawn again
  });
}
