/** Changes to the list of outputs that is shown. Pure. */
import type { ListedOutput } from "../../api/outputs";

export const KINDS = ["image", "video", "audio", "text", "model", "file"] as const;

const EXPIRES_SOON_MS = 30_000;

/** Return the list with the outputs that it does not have yet before the others. */
export function addNew(items: readonly ListedOutput[], newest: readonly ListedOutput[]): readonly ListedOutput[] {
  const known = new Set(items.map(({ id }) => id));
  const added = newest.filter(({ id }) => !known.has(id));
  return added.length > 0 ? [...added, ...items] : items;
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
export function hasExpired({ url_expires_at }: ListedOutput, now: number): boolean {
  return Date.parse(url_expires_at) - now < EXPIRES_SOON_MS;
}

/** Return the list with new links for those outputs that were read again. */
export function renewed(items: readonly ListedOutput[], read: readonly ListedOutput[]): readonly ListedOutput[] {
  const byId = new Map(read.map((output) => [output.id, output]));
  return items.map((item) => byId.get(item.id) ?? item);
}
