import { afterEach, beforeEach, expect, test, vi } from "vitest";

type Answer = { status?: number; body?: unknown; code?: string; isOffline?: boolean; after?: Promise<void> };

const MINUTE_MS = 60_000;
const ME = { id: "u", username: "grace", role: "user" };
const TOKENS = tokensOf(ME.id, "first");
const RENEWED = tokensOf(ME.id, "second");
const DOWN = { status: 503, code: "service.unavailable" };

/** Tokens for a user. The name stands in for the signature of the access token. */
function tokensOf(user: string, name: string) {
  const payload = Buffer.from(JSON.stringify({ sub: user, username: "gräce?>" })).toString("base64url");
  return { access_token: `e30.${payload}.${name}`, expires_in: 15 * 60 };
}

/** Answers by path, oldest first; the last one repeats. */
let server: Record<string, Answer[]>;
let requests: string[];
let address: { origin: string; pathname: string; hash: string; reload: () => void };
let reloads: number;

beforeEach(() => {
  vi.useFakeTimers();
  vi.resetModules(); // each test is a page that has just been opened
  requests = [];
  server = {};
  reloads = 0;
  address = { origin: "http://127.0.0.1", pathname: "/", hash: "", reload: () => (reloads += 1) };
  const stored = new Map<string, string>();
  vi.stubGlobal("location", address);
  vi.stubGlobal("navigator", {}); // without locks, as on plain http
  vi.stubGlobal("history", { replaceState: () => (address.hash = "") });
  vi.stubGlobal("localStorage", {
    getItem: (name: string) => stored.get(name) ?? null,
    setItem: (name: string, value: string) => stored.set(name, value),
    removeItem: (name: string) => stored.delete(name),
  });
  vi.stubGlobal("fetch", async (request: Request) => {
    const path = new URL(request.url).pathname.replace("/api/v1/", "");
    requests.push([path, request.headers.get("Authorization")?.replace(/^Bearer .*[.]/, "with")].filter(Boolean).join(" "));
    const answers = server[path] ?? [{ status: 404, code: "not_found" }];
    const { status = 200, body, code, isOffline, after } = answers.length > 1 ? answers.shift()! : answers[0]!;
    await after;
    if (isOffline) throw new TypeError("Failed to fetch");
    return new Response(JSON.stringify(body ?? { code, detail: `refused with ${code}` }), { status });
  });
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

async function signedIn() {
  const session = await import("../src/api/session");
  server["auth/login"] = [{ body: TOKENS }];
  server["auth/me"] = [{ body: ME }];
  await session.signIn("grace", "a lighthouse needs a keeper");
  expect(session.me.value).toEqual(ME);
  requests = [];
  return session;
}

test("reading the user after the access token has expired renews it", async () => {
  const session = await signedIn();
  server["auth/me"] = [{ body: { ...ME, tier: "pro" } }];
  server["auth/refresh"] = [{ body: RENEWED }];
  await vi.advanceTimersByTimeAsync(16 * MINUTE_MS);
  await session.loadMe();
  expect(requests).toEqual(["auth/refresh", "auth/me withsecond"]);
  expect(session.me.value).toMatchObject({ tier: "pro" });
});

test("a refused access token does not end a session that can be renewed", async () => {
  const session = await signedIn();
  server["auth/me"] = [{ status: 401, code: "auth.credential.invalid" }, { body: ME }];
  server["auth/refresh"] = [{ body: RENEWED }];
  await session.loadMe();
  expect(requests).toEqual(["auth/me withfirst", "auth/refresh", "auth/me withsecond"]);
  expect(session.me.value).toEqual(ME);
});

test("a session that cannot be renewed has ended", async () => {
  const session = await signedIn();
  server["auth/me"] = [{ status: 401, code: "auth.credential.invalid" }];
  server["auth/refresh"] = [{ status: 401, code: "auth.refresh.invalid" }];
  await session.loadMe();
  expect(session.me.value).toBeNull();
});

test("a request is not repeated as another user who has signed in in another tab", async () => {
  const session = await signedIn();
  const { api } = await import("../src/api/client");
  let isLocked = false;
  const request = async (_name: string, use: () => Promise<unknown>) => {
    isLocked = true;
    return use().finally(() => (isLocked = false));
  };
  vi.stubGlobal("navigator", { locks: { request } });
  server["jobs"] = [{ status: 401, code: "auth.credential.invalid" }, { status: 202 }];
  server["auth/refresh"] = [{ body: tokensOf("another", "third") }];
  void api.POST("/api/v1/jobs", { body: { prompt: "A secret of grace" } as never });
  await vi.advanceTimersByTimeAsync(MINUTE_MS);
  expect(requests).toEqual(["jobs withfirst", "auth/refresh"]);
  expect(session.me.value).toBeUndefined();
  expect(reloads).toBe(1);
  expect(isLocked).toBe(false); // other tabs can refresh
});

test("a session continues while it cannot be renewed", async () => {
  const session = await signedIn();
  server["auth/refresh"] = [DOWN];
  await vi.advanceTimersByTimeAsync(16 * MINUTE_MS);
  await expect(session.loadMe()).rejects.toMatchObject({ status: 503 });
  await expect(session.accessToken()).rejects.toMatchObject({ status: 503 });
  expect(session.me.value).toEqual(ME);
});

test("an access token is used until it has expired if it cannot be renewed", async () => {
  const session = await signedIn();
  server["auth/refresh"] = [{ isOffline: true }];
  await vi.advanceTimersByTimeAsync(15 * MINUTE_MS - 10_000);
  expect(await session.accessToken()).toBe(TOKENS.access_token);
});

test.each<[string, string, Answer]>([
  ["the session cannot be renewed", "auth/refresh", DOWN],
  ["the server cannot be reached", "auth/refresh", { isOffline: true }],
  ["the user cannot be read", "auth/me", { status: 429, code: "rate.limited" }],
])("a reload while %s says so and restores the session later", async (_reason, path, refusal) => {
  const session = await import("../src/api/session");
  localStorage.setItem("comfyfleet.signed-in", "1");
  server["auth/refresh"] = [{ body: RENEWED }];
  server["auth/me"] = [{ body: ME }];
  server[path] = [refusal, ...server[path]!];
  await session.restoreSession();
  expect(session.me.value).toBeUndefined();
  expect(session.restoreProblem.value).toMatchObject({ isTemporary: true });
  await vi.advanceTimersByTimeAsync(5_000);
  expect(session.me.value).toEqual(ME);
  expect(session.restoreProblem.value).toBeNull();
});

test("a sign-in link that is opened without a network is used later", async () => {
  const session = await import("../src/api/session");
  address.hash = "#sign-in=cfl_link";
  server["auth/login-links/redeem"] = [{ isOffline: true }, { body: TOKENS }];
  server["auth/me"] = [{ body: ME }];
  await session.restoreSession();
  expect(address.hash).toBe("#sign-in=cfl_link");
  expect(session.restoreProblem.value).toMatchObject({ code: "console.offline" });
  await session.restoreSession();
  expect(address.hash).toBe("");
  expect(session.me.value).toEqual(ME);
});

test("a refused sign-in link leads to the sign-in page", async () => {
  const session = await import("../src/api/session");
  address.hash = "#sign-in=cfl_link";
  server["auth/login-links/redeem"] = [{ status: 401, code: "auth.login_link.invalid" }];
  await session.restoreSession();
  expect(address.hash).toBe("");
  expect(session.linkProblem.value).toMatchObject({ code: "auth.login_link.invalid" });
  expect(session.me.value).toBeNull();
});

test("signing in without a network says that the server cannot be reached", async () => {
  const session = await import("../src/api/session");
  server["auth/login"] = [{ isOffline: true }];
  await expect(session.signIn("grace", "a lighthouse needs a keeper")).rejects.toMatchObject({ code: "console.offline" });
});

test.each<[string, Answer]>([["refused", DOWN], ["not sent", { isOffline: true }]])("signing out everywhere fails if it is %s", async (_how, refusal) => {
  const session = await signedIn();
  server["auth/logout"] = [refusal];
  await expect(session.signOut({ everywhere: true })).rejects.toMatchObject({ isTemporary: true });
  expect(session.me.value).toEqual(ME);
});

test("the page forgets a session that the server could not end, and says so", async () => {
  const session = await signedIn();
  server["auth/logout"] = [{ isOffline: true }];
  await expect(session.signOut()).rejects.toMatchObject({ code: "console.offline" });
  expect(session.me.value).toBeNull();
});

test("a user who is read while the page signs out stays signed out", async () => {
  const session = await signedIn();
  let answer = (): void => undefined;
  const answered = new Promise<void>((resolve) => (answer = resolve));
  server["auth/me"] = [{ body: ME, after: answered }];
  server["auth/logout"] = [{ status: 200 }];
  const reading = session.loadMe();
  await session.signOut();
  answer();
  await reading;
  expect(session.me.value).toBeNull();
});

test("signing out of a session that has ended elsewhere succeeds", async () => {
  const session = await signedIn();
  server["auth/logout"] = [{ status: 401, code: "auth.credential.invalid" }];
  server["auth/refresh"] = [{ status: 401, code: "auth.refresh.invalid" }];
  await session.signOut();
  expect(session.me.value).toBeNull();
});

test("signing out everywhere fails if this session has ended elsewhere", async () => {
  const session = await signedIn();
  server["auth/logout"] = [{ status: 401, code: "auth.credential.invalid" }];
  server["auth/refresh"] = [{ status: 401, code: "auth.refresh.invalid" }];
  await expect(session.signOut({ everywhere: true })).rejects.toMatchObject({ code: "console.session_ended" });
  expect(session.me.value).toBeNull();
});

test.each([
  ["auth.login.failed", ["auth/password withfirst"]],
  ["auth.credential.invalid", ["auth/password withfirst", "auth/refresh", "auth/password withsecond"]],
])("a request refused with %s is repeated only if its token was invalid", async (code, expected) => {
  await signedIn();
  const { api } = await import("../src/api/client");
  server["auth/password"] = [{ status: 401, code }];
  server["auth/refresh"] = [{ body: RENEWED }];
  const { response } = await api.POST("/api/v1/auth/password", { body: { current_password: "wrong", new_password: "a new password, long" } });
  expect(response.status).toBe(401);
  expect(requests).toEqual(expected);
});
