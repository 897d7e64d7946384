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
        <label>
          Calls at once, at most
          <input
            type="number"
            min={1}
            max={10_000}
            value={options.concurrency}
            onInput={(event) => change({ concurrency: event.currentTarget.value })}
          />
        </label>
        <label>
          Tokens in all, at most
          <input
            type="number"
            min={1}
            value={options.tokens}
            onInput={(event) => change({ tokens: event.currentTarget.value })}
          />
        </label>
        <label>
          Dollars in all, at most
          <input
            type="number"
            min={0}
            step="any"
            value={options.dollars}
            onInput={(event) => change({ dollars: event.currentTarget.value })}
          />
        </label>
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
