/** What is left of the user's quota, in words. Pure. */
import { Problem } from "../../api/problem";
import type { Me } from "../../api/session";
import { text } from "../../text";
import { formatDuration, formatNumber } from "../../ui/format";

const words = text.playground.limits;

export function quotaLine(user: Me): string {
  const limit = user.limits.images_per_day;
  if (limit === null || user.left_today === null) return words.unlimited;
  return `${formatNumber(user.left_today)} ${words.of} ${formatNumber(limit)} ${words.left}`;
}

/** What a 429 means and when it ends; null if the server's message says it all. */
export function adviceFor(problem: Problem, user: Me, formatTime: (at: string) => string): string | null {
  if (problem.status !== 429) return null;
  if (problem.code === "quota.images_exceeded" || problem.code === "quota.gpu_seconds_exceeded") {
    return `${words.resets} ${formatTime(user.resets_at)}. ${words.waitingCount}`;
  }
  if (problem.code === "quota.queue_full") return words.queueFull;
  return problem.retryAfterSeconds ? `${words.retry} ${formatDuration(problem.retryAfterSeconds)}.` : null;
}
