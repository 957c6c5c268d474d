import { text } from "../../text";
import { formatDuration } from "../../ui/format";
import { LocalTime } from "../../ui/show";
import type { Moment } from "./timeline";

const LOOKS: Record<Moment["kind"], string> = {
  queued: "", requeued: "warn", assigned: "info", started: "info", node: "node", completed: "good", failed: "bad", cancelled: "warn",
};

export function JobTimeline({ moments }: { moments: readonly Moment[] }) {
  const hasAttempts = moments.some(({ attempt }) => attempt > 1);
  return (
    <ol class="timeline">
      {moments.map((moment) => (
        <li key={moment.key} class={LOOKS[moment.kind]}>
          <div class="row">
            <span class="grow truncate" title={moment.node}>
              {moment.kind === "node" ? (moment.nodeClass ?? moment.node) : text.job.moments[moment.kind]}
              {hasAttempts && moment.attempt > 0 && moment.kind === "assigned" && <span class="soft small"> · {text.job.attempt(moment.attempt)}</span>}
            </span>
            {moment.seconds !== null && <span class="soft small number nowrap">{formatDuration(moment.seconds)}</span>}
          </div>
          {moment.kind !== "node" && <div class="soft small"><LocalTime at={moment.at} /></div>}
          {moment.kind === "requeued" && moment.error && <div class="small">{moment.error.message}</div>}
        </li>
      ))}
    </ol>
  );
}
