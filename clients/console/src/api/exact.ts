/** 64-bit integers, such as seeds. Numbers of JavaScript are exact up to 53 bits. */

type RawJson = { rawJSON?: (text: string) => unknown };

/** Parse JSON and keep integers that JavaScript cannot hold: `JSON.stringify` writes them as they were, `exactText` shows them. */
export function parseExact<T = unknown>(body: string): T {
  const { rawJSON } = JSON as RawJson;
  if (!rawJSON) return JSON.parse(body) as T;
  const revive = (_key: string, value: unknown, context?: { source?: string }): unknown =>
    typeof value === "number" && Number.isInteger(value) && !Number.isSafeInteger(value) && context?.source && /^-?\d+$/.test(context.source)
      ? rawJSON(context.source)
      : value;
  return JSON.parse(body, revive as (key: string, value: unknown) => unknown) as T;
}

/** Whether a number is an integer that JavaScript may have rounded. */
export function isRounded(value: unknown): boolean {
  return Number.isInteger(value) && !Number.isSafeInteger(value);
}

/** Return the integer in full; null if the value is no integer, or was rounded before it came here. */
export function exactText(value: unknown): string | null {
  if (typeof value === "object" && value !== null && "rawJSON" in value) return String(value.rawJSON);
  return Number.isSafeInteger(value) ? String(value) : null;
}
