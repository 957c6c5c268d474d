import "./fleet.css";

import { api, unwrap } from "../../api/client";
import { useResource } from "../../api/resource";
import { text } from "../../text";
import { Button } from "../../ui/controls";
import { attempt } from "../../ui/dialog";
import { formatDuration, formatNumber } from "../../ui/format";
import { Table } from "../../ui/list";
import { Empty, Loaded, PageHead, Stat } from "../../ui/show";
import { GpuMemory, Model, NodeState, RunningJob } from "./parts";

const t = text.fleet;
const EVERY_MS = 3000;

export default function FleetPage() {
  const nodes = useResource("nodes", async () => (await unwrap(api.GET("/api/v1/admin/nodes"))).nodes, { everyMs: EVERY_MS });
  const refreshAll = () => attempt(() => unwrap(api.POST("/api/v1/admin/nodes/refresh")), t.refreshed);
  return (
    <>
      <PageHead title={t.title} intro={t.intro}>
        <Button icon="refresh" onClick={() => void refreshAll()}>{t.refreshAll}</Button>
      </PageHead>
      <Summary />
      <Loaded resource={nodes}>
        {(known) => known.length === 0 ? <Empty icon="server" title={t.empty}><p>{t.emptyHint}</p></Empty> : (
          <Table label={t.title} columns={t.columns}>
            {known.map((node) => (
              <tr key={node.node}>
                <td><a href={`/fleet/${node.node}`}><strong>{node.node}</strong></a></td>
                <td><NodeState state={node.state} /></td>
                <td>{node.running ? <RunningJob running={node.running} /> : <span class="soft">{t.nothing}</span>}</td>
                <td>{node.gpus.map((gpu, index) => <GpuMemory key={index} gpu={gpu} />)}</td>
                <td><div class="row wrap">{node.models.slice(0, 3).map((model) => <Model key={model} name={model} />)}</div></td>
                <td class="number">{formatNumber(node.jobs_last_hour)}</td>
                <td>{node.faults[0] && <span class="badge plain bad" title={node.faults[0].message}>{node.faults[0].code}</span>}</td>
              </tr>
            ))}
          </Table>
        )}
      </Loaded>
    </>
  );
}

function Summary() {
  const stats = useResource("stats", () => unwrap(api.GET("/api/v1/admin/stats")), { everyMs: EVERY_MS });
  return (
    <Loaded resource={stats}>
      {({ nodes, queue, throughput, waits }) => (
        <div class="columns summary">
          <Stat label={t.summary.online} value={`${nodes.online} ${t.ofTotal} ${nodes.total}`} />
          <Stat label={t.summary.working} value={nodes.working} />
          <Stat label={t.summary.waiting} value={formatNumber(queue.reduce((sum, tier) => sum + tier.waiting, 0))} />
          <Stat label={t.summary.rate} value={(throughput[0]?.jobs_per_minute ?? 0).toFixed(1)} />
          <Stat label={t.summary.wait} value={waits.p95_seconds === null ? "–" : formatDuration(waits.p95_seconds)} />
        </div>
      )}
    </Loaded>
  );
}
