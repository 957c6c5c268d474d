import { useState } from "preact/hooks";

import { api, unwrap, type Schemas } from "../../api/client";
import { usePagedList } from "../../api/paged";
import { text } from "../../text";
import { Button, NumberField, SelectField } from "../../ui/controls";
import { attempt } from "../../ui/dialog";
import { CopyButton, Id, Listed, Table } from "../../ui/list";
import { Ago, Empty, LocalTime } from "../../ui/show";
import { TIERS } from "./UsersPage";

const t = text.users;

/** Creates invites, shows each code once, and lists them. */
export function Invites() {
  const [tier, setTier] = useState<Schemas["Tier"]>("free");
  const [days, setDays] = useState<number | null>(7);
  const [created, setCreated] = useState<string | null>(null);
  const list = usePagedList("invites", async (cursor) => {
    const page = await unwrap(api.GET("/api/v1/admin/invites", { params: { query: { cursor, limit: 20 } } }));
    return { items: page.invites, next: page.next_cursor };
  });
  const create = () => attempt(async () => {
    const { invite } = await unwrap(api.POST("/api/v1/admin/invites", { body: { tier, expires_in_days: days ?? 7 } }));
    setCreated(invite);
    await list.reload();
  });
  const revoke = (id: string) => attempt(async () => {
    await unwrap(api.DELETE("/api/v1/admin/invites/{invite_id}", { params: { path: { invite_id: id } } }));
    await list.reload();
  });
  return (
    <>
      <p class="soft">{t.inviteIntro}</p>
      <div class="filters">
        <SelectField label={t.inviteTier} value={tier} options={TIERS} onValue={(value) => setTier(value as Schemas["Tier"])} />
        <NumberField label={t.inviteDays} value={days} min={1} max={90} onValue={setDays} />
        <Button look="primary" onClick={() => void create()}>{t.inviteCreate}</Button>
      </div>
      {created && (
        <div class="notice good" role="status">
          <div class="stack tight grow"><span>{t.inviteOnce}</span><code>{created}</code></div>
          <CopyButton value={created} />
        </div>
      )}
      <Listed list={list} empty={<Empty icon="users" title={t.inviteEmpty} />}>
        {(invites) => (
          <Table label={t.invites} columns={t.inviteColumns}>
            {invites.map((invite) => (
              <tr key={invite.id}>
                <td>{invite.tier}</td>
                <td><Ago at={invite.created_at} /></td>
                <td><LocalTime at={invite.expires_at} /></td>
                <td>{invite.used_by ? <Id value={invite.used_by} href={`/users/${invite.used_by}`} /> : <span class="soft">{t.inviteUnused}</span>}</td>
                <td>{!invite.used_by && <Button isSmall onClick={() => void revoke(invite.id)}>{t.inviteRevoke}</Button>}</td>
              </tr>
            ))}
          </Table>
        )}
      </Listed>
    </>
  );
}
