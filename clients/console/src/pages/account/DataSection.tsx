import { useState } from "preact/hooks";

import { api, unwrap } from "../../api/client";
import { Problem } from "../../api/problem";
import { forgetResources } from "../../api/resource";
import { me, signOut } from "../../api/session";
import { text } from "../../text";
import { Button, CheckField, TextField } from "../../ui/controls";
import { attempt, Dialog, ProblemNotice } from "../../ui/dialog";
import { download } from "../../ui/media";

export function DataSection() {
  const [hasFiles, setHasFiles] = useState(true);
  const [isBusy, setBusy] = useState(false);
  const [isErasing, setErasing] = useState(false);
  async function save(): Promise<void> {
    setBusy(true);
    await attempt(() => download(`/api/v1/auth/me/export?files=${hasFiles}`, `comfyfleet-${me.value!.username}.zip`));
    setBusy(false);
  }
  return (
    <div class="columns account-facts">
      <section class="card stack" aria-labelledby="export-title">
        <h2 id="export-title">{text.account.exportTitle}</h2>
        <p>{text.account.exportBody}</p>
        <CheckField label={text.account.exportFiles} hint={text.account.exportFilesHint} isChecked={hasFiles} onValue={setHasFiles} />
        <div><Button icon="download" isDisabled={isBusy} onClick={() => void save()}>{isBusy ? text.account.exporting : text.account.exportAction}</Button></div>
      </section>
      <section class="card stack danger-zone" aria-labelledby="erase-title">
        <h2 id="erase-title">{text.account.eraseTitle}</h2>
        <p>{text.account.eraseBody}</p>
        <div><Button look="danger" icon="trash" onClick={() => setErasing(true)}>{text.account.eraseAction}</Button></div>
      </section>
      {isErasing && <EraseDialog onClose={() => setErasing(false)} />}
    </div>
  );
}

function EraseDialog({ onClose }: { onClose: () => void }) {
  const { username } = me.value!;
  const [typed, setTyped] = useState("");
  const [password, setPassword] = useState("");
  const [problem, setProblem] = useState<Problem | null>(null);
  const [isBusy, setBusy] = useState(false);
  async function erase(event: Event): Promise<void> {
    event.preventDefault();
    setBusy(true);
    setProblem(null);
    try {
      await unwrap(api.DELETE("/api/v1/auth/me", { body: { password } }));
      await signOut().catch(() => undefined); // the session ended with the account
      forgetResources();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      setProblem(error);
      setBusy(false);
    }
  }
  return (
    <Dialog title={text.account.eraseTitle} onClose={onClose}>
      <form class="stack" onSubmit={(event) => void erase(event)}>
        <ul class="stack tight effects">{text.account.eraseEffects.map((effect) => <li key={effect}>{effect}</li>)}</ul>
        <TextField label={text.account.eraseConfirm(username)} autoComplete="off" spellcheck={false} value={typed} onValue={setTyped} />
        <TextField label={text.account.currentPassword} type="password" autoComplete="current-password" required value={password} onValue={setPassword} />
        {problem && <ProblemNotice problem={problem} />}
        <div class="dialog-actions">
          <Button onClick={onClose}>{text.common.back}</Button>
          <Button type="submit" look="danger primary" isDisabled={isBusy || typed !== username || !password}>{text.account.eraseAction}</Button>
        </div>
      </form>
    </Dialog>
  );
}
