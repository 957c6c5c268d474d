/**
 * The list of jobs, with one signal for each row: a change of one job renders one row, and never the table.
 * Rows that are on the screen watch their job over the websocket; the start of the list is loaded again every few
 * seconds, which finds new jobs and the end of those that are not on the screen. A job behind that start is read on its own
 * when it has ended.
 */
import { batch, signal, type Signal } from "@preact/signals";

import type * as jobsApi from "../../api/jobs";
import type { Job } from "../../api/jobs";
import { Problem } from "../../api/problem";
import type { Query } from "./filters";
import { mergeFirstPage, rangeOf } from "./merge";

export type { Job } from "../../api/jobs";

type Api = Pick<typeof jobsApi, "listJobs" | "readJob">;
/** What can be done with many jobs at once. */
export type BulkAction = "cancel" | "purge";
type Page = Awaited<ReturnType<Api["listJobs"]>>;

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
  private readonly ended = new Set<string>();
  /** The server accepts a cursor only with the query that it was made for. */
  private next: { cursor: string; query: Query } | null = null;
  /** How often a first page replaced the whole list. A further page that was requested before is then dropped. */
  private replaced = 0;
  private lastSelected: string | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private isStopped = false;
  /** Whether a job has ended since the last refresh began. */
  private isSoon = false;

  /** @param query returns the filters; it may change with the time. */
  constructor(
    private readonly query: () => Query,
    private readonly api: Api,
  ) {}

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
    this.isSoon = false;
    const query = this.query();
    const limit = Math.min(MOST_REFRESHED, Math.max(PAGE, this.ids.peek()?.length ?? 0));
    await this.load({ ...query, limit }, ({ jobs, next_cursor }) => {
      const known = this.ids.peek();
      const ids = mergeFirstPage(this.jobs(known ?? []), jobs, next_cursor === null);
      if (ids.length <= jobs.length) this.next = positionOf(next_cursor, query);
      if (!jobs.some(({ job_id }) => this.rows.has(job_id))) this.replaced += 1;
      this.keep(jobs);
      const kept = new Set(ids);
      for (const id of known ?? []) if (!kept.has(id)) this.rows.delete(id);
      if (!known || ids.length !== known.length || ids.some((id, index) => id !== known[index])) this.ids.value = ids;
      for (const { job_id } of jobs) this.ended.delete(job_id);
    });
    await this.readEnded(query);
    this.schedule(this.isSoon ? SOON_MS : REFRESH_MS);
  };

  /** Load what changed with the end of the job in a moment, once for many jobs that end together. */
  readonly noteEnd = (id: string): void => {
    this.ended.add(id);
    this.isSoon = true;
    this.schedule(SOON_MS);
  };

  /** Show what an action did with these jobs: purged ones leave the list, cancelled ones are read again. */
  readonly showChanged = async (action: BulkAction, ids: readonly string[]): Promise<void> => {
    for (const id of ids) {
      if (action === "purge") this.remove(id);
      else this.noteEnd(id);
    }
    await this.refresh();
  };

  readonly loadMore = async (): Promise<void> => {
    if (this.next === null || this.isLoading.peek()) return;
    const { cursor, query } = this.next;
    const { replaced } = this;
    await this.load({ ...query, limit: PAGE, cursor }, ({ jobs, next_cursor }) => {
      if (replaced !== this.replaced) return;
      this.next = positionOf(next_cursor, query);
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

  private async load(query: jobsApi.JobQuery, use: (page: Page) => void): Promise<void> {
    this.isLoading.value = true;
    try {
      const page = await this.api.listJobs(query);
      batch(() => {
        use(page);
        this.hasMore.value = this.next !== null;
        this.problem.value = null;
        this.deselectGone();
      });
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      this.problem.value = error;
    } finally {
      this.isLoading.value = false;
    }
  }

  /** Read ended jobs that are behind the start of the list. A failure leaves the others for the next refresh. */
  private async readEnded({ status }: Query): Promise<void> {
    for (const id of this.ended) {
      if (this.isStopped) return;
      try {
        const job = this.rows.has(id) ? await this.api.readJob(id) : null;
        if (job && this.rows.has(id) && (!status || job.status === status)) this.keep([job]);
        else this.remove(id);
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
        if (error.status !== 404) return;
        this.remove(id);
      }
      this.ended.delete(id);
    }
  }

  private remove(id: string): void {
    if (!this.rows.delete(id)) return;
    batch(() => {
      this.ids.value = this.ids.peek()?.filter((one) => one !== id);
      this.deselectGone();
    });
  }

  private deselectGone(): void {
    const selected = this.selected.peek();
    const kept = [...selected].filter((id) => this.rows.has(id));
    if (kept.length < selected.size) this.selected.value = new Set(kept);
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

function positionOf(cursor: string | null, query: Query): { cursor: string; query: Query } | null {
  return cursor === null ? null : { cursor, query };
}
