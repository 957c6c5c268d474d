/** Dialogs and toasts. Dialogs are native: focus stays inside, Escape closes, and focus returns to where it was. */
import { signal } from "@preact/signals";
import type { ComponentChildren, RefObject } from "preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";

import { Problem } from "../api/problem";
import { text } from "../text";
import { Button, IconButton } from "./controls";
import { Icon } from "./icons";

/** The topmost is last. Everything outside of it is inert, so it also shows the toasts. */
const openDialogs = signal<readonly HTMLDialogElement[]>([]);

/** Open a dialog for as long as the component is mounted. Returns whether it is the topmost one. */
export function useModal(element: RefObject<HTMLDialogElement>): boolean {
  useEffect(() => {
    const opened = element.current!;
    opened.showModal();
    openDialogs.value = [...openDialogs.value, opened];
    return () => {
      openDialogs.value = openDialogs.value.filter((other) => other !== opened);
      opened.close();
    };
  }, []);
  const topmost = openDialogs.value.at(-1);
  return topmost !== undefined && topmost === element.current;
}

type DialogProps = {
  title: string;
  onClose: () => void;
  isWide?: boolean;
  /** Whether it shows a text that cannot be shown again. A click beside the dialog then does not close it. */
  isOneTime?: boolean;
  children: ComponentChildren;
};

/** Mounted means open; `onClose` must unmount it. */
export function Dialog({ title, onClose, isWide, isOneTime, children }: DialogProps) {
  const element = useRef<HTMLDialogElement>(null);
  const isMounted = useRef(true);
  const isPressedBeside = useRef(false); // a selection of text can begin in the dialog and end beside it
  const id = useId();
  const isTopmost = useModal(element);
  useEffect(() => () => {
    isMounted.current = false; // the browser reports the close later, when another dialog may be open
  }, []);
  return (
    <dialog ref={element} class={isWide ? "wide" : ""} aria-labelledby={id} onClose={() => isMounted.current && onClose()}
      onPointerDown={(event) => (isPressedBeside.current = event.target === element.current)}
      onClick={(event) => event.target === element.current && isPressedBeside.current && !isOneTime && element.current?.close()}>
      <div class="dialog-head">
        <h2 id={id}>{title}</h2>
        <IconButton icon="close" label={text.common.close} isSmall onClick={() => element.current?.close()} />
      </div>
      <div class="dialog-body">{children}</div>
      <ToastList isShown={isTopmost} />
    </dialog>
  );
}

type ConfirmProps = {
  title: string;
  /** What will happen, one sentence each, said before anything is done. */
  effects: readonly ComponentChildren[] | null;
  action: string;
  isDangerous?: boolean;
  onConfirm: () => Promise<unknown>;
  onClose: () => void;
  children?: ComponentChildren;
};

/** Shows the effects of an action, then runs it when confirmed. `effects` is null while they are loading. */
export function ConfirmDialog({ title, effects, action, isDangerous, onConfirm, onClose, children }: ConfirmProps) {
  const [problem, setProblem] = useState<Problem | null>(null);
  const [isBusy, setBusy] = useState(false);
  async function confirm(): Promise<void> {
    setBusy(true);
    try {
      await onConfirm();
      onClose();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      setProblem(error);
      setBusy(false);
    }
  }
  return (
    <Dialog title={title} onClose={onClose}>
      {effects === null && <div class="skeleton" aria-label={text.common.loading} />}
      {effects && effects.length > 0 && <ul class="stack tight effects">{effects.map((effect, index) => <li key={index}>{effect}</li>)}</ul>}
      {children}
      {problem && <ProblemNotice problem={problem} />}
      <div class="dialog-actions">
        <Button onClick={onClose}>{text.common.back}</Button>
        <Button look={isDangerous ? "danger primary" : "primary"} isDisabled={isBusy || effects === null} onClick={() => void confirm()}>{action}</Button>
      </div>
    </Dialog>
  );
}

/** An error that says what is wrong and what to do, with the request id for the operator. */
export function ProblemNotice({ problem, onRetry }: { problem: Problem; onRetry?: () => void }) {
  return (
    <div class="notice bad" role="alert">
      <Icon name="alert" />
      <div class="stack tight grow">
        <span>{problem.message}</span>
        {problem.errors.length > 0 && <ul class="small">{problem.errors.map((error, index) => <li key={index}>{error.message}</li>)}</ul>}
        <span class="small soft">{problem.code}{problem.requestId && ` · ${text.errors.requestId} ${problem.requestId}`}</span>
      </div>
      {onRetry && <Button isSmall onClick={onRetry}>{text.common.tryAgain}</Button>}
    </div>
  );
}

type Toast = { id: number; message: string; look: "good" | "bad" | "info"; action?: { label: string; run: () => void } };

const toasts = signal<readonly Toast[]>([]);
let nextToast = 0;

/** Show a message for a few seconds; errors stay until they are closed. */
export function showToast(message: string, look: Toast["look"] = "info", action?: Toast["action"]): void {
  const id = nextToast++;
  toasts.value = [...toasts.value.slice(-3), { id, message, look, action }];
  if (look !== "bad") setTimeout(() => closeToast(id), action ? 9000 : 5000);
}

/** Run an action of a button and show its refusal as a toast. Returns whether it succeeded. */
export async function attempt(action: () => Promise<unknown>, success?: string): Promise<boolean> {
  try {
    await action();
    if (success) showToast(success, "good");
    return true;
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    showToast(error.message, "bad");
    return false;
  }
}

function closeToast(id: number): void {
  toasts.value = toasts.value.filter((toast) => toast.id !== id);
}

/** The toasts of a page. While a dialog is open, they are in the dialog. */
export function Toasts() {
  return <ToastList isShown={openDialogs.value.length === 0} />;
}

/** A screen reader announces toasts only where the empty list was there before. */
export function ToastList({ isShown }: { isShown: boolean }) {
  return (
    <div class="toasts" role="status" aria-live="polite" aria-hidden={!isShown}>
      {isShown && toasts.value.map(({ id, message, look, action }) => (
        <div key={id} class="toast">
          <Icon name={look === "good" ? "check" : look === "bad" ? "alert" : "info"} />
          <span class="grow">{message}</span>
          {action && <Button isSmall onClick={() => { action.run(); closeToast(id); }}>{action.label}</Button>}
          <IconButton icon="close" isSmall label={text.common.close} onClick={() => closeToast(id)} />
        </div>
      ))}
    </div>
  );
}
