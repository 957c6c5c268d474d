const MAX_REPEATED = 3;
const MAX_PAUSE_S = 5;

/** Repeat a read while a part of the server restarts, at most three times. Other methods may have had an effect. */
export async function fetchPatiently(request: Request): Promise<Response> {
  for (let repeated = 0; ; repeated++) {
    const response = await fetch(request.method === "GET" ? request.clone() : request);
    if (response.status !== 503 || request.method !== "GET" || repeated === MAX_REPEATED) return response;
    await pause(Math.min(Number(response.headers.get("Retry-After")) || 1, MAX_PAUSE_S), request.signal);
  }
}

function pause(seconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, 1000 * seconds);
    signal.addEventListener("abort", () => (clearTimeout(timer), reject(signal.reason)), { once: true });
  });
}
