import "../jobs/jobs.css";

import { useRoute } from "preact-iso";
import { useMemo } from "preact/hooks";

import type { Schemas } from "../../api/client";
import { readSharedJob } from "../../api/history";
import { mediaItem } from "../../api/outputs";
import { useResource } from "../../api/resource";
import { isFinalStatus } from "../../live/frames";
import { text, workflowTitle } from "../../text";
import { ProblemNotice } from "../../ui/dialog";
import { formatDuration } from "../../ui/format";
import { Icon } from "../../ui/icons";
import { Ago, Empty, PageHead, Progress, Skeleton, StatusBadge } from "../../ui/show";
import { JobOutputs } from "../jobs/JobOutputs";
import { SubmissionCard } from "../jobs/SubmissionCard";

const REFRESH_MS = 300_000; // renews the links of the outputs

export default function SharedJobPage() {
  const token = useRoute().params["token"]!;
  const shared = useResource(`shared:${token}`, () => readSharedJob(token), { everyMs: REFRESH_MS });
  if (shared.problem?.status === 404) {
    return (
      <>
        <PageHead title={text.shared.title} />
        <Empty icon="link" title={text.shared.goneTitle}><p>{text.shared.goneBody}</p><a class="button" href="/">{text.nav.playground}</a></Empty>
      </>
    );
  }
  return (
    <>
      {!shared.data && <PageHead title={text.shared.title} />}
      {shared.problem && <ProblemNotice problem={shared.problem} onRetry={() => void shared.reload()} />}
      {shared.data ? <Detail job={shared.data} /> : !shared.problem && <Skeleton lines={6} />}
    </>
  );
}

function Detail({ job }: { job: Schemas["SharedJobBody"] }) {
  const items = useMemo(() => job.outputs.map((output) => mediaItem(output, output.job_id)), [job]);
  const { running_seconds } = job.timings;
  return (
    <>
      <PageHead
        title={workflowTitle(job.workflow)}
        intro={<span class="row wrap job-subtitle"><StatusBadge status={job.status} /><Ago at={job.created_at} />{job.model && <span class="truncate">{job.model}</span>}</span>}
      />
      <div class="notice"><Icon name="share" /><span>{text.shared.notice} <Ago at={job.expires_at} />.</span></div>
      {job.status === "processing" && <Progress percent={job.progress} label={text.job.progress} />}
      {job.error && <div class="notice bad"><Icon name="alert" /><span>{job.error.message}</span></div>}
      <section class="stack" aria-labelledby="outputs-title">
        <h2 id="outputs-title">{text.job.outputs}</h2>
        {items.length > 0
          ? <JobOutputs items={items} temporary={new Set(job.outputs.filter((output) => output.temporary).map(({ id }) => id))} />
          : <div class="card soft">{isFinalStatus(job.status) ? text.job.noOutputs : text.job.noOutputsYet}</div>}
      </section>
      <SubmissionCard workflow={job.workflow} submission={job.submission} />
      {running_seconds != null && <p class="soft small">{text.job.ran} {formatDuration(running_seconds)}</p>}
    </>
  );
}
