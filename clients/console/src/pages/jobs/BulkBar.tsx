/** Actions for the selected jobs. Each says first what it will do. */
import { useState } from "preact/hooks";

import { changeJobs, downloadJobs, MOST_JOBS } from "../../api/outputs";
import { isFinalStatus } from "../../live/frames";
import { text } from "../../text";
import { Button } from "../../ui/controls";
import { attempt, ConfirmDialog, showToast } from "../../ui/dialog";
import { formatBytes } from "../../ui/format";
import type { BulkAction, Job, JobList } from "./store";

export function BulkBar({ list }: { list: JobList }) {
  const [action, setAction] = useState<BulkAction | null>(null);
  const selected = list.selected.value;
  if (selected.size === 0) return null;
  const jobs = list.jobs(selected);
  async function run(chosen: BulkAction): Promise<void> {
    const suitable = jobs.filter((job) => isFinalStatus(job.status) === (chosen === "purge"));
    const items = await changeJobs(chosen, suitable.map(({ job_id }) => job_id));
    const refused = items.filter(({ problem }) => problem);
    if (refused.length > 0) showToast(text.jobs.bulkPartly(items.length - refused.length, refused.length, String(refused[0]!.problem!["detail"])), "bad");
    else showToast(text.jobs.bulkDone(items.length), "good");
    list.selectAll(false);
    await list.showChanged(chosen, items.filter(({ problem }) => !problem).map(({ job_id }) => job_id));
  }
  function save(): void {
    const withOutputs = jobs.filter(({ outputs }) => outputs.length > 0);
    if (withOutputs.length === 0) showToast(text.jobs.downloadNone);
    else if (withOutputs.length > MOST_JOBS) showToast(text.jobs.downloadTooMany(MOST_JOBS), "bad");
    else void attempt(() => downloadJobs(withOutputs.map(({ job_id }) => job_id)));
  }
  const ended = jobs.filter(({ status }) => isFinalStatus(status)).length;
  return (
    <div class="bulk-bar" role="toolbar" aria-label={text.jobs.bulk}>
      <strong class="number nowrap">{text.jobs.selected(jobs.length)}</strong>
      <Button isSmall icon="stop" isDisabled={ended === jobs.length} onClick={() => setAction("cancel")}>{text.jobs.cancel}</Button>
      <Button isSmall icon="download" onClick={save}>{text.jobs.download}</Button>
      <Button isSmall icon="trash" look="danger" isDisabled={ended === 0} onClick={() => setAction("purge")}>{text.jobs.purge}</Button>
      <Button isSmall look="quiet" onClick={() => list.selectAll(false)}>{text.jobs.clearSelection}</Button>
      {action && (
        <ConfirmDialog
          title={action === "cancel" ? text.jobs.cancelTitle(jobs.length - ended) : text.jobs.purgeTitle(ended)}
          effects={action === "cancel" ? cancelEffects(jobs) : purgeEffects(jobs)}
          action={action === "cancel" ? text.jobs.cancelTitle(jobs.length - ended) : text.jobs.purge}
          isDangerous onConfirm={() => run(action)} onClose={() => setAction(null)}
        />
      )}
    </div>
  );
}

function cancelEffects(jobs: readonly Job[]): string[] {
  const count = (wanted: (job: Job) => boolean) => jobs.filter(wanted).length;
  const waiting = count(({ status }) => status === "pending");
  const running = count(({ status }) => status === "processing");
  const ended = jobs.length - waiting - running;
  return [
    ...(waiting ? [text.jobs.cancelWaiting(waiting)] : []),
    ...(running ? [text.jobs.cancelRunning(running)] : []),
    ...(ended ? [text.jobs.cancelEnded(ended)] : []),
  ];
}

function purgeEffects(jobs: readonly Job[]): string[] {
  const ended = jobs.filter(({ status }) => isFinalStatus(status));
  const outputs = ended.flatMap((job) => job.outputs);
  const size = outputs.reduce((sum, { size_bytes }) => sum + size_bytes, 0);
  const active = jobs.length - ended.length;
  return [
    text.jobs.purgeEnded(ended.length, outputs.length, formatBytes(size)),
    text.jobs.purgeLinks,
    ...(active ? [text.jobs.purgeActive(active)] : []),
  ];
}
