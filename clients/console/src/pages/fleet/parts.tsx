/** Parts that the list of nodes and the page of one node share. */
import type { Schemas } from "../../api/client";
import { text } from "../../text";
import { formatBytes } from "../../ui/format";
import { Id } from "../../ui/list";
import { Progress } from "../../ui/show";
import type { FleetNode } from "./actions";

const t = text.fleet;

const LOOKS: Record<FleetNode["state"], string> = {
  offline: "bad", draining: "warn", cordoned: "warn", blocked: "bad", occupied: "warn", busy: "info busy", idle: "good",
};

export function NodeState({ state }: { state: FleetNode["state"] }) {
  return <span class={`badge ${LOOKS[state]}`} title={t.stateHints[state]}>{t.states[state]}</span>;
}

/** The job that a node runs, how far it is and whose it is. */
export function RunningJob({ running }: { running: NonNullable<FleetNode["running"]> }) {
  return (
    <div class="stack tight running-job">
      <div class="row">
        <Id value={running.job_id} href={`/jobs/${running.job_id}`} />
        <span class="truncate">{running.workflow}</span>
        <span class="soft truncate">{t.node.of} <a href={`/users/${running.tenant_id}`}>{running.username ?? "…"}</a></span>
      </div>
      <div class="row">
        <div class="grow"><Progress percent={running.progress} label={`${running.workflow}, ${running.job_id}`} /></div>
        <span class="number small">{Math.round(running.progress)} %</span>
      </div>
      {running.graph_node_class && <span class="soft small">{t.node.step} {running.graph_node_class}</span>}
    </div>
  );
}

export function GpuMemory({ gpu }: { gpu: Schemas["GpuBody"] }) {
  const used = gpu.memory_total_bytes ? 100 * (1 - gpu.memory_free_bytes / gpu.memory_total_bytes) : 0;
  const free = `${formatBytes(gpu.memory_free_bytes)} ${t.node.free} ${formatBytes(gpu.memory_total_bytes)}`;
  return (
    <div class="stack tight gpu-memory">
      <span class="small truncate" title={gpu.name}>{gpu.name}</span>
      <Progress percent={used} label={`${gpu.name}: ${free}`} />
      <span class="soft small">{free}</span>
    </div>
  );
}

/** "CheckpointLoaderSimple.ckpt_name=sd15.safetensors" is shown as its file; the rest on hover. */
export function Model({ name }: { name: string }) {
  return <span class="badge plain" title={name}>{name.slice(name.indexOf("=") + 1)}</span>;
}
