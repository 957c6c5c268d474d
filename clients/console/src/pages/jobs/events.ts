/** The state events of one job, from the event stream of the API. */
import { useEffect, useState } from "preact/hooks";

import { openStream } from "../../api/client";
import { Problem } from "../../api/problem";
import { isFinalStatus, type LiveJob } from "../../live/frames";
import { addStep, parseEvents, type JobEvent, type NodeStep } from "./timeline";

const RECONNECT_MS = 2000;

/** All events of the job so far; follows the stream until the job has ended, and connects again if it breaks. */
export function useJobEvents(jobId: string): readonly JobEvent[] {
  const [events, setEvents] = useState<readonly JobEvent[]>([]);
  useEffect(() => {
    const abort = new AbortController();
    setEvents([]);
    let known: readonly JobEvent[] = [];
    const add = (found: readonly JobEvent[]) => {
      known = [...known, ...found.filter(({ seq }) => seq > (known.at(-1)?.seq ?? 0))];
      setEvents(known);
    };
    void follow(jobId, () => known.at(-1), add, abort.signal);
    return () => abort.abort();
  }, [jobId]);
  return events;
}

async function follow(jobId: string, newest: () => JobEvent | undefined, add: (events: readonly JobEvent[]) => void, signal: AbortSignal): Promise<void> {
  while (!signal.aborted && !isFinalStatus(newest()?.status)) {
    try {
      const stream = await openStream(`/api/v1/jobs/${jobId}/events?after=${newest()?.seq ?? 0}`, signal);
      let rest = "";
      for (const reader = stream.pipeThrough(new TextDecoderStream()).getReader(); ;) {
        const { done, value } = await reader.read();
        if (done) break;
        const parsed = parseEvents(rest + value);
        rest = parsed.rest;
        if (parsed.events.length > 0) add(parsed.events);
      }
    } catch (error) {
      if (signal.aborted || (error instanceof Problem && !error.isTemporary)) return; // the page shows why
    }
    await new Promise((resolve) => setTimeout(resolve, RECONNECT_MS));
  }
}

/** The nodes that ran while the page was open. The server does not store them. */
export function useNodeSteps(live: LiveJob | null): readonly NodeStep[] {
  const [steps, setSteps] = useState<readonly NodeStep[]>([]);
  const { node = null, nodeClass = null, attempt = 1, isFinal = false } = live ?? {};
  useEffect(() => {
    if (live && (node !== null || steps.length > 0)) setSteps(addStep(steps, attempt, isFinal ? null : node, nodeClass, Date.now()));
  }, [node, nodeClass, attempt, isFinal]);
  return steps;
}
