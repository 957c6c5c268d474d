/** The jobs of the playground, newest first. */
import { useEffect } from "preact/hooks";

import { text } from "../../text";
import { attempt } from "../../ui/dialog";
import type { PickedImage } from "../../ui/image_field";
import { Empty, Skeleton } from "../../ui/show";
import { JobCard } from "./JobCard";
import { isRecentLoaded, jobs, loadRecent, type PlaygroundJob } from "./jobs";
import type { Mode, Submission } from "./settings";

const words = text.playground;

type Props = {
  /** Only jobs of this saved workflow. */
  workflow?: string;
  onReuse: (submission: Submission) => void;
  onUseImage?: (image: PickedImage, mode: Mode) => void;
  emptyTitle?: string;
  emptyText?: string;
};

export function Results({ workflow, onReuse, onUseImage, emptyTitle = words.emptyTitle, emptyText = words.emptyText }: Props) {
  useEffect(() => {
    void attempt(() => loadRecent(workflow));
  }, [workflow]);
  const shown = jobs.value.filter((job: PlaygroundJob) => workflow === undefined || job.workflow === workflow);
  return (
    <section class="stack results" aria-label={words.results}>
      <h2 class="visually-hidden">{words.results}</h2>
      {shown.map((job) => <JobCard key={job.key} job={job} onReuse={onReuse} onUseImage={onUseImage} />)}
      {shown.length === 0 && (isRecentLoaded.value ? <Empty icon="image" title={emptyTitle}><p>{emptyText}</p></Empty> : <Skeleton />)}
    </section>
  );
}
