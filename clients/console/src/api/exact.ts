/** Seeds have up to 64 bits; numbers of JavaScript are exact up to 53. */

/**
 * Parse a response whose seeds must stay exact: a seed that a number cannot hold becomes a text.
 * @param body as it was received: `parseAs: "text"`.
 */
export function parseWithSeeds<T>(body: string): T {
  return JSON.parse(body.replaceAll(/(?<!\\)("(?:seed|noise_seed)"\s*:\s*)(\d{16,})/g, '$1"$2"')) as T;
}

/** Return the value as JSON text in which seeds are numbers again, to send or to copy. */
export function inNumbers(value: unknown): string {
  return JSON.stringify(value, null, 2).replaceAll(/("(?:seed|noise_seed)": )"(\d{16,})"/g, "$1$2");
}
