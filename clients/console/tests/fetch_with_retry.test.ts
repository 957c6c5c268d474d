import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { fetchWithRetry } from "../src/api/fetch_with_retry";

const URL = "http://127.0.0.1/api/v1/jobs";
const restarting = (retryAfter: string) => new Response(null, { status: 503, headers: { "Retry-After": retryAfter } });
const server = vi.fn<typeof fetch>();

beforeEach(() => {
  vi.useFakeTimers();
  server.mockReset();
  vi.stubGlobal("fetch", server);
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

test("a read is repeated after the pause that the server asks for", async () => {
  server.mockResolvedValueOnce(restarting("2")).mockResolvedValueOnce(new Response("jobs"));
  const response = fetchWithRetry(new Request(URL));
  await vi.advanceTimersByTimeAsync(1999);
  expect(server).toHaveBeenCalledTimes(1);
  await vi.advanceTimersByTimeAsync(1);
  expect(await (await response).text()).toBe("jobs");
});

test("a read is repeated three times at most, with pauses of at most five seconds", async () => {
  server.mockImplementation(async () => restarting("3600"));
  const response = fetchWithRetry(new Request(URL));
  await vi.advanceTimersByTimeAsync(15_000);
  expect((await response).status).toBe(503);
  expect(server).toHaveBeenCalledTimes(4);
});

test("a request that may have had an effect is not repeated", async () => {
  server.mockResolvedValueOnce(restarting("1"));
  expect((await fetchWithRetry(new Request(URL, { method: "POST", body: "{}" }))).status).toBe(503);
  expect(server).toHaveBeenCalledTimes(1);
});

test("a cancelled read ends its pause", async () => {
  server.mockResolvedValueOnce(restarting("5"));
  const cancelling = new AbortController();
  const response = fetchWithRetry(new Request(URL, { signal: cancelling.signal }));
  const refused = expect(response).rejects.toThrow("left the page");
  await vi.advanceTimersByTimeAsync(100);
  cancelling.abort(new Error("left the page"));
  await refused;
  expect(server).toHaveBeenCalledTimes(1);
});
