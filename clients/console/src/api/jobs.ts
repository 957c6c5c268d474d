/** Own jobs. */
import { api, unwrap, type Schemas } from "./client";
import type { paths } from "./schema";

export type Job = Schemas["JobBody"];
export type JobQuery = NonNullable<paths["/api/v1/jobs"]["get"]["parameters"]["query"]>;

export function listJobs(query: JobQuery): Promise<Schemas["JobsBody"]> {
  return unwrap(api.GET("/api/v1/jobs", { params: { query } }));
}

/** @throws Problem with the status 404 if there is no such job. */
export function readJob(jobId: string): Promise<Job> {
  return unwrap(api.GET("/api/v1/jobs/{job_id}", { params: { path: { job_id: jobId } } }));
}
