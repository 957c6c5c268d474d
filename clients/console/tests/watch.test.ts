import { afterEach, beforeEach, expect, test, vi } from "vitest";

import type { Frame } from "../src/live/frames";

/** The server's end of the page's websocket. */
class Socket {
  static readonly OPEN = 1;
  readyState = 0;
  readonly received: unknown[] = [];
  onopen: () => void = () => undefined;
  onmessage: (event: { data: string }) => void = () => undefined;
  onclose: () => void = () => undefined;

  constructor() {
    sockets.push(this);
  }

  send(message: string): void {
    this.received.push(JSON.parse(message));
  }

  close(): void {
    this.readyState = 3;
    this.onclose();
  }

  accept(): void {
    this.readyState = Socket.OPEN;
    this.onopen();
  }

  answer(frame: Partial<Frame>): void {
    this.onmessage({ data: JSON.stringify({ job_id: "j", ...frame }) });
  }
}

let sockets: Socket[];

beforeEach(() => {
  vi.useFakeTimers();
  vi.resetModules();
  sockets = [];
  vi.stubGlobal("location", new URL("http://127.0.0.1/"));
  vi.stubGlobal("addEventListener", () => undefined);
  vi.stubGlobal("WebSocket", Socket);
  vi.stubGlobal("fetch", async () => Response.json({ ticket: "once" }));
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

async function watching() {
  const { watch } = await import("../src/live/watch");
  const end = watch("j");
  await vi.waitFor(() => expect(sockets).toHaveLength(1));
  const socket = sockets[0]!;
  socket.accept();
  expect(socket.received).toEqual([{ type: "subscribe", job_id: "j" }]);
  return { socket, end };
}

test.each(["service.unavailable", "internal", "socket.too_many_jobs"])("a subscription refused with %s is sent again", async (code) => {
  const { socket } = await watching();
  socket.answer({ type: "snapshot", seq: 2, status: "processing", attempt: 1 });
  socket.answer({ type: "error", code, message: "not now" });
  await vi.advanceTimersByTimeAsync(500);
  expect(socket.received[1]).toEqual({ type: "subscribe", job_id: "j", after: 2 });
});

test("a job that is refused for good is not asked for again", async () => {
  const { socket } = await watching();
  socket.answer({ type: "error", code: "job.not_found", message: "There is no such job." });
  await vi.advanceTimersByTimeAsync(60_000);
  expect(socket.received).toHaveLength(1);
});

test("a job that nobody watches any more is not asked for again", async () => {
  const { socket, end } = await watching();
  socket.answer({ type: "error", code: "service.unavailable", message: "not now" });
  end();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(socket.received).toEqual([{ type: "subscribe", job_id: "j" }, { type: "unsubscribe", job_id: "j" }]);
});

test("pauses grow while subscriptions are refused, up to 15 seconds", async () => {
  const { socket } = await watching();
  for (let refused = 0; refused < 10; refused++) {
    socket.answer({ type: "error", code: "service.unavailable", message: "not now" });
    await vi.advanceTimersByTimeAsync(15_000);
    expect(socket.received).toHaveLength(refused + 2);
  }
  socket.answer({ type: "error", code: "service.unavailable", message: "not now" });
  await vi.advanceTimersByTimeAsync(7_000);
  expect(socket.received).toHaveLength(11);
});

test("one attempt to connect at a time follows a failed one, however many jobs are watched", async () => {
  const { watch } = await import("../src/live/watch");
  const refuseTicket = vi.fn(async () => Response.json({ code: "service.unavailable" }, { status: 503 }));
  vi.stubGlobal("fetch", refuseTicket);
  for (let job = 0; job < 10; job++) {
    watch(`job-${job}`);
    await vi.advanceTimersByTimeAsync(100);
  }
  await vi.advanceTimersByTimeAsync(2 * 60_000);
  expect(refuseTicket.mock.calls.length).toBeGreaterThanOrEqual(10);
  expect(refuseTicket.mock.calls.length).toBeLessThanOrEqual(24); // if every pause is as short as it can be
});

test("a page that is opened while the server cannot be reached tries to connect at once", async () => {
  const { watch } = await import("../src/live/watch");
  const refuseTicket = vi.fn(async () => Response.json({ code: "service.unavailable" }, { status: 503 }));
  vi.stubGlobal("fetch", refuseTicket);
  const end = watch("j");
  await vi.advanceTimersByTimeAsync(0);
  end();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(refuseTicket).toHaveBeenCalledTimes(1);
  watch("another");
  await vi.advanceTimersByTimeAsync(0);
  expect(refuseTicket).toHaveBeenCalledTimes(2);
});
