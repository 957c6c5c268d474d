/** Frames of the websocket and what a job looks like after each. Pure, so that tests can feed any order of frames. */
import type { Schemas } from "../api/client";

export type Status = Schemas["JobStatus"];

export type LiveOutput = { index: number; url: string; kind: string; content_type?: string; node_id?: string };

export type Frame = {
  type: "snapshot" | "status" | "waiting" | "progress" | "output" | "end" | "unsubscribed" | "error";
  job_id: string;
  seq?: number;
  at?: string;
  status?: Status;
  attempt?: number;
  progress?: number;
  value?: number;
  max?: number;
  node?: string | null;
  node_class?: string | null;
  nodes_done?: number;
  nodes_total?: number;
  eta_seconds?: number | null;
  queue_position?: number | null;
  waiting?: Schemas["Waiting"] | null;
  outputs?: LiveOutput[];
  error?: Schemas["JobError"];
  index?: number;
  url?: string;
  kind?: string;
  content_type?: string;
  node_id?: string;
  code?: string;
  message?: string;
};

export type LiveJob = {
  jobId: string;
  /** The last state event seen, after which a new connection resumes. */
  seq: number | null;
  status?: Status;
  attempt?: number;
  /** Percent; never decreases within an attempt. */
  progress?: number;
  node?: string | null;
  nodeClass?: string | null;
  step?: { value: number; max: number };
  nodes?: { done: number; total: number };
  etaSeconds?: number | null;
  queuePosition?: number | null;
  waiting?: Schemas["Waiting"] | null;
  outputs?: LiveOutput[];
  error?: Schemas["JobError"];
  /** Set if the job cannot be watched, now or later. */
  refusal?: { code: string; message: string };
  isFinal: boolean;
};

/** Codes of refusals that say nothing about the job: the same subscription can succeed later. */
const TEMPORARY: ReadonlySet<string> = new Set(["service.unavailable", "internal", "socket.too_many_jobs"]);

const FINAL: ReadonlySet<string> = new Set<Status>(["completed", "failed", "cancelled"]);

export function isFinalStatus(status: string | undefined): boolean {
  return status !== undefined && FINAL.has(status);
}

/** Whether the server has ended the subscription for a reason that passes. */
export function isTemporaryRefusal(frame: Frame): boolean {
  return frame.type === "error" && TEMPORARY.has(frame.code ?? "");
}

/** Return the job after one more frame. Old and repeated frames change nothing. */
export function applyFrame(job: LiveJob, frame: Frame): LiveJob {
  if (frame.seq !== undefined && job.seq !== null && frame.seq < job.seq) return job;
  switch (frame.type) {
    case "snapshot":
      return {
        ...job,
        seq: frame.seq ?? job.seq,
        status: frame.status,
        attempt: frame.attempt,
        progress: frame.progress,
        queuePosition: frame.queue_position,
        etaSeconds: frame.eta_seconds,
        waiting: frame.waiting,
        outputs: frame.outputs,
        error: frame.error,
        isFinal: isFinalStatus(frame.status),
      };
    case "status":
      return {
        ...job,
        seq: frame.seq ?? job.seq,
        status: frame.status,
        attempt: frame.attempt,
        error: frame.error,
        waiting: frame.status === "pending" ? job.waiting : null,
        progress: frame.status === "completed" ? 100 : frame.attempt === job.attempt ? job.progress : 0,
      };
    case "waiting":
      return { ...job, waiting: frame.waiting, queuePosition: frame.queue_position, etaSeconds: frame.eta_seconds };
    case "progress":
      if (job.isFinal) return job;
      return {
        ...job,
        progress: frame.progress,
        node: frame.node,
        nodeClass: frame.node_class,
        step: { value: frame.value ?? 0, max: frame.max ?? 0 },
        nodes: { done: frame.nodes_done ?? 0, total: frame.nodes_total ?? 0 },
        etaSeconds: frame.eta_seconds,
      };
    case "output": {
      const output: LiveOutput = {
        index: frame.index ?? 0,
        url: frame.url ?? "",
        kind: frame.kind ?? "file",
        content_type: frame.content_type,
        node_id: frame.node_id,
      };
      return { ...job, outputs: [...(job.outputs ?? []).filter(({ index }) => index !== output.index), output] };
    }
    case "end":
      return { ...job, status: frame.status ?? job.status, isFinal: true };
    case "error":
      if (isTemporaryRefusal(frame)) return job;
      return { ...job, refusal: { code: frame.code ?? "", message: frame.message ?? "" }, isFinal: true };
    case "unsubscribed":
      return job;
  }
}
