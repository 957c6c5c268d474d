import { useState } from "preact/hooks";

import { api, unwrap, type Schemas } from "../../api/client";
import { useResource } from "../../api/resource";
import { text } from "../../text";
import { Button } from "../../ui/controls";
import { attempt, ConfirmDialog, Dialog, showToast } from "../../ui/dialog";
import { Table } from "../../ui/list";
import { Loaded, PageHead } from "../../ui/show";
import { Changes, changesOf, effectsOf, LIMIT_NAMES, LimitsForm, limitsPatch, showLimit, type Limits } from "./limits";

const t = text.tiers;

type Tier = Schemas["TierBody"];

export default function TiersPage() {
  const tiers = useResource("tiers", async () => (await unwrap(api.GET("/api/v1/admin/tiers"))).tiers);
  const [edited, setEdited] = useState<Tier | null>(null);
  return (
    <>
      <PageHead title={t.title} intro={t.intro} />
      <Loaded resource={tiers}>
        {(known) => (
          <Table label={t.title} columns={[t.limit, ...known.map(({ name }) => name)]}>
            {LIMIT_NAMES.map((name) => (
              <tr key={name}>
                <th scope="row">{t.limits[name]}</th>
                {known.map((tier) => <td key={tier.name}>{showLimit(name, tier.limits[name])}</td>)}
              </tr>
            ))}
            <tr>
              <th scope="row"><span class="visually-hidden">{t.actions}</span></th>
              {known.map((tier) => (
                <td key={tier.name}><Button isSmall aria-label={`${t.edit} ${tier.name}`} onClick={() => setEdited(tier)}>{t.edit}</Button></td>
              ))}
            </tr>
          </Table>
        )}
      </Loaded>
      {edited && <EditTier tier={edited} onSaved={() => void tiers.reload()} onClose={() => setEdited(null)} />}
    </>
  );
}

function EditTier({ tier, onSaved, onClose }: { tier: Tier; onSaved: () => void; onClose: () => void }) {
  const [limits, setLimits] = useState<Limits>(tier.limits);
  const [effects, setEffects] = useState<readonly string[] | null>(null);
  const changes = changesOf(tier.limits, limits);
  const body = { limits: limitsPatch(tier.limits, limits) };
  const path = { name: tier.name };
  async function review(): Promise<void> {
    const answer = await unwrap(api.PATCH("/api/v1/admin/tiers/{name}", { params: { path, query: { dry_run: true } }, body }));
    setEffects([t.effect, ...effectsOf(answer)]);
  }
  async function save(): Promise<void> {
    await unwrap(api.PATCH("/api/v1/admin/tiers/{name}", { params: { path }, body }));
    showToast(t.saved, "good");
    onSaved();
    onClose();
  }
  if (effects) {
    return (
      <ConfirmDialog title={`${t.editTitle}: ${tier.name}`} effects={effects} action={text.common.save} onConfirm={save} onClose={() => setEffects(null)}>
        <Changes changes={changes} />
      </ConfirmDialog>
    );
  }
  return (
    <Dialog title={`${t.editTitle}: ${tier.name}`} onClose={onClose} isWide>
      <p class="soft">{t.empty}</p>
      <LimitsForm limits={limits} onChange={setLimits} />
      <div class="dialog-actions">
        <Button onClick={onClose}>{text.common.cancel}</Button>
        <Button look="primary" isDisabled={changes.length === 0} onClick={() => void attempt(review)}>{t.review}</Button>
      </div>
    </Dialog>
  );
}
