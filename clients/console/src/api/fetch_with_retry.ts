import { text } from "../text";
import { OFFLINE, Problem } from "./problem";

const MAX_RETRIES = 3;
const MAX_PAUSE_S = 5;

/**
 * Send a request. A read is retried while a part of the server restarts, at most three times; other methods may have
 * had an effect.
 * @throws Problem if the server cannot be reached; the reason of the signal if the request is cancelled.
 */
export async function fetchWithRetry(request: Request): Promise<Response> {
  for (let retries = 0; ; retries++) {
    const response = await send(request.method === "GET" ? request.clone() : request);
    if (response.status !== 503 || request.method !== "GET" || retries === MAX_RETRIES) return response;
    await pause(Math.min(Number(response.headers.get("Retry-After")) || 1, MAX_PAUSE_S), request.signal);
  }
}

async function send(request: Request): Promise<Response> {
  try {
    return await fetch(request);
  } catch (error) {
    if (request.signal.aborted) throw error;
    throw new Problem(0, OFFLINE, text.errors.offline);
  }
}

function pause(seconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, 1000 * seconds);
    signal.addEventListener("abort", () => (clearTimeout(timer), reject(signal.reason)), { once: true });
  });
}
