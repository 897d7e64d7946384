/**
 * The candidate that a misspelt name was meant to be, or undefined when none is near: one step away
 * for five letters, two for eight and more. A step is a letter too many, too few, another, or two
 * that changed places.
 */
export function nearest(name: string, candidates: readonly string[]): string | undefined {
  let best: { candidate: string; steps: number } | undefined;
  for (const candidate of candidates) {
    const most = candidate.length >= 8 ? 2 : candidate.length >= 5 ? 1 : 0;
    if (candidate === name || Math.abs(candidate.length - name.length) > most) continue;
    const steps = stepsBetween(name, candidate);
    if (steps <= most && steps < (best?.steps ?? Number.POSITIVE_INFINITY)) {
      best = { candidate, steps };
    }
  }
  return best?.candidate;
}

/** Damerau-Levenshtein distance, in its "optimal string alignment" form. */
function stepsBetween(a: string, b: string): number {
  let [before, last]: [number[], number[]] = [
    [],
    Array.from({ length: b.length + 1 }, (_, j) => j),
  ];
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const same = a[i - 1] === b[j - 1];
      let steps = Math.min(
        (last[j] ?? 0) + 1,
        (row[j - 1] ?? 0) + 1,
        (last[j - 1] ?? 0) + (same ? 0 : 1),
      );
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        steps = Math.min(steps, (before[j - 2] ?? 0) + 1);
      }
      row.push(steps);
    }
    [before, last] = [last, row];
  }
  return last[b.length] ?? 0;
}
