/** What a job ran, how it went, and its share. */
import { api, unwrap, type Schemas } from "./client";
import { parseWithSeeds } from "./exact";
import type { ListedOutput } from "./outputs";

/** `submission` is a body for POST /jobs that runs the same again. */
export type Submission = { workflow: string; submission: Record<string, unknown>; graph: Record<string, unknown> };

export type Attempt = {
  attempt: number;
  started_at: string;
  ended_at: string | null;
  outcome: string | null;
  gpu_seconds: number | null;
  error: Schemas["JobError"] | null;
};

export type SharedJob = Pick<
  Schemas["JobBody"],
  "job_id" | "status" | "progress" | "attempt" | "created_at" | "started_at" | "completed_at" | "timings" | "error" | "warnings" | "model" | "seed" | "seeds"
> & { workflow: string; submission: Record<string, unknown>; outputs: ListedOutput[]; expires_at: string };

type Untyped = (path: string, init?: object) => Promise<{ data?: unknown; error?: unknown; response: Response }>;
const untyped = api as unknown as { GET: Untyped; POST: Untyped; DELETE: Untyped };

const ofJob = (jobId: string) => ({ params: { path: { job_id: jobId } } });

export async function readSubmission(jobId: string): Promise<Submission> {
  return parseWithSeeds((await unwrap(untyped.GET("/api/v1/jobs/{job_id}/submission", { ...ofJob(jobId), parseAs: "text" }))) as string);
}

export async function readAttempts(jobId: string): Promise<Attempt[]> {
  return ((await unwrap(untyped.GET("/api/v1/jobs/{job_id}/timeline", ofJob(jobId)))) as { attempts: Attempt[] }).attempts;
}

/** Share a job with all users of the fleet. The token is given out only here. */
export async function shareJob(jobId: string, seconds: number): Promise<{ token: string; expires_at: string }> {
  const shared = await unwrap(untyped.POST("/api/v1/jobs/{job_id}/share", { ...ofJob(jobId), body: { expires_in_seconds: seconds } }));
  return shared as { token: string; expires_at: string };
}

/** @throws Problem with the status 404 if the job is not shared. */
export async function readShare(jobId: string): Promise<{ expires_at: string }> {
  return (await unwrap(untyped.GET("/api/v1/jobs/{job_id}/share", ofJob(jobId)))) as { expires_at: string };
}

export async function endShare(jobId: string): Promise<void> {
  await unwrap(untyped.DELETE("/api/v1/jobs/{job_id}/share", ofJob(jobId)));
}

export async function readSharedJob(token: string): Promise<SharedJob> {
  const path = { params: { path: { share_token: token } }, parseAs: "text" };
  return parseWithSeeds((await unwrap(untyped.GET("/api/v1/shared/{share_token}", path))) as string);
}
