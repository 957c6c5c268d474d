/** Workflows of ComfyUI as text, as a form, and back. Pure. */
import type { Schemas } from "../../api/client";
import { parseExact } from "../../api/exact";
import type { FieldError } from "../../api/problem";
import { fieldOf, isFileKind, type FormField, type Property, type Value, type Values } from "../../ui/schema_fields";

export type Graph = Record<string, unknown>;

/** An input of a node with a value, as `POST /api/v1/workflows/inputs` describes it. */
export type GraphInput = Omit<Schemas["FormInputBody"], "schema" | "options_total" | "options_url"> & { schema: Property };

export type GraphForm = Omit<Schemas["WorkflowFormBody"], "inputs" | "warnings"> & { inputs: GraphInput[]; warnings: FieldError[] };

/** The answer of `POST /api/v1/workflows/inputs`; the graph in it is exact, its description is for fields. */
export function readForm(answer: string): GraphForm {
  return { ...(JSON.parse(answer) as GraphForm), graph: parseExact<GraphForm>(answer).graph };
}

/** A saved workflow with the defaults of its parameters, as exact as its graph. */
export type SavedWorkflow = Schemas["WorkflowBody"] & { defaults: Record<string, unknown> };

/** The answer of `GET /api/v1/workflows/{workflow_name}`; its graph and defaults are exact, its description is for fields. */
export function readSavedWorkflow(answer: string): SavedWorkflow {
  const { workflow, parameters } = parseExact<Schemas["WorkflowBody"]>(answer);
  const properties = Object.entries((parameters as { properties?: Record<string, { default?: unknown }> }).properties ?? {});
  const defaults = Object.fromEntries(properties.flatMap(([name, { default: value }]) => (value == null ? [] : [[name, value]])));
  return { ...(JSON.parse(answer) as Schemas["WorkflowBody"]), workflow, defaults };
}

/** The values that fields can show: without integers that are too large for JavaScript. */
export function shownValues(parameters: Record<string, unknown> = {}): Values {
  return Object.fromEntries(Object.entries(parameters).filter(([, value]) => typeof value !== "object")) as Values;
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

/** What the input is called among all inputs: with its node where others have the same title. */
export function labelOf(input: GraphInput, inputs: readonly GraphInput[]): string {
  const isAmbiguous = inputs.some((other) => other !== input && other.title === input.title);
  return isAmbiguous ? `${input.title} (${input.node_title || input.node_class})` : input.title;
}

/** The fields of a graph: one for each input with a value, grouped by node. A file must be chosen unless the graph names one. */
export function fieldsOfGraph(inputs: readonly GraphInput[]): FormField[] {
  return inputs.map((one) => {
    const field = fieldOf(one.input, { ...one.schema, title: labelOf(one, inputs) }, {
      start: one.value,
      isAdvanced: one.advanced,
      group: one.node_title || one.node_class,
    });
    return { ...field, key: keyOf(one), isRequired: isFileKind(field.kind) && field.start === null };
  });
}

/** For `fillGraph`: seeds that are not set become -1, for which the server draws one. */
export const serverDraws = (): number => -1;

/** For `fillGraph`: seeds that are not set stay as they are in the graph. */
export const keepSeed = (): null => null;

/**
 * The graph with the values of the form.
 * @param seed makes the value of each seed that is not set.
 */
export function fillGraph(graph: Graph, inputs: readonly GraphInput[], fields: readonly FormField[], values: Values, seed: () => number | null): Graph {
  const filled = { ...graph } as Record<string, { inputs: Record<string, unknown> }>;
  const kinds = new Map(fields.map(({ key, kind, start }) => [key, { kind, start }]));
  for (const one of inputs) {
    const { kind, start } = kinds.get(keyOf(one))!;
    const value = values[keyOf(one)] ?? null;
    const sent = kind === "seed" && value === null ? seed() : value;
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
export function parameterOf(described: GraphInput, all: readonly GraphInput[]): Parameter {
  const { node_id, input, schema, value } = described;
  const isNumber = (schema.type === "integer" || schema.type === "number") && schema.format !== "seed";
  const bound = (limit: number | undefined) => (isNumber && limit !== undefined && Math.abs(limit) <= Number.MAX_SAFE_INTEGER ? limit : undefined);
  const choices = schema.enum && schema.enum.length > 0 && schema.enum.length <= MAX_CHOICES && schema.enum.includes(value) ? schema.enum : undefined;
  return { node: node_id, input, type: schema.type, title: labelOf(described, all), minimum: bound(schema.minimum), maximum: bound(schema.maximum), enum: choices };
}

const NAME = /^[a-z0-9][a-z0-9_-]{0,62}$/;

export function isWorkflowName(name: string): boolean {
  return NAME.test(name);
}

/** A name that the API accepts, from what somebody typed. */
export function workflowName(typed: string): string {
  return typed.toLowerCase().trim().replace(/[^a-z0-9_-]+/g, "-").replace(/^[^a-z0-9]+|-+$/g, "").slice(0, 63);
}
