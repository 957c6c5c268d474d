/** Light or dark: the choice of the system until the user makes one. */
import { signal } from "@preact/signals";

export type Theme = "light" | "dark";

const CHOICE = "comfyfleet.theme";
const system = matchMedia("(prefers-color-scheme: dark)");

export const theme = signal<Theme>("light");

export function applyTheme(): void {
  const chosen = localStorage.getItem(CHOICE);
  theme.value = chosen === "light" || chosen === "dark" ? chosen : system.matches ? "dark" : "light";
  document.documentElement.dataset["theme"] = theme.value;
}

export function chooseTheme(chosen: Theme): void {
  localStorage.setItem(CHOICE, chosen);
  applyTheme();
}

system.addEventListener("change", applyTheme);
