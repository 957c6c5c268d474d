/** Actions on a node. Each shows its effects before it runs. */
import { useState } from "preact/hooks";

import { api, unwrap, type Schemas } from "../../api/client";
import { text } from "../../text";
import { Button } from "../../ui/controls";
import { attempt, ConfirmDialog, showToast } from "../../ui/dialog";

const t = text.fleet;

export type FleetNode = Schemas["NodeBody"];
type ConfirmedAction = "cordon" | "drain" | "clear" | "remove";
type NodeAction = ConfirmedAction | "uncordon" | "refresh";

/** Return one sentence about what the action always does, then what it would do now according to the server. */
async function previewAction(action: ConfirmedAction, node: string): Promise<readonly string[]> {
  const params = { path: { node }, query: { dry_run: true } };
  const answer = await unwrap(action === "remove"
    ? api.DELETE("/api/v1/admin/nodes/{node}", { params })
    : api.POST(`/api/v1/admin/nodes/{node}/${action}`, { params }));
  const effects = answer && "effects" in answer ? answer.effects.map(({ message }) => message) : [];
  return [t.effects[action], ...effects];
}

async function runAction(action: NodeAction, node: string): Promise<void> {
  const params = { path: { node } };
  await unwrap(action === "remove"
    ? api.DELETE("/api/v1/admin/nodes/{node}", { params })
    : api.POST(`/api/v1/admin/nodes/{node}/${action}`, { params }));
  showToast(t.done[action], "good");
}

/** The buttons of a node. Cordon, drain, clear and remove ask for confirmation; the others are harmless and run at once. */
export function NodeActions({ node, onDone }: { node: FleetNode; onDone: () => Promise<void> }) {
  const [confirmation, setConfirmation] = useState<{ action: ConfirmedAction; effects: readonly string[] } | null>(null);
  const confirm = (action: ConfirmedAction) => attempt(async () => setConfirmation({ action, effects: await previewAction(action, node.node) }));
  const run = (action: NodeAction) => attempt(() => runAction(action, node.node).then(onDone));
  const isCordoned = node.cordoned_at !== null;
  return (
    <div class="row wrap">
      {isCordoned
        ? <Button look="primary" onClick={() => void run("uncordon")}>{t.uncordon}</Button>
        : <Button onClick={() => void confirm("cordon")}>{t.cordon}</Button>}
      {node.state !== "draining" && <Button onClick={() => void confirm("drain")}>{t.drain}</Button>}
      {(node.occupied || node.blocked) && <Button onClick={() => void confirm("clear")}>{t.clear}</Button>}
      {node.online && <Button icon="refresh" onClick={() => void run("refresh")}>{t.refresh}</Button>}
      {!node.online && <Button look="danger" onClick={() => void confirm("remove")}>{t.remove}</Button>}
      {confirmation && (
        <ConfirmDialog title={`${node.node}: ${t.confirm[confirmation.action]}`} effects={confirmation.effects} action={t[confirmation.action].replace("…", "")}
          isDangerous={confirmation.action !== "cordon"} onConfirm={() => runAction(confirmation.action, node.node).then(onDone)} onClose={() => setConfirmation(null)} />
      )}
    </div>
  );
}
