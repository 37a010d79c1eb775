/** The fields of a form on the screen. */

import type { ComponentChildren } from "preact";
import { useId } from "preact/hooks";
import { type Texts, useTexts } from "../texts";
import { beginGroup } from "./entered";
import { type Entered, type Field, YES_OR_NO } from "./fields";

type OfKind<K extends Field["kind"]> = Field & { kind: K };

interface FieldProps<K extends Field["kind"] = Field["kind"]> {
  field: OfKind<K>;
  entered: Entered;
  enter: (entered: Entered) => void;
}

export function FieldView({ outermost, ...props }: FieldProps & { outermost?: boolean }) {
  const { field } = props;
  switch (field.kind) {
    case "group":
      return outermost ? <Members {...props} field={field} /> : <Group {...props} field={field} />;
    case "check":
      return <Check {...props} />;
    case "several":
      return <Several {...props} field={field} />;
    case "constant":
      return null;
    default:
      return <Single {...props} field={field} />;
  }
}

type SingleKind = "text" | "number" | "one" | "lines" | "json";

/** A field of one control, with its label and help. */
function Single({ field, entered, enter }: FieldProps<SingleKind>) {
  const texts = useTexts();
  const id = useId();
  const help = helpOf(field, texts);
  const about: ControlProps = {
    id,
    name: field.path,
    "aria-describedby": help ? `${id}-help` : undefined,
    value: String(entered ?? ""),
    onInput: ({ currentTarget }) => enter(currentTarget.value),
  };
  return (
    <div class="field">
      <label for={id}>
        {field.title}
        {!field.must && <span class="optional"> {texts.optional}</span>}
      </label>
      {help && (
        <p class="help" id={`${id}-help`}>
          {help}
        </p>
      )}
      {control(field, about, texts)}
    </div>
  );
}

type Control = HTMLInputElement | HTMLTextAreaElement | HTMLSelectElement;

interface ControlProps {
  id: string;
  name: string;
  "aria-describedby": string | undefined;
  value: string;
  onInput: (event: { currentTarget: Control }) => void;
}

function control(field: OfKind<SingleKind>, about: ControlProps, texts: Texts) {
  const { must } = field;
  switch (field.kind) {
    case "text": {
      const { minLength, maxLength } = field;
      // of these types each takes the same attributes, which its declaration cannot see
      const type = field.type as "text";
      const required = must && (minLength ?? 1) > 0 && field.start !== "";
      const length = { minLength, maxLength, required };
      if (field.long) return <textarea rows={3} {...about} {...length} />;
      return (
        <input
          type={type}
          step={field.type === "datetime-local" ? 1 : undefined}
          {...about}
          {...length}
        />
      );
    }
    case "number":
      return <NumberInput {...about} range={field} required={must} />;
    case "one":
      return (
        <select {...about} required={must}>
          <option value="">{must ? texts.choose : "–"}</option>
          {labels(field, texts).map((label, index) => (
            <option value={String(index)}>{label}</option>
          ))}
        </select>
      );
    case "lines":
      return <textarea rows={3} {...about} required={must} />;
    case "json":
      return <textarea rows={3} class="mono" spellcheck={false} {...about} required={must} />;
  }
}

const labels = ({ options }: OfKind<"one">, texts: Texts) =>
  options === YES_OR_NO ? [texts.yes, texts.no] : options.map(([, label]) => label);

function helpOf(field: Field, texts: Texts): string {
  const own = field.help && !/[.!?…]$/.test(field.help) ? `${field.help}.` : field.help;
  if (field.kind === "lines") return `${own} ${texts.onePerLine}`.trim();
  return field.kind === "json" ? `${own} ${texts.asJson}`.trim() : field.help;
}

interface Range {
  integer?: boolean;
  minimum?: number;
  maximum?: number;
}

interface NumberInputProps {
  range: Range;
  required: boolean;
  id?: string;
  name?: string;
  value: string;
  "aria-labelledby"?: string;
  "aria-describedby"?: string | undefined;
  onInput: (event: { currentTarget: HTMLInputElement }) => void;
}

export function NumberInput({ range: { integer, minimum, maximum }, ...rest }: NumberInputProps) {
  // a step counts from the minimum, so a whole number needs one that is whole
  const step = integer && Number.isInteger(minimum ?? 0) ? 1 : "any";
  const mode = integer && (minimum ?? -1) >= 0 ? "numeric" : "decimal";
  return <input type="number" inputMode={mode} step={step} min={minimum} max={maximum} {...rest} />;
}

function Check({ field, entered, enter }: FieldProps) {
  const id = useId();
  return (
    <div class="field">
      <label class="check">
        <input
          type="checkbox"
          name={field.path}
          checked={entered === true}
          aria-describedby={field.help ? id : undefined}
          onChange={({ currentTarget }) => enter(currentTarget.checked)}
        />
        <span>{field.title}</span>
      </label>
      {field.help && (
        <p class="help" id={id}>
          {field.help}
        </p>
      )}
    </div>
  );
}

function Several({ field, entered, enter }: FieldProps<"several">) {
  const on = Array.isArray(entered) ? entered : [];
  const toggle = (at: number, checked: boolean) =>
    enter(field.options.map((_, index) => (index === at ? checked : !!on[index])));
  return (
    <Fieldset field={field}>
      {field.options.map(([, label], index) => (
        <label class="check">
          <input
            type="checkbox"
            checked={!!on[index]}
            onChange={({ currentTarget }) => toggle(index, currentTarget.checked)}
          />
          <span>{label}</span>
        </label>
      ))}
    </Fieldset>
  );
}

function Group({ field, entered, enter }: FieldProps<"group">) {
  const texts = useTexts();
  const filled = entered !== null;
  const toggle = (on: boolean) => enter(on ? beginGroup(field) : null);
  return (
    <Fieldset field={field}>
      {!field.must && (
        <label class="check">
          <input
            type="checkbox"
            checked={filled}
            onChange={({ currentTarget }) => toggle(currentTarget.checked)}
          />
          <span>{texts.fillIn}</span>
        </label>
      )}
      {filled && <Members field={field} entered={entered} enter={enter} />}
    </Fieldset>
  );
}

function Fieldset({ field, children }: { field: Field; children: ComponentChildren }) {
  return (
    <fieldset>
      <legend>{field.title}</legend>
      {field.help && <p class="help">{field.help}</p>}
      {children}
    </fieldset>
  );
}

function Members({ field, entered, enter }: FieldProps<"group">) {
  const parts = entered && typeof entered === "object" && !Array.isArray(entered) ? entered : {};
  return (
    <div class="fields">
      {field.members.map(({ name, field: member }) => (
        <FieldView
          key={name}
          field={member}
          entered={parts[name] ?? null}
          enter={(value) => enter({ ...parts, [name]: value })}
        />
      ))}
    </div>
  );
}
