/**
 * Live states of jobs over one websocket. It opens with a one-use ticket, subscribes to every watched job, and after a
 * lost connection resumes each after the last `seq` that it saw, so that no state is missed.
 */
import { signal, type ReadonlySignal, type Signal } from "@preact/signals";
import { useEffect } from "preact/hooks";

import { api, unwrap } from "../api/client";
import { applyFrame, isTemporaryRefusal, type Frame, type LiveJob } from "./frames";

export type { LiveJob } from "./frames";

const MAX_DELAY_MS = 15_000;

type Watch = { job: Signal<LiveJob>; viewers: number; refusals: number; retry?: ReturnType<typeof setTimeout> };

const watches = new Map<string, Watch>();
let socket: WebSocket | null = null;
let failures = 0;
let opening = false;
/** Set while nothing is sent because the last attempt to connect failed. */
let reopening: ReturnType<typeof setTimeout> | undefined;

/** Whether live updates arrive; null while nothing is watched. */
export const isConnected = signal<boolean | null>(null);

/** Watch a job for as long as the component is mounted; `null` watches nothing. Ended jobs cost nothing. */
export function useLiveJob(jobId: string | null): LiveJob | null {
  const watched = jobId ? watchOf(jobId).job : NOTHING;
  useEffect(() => (jobId ? watch(jobId) : undefined), [jobId]);
  return watched.value;
}

/** Watch a job until the returned function is called. */
export function watch(jobId: string): () => void {
  const entry = watchOf(jobId);
  entry.viewers += 1;
  if (entry.viewers === 1 && !entry.job.value.isFinal) subscribe(jobId, entry);
  return () => {
    entry.viewers -= 1;
    if (entry.viewers > 0) return;
    clearTimeout(entry.retry);
    watches.delete(jobId);
    send({ type: "unsubscribe", job_id: jobId });
    if (watches.size === 0) close();
  };
}

const NOTHING: ReadonlySignal<LiveJob | null> = signal(null);

function watchOf(jobId: string): Watch {
  let entry = watches.get(jobId);
  if (!entry) {
    entry = { job: signal({ jobId, seq: null, isFinal: false }), viewers: 0, refusals: 0 };
    watches.set(jobId, entry);
  }
  return entry;
}

function subscribe(jobId: string, entry: Watch): void {
  clearTimeout(entry.retry);
  const after = entry.job.value.seq;
  if (socket?.readyState === WebSocket.OPEN) {
    send({ type: "subscribe", job_id: jobId, ...(after === null ? {} : { after }) });
  } else if (reopening === undefined) void open();
}

/** Subscribe again later, after longer pauses the more often it was refused in a row. */
function subscribeLater(jobId: string, entry: Watch): void {
  clearTimeout(entry.retry);
  entry.retry = setTimeout(() => subscribe(jobId, entry), retryDelay(entry.refusals));
  entry.refusals += 1;
}

function retryDelay(failed: number): number {
  return Math.min(MAX_DELAY_MS, 500 * 2 ** failed) * (0.5 + Math.random() / 2);
}

function send(message: object): void {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
}

function close(): void {
  const last = socket;
  socket = null;
  cancelReopening();
  isConnected.value = null;
  last?.close();
}

async function open(): Promise<void> {
  if (opening || socket) return;
  cancelReopening();
  opening = true;
  try {
    const { ticket } = await unwrap(api.POST("/api/v1/ws-tickets"));
    const url = new URL("/ws", location.href);
    url.protocol = url.protocol.replace("http", "ws");
    url.searchParams.set("ticket", ticket);
    connect(new WebSocket(url));
  } catch {
    reopenLater();
  } finally {
    opening = false;
  }
}

function connect(opened: WebSocket): void {
  socket = opened;
  opened.onopen = () => {
    failures = 0;
    isConnected.value = true;
    for (const [jobId, entry] of watches) if (!entry.job.value.isFinal) subscribe(jobId, entry);
  };
  opened.onmessage = ({ data }) => {
    if (typeof data !== "string") return; // previews: binary frames
    const frame = JSON.parse(data) as Frame;
    const entry = watches.get(frame.job_id);
    if (!entry) return;
    if (isTemporaryRefusal(frame)) return subscribeLater(frame.job_id, entry);
    entry.refusals = 0;
    entry.job.value = applyFrame(entry.job.value, frame);
  };
  opened.onclose = () => {
    if (socket !== opened) return;
    socket = null;
    reopenLater();
  };
}

function reopenLater(): void {
  cancelReopening();
  if (![...watches.values()].some(({ job }) => !job.value.isFinal)) {
    isConnected.value = null;
    return;
  }
  isConnected.value = false;
  reopening = setTimeout(() => void open(), retryDelay(failures));
  failures += 1;
}

function cancelReopening(): void {
  clearTimeout(reopening);
  reopening = undefined;
}

addEventListener("online", () => void (watches.size > 0 && open()));
