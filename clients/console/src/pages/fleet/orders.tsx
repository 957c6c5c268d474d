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

export function effectsOf(order: Confirmed, node: FleetNode): readonly string[] {
  if (order === "drain") return node.running ? t.effects.drainBusy : t.effects.drainIdle;
  return t.effects[order];
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
  const [asked, setAsked] = useState<Confirmed | null>(null);
  const run = (order: Order) => attempt(() => give(order, node.node).then(onDone));
  const isOut = node.cordoned_at !== null;
  return (
    <div class="row wrap">
      {isOut
        ? <Button look="primary" onClick={() => void run("uncordon")}>{t.uncordon}</Button>
        : <Button onClick={() => setAsked("cordon")}>{t.cordon}</Button>}
      {node.state !== "draining" && <Button onClick={() => setAsked("drain")}>{t.drain}</Button>}
      {(node.occupied || node.blocked) && <Button onClick={() => setAsked("clear")}>{t.clear}</Button>}
      {node.online && <Button icon="refresh" onClick={() => void run("refresh")}>{t.refresh}</Button>}
      {!node.online && <Button look="danger" onClick={() => setAsked("remove")}>{t.remove}</Button>}
      {asked && (
        <ConfirmDialog title={`${node.node}: ${t.confirm[asked]}`} effects={effectsOf(asked, node)} action={t[asked].replace("…", "")}
          isDangerous={asked !== "cordon"} onConfirm={() => give(asked, node.node).then(onDone)} onClose={() => setAsked(null)} />
      )}
    </div>
  );
}
