import { useState } from "preact/hooks";

import { api, unwrap, type Schemas } from "../../api/client";
import { Problem } from "../../api/problem";
import { forgetResources, useResource } from "../../api/resource";
import { me, signOut } from "../../api/session";
import { text } from "../../text";
import { Button, TextField } from "../../ui/controls";
import { attempt, ConfirmDialog, ProblemNotice, showToast } from "../../ui/dialog";
import { Table } from "../../ui/list";
import { Ago, Loaded } from "../../ui/show";
import { deviceOf } from "./devices";

const MIN_PASSWORD = 15;

export function SecuritySection() {
  return (
    <div class="stack loose">
      <Sessions />
      <ChangePassword />
    </div>
  );
}

function Sessions() {
  const sessions = useResource("sessions", async () => (await unwrap(api.GET("/api/v1/auth/sessions"))).sessions);
  const [isEndingAll, setEndingAll] = useState(false);
  async function end({ id }: Schemas["OwnSessionBody"]): Promise<void> {
    if (await attempt(() => unwrap(api.DELETE("/api/v1/auth/sessions/{session_id}", { params: { path: { session_id: id } } })), text.account.sessionEnded)) sessions.update((known) => known.filter((one) => one.id !== id));
  }
  async function endAll(): Promise<void> {
    try {
      await signOut({ everywhere: true });
    } catch (error) {
      if (!(error instanceof Problem) || me.value !== null) throw error;
      showToast(error.message, "bad"); // the sign-in page has replaced the dialog
    }
    forgetResources();
  }
  return (
    <div class="stack">
      <div class="row wrap">
        <div class="grow"><h2>{text.account.sessionsTitle}</h2><p class="soft">{text.account.sessionsIntro}</p></div>
        <Button look="danger" onClick={() => setEndingAll(true)}>{text.account.signOutEverywhere}</Button>
      </div>
      <Loaded resource={sessions}>
        {(known) => (
          <Table label={text.account.sessionsTitle} columns={[text.account.device, text.account.address, text.account.signedIn, text.account.lastUsed, <span class="visually-hidden">{text.account.endSession}</span>]}>
            {known.map((session) => {
              const device = deviceOf(session.user_agent) ?? text.account.unknownDevice;
              return (
                <tr key={session.id}>
                  <td title={session.user_agent ?? ""}><strong>{device}</strong> {session.current && <span class="badge good">{text.account.thisOne}</span>}</td>
                  <td class="mono">{session.ip ?? "–"}</td>
                  <td><Ago at={session.created_at} /></td>
                  <td><Ago at={session.last_used_at} /></td>
                  <td>{!session.current && <Button isSmall aria-label={`${text.account.endSession}: ${device}`} onClick={() => void end(session)}>{text.account.endSession}</Button>}</td>
                </tr>
              );
            })}
          </Table>
        )}
      </Loaded>
      {isEndingAll && (
        <ConfirmDialog
          title={text.account.signOutEverywhere} action={text.account.signOutEverywhere} isDangerous onClose={() => setEndingAll(false)}
          effects={[text.account.everywhereEffect, text.account.everywhereKeys]}
          onConfirm={endAll}
        />
      )}
    </div>
  );
}

function ChangePassword() {
  const [current, setCurrent] = useState("");
  const [wanted, setWanted] = useState("");
  const [problem, setProblem] = useState<Problem | null>(null);
  const [isBusy, setBusy] = useState(false);
  async function submit(event: Event): Promise<void> {
    event.preventDefault();
    setBusy(true);
    setProblem(null);
    try {
      await unwrap(api.POST("/api/v1/auth/password", { body: { current_password: current, new_password: wanted } }));
      setCurrent("");
      setWanted("");
      showToast(text.account.passwordChanged, "good");
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      setProblem(error);
    } finally {
      setBusy(false);
    }
  }
  const isShort = wanted !== "" && wanted.length < MIN_PASSWORD;
  return (
    <section class="card stack account-form" aria-labelledby="password-title">
      <h2 id="password-title">{text.account.changePassword}</h2>
      <form class="stack" onSubmit={(event) => void submit(event)}>
        <input type="text" name="username" autoComplete="username" hidden readOnly aria-hidden="true" tabIndex={-1} />
        <TextField label={text.account.currentPassword} type="password" autoComplete="current-password" required value={current} onValue={setCurrent} />
        <TextField label={text.account.newPassword} type="password" autoComplete="new-password" required hint={text.account.passwordHint} error={isShort ? text.account.passwordShort(MIN_PASSWORD - wanted.length) : null} value={wanted} onValue={setWanted} />
        {problem && <ProblemNotice problem={problem} />}
        <div class="row wrap">
          <Button type="submit" look="primary" isDisabled={isBusy || !current || wanted.length < MIN_PASSWORD}>{text.account.changePassword}</Button>
          <span class="soft small">{text.account.passwordEffect}</span>
        </div>
      </form>
    </section>
  );
}
