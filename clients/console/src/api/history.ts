/** What a job ran, how it went, and its share. */
import { api, unwrap, type Schemas } from "./client";
import { parseExact } from "./exact";

const ofJob = (jobId: string) => ({ params: { path: { job_id: jobId } } });

export async function readSubmission(jobId: string): Promise<Schemas["JobSubmissionBody"]> {
  return parseExact(await unwrap(api.GET("/api/v1/jobs/{job_id}/submission", { ...ofJob(jobId), parseAs: "text" })));
}

export async function readAttempts(jobId: string): Promise<Schemas["TimelineBody"]["attempts"]> {
  return (await unwrap(api.GET("/api/v1/jobs/{job_id}/timeline", ofJob(jobId)))).attempts;
}

/** Share a job with all users of the fleet. The token is given out only here. */
export function shareJob(jobId: string, seconds: number): Promise<Schemas["NewShareBody"]> {
  return unwrap(api.POST("/api/v1/jobs/{job_id}/share", { ...ofJob(jobId), body: { expires_in_seconds: seconds } }));
}

/** @throws Problem with the status 404 if the job is not shared. */
export function readShare(jobId: string): Promise<Schemas["ShareBody"]> {
  return unwrap(api.GET("/api/v1/jobs/{job_id}/share", ofJob(jobId)));
}

export async function endShare(jobId: string): Promise<void> {
  await unwrap(api.DELETE("/api/v1/jobs/{job_id}/share", ofJob(jobId)));
}

export async function readSharedJob(token: string): Promise<Schemas["SharedJobBody"]> {
  return parseExact(await unwrap(api.GET("/api/v1/shared/{share_token}", { params: { path: { share_token: token } }, parseAs: "text" })));
}
