/** One row of the list. It renders again only when its own job changes. */
import { useComputed, type Signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";

import { isFinalStatus } from "../../live/frames";
import { useLiveJob } from "../../live/watch";
import { text, workflowTitle } from "../../text";
import { formatDuration, formatNumber } from "../../ui/format";
import { Ago, Progress, StatusBadge } from "../../ui/show";
import type { Job, JobList } from "./store";
import { useIsVisible } from "./visible";

export function JobRow({ list, id }: { list: JobList; id: string }) {
  const row = list.row(id);
  const element = useRef<HTMLTableRowElement>(null);
  const isVisible = useIsVisible(element);
  const isSelected = useComputed(() => list.selected.value.has(id));
  const job = row.value;
  const saved = job.outputs.filter(({ temporary }) => !temporary).length;
  return (
    <tr ref={element} data-job={id} class={isSelected.value ? "selected" : ""}>
      <td class="check-cell">
        <input type="checkbox" aria-label={`${text.jobs.select} ${id}`} checked={isSelected.value}
          onClick={(event) => list.select(id, event.currentTarget.checked, event.shiftKey)} />
      </td>
      <td><LiveStatus row={row} isVisible={isVisible} onEnd={list.noteEnd} /></td>
      <td class="job-cell">
        <a href={`/jobs/${id}`} class="job-link">
          <strong>{workflowTitle(job.workflow)}</strong>
          <span class="soft small truncate">{job.model ?? ""}</span>
        </a>
        <div class="soft small truncate">
          {job.error ? <span class="job-failure" title={job.error.message}>{job.error.message}</span> : <span class="mono" title={id}>…{id.slice(-8)}</span>}
        </div>
      </td>
      <td class="labels-cell">{Object.entries(job.labels).slice(0, 2).map(([key, value]) => <span key={key} class="badge plain" title={`${key}: ${value}`}>{value}</span>)}</td>
      <td class="nowrap"><Ago at={job.created_at} /></td>
      <td class="number wide-only">{job.timings.running_seconds != null ? formatDuration(job.timings.running_seconds) : "–"}</td>
      <td class="number wide-only">{saved ? formatNumber(saved) : "–"}</td>
    </tr>
  );
}

/** The only part that renders with each report of progress. */
function LiveStatus({ row, isVisible, onEnd }: { row: Signal<Job>; isVisible: boolean; onEnd: (id: string) => void }) {
  const job = row.value;
  const hasEnded = isFinalStatus(job.status);
  const live = useLiveJob(!hasEnded && isVisible ? job.job_id : null);
  const isFinal = live?.isFinal ?? false;
  useEffect(() => {
    if (isFinal) onEnd(job.job_id);
  }, [isFinal]);
  const status = (!hasEnded && live?.status) || job.status;
  if (status !== "processing") return <StatusBadge status={status} />;
  const percent = Math.round(live?.progress ?? job.progress);
  return (
    <div class="stack tight live-status">
      <div class="row"><StatusBadge status={status} /><span class="soft small number">{text.jobs.percent(percent)}</span></div>
      <Progress percent={percent} label={text.jobs.progressOf} />
    </div>
  );
}
