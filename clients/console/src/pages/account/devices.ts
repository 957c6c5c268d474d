/** What a session's user agent says about the device. Pure. */

const BROWSERS: [string, RegExp][] = [
  ["Edge", /\bEdg(?:e|A|iOS)?\//], ["Opera", /\bOPR\//], ["Firefox", /\b(?:Firefox|FxiOS)\//], ["Chrome", /\b(?:Chrome|CriOS)\//], ["Safari", /\bSafari\//],
];
const SYSTEMS: [string, RegExp][] = [
  ["Android", /Android/], ["iPhone", /iPhone/], ["iPad", /iPad/], ["Windows", /Windows/], ["macOS", /Mac OS X/], ["Linux", /Linux/],
];

/** "Firefox on Linux"; for programs their name, such as "curl"; null if nothing is known. */
export function deviceOf(userAgent: string | null): string | null {
  if (!userAgent) return null;
  const find = (known: [string, RegExp][]) => known.find(([, pattern]) => pattern.test(userAgent))?.[0];
  const browser = find(BROWSERS);
  const system = find(SYSTEMS);
  if (browser) return system ? `${browser} on ${system}` : browser;
  return /^[\w.-]+/.exec(userAgent)?.[0] ?? null;
}
