import "./jobs.css";

import { useLocation, useRoute } from "preact-iso";
import { useEffect, useMemo, useState } from "preact/hooks";

import { api, unwrap, type Schemas } from "../../api/client";
import { exactText, parseExact } from "../../api/exact";
import { isAdmin } from "../../api/session";
import { readAttempts, readSubmission } from "../../api/history";
import { mediaItem } from "../../api/outputs";
import { useResource } from "../../api/resource";
import { isFinalStatus, type LiveJob } from "../../live/frames";
import { useLiveJob } from "../../live/watch";
import { text, workflowTitle } from "../../text";
import { Button } from "../../ui/controls";
import { attempt, ConfirmDialog, ProblemNotice } from "../../ui/dialog";
import { formatBytes, formatDuration } from "../../ui/format";
import { Icon } from "../../ui/icons";
import { CopyButton } from "../../ui/list";
import { download } from "../../ui/media";
import { Ago, Empty, PageHead, Progress, Skeleton, StatusBadge } from "../../ui/show";
import { adviceOf } from "./advice";
import { useJobEvents, useNodeSteps } from "./events";
import { JobOutputs } from "./JobOutputs";
import { JobTimeline } from "./JobTimeline";
import OperatorJob from "./OperatorJob";
import { ShareDialog } from "./ShareDialog";
import { SubmissionCard } from "./SubmissionCard";
import { buildTimeline } from "./timeline";

type Job = Schemas["JobBody"];

export default function JobPage() {
  const jobId = useRoute().params["job_id"]!;
  const job = useResource(`job:${jobId}`, async () =>
    parseExact<Job>(await unwrap(api.GET("/api/v1/jobs/{job_id}", { params: { path: { job_id: jobId } }, parseAs: "text" }))),
  );
  if (job.problem?.status === 404 && isAdmin.value) return <OperatorJob jobId={jobId} />;
  if (job.problem?.status === 404) {
    return (
      <>
        <PageHead title={text.jobs.job} />
        <Empty icon="search" title={text.job.missingJob}><a class="button" href="/jobs">{text.job.back}</a></Empty>
      </>
    );
  }
  return (
    <>
      {!job.data && <PageHead title={text.jobs.job} />}
      {job.problem && <ProblemNotice problem={job.problem} onRetry={() => void job.reload()} />}
      {job.data ? <Detail key={jobId} job={job.data} reload={job.reload} /> : !job.problem && <Skeleton lines={6} />}
    </>
  );
}

function Detail({ job, reload }: { job: Job; reload: () => Promise<void> }) {
  const hasEnded = isFinalStatus(job.status);
  const live = useLiveJob(hasEnded ? null : job.job_id);
  const events = useJobEvents(job.job_id);
  const steps = useNodeSteps(live);
  const moments = useMemo(() => buildTimeline(events, steps), [events, steps]);
  const status = (!hasEnded && live?.status) || job.status;
  const isEndKnown = live?.isFinal || isFinalStatus(events.at(-1)?.status);
  useEffect(() => {
    if (isEndKnown && !hasEnded) void reload();
  }, [isEndKnown]);
  const items = useMemo(() => job.outputs.map((output) => mediaItem(output, job.job_id)), [job]);
  const submission = useResource(`submission:${job.job_id}`, () => readSubmission(job.job_id));
  return (
    <>
      <PageHead
        title={workflowTitle(job.workflow)}
        intro={<span class="row wrap job-subtitle"><StatusBadge status={status} /><Ago at={job.created_at} />{job.model && <span class="truncate">{job.model}</span>}</span>}
      >
        <JobActions job={job} status={status} reload={reload} />
      </PageHead>
      <div class="job-columns">
        <div class="stack loose">
          {!hasEnded && live?.refusal && <div class="notice warn"><Icon name="alert" />{live.refusal.message}</div>}
          {job.held && <div class="notice warn"><Icon name="alert" />{text.job.held}</div>}
          {status === "pending" && <WaitingCard job={job} live={live} />}
          {status === "processing" && <RunningCard job={job} live={live} />}
          {job.error && <ErrorCard job={job} error={job.error} />}
          {job.warnings.map(({ code, message }) => <div key={code + message} class="notice warn"><Icon name="info" />{message}</div>)}
          <section class="stack" aria-labelledby="outputs-title">
            <h2 id="outputs-title">{text.job.outputs}</h2>
            {items.length > 0
              ? <JobOutputs items={items} temporary={new Set(job.outputs.filter((output) => output.temporary).map(({ id }) => id))} />
              : <div class="card soft">{hasEnded ? <>{text.job.noOutputs} {job.status === "completed" && text.job.noOutputsHint}</> : text.job.noOutputsYet}</div>}
          </section>
          {submission.data && <SubmissionCard {...submission.data} />}
        </div>
        <aside class="stack loose">
          <section class="card stack" aria-labelledby="timeline-title">
            <h2 id="timeline-title">{text.job.timeline}</h2>
            {moments.length > 0 ? <JobTimeline moments={moments} /> : <Skeleton lines={3} />}
          </section>
          {job.attempt > 1 && <Attempts jobId={job.job_id} attempt={job.attempt} />}
          <Facts job={job} />
        </aside>
      </div>
    </>
  );
}

function JobActions({ job, status, reload }: { job: Job; status: Job["status"]; reload: () => Promise<void> }) {
  const [isPurging, setPurging] = useState(false);
  const [isSharing, setSharing] = useState(false);
  const [isBusy, setBusy] = useState(false);
  const { route } = useLocation();
  const path = { params: { path: { job_id: job.job_id } } };
  async function cancel(): Promise<void> {
    setBusy(true);
    if (await attempt(() => unwrap(api.POST("/api/v1/jobs/{job_id}/cancel", path)), text.jobs.cancelled)) await reload();
    setBusy(false);
  }
  async function purge(): Promise<void> {
    await unwrap(api.DELETE("/api/v1/jobs/{job_id}", { params: { ...path.params, query: { purge: true } } }));
    route("/jobs", true);
  }
  const hasEnded = isFinalStatus(status);
  const size = job.outputs.reduce((sum, { size_bytes }) => sum + size_bytes, 0);
  return (
    <>
      {!hasEnded && <Button icon="stop" isDisabled={isBusy} onClick={() => void cancel()}>{text.jobs.cancel}</Button>}
      <a class="button" href={`/?again=${job.job_id}`}><Icon name="refresh" />{text.jobs.again}</a>
      {job.outputs.length > 0 && (
        <Button icon="download" onClick={() => void attempt(() => download(`/api/v1/jobs/${job.job_id}/outputs.zip`, `${job.job_id}.zip`))}>
          {text.jobs.download}
        </Button>
      )}
      <Button icon="share" onClick={() => setSharing(true)}>{text.jobs.share}</Button>
      {hasEnded && <Button icon="trash" look="danger" onClick={() => setPurging(true)}>{text.jobs.purge}</Button>}
      {isSharing && <ShareDialog jobId={job.job_id} onClose={() => setSharing(false)} />}
      {isPurging && (
        <ConfirmDialog
          title={text.job.purgeConfirm} action={text.jobs.purge} isDangerous onConfirm={purge} onClose={() => setPurging(false)}
          effects={[job.outputs.length > 0 ? text.job.purgeOutputs(job.outputs.length, formatBytes(size)) : text.job.purgeNothing, text.jobs.purgeLinks]}
        />
      )}
    </>
  );
}

function WaitingCard({ job, live }: { job: Job; live: LiveJob | null }) {
  const waiting = live?.waiting ?? job.waiting;
  const position = live?.queuePosition ?? job.queue_position;
  const eta = live?.etaSeconds ?? job.eta_seconds;
  if (!waiting) return null;
  const { missing = [], classes = [] } = waiting.detail ?? {};
  return (
    <section class="card stack" aria-labelledby="waiting-title">
      <div class="row"><Icon name="clock" /><h2 id="waiting-title" class="grow">{text.job.waitingTitle}</h2><span class="soft small"><Ago at={waiting.since} /></span></div>
      <p>{waiting.message}</p>
      {missing.length > 0 && (
        <div class="stack tight">
          <h3>{text.job.missing}</h3>
          <ul class="small">{missing.map(({ node_class, input, value }) => <li key={node_class + input + value} class="mono">{text.job.missingOption(value, node_class, input)}</li>)}</ul>
        </div>
      )}
      {classes.length > 0 && <div class="stack tight"><h3>{text.job.missingClasses}</h3><p class="mono">{classes.join(", ")}</p></div>}
      {(position != null || eta != null) && (
        <p class="soft small">{[position != null && text.jobs.queuePosition(position), eta != null && text.jobs.eta(formatDuration(eta))].filter(Boolean).join(" · ")}</p>
      )}
    </section>
  );
}

function RunningCard({ job, live }: { job: Job; live: LiveJob | null }) {
  const percent = live?.progress ?? job.progress;
  const facts = [
    live?.node && text.job.node(live.nodeClass ?? live.node, live.node),
    live?.step && live.step.max > 1 && text.job.step(live.step.value, live.step.max),
    live?.nodes && live.nodes.total > 0 && text.job.nodes(live.nodes.done, live.nodes.total),
  ].filter(Boolean);
  const eta = live?.etaSeconds ?? job.eta_seconds;
  return (
    <section class="card stack" aria-label={text.job.progress}>
      <div class="row">
        <strong class="grow truncate">{facts.length > 0 ? facts.join(" · ") : text.job.starting}</strong>
        {eta != null && <span class="soft small nowrap">{text.jobs.eta(formatDuration(eta))}</span>}
        <span class="number">{text.jobs.percent(Math.round(percent))}</span>
      </div>
      <Progress percent={percent} label={text.job.progress} />
    </section>
  );
}

function ErrorCard({ job, error }: { job: Job; error: Schemas["JobError"] }) {
  return (
    <section class="notice bad" aria-labelledby="error-title">
      <Icon name="alert" />
      <div class="stack tight grow">
        <h2 id="error-title">{text.job.failedTitle} {error.node_id && text.job.failedAt(error.node_class ?? "", error.node_id)}</h2>
        <p class="job-error">{error.message}</p>
        <p><strong>{text.job.toDo}:</strong> {adviceOf(error.code)}</p>
        <span class="soft small">{error.code}</span>
      </div>
      <a class="button small" href={`/?again=${job.job_id}`}><Icon name="refresh" />{text.jobs.again}</a>
    </section>
  );
}

function Attempts({ jobId, attempt }: { jobId: string; attempt: number }) {
  const attempts = useResource(`attempts:${jobId}:${attempt}`, () => readAttempts(jobId));
  if (!attempts.data) return null;
  return (
    <section class="card stack" aria-labelledby="attempts-title">
      <h2 id="attempts-title">{text.job.attemptsTitle}</h2>
      <ol class="stack">
        {attempts.data.map((one) => (
          <li key={one.attempt} class="stack tight">
            <div class="row"><strong class="grow">{text.job.attempt(one.attempt)}</strong>{one.gpu_seconds !== null && <span class="soft small">{text.job.gpuTime(formatDuration(one.gpu_seconds))}</span>}</div>
            <span class="small">{one.outcome === null ? text.status.processing : (text.job.outcomes[one.outcome] ?? one.outcome)}</span>
            {one.error && <span class="soft small">{one.error.message}</span>}
          </li>
        ))}
      </ol>
    </section>
  );
}

function Facts({ job }: { job: Job }) {
  const { queued_seconds, running_seconds, total_seconds } = job.timings;
  const labels = Object.entries(job.labels);
  return (
    <section class="card stack" aria-labelledby="facts-title">
      <h2 id="facts-title">{text.job.facts}</h2>
      <dl class="facts">
        <dt>{text.job.id}</dt>
        <dd class="stack tight"><span class="mono small breakable">{job.job_id}</span><span><CopyButton value={job.job_id} /></span></dd>
        <dt>{text.jobs.workflow}</dt>
        <dd><a href={`/jobs?workflow=${encodeURIComponent(job.workflow)}`}>{workflowTitle(job.workflow)}</a></dd>
        {job.model && <><dt>{text.job.model}</dt><dd>{job.model}</dd></>}
        {job.seed !== null && <><dt>{text.job.seed}</dt><dd class="mono">{exactText(job.seed)}</dd></>}
        {job.seeds.length > 1 && (
          <><dt>{text.job.seeds}</dt><dd>{job.seeds.map(({ node_id, input, seed }) => <div key={node_id + input} class="mono small">{node_id}.{input} = {exactText(seed)}</div>)}</dd></>
        )}
        {queued_seconds != null && <><dt>{text.job.waited}</dt><dd>{formatDuration(queued_seconds)}</dd></>}
        {running_seconds != null && <><dt>{text.job.ran}</dt><dd>{formatDuration(running_seconds)}</dd></>}
        {total_seconds != null && <><dt>{text.job.total}</dt><dd>{formatDuration(total_seconds)}</dd></>}
        <dt>{text.job.attempts}</dt><dd>{job.attempt}</dd>
        {job.retry_of && <><dt>{text.job.retryOf}</dt><dd><a class="mono small breakable" href={`/jobs/${job.retry_of}`}>{job.retry_of}</a></dd></>}
        {labels.length > 0 && (
          <><dt>{text.job.labels}</dt><dd class="row wrap">{labels.map(([key, value]) => (
            <a key={key} class="badge plain" href={`/jobs?label=${encodeURIComponent(`${key}:${value}`)}`}>{key}: {value}</a>
          ))}</dd></>
        )}
      </dl>
    </section>
  );
}
