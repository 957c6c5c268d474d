import { describe, expect, test } from "vitest";

import { parseExact } from "../src/api/exact";
import {
  fieldsOfGraph, fillGraph, graphErrors, graphText, isWorkflowName, keepSeed, parameterOf, readForm, readSavedWorkflow, serverDraws, shownValues, workflowName,
  type GraphInput,
} from "../src/pages/playground/graph";
import { fieldOf, fieldsOfWorkflow, missingKeys, parametersOf, roundedKeys, startValues } from "../src/ui/schema_fields";

const UPLOAD = "0199f2b0-7c3e-7a51-9d24-5a1be0c0ffee";

describe("a field of a JSON Schema", () => {
  test("has a control for its type, choices and format", () => {
    const kindOf = (name: string, property: object) => fieldOf(name, property).kind;
    expect(kindOf("steps", { type: "integer" })).toBe("integer");
    expect(kindOf("cfg", { type: "number" })).toBe("number");
    expect(kindOf("tiled", { type: "boolean" })).toBe("boolean");
    expect(kindOf("style", { type: "string", enum: ["oil", "ink"] })).toBe("choice");
    expect(kindOf("noise_seed", { type: "integer" })).toBe("seed");
    expect(kindOf("prompt", { type: "string" })).toBe("text");
    expect(kindOf("name", { type: "string" })).toBe("line");
    expect(kindOf("picture", { type: "string", format: "image-upload" })).toBe("image");
  });

  test("shows only an upload as a chosen file", () => {
    const property = { type: "string", format: "image-upload" };
    expect(fieldOf("image", { ...property, default: "example.png" }).start).toBeNull();
    expect(fieldOf("image", { ...property, default: UPLOAD }).start).toBe(UPLOAD);
  });
});

describe("the form of a saved workflow", () => {
  const saved = {
    workflow: { 3: { class_type: "KSampler", inputs: {} }, 9: { class_type: "LoadImage", inputs: {} } },
    targets: { sampler: { node: "3", input: "sampler_name" }, steps: { node: "3", input: "steps" }, photo: { node: "9", input: "image" } },
    parameters: {
      type: "object",
      properties: { sampler: { type: "string", default: "euler" }, steps: { type: "integer", default: 20, maximum: 50 }, photo: { type: "string" } },
      required: ["photo"],
    },
  };
  const input = (options: string[] | null, min: number | null, max: number | null, upload = false) => ({ type: "X", required: true, options, min, max, upload });
  const classes = new Map<string, { name: string; inputs: Record<string, ReturnType<typeof input>> }>([
    ["KSampler", { name: "KSampler", inputs: { sampler_name: input(["euler", "ddim"], null, null), steps: input(null, 1, 10_000) } }],
    ["LoadImage", { name: "LoadImage", inputs: { image: input(null, null, null, true) } }],
  ]);

  test("has the choices and bounds of the fleet where the workflow has none", () => {
    const [sampler, steps, photo] = fieldsOfWorkflow(saved, classes);
    expect(sampler).toMatchObject({ kind: "choice", choices: ["euler", "ddim"], start: "euler" });
    expect(steps).toMatchObject({ kind: "integer", min: 1, max: 50 });
    expect(photo).toMatchObject({ kind: "image", isRequired: true });
  });

  test("works without the classes", () => {
    expect(fieldsOfWorkflow(saved, new Map()).map(({ kind }) => kind)).toEqual(["line", "integer", "line"]);
  });

  test("sends what is filled in and names what is missing", () => {
    const fields = fieldsOfWorkflow(saved, classes);
    const values = startValues(fields);
    expect(missingKeys(fields, values)).toEqual(["photo"]);
    expect(parametersOf(fields, { ...values, photo: UPLOAD, steps: null })).toEqual({ sampler: "euler", photo: UPLOAD });
  });

  test("draws a seed within its bounds", () => {
    const seed = [fieldOf("seed", { type: "integer", maximum: 100 })];
    expect(parametersOf(seed, { seed: null }, () => 7000)).toEqual({ seed: 100 });
    expect(parametersOf(seed, { seed: null })).toEqual({});
  });
});

test("integers that JavaScript rounds are found among the typed values", () => {
  const fields = [fieldOf("seed", { type: "integer" }), fieldOf("steps", { type: "integer" }), fieldOf("scale", { type: "number" })];
  expect(roundedKeys(fields, { seed: 12345678901234567890, steps: 2 ** 53 - 1, scale: 1e20 })).toEqual(["seed"]);
  expect(roundedKeys(fields, { seed: null, steps: -(2 ** 53) })).toEqual(["steps"]);
});

describe("the form of a graph", () => {
  const graph = { 3: { class_type: "KSampler", inputs: { seed: 5, steps: 20, model: ["4", 0] } } };
  const base = { node_id: "3", node_class: "KSampler", node_title: null, advanced: false };
  const inputs: GraphInput[] = [
    { ...base, pointer: "/workflow/3/inputs/seed", input: "seed", name: "seed", title: "Seed", schema: { type: "integer", format: "seed", minimum: 0, maximum: 2 ** 64 }, value: 5 },
    { ...base, pointer: "/workflow/3/inputs/steps", input: "steps", name: "steps", title: "Steps", schema: { type: "integer", minimum: 1, maximum: 10_000 }, value: 20 },
  ];
  const fields = fieldsOfGraph(inputs);

  test("changes only the inputs that were set, and draws seeds", () => {
    const filled = fillGraph(graph, inputs, fields, { "3.seed": null, "3.steps": 30 }, () => 99);
    expect(filled).toEqual({ 3: { class_type: "KSampler", inputs: { seed: 99, steps: 30, model: ["4", 0] } } });
    expect(graph[3].inputs.steps).toBe(20);
  });

  test("leaves the choice of a seed to the server in code", () => {
    expect(fillGraph(graph, inputs, fields, {}, serverDraws)).toMatchObject({ 3: { inputs: { seed: -1, steps: 20 } } });
  });

  test("is saved and downloaded with the seeds of the graph unless others were set", () => {
    expect(fillGraph(graph, inputs, fields, { "3.seed": null, "3.steps": 30 }, keepSeed)).toMatchObject({ 3: { inputs: { seed: 5, steps: 30 } } });
    expect(fillGraph(graph, inputs, fields, { "3.seed": 6 }, keepSeed)).toMatchObject({ 3: { inputs: { seed: 6 } } });
  });

  test("names the node where inputs have the same title, and wants a file that the graph does not have", () => {
    const schema = { type: "string", format: "image-upload" };
    const [photo, mask] = ["Photo", "Mask"].map((node_title, index) => ({ ...base, node_id: `${index}`, node_title, pointer: "", input: "image", name: "image", title: "Image", schema, value: index ? UPLOAD : "a.png" }));
    expect(fieldsOfGraph([photo!, mask!])).toMatchObject([{ label: "Image (Photo)", isRequired: true }, { label: "Image (Mask)", isRequired: false }]);
    expect(fieldsOfGraph([photo!])[0]).toMatchObject({ label: "Image" });
  });

  test("finds its errors by node and input", () => {
    expect(graphErrors([{ code: "a", message: "Too many.", node_id: "3", input: "steps" }, { code: "b", message: "Other." }])).toEqual({ "3.steps": "Too many." });
  });

  test("becomes parameters with bounds, but none for a seed", () => {
    expect(parameterOf(inputs[1]!, inputs)).toMatchObject({ node: "3", input: "steps", type: "integer", minimum: 1, maximum: 10_000 });
    expect(parameterOf(inputs[0]!, inputs)).toMatchObject({ minimum: undefined, maximum: undefined });
  });
});

describe("the file of a workflow", () => {
  test("keeps integers that are too large for JavaScript", () => {
    expect(JSON.stringify(parseExact('{"seed":18446744073709551615,"steps":20}'))).toBe('{"seed":18446744073709551615,"steps":20}');
  });

  test("keeps them in the graph and gives fields plain numbers", () => {
    const form = readForm('{"graph": {"3": {"inputs": {"seed": 18446744073709551615}}}, "inputs": [{"schema": {"maximum": 18446744073709551615}}], "outputs": [], "warnings": []}');
    expect(JSON.stringify(form.graph)).toContain("18446744073709551615");
    expect(typeof form.inputs[0]!.schema.maximum).toBe("number");
    expect(shownValues(parseExact('{"seed": 18446744073709551615, "steps": 20}') as Record<string, unknown>)).toEqual({ steps: 20 });
  });

  test("keeps them in a saved workflow, and in the defaults of its parameters", () => {
    const answer = `{
      "name": "a", "version": 1, "targets": {"seed": {"node": "3", "input": "seed"}, "size": {"node": "3", "input": "size"}},
      "workflow": {"3": {"class_type": "X", "inputs": {"seed": 18446744073709551615, "size": 9007199254740993}}},
      "parameters": {"properties": {
        "seed": {"type": "integer", "default": 18446744073709551615}, "size": {"type": "integer", "default": 9007199254740993, "maximum": 18446744073709551615},
        "note": {"type": "string", "default": null}
      }}
    }`;
    const saved = readSavedWorkflow(answer);
    expect(JSON.stringify(saved.workflow)).toContain('{"seed":18446744073709551615,"size":9007199254740993}');
    expect(JSON.stringify(saved.defaults)).toBe('{"seed":18446744073709551615,"size":9007199254740993}');
    const fields = fieldsOfWorkflow(saved, new Map());
    expect(fields).toMatchObject([{ kind: "seed", start: null }, { kind: "integer", start: null, max: 2 ** 64 }, { start: null }]);
    expect(parametersOf(fields, startValues(fields))).toEqual({}); // the workflow's own values count
  });

  test("is found inside a PNG of ComfyUI", () => {
    const content = "prompt\0{\"3\": {}}";
    const chunk = [0, 0, 0, content.length, ...Buffer.from("tEXt"), ...Buffer.from(content), 0, 0, 0, 0];
    const png = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
    expect(graphText(new Uint8Array([...png, ...chunk]))).toBe('{"3": {}}');
    expect(graphText(new Uint8Array([...png, 0, 0, 0, 0, ...Buffer.from("IEND"), 0, 0, 0, 0]))).toBeNull();
    expect(graphText(new Uint8Array(Buffer.from("{}")))).toBe("{}");
  });
});

test("names of workflows are made valid", () => {
  expect(workflowName("  My Portrait! v2 ")).toBe("my-portrait-v2");
  expect(isWorkflowName(workflowName("My Portrait"))).toBe(true);
  expect(isWorkflowName(workflowName("--"))).toBe(false);
});
