/** Actions for the jobs of the selected outputs. */
import "../jobs/jobs.css";

import { useState } from "preact/hooks";

import { changeJobs, downloadJobs, MOST_JOBS, type ListedOutput } from "../../api/outputs";
import { text } from "../../text";
import { Button } from "../../ui/controls";
import { attempt, ConfirmDialog, showToast } from "../../ui/dialog";
import { formatBytes } from "../../ui/format";

type BarProps = {
  selected: ReadonlySet<string>;
  items: readonly ListedOutput[];
  onClear: () => void;
  /** Gets the ids of the jobs that were deleted. */
  onPurged: (jobIds: ReadonlySet<string>) => void;
};

export function SelectionBar({ selected, items, onClear, onPurged }: BarProps) {
  const [isPurging, setPurging] = useState(false);
  const outputs = items.filter(({ job_id }) => selected.has(job_id));
  const size = outputs.reduce((sum, { size_bytes }) => sum + size_bytes, 0);
  async function purge(): Promise<void> {
    const answers = await changeJobs("purge", [...selected]);
    const refused = answers.filter(({ problem }) => problem);
    if (refused.length > 0) showToast(text.jobs.bulkPartly(answers.length - refused.length, refused.length, String(refused[0]!.problem!["detail"])), "bad");
    else showToast(text.jobs.bulkDone(answers.length), "good");
    onPurged(new Set(answers.filter(({ problem }) => !problem).map(({ job_id }) => job_id)));
    onClear();
  }
  function save(): void {
    if (selected.size > MOST_JOBS) showToast(text.jobs.downloadTooMany(MOST_JOBS), "bad");
    else void attempt(() => downloadJobs([...selected]));
  }
  return (
    <div class="bulk-bar" role="toolbar" aria-label={text.gallery.selection}>
      <strong class="number nowrap">{text.gallery.selected(selected.size, outputs.length)}</strong>
      <Button isSmall icon="download" onClick={save}>{text.jobs.download}</Button>
      <Button isSmall icon="trash" look="danger" onClick={() => setPurging(true)}>{text.jobs.purge}</Button>
      <Button isSmall look="quiet" onClick={onClear}>{text.jobs.clearSelection}</Button>
      {isPurging && (
        <ConfirmDialog title={text.jobs.purgeTitle(selected.size)} action={text.jobs.purge} isDangerous onConfirm={purge} onClose={() => setPurging(false)}
          effects={[text.jobs.purgeEnded(selected.size, outputs.length, formatBytes(size)), text.jobs.purgeLinks]} />
      )}
    </div>
  );
}
