import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import type { Job, JobQuery } from "../src/api/jobs";
import { Problem } from "../src/api/problem";
import { queryOf } from "../src/pages/jobs/filters";
import { JobList } from "../src/pages/jobs/store";

const NOW = Date.UTC(2026, 10, 29, 9, 30, 42);
const FILTERS = { status: "", workflow: "", label: "", time: "24h" };

const idOf = (number: number) => `job-${String(number).padStart(4, "0")}`;
/** The ids of the jobs with the numbers from `newest` down to `oldest`. */
const idsOf = (newest: number, oldest: number) => Array.from({ length: newest - oldest + 1 }, (_, index) => idOf(newest - index));

class Gate {
  open = (): void => undefined;
  readonly opened = new Promise<void>((resolve) => (this.open = resolve));
}

/** Jobs as the API gives them out: newest first, with cursors that are valid only for the query that they were made for. */
class Server {
  jobs: Job[] = [];
  readonly reads: string[] = [];
  /** Delays the answer to a list request until the returned promise is resolved. */
  hold: (query: JobQuery) => Promise<void> | undefined = () => undefined;

  add(count: number, status: Job["status"] = "completed"): void {
    for (let added = 0; added < count; added++) {
      const number = this.jobs.length + 1;
      this.jobs.unshift({ job_id: idOf(number), status, created_at: new Date(NOW + number * 1000).toISOString(), outputs: [], timings: {} } as unknown as Job);
    }
  }

  end(id: string): void {
    this.jobs = this.jobs.map((job) => (job.job_id === id ? { ...job, status: "completed" } : job));
  }

  readonly listJobs = async ({ cursor, limit, ...filters }: JobQuery) => {
    const found = this.jobs.filter(({ status }) => !filters.status || status === filters.status);
    let start = 0;
    if (cursor) {
      const { after, made } = JSON.parse(cursor) as { after: string; made: string };
      if (made !== JSON.stringify(filters)) throw new Problem(422, "cursor.invalid", "Invalid cursor.");
      start = found.findIndex(({ job_id }) => job_id < after);
    }
    const jobs = found.slice(start, start + limit!);
    const isLast = start + jobs.length === found.length;
    await this.hold({ cursor, limit });
    return { jobs, next_cursor: isLast ? null : JSON.stringify({ after: jobs.at(-1)!.job_id, made: JSON.stringify(filters) }) };
  };

  /** Delays the answer to a request for a job until the returned promise is resolved. */
  holdJob: () => Promise<void> | undefined = () => undefined;

  readonly readJob = async (id: string) => {
    this.reads.push(id);
    await this.holdJob();
    const found = this.jobs.find(({ job_id }) => job_id === id);
    if (!found) throw new Problem(404, "job.not_found", "There is no such job.");
    return found;
  };
}

let server: Server;

beforeEach(() => {
  vi.useFakeTimers({ now: NOW });
  server = new Server();
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const listOf = (filters: Partial<typeof FILTERS> = {}) => new JobList(() => queryOf({ ...FILTERS, ...filters }, Date.now()), server);

async function loadedList(count: number, status?: Job["status"], filters?: Partial<typeof FILTERS>): Promise<JobList> {
  server.add(count, status);
  const list = listOf(filters);
  await list.refresh();
  while (list.hasMore.value) await list.loadMore();
  expect(list.ids.value).toEqual(idsOf(count, 1));
  return list;
}

describe("more jobs", () => {
  test("load after a minute has passed, with a filter by time", async () => {
    server.add(60);
    const list = listOf();
    await list.refresh();
    vi.setSystemTime(NOW + 60_000);
    await list.loadMore();
    expect(list.problem.value).toBeNull();
    expect(list.ids.value).toEqual(idsOf(60, 1));
  });

  test("stay in the list if it is refreshed while they load", async () => {
    server.add(60);
    const list = listOf();
    await list.refresh();
    const [moreGate, refreshGate] = [new Gate(), new Gate()];
    server.hold = ({ cursor }) => (cursor ? moreGate : refreshGate).opened;
    const more = list.loadMore();
    server.add(1);
    const refresh = list.refresh();
    moreGate.open();
    await more;
    refreshGate.open();
    await refresh;
    expect(list.ids.value).toEqual(idsOf(61, 1));
  });

  test("are dropped if the list was replaced while they load", async () => {
    server.add(160);
    const list = listOf();
    await list.refresh();
    const gate = new Gate();
    server.hold = ({ cursor }) => (cursor ? gate.opened : undefined);
    const more = list.loadMore();
    server.add(200);
    await list.refresh();
    gate.open();
    await more;
    expect(list.ids.value).toEqual(idsOf(360, 311));
    await list.loadMore();
    expect(list.ids.value).toEqual(idsOf(360, 261));
  });
});

describe("a refresh", () => {
  test("leaves no gap when more jobs are new than it loads", async () => {
    const list = await loadedList(60);
    server.add(130);
    await list.refresh();
    while (list.hasMore.value) await list.loadMore();
    expect(list.ids.value).toEqual(idsOf(190, 1));
  });

  test("reads ended jobs behind the first page once", async () => {
    const list = await loadedList(120, "pending");
    server.end(idOf(5));
    server.end(idOf(119));
    list.noteEnd(idOf(5));
    list.noteEnd(idOf(119));
    await list.refresh();
    expect(list.row(idOf(5)).value.status).toBe("completed");
    expect(list.row(idOf(119)).value.status).toBe("completed");
    await list.refresh();
    expect(server.reads).toEqual([idOf(5)]);
  });

  test("removes ended jobs behind the first page that are deleted or no longer match the filter", async () => {
    const list = await loadedList(120, "pending", { status: "pending" });
    list.selectAll(true);
    server.jobs = server.jobs.filter(({ job_id }) => job_id !== idOf(4));
    server.end(idOf(5));
    list.noteEnd(idOf(4));
    list.noteEnd(idOf(5));
    await list.refresh();
    expect(list.ids.value).toEqual([...idsOf(120, 6), ...idsOf(3, 1)]);
    expect(list.selected.value.size).toBe(118);
  });

  test("reads a job again soon that ended during the refresh", async () => {
    const list = await loadedList(120, "pending");
    const gate = new Gate();
    server.hold = () => gate.opened;
    const refresh = list.refresh();
    server.end(idOf(119));
    list.noteEnd(idOf(119));
    server.hold = () => undefined;
    gate.open();
    await refresh;
    expect(list.row(idOf(119)).value.status).toBe("pending");
    vi.stubGlobal("document", { visibilityState: "visible" });
    await vi.advanceTimersByTimeAsync(1000);
    expect(list.row(idOf(119)).value.status).toBe("completed");
  });

  test("does not bring a job back that is deleted while it is read", async () => {
    const list = await loadedList(120, "completed");
    const gate = new Gate();
    server.holdJob = () => gate.opened;
    list.noteEnd(idOf(5));
    const refresh = list.refresh();
    await vi.waitFor(() => expect(server.reads).toEqual([idOf(5)]));
    await list.showChanged("purge", [idOf(5)]);
    gate.open();
    await refresh;
    expect(list.jobs([idOf(5)])).toEqual([]);
  });
});

describe("an action on many jobs", () => {
  test("removes purged jobs behind the first page", async () => {
    const list = await loadedList(120);
    server.jobs = server.jobs.filter(({ job_id }) => job_id !== idOf(5));
    await list.showChanged("purge", [idOf(5)]);
    expect(list.ids.value).toEqual([...idsOf(120, 6), ...idsOf(4, 1)]);
  });

  test("shows that cancelled jobs behind the first page have ended", async () => {
    const list = await loadedList(120, "pending");
    server.jobs = server.jobs.map((job) => (job.job_id === idOf(5) ? { ...job, status: "cancelled" } : job));
    await list.showChanged("cancel", [idOf(5)]);
    expect(list.row(idOf(5)).value.status).toBe("cancelled");
  });
});
