/** Outputs of all own jobs, and actions on many jobs. */
import type { MediaItem } from "../ui/viewer";
import { api, unwrap, type Schemas } from "./client";
import type { paths } from "./schema";

export type ListedOutput = Schemas["ListedOutputBody"];
export type OutputQuery = NonNullable<paths["/api/v1/outputs"]["get"]["parameters"]["query"]>;

/** The API's limit for one request. */
export const MOST_JOBS = 100;

export function listOutputs(query: OutputQuery): Promise<Schemas["ListedOutputsBody"]> {
  return unwrap(api.GET("/api/v1/outputs", { params: { query } }));
}

/** Cancel or purge jobs, 100 in each request. Refused ones do not stop the others. */
export async function changeJobs(action: "cancel" | "purge", jobIds: readonly string[]): Promise<Schemas["BulkItem"][]> {
  const items: Schemas["BulkItem"][] = [];
  for (let start = 0; start < jobIds.length; start += MOST_JOBS) {
    const body = { action, job_ids: jobIds.slice(start, start + MOST_JOBS) };
    items.push(...(await unwrap(api.POST("/api/v1/jobs/bulk", { body }))).jobs);
  }
  return items;
}

/** Download the outputs of up to 100 jobs as one file, straight to the disk. */
export async function downloadJobs(jobIds: readonly string[]): Promise<void> {
  const { url } = await unwrap(api.POST("/api/v1/outputs.zip", { body: { job_ids: [...jobIds] } }));
  const { pathname, search } = new URL(url, location.origin);
  const link = document.createElement("a");
  link.href = pathname + search;
  link.download = "";
  link.click();
}

/** Describe an output for the viewer. */
export function mediaItem(output: Schemas["OutputBody"] | ListedOutput, jobId: string): MediaItem {
  return {
    id: output.id,
    jobId,
    name: output.name,
    kind: output.kind,
    contentType: output.content_type,
    sizeBytes: output.size_bytes,
    url: output.url,
    value: output.value,
  };
}
