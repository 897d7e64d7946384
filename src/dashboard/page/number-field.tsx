/** A field for a number that may be left out, as it is typed. */
export function NumberField({
  label,
  value,
  change,
  most,
  isMoney = false,
  placeholder = "",
}: {
  label: string;
  value: string;
  change: (text: string) => void;
  most?: number;
  /** Any amount; else whole numbers from 1. */
  isMoney?: boolean;
  placeholder?: string;
}) {
  return (
    <label>
      {label}{" "}
      <input
        type="number"
        min={isMoney ? 0 : 1}
        max={most}
        step={isMoney ? "any" : 1}
        placeholder={placeholder}
        value={value}
        onInput={(event) => change(event.currentTarget.value)}
      />
    </label>
  );
}
