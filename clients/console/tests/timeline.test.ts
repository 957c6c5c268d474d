import { describe, expect, test } from "vitest";

import { addStep, buildTimeline, parseEvents, type JobEvent } from "../src/pages/jobs/timeline";

const at = (second: number) => new Date(Date.UTC(2026, 10, 29, 9, 0, second)).toISOString();

const EVENTS: JobEvent[] = [
  { seq: 1, status: "pending", attempt: 0, at: at(0) },
  { seq: 2, status: "processing", attempt: 1, at: at(4) },
  { seq: 3, status: "processing", attempt: 1, at: at(5) },
  { seq: 4, status: "pending", attempt: 1, at: at(9), error: { code: "node.lost", message: "The node was lost." } },
  { seq: 5, status: "processing", attempt: 2, at: at(10) },
  { seq: 6, status: "completed", attempt: 2, at: at(30) },
];

describe("buildTimeline", () => {
  test("names each moment and how long it lasted", () => {
    expect(buildTimeline(EVENTS, []).map(({ kind, seconds }) => [kind, seconds])).toEqual([
      ["queued", 4], ["assigned", 1], ["started", 4], ["requeued", 1], ["assigned", 20], ["completed", null],
    ]);
  });

  test("does not depend on the order in which events arrive", () => {
    expect(buildTimeline([...EVENTS].reverse(), [])).toEqual(buildTimeline(EVENTS, []));
  });

  test("puts nodes after the start of their attempt", () => {
    const steps = [
      { attempt: 1, node: "3", nodeClass: "KSampler", at: Date.parse(at(5)), endedAt: Date.parse(at(8)) },
      { attempt: 2, node: "3", nodeClass: "KSampler", at: Date.parse(at(11)), endedAt: null },
    ];
    const moments = buildTimeline(EVENTS, steps);
    expect(moments.map(({ kind }) => kind)).toEqual([
      "queued", "assigned", "started", "node", "requeued", "assigned", "node", "completed",
    ]);
    expect(moments[3]).toMatchObject({ nodeClass: "KSampler", seconds: 3 });
    expect(moments[6]).toMatchObject({ attempt: 2, seconds: null });
  });
});

describe("addStep", () => {
  test("ends the node before when another one starts, and repeats nothing", () => {
    let steps = addStep([], 1, "4", "CheckpointLoaderSimple", 1000);
    steps = addStep(steps, 1, "4", "CheckpointLoaderSimple", 1500);
    steps = addStep(steps, 1, "3", "KSampler", 2000);
    steps = addStep(steps, 1, null, null, 5000);
    expect(steps).toEqual([
      { attempt: 1, node: "4", nodeClass: "CheckpointLoaderSimple", at: 1000, endedAt: 2000 },
      { attempt: 1, node: "3", nodeClass: "KSampler", at: 2000, endedAt: 5000 },
    ]);
  });
});

describe("parseEvents", () => {
  test("returns complete events, keeps the rest and ignores comments", () => {
    const first = JSON.stringify(EVENTS[0]);
    const { events, rest } = parseEvents(`id: 1\nevent: status\ndata: ${first}\n\n: waiting\n\nid: 2\nda`);
    expect(events).toEqual([EVENTS[0]]);
    expect(rest).toBe("id: 2\nda");
  });
});
