/** Controls for settings of pictures: a choice of a few, a slider with its number, a seed. */
import "./forms.css";

import type { ComponentChildren } from "preact";
import { useId } from "preact/hooks";

import { text } from "../text";
import { Field, IconButton, NumberInput } from "./controls";

type Choice<T extends string> = { value: T; label: string; icon?: ComponentChildren };

/** One of a few choices, all visible. Arrow keys move between them, as in any radio group. */
export function Segmented<T extends string>({ label, value, choices, onValue, isLabelHidden }: {
  label: string; value: T | null; choices: readonly Choice<T>[]; onValue: (value: T) => void; isLabelHidden?: boolean;
}) {
  const name = useId();
  return (
    <fieldset class="field">
      <legend class={isLabelHidden ? "visually-hidden" : "label"}>{label}</legend>
      <div class="segmented">
        {choices.map((choice) => (
          <label key={choice.value}>
            <input type="radio" name={name} checked={choice.value === value} onChange={() => onValue(choice.value)} />
            <span>{choice.icon}{choice.label}</span>
          </label>
        ))}
      </div>
    </fieldset>
  );
}

type RangeProps = {
  label: string; hint?: ComponentChildren; error?: string | null; value: number | null; placeholder?: number;
  min: number; max: number; step: number; onValue: (value: number | null) => void;
};

/** A slider and the same value as a number. While the number is empty, the slider stands at `placeholder`. */
export function RangeField({ label, hint, error, value, placeholder, min, max, step, onValue }: RangeProps) {
  return (
    <Field label={label} hint={hint} error={error}>
      {(wiring) => (
        <div class="range">
          <input type="range" tabIndex={-1} aria-hidden="true" min={min} max={max} step={step} value={value ?? placeholder ?? min}
            onInput={({ currentTarget }) => onValue(currentTarget.valueAsNumber)} />
          <NumberInput {...wiring} min={min} max={max} step={step} value={value} onValue={onValue}
            placeholder={placeholder === undefined ? undefined : String(placeholder)} />
        </div>
      )}
    </Field>
  );
}

type SeedProps = { label: string; value: number | null; max: number; draw: () => number; onValue: (value: number | null) => void; error?: string | null; hint?: string };

/** A seed. Empty is a new one each time; the dice draws one and keeps it. */
export function SeedField({ label, value, max, draw, onValue, error, hint }: SeedProps) {
  return (
    <Field label={label} hint={hint ?? (value === null ? text.fields.seedRandom : text.fields.seedKept)} error={error}>
      {(wiring) => (
        <div class="row">
          <NumberInput class="grow" inputMode="numeric" {...wiring} min={0} max={max} step={1} value={value} onValue={onValue} placeholder={text.fields.random} />
          <IconButton icon="dice" label={`${label}: ${text.fields.drawSeed}`} onClick={() => onValue(draw())} />
          {value !== null && <IconButton icon="close" label={`${label}: ${text.fields.forgetSeed}`} onClick={() => onValue(null)} />}
        </div>
      )}
    </Field>
  );
}
