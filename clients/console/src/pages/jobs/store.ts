/**
 * The list of jobs, with one signal for each row: a change of one job renders one row, and never the table.
 * Rows that are on the screen watch their job over the websocket; the start of the list is loaded again every few
 * seconds, which finds new jobs and the end of those that are not on the screen.
 */
import { batch, signal, type Signal } from "@preact/signals";

import { api, unwrap, type Schemas } from "../../api/client";
import { Problem } from "../../api/problem";
import type { Query } from "./filters";
import { mergeFirstPage, rangeOf } from "./merge";

export type Job = Schemas["JobBody"];

const PAGE = 50;
const MOST_REFRESHED = 100; // the largest page of the API
const REFRESH_MS = 10_000;
const SOON_MS = 800;

export class JobList {
  readonly ids = signal<readonly string[] | undefined>(undefined);
  readonly hasMore = signal(false);
  readonly isLoading = signal(false);
  readonly problem = signal<Problem | null>(null);
  readonly selected = signal<ReadonlySet<string>>(new Set());
  private readonly rows = new Map<string, Signal<Job>>();
  private next: string | null = null;
  private lastSelected: string | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private isStopped = false;

  constructor(private readonly query: () => Query) {}

  /** Load the list and keep it up to date until the returned function is called. */
  start(): () => void {
    this.isStopped = false;
    void this.refresh();
    const onVisible = () => document.visibilityState === "visible" && void this.refresh();
    document.addEventListener("visibilitychange", onVisible);
    return () => {
      this.isStopped = true;
      clearTimeout(this.timer);
      document.removeEventListener("visibilitychange", onVisible);
    };
  }

  row(id: string): Signal<Job> {
    return this.rows.get(id)!;
  }

  jobs(ids: Iterable<string>): Job[] {
    return [...ids].flatMap((id) => this.rows.get(id)?.peek() ?? []);
  }

  readonly refresh = async (): Promise<void> => {
    const known = this.ids.peek();
    const limit = Math.min(MOST_REFRESHED, Math.max(PAGE, known?.length ?? 0));
    await this.load(limit, null, ({ jobs, next_cursor }) => {
      const ids = mergeFirstPage(this.jobs(known ?? []), jobs, next_cursor === null);
      if (known === undefined || ids.length <= jobs.length) this.next = next_cursor;
      this.keep(jobs);
      for (const id of known ?? []) if (!ids.includes(id)) this.rows.delete(id);
      if (!known || ids.length !== known.length || ids.some((id, index) => id !== known[index])) this.ids.value = ids;
    });
    this.schedule(REFRESH_MS);
  };

  /** Load the list again in a moment, once for many jobs that end together. */
  readonly refreshSoon = (): void => this.schedule(SOON_MS);

  readonly loadMore = async (): Promise<void> => {
    if (this.next === null || this.isLoading.peek()) return;
    await this.load(PAGE, this.next, ({ jobs, next_cursor }) => {
      this.next = next_cursor;
      const known = this.ids.peek() ?? [];
      const added = jobs.filter(({ job_id }) => !this.rows.has(job_id)).map(({ job_id }) => job_id);
      this.keep(jobs);
      this.ids.value = [...known, ...added];
    });
  };

  /** Select or deselect a job; with the Shift key all from the last one to this one. */
  readonly select = (id: string, isSelected: boolean, isRange: boolean): void => {
    const ids = isRange ? rangeOf(this.ids.peek() ?? [], this.lastSelected, id) : [id];
    const selected = new Set(this.selected.peek());
    for (const one of ids) {
      if (isSelected) selected.add(one);
      else selected.delete(one);
    }
    this.lastSelected = id;
    this.selected.value = selected;
  };

  readonly selectAll = (isSelected: boolean): void => {
    this.selected.value = new Set(isSelected ? this.ids.peek() : []);
  };

  private async load(limit: number, cursor: string | null, use: (page: Schemas["JobsBody"]) => void): Promise<void> {
    this.isLoading.value = true;
    try {
      const query = { ...this.query(), limit, ...(cursor === null ? {} : { cursor }) };
      const page = await unwrap(api.GET("/api/v1/jobs", { params: { query } }));
      batch(() => {
        use(page);
        this.hasMore.value = this.next !== null;
        this.problem.value = null;
        const gone = [...this.selected.peek()].filter((id) => !this.rows.has(id));
        if (gone.length > 0) this.selected.value = new Set([...this.selected.peek()].filter((id) => this.rows.has(id)));
      });
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      this.problem.value = error;
    } finally {
      this.isLoading.value = false;
    }
  }

  private keep(jobs: readonly Job[]): void {
    for (const job of jobs) {
      const row = this.rows.get(job.job_id);
      if (!row) this.rows.set(job.job_id, signal(job));
      else if (JSON.stringify(row.peek()) !== JSON.stringify(job)) row.value = job;
    }
  }

  private schedule(ms: number): void {
    clearTimeout(this.timer);
    if (!this.isStopped) this.timer = setTimeout(() => void (document.visibilityState === "visible" && this.refresh()), ms);
  }
}
