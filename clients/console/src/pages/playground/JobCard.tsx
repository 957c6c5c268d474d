/** One job: its progress by node, then its results side by side, and what to do next. */
import { useEffect, useRef, useState } from "preact/hooks";

import { exactText } from "../../api/exact";
import { Problem } from "../../api/problem";
import { isFinalStatus, type LiveJob } from "../../live/frames";
import { useLiveJob } from "../../live/watch";
import { text } from "../../text";
import { Button, IconButton } from "../../ui/controls";
import { attempt, showToast } from "../../ui/dialog";
import { formatDuration } from "../../ui/format";
import { Icon } from "../../ui/icons";
import type { PickedImage } from "../../ui/image_field";
import { download, pathOf, ResultImage, resultPath, thumbnailPath, useImageUrl } from "../../ui/media";
import { Ago, Progress, StatusBadge } from "../../ui/show";
import { Viewer, type MediaItem } from "../../ui/viewer";
import { CodeDialog } from "./CodeDialog";
import { cancelJob, loadSubmission, refreshJob, submitJob, type PlaygroundJob } from "./jobs";
import { drawSeed, titleOf, type Mode, type Submission } from "./settings";

const words = text.playground;
const MODES = [["image", words.useImage, undefined], ["inpaint", words.inpaintIt, "brush"]] as const;

type Output = { index: number; url: string; kind: string; name: string; thumbnail?: string; value?: unknown };

type Props = {
  job: PlaygroundJob;
  /** Put the job's settings into the form; absent where there is no form for them. */
  onReuse?: (submission: Submission) => void;
  /** Start the next job from a result. */
  onUseImage?: (image: PickedImage, mode: Mode) => void;
};

export function JobCard({ job, onReuse, onUseImage }: Props) {
  const [isCodeOpen, setCodeOpen] = useState(false);
  const [viewed, setViewed] = useState<number | null>(null);
  const isKnownFinal = isFinalStatus(job.body?.status);
  const live = useLiveJob(job.jobId && !isKnownFinal ? job.jobId : null);
  const hasEnded = Boolean(live?.isFinal);
  const card = useRef<HTMLElement>(null);
  useEffect(() => {
    if (job.submission || !job.jobId) return;
    const observer = new IntersectionObserver((entries) => {
      if (!entries.some(({ isIntersecting }) => isIntersecting)) return;
      observer.disconnect();
      void loadSubmission(job).catch(() => undefined); // the card works without
    });
    observer.observe(card.current!);
    return () => observer.disconnect();
  }, [job.jobId, job.submission === null]);
  useEffect(() => {
    if (hasEnded && !isKnownFinal) void attempt(() => refreshJob(job));
  }, [hasEnded, isKnownFinal]);

  const status = (isKnownFinal ? job.body?.status : live?.status ?? job.body?.status) ?? "pending";
  const title = job.submission ? titleOf(job.submission) : "";
  const outputs = outputsOf(job, live);
  const pictures = outputs.filter(({ kind }) => kind === "image");
  const shown: MediaItem[] = pictures.map(({ index, url, name }) => ({
    ...{ id: job.body?.outputs[index]?.id ?? `${job.key}:${index}`, jobId: job.jobId ?? "", url, name, alt: `${words.result} ${index + 1}: ${title || words.untitled}` },
    ...{ kind: "image", contentType: "", sizeBytes: 0, value: null },
  }));
  const again = job.submission;
  const expected = Math.min(4, again?.num_images ?? 1);
  const hasActions = again !== null || !isFinalStatus(status);

  async function anotherSeed(): Promise<void> {
    await attempt(() => submitJob(withAnotherSeed(again!)));
  }

  return (
    <article ref={card} class="card job-card" aria-label={title || words.untitled}>
      <header class="row job-head">
        <div class="grow">
          <h3 class="job-title" title={title}>{job.jobId ? <a href={`/jobs/${job.jobId}`}>{title || words.untitled}</a> : title}</h3>
          <p class="small soft"><Facts job={job} /></p>
        </div>
        {job.jobId ? <StatusBadge status={status} /> : <span class="badge busy">{words.sending}</span>}
      </header>

      {!isFinalStatus(status) && <Running job={job} live={live} status={status} />}
      {!isFinalStatus(status) && pictures.length === 0 && (
        <div class="pictures" aria-hidden="true">
          {Array.from({ length: expected }, (_, index) => (
            <div key={index} class="preview-place" style={{ aspectRatio: `${again?.width ?? 1} / ${again?.height ?? 1}` }}><Icon name="image" size={22} /></div>
          ))}
        </div>
      )}
      {pictures.length > 0 && (
        <ul class={`pictures ${pictures.length === 1 ? "single" : ""}`}>
          {pictures.map((picture, position) => (
            <li key={picture.index} class="picture">
              <button type="button" class="picture-open" aria-label={`${words.open} ${shown[position]!.alt}`} onClick={() => setViewed(position)}>
                <ResultImage src={picture.thumbnail ?? thumbnailPath(job.jobId!, picture.index)} alt="" width={again?.width} height={again?.height} />
              </button>
              <IconButton class="picture-save" icon="download" isSmall label={`${text.media.download} ${picture.name}`}
                onClick={() => void attempt(() => download(picture.url, picture.name))} />
            </li>
          ))}
        </ul>
      )}
      {isKnownFinal && <OtherOutputs outputs={outputs.filter(({ kind }) => kind !== "image")} />}
      <Failure job={job} live={live} status={status} />

      {hasActions && <footer class="row wrap job-foot">
        {!isFinalStatus(status) && job.jobId && (
          <Button isSmall icon="stop" onClick={() => void attempt(() => cancelJob(job))}>{text.common.cancel}</Button>
        )}
        {again && isFinalStatus(status) && canDrawSeed(again) && (
          <Button isSmall icon="dice" title={words.anotherSeedHint} onClick={() => void anotherSeed()}>{words.anotherSeed}</Button>
        )}
        {again && onReuse && <Button isSmall onClick={() => { onReuse(again); showToast(words.reused); }}>{words.reuse}</Button>}
        {again && <Button isSmall look="quiet" icon="copy" onClick={() => setCodeOpen(true)}>{words.code.open}</Button>}
      </footer>}

      {isCodeOpen && again && <CodeDialog submission={again} onClose={() => setCodeOpen(false)} />}
      {viewed !== null && (
        <Viewer items={shown} index={viewed} onIndex={setViewed} onClose={() => setViewed(null)}
          actions={({ id, url }) => onUseImage && job.body?.outputs.some((output) => output.id === id) && MODES.map(([mode, label, icon]) => (
            <Button key={mode} isSmall icon={icon} onClick={() => { setViewed(null); onUseImage({ id: `output:${id}`, path: pathOf(url), width: null, height: null }, mode); }}>{label}</Button>
          ))} />
      )}
    </article>
  );
}

function Running({ job, live, status }: { job: PlaygroundJob; live: LiveJob | null; status: string }) {
  if (status === "pending") {
    const position = live?.queuePosition ?? job.body?.queue_position;
    const waiting = live?.waiting ?? job.body?.waiting;
    const eta = live?.etaSeconds ?? job.body?.eta_seconds;
    return (
      <div class="stack tight" role="status">
        <Progress percent={0} label={words.progress} />
        <div class="small">
          {position ? `${words.position} ${position}` : words.waits}
          {eta ? ` · ${words.about} ${formatDuration(eta)}` : ""}
        </div>
        {waiting && <div class="small soft">{waiting.message}</div>}
      </div>
    );
  }
  const percent = live?.progress ?? job.body?.progress ?? 0;
  const step = live?.step && live.step.max > 1 ? ` · ${words.step} ${live.step.value} ${words.of} ${live.step.max}` : "";
  return (
    <div class="stack tight">
      <Progress percent={percent} label={words.progress} />
      <div class="row small number">
        <span class="grow truncate">{live?.nodeClass ?? words.starts}{step}</span>
        {live?.attempt !== undefined && live.attempt > 1 && <span class="soft">{words.attempt} {live.attempt}</span>}
        {live?.etaSeconds ? <span class="soft">{words.about} {formatDuration(live.etaSeconds)}</span> : null}
        <span>{Math.round(percent)} %</span>
      </div>
    </div>
  );
}

function Failure({ job, live, status }: { job: PlaygroundJob; live: LiveJob | null; status: string }) {
  const error = job.body?.error ?? live?.error;
  if (status === "failed" && error) {
    return (
      <div class="notice bad">
        <Icon name="alert" />
        <div class="stack tight grow">
          {error.node_class && <strong class="small">{words.failedIn} {error.node_class} ({words.node} {error.node_id})</strong>}
          <span>{error.message}</span>
          <code class="small soft">{error.code}</code>
        </div>
      </div>
    );
  }
  if (live?.refusal) return <div class="notice warn"><Icon name="alert" />{live.refusal.message}</div>;
  return <>{job.body?.warnings.map(({ code, message }) => <div key={code} class="notice warn"><Icon name="info" />{message}</div>)}</>;
}

function Facts({ job }: { job: PlaygroundJob }) {
  const body = job.body;
  return (
    <>
      <Ago at={job.at} />
      {body?.timings.running_seconds != null && isFinalStatus(body.status) && ` · ${formatDuration(body.timings.running_seconds)}`}
      {body?.model && <> · <span title={body.model}>{shortModel(body.model)}</span></>}
      {seedOf(job) !== null && <> · {words.seed} <span class="number">{seedOf(job)}</span></>}
    </>
  );
}

/** The seed in full; null if it is unknown or was rounded. */
function seedOf({ submission, body }: PlaygroundJob): string | null {
  const seed = exactText(submission?.seed ?? body?.seed);
  return seed?.startsWith("-") ? null : seed;
}

function OtherOutputs({ outputs }: { outputs: readonly Output[] }) {
  if (outputs.length === 0) return null;
  return (
    <ul class="stack">
      {outputs.map((output) => (
        <li key={output.index}>
          {output.kind === "video" || output.kind === "audio" ? <Player output={output} />
            : output.kind === "text" && output.value != null
              ? <pre class="code small">{typeof output.value === "string" ? output.value : JSON.stringify(output.value, null, 2)}</pre>
              : <Button isSmall icon="download" onClick={() => void attempt(() => download(output.url, output.name))}>{output.name}</Button>}
        </li>
      ))}
    </ul>
  );
}

function Player({ output }: { output: Output }) {
  const [isLoaded, setLoaded] = useState(false);
  const url = useImageUrl(isLoaded ? pathOf(output.url) : null, (message) => showToast(message, "bad"));
  if (!isLoaded) return <Button icon="play" onClick={() => setLoaded(true)}>{words.play} {output.name}</Button>;
  return output.kind === "video" ? <video controls src={url} aria-label={output.name} /> : <audio controls src={url} aria-label={output.name} />;
}

/** Of a finished job its saved outputs, or the temporary ones if nothing was saved; before that what has arrived. */
function outputsOf(job: PlaygroundJob, live: LiveJob | null): Output[] {
  if (job.body && isFinalStatus(job.body.status)) {
    const all = job.body.outputs.map((output, index) => ({ ...output, index }));
    const saved = all.filter(({ temporary, source }) => !temporary && source === "file");
    const chosen = saved.length > 0 ? all.filter(({ temporary }) => !temporary) : all;
    return chosen.map(({ index, url, kind, name, value, ...rest }) => ({
      index, url: url || resultPath(job.jobId!, index), kind, name, value, thumbnail: (rest as { thumbnail_url?: string | null }).thumbnail_url ?? undefined,
    }));
  }
  return (live?.outputs ?? []).map(({ index, url, kind }) => ({ index, url: url || resultPath(job.jobId!, index), kind, name: `${kind}-${index + 1}` }));
}

function canDrawSeed(submission: Submission): boolean {
  return submission.prompt !== undefined || submission.workflow !== undefined || seedNames(submission).length > 0;
}

function seedNames({ parameters = {} }: Submission): string[] {
  return Object.keys(parameters).filter((name) => /(^|_)seed(_\d+)?$/i.test(name));
}

/** The same submission with another seed. */
function withAnotherSeed(submission: Submission): Submission {
  if (submission.prompt !== undefined) return { ...submission, seed: drawSeed() };
  const seeds = seedNames(submission);
  if (seeds.length > 0) return { ...submission, parameters: { ...submission.parameters, ...Object.fromEntries(seeds.map((name) => [name, drawSeed()])) } };
  return { ...submission, randomize_seeds: true };
}

/** A file name of a model without its folder and ending. */
export function shortModel(name: string): string {
  return name.replace(/^.*[\\/]/, "").replace(/\.(safetensors|ckpt|pt|gguf|sft)$/i, "");
}

/** Why a submission was refused, and what the limit means. */
export function Refusal({ problem, advice }: { problem: Problem; advice: string | null }) {
  return (
    <div class="notice bad" role="alert">
      <Icon name="alert" />
      <div class="stack tight grow">
        <span>{problem.message}</span>
        {problem.errors.length > 0 && <ul class="small">{problem.errors.map(({ message }, index) => <li key={index}>{message}</li>)}</ul>}
        {advice && <span class="small">{advice}</span>}
        <span class="small soft">{problem.code}</span>
      </div>
    </div>
  );
}
