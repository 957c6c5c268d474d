/** Workflows of ComfyUI as text, as a form, and back. Pure. */
import type { FieldError } from "../../api/problem";
import { fieldOf, type FormField, type Property, type Value, type Values } from "../../ui/schema_fields";

export type Graph = Record<string, unknown>;

/** An input of a node with a value, as `POST /api/v1/workflows/inputs` describes it. */
export type GraphInput = {
  pointer: string;
  node_id: string;
  node_class: string;
  node_title: string | null;
  input: string;
  name: string;
  title: string;
  schema: Property;
  value: Value;
  advanced: boolean;
};

export type GraphForm = { graph: Graph; inputs: GraphInput[]; outputs: { node_id: string; node_class: string; node_title: string | null }[]; warnings: FieldError[] };

type RawJson = { rawJSON?: (text: string) => unknown };

/** Parse JSON and keep integers that JavaScript cannot hold, such as 64-bit seeds, for `JSON.stringify`. */
export function parseExact(text: string): unknown {
  const { rawJSON } = JSON as RawJson;
  if (!rawJSON) return JSON.parse(text);
  const revive = (_key: string, value: unknown, context?: { source?: string }): unknown =>
    typeof value === "number" && Number.isInteger(value) && !Number.isSafeInteger(value) && context?.source && /^-?\d+$/.test(context.source)
      ? rawJSON(context.source)
      : value;
  return JSON.parse(text, revive as (key: string, value: unknown) => unknown);
}

const PNG = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const TEXTS = ["prompt", "workflow"]; // the graph in API format is exact; the editor's file is converted

/** The workflow in a file: JSON, or a PNG that ComfyUI made and that has its workflow inside. Null: there is none. */
export function graphText(bytes: Uint8Array): string | null {
  if (!PNG.every((byte, index) => bytes[index] === byte)) return new TextDecoder().decode(bytes);
  const found: Record<string, string> = {};
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 8; at + 12 <= bytes.length; ) {
    const length = view.getUint32(at);
    const chunk = bytes.subarray(at + 8, at + 8 + length);
    if (String.fromCharCode(...bytes.subarray(at + 4, at + 8)) === "tEXt") {
      const end = chunk.indexOf(0);
      found[new TextDecoder("latin1").decode(chunk.subarray(0, end))] = new TextDecoder("latin1").decode(chunk.subarray(end + 1));
    }
    at += 12 + length;
  }
  return TEXTS.map((name) => found[name]).find((text) => text !== undefined) ?? null;
}

export function keyOf({ node_id, input }: { node_id: string; input: string }): string {
  return `${node_id}.${input}`;
}

/** The fields of a graph: one for each input with a value, grouped by node. */
export function fieldsOfGraph(inputs: readonly GraphInput[]): FormField[] {
  return inputs.map((one) => ({
    ...fieldOf(one.input, { ...one.schema, title: one.title }, {
      start: typeof one.value === "object" ? null : one.value, // an integer too large for a field
      isAdvanced: one.advanced,
      group: one.node_title || one.node_class,
    }),
    key: keyOf(one),
  }));
}

/**
 * The graph with the values of the form.
 * @param draw makes new seeds; undefined writes -1, for which the server draws one.
 */
export function fillGraph(graph: Graph, inputs: readonly GraphInput[], fields: readonly FormField[], values: Values, draw?: () => number): Graph {
  const filled = { ...graph } as Record<string, { inputs: Record<string, unknown> }>;
  const kinds = new Map(fields.map(({ key, kind, start }) => [key, { kind, start }]));
  for (const one of inputs) {
    const { kind, start } = kinds.get(keyOf(one))!;
    const value = values[keyOf(one)] ?? null;
    const sent = kind === "seed" && value === null ? draw?.() ?? -1 : value;
    if (sent === null || sent === start) continue;
    const node = filled[one.node_id]!;
    filled[one.node_id] = { ...node, inputs: { ...node.inputs, [one.input]: sent } };
  }
  return filled;
}

/** Messages by field. */
export function graphErrors(errors: readonly FieldError[]): Record<string, string> {
  const found: Record<string, string> = {};
  for (const { node_id, input, message } of errors) {
    if (node_id == null || input == null) continue;
    const key = keyOf({ node_id, input });
    found[key] = found[key] ? `${found[key]} ${message}` : message;
  }
  return found;
}

const MAX_CHOICES = 100;

export type Parameter = { node: string; input: string; type?: string; title?: string; minimum?: number; maximum?: number; enum?: readonly Value[] };

/** The definition of a saved workflow's parameter that sets this input. A seed has no bounds, so that -1 can mean any. */
export function parameterOf({ node_id, input, title, schema, value }: GraphInput): Parameter {
  const isNumber = (schema.type === "integer" || schema.type === "number") && schema.format !== "seed";
  const bound = (limit: number | undefined) => (isNumber && limit !== undefined && Math.abs(limit) <= Number.MAX_SAFE_INTEGER ? limit : undefined);
  const choices = schema.enum && schema.enum.length > 0 && schema.enum.length <= MAX_CHOICES && schema.enum.includes(value) ? schema.enum : undefined;
  return { node: node_id, input, type: schema.type, title, minimum: bound(schema.minimum), maximum: bound(schema.maximum), enum: choices };
}

const NAME = /^[a-z0-9][a-z0-9_-]{0,62}$/;

export function isWorkflowName(name: string): boolean {
  return NAME.test(name);
}

/** A name that the API accepts, from what somebody typed. */
export function workflowName(typed: string): string {
  return typed.toLowerCase().trim().replace(/[^a-z0-9_-]+/g, "-").replace(/^[^a-z0-9]+|-+$/g, "").slice(0, 63);
}
