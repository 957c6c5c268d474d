import { Problem } from "../api/problem";
import { text } from "../text";

/**
 * Copy a text, also on plain http to another machine, where browsers have no clipboard API.
 * @throws Problem if the browser does not allow it.
 */
export async function copyText(value: string): Promise<void> {
  const isCopied = await navigator.clipboard?.writeText(value).then(() => true, () => false);
  if (!isCopied && !copyBySelection(value)) throw new Problem(0, "console.copy_refused", text.errors.copyRefused);
}

function copyBySelection(value: string): boolean {
  const focused = document.activeElement;
  const area = document.createElement("textarea");
  area.className = "visually-hidden";
  area.value = value;
  ([...document.querySelectorAll("dialog[open]")].at(-1) ?? document.body).append(area); // outside of a dialog nothing can be selected
  area.select();
  const isCopied = document.execCommand("copy");
  area.remove();
  if (focused instanceof HTMLElement) focused.focus();
  return isCopied;
}
