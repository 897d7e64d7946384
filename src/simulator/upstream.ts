import { Limits } from "./limits.ts";
import { checkSettings, type Settings, type SimulatorSettings } from "./settings.ts";
import { Tally } from "./stats.ts";

/** The state of one simulator. Calls keep the tally and the limits that they arrived under. */
export class Upstream {
  settings: Settings;
  limits: Limits;
  tally = new Tally();
  /** `http://127.0.0.1:PORT`, known once it listens. */
  origin = "";

  constructor(settings: SimulatorSettings) {
    this.settings = checkSettings(settings);
    this.limits = new Limits(this.settings.limits, performance.now());
  }

  /**
   * Replaces all settings; what is not given goes back to its default. Calls under way keep the
   * settings they came under. Counts stay, and buckets are full again. Throws `SettingsError`.
   */
  configure(settings: unknown): void {
    this.settings = checkSettings(settings);
    this.limits.configure(this.settings.limits, performance.now());
  }

  /** Forgets every count, prompt and attempt and refills the buckets. The settings stay. */
  reset(): void {
    this.tally = new Tally();
    this.limits = new Limits(this.settings.limits, performance.now());
  }
}
