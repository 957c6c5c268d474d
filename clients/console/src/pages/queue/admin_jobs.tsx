/** Jobs of all users, with the actions that an operator can run on them. */
import { useState } from "preact/hooks";

import { api, unwrap, type Schemas } from "../../api/client";
import { usePagedList } from "../../api/paged";
import { text } from "../../text";
import { Button } from "../../ui/controls";
import { attempt, ConfirmDialog } from "../../ui/dialog";
import { Id, Listed, Table } from "../../ui/list";
import { Ago, Empty, StatusBadge } from "../../ui/show";

const t = text.queue;

type Job = Schemas["AdminJobBody"];
type Confirmation = { action: "cancel" | "requeue"; effects: readonly string[] };

/** The buttons of one job. "Cancel" and "Run again" show their effects before they run. */
export function JobActions({ job, onDone }: { job: Job; onDone: () => Promise<void> }) {
  const [confirmation, setConfirmation] = useState<Confirmation | null>(null);
  const params = { path: { job_id: job.job_id } };
  const runAction = async (action: "cancel" | "requeue" | "hold" | "release") => {
    await unwrap(api.POST(`/api/v1/admin/jobs/{job_id}/${action}`, { params }));
    await onDone();
  };
  const confirm = (action: Confirmation["action"]) => attempt(async () => {
    const answer = await unwrap(api.POST(`/api/v1/admin/jobs/{job_id}/${action}`, { params: { ...params, query: { dry_run: true } } }));
    setConfirmation({ action, effects: "effects" in answer ? answer.effects.map(({ message }) => message) : [] });
  });
  return (
    <div class="row">
      {job.status === "pending" && !job.held && <Button isSmall onClick={() => void attempt(() => runAction("hold"), t.held)}>{t.hold}</Button>}
      {job.held && <Button isSmall onClick={() => void attempt(() => runAction("release"), t.released)}>{t.release}</Button>}
      {(job.status === "processing" || job.status === "failed") && <Button isSmall onClick={() => void confirm("requeue")}>{t.requeue}</Button>}
      {(job.status === "pending" || job.status === "processing") && <Button isSmall look="danger" onClick={() => void confirm("cancel")}>{t.cancel}</Button>}
      {confirmation && (
        <ConfirmDialog title={confirmation.action === "cancel" ? t.cancelTitle : t.requeueTitle} effects={confirmation.effects} isDangerous
          action={(confirmation.action === "cancel" ? t.cancel : t.requeue).replace("…", "")}
          onConfirm={() => runAction(confirmation.action)} onClose={() => setConfirmation(null)} />
      )}
    </div>
  );
}

export function AdminJobs({ tenant, status, node, workflow }: { tenant: string; status: string; node: string; workflow: string }) {
  const list = usePagedList(`admin jobs ${tenant} ${status} ${node} ${workflow}`, async (cursor) => {
    const page = await unwrap(api.GET("/api/v1/admin/jobs", {
      params: {
        query: { cursor, limit: 30, tenant: tenant || null, status: (status || null) as Schemas["JobStatus"] | null, node: node || null, workflow: workflow || null },
      },
    }));
    return { items: page.jobs, next: page.next_cursor };
  });
  return (
    <Listed list={list} empty={<Empty icon="list" title={t.jobsEmpty} />}>
        {(jobs) => (
          <Table label={t.jobs} columns={t.jobColumns}>
            {jobs.map((job) => (
              <tr key={job.job_id}>
                <td><Id value={job.job_id} href={`/jobs/${job.job_id}`} /></td>
                <td><Id value={job.tenant_id} href={`/users/${job.tenant_id}`} /></td>
                <td><StatusBadge status={job.status} />{job.error && <span class="small soft" title={job.error.message}> {job.error.code}</span>}</td>
                <td>{job.workflow}</td>
                <td>{job.node && <a href={`/fleet/${job.node}`}>{job.node}</a>}</td>
                <td><Ago at={job.created_at} /></td>
                <td class="number">{job.attempt}</td>
                <td>
                  <JobActions job={job} onDone={list.reload} />
                </td>
              </tr>
            ))}
          </Table>
        )}
    </Listed>
  );
}
