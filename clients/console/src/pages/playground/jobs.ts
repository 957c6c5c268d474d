/** Jobs that the playground shows, newest first. They survive a change of the page; what was sent survives a reload. */
import { effect, signal } from "@preact/signals";

import { api, unwrap, type Schemas } from "../../api/client";
import { parseExact } from "../../api/exact";
import { loadMe, me } from "../../api/session";
import { isFinalStatus } from "../../live/frames";
import type { Submission } from "./settings";

export type JobBody = Schemas["JobBody"];

export type PlaygroundJob = {
  key: string;
  /** Null until the server has accepted it. */
  jobId: string | null;
  /** What was sent; null if another client sent it. */
  submission: Submission | null;
  at: string;
  /** As the server last described it. */
  body: JobBody | null;
  /** The saved workflow that it runs, if that is known. */
  workflow?: string;
};

const RECENT = 12;
const MAX_KEPT = 60;
const SENT = "comfyfleet.playground.sent";
const WAITING = "comfyfleet.playground.form";

export const jobs = signal<readonly PlaygroundJob[]>([]);
export const isRecentLoaded = signal(false);

let owner: string | undefined;
let sent: Record<string, Submission> = {};
let forms: Record<string, unknown> = {};
let nextKey = 0;

effect(() => {
  const id = me.value?.id;
  if (id === owner) return;
  if (owner !== undefined) for (const name of [SENT, WAITING]) sessionStorage.removeItem(name);
  owner = id;
  sent = id ? read<{ owner: string; sent: Record<string, Submission> }>(SENT, id)?.sent ?? {} : {};
  forms = id ? read<{ owner: string; forms: Record<string, unknown> }>(WAITING, id, JSON.parse)?.forms ?? {} : {}; // fields hold plain numbers
  jobs.value = [];
  isRecentLoaded.value = false;
});

/**
 * Submit a job. Its card is there at once.
 * @throws Problem if it is refused; the card is then gone.
 */
export async function submitJob(submission: Submission): Promise<JobBody> {
  const key = `new-${(nextKey += 1)}`;
  jobs.value = [{ key, jobId: null, submission, at: new Date().toISOString(), body: null, workflow: submission.workflow_name }, ...jobs.value].slice(0, MAX_KEPT);
  try {
    const body = await unwrap(api.POST("/api/v1/jobs", { body: submission as never }));
    remember(body.job_id, submission);
    change(key, { jobId: body.job_id, at: body.created_at, body });
    return body;
  } catch (error) {
    jobs.value = jobs.value.filter((job) => job.key !== key);
    throw error;
  } finally {
    void loadMe().catch(() => undefined); // the quota left
  }
}

/** Read a job again, for example after its last frame. */
export async function refreshJob(job: PlaygroundJob): Promise<void> {
  const body = await unwrap(api.GET("/api/v1/jobs/{job_id}", { params: { path: { job_id: job.jobId! } } }));
  change(job.key, { body });
  if (isFinalStatus(body.status)) void loadMe().catch(() => undefined);
}

/** Read what a job ran, as a submission that runs it again. */
export async function readSubmission(jobId: string): Promise<{ submission: Submission; workflow: string }> {
  const answer = await unwrap(api.GET("/api/v1/jobs/{job_id}/submission", { params: { path: { job_id: jobId } }, parseAs: "text" }));
  return parseExact(answer) as { submission: Submission; workflow: string };
}

export async function loadSubmission(job: PlaygroundJob): Promise<void> {
  const { submission, workflow } = await readSubmission(job.jobId!);
  change(job.key, { submission, workflow: job.workflow ?? workflow });
}

export async function cancelJob(job: PlaygroundJob): Promise<void> {
  change(job.key, { body: await unwrap(api.POST("/api/v1/jobs/{job_id}/cancel", { params: { path: { job_id: job.jobId! } } })) });
}

/** Add the user's last jobs, whichever client submitted them; with a name, those of this saved workflow. */
export async function loadRecent(workflow?: string): Promise<void> {
  const { jobs: recent } = await unwrap(api.GET("/api/v1/jobs", { params: { query: { limit: RECENT, ...(workflow ? { workflow } : {}) } } }));
  const known = new Set(jobs.value.map(({ jobId }) => jobId));
  const added = recent
    .filter(({ job_id }) => !known.has(job_id))
    .map((body): PlaygroundJob => {
      const submission = sent[body.job_id] ?? null;
      return { key: body.job_id, jobId: body.job_id, submission, at: body.created_at, body, workflow: workflow ?? submission?.workflow_name };
    });
  const bodies = new Map(recent.map((body) => [body.job_id, body]));
  const updated = jobs.value.map((job) => (job.jobId && bodies.has(job.jobId) ? { ...job, body: bodies.get(job.jobId)!, workflow: workflow ?? job.workflow } : job));
  jobs.value = [...updated, ...added].sort((one, other) => other.at.localeCompare(one.at)).slice(0, MAX_KEPT);
  isRecentLoaded.value = true;
}

function change(key: string, changed: Partial<PlaygroundJob>): void {
  jobs.value = jobs.value.map((job) => (job.key === key ? { ...job, ...changed } : job));
}

function remember(jobId: string, submission: Submission): void {
  sent = Object.fromEntries([...Object.entries(sent), [jobId, submission] as const].slice(-MAX_KEPT));
  write(SENT, { owner, sent });
}

/** Keep what is in a form, so that neither a change of the page nor a reload loses it. */
export function keepForm<T>(name: string, values: T): void {
  forms = { ...forms, [name]: values };
  write(WAITING, { owner, forms });
}

/** What was in the form when it was last shown. */
export function keptForm<T>(name: string): T | undefined {
  return forms[name] as T | undefined;
}

export function forgetForm(name: string): void {
  keepForm(name, undefined);
}

function write(name: string, value: object): void {
  try {
    sessionStorage.setItem(name, JSON.stringify(value));
  } catch {
    sessionStorage.removeItem(name); // full: large graphs
  }
}

function read<T>(name: string, user: string | undefined, parse: (body: string) => unknown = parseExact): T | undefined {
  const stored = parse(sessionStorage.getItem(name) ?? "null") as (T & { owner?: string }) | null;
  return stored && stored.owner === user ? stored : undefined;
}
