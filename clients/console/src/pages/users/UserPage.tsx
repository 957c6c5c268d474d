import { useLocation, useRoute } from "preact-iso";
import { useState } from "preact/hooks";

import { api, unwrap, type Schemas } from "../../api/client";
import { useResource } from "../../api/resource";
import { text } from "../../text";
import { Button, CheckField, SelectField } from "../../ui/controls";
import { attempt, ConfirmDialog, Dialog, showToast } from "../../ui/dialog";
import { formatNumber } from "../../ui/format";
import { CopyButton, Table } from "../../ui/list";
import { Loaded, LocalTime, PageHead, Stat } from "../../ui/show";
import { Changes, changesOf, effectsOf, LIMIT_NAMES, LimitsForm, limitsPatch, showLimit } from "../tiers/limits";
import { TIERS } from "./UsersPage";

const t = text.users;

type User = Schemas["AccountBody"];

export default function UserPage() {
  const { params } = useRoute();
  const path = { user_id: params["user_id"]! };
  const user = useResource(`user ${path.user_id}`, () => unwrap(api.GET("/api/v1/admin/users/{user_id}", { params: { path } })));
  return <Loaded resource={user} title={t.loading}>{(known) => <UserDetails user={known} onChanged={user.reload} />}</Loaded>;
}

function UserDetails({ user, onChanged }: { user: User; onChanged: () => Promise<void> }) {
  const { route } = useLocation();
  const [dialog, setDialog] = useState<"change" | "erase" | null>(null);
  const path = { user_id: user.id };
  async function erase(): Promise<void> {
    await unwrap(api.DELETE("/api/v1/admin/users/{user_id}", { params: { path } }));
    route("/users");
  }
  return (
    <>
      <PageHead title={user.username} intro={user.email}>
        <Button onClick={() => setDialog("change")}>{t.edit}</Button>
        <Button look="danger" onClick={() => setDialog("erase")}>{t.erase}</Button>
      </PageHead>
      <div class="row wrap">
        <span class={`badge ${user.is_active ? "good" : "bad"}`}>{user.is_active ? t.active : t.disabled}</span>
        <span class="badge plain">{user.tier}</span>
        <span class="badge plain">{t.roles[user.role]}</span>
        <span class="soft"><LocalTime at={user.created_at} /></span>
        <span class="mono small">{user.id}</span><CopyButton value={user.id} />
      </div>
      <div class="row wrap">
        <a class="button small" href={`/queue?tenant=${user.id}`}>{t.jobs}</a>
        <a class="button small" href={`/audit?subject=${user.id}`}>{t.audit}</a>
      </div>
      <Usage userId={user.id} />
      <section class="stack">
        <h2>{t.limits}</h2>
        <Table label={t.limits} columns={t.limitColumns}>
          {LIMIT_NAMES.map((name) => (
            <tr key={name}>
              <th scope="row">{text.tiers.limits[name]}</th>
              <td>{showLimit(name, user.limits[name])}</td>
              <td class="soft small">{user.own_limits.includes(name) ? t.limitsOwn : t.limitsOfTier}</td>
            </tr>
          ))}
        </Table>
      </section>
      {dialog === "change" && <ChangeUser user={user} onChanged={onChanged} onClose={() => setDialog(null)} />}
      {dialog === "erase" && (
        <ConfirmDialog title={`${t.eraseTitle} ${user.username}`} effects={t.eraseEffects} action={t.erase} isDangerous onConfirm={erase} onClose={() => setDialog(null)} />
      )}
    </>
  );
}

function Usage({ userId }: { userId: string }) {
  const usage = useResource(`usage of ${userId}`, async () => {
    const path = { user_id: userId };
    return (await unwrap(api.GET("/api/v1/admin/users/{user_id}/usage", { params: { path, query: { days: 30 } } }))).usage;
  });
  return (
    <section class="stack" aria-label={t.usage}>
      <h2>{t.usage}</h2>
      <Loaded resource={usage}>
        {(days) => (
          <div class="columns">
            {(["requests", "jobs", "images", "gpu_seconds"] as const).map((name, index) => (
              <Stat key={name} label={t.usageColumns[index + 1]!} value={formatNumber(Math.round(days.reduce((sum, day) => sum + day[name], 0)))} />
            ))}
          </div>
        )}
      </Loaded>
    </section>
  );
}

function ChangeUser({ user, onChanged, onClose }: { user: User; onChanged: () => Promise<void>; onClose: () => void }) {
  const [tier, setTier] = useState(user.tier);
  const [role, setRole] = useState(user.role);
  const [isActive, setActive] = useState(user.is_active);
  const [limits, setLimits] = useState(user.limits);
  const [effects, setEffects] = useState<readonly string[] | null>(null);
  const limitChanges = changesOf(user.limits, limits);
  const changes: [string, string, string][] = [
    ...(tier !== user.tier ? [[t.tier, user.tier, tier] as [string, string, string]] : []),
    ...(role !== user.role ? [[t.role, t.roles[user.role], t.roles[role]] as [string, string, string]] : []),
    ...(isActive !== user.is_active ? [[t.state, user.is_active ? t.active : t.disabled, isActive ? t.active : t.disabled] as [string, string, string]] : []),
  ];
  const body = {
    ...(tier !== user.tier ? { tier } : {}),
    ...(role !== user.role ? { role } : {}),
    ...(isActive !== user.is_active ? { is_active: isActive } : {}),
    ...(limitChanges.length ? { limits: limitsPatch(user.limits, limits) } : {}),
  };
  const path = { user_id: user.id };
  async function review(): Promise<void> {
    setEffects(effectsOf(await unwrap(api.PATCH("/api/v1/admin/users/{user_id}", { params: { path, query: { dry_run: true } }, body }))));
  }
  async function save(): Promise<void> {
    await unwrap(api.PATCH("/api/v1/admin/users/{user_id}", { params: { path }, body }));
    await onChanged();
    showToast(t.saved, "good");
    onClose();
  }
  if (effects) {
    return (
      <ConfirmDialog title={`${t.change}: ${user.username}`} effects={effects} action={text.common.save} isDangerous={!isActive && user.is_active} onConfirm={save} onClose={() => setEffects(null)}>
        <dl class="changes">
          {changes.map(([name, before, after]) => [<dt key={name}>{name}</dt>, <dd key={`${name}=`}><del>{before}</del> → <ins>{after}</ins></dd>])}
        </dl>
        <Changes changes={limitChanges} />
      </ConfirmDialog>
    );
  }
  return (
    <Dialog title={`${t.change}: ${user.username}`} onClose={onClose} isWide>
      <div class="columns">
        <SelectField label={t.tier} value={tier} options={TIERS} onValue={(value) => setTier(value as User["tier"])} />
        <SelectField label={t.role} value={role} options={[{ value: "user", label: t.roles.user }, { value: "admin", label: t.roles.admin }]} onValue={(value) => setRole(value as User["role"])} />
        <CheckField label={t.active} isChecked={isActive} onValue={setActive} />
      </div>
      <h3>{t.limits}</h3>
      <LimitsForm limits={limits} onChange={setLimits} />
      <div class="dialog-actions">
        <Button onClick={onClose}>{text.common.cancel}</Button>
        <Button look="primary" isDisabled={changes.length + limitChanges.length === 0} onClick={() => void attempt(review)}>{t.review}</Button>
      </div>
    </Dialog>
  );
}
