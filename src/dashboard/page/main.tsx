import "uplot/dist/uPlot.min.css";
import "./style.css";
import { render } from "preact";
import { useEffect, useState } from "preact/hooks";
import { keyOfTab } from "./api.ts";
import { BatchView } from "./batch.tsx";
import { Batches } from "./batches.tsx";
import { useRoute } from "./hooks.ts";
import { KeyForm } from "./key-form.tsx";
import { NewBatch } from "./new-batch.tsx";
import { Upstreams } from "./upstreams.tsx";

const PLACES = [
  ["/", "Batches"],
  ["/new", "New batch"],
  ["/upstreams", "Upstreams"],
] as const;

function Page() {
  const [key, setKey] = useState(keyOfTab.get());
  const [refused, setRefused] = useState(false);
  const route = useRoute();
  useEffect(() => {
    const forget = () => {
      keyOfTab.forget();
      setRefused(true);
      setKey(null);
    };
    addEventListener("muster-key-refused", forget);
    return () => removeEventListener("muster-key-refused", forget);
  }, []);
  // A new place is read from its beginning, by screen readers too.

  useEffect(() => {
    scrollTo(0, 0);
    document.querySelector<HTMLElement>("h1")?.focus({ preventScroll: true });
  }, [route.split("?")[0]]);

  if (key === null) {
    const enter = (given: string) => {
      keyOfTab.set(given);
      setRefused(false);
      setKey(given);
    };
    return <KeyForm refused={refused} onKey={enter} />;
  }
  const leave = () => {
    keyOfTab.forget();
    setKey(null);
  };
  return (
    <>
      <button type="button" class="skip" onClick={skip}>
        Skip to content
      </button>
      <header>
        <strong>Muster</strong>
        <nav aria-label="Places">
          {PLACES.map(([place, name]) => (
            <a
              key={place}
              href={`#${place}`}
              aria-current={isAt(route, place) ? "page" : undefined}
            >
              {name}
            </a>
          ))}
        </nav>
        <button type="button" class="quiet" onClick={leave}>
          Forget key
        </button>
      </header>
      <main id="main" tabIndex={-1}>
        <View route={route} />
      </main>
    </>
  );
}

/** A button and no link: the address belongs to the places. */
function skip() {
  document.getElementById("main")?.focus();
}

function isAt(route: string, place: string): boolean {
  if (place === "/")
    return route === "/" || route.startsWith("/batches/") || route.startsWith("/?");
  return route === place;
}

function View({ route }: { route: string }) {
  const id = /^\/batches\/([^/?]+)/.exec(route)?.[1];
  if (id !== undefined) return <BatchView key={id} id={decodeURIComponent(id)} />;
  if (route === "/new") return <NewBatch />;
  if (route === "/upstreams") return <Upstreams />;
  return <Batches />;
}

const root = document.getElementById("page");
if (root) render(<Page />, root);
