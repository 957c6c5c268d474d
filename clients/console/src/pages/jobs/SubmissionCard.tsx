/** The parameters and the graph of a job. */
import { text, workflowTitle } from "../../text";
import { CopyButton } from "../../ui/list";

type CardProps = { workflow: string; submission: Record<string, unknown>; graph?: Record<string, unknown> };

export function SubmissionCard({ workflow, submission, graph }: CardProps) {
  const fields = parametersOf(submission);
  const shownGraph = graph ?? (submission["workflow"] as Record<string, unknown> | undefined);
  return (
    <section class="card stack" aria-labelledby="submission-title">
      <div class="row wrap">
        <h2 id="submission-title" class="grow">{text.job.submission}</h2>
        <CopyButton value={JSON.stringify(submission, null, 2)} label={text.job.copySubmission} />
      </div>
      {fields.length > 0 && (
        <dl class="facts">
          <dt>{text.jobs.workflow}</dt><dd>{workflowTitle(workflow)}</dd>
          {fields.map(([name, value]) => <Parameter key={name} name={name} value={value} />)}
        </dl>
      )}
      {shownGraph && (
        <details>
          <summary>{text.job.graph(Object.keys(shownGraph).length)}</summary>
          <pre class="code" tabIndex={0} role="region" aria-label={text.job.submission}>{JSON.stringify(shownGraph, null, 2)}</pre>
        </details>
      )}
    </section>
  );
}

function Parameter({ name, value }: { name: string; value: unknown }) {
  return <><dt>{name}</dt><dd class={typeof value === "string" ? "parameter" : "parameter mono"}>{typeof value === "string" ? value : JSON.stringify(value)}</dd></>;
}

const NOT_SHOWN = new Set(["workflow", "workflow_name", "version", "labels", "parameters"]);

function parametersOf(submission: Record<string, unknown>): [string, unknown][] {
  const own = Object.entries(submission).filter(([name, value]) => !NOT_SHOWN.has(name) && value !== "" && value !== null);
  return [...own, ...Object.entries((submission["parameters"] ?? {}) as Record<string, unknown>)];
}
