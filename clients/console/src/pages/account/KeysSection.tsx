import { useState } from "preact/hooks";

import { api, unwrap, type Schemas } from "../../api/client";
import { useResource } from "../../api/resource";
import { Problem } from "../../api/problem";
import { isAdmin } from "../../api/session";
import { text } from "../../text";
import { Button, CheckField, SelectField, TextField } from "../../ui/controls";
import { ConfirmDialog, Dialog, ProblemNotice, showToast } from "../../ui/dialog";
import { Icon } from "../../ui/icons";
import { CopyButton, Table } from "../../ui/list";
import { Ago, Empty, Loaded, LocalTime } from "../../ui/show";

type Key = Schemas["KeyBody"];
type Scope = Schemas["Scope"];

const SCOPES: readonly Scope[] = ["jobs:read", "jobs:write", "keys", "admin"];
const LIFETIMES = ["30", "90", "365"] as const;
const DAY_MS = 86_400_000;

export function KeysSection() {
  const keys = useResource("keys", () => unwrap(api.GET("/api/v1/auth/keys")));
  const [isCreating, setCreating] = useState(false);
  const [revoked, setRevoked] = useState<Key | null>(null);
  async function revoke(key: Key): Promise<void> {
    await unwrap(api.DELETE("/api/v1/auth/keys/{key_id}", { params: { path: { key_id: key.id } } }));
    keys.update((data) => ({ ...data, keys: data.keys.filter(({ id }) => id !== key.id) }));
    showToast(text.account.revoked, "good");
  }
  const create = <Button look="primary" icon="plus" onClick={() => setCreating(true)}>{text.account.createKey}</Button>;
  return (
    <div class="stack">
      <div class="row wrap"><p class="soft grow">{text.account.keysIntro}</p>{keys.data && keys.data.keys.length > 0 && create}</div>
      <Loaded resource={keys}>
        {(data) => data.keys.length === 0
          ? <Empty icon="shield" title={text.account.noKeys}><p>{text.account.noKeysBody}</p>{create}</Empty>
          : (
            <Table label={text.account.keys} columns={[text.account.name, text.account.key, text.account.scopes, text.account.created, text.account.lastUsed, text.account.expires, <span class="visually-hidden">{text.account.revoke}</span>]}>
              {data.keys.map((key) => (
                <tr key={key.id}>
                  <td><strong>{key.name}</strong></td>
                  <td class="mono">{key.prefix}…</td>
                  <td><span class="row wrap">{key.scopes.map((scope) => <span key={scope} class="badge plain">{scope}</span>)}</span></td>
                  <td><Ago at={key.created_at} /></td>
                  <td>{key.last_used_at ? <Ago at={key.last_used_at} /> : text.account.never}</td>
                  <td>{key.expires_at ? <Ago at={key.expires_at} /> : text.account.never}</td>
                  <td><Button isSmall look="danger" aria-label={`${text.account.revoke} ${key.name}`} onClick={() => setRevoked(key)}>{text.account.revoke}</Button></td>
                </tr>
              ))}
            </Table>
          )}
      </Loaded>
      {isCreating && <CreateKey onClose={() => setCreating(false)} onCreated={() => void keys.reload()} />}
      {revoked && (
        <ConfirmDialog
          title={text.account.revokeTitle(revoked.name)} action={text.account.revoke} isDangerous onConfirm={() => revoke(revoked)} onClose={() => setRevoked(null)}
          effects={[text.account.revokeEffect, revoked.last_used_at ? <>{text.account.lastUsed}: <Ago at={revoked.last_used_at} /></> : text.account.neverUsed, text.account.revokeJobs]}
        />
      )}
    </div>
  );
}

function CreateKey({ onClose, onCreated }: { onClose: () => void; onCreated: () => void }) {
  const [name, setName] = useState("");
  const [scopes, setScopes] = useState<readonly Scope[]>(["jobs:read", "jobs:write"]);
  const [days, setDays] = useState<string>("90");
  const [problem, setProblem] = useState<Problem | null>(null);
  const [isBusy, setBusy] = useState(false);
  const [created, setCreated] = useState<Schemas["CreatedKeyBody"] | null>(null);
  async function submit(event: Event): Promise<void> {
    event.preventDefault();
    setBusy(true);
    setProblem(null);
    try {
      const expires_at = new Date(Date.now() + Number(days) * DAY_MS).toISOString();
      setCreated(await unwrap(api.POST("/api/v1/auth/keys", { body: { name: name.trim(), scopes: [...scopes], expires_at } })));
      onCreated();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      setProblem(error);
    } finally {
      setBusy(false);
    }
  }
  if (created) return <ShownKey created={created} onClose={onClose} />;
  return (
    <Dialog title={text.account.createKey} onClose={onClose}>
      <form class="stack" onSubmit={(event) => void submit(event)}>
        <TextField label={text.account.name} hint={text.account.nameHint} required maxLength={100} autoFocus value={name} onValue={setName} />
        <fieldset class="field stack tight">
          <legend class="label">{text.account.scopes}</legend>
          {SCOPES.filter((scope) => scope !== "admin" || isAdmin.value).map((scope) => (
            <CheckField key={scope} label={text.account.scopeNames[scope]} isChecked={scopes.includes(scope)} hint={text.account.scopeHints[scope]}
              onValue={(isChecked) => setScopes(SCOPES.filter((one) => (one === scope ? isChecked : scopes.includes(one))))} />
          ))}
        </fieldset>
        <SelectField label={text.account.expires} value={days} onValue={setDays} options={LIFETIMES.map((value) => ({ value, label: text.account.inDays(Number(value)) }))} />
        {problem && <ProblemNotice problem={problem} />}
        <div class="dialog-actions">
          <Button onClick={onClose}>{text.common.back}</Button>
          <Button type="submit" look="primary" isDisabled={isBusy || !name.trim() || scopes.length === 0}>{text.account.createKey}</Button>
        </div>
      </form>
    </Dialog>
  );
}

/** The only place that shows the text of a key. */
function ShownKey({ created, onClose }: { created: Schemas["CreatedKeyBody"]; onClose: () => void }) {
  return (
    <Dialog title={text.account.keyCreated(created.name)} isOneTime onClose={onClose}>
      <div class="notice warn"><Icon name="alert" /><span>{text.account.shownOnce}</span></div>
      <div class="row key-text">
        <input class="input mono" readOnly aria-label={text.account.key} value={created.key} onFocus={(event) => event.currentTarget.select()} />
        <CopyButton value={created.key} />
      </div>
      <p class="soft small">{text.account.useKey} <code>X-API-Key</code>{created.expires_at && <>. {text.account.expires}: <LocalTime at={created.expires_at} /></>}</p>
      <div class="dialog-actions"><Button look="primary" onClick={onClose}>{text.account.keyStored}</Button></div>
    </Dialog>
  );
}
