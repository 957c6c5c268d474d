/** Outputs of all own jobs, and actions on many jobs. */
import type { MediaItem } from "../ui/viewer";
import { api, unwrap, type Schemas } from "./client";

export type ListedOutput = {
  id: string;
  job_id: string;
  index: number;
  node_id: string;
  name: string;
  kind: Schemas["OutputKind"];
  content_type: string;
  size_bytes: number;
  temporary: boolean;
  value: unknown;
  workflow: string;
  labels: Record<string, string>;
  created_at: string;
  url: string;
  thumbnail_url: string | null;
  url_expires_at: string;
};

export type ListedOutputs = { outputs: ListedOutput[]; next_cursor: string | null };
export type BulkItem = { job_id: string; status: number; problem?: Schemas["Problem"] | null };

/** The API's limit for one request. */
export const MOST_JOBS = 100;

type Untyped = (path: string, init: object) => Promise<{ data?: unknown; error?: unknown; response: Response }>;
const get = api.GET as unknown as Untyped;
const post = api.POST as unknown as Untyped;

export async function listOutputs(query: Record<string, unknown>): Promise<ListedOutputs> {
  return (await unwrap(get("/api/v1/outputs", { params: { query } }))) as ListedOutputs;
}

/** Cancel or purge jobs, 100 in each request. Refused ones do not stop the others. */
export async function changeJobs(action: "cancel" | "purge", jobIds: readonly string[]): Promise<BulkItem[]> {
  const items: BulkItem[] = [];
  for (let start = 0; start < jobIds.length; start += MOST_JOBS) {
    const body = { action, job_ids: jobIds.slice(start, start + MOST_JOBS) };
    items.push(...((await unwrap(post("/api/v1/jobs/bulk", { body }))) as { jobs: BulkItem[] }).jobs);
  }
  return items;
}

/** Download the outputs of up to 100 jobs as one file, straight to the disk. */
export async function downloadJobs(jobIds: readonly string[]): Promise<void> {
  const { url } = (await unwrap(post("/api/v1/outputs.zip", { body: { job_ids: jobIds } }))) as { url: string };
  const { pathname, search } = new URL(url, location.origin);
  const link = document.createElement("a");
  link.href = pathname + search;
  link.download = "";
  link.click();
}

export function mediaItem(output: ListedOutput): MediaItem {
  return {
    id: output.id,
    jobId: output.job_id,
    name: output.name,
    kind: output.kind,
    contentType: output.content_type,
    sizeBytes: output.size_bytes,
    url: output.url,
    value: output.value,
  };
}
