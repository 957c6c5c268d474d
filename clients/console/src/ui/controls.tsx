/** Buttons and form fields. Every field has a visible label, and its hint and error belong to it for screen readers. */
import type { ComponentChildren, JSX } from "preact";
import { useId, useRef } from "preact/hooks";

import { Icon, type IconName } from "./icons";

type ButtonProps = Omit<JSX.IntrinsicElements["button"], "icon" | "size" | "disabled"> & {
  /** What the button looks like; `primary` at most once on a page. */
  look?: "primary" | "danger" | "danger primary" | "quiet";
  icon?: IconName;
  isSmall?: boolean;
  isDisabled?: boolean;
  children?: ComponentChildren;
};

export function Button({ look, icon, isSmall, isDisabled, children, class: extra, ...rest }: ButtonProps) {
  const names = ["button", look, isSmall && "small", !children && "icon", extra].filter(Boolean).join(" ");
  return (
    <button type="button" {...rest} class={names} disabled={isDisabled}>
      {icon && <Icon name={icon} />}
      {children}
    </button>
  );
}

/** A button that shows only an icon; `label` is its name and its tooltip. */
export function IconButton({ label, ...rest }: ButtonProps & { label: string; icon: IconName }) {
  return <Button look="quiet" {...rest} aria-label={label} title={label} />;
}

type FieldProps = { label: string; hint?: ComponentChildren; error?: string | null };

type Wiring = { id: string; "aria-describedby"?: string; "aria-invalid"?: "true" };

/** A labelled control: `children` receives the attributes that connect the control with label, hint and error. */
export function Field({ label, hint, error, children }: FieldProps & { children: (wiring: Wiring) => ComponentChildren }) {
  const id = useId();
  const described = [hint && `${id}-hint`, error && `${id}-error`].filter(Boolean).join(" ");
  return (
    <div class="field">
      <label class="label" for={id}>{label}</label>
      {children({ id, ...(described ? { "aria-describedby": described } : {}), ...(error ? { "aria-invalid": "true" as const } : {}) })}
      {hint && <div class="hint" id={`${id}-hint`}>{hint}</div>}
      {error && <div class="error" id={`${id}-error`}>{error}</div>}
    </div>
  );
}

type TextProps = FieldProps & Omit<JSX.IntrinsicElements["input"], "label" | "onInput"> & { onValue: (value: string) => void };

export function TextField({ label, hint, error, onValue, ...rest }: TextProps) {
  return (
    <Field label={label} hint={hint} error={error}>
      {(wiring) => <input class="input" type="text" {...rest} {...wiring} onInput={(event) => onValue(event.currentTarget.value)} />}
    </Field>
  );
}

type NumberInputProps = Omit<JSX.IntrinsicElements["input"], "ref" | "type" | "value" | "onInput"> & { value: number | null; onValue: (value: number | null) => void };

/**
 * The text that was typed stays while it means `value`, so that "7." can become "7.5".
 * `onValue` gets null while the input is empty or not a number.
 */
export function NumberInput({ value, onValue, class: extra, ...rest }: NumberInputProps) {
  const input = useRef<HTMLInputElement>(null);
  const isTyped = input.current?.valueAsNumber === value;
  return (
    <input class={["input number", extra].filter(Boolean).join(" ")} inputMode="decimal" {...rest} ref={input} type="number"
      value={value === null ? "" : isTyped ? input.current!.value : String(value)}
      onInput={({ currentTarget }) => onValue(Number.isNaN(currentTarget.valueAsNumber) ? null : currentTarget.valueAsNumber)} />
  );
}

type NumberProps = FieldProps & { value: number | null; onValue: (value: number | null) => void; min?: number; max?: number; step?: number | "any"; placeholder?: string };

/** `onValue` gets null while the field is empty or not a number. */
export function NumberField({ label, hint, error, ...rest }: NumberProps) {
  return <Field label={label} hint={hint} error={error}>{(wiring) => <NumberInput {...rest} {...wiring} />}</Field>;
}

type Option = { value: string; label?: string };

type SelectProps = FieldProps & { value: string; onValue: (value: string) => void; options: readonly (string | Option)[]; isDisabled?: boolean };

export function SelectField({ label, hint, error, value, onValue, options, isDisabled }: SelectProps) {
  return (
    <Field label={label} hint={hint} error={error}>
      {(wiring) => (
        <select class="input" {...wiring} value={value} disabled={isDisabled} onChange={(event) => onValue(event.currentTarget.value)}>
          {options.map((option) => {
            const { value: key, label: name } = typeof option === "string" ? { value: option, label: option } : option;
            return <option key={key} value={key}>{name ?? key}</option>;
          })}
        </select>
      )}
    </Field>
  );
}

export function CheckField({ label, isChecked, onValue, hint }: { label: string; isChecked: boolean; onValue: (value: boolean) => void; hint?: string }) {
  return (
    <div class="field">
      <label class="check">
        <input type="checkbox" checked={isChecked} onChange={(event) => onValue(event.currentTarget.checked)} />
        <span>{label}</span>
      </label>
      {hint && <div class="hint">{hint}</div>}
    </div>
  );
}
