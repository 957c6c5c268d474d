/** Orders to a node: what each will do, said before it is given. */
import { useState } from "preact/hooks";

import { api, unwrap, type Schemas } from "../../api/client";
import { text } from "../../text";
import { Button } from "../../ui/controls";
import { attempt, ConfirmDialog, showToast } from "../../ui/dialog";

const t = text.fleet;

export type FleetNode = Schemas["NodeBody"];
type Confirmed = "cordon" | "drain" | "clear" | "remove";
type Order = Confirmed | "uncordon" | "refresh";

/** What the order would do now, as the server says, after one sentence about what it always does. */
async function previewOrder(order: Confirmed, node: string): Promise<readonly string[]> {
  const params = { path: { node }, query: { dry_run: true } };
  const answer = await unwrap(order === "remove"
    ? api.DELETE("/api/v1/admin/nodes/{node}", { params })
    : api.POST(`/api/v1/admin/nodes/{node}/${order}`, { params }));
  const effects = answer && "effects" in answer ? answer.effects.map(({ message }) => message) : [];
  return [t.effects[order], ...effects];
}

async function give(order: Order, node: string): Promise<void> {
  const params = { path: { node } };
  await unwrap(order === "remove"
    ? api.DELETE("/api/v1/admin/nodes/{node}", { params })
    : api.POST(`/api/v1/admin/nodes/{node}/${order}`, { params }));
  showToast(t.done[order], "good");
}

/** The buttons of a node. Cordon, drain, clear and remove ask first; the others are harmless and act at once. */
export function NodeOrders({ node, onDone }: { node: FleetNode; onDone: () => Promise<void> }) {
  const [asked, setAsked] = useState<{ order: Confirmed; effects: readonly string[] } | null>(null);
  const ask = (order: Confirmed) => attempt(async () => setAsked({ order, effects: await previewOrder(order, node.node) }));
  const run = (order: Order) => attempt(() => give(order, node.node).then(onDone));
  const isOut = node.cordoned_at !== null;
  return (
    <div class="row wrap">
      {isOut
        ? <Button look="primary" onClick={() => void run("uncordon")}>{t.uncordon}</Button>
        : <Button onClick={() => void ask("cordon")}>{t.cordon}</Button>}
      {node.state !== "draining" && <Button onClick={() => void ask("drain")}>{t.drain}</Button>}
      {(node.occupied || node.blocked) && <Button onClick={() => void ask("clear")}>{t.clear}</Button>}
      {node.online && <Button icon="refresh" onClick={() => void run("refresh")}>{t.refresh}</Button>}
      {!node.online && <Button look="danger" onClick={() => void ask("remove")}>{t.remove}</Button>}
      {asked && (
        <ConfirmDialog title={`${node.node}: ${t.confirm[asked.order]}`} effects={asked.effects} action={t[asked.order].replace("…", "")}
          isDangerous={asked.order !== "cordon"} onConfirm={() => give(asked.order, node.node).then(onDone)} onClose={() => setAsked(null)} />
      )}
    </div>
  );
}
