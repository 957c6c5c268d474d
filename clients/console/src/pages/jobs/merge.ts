/** A list that is loaded page by page and refreshed from its start. Pure. */

type Listed = { job_id: string; created_at: string };

/**
 * Return the ids of the list after its first page was loaded again, newest first.
 * Known jobs that are older than the page stay. Known jobs that belong into the page but are not in it are gone: they
 * were deleted or no longer match the filters. If no known job is in the page, jobs between it and the known ones may be
 * missing: the page replaces the list.
 * @param isWhole the page is the whole list.
 */
export function mergeFirstPage(known: readonly Listed[], page: readonly Listed[], isWhole: boolean): string[] {
  const ids = page.map(({ job_id }) => job_id);
  const oldest = page.at(-1);
  if (isWhole || !oldest) return ids;
  const inPage = new Set(ids);
  if (!known.some(({ job_id }) => inPage.has(job_id))) return ids;
  const older = known.filter((job) => !inPage.has(job.job_id) && isOlder(job, oldest));
  return [...ids, ...older.map(({ job_id }) => job_id)];
}

function isOlder(job: Listed, than: Listed): boolean {
  const difference = Date.parse(job.created_at) - Date.parse(than.created_at);
  return difference === 0 ? job.job_id < than.job_id : difference < 0;
}

/** Return the ids from the last clicked one to this one, in the order of the list; without a last one only this one. */
export function rangeOf(ids: readonly string[], last: string | null, id: string): string[] {
  const from = last === null ? -1 : ids.indexOf(last);
  const to = ids.indexOf(id);
  if (from < 0 || to < 0) return [id];
  return ids.slice(Math.min(from, to), Math.max(from, to) + 1);
}
