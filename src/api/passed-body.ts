/** Of an answer, to read what it used. A longer one is passed on, and what was reserved stays so. */
const MAX_READ_BYTES = 2_000_000;

/**
 * An answer's body, as it is, on its way to a client. Neither side is waited for without end: the
 * upstream with its next bytes, or the client with taking those that are there. One that reads nothing
 * would hold the call, and so its place among the calls in flight, for as long as it likes.
 *
 * @param silenceMs after so long without a step of either side the body breaks off, and the upstream's
 *   is cancelled.
 * @param end gets what the body was in the end: undefined when it was long, or broke off. Called once.
 */
export function passedBody(
  body: ReadableStream<Uint8Array>,
  silenceMs: number,
  end: (text: string | undefined) => void,
): ReadableStream<Uint8Array> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let text = "";
  let bytes = 0;
  let isOver = false;
  let silence: ReturnType<typeof setTimeout> | undefined;
  const over = (whole?: string) => {
    clearTimeout(silence);
    if (isOver) return;
    isOver = true;
    end(whole);
  };
  const step = (controller: ReadableStreamDefaultController<Uint8Array>) => {
    clearTimeout(silence);
    silence = setTimeout(() => {
      over();
      const error = new Error(`nothing of the answer moved for ${silenceMs} ms`);
      controller.error(error);
      // It may have broken off already.
      reader.cancel(error).catch(() => undefined);
    }, silenceMs);
  };
  return new ReadableStream<Uint8Array>({
    start: step,
    async pull(controller) {
      step(controller);
      try {
        const { done, value } = await reader.read();
        if (isOver) return;
        if (done) {
          over(bytes > MAX_READ_BYTES ? undefined : text);
          controller.close();
          return;
        }
        bytes += value.byteLength;
        if (bytes <= MAX_READ_BYTES) text += decoder.decode(value, { stream: true });
        else text = "";
        step(controller);
        controller.enqueue(value);
      } catch (error) {
        over();
        controller.error(error);
      }
    },
    async cancel(reason) {
      try {
        await reader.cancel(reason);
      } finally {
        over();
      }
    },
  });
}
