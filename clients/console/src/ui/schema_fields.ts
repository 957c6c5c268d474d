/** Fields of a form, from JSON Schema and from what the node classes of the fleet allow. Pure. */
import type { Schemas } from "../api/client";
import { isRounded } from "../api/exact";

export type Value = string | number | boolean;

export type FileKind = "image" | "mask" | "video" | "audio" | "file";

export type FormField = {
  /** Unique in the form. */
  key: string;
  label: string;
  hint?: string;
  kind: "line" | "text" | "integer" | "number" | "boolean" | "choice" | "seed" | FileKind;
  choices?: readonly Value[];
  min?: number;
  max?: number;
  /** What the field shows first; null: nothing. */
  start: Value | null;
  isRequired: boolean;
  isAdvanced: boolean;
  /** Fields of one group stand together under its name. */
  group?: string;
};

/** Null: empty, or for a seed a new one each time. */
export type Values = Readonly<Record<string, Value | null>>;

/** The part of JSON Schema that parameters and inputs of nodes use. */
export type Property = {
  type?: string;
  title?: string;
  description?: string;
  default?: Value | null;
  minimum?: number;
  maximum?: number;
  enum?: readonly Value[];
  format?: string;
};

type Extra = { isRequired?: boolean; isAdvanced?: boolean; group?: string; start?: Value | null };

const FILES: Record<string, FileKind> = {
  "image-upload": "image", "mask-upload": "mask", "audio-upload": "audio", "video-upload": "video", "file-upload": "file",
};
const LONG_TEXT = 60;
const UPLOAD_ID = /^(output:)?[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const TEXT_NAMES = /(^|_)(text|prompt|caption|description)(_|$)/i;
const SEED_NAMES = /(^|_)seed$/i;

export function isFileKind(kind: FormField["kind"]): kind is FileKind {
  return kind === "image" || kind === "mask" || kind === "video" || kind === "audio" || kind === "file";
}

/** Whether a value names an upload or an output of an earlier job. */
export function isUploadId(value: unknown): value is string {
  return typeof value === "string" && UPLOAD_ID.test(value);
}

export function fieldOf(key: string, property: Property, extra: Extra = {}): FormField {
  const given = extra.start === undefined ? property.default ?? null : extra.start;
  const kind = kindOf(key, property, given);
  return {
    key,
    label: property.title || humanize(key),
    hint: property.description || rangeHint(kind, property),
    kind,
    choices: property.enum,
    min: property.minimum,
    max: property.maximum,
    start: canShow(kind, given) ? given : null,
    isRequired: extra.isRequired ?? false,
    isAdvanced: extra.isAdvanced ?? false,
    group: extra.group,
  };
}

/** Whether the field can show the value. One that shows nothing leaves the value of the workflow as it is; for a seed, a new one is drawn. */
function canShow(kind: FormField["kind"], value: Value | null): boolean {
  if (isFileKind(kind)) return isUploadId(value);
  if (kind !== "integer" && kind !== "seed") return true;
  return !isRounded(value) && !(kind === "seed" && Number(value) < 0);
}

function kindOf(key: string, { type, format, enum: choices }: Property, start: Value | null): FormField["kind"] {
  const file = format ? FILES[format] : undefined;
  if (file) return file;
  if (choices && choices.length > 0) return "choice";
  if (type === "boolean") return "boolean";
  if (format === "seed" || (type === "integer" && SEED_NAMES.test(key))) return "seed";
  if (type === "integer" || type === "number") return type;
  const isLong = typeof start === "string" && (start.length > LONG_TEXT || start.includes("\n"));
  return format === "multiline" || isLong || TEXT_NAMES.test(key) ? "text" : "line";
}

function rangeHint(kind: FormField["kind"], { minimum, maximum }: Property): string | undefined {
  if ((kind !== "integer" && kind !== "number") || minimum === undefined || maximum === undefined || maximum >= 1e6) return undefined;
  return `${minimum} to ${maximum}`;
}

/** "cfg_scale" becomes "Cfg scale". */
export function humanize(name: string): string {
  const words = name.replaceAll("_", " ").trim();
  return words.charAt(0).toUpperCase() + words.slice(1);
}

type NodeClass = Pick<Schemas["ClassBody"], "name" | "inputs">;

/** What a node class of the fleet allows for an input, where the schema of a saved workflow does not say it. */
export function withClass(property: Property, nodeClass: NodeClass | null | undefined, input: string): Property {
  const known = nodeClass?.inputs[input];
  if (!known) return property;
  const isSeed = property.type === "integer" && SEED_NAMES.test(input);
  return {
    ...property,
    format: property.format ?? (known.upload ? uploadFormat(nodeClass!.name, input) : isSeed ? "seed" : undefined),
    enum: property.enum ?? (known.upload ? undefined : known.options ?? undefined),
    minimum: property.minimum ?? known.min ?? undefined,
    maximum: property.maximum ?? known.max ?? undefined,
  };
}

function uploadFormat(nodeClass: string, input: string): string {
  if (nodeClass === "LoadImageMask") return "mask-upload";
  const kind = (["image", "mask", "video", "audio"] as const).find((word) => input.includes(word) || nodeClass.toLowerCase().includes(word));
  return `${kind ?? "file"}-upload`;
}

type SavedWorkflow = Pick<Schemas["WorkflowBody"], "parameters" | "targets" | "workflow">;

/** The classes of the nodes that parameters of a saved workflow set. */
export function classesOf({ targets, workflow }: SavedWorkflow): string[] {
  const names = Object.values(targets).map(({ node }) => classOf(workflow, node));
  return [...new Set(names.filter((name): name is string => name !== undefined))].sort();
}

function classOf(graph: Record<string, unknown>, node: string): string | undefined {
  return (graph[node] as { class_type?: string } | undefined)?.class_type;
}

/** The fields of a saved workflow, in the order of its parameters. */
export function fieldsOfWorkflow(saved: SavedWorkflow, classes: ReadonlyMap<string, NodeClass | null>): FormField[] {
  const { properties = {}, required = [] } = saved.parameters as { properties?: Record<string, Property>; required?: string[] };
  return Object.entries(properties).map(([name, property]) => {
    const target = saved.targets[name];
    const nodeClass = target && classes.get(classOf(saved.workflow, target.node) ?? "");
    return fieldOf(name, target ? withClass(property, nodeClass, target.input) : property, { isRequired: required.includes(name) });
  });
}

export function startValues(fields: readonly FormField[]): Values {
  return Object.fromEntries(fields.map(({ key, start, kind }) => [key, kind === "seed" ? null : start]));
}

/** Keys of required fields without a value. */
export function missingKeys(fields: readonly FormField[], values: Values): string[] {
  return fields.filter(({ key, isRequired, kind }) => isRequired && kind !== "seed" && (values[key] ?? "") === "").map(({ key }) => key);
}

/** Keys of integers that were typed but are too large to be sent exactly. */
export function roundedKeys(fields: readonly FormField[], values: Values): string[] {
  return fields.filter(({ key, kind }) => (kind === "integer" || kind === "seed") && isRounded(values[key])).map(({ key }) => key);
}

/**
 * The values to send: empty fields are left out, so that the workflow's own value counts.
 * @param draw makes the seeds of fields that have none; undefined leaves the server's choice.
 */
export function parametersOf(fields: readonly FormField[], values: Values, draw?: () => number): Record<string, Value> {
  const sent: Record<string, Value> = {};
  for (const { key, kind, max } of fields) {
    const value = values[key] ?? null;
    if (kind === "seed" && value === null) {
      if (draw) sent[key] = max === undefined ? draw() : Math.min(draw(), max);
    } else if (value !== null && !(value === "" && kind !== "line" && kind !== "text")) sent[key] = value;
  }
  return sent;
}
