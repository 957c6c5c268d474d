import { describe, expect, test } from "vitest";

import { applyFrame, type Frame, type LiveJob } from "../src/live/frames";

const START: LiveJob = { jobId: "j", seq: null, isFinal: false };

function after(...frames: Partial<Frame>[]): LiveJob {
  return frames.reduce<LiveJob>((job, frame) => applyFrame(job, { job_id: "j", ...frame } as Frame), START);
}

describe("a watched job", () => {
  test("takes its state from a snapshot and its progress from later frames", () => {
    const job = after(
      { type: "snapshot", seq: 1, status: "processing", attempt: 1, progress: 10 },
      { type: "progress", progress: 40, node: "3", node_class: "KSampler", value: 8, max: 20 },
    );
    expect(job).toMatchObject({ seq: 1, status: "processing", progress: 40, node: "3", step: { value: 8, max: 20 } });
  });

  test("ignores a state older than the last one seen", () => {
    const job = after({ type: "status", seq: 4, status: "completed", attempt: 1 }, { type: "status", seq: 3, status: "processing", attempt: 1 });
    expect(job.status).toBe("completed");
  });

  test("keeps an output that arrives twice once", () => {
    const job = after({ type: "output", index: 0, url: "/a" }, { type: "output", index: 0, url: "/a" }, { type: "output", index: 1, url: "/b" });
    expect(job.outputs?.map(({ url }) => url)).toEqual(["/a", "/b"]);
  });

  test("starts progress again with a new attempt", () => {
    const job = after(
      { type: "snapshot", seq: 2, status: "processing", attempt: 1, progress: 80 },
      { type: "status", seq: 3, status: "pending", attempt: 1 },
      { type: "status", seq: 4, status: "processing", attempt: 2 },
    );
    expect(job.progress).toBe(0);
  });

  test("is final after the end frame and takes no late progress", () => {
    const job = after({ type: "end", seq: 5, status: "completed" }, { type: "progress", progress: 30 });
    expect(job).toMatchObject({ isFinal: true, status: "completed" });
    expect(job.progress).toBeUndefined();
  });

  test("is final after a refusal for good, and unchanged after a temporary one", () => {
    expect(after({ type: "error", code: "job.not_found", message: "There is no such job." })).toMatchObject({ isFinal: true, refusal: { code: "job.not_found" } });
    expect(after({ type: "error", code: "service.unavailable", message: "Try again." })).toEqual(START);
  });
});
