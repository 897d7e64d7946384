import { useEffect, useRef, useState } from "preact/hooks";

/** Asks for the API key, once a tab. */
export function KeyForm({ refused, onKey }: { refused: boolean; onKey: (key: string) => void }) {
  const [key, setKey] = useState("");
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => field.current?.focus(), []);
  const submit = (event: Event) => {
    event.preventDefault();
    if (key.trim() !== "") onKey(key.trim());
  };
  return (
    <main class="key">
      <h1>Muster</h1>
      <form onSubmit={submit}>
        <label for="key">API key</label>
        <input
          ref={field}
          id="key"
          type="password"
          autocomplete="off"
          spellcheck={false}
          value={key}
          onInput={(event) => setKey(event.currentTarget.value)}
          aria-describedby="key-hint"
        />
        <button type="submit" class="main">
          Open
        </button>
      </form>
      {refused && (
        <p role="alert" class="error">
          Muster does not know this key.
        </p>
      )}
      <p id="key-hint" class="hint">
        It stays in this tab and is gone when you close it. On one machine, npm start prints it.
      </p>
    </main>
  );
}
