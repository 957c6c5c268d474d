/**
 * Keyboard shortcuts: `?` lists them, `/` goes to the page's search, `g` and a letter to a page. Speech input types single
 * keys unintentionally, so they can be turned off (WCAG 2.1.4).
 */
import { signal } from "@preact/signals";
import { useLocation } from "preact-iso";
import { useEffect } from "preact/hooks";

import { isAdmin } from "../api/session";
import { NAV } from "../routes";
import { text } from "../text";
import { CheckField } from "../ui/controls";
import { Dialog } from "../ui/dialog";

type Shortcut = { keys: string; label: string; run: () => void };

const isHelpOpen = signal(false);
const ofPage = signal<readonly Shortcut[]>([]);
const SEQUENCE_MS = 1200;
const CHOICE = "comfyfleet.shortcuts";

const areOn = signal(localStorage.getItem(CHOICE) !== "off");

function turnShortcuts(isOn: boolean): void {
  localStorage.setItem(CHOICE, isOn ? "on" : "off");
  areOn.value = isOn;
}

/** Adds a shortcut of the page while it is mounted. `keys` is one key, such as "n". */
export function useShortcut(keys: string, label: string, run: () => void): void {
  useEffect(() => {
    const shortcut = { keys, label, run };
    ofPage.value = [...ofPage.value, shortcut];
    return () => {
      ofPage.value = ofPage.value.filter((other) => other !== shortcut);
    };
  }, [keys, label, run]);
}

export function openShortcuts(): void {
  isHelpOpen.value = true;
}

export function Shortcuts() {
  const { route } = useLocation();
  useEffect(() => {
    let goingUntil = 0;
    const onKey = (event: KeyboardEvent) => {
      if (!areOn.value || event.defaultPrevented || event.metaKey || event.ctrlKey || event.altKey || isTyping(event.target)) return;
      if (document.querySelector("dialog[open]")) return;
      if (event.key === "?") openShortcuts();
      else if (event.key === "/") document.querySelector<HTMLElement>("[data-search]")?.focus();
      else if (Date.now() < goingUntil) {
        goingUntil = 0;
        const item = groups().flatMap((group) => group.items).find(({ shortcut }) => shortcut === event.key);
        if (!item) return;
        route(item.path);
      } else if (event.key === "g") goingUntil = Date.now() + SEQUENCE_MS;
      else {
        const found = ofPage.value.find(({ keys }) => keys === event.key);
        if (!found) return;
        found.run();
      }
      event.preventDefault();
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, [route]);
  return isHelpOpen.value ? <ShortcutDialog /> : null;
}

function ShortcutDialog() {
  return (
    <Dialog title={text.shortcuts.title} onClose={() => (isHelpOpen.value = false)}>
      <CheckField label={text.shortcuts.singleKeys} hint={text.shortcuts.singleKeysHint} isChecked={areOn.value} onValue={turnShortcuts} />
      <dl class="facts">
        <dt><kbd>?</kbd></dt><dd>{text.shortcuts.help}</dd>
        <dt><kbd>/</kbd></dt><dd>{text.shortcuts.search}</dd>
        <dt><kbd>Ctrl</kbd> <kbd>Enter</kbd></dt><dd>{text.shortcuts.submit}</dd>
        {ofPage.value.map(({ keys, label }) => [<dt key={`${keys}-keys`}><kbd>{keys}</kbd></dt>, <dd key={keys}>{label}</dd>])}
        {groups().flatMap((group) => group.items).map(({ path, label, shortcut }) => [
          <dt key={`${path}-keys`}><kbd>g</kbd> <kbd>{shortcut}</kbd></dt>,
          <dd key={path}>{text.shortcuts.go} {label}</dd>,
        ])}
      </dl>
    </Dialog>
  );
}

function groups() {
  return NAV.filter(({ isForAdmins }) => !isForAdmins || isAdmin.value);
}

function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));
}
