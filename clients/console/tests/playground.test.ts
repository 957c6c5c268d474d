import { describe, expect, test } from "vitest";

import { imagePoint, isBlank, strokeBox } from "../src/pages/playground/mask";
import { buildSubmission, drawSeed, errorsByField, missingOf, settingsOf, SHAPES, sizeOf, START, titleOf, type Settings } from "../src/pages/playground/settings";
import { pythonLiteral, shellQuoted, snippet } from "../src/pages/playground/snippets";

const UPLOAD = { id: "0199f2b0-7c3e-7a51-9d24-5a1be0c0ffee", path: "/x", width: 640, height: 480 };
const MASK = { ...UPLOAD, id: "0199f2b0-7c3e-7a51-9d24-5a1be0c0fff0" };

describe("the submission of the form", () => {
  test("has the size and no image for a text", () => {
    const sent = buildSubmission({ ...START, prompt: " a cat ", image: UPLOAD, denoise: 0.5 }, 7);
    expect(sent).toMatchObject({ prompt: "a cat", width: 512, height: 512, seed: 7 });
    expect(sent).not.toHaveProperty("image");
    expect(sent).not.toHaveProperty("denoise");
    expect(sent).not.toHaveProperty("negative_prompt");
  });

  test("keeps the size of an image unless another is wanted", () => {
    const settings: Settings = { ...START, mode: "image", prompt: "a", image: UPLOAD };
    expect(buildSubmission(settings)).not.toHaveProperty("width");
    expect(buildSubmission({ ...settings, isResized: true })).toMatchObject({ width: 512, height: 512 });
  });

  test("has a mask only for inpainting", () => {
    const settings: Settings = { ...START, prompt: "a", image: UPLOAD, mask: MASK, mode: "image" };
    expect(buildSubmission(settings)).not.toHaveProperty("mask");
    expect(buildSubmission({ ...settings, mode: "inpaint" })).toMatchObject({ image: UPLOAD.id, mask: MASK.id });
  });

  test("keeps a chosen seed", () => {
    expect(buildSubmission({ ...START, prompt: "a", seed: 0 }, 7).seed).toBe(0);
  });

  test("becomes the same form again", () => {
    const settings: Settings = { ...START, mode: "inpaint", prompt: "a", negativePrompt: "b", image: UPLOAD, mask: MASK, seed: 5, denoise: 0.4, steps: 30 };
    const restored = settingsOf(buildSubmission(settings));
    expect(buildSubmission(restored)).toEqual(buildSubmission(settings));
  });

  test("names what is missing", () => {
    expect(missingOf({ ...START, mode: "inpaint" })).toEqual({ prompt: true, image: true });
    expect(missingOf({ ...START, mode: "inpaint", prompt: "a", image: UPLOAD })).toEqual({ mask: true });
    expect(missingOf({ ...START, prompt: "a" })).toEqual({});
  });
});

test("drawn seeds are integers that JavaScript holds exactly", () => {
  expect(Number.isSafeInteger(drawSeed())).toBe(true);
});

test("a job is called by its text, or by its workflow", () => {
  expect(titleOf({ prompt: "a cat" })).toBe("a cat");
  expect(titleOf({ workflow_name: "portrait", parameters: { text: "a fisherman", steps: 9 } })).toBe("portrait · a fisherman");
  expect(titleOf({ workflow: { 6: { class_type: "CLIPTextEncode", inputs: { text: "a dog", clip: ["4", 1] } } } })).toBe("a dog");
  expect(titleOf({ workflow: {} })).toBe("");
});

test("a seed that the field cannot hold exactly is not filled in", () => {
  expect(settingsOf({ prompt: "a", seed: 2 ** 60 }).seed).toBeNull();
});

test("sizes are multiples of 8 with about the same area", () => {
  for (const shape of SHAPES) {
    const { width, height } = sizeOf(shape, 1024);
    expect([width % 8, height % 8]).toEqual([0, 0]);
    expect((width * height) / 1024 ** 2).toBeCloseTo(1, 1);
  }
});

test("errors of the API are found by field and by parameter", () => {
  const errors = [
    { pointer: "/width", code: "a", message: "Too wide." },
    { pointer: "/parameters/style~1name", code: "b", message: "No such style." },
    { pointer: "", code: "c", message: "Something else." },
  ];
  expect(errorsByField(errors)).toEqual({ width: "Too wide.", "style/name": "No such style.", "": "Something else." });
});

describe("code of a submission", () => {
  test("survives quotes in a shell", () => {
    expect(shellQuoted("it's")).toBe("'it'\\''s'");
    expect(snippet("curl", { prompt: "it's" }, "https://a.example")).toContain("https://a.example/api/v1/jobs");
  });

  test("is Python where it says so", () => {
    expect(pythonLiteral({ a: true, b: null, c: [1.5, "x"] })).toBe('{"a": True, "b": None, "c": [1.5, "x"]}');
    const code = snippet("python", { prompt: "a cat", steps: 20 }, "https://a.example");
    expect(code).toContain('        "a cat",\n        steps=20,\n');
  });

  test("sends the same body over NATS", () => {
    expect(snippet("nats", { workflow_name: "portrait", parameters: { text: "a" } }, "")).toContain('"jobs.submit"');
  });
});

describe("a mask", () => {
  test("is drawn in pixels of the image, whatever its size on the page", () => {
    expect(imagePoint({ x: 60, y: 35 }, { left: 10, top: 10, width: 100, height: 50 }, 1000, 500)).toEqual({ x: 500, y: 250 });
  });

  test("covers only what lies inside the image", () => {
    const stroke = { kind: "draw", width: 20, points: [{ x: 5, y: 5 }, { x: 100, y: 50 }] } as const;
    expect(strokeBox(stroke, 64, 64)).toEqual({ left: 0, top: 0, right: 64, bottom: 60 });
    expect(strokeBox({ ...stroke, points: [{ x: -50, y: 5 }] }, 64, 64)).toBeNull();
  });

  test("is blank until something is drawn or inverted", () => {
    const points = [{ x: 5, y: 5 }];
    expect(isBlank([], 64, 64)).toBe(true);
    expect(isBlank([{ kind: "erase", width: 9, points }], 64, 64)).toBe(true);
    expect(isBlank([{ kind: "draw", width: 9, points }], 64, 64)).toBe(false);
    expect(isBlank([{ kind: "invert" }], 64, 64)).toBe(false);
  });
});
