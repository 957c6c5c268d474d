import { describe, expect, test } from "vitest";

import type { ListedOutput } from "../src/api/outputs";
import { mergeNewest, selectedAfter } from "../src/pages/gallery/outputs";
import { LinkRenewal } from "../src/pages/gallery/renewal";

const items = ["a", "a", "b", "c"].map((job_id) => ({ job_id }) as ListedOutput);

test("a click adds the job of an output, and the next click on any of its outputs removes it", () => {
  const selected = selectedAfter(new Set(), items, 0, null);
  expect([...selected]).toEqual(["a"]);
  expect([...selectedAfter(selected, items, 1, null)]).toEqual([]);
});

test("a range adds the jobs of all its outputs in both directions", () => {
  expect([...selectedAfter(new Set(["z"]), items, 3, 1)]).toEqual(["z", "a", "b", "c"]);
  expect([...selectedAfter(new Set(), items, 1, 3)]).toEqual(["a", "b", "c"]);
});

describe("mergeNewest", () => {
  const output = (id: string, url = "old") => ({ id, url }) as ListedOutput;
  const known = { items: [output("c"), output("b"), output("a")], next: "after a" };

  test("puts new outputs first, keeps older ones, and takes over new links", () => {
    const merged = mergeNewest(known, { items: [output("d", "new"), output("c", "new"), output("b")], next: "after b" });
    expect(merged).toEqual({ items: [output("d", "new"), output("c", "new"), output("b"), output("a")], next: "after a" });
    expect(merged.items[2]).toBe(known.items[1]);
  });

  test("a page without a known output replaces the list, because others may be missing between them", () => {
    const newest = { items: [output("z"), output("y")], next: "after y" };
    expect(mergeNewest(known, newest)).toEqual(newest);
  });
});

describe("a link that has expired", () => {
  const outputs = (expiresAt: string) => Array.from({ length: 250 }, (_, index) => ({ id: `o${index}`, job_id: "a", url_expires_at: expiresAt }) as ListedOutput);
  const known = outputs("2026-01-01T00:00:00Z");
  const now = outputs(new Date(Date.now() + 3_600_000).toISOString());
  let requests: unknown[];
  let read: ListedOutput[];

  function renewal(): LinkRenewal {
    requests = [];
    read = [];
    const list = async (query: { limit?: number; cursor?: string | null }) => {
      requests.push(query);
      const end = Number(query.cursor ?? 0) + query.limit!;
      return { outputs: now.slice(end - query.limit!, end), next_cursor: end < now.length ? String(end) : null };
    };
    return new LinkRenewal(list, (page) => read.push(...page));
  }

  test("is renewed wherever the output is in its job", async () => {
    expect(await renewal().renew(known[249]!)).toBe(now[249]);
    expect(requests).toEqual([{ job_id: "a", limit: 100 }, { job_id: "a", limit: 100, cursor: "100" }, { job_id: "a", limit: 100, cursor: "200" }]);
    expect(read).toEqual(now);
  });

  test("is renewed with the same requests as others of its job", async () => {
    const links = renewal();
    expect(await Promise.all([40, 130, 131].map((index) => links.renew(known[index]!)))).toEqual([now[40], now[130], now[131]]);
    expect(requests).toHaveLength(2);
  });

  test("stays as it is if the output is gone or cannot be read", async () => {
    const gone = { ...known[0]!, id: "gone" };
    expect(await renewal().renew(gone)).toBe(gone);
    expect(await new LinkRenewal(() => Promise.reject(new Error("offline")), () => undefined).renew(gone)).toBe(gone);
  });
});
