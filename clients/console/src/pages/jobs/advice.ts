/** What a user can do about an error of a job. Pure. */
import { text } from "../../text";

const ADVICE: Record<string, string> = text.job.advice;

/** Return the advice for the code, else for its first part ("node.lost": "node"), else the general one. */
export function adviceOf(code: string): string {
  return ADVICE[code] ?? ADVICE[code.split(".")[0]!] ?? ADVICE["job"]!;
}
