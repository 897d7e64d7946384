import { useState } from "preact/hooks";
import type { DeliveryObject } from "../../wire/delivery.ts";
import { get, messageOf, send } from "./api.ts";
import { span } from "./format.ts";
import { usePolled } from "./hooks.ts";
import { Problem } from "./parts.tsx";

/** The webhooks of a batch, sent and to be sent. Nothing where there are none. */
export function Deliveries({ path }: { path: string }) {
  const { value, error, again } = usePolled(
    (signal) => get<{ data: DeliveryObject[] }>(`${path}/deliveries`, signal),
    [path],
    () => 5_000,
  );
  const [failure, setFailure] = useState<string>();
  if (value === undefined || value.data.length === 0) return <Problem text={error} />;
  const resend = async (id: string) => {
    setFailure(undefined);
    try {
      await send("POST", `${path}/deliveries/${encodeURIComponent(id)}/resend`);
    } catch (problem) {
      setFailure(messageOf(problem));
    }
    again();
  };
  return (
    <section aria-labelledby="webhooks">
      <h2 id="webhooks">Webhooks</h2>
      <Problem text={error ?? failure} />
      <ul class="deliveries">
        {value.data.map((delivery) => (
          <li key={delivery.id}>
            <span class={`status ${delivery.state}`}>{delivery.state}</span>{" "}
            <b>{delivery.event_type}</b> <span class="url">{delivery.url}</span>{" "}
            <button type="button" onClick={() => resend(delivery.id)}>
              Send again
            </button>
            <ol class="attempts">
              {delivery.attempts.map((attempt) => (
                <li key={attempt.started_at}>
                  <time dateTime={attempt.started_at}>
                    {new Date(attempt.started_at).toLocaleString()}
                  </time>{" "}
                  · {attempt.status_code ?? attempt.error} · {span(attempt.duration_ms)}
                </li>
              ))}
            </ol>
            {delivery.next_attempt_at !== null && (
              <p class="hint">
                Next attempt {new Date(delivery.next_attempt_at).toLocaleString()}.
              </p>
            )}
          </li>
        ))}
      </ul>
    </section>
  );
}
