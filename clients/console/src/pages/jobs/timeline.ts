/** What happened to a job, from its state events and from the nodes that were seen running. Pure. */
import type { Schemas } from "../../api/client";
import type { Status } from "../../live/frames";

export type JobEvent = { seq: number; status: Status; attempt: number; at: string; error?: Schemas["JobError"] };

/** A node of the workflow while it ran; `at` in milliseconds, by this browser's clock. */
export type NodeStep = { attempt: number; node: string; nodeClass: string | null; at: number; endedAt: number | null };

export type Moment = {
  key: string;
  kind: "queued" | "requeued" | "assigned" | "started" | "node" | "completed" | "failed" | "cancelled";
  at: string;
  attempt: number;
  /** How long it lasted: a node its run, every other moment the time until the next state. Null while it lasts. */
  seconds: number | null;
  node?: string;
  nodeClass?: string | null;
  error?: Schemas["JobError"];
};

/** Return the moments in the order of their time; nodes after the start of their attempt. */
export function buildTimeline(events: readonly JobEvent[], steps: readonly NodeStep[]): Moment[] {
  const ordered = [...events].sort((left, right) => left.seq - right.seq);
  return ordered.flatMap((event, index): Moment[] => {
    const previous = ordered[index - 1];
    const next = ordered[index + 1];
    const moment: Moment = {
      key: String(event.seq),
      kind: kindOf(event, previous),
      at: event.at,
      attempt: event.attempt,
      seconds: next ? Math.max(0, (Date.parse(next.at) - Date.parse(event.at)) / 1000) : null,
      error: event.error,
    };
    const isLastOfAttempt = event.status === "processing" && (next?.status !== "processing" || next.attempt !== event.attempt);
    return isLastOfAttempt ? [moment, ...steps.filter(({ attempt }) => attempt === event.attempt).map(nodeMoment)] : [moment];
  });
}

function kindOf({ status, attempt }: JobEvent, previous: JobEvent | undefined): Moment["kind"] {
  if (status === "pending") return previous ? "requeued" : "queued";
  if (status !== "processing") return status;
  return previous?.status === "processing" && previous.attempt === attempt ? "started" : "assigned";
}

function nodeMoment({ attempt, node, nodeClass, at, endedAt }: NodeStep): Moment {
  return {
    key: `${attempt}-${node}-${at}`,
    kind: "node",
    at: new Date(at).toISOString(),
    attempt,
    seconds: endedAt === null ? null : (endedAt - at) / 1000,
    node,
    nodeClass,
  };
}

/** Return the steps after a progress report of a node; null: no node runs any more. */
export function addStep(steps: readonly NodeStep[], attempt: number, node: string | null, nodeClass: string | null, now: number): readonly NodeStep[] {
  const last = steps.at(-1);
  if (last && last.endedAt === null && last.node === node && last.attempt === attempt) return steps;
  const ended = steps.map((step) => (step.endedAt === null ? { ...step, endedAt: now } : step));
  return node === null ? ended : [...ended, { attempt, node, nodeClass, at: now, endedAt: null }];
}

/** Return the events of a part of a stream of server-sent events, and the rest that is not complete yet. */
export function parseEvents(received: string): { events: JobEvent[]; rest: string } {
  const blocks = received.replaceAll("\r\n", "\n").split("\n\n");
  const rest = blocks.pop() ?? "";
  const events = blocks.flatMap((block): JobEvent[] => {
    const data = block.split("\n").filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trim()).join("\n");
    return data ? [JSON.parse(data) as JobEvent] : [];
  });
  return { events, rest };
}
