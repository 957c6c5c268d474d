import { api, unwrap } from "../../api/client";
import { useResource } from "../../api/resource";
import { text } from "../../text";
import { formatDuration } from "../../ui/format";
import { Id, Table } from "../../ui/list";
import { Icon } from "../../ui/icons";
import { Ago, Loaded, LocalTime, PageHead, Progress, StatusBadge } from "../../ui/show";
import { JobActions } from "../queue/admin_jobs";

const t = text.operatorJob;
const EVERY_MS = 3000;

/** A job of another user, as operators see it: its state, its attempts and why it failed; never its inputs or outputs. */
export default function OperatorJob({ jobId }: { jobId: string }) {
  const job = useResource(`admin job ${jobId}`, () => unwrap(api.GET("/api/v1/admin/jobs/{job_id}", { params: { path: { job_id: jobId } } })), { everyMs: EVERY_MS });
  return (
    <Loaded resource={job} title={text.jobs.job}>
      {(known) => (
        <>
          <PageHead title={known.workflow} intro={t.intro}><JobActions job={known} onDone={job.reload} /></PageHead>
          <div class="row wrap">
            <StatusBadge status={known.status} />
            <span class="soft">{t.user} <Id value={known.tenant_id} href={`/users/${known.tenant_id}`} /></span>
            {known.node && <span class="soft">{t.node} <a href={`/fleet/${known.node}`}>{known.node}</a></span>}
            <Ago at={known.created_at} />
            <span class="mono small">{known.job_id}</span>
          </div>
          {known.status === "processing" && <Progress percent={known.progress} label={known.workflow} />}
          {known.waiting && <div class="notice"><Icon name="clock" />{known.waiting.message}</div>}
          {known.error && (
            <div class="notice bad">
              <Icon name="alert" />
              <div class="stack tight">
                <span>{known.error.message}</span>
                <span class="small soft">{known.error.code}{known.error.node_class && ` · ${known.error.node_class} (${known.error.node_id})`}</span>
              </div>
            </div>
          )}
          <section class="stack">
            <h2>{t.attempts}</h2>
            {known.attempts.length === 0 ? <p class="soft">{t.noAttempts}</p> : (
              <Table label={t.attempts} columns={t.columns}>
                {known.attempts.map((attempt) => (
                  <tr key={attempt.attempt}>
                    <td class="number">{attempt.attempt}</td>
                    <td><a href={`/fleet/${attempt.node}`}>{attempt.node}</a></td>
                    <td><LocalTime at={attempt.leased_at} /></td>
                    <td>{attempt.ended_at && <LocalTime at={attempt.ended_at} />}</td>
                    <td>{attempt.outcome ?? t.running}</td>
                    <td>{attempt.gpu_seconds !== null && formatDuration(attempt.gpu_seconds)}</td>
                    <td>{attempt.error && <><span class="badge plain bad">{attempt.error.code}</span> {attempt.error.message}</>}</td>
                  </tr>
                ))}
              </Table>
            )}
          </section>
        </>
      )}
    </Loaded>
  );
}
