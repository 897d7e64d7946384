/** npm's lock files, as far as they are read. */
interface Lock {
  packages?: Record<
    string,
    { version?: string; integrity?: string; optional?: boolean; devOptional?: boolean }
  >;
}

export function isInstalled(root: string): boolean;
export function covers(installed: Lock, lock: Lock): boolean;
export function install(root: string): string | undefined;
export function nodeProblem(root: string, version: string): string | undefined;
