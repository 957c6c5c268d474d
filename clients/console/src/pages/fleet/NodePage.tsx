import "./fleet.css";

import { useRoute } from "preact-iso";

import { api, unwrap } from "../../api/client";
import { useResource } from "../../api/resource";
import { text } from "../../text";
import { Id, Table } from "../../ui/list";
import { Ago, Empty, Loaded, LocalTime, PageHead, Stat, StatusBadge } from "../../ui/show";
import { NodeActions, type FleetNode } from "./actions";
import { GpuMemory, Model, NodeState, RunningJob } from "./parts";

const t = text.fleet;
const EVERY_MS = 2000;

export default function NodePage() {
  const name = useRoute().params["node"]!;
  const nodes = useResource("nodes", async () => (await unwrap(api.GET("/api/v1/admin/nodes"))).nodes, { everyMs: EVERY_MS });
  return (
    <Loaded resource={nodes} title={name}>
      {(known) => {
        const node = known.find((other) => other.node === name);
        return node ? <NodeDetails node={node} onDone={nodes.reload} /> : <Empty icon="server" title={text.errors.notFound} isPage><a class="button" href="/fleet">{t.title}</a></Empty>;
      }}
    </Loaded>
  );
}

function NodeDetails({ node, onDone }: { node: FleetNode; onDone: () => Promise<void> }) {
  const isOccupied = node.state === "occupied" || node.state === "blocked";
  const hint = isOccupied && node.occupied ? t.occupiedBy[node.occupied.by] : t.stateHints[node.state];
  return (
    <>
      <PageHead title={node.node} intro={node.cordon_reason ?? hint}><NodeActions node={node} onDone={onDone} /></PageHead>
      <div class="row wrap">
        <NodeState state={node.state} />
        {node.state_since && <span class="soft">{t.node.since} <Ago at={node.state_since} /></span>}
        <span class="soft">{t.node.seen}: <Ago at={node.seen_at} /></span>
        {node.comfyui_version && <span class="badge plain">{t.node.comfyui} {node.comfyui_version}</span>}
        {node.executor_version && <span class="badge plain">{t.node.executor} {node.executor_version}</span>}
      </div>
      <div class="side-by-side">
        <section class="card stack">
          <h2>{t.node.running}</h2>
          {node.running ? <RunningJob running={node.running} /> : <p class="soft">{t.node.runningEmpty}</p>}
        </section>
        <section class="card stack">
          <h2>{t.node.gpus}</h2>
          {node.gpus.length ? node.gpus.map((gpu, index) => <GpuMemory key={index} gpu={gpu} />) : <p class="soft">{t.node.gpusEmpty}</p>}
        </section>
        <section class="card stack">
          <h2>{t.node.models}</h2>
          {node.models.length ? <div class="row wrap">{node.models.map((model) => <Model key={model} name={model} />)}</div> : <p class="soft">{t.node.modelsEmpty}</p>}
        </section>
        <Stat label={t.columns[5]} value={`${node.jobs_last_hour} ${t.jobsDone}`} />
      </div>
      <section class="stack">
        <h2>{t.node.faults}</h2>
        {node.faults.length === 0 ? <p class="soft">{t.node.faultsEmpty}</p> : (
          <Table label={t.node.faults} columns={t.node.faultColumns}>
            {node.faults.map((fault) => (
              <tr key={`${fault.job_id} ${fault.attempt}`}>
                <td><LocalTime at={fault.at} /></td>
                <td><span class="badge plain bad">{fault.code}</span>{fault.outcome === "node_fault" && <span class="soft small"> {t.node.nodeFault}</span>}</td>
                <td>{fault.message}</td>
                <td><Id value={fault.job_id} href={`/jobs/${fault.job_id}`} /></td>
              </tr>
            ))}
          </Table>
        )}
      </section>
      <RecentJobs node={node.node} />
    </>
  );
}

function RecentJobs({ node }: { node: string }) {
  const jobs = useResource(`jobs of node ${node}`, async () => (await unwrap(api.GET("/api/v1/admin/jobs", { params: { query: { node, limit: 10 } } }))).jobs, { everyMs: 10_000 });
  return (
    <section class="stack">
      <h2>{t.node.recent}</h2>
      <Loaded resource={jobs}>
        {(known) => (
          <Table label={t.node.recent} columns={[text.queue.jobColumns[0], text.queue.jobColumns[2], text.queue.jobColumns[3], text.queue.jobColumns[5]]}>
            {known.map((job) => (
              <tr key={job.job_id}>
                <td><Id value={job.job_id} href={`/jobs/${job.job_id}`} /></td>
                <td><StatusBadge status={job.status} /></td>
                <td>{job.workflow}</td>
                <td><Ago at={job.created_at} /></td>
              </tr>
            ))}
          </Table>
        )}
      </Loaded>
    </section>
  );
}
