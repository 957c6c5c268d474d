import { useState } from "preact/hooks";

import { api, unwrap, type Schemas } from "../../api/client";
import { useResource } from "../../api/resource";
import { text } from "../../text";
import { Button } from "../../ui/controls";
import { ConfirmDialog, Dialog, showToast } from "../../ui/dialog";
import { Table } from "../../ui/list";
import { Loaded, PageHead } from "../../ui/show";
import { Changes, changesOf, LIMIT_NAMES, LimitsForm, limitsPatch, showLimit, type Limits } from "./limits";

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
  const [isReviewed, setReviewed] = useState(false);
  const changes = changesOf(tier.limits, limits);
  async function save(): Promise<void> {
    const body = { limits: limitsPatch(tier.limits, limits) };
    await unwrap(api.PATCH("/api/v1/admin/tiers/{name}", { params: { path: { name: tier.name } }, body }));
    showToast(t.saved, "good");
    onSaved();
    onClose();
  }
  if (isReviewed) {
    return (
      <ConfirmDialog title={`${t.editTitle}: ${tier.name}`} effects={[t.effect]} action={text.common.save} onConfirm={save} onClose={() => setReviewed(false)}>
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
        <Button look="primary" isDisabled={changes.length === 0} onClick={() => setReviewed(true)}>{t.review}</Button>
      </div>
    </Dialog>
  );
}
