import { NumberField } from "./number-field.tsx";
import type { Options } from "./options.ts";

/** The fields, folded away: nothing in them has to be filled. */
export function OptionFields({
  options,
  change,
}: {
  options: Options;
  change: (part: Partial<Options>) => void;
}) {
  return (
    <details class="options">
      <summary>Limits and options</summary>
      <div class="fields">
        <NumberField
          label="Calls at once, at most"
          most={10_000}
          value={options.concurrency}
          change={(concurrency) => change({ concurrency })}
        />
        <NumberField
          label="Tokens in all, at most"
          value={options.tokens}
          change={(tokens) => change({ tokens })}
        />
        <NumberField
          label="Dollars in all, at most"
          isMoney
          value={options.dollars}
          change={(dollars) => change({ dollars })}
        />
        <label>
          Expires after
          <input
            value={options.window}
            placeholder="24h; 1m to 30d"
            spellcheck={false}
            onInput={(event) => change({ window: event.currentTarget.value })}
          />
        </label>
        <label class="tick">
          <input
            type="checkbox"
            checked={options.dedupe}
            onChange={(event) => change({ dedupe: event.currentTarget.checked })}
          />
          Call equal requests once
        </label>
        <label class="tick">
          <input
            type="checkbox"
            checked={options.pool}
            onChange={(event) => change({ pool: event.currentTarget.checked })}
          />
          Use all upstreams at once
        </label>
      </div>
    </details>
  );
}
