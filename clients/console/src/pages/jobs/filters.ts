/** Filters of the lists of jobs and outputs: from the address of the page to the query of the API. Pure. */

/** As in the address; an empty text filters nothing. */
export type Filters = { status: string; workflow: string; label: string; time: string };

export const TIMES = ["1h", "24h", "7d", "30d"] as const;

const UNITS: Record<string, number> = { h: 3_600_000, d: 86_400_000 };
const STATUSES = ["pending", "processing", "completed", "failed", "cancelled"] as const;

export type Query = {
  status?: (typeof STATUSES)[number];
  workflow?: string;
  label?: string;
  created_after?: string;
};

/**
 * Return the query for the filters. Filters that the API would refuse are left out.
 * @param now milliseconds since 1970; rounded down to a minute, so that the same filters give the same query for a while.
 */
export function queryOf({ status, workflow, label, time }: Filters, now: number): Query {
  const found = STATUSES.find((one) => one === status);
  const after = startOf(time, now);
  return {
    ...(found ? { status: found } : {}),
    ...(workflow ? { workflow } : {}),
    ...(isLabel(label) ? { label } : {}),
    ...(after === null ? {} : { created_after: new Date(after).toISOString() }),
  };
}

function startOf(time: string, now: number): number | null {
  const found = /^(\d{1,4})([hd])$/.exec(time);
  return found ? Math.floor(now / 60_000) * 60_000 - Number(found[1]) * UNITS[found[2]!]! : null;
}

/** Whether the text is a filter `key:value`. */
export function isLabel(text: string): boolean {
  return /^[^:]+:.+$/.test(text);
}

export function isFiltered(filters: Partial<Record<string, string>>): boolean {
  return Object.values(filters).some(Boolean);
}
