/** The built-in workflows as one form: a picture from a text, from another picture, or with a part repainted. */
import { signal } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";

import { isRounded } from "../../api/exact";
import { Problem } from "../../api/problem";
import { text } from "../../text";
import { Button, CheckField, Field, NumberField, SelectField } from "../../ui/controls";
import { RangeField, SeedField, Segmented } from "../../ui/fields";
import { ImageField, type PickedImage } from "../../ui/image_field";
import { CodeDialog } from "./CodeDialog";
import { FormFoot, onSubmitKey, sendKey } from "./FormFoot";
import { shortModel } from "./JobCard";
import { keepForm, keptForm, submitJob } from "./jobs";
import { DrawMaskButton } from "./MaskDialog";
import type { MaskStep } from "./mask";
import { useCheckpoints, useSamplers } from "./options";
import {
  BOUNDS, buildSubmission, DEFAULT_DENOISE, drawSeed, errorsByField, missingOf, settingsOf, SHAPES, sizeOf, START, type Mode, type Settings, type Submission,
} from "./settings";

const words = text.playground;
const FORM = "built-in";

const settings = signal<Settings>(START);
const maskSteps = signal<readonly MaskStep[]>([]);
const images = new Map<string, PickedImage>();
let isRestored = false;

function change(changed: Partial<Settings>): void {
  for (const image of [changed.image, changed.mask]) if (image) images.set(image.id, image);
  settings.value = { ...settings.value, ...changed };
  keepForm(FORM, settings.value);
}

/** Fill the form with the settings of an earlier job. */
export function reuseSettings(submission: Submission): void {
  maskSteps.value = [];
  change(settingsOf(submission, images));
}

/** Start from a picture. */
export function startFrom(image: PickedImage, mode: Mode): void {
  maskSteps.value = [];
  change({ mode, image, mask: null });
}

export function BuiltInForm() {
  const [problem, setProblem] = useState<Problem | null>(null);
  const [isChecked, setChecked] = useState(false);
  const [isCodeOpen, setCodeOpen] = useState(false);
  const form = useRef<HTMLFormElement>(null);
  const checkpoints = useCheckpoints();
  const samplers = useSamplers();
  useEffect(() => {
    const kept = isRestored ? undefined : keptForm<Settings>(FORM);
    isRestored = true;
    if (kept) change({ ...START, ...kept });
  }, []);

  const values = settings.value;
  const errors = problem ? errorsByField(problem.errors) : {};
  const missing = isChecked ? missingOf(values) : {};
  const isSeedRounded = isRounded(values.seed);
  const usesImage = values.mode !== "text";

  async function submit(): Promise<void> {
    setChecked(true);
    if (Object.keys(missingOf(values)).length > 0 || isSeedRounded) return focusFirstError(form.current!);
    setProblem(null);
    try {
      setChecked(false);
      await submitJob(buildSubmission(values, drawSeed()));
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      setProblem(error);
      focusFirstError(form.current!);
    }
  }

  return (
    <form ref={form} class="card play-form" aria-label={words.formLabel} noValidate onKeyDown={(event) => onSubmitKey(event, submit)}
      onSubmit={(event) => { event.preventDefault(); void submit(); }}>
      <div class="play-fields">
        <Field label={words.prompt} error={errors["prompt"] ?? (missing.prompt && words.promptMissing)}>
          {(wiring) => (
            <textarea class="input prompt" {...wiring} rows={4} maxLength={20_000} value={values.prompt} placeholder={words.promptPlaceholder}
              onInput={({ currentTarget }) => change({ prompt: currentTarget.value })} />
          )}
        </Field>
        <Segmented<Mode> label={words.mode} value={values.mode} onValue={(mode) => change({ mode })}
          choices={[{ value: "text", label: words.modes.text }, { value: "image", label: words.modes.image }, { value: "inpaint", label: words.modes.inpaint }]} />
        {usesImage && (
          <>
            <ImageField label={words.image} value={values.image} takesPaste error={errors["image"] ?? (missing.image && words.imageMissing)}
              onValue={(image) => { maskSteps.value = []; change({ image, mask: null }); }} />
            {values.mode === "inpaint" && values.image && <MaskField error={errors["mask"] ?? (missing.mask && words.maskMissing)} image={values.image} mask={values.mask} />}
            <RangeField label={words.strength} hint={words.strengthHint} error={errors["denoise"]} {...BOUNDS.denoise} value={values.denoise}
              placeholder={DEFAULT_DENOISE[values.mode]} onValue={(denoise) => change({ denoise })} />
            <CheckField label={words.resize} isChecked={values.isResized} onValue={(isResized) => change({ isResized })} />
          </>
        )}
        {(!usesImage || values.isResized) && <SizeField errors={errors} />}
        <SelectField label={words.model} error={errors["model"]} value={values.model} onValue={(model) => change({ model })}
          options={[{ value: "", label: words.modelDefault }, ...withCurrent(checkpoints ?? [], values.model).map((name) => ({ value: name, label: shortModel(name) }))]} />
        <div class="play-pair">
          <NumberField label={words.numImages} error={errors["num_images"]} {...BOUNDS.numImages} value={values.numImages} onValue={(numImages) => change({ numImages })} />
          <SeedField label={words.seedLabel} error={isSeedRounded ? text.fields.rounded : errors["seed"]} max={BOUNDS.seed.max} draw={drawSeed} value={values.seed} onValue={(seed) => change({ seed })} />
        </div>
        <details class="advanced" open={["negative_prompt", "steps", "cfg_scale", "sampler", "scheduler"].some((name) => errors[name]) || undefined}>
          <summary>{words.advanced}</summary>
          <div class="stack">
            <Field label={words.negativePrompt} hint={words.negativeHint} error={errors["negative_prompt"]}>
              {(wiring) => (
                <textarea class="input" {...wiring} rows={2} maxLength={20_000} value={values.negativePrompt}
                  onInput={({ currentTarget }) => change({ negativePrompt: currentTarget.value })} />
              )}
            </Field>
            <RangeField label={words.steps} hint={words.stepsHint} error={errors["steps"]} {...BOUNDS.steps} value={values.steps} placeholder={20} onValue={(steps) => change({ steps })} />
            <RangeField label={words.guidance} hint={words.guidanceHint} error={errors["cfg_scale"]} {...BOUNDS.cfgScale} value={values.cfgScale} placeholder={7}
              onValue={(cfgScale) => change({ cfgScale })} />
            <div class="play-pair">
              <SelectField label={words.sampler} error={errors["sampler"]} value={values.sampler} options={withCurrent(samplers?.samplers ?? [], values.sampler)}
                onValue={(sampler) => change({ sampler })} />
              <SelectField label={words.scheduler} error={errors["scheduler"]} value={values.scheduler} options={withCurrent(samplers?.schedulers ?? [], values.scheduler)}
                onValue={(scheduler) => change({ scheduler })} />
            </div>
            <div><Button isSmall look="quiet" icon="refresh" onClick={() => change({ ...START, prompt: values.prompt, mode: values.mode, image: values.image, mask: values.mask })}>{words.reset}</Button></div>
          </div>
        </details>
      </div>
      <FormFoot label={words.submit} problem={problem} isAtFields={areShown(problem)} onCode={values.prompt.trim() && !isSeedRounded ? () => setCodeOpen(true) : undefined} shortcut={sendKey} />
      {isCodeOpen && <CodeDialog submission={buildSubmission(values)} onClose={() => setCodeOpen(false)} />}
    </form>
  );
}

const FIELDS: ReadonlySet<string> = new Set<keyof Submission>([
  "prompt", "negative_prompt", "width", "height", "steps", "cfg_scale", "sampler", "scheduler", "seed", "num_images", "model", "image", "mask", "denoise",
]);

function areShown(problem: Problem | null): boolean {
  const names = problem ? Object.keys(errorsByField(problem.errors)) : [];
  return names.length > 0 && names.every((name) => FIELDS.has(name));
}

function MaskField({ image, mask, error }: { image: PickedImage; mask: PickedImage | null; error?: string }) {
  const draw = (
    <DrawMaskButton image={image} hasMask={mask !== null} steps={maskSteps.value}
      onDone={(drawn, steps) => { maskSteps.value = steps; change({ mask: drawn }); }} />
  );
  return (
    <div class="stack tight">
      {image.path && !mask && <div>{draw}</div>}
      <ImageField label={words.maskLabel} value={mask} error={error} onValue={(chosen) => change({ mask: chosen })}>{image.path && draw}</ImageField>
    </div>
  );
}

const AREAS = ["512", "768", "1024"] as const;

function SizeField({ errors }: { errors: Record<string, string> }) {
  const { width, height } = settings.value;
  const area = AREAS.reduce((nearest, side) => (distance(side) < distance(nearest) ? side : nearest));
  const current = SHAPES.find((shape) => {
    const size = sizeOf(shape, Number(area));
    return size.width === width && size.height === height;
  });
  function distance(side: string): number {
    return Math.abs(Math.sqrt((width ?? 512) * (height ?? 512)) - Number(side));
  }
  return (
    <div class="stack size-field">
      <Segmented label={words.shape} value={current?.key ?? null}
        onValue={(key) => change(sizeOf(SHAPES.find((shape) => shape.key === key)!, Number(area)))}
        choices={SHAPES.map((shape) => ({ value: shape.key, label: `${shape.width}:${shape.height}`, icon: <ShapeIcon {...shape} /> }))} />
      <div class="play-size">
        <NumberField label={words.width} error={errors["width"]} {...BOUNDS.side} value={width} onValue={(value) => change({ width: value })} />
        <NumberField label={words.height} error={errors["height"]} {...BOUNDS.side} value={height} onValue={(value) => change({ height: value })} />
        <SelectField label={words.area} value={area} options={AREAS.map((value) => ({ value, label: words.areas[value] }))}
          onValue={(side) => change(sizeOf(current ?? { key: "square", width: 1, height: 1 }, Number(side)))} />
      </div>
    </div>
  );
}

function ShapeIcon({ width, height }: { width: number; height: number }) {
  const scale = 12 / Math.max(width, height);
  return (
    <svg width="14" height="14" viewBox="0 0 14 14" fill="none" stroke="currentColor" stroke-width="1.4" aria-hidden="true">
      <rect x={7 - (width * scale) / 2} y={7 - (height * scale) / 2} width={width * scale} height={height * scale} rx="1.5" />
    </svg>
  );
}

/** The options, with the current value even if the fleet does not have it (yet). */
export function withCurrent(options: readonly string[], current: string): readonly string[] {
  return current === "" || options.includes(current) ? options : [current, ...options];
}

/** Move the focus to the first field with an error, once it is shown. */
export function focusFirstError(form: HTMLElement): void {
  requestAnimationFrame(() =>
    setTimeout(() => form.querySelector<HTMLElement>('[aria-invalid="true"], .error ~ * button, [role="group"]:has(> .error) input')?.focus()),
  );
}
