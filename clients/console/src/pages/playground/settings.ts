/** What the form of the built-in workflows holds, and the submission that it makes. Pure. */
import type { FieldError } from "../../api/problem";
import type { PickedImage } from "../../ui/image_field";

export type Mode = "text" | "image" | "inpaint";

export type Settings = {
  mode: Mode;
  prompt: string;
  negativePrompt: string;
  /** Empty: the fleet's default. */
  model: string;
  width: number | null;
  height: number | null;
  steps: number | null;
  cfgScale: number | null;
  sampler: string;
  scheduler: string;
  /** Null: a new one for each job. */
  seed: number | null;
  numImages: number | null;
  image: PickedImage | null;
  mask: PickedImage | null;
  /** Null: the default of the mode. */
  denoise: number | null;
  /** Whether image-to-image scales the image to width and height. */
  isResized: boolean;
};

export const START: Settings = {
  mode: "text",
  prompt: "",
  negativePrompt: "",
  model: "",
  width: 512,
  height: 512,
  steps: 20,
  cfgScale: 7,
  sampler: "euler",
  scheduler: "normal",
  seed: null,
  numImages: 1,
  image: null,
  mask: null,
  denoise: null,
  isResized: false,
};

export const DEFAULT_DENOISE: Record<Mode, number> = { text: 1, image: 0.75, inpaint: 1 };

/** Bounds of the API, for the fields. */
export const BOUNDS = {
  side: { min: 64, max: 2048, step: 8 },
  steps: { min: 1, max: 150, step: 1 },
  cfgScale: { min: 1, max: 30, step: 0.5 },
  seed: { min: 0, max: Number.MAX_SAFE_INTEGER, step: 1 },
  numImages: { min: 1, max: 10, step: 1 },
  denoise: { min: 0.01, max: 1, step: 0.01 },
} as const;

export const SHAPES = [
  { key: "square", width: 1, height: 1 },
  { key: "portrait", width: 2, height: 3 },
  { key: "landscape", width: 3, height: 2 },
  { key: "tall", width: 9, height: 16 },
  { key: "wide", width: 16, height: 9 },
] as const;

export type Shape = (typeof SHAPES)[number];

/** Width and height in pixels of a shape whose area is `side` squared, in multiples of 8. */
export function sizeOf(shape: Shape, side: number): { width: number; height: number } {
  const unit = Math.sqrt((side * side) / (shape.width * shape.height));
  const round = (value: number) => Math.min(BOUNDS.side.max, Math.max(BOUNDS.side.min, Math.round(value / 8) * 8));
  return { width: round(shape.width * unit), height: round(shape.height * unit) };
}

/** The values of one submission, as `POST /api/v1/jobs` takes them. */
export type Submission = {
  prompt?: string;
  negative_prompt?: string;
  width?: number;
  height?: number;
  steps?: number;
  cfg_scale?: number;
  sampler?: string;
  scheduler?: string;
  seed?: number;
  num_images?: number;
  model?: string;
  image?: string;
  mask?: string;
  denoise?: number;
  workflow?: Record<string, unknown>;
  workflow_name?: string;
  version?: number;
  parameters?: Record<string, unknown>;
  randomize_seeds?: boolean;
};

/** A seed, short enough to read out and exact in JavaScript, so that the same one can be sent again. */
export function drawSeed(): number {
  return crypto.getRandomValues(new Uint32Array(1))[0]!;
}

/**
 * Return the submission of the form.
 * @param seed for a form whose seed is random; undefined leaves the choice to the server.
 */
export function buildSubmission(settings: Settings, seed?: number): Submission {
  const usesImage = settings.mode !== "text";
  return dropEmpty({
    prompt: settings.prompt.trim(),
    negative_prompt: settings.negativePrompt.trim(),
    model: settings.model,
    ...(usesImage && !settings.isResized ? {} : { width: settings.width, height: settings.height }),
    steps: settings.steps,
    cfg_scale: settings.cfgScale,
    sampler: settings.sampler,
    scheduler: settings.scheduler,
    seed: settings.seed ?? seed,
    num_images: settings.numImages,
    ...(usesImage ? { image: settings.image?.id, denoise: settings.denoise } : {}),
    ...(settings.mode === "inpaint" ? { mask: settings.mask?.id } : {}),
  }) as Submission;
}

/**
 * Return the form's values for an earlier submission.
 * @param images that the form had before, by id: a submission has only the id.
 */
export function settingsOf(submission: Submission, images: ReadonlyMap<string, PickedImage> = new Map()): Settings {
  const { image, mask } = submission;
  return {
    ...START,
    mode: mask ? "inpaint" : image ? "image" : "text",
    prompt: submission.prompt ?? "",
    negativePrompt: submission.negative_prompt ?? "",
    model: submission.model ?? "",
    width: submission.width ?? START.width,
    height: submission.height ?? START.height,
    steps: submission.steps ?? START.steps,
    cfgScale: submission.cfg_scale ?? START.cfgScale,
    sampler: submission.sampler ?? START.sampler,
    scheduler: submission.scheduler ?? START.scheduler,
    seed: Number.isSafeInteger(submission.seed) && submission.seed! >= 0 ? submission.seed! : null, // larger ones do not fit the field
    numImages: submission.num_images ?? 1,
    image: image ? images.get(image) ?? pickedOf(image) : null,
    mask: mask ? images.get(mask) ?? pickedOf(mask) : null,
    denoise: submission.denoise ?? null,
    isResized: Boolean(image) && submission.width !== undefined,
  };
}

function pickedOf(id: string): PickedImage {
  return { id, path: id.startsWith("output:") ? "" : `/api/v1/uploads/${id}/content`, width: null, height: null };
}

function dropEmpty(values: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined && value !== null && value !== ""));
}

/** What is missing before the form can be sent, by field. */
export type Missing = Partial<Record<"prompt" | "image" | "mask", true>>;

export function missingOf(settings: Settings): Missing {
  return {
    ...(settings.prompt.trim() ? {} : { prompt: true }),
    ...(settings.mode !== "text" && !settings.image ? { image: true } : {}),
    ...(settings.mode === "inpaint" && settings.image && !settings.mask ? { mask: true } : {}),
  };
}

/** Messages by field: the first segment of the pointer (`/width`), or the parameter (`/parameters/style`). */
export function errorsByField(errors: readonly FieldError[]): Record<string, string> {
  const found: Record<string, string> = {};
  for (const { pointer, message } of errors) {
    const [first = "", second] = (pointer ?? "").split("/").slice(1).map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"));
    const field = first === "parameters" && second ? second : first;
    found[field] = found[field] ? `${found[field]} ${message}` : message;
  }
  return found;
}

/** What a card calls the job: its text, or the name of its workflow. */
export function titleOf({ prompt, workflow_name, parameters, workflow }: Submission): string {
  if (prompt !== undefined) return prompt;
  if (workflow_name !== undefined) return [workflow_name, ...texts(parameters ?? {})].join(" · ");
  const nodes = Object.values(workflow ?? {}) as { inputs?: Record<string, unknown> }[];
  return nodes.flatMap(({ inputs }) => texts(inputs ?? {}))[0] ?? "";
}

function texts(values: Record<string, unknown>): string[] {
  return ["text", "prompt", "positive", "positive_prompt"].map((name) => values[name]).filter((value): value is string => typeof value === "string" && value !== "").slice(0, 1);
}
