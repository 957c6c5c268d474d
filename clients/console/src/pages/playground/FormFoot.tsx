/** The foot of every form that makes a job: what is left, why the last try was refused, and the one button. */
import { Problem } from "../../api/problem";
import { me } from "../../api/session";
import { text } from "../../text";
import { Button } from "../../ui/controls";
import { formatLocal } from "../../ui/format";
import { Refusal } from "./JobCard";
import { adviceFor, quotaLine } from "./limits";

const words = text.playground;

export const sendKey = /Mac|iPhone|iPad/.test(navigator.platform) ? "⌘ Enter" : "Ctrl Enter";

/** Ctrl+Enter or Cmd+Enter anywhere in the form sends it. */
export function onSubmitKey(event: KeyboardEvent, submit: () => Promise<void>): void {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
  event.preventDefault();
  void submit();
}

export function FormFoot({ label, problem, onCode, shortcut, isAtFields }: {
  label: string; problem: Problem | null; onCode?: () => void; shortcut: string;
  /** Whether every message of the problem is shown at a field. */
  isAtFields: boolean;
}) {
  const user = me.value!;
  const isUsedUp = user.left_today === 0;
  return (
    <div class="play-foot">
      {problem && !isAtFields && <Refusal problem={problem} advice={adviceFor(problem, user, formatLocal)} />}
      {isAtFields && <div class="notice bad" role="alert">{words.seeFields}</div>}
      <div class="row">
        <Button type="submit" look="primary" class="grow make" aria-keyshortcuts="Control+Enter">{label}<kbd aria-hidden="true">{shortcut}</kbd></Button>
        {onCode && <Button icon="copy" aria-label={words.code.open} title={words.code.open} onClick={onCode} />}
      </div>
      <div class={`small ${isUsedUp ? "error" : "soft"}`}>
        {quotaLine(user)}{isUsedUp && `. ${words.limits.resets} ${formatLocal(user.resets_at)}.`}
      </div>
    </div>
  );
}
